"""What editors fill in to set an experiment up, and before each act."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.text import slugify
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from experiments.models import Experiment
from experiments.services.concluding import SHORTEST_LESSON, PutLive
from experiments.services.lifecycle import NewVariant
from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseForm, asks
from promptlab.lib.errors import FieldProblem
from promptlab.lib.formats import fmt_name
from prompts.errors import NotDeployed
from prompts.models import Deployment, Environment, Prompt, Version

ALTERNATIVES = 3
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

    prompt = forms.ModelChoiceField(
        Prompt.objects.none(),
        label=_("Prompt"),
        empty_label=_("Choose a prompt"),
        error_messages=asks(_("Choose a prompt.")),
    )
    environment = forms.ChoiceField(label=_("Environment"), help_text=_("Production means real customers."))

    def __init__(self, *args: Any, actor: Principal, capability: str = "experiment.write", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        writes = actor.teams_with(capability)
        prompts = Prompt.objects.active().filter(team__in=writes, deployments__version__isnull=False)
        self.fields["prompt"].queryset = prompts.distinct().order_by("title")  # type: ignore[attr-defined]
        self.fields["prompt"].help_text = _("Prompts with a live version. Others are compared with it.")
        names = dict.fromkeys(Environment.objects.filter(team__in=writes).values_list("name", flat=True))
        self.fields["environment"].choices = [(name, fmt_name(name)) for name in names]  # type: ignore[attr-defined]
        self.fields["environment"].initial = PRODUCTION

    def pointer(self) -> Deployment | None:
        """Return what is live where a valid form says; None, with a sentence beside the environment, when nothing is."""
        prompt, name = self.cleaned_data["prompt"], self.cleaned_data["environment"]
        live = Deployment.objects.live().select_related("environment", "version__prompt")
        found: Deployment | None = live.filter(prompt=prompt, environment__name=name).first()
        if found is None:
            self.add_error("environment", NotDeployed(prompt=prompt.title, environment=fmt_name(name)).told)
        return found


class SetUpForm(HouseForm):
    """The second page: the texts and their shares. The current text gets what the alternatives leave."""

    named = {"key_taken": "key", "coverage_bp": "coverage"}
    compared_with = forms.IntegerField(widget=forms.HiddenInput)
    title = forms.CharField(label=_("Name"), max_length=200, error_messages=asks(_("Give the experiment a name.")))
    hypothesis = forms.CharField(
        label=_("What we expect and why"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("We expect that … because …"),
    )
    coverage = forms.DecimalField(
        label=_("Share of all users, in percent"),
        min_value=Decimal("0.01"),
        max_value=100,
        decimal_places=2,
        initial=100,
        help_text=_("The others get the current text and are not counted."),
    )
    key = forms.CharField(
        label=_("Short name"),
        required=False,
        max_length=100,
        help_text=_("Developers use this name. Empty: from the name."),
    )

    def __init__(self, *args: Any, control: Version, **kwargs: Any) -> None:
        kwargs["initial"] = {"compared_with": control.number}
        super().__init__(*args, **kwargs)
        versions = Version.objects.filter(prompt=control.prompt).exclude(pk=control.pk).newest_first()
        self.control = control
        self.versions = {version.number: version for version in versions}
        choices = [("", _("No alternative")), *((number, _label(one)) for number, one in self.versions.items())]
        for row in range(1, ALTERNATIVES + 1):
            self.fields[f"version_{row}"] = forms.TypedChoiceField(
                label=_("Version"),
                choices=choices,
                coerce=int,
                empty_value=None,
                required=row == 1,
                error_messages=asks(_("Choose a version to compare with.")),
            )
            self.fields[f"share_{row}"] = forms.DecimalField(
                label=_("Share in percent"),
                min_value=Decimal("0.01"),
                max_value=100,
                decimal_places=2,
                initial=50 if row == 1 else None,
                required=False,
            )
            self.fields[f"name_{row}"] = forms.CharField(label=_("What you call it"), required=False, max_length=100)

    def rows(self) -> list[dict[str, Any]]:
        """Return the alternatives' fields, for the template."""
        parts = ("version", "share", "name")
        return [
            {"number": row, **{part: self[f"{part}_{row}"] for part in parts}} for row in range(1, ALTERNATIVES + 1)
        ]

    def chosen(self) -> list[int]:
        """Return the rows with a version in them."""
        return [row for row in range(1, ALTERNATIVES + 1) if self.cleaned_data.get(f"version_{row}")]

    def clean(self) -> dict[str, Any]:
        filled = super().clean() or {}
        if filled.get("compared_with") != self.control.number:
            sentence = gettext("v%(number)s went live meanwhile and is the current text now. Look again.")
            self.say_again(sentence % {"number": self.control.number}, compared_with=self.control.number)
        seen: set[int] = set()
        for row in self.chosen():
            number = filled[f"version_{row}"]
            if number in seen:
                self.add_error(f"version_{row}", gettext("This version is in it already."))
            seen.add(number)
            if filled.get(f"share_{row}") is None and f"share_{row}" not in self.errors:
                self.add_error(f"share_{row}", gettext("Say how many of the users get it."))
        if self.control_share() <= 0:
            last = max(self.chosen(), default=1)
            self.add_error(f"share_{last}", gettext("Leave some percent for the current text."))
        return filled

    def control_share(self) -> Decimal:
        """Return what the alternatives leave, in percent."""
        return 100 - sum((self.cleaned_data.get(f"share_{row}") or Decimal(0) for row in self.chosen()), Decimal(0))

    def variants(self) -> list[NewVariant]:
        """Return the variants of a valid form, the current text first."""
        found = [NewVariant("control", self.control, basis_points(self.control_share()), gettext("Current text"))]
        for row in self.chosen():
            number = self.cleaned_data[f"version_{row}"]
            name = self.cleaned_data[f"name_{row}"]
            key = _free(slugify(name)[:40] or f"v{number}", [variant.key for variant in found])
            share = basis_points(self.cleaned_data[f"share_{row}"])
            found.append(NewVariant(key, self.versions[number], share, name or f"v{number}"))
        return found

    def field_of(self, problem: FieldProblem) -> str | None:
        return None if problem.field.startswith("variants") else super().field_of(problem)


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
        self.fields["version"].choices = [(number, _label(one)) for number, one in self.versions.items()]  # type: ignore[attr-defined]


class ActForm(HouseForm):
    """Why, before an act. Starting in Production takes a reason and a look at the texts."""

    note = forms.CharField(label=_("Why"), max_length=500, required=False, error_messages=asks(_("Say why.")))

    def __init__(self, *args: Any, is_strict: bool, blanks: str = "", **kwargs: Any) -> None:
        """`blanks`: how the texts differ in what applications have to send; empty when they do not."""
        super().__init__(*args, **kwargs)
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


def _label(version: Version) -> str:
    return f"v{version.number} – {version.message}" if version.message else f"v{version.number}"


def basis_points(percent: Decimal) -> int:
    """Return percent as hundredths of a percent, the unit of shares."""
    return int(percent * 100)


def _free(key: str, taken: list[str]) -> str:
    """Return a key that no other variant has."""
    return key if key not in taken else next(f"{key}-{n}" for n in range(2, 9) if f"{key}-{n}" not in taken)
