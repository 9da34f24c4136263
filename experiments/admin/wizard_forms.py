"""What editors fill in while they set an experiment up, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.text import slugify
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from experiments.admin.forms import WhereForm, basis_points, version_label
from experiments.models import Experiment, Variant
from experiments.services.lifecycle import NewVariant
from promptlab.accounts.modeladmin import HouseForm, asks
from promptlab.lib.errors import FieldProblem
from promptlab.llm.models import LanguageModel
from prompts.models import Prompt, Version

ALTERNATIVES = 4
ALL_BP = 10_000
GUARDRAILS = [one for one in Experiment.Metric.choices if one[0] != Experiment.Metric.COST]
"""What a guard can hold against an experiment."""


class QuestionForm(WhereForm):
    """The first page: what is asked, of which prompt, where. The prompt of a draft stays."""

    named = {"nothing_live": "environment"}
    title = forms.CharField(label=_("Name"), max_length=200, error_messages=asks(_("Give the experiment a name.")))
    hypothesis = forms.CharField(
        label=_("What we expect and why"),
        required=False,
        max_length=5_000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("We expect that … because …"),
    )
    primary_metric = forms.ChoiceField(
        label=_("What decides"), choices=Experiment.Metric.choices, initial=Experiment.Metric.APPROVAL
    )
    guardrails = forms.MultipleChoiceField(
        label=_("What must not get worse"),
        choices=GUARDRAILS,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("If harm is proven, everybody gets the current text, by itself. None ticked: all of them."),
    )
    field_order = ("prompt", "environment", "title", "hypothesis", "primary_metric", "guardrails")

    def __init__(self, *args: Any, draft: Experiment | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.draft = draft
        if draft is not None:
            del self.fields["prompt"]

    def clean(self) -> dict[str, Any]:
        filled = super().clean() or {}
        self.live = None if self.errors else self.pointer()
        return filled

    def prompt_asked(self) -> Prompt:
        return super().prompt_asked() if self.draft is None else self.draft.prompt


def of_question(draft: Experiment) -> dict[str, Any]:
    """Return what the first page of a draft shows."""
    names = ("title", "hypothesis", "primary_metric", "guardrails")
    return {"environment": draft.environment.name, **{name: getattr(draft, name) for name in names}}


class TextsForm(HouseForm):
    """The second page: what the current text is compared with. A version, or the same one with another model or settings."""

    compared_with = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, control: Version, draft: Experiment, **kwargs: Any) -> None:
        self.control, self.draft = control, draft
        self.before = [one for one in draft.variants.all() if not one.is_control]
        super().__init__(*args, initial=self._initial(), **kwargs)
        versions = Version.objects.filter(prompt=draft.prompt_id).select_related("prompt").newest_first()
        self.versions = {version.number: version for version in versions}
        labels = [(number, version_label(one)) for number, one in self.versions.items()]
        models = LanguageModel.objects.filter(team_id=draft.team_id, is_on=True, provider__is_on=True)
        names = dict.fromkeys([*models.order_by("name").values_list("name", flat=True), *self._models()])
        for row in range(1, ALTERNATIVES + 1):
            self.fields[f"version_{row}"] = forms.TypedChoiceField(
                label=_("Version"),
                choices=[("", _("No alternative")), *labels],
                coerce=int,
                empty_value=None,
                required=row == 1,
                error_messages=asks(_("Choose a version to compare with.")),
            )
            self.fields[f"name_{row}"] = forms.CharField(label=_("What you call it"), required=False, max_length=100)
            self.fields[f"model_{row}"] = forms.ChoiceField(
                label=_("Model"),
                choices=[("", _("The version's own")), *((name, name) for name in names)],
                required=False,
            )
            self.fields[f"creativity_{row}"] = forms.FloatField(
                label=_("Creativity"), min_value=0, max_value=2, required=False
            )

    def _models(self) -> list[str]:
        return [one.model for one in self.before if one.model]

    def _initial(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"compared_with": self.control.number}
        for row, one in enumerate(self.before, start=1):
            shown |= {f"version_{row}": one.version.number, f"name_{row}": one.name, f"model_{row}": one.model}
            shown[f"creativity_{row}"] = one.parameters.get("temperature")
        return shown

    def rows(self) -> list[dict[str, Any]]:
        """Return the alternatives' fields, for the template."""
        parts = ("version", "name", "model", "creativity")
        return [
            {"number": row, **{part: self[f"{part}_{row}"] for part in parts}} for row in range(1, ALTERNATIVES + 1)
        ]

    def _chosen(self) -> list[int]:
        return [row for row in range(1, ALTERNATIVES + 1) if self.cleaned_data.get(f"version_{row}")]

    def _settings(self, row: int) -> tuple[str, dict[str, Any]]:
        """Return the model and the settings of a row; what else its variant had before stays."""
        before = self.before[row - 1] if row <= len(self.before) else None
        said = dict(before.parameters) if before is not None else {}
        creativity = self.cleaned_data.get(f"creativity_{row}")
        said.pop("temperature", None)
        return self.cleaned_data.get(f"model_{row}") or "", said | (
            {} if creativity is None else {"temperature": creativity}
        )

    def clean(self) -> dict[str, Any]:
        filled = super().clean() or {}
        if filled.get("compared_with") != self.control.number:
            sentence = gettext("v%(number)s went live meanwhile and is the current text now. Look again.")
            self.say_again(sentence % {"number": self.control.number}, compared_with=self.control.number)
        seen: list[Any] = [(self.control.number, "", {})]
        for row in self._chosen():
            same = (filled[f"version_{row}"], *self._settings(row))
            if same in seen:
                self.add_error(f"version_{row}", gettext("This is in it already. Choose another version or model."))
            seen.append(same)
        return filled

    def variants(self) -> list[NewVariant]:
        """Return the variants of a valid form, the current text first. With the same texts as before shares stay."""
        found = [NewVariant("control", self.control, ALL_BP, gettext("Current text"))]
        for row in self._chosen():
            number, name = self.cleaned_data[f"version_{row}"], self.cleaned_data[f"name_{row}"]
            model, parameters = self._settings(row)
            key = _free(slugify(name)[:40] or f"v{number}", [one.key for one in found])
            found.append(NewVariant(key, self.versions[number], 0, name or f"v{number}", model, parameters))
        return _with_shares(found, list(self.draft.variants.all()))

    def field_of(self, problem: FieldProblem) -> str | None:
        return None if problem.field.startswith("variants") else super().field_of(problem)


class SharesForm(HouseForm):
    """How the users are split: ready splits, or one's own. `variants` take part; the first is the current text."""

    split = forms.ChoiceField(
        label=_("How the users are split"),
        choices=[
            ("equal", _("Equally: the shortest way to an answer")),
            ("careful", _("Carefully: 90 percent stay with the current text")),
            ("own", _("As filled in below")),
        ],
    )
    coverage = forms.DecimalField(
        label=_("Share of all users, in percent"),
        min_value=Decimal("0.01"),
        max_value=100,
        decimal_places=2,
        initial=100,
        help_text=_("The others get the current text and are not counted."),
    )
    named = {"coverage_bp": "coverage", "variants": "split"}

    def __init__(self, *args: Any, experiment: Experiment, **kwargs: Any) -> None:
        self.variants: Sequence[Variant] = [one for one in experiment.variants.all() if one.weight_bp or one.is_control]
        shown: dict[str, Any] = {f"share_{one.position}": Decimal(one.weight_bp) / 100 for one in self.variants}
        shown |= {"split": self._split(), "coverage": Decimal(experiment.coverage_bp) / 100}
        super().__init__(*args, initial={**shown, **kwargs.pop("initial", {})}, **kwargs)
        for one in self.variants:
            self.fields[f"share_{one.position}"] = forms.DecimalField(
                label=_("Percent of “%(text)s”") % {"text": str(one)},
                min_value=0,
                max_value=100,
                decimal_places=2,
                required=False,
            )

    def _split(self) -> str:
        weights = [one.weight_bp for one in self.variants]
        if weights == equal(len(weights)):
            return "equal"
        return "careful" if weights == careful(len(weights)) else "own"

    def shares(self) -> list[Any]:
        """Return the fields of one's own shares, for the template."""
        return [self[f"share_{one.position}"] for one in self.variants]

    def clean(self) -> dict[str, Any]:
        filled = super().clean() or {}
        given = [filled.get(f"share_{one.position}") or Decimal(0) for one in self.variants]
        if filled.get("split") == "own" and not self.errors and sum(given) != 100:
            sentence = gettext("The shares make %(sum)s percent together. They have to make 100.")
            self.add_error("split", sentence % {"sum": sum(given)})
        return filled

    def weights(self) -> dict[str, int]:
        """Return the shares of a valid form in basis points, by the key of the variant."""
        count, split = len(self.variants), self.cleaned_data["split"]
        if split == "own":
            given = [basis_points(self.cleaned_data[f"share_{one.position}"] or Decimal(0)) for one in self.variants]
        else:
            given = equal(count) if split == "equal" else careful(count)
        return {one.key: weight for one, weight in zip(self.variants, given, strict=True)}


class PeopleForm(SharesForm):
    """The third page: who gets which text, and how long."""

    planned_size = forms.IntegerField(
        label=_("Ratings to decide at"),
        min_value=1,
        max_value=2**31 - 1,
        required=False,
        help_text=_("Of all texts together. Planned before it starts, so that nobody stops when it suits them."),
    )
    field_order = ("split", "coverage", "planned_size")

    def __init__(self, *args: Any, experiment: Experiment, **kwargs: Any) -> None:
        super().__init__(*args, experiment=experiment, initial={"planned_size": experiment.planned_size}, **kwargs)

    def new_variants(self) -> list[NewVariant]:
        """Return the variants of a valid form with their new shares."""
        weights = self.weights()
        return [
            NewVariant(one.key, one.version, weights[one.key], one.name, one.model, one.parameters)
            for one in self.variants
        ]


def equal(count: int) -> list[int]:
    """Return equal shares in basis points; the first gets what is left over."""
    each = ALL_BP // count
    return [ALL_BP - each * (count - 1), *[each] * (count - 1)]


def careful(count: int) -> list[int]:
    """Return shares of which the first is at least nine tenths."""
    each = 1_000 // max(1, count - 1)
    return [ALL_BP - each * (count - 1), *[each] * (count - 1)]


def _with_shares(variants: Sequence[NewVariant], before: Sequence[Variant]) -> list[NewVariant]:
    kept = {one.key: one.weight_bp for one in before}
    if set(kept) == {one.key for one in variants}:
        shares = [kept[one.key] for one in variants]
    else:
        shares = equal(len(variants))
    return [
        NewVariant(one.key, one.version, weight, one.name, one.model, one.parameters)
        for one, weight in zip(variants, shares, strict=True)
    ]


def _free(key: str, taken: list[str]) -> str:
    """Return a key that no other variant has."""
    return key if key not in taken else next(f"{key}-{n}" for n in range(2, 9) if f"{key}-{n}" not in taken)
