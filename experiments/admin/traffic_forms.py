"""What editors fill in about who takes part: conditions, testers, shares while it runs, namespaces."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from promptlab_sdk.kernel.assignment import SLOTS

from experiments.admin.conditions import COMPARISONS, WITHOUT_VALUE, Line, condition_of, lines_of
from experiments.models import Experiment, Namespace
from experiments.services import targeting
from promptlab.accounts.modeladmin import HouseForm, TeamForm, asks
from promptlab.lib.errors import FieldProblem

LINES = 5


class WhoForm(HouseForm):
    """Whom an experiment is for, what is dealt, and apart from which others it stays. For drafts."""

    named = {"namespace_taken": "part", "namespace_full": "part"}
    unit_attribute = forms.CharField(
        label=_("Who keeps the same text"),
        required=False,
        max_length=100,
        help_text=_("Empty: each user. Or the name of another value that applications send, such as session_id."),
    )
    is_sticky = forms.BooleanField(
        label=_("Whoever had a text keeps it, also when shares change"),
        required=False,
        help_text=_("Only where applications ask PromptLab for the answer."),
    )
    namespace = forms.ModelChoiceField(
        Namespace.objects.none(),
        label=_("Apart from the other experiments of"),
        required=False,
        empty_label=_("None: users may be in other experiments, too"),
    )
    part = forms.DecimalField(
        label=_("Percent of its users"),
        min_value=Decimal("0.01"),
        max_value=100,
        decimal_places=2,
        required=False,
        help_text=_("These users can be in no other experiment there."),
    )

    def __init__(self, *args: Any, draft: Experiment, **kwargs: Any) -> None:
        self.draft = draft
        self.lines = lines_of(draft.condition)
        super().__init__(*args, initial=self._initial(), **kwargs)
        spaces = Namespace.objects.filter(team_id=draft.team_id).order_by("key")
        self.fields["namespace"].queryset = spaces  # type: ignore[attr-defined]
        if self.lines is None or len(self.lines) > LINES:
            self.fields["condition"] = forms.JSONField(
                label=_("Only those of whom this is so"),
                required=False,
                help_text=_("A developer wrote this condition. It says more than lines can."),
            )
            return
        for row in range(1, LINES + 1):
            self.fields[f"attribute_{row}"] = forms.CharField(label=_("Value"), required=False, max_length=100)
            self.fields[f"comparison_{row}"] = forms.ChoiceField(
                label=_("How it is compared"), choices=COMPARISONS, required=False
            )
            self.fields[f"value_{row}"] = forms.CharField(label=_("With what"), required=False, max_length=400)

    def _initial(self) -> dict[str, Any]:
        draft = self.draft
        shown: dict[str, Any] = {
            "unit_attribute": draft.unit_attribute,
            "is_sticky": draft.is_sticky,
            "namespace": draft.namespace_id,
            "condition": draft.condition,
        }
        if draft.namespace_ranges:
            shown["part"] = Decimal(sum(hi - lo for lo, hi in draft.namespace_ranges)) * 100 / SLOTS
        for row, line in enumerate(self.lines or (), start=1):
            shown |= {
                f"attribute_{row}": line.attribute,
                f"comparison_{row}": line.comparison,
                f"value_{row}": line.value,
            }
        return shown

    def rows(self) -> list[dict[str, Any]]:
        """Return the lines' fields, for the template; none where the condition is written by hand."""
        if "condition" in self.fields:
            return []
        parts = ("attribute", "comparison", "value")
        return [{"number": row, **{part: self[f"{part}_{row}"] for part in parts}} for row in range(1, LINES + 1)]

    def clean(self) -> dict[str, Any]:
        filled = super().clean() or {}
        for row in range(1, LINES + 1):
            if not filled.get(f"attribute_{row}"):
                if filled.get(f"value_{row}"):
                    self.add_error(f"attribute_{row}", gettext("Say which value of the request this is about."))
            elif not filled.get(f"value_{row}") and filled.get(f"comparison_{row}") not in WITHOUT_VALUE:
                self.add_error(f"value_{row}", gettext("Say what it is compared with."))
        if filled.get("namespace") and not filled.get("part"):
            self.add_error("part", gettext("Say how many of its users."))
        return filled

    def setup(self) -> dict[str, Any]:
        """Return what a valid form says, in the fields of `Setup`."""
        said = self.cleaned_data
        setup: dict[str, Any] = {name: said[name] for name in ("unit_attribute", "is_sticky")}
        setup["condition"] = (said["condition"] or {}) if "condition" in self.fields else condition_of(self._lines())
        space: Namespace | None = said["namespace"]
        ranges: list[list[int]] = []
        if space is not None:
            ranges = targeting.free_part(space, int(said["part"] * SLOTS / 100), but=self.draft)
        return setup | {"namespace": space.key if space else "", "namespace_ranges": ranges}

    def _lines(self) -> list[Line]:
        said = self.cleaned_data
        return [
            Line(said[f"attribute_{row}"], said[f"comparison_{row}"] or "is", said[f"value_{row}"])
            for row in range(1, LINES + 1)
            if said.get(f"attribute_{row}")
        ]

    def field_of(self, problem: FieldProblem) -> str | None:
        if problem.field.startswith("condition.") and "condition" not in self.fields:
            name = problem.field.split(".")[1]
            rows = [row for row in range(1, LINES + 1) if self.cleaned_data.get(f"attribute_{row}") == name]
            return f"value_{rows[0]}" if rows else None
        return super().field_of(problem)


class TestersForm(HouseForm):
    """Who tries which text out: user ids, one a line."""

    named = {"overrides": "testers_0"}

    def __init__(self, *args: Any, experiment: Experiment, **kwargs: Any) -> None:
        self.variants = list(experiment.variants.all())
        units = {
            one.key: [unit for unit, key in experiment.overrides.items() if key == one.key] for one in self.variants
        }
        shown = {f"testers_{one.position}": "\n".join(units[one.key]) for one in self.variants}
        super().__init__(*args, initial=shown, **kwargs)
        for one in self.variants:
            self.fields[f"testers_{one.position}"] = forms.CharField(
                label=_("They get “%(text)s”") % {"text": str(one)},
                required=False,
                widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
            )

    def overrides(self) -> dict[str, str]:
        """Return the keys of the variants by unit."""
        return {unit: one.key for one in self.variants for unit in lines(self.cleaned_data[f"testers_{one.position}"])}

    def clean(self) -> dict[str, Any]:
        filled = super().clean() or {}
        seen: set[str] = set()
        for one in self.variants:
            for unit in lines(filled.get(f"testers_{one.position}") or ""):
                if unit in seen:
                    sentence = gettext("%(unit)s is on the list twice.") % {"unit": unit[:50]}
                    self.add_error(f"testers_{one.position}", sentence)
                seen.add(unit)
        return filled


class ReasonForm(HouseForm):
    """Why the traffic changes."""

    note = forms.CharField(label=_("Why"), max_length=500, error_messages=asks(_("Say why.")))


class NamespaceForm(TeamForm):
    """A new namespace."""

    key = forms.CharField(
        label=_("Short name"),
        max_length=100,
        help_text=_("Lower-case letters, digits, dots and dashes, such as checkout."),
        error_messages=asks(_("Give it a short name.")),
    )


def lines(text: str) -> list[str]:
    """Return the lines of a text that are not empty, without what surrounds them."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def as_text(condition: dict[str, Any]) -> list[str]:
    """Return a condition in words, one comparison each; as JSON where it says more than lines can."""
    if not condition:
        return []
    found = lines_of(condition)
    return [json.dumps(condition, ensure_ascii=False)] if found is None else [line.words for line in found]
