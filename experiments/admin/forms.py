"""What editors fill in before each act on an experiment, and where a new one or a launch is to be."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext_lazy as _

from experiments.models import Experiment
from experiments.services.concluding import SHORTEST_LESSON, PutLive
from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseForm, asks
from promptlab.lib.formats import fmt_name
from prompts.admin.choosing import PromptField, offer
from prompts.errors import NotDeployed
from prompts.models import Deployment, Environment, Prompt, Version

PRODUCTION = "production"
REASONS = [
    ("", _("No reason given")),
    (_("Wrong answers"), _("Wrong answers")),
    (_("Complaints"), _("Complaints")),
    (_("Too slow"), _("Too slow")),
    (_("Too expensive"), _("Too expensive")),
    (_("Other"), _("Other")),
]


class WhereForm(HouseForm):
    """The first page: on which prompt, where. It only looks, so it is sent by GET."""

    prompt = PromptField(
        label=_("Prompt"),
        empty_label=_("Choose a prompt"),
        error_messages=asks(_("Choose a prompt.")),
    )
    environment = forms.ChoiceField(label=_("Environment"), help_text=_("Production means real customers."))

    def __init__(self, *args: Any, actor: Principal, capability: str = "experiment.write", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        writes = actor.teams_with(capability)
        is_live = Exists(Deployment.objects.live().filter(prompt=OuterRef("pk")))
        offer(self, Prompt.objects.visible_to(actor, capability).active().filter(is_live), "prompt")
        self.fields["prompt"].help_text = _("Prompts with a live version. Others are compared with it.")
        names = dict.fromkeys(Environment.objects.filter(team__in=writes).values_list("name", flat=True))
        self.fields["environment"].choices = [(name, fmt_name(name)) for name in names]  # type: ignore[attr-defined]
        self.fields["environment"].initial = PRODUCTION

    def prompt_asked(self) -> Prompt:
        """Return the prompt that a valid form is about."""
        chosen: Prompt = self.cleaned_data["prompt"]
        return chosen

    def pointer(self) -> Deployment | None:
        """Return what is live where a valid form says; None, with a sentence beside the environment, when nothing is."""
        prompt, name = self.prompt_asked(), self.cleaned_data["environment"]
        live = Deployment.objects.live().select_related("environment", "version__prompt")
        found: Deployment | None = live.filter(prompt=prompt, environment__name=name).first()
        if found is None:
            self.add_error("environment", NotDeployed(prompt=prompt.title, environment=fmt_name(name)).told)
        return found


class LaunchForm(HouseForm):
    """Which version takes the place of what is live, step by step."""

    named = {"variables_changed": "apps_know"}
    version = forms.TypedChoiceField(
        label=_("New version"), coerce=int, error_messages=asks(_("Choose the version to launch."))
    )
    note = forms.CharField(label=_("Why"), max_length=500, error_messages=asks(_("Say why.")))
    apps_know = forms.BooleanField(
        label=_("The apps fill in its blanks"),
        required=False,
        help_text=_("To be ticked where it asks for other blanks than the live version."),
    )

    def __init__(self, *args: Any, live: Version, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        others = Version.objects.filter(prompt=live.prompt).exclude(pk=live.pk).newest_first()
        self.versions = {version.number: version for version in others}
        self.fields["version"].choices = [(number, version_label(one)) for number, one in self.versions.items()]  # type: ignore[attr-defined]


class ActForm(HouseForm):
    """Why, before an act. Starting in Production takes a reason and a look at the texts."""

    note = forms.CharField(label=_("Why"), max_length=500, required=False, error_messages=asks(_("Say why.")))

    def __init__(
        self, *args: Any, is_strict: bool, must_say_why: bool = False, blanks: str = "", **kwargs: Any
    ) -> None:
        """`blanks`: how the texts differ in what applications have to send; empty when they do not."""
        super().__init__(*args, **kwargs)
        self.fields["note"].required = must_say_why
        if blanks:
            message = asks(_("Tick this once it is so."))
            label = _("The applications send what all texts need")
            self.fields["confirm"] = forms.BooleanField(label=label, help_text=blanks, error_messages=message)
        if is_strict:
            self.fields["note"].required = True
            message = asks(_("Tick this once it is so."))
            self.fields["compared"] = forms.BooleanField(label=_("I compared the texts"), error_messages=message)

    def why(self) -> str:
        """Return the reason as one text."""
        return self.cleaned_data["note"]


class KillForm(HouseForm):
    """Stopping is urgent: ready reasons, none required."""

    reason = forms.ChoiceField(label=_("Reason"), choices=REASONS, required=False)
    note = forms.CharField(label=_("In your words"), max_length=400, required=False)

    def why(self) -> str:
        """Return the reason as one text."""
        return ": ".join(filter(None, [self.cleaned_data["reason"], self.cleaned_data["note"]]))


class ConclusionForm(HouseForm):
    """The first page of a conclusion: what came of it. It only looks, so it is sent by GET. Nothing is chosen beforehand."""

    outcome = forms.ChoiceField(
        label=_("How did it end?"),
        choices=[("", _("Choose")), *Experiment.Outcome.choices],
        error_messages=asks(_("Say how it ended.")),
    )
    lesson = forms.CharField(
        label=_("What we learned"),
        max_length=1_000,
        min_length=SHORTEST_LESSON,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages=asks(_("Say what you learned.")),
    )
    keep = forms.ChoiceField(label=_("Which text stays?"), error_messages=asks(_("Choose the text that stays.")))

    def __init__(self, *args: Any, experiment: Experiment, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        texts = [(one.key, f"{one} – v{one.version.number}") for one in experiment.variants.all()]
        self.fields["keep"].choices = [("", _("Choose")), *texts]  # type: ignore[attr-defined]


class PutLiveForm(HouseForm):
    """The second page: what becomes of the text that stays."""

    put_live = forms.ChoiceField(
        label=_("Put it live?"),
        choices=[
            ("", _("Choose")),
            (PutLive.NOW.value, _("At once, for everybody")),
            (PutLive.GRADUALLY.value, _("Gradually, as far as the numbers allow")),
            (PutLive.NO.value, _("Not now: everybody gets the version that is live")),
        ],
        error_messages=asks(_("Say what becomes of it.")),
    )


def version_label(version: Version) -> str:
    """Return a version with what changed in it, for a choice."""
    return f"v{version.number} – {version.message}" if version.message else f"v{version.number}"


def basis_points(percent: Decimal) -> int:
    """Return percent as hundredths of a percent, the unit of shares."""
    return int(percent * 100)
