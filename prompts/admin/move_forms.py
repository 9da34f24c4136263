"""The questions before a version goes live, goes back, or is looked for in the past."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseForm, asks
from prompts.models import Version


class MoveForm(HouseForm):
    """The questions before a pointer moves. `seen` is the move that was in force when the page was opened."""

    seen = forms.IntegerField(widget=forms.HiddenInput)
    note = forms.CharField(label=_("Why"), max_length=500, required=False, error_messages=asks(_("Say why.")))

    def __init__(self, *args: Any, seen: int, needs_reason: bool, **kwargs: Any) -> None:
        kwargs["initial"] = {"seen": seen}
        super().__init__(*args, **kwargs)
        self.now = seen
        self.fields["note"].required = needs_reason

    def clean(self) -> dict[str, Any]:
        filled = super().clean() or {}
        if filled.get("seen") != self.now:
            moved = gettext("Somebody moved it meanwhile. This page shows what is live now: look again.")
            self.say_again(moved, seen=self.now)
        return filled


class DeployForm(MoveForm):
    """Which version goes live, and what has to be known before."""

    named = {"variables_changed": "apps_know"}
    version = forms.IntegerField(widget=forms.HiddenInput)
    due_at = forms.DateTimeField(
        label=_("Put live later"),
        required=False,
        help_text=_("Empty: at once. The rules are asked again at that time."),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    break_glass = forms.CharField(
        label=_("Why it cannot wait for the rules"),
        required=False,
        max_length=500,
        help_text=_("Break the glass: it goes live past the rules, and the activity log keeps your reason."),
    )

    def __init__(
        self, *args: Any, version: Version, ticks: Mapping[str, Any], may_break_glass: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        if not may_break_glass:
            del self.fields["break_glass"]
        self.fields["version"].initial = version.number
        for name, label in ticks.items():
            self.fields[name] = forms.BooleanField(label=label, error_messages=asks(_("Tick this once it is so.")))


class PromoteForm(DeployForm):
    """What is live elsewhere goes live here: exactly the version that the page showed."""

    def __init__(self, *args: Any, version: Version, **kwargs: Any) -> None:
        super().__init__(*args, version=version, **kwargs)
        self.version = version.number
        del self.fields["due_at"]

    def clean(self) -> dict[str, Any]:
        filled = super().clean()
        if filled.get("version") != self.version:
            other = gettext("Another version is live there by now. This page shows it: look again.")
            self.say_again(other, version=self.version)
        return filled


class MomentForm(HouseForm):
    """A moment in the past."""

    at = forms.DateTimeField(
        label=_("What was live at"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        error_messages={"invalid": _("Write a day and a time, such as 2030-01-31 09:00.")},
    )


REASONS = [
    ("", _("No reason given")),
    (_("Wrong answers"), _("Wrong answers")),
    (_("Complaints"), _("Complaints")),
    (_("Too slow"), _("Too slow")),
    (_("Too expensive"), _("Too expensive")),
    (_("Other"), _("Other")),
]


class BackForm(MoveForm):
    """Going back is urgent: ready reasons, none required."""

    field_order = ["seen", "reason", "note"]
    reason = forms.ChoiceField(label=_("Reason"), choices=REASONS, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, needs_reason=False, **kwargs)
        self.fields["note"].label = _("In your words")

    def why(self) -> str:
        """Return the reason as one text."""
        return ": ".join(filter(None, [self.cleaned_data["reason"], self.cleaned_data["note"]]))[:500]
