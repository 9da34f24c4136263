"""Forms of test suites. The usual checks are fields of their own; what developers need besides is written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.conf.locale import LANG_INFO
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from promptlab_sdk.kernel.language import LANGUAGES

from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseForm, TeamForm, asks
from promptlab.lib.errors import FieldProblem, Invalid
from promptlab.llm.offering import offers
from prompts import rendering, resolve
from prompts.admin.choosing import PromptField, offer
from prompts.checks.cases import Case, Check, checks_from
from prompts.models import Environment, Prompt, Suite, Version
from prompts.services import suites
from prompts.services.environments import named
from prompts.services.suite_runs import USUAL_ENVIRONMENT, Wanted

BLANK = "blank_"
FURTHER = "further"
LINES = _("One on each line.")
NATIVE = {code: LANG_INFO[code.replace("zh", "zh-hans")]["name_local"] for code in LANGUAGES}
"""How each language calls itself."""


NAMES = {
    "equals": _("The same as the expected answer"),
    "contains": _("It has"),
    "not_contains": _("It has none of"),
    "regex": _("It fits the pattern"),
    "is_json": _("It is JSON"),
    "json_schema": _("It is JSON of a schema"),
    "structure": _("It is JSON with these keys"),
    "length": _("So long"),
    "language": _("It is in the language"),
    "latency": _("Took at most (ms)"),
    "cost": _("Cost at most (US dollars)"),
    "similarity": _("Letters like the expected answer"),
    "judge": _("Another prompt judges it"),
    "preferred": _("As good as the expected answer, says a model"),
}


def checks_shown(checks: Sequence[Check]) -> list[str]:
    """Return checks as people read them: `It has: refund, days`."""
    return [_sentence(check) for check in checks]


def _sentence(check: Check) -> str:
    said = [value for name, value in check.options.items() if value not in (None, False, "") and name != "ignore_case"]
    told = ", ".join(", ".join(map(str, one)) if isinstance(one, list) else str(one) for one in said if one is not True)
    name = str(NAMES.get(check.kind, check.kind))
    return f"{name}: {told}" if told else name


class ChecksForm(HouseForm):
    """What answers have to be. Reads and writes the checks that have a field; others stand in `further`."""

    same = forms.BooleanField(label=_("The same as the expected answer"), required=False)
    contains = forms.CharField(
        label=_("It has all of these"), required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text=LINES
    )
    not_contains = forms.CharField(
        label=_("It has none of these"), required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text=LINES
    )
    most = forms.IntegerField(label=_("At most so many characters"), required=False, min_value=1)
    alike = forms.IntegerField(
        label=_("Letters like the expected answer, in %"),
        required=False,
        min_value=1,
        max_value=100,
        help_text=_("It compares letters, not meaning."),
    )
    language = forms.ChoiceField(
        label=_("It is in the language"),
        required=False,
        choices=[("", "–"), *((code, NATIVE[code]) for code in LANGUAGES)],
        help_text=_("A very short answer cannot be told, and counts as missing."),
    )
    is_json = forms.BooleanField(label=_("It is JSON"), required=False)
    judge = forms.CharField(
        label=_("Short name of the prompt that judges"),
        required=False,
        max_length=255,
        help_text=_("A live prompt that asks for the answer, and gives a score from 0 to 1."),
    )
    rubric = forms.CharField(
        label=_("What it judges by"), required=False, max_length=20_000, widget=forms.Textarea(attrs={"rows": 3})
    )
    further = forms.CharField(
        label=_("Further checks (for developers)"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono"}),
        help_text=_('A list, such as [{"kind": "regex", "options": {"pattern": "[0-9]+ days"}}].'),
    )

    def clean_further(self) -> list[Any]:
        """Return the list that was written."""
        text = self.cleaned_data["further"].strip()
        try:
            return list(json.loads(text)) if text else []
        except (ValueError, TypeError, RecursionError):
            raise forms.ValidationError(gettext("This is no list of JSON.")) from None

    def clean(self) -> dict[str, Any]:
        filled = super().clean() or {}
        if bool(filled.get("judge")) != bool(filled.get("rubric")):
            self.add_error("rubric", gettext("A judge needs a prompt, and what it judges by."))
        return filled

    def checks(self) -> tuple[Check, ...]:
        """Return what was asked for. Raises Invalid."""
        filled, found = self.cleaned_data, []
        if filled["same"]:
            found.append({"kind": "equals"})
        for kind in ("contains", "not_contains"):
            if values := _lines(filled[kind]):
                found.append({"kind": kind, "options": {"values": values}})
        if filled["most"]:
            found.append({"kind": "length", "options": {"most": filled["most"]}})
        if filled["alike"]:
            found.append({"kind": "similarity", "options": {"least": filled["alike"] / 100}})
        if filled["language"]:
            found.append({"kind": "language", "options": {"language": filled["language"]}})
        if filled["is_json"]:
            found.append({"kind": "is_json"})
        if filled["judge"]:
            found.append({"kind": "judge", "options": {"prompt": filled["judge"], "rubric": filled["rubric"]}})
        return checks_from([*found, *filled[FURTHER]])

    def field_of(self, problem: FieldProblem) -> str | None:
        return FURTHER if problem.field.startswith("checks.") else super().field_of(problem)


def initial_of(checks: Sequence[Check]) -> dict[str, Any]:
    """Return the values of a `ChecksForm` for some checks: the first of a kind in its field, if that can say it."""
    found: dict[str, Any] = {}
    further = []
    for check in checks:
        said = _field_values(check)
        if said is None or said.keys() & found.keys():
            further.append(check.to_dict())
        else:
            found |= said
    return {**found, FURTHER: json.dumps(further, ensure_ascii=False, indent=1) if further else ""}


def _field_values(check: Check) -> dict[str, Any] | None:
    """Return the fields that say a check; None for one that takes more than they can say."""
    options = check.options
    said: dict[str, Any] = {
        "equals": {"same": True},
        "contains": {"contains": "\n".join(options.get("values", ()))},
        "not_contains": {"not_contains": "\n".join(options.get("values", ()))},
        "length": {"most": options.get("most")},
        "similarity": {"alike": round(100 * options.get("least", 0))},
        "language": {"language": options.get("language")},
        "is_json": {"is_json": True},
        "judge": {"judge": options.get("prompt"), "rubric": options.get("rubric")},
    }
    made = {
        "equals": {},
        "contains": {"values": options.get("values")},
        "not_contains": {"values": options.get("values")},
        "length": {"most": options.get("most")},
        "similarity": {"least": round(options.get("least", 0), 2)},
        "language": {"language": options.get("language")},
        "is_json": {},
        "judge": {"prompt": options.get("prompt"), "rubric": options.get("rubric")},
    }
    if check.kind not in made:
        return None
    try:
        (again,) = checks_from([{"kind": check.kind, "options": made[check.kind]}])
    except Invalid:
        return None
    return said[check.kind] if again == check else None


class SuiteForm(ChecksForm):
    """A suite's name, and the checks of every case."""

    named: Mapping[str, str] = {"name_taken": "name"}
    name = forms.CharField(
        label=_("Short name"),
        max_length=100,
        help_text=_("Small letters, digits and dashes."),
        error_messages=asks(_("Give the test suite a name.")),
    )
    description = forms.CharField(label=_("What it is about"), required=False, max_length=500)
    field_order = ["name", "description"]

    def __init__(self, *args: Any, suite: Suite | None = None, **kwargs: Any) -> None:
        if suite is not None:
            said = {"name": suite.name, "description": suite.description}
            kwargs["initial"] = {**said, **initial_of(suites.checks_of(suite))}
        super().__init__(*args, **kwargs)


class NewSuiteForm(TeamForm, SuiteForm):
    """A suite with the prompt that it is for."""

    prompt = PromptField(label=_("Prompt"), required=False, empty_label=_("All prompts of the team"))
    field_order = ["team", "name", "prompt", "description"]

    def __init__(self, *args: Any, actor: Principal, capability: str, **kwargs: Any) -> None:
        super().__init__(*args, actor=actor, capability=capability, **kwargs)
        offer(self, Prompt.objects.visible_to(actor, capability).active(), "prompt")


class CaseForm(ChecksForm):
    """A case. A suite of one prompt asks for each of its blanks; another one takes them as lines."""

    named: Mapping[str, str] = {"case_taken": "name"}
    name = forms.CharField(label=_("Name"), max_length=100, error_messages=asks(_("Give the case a name.")))
    said = forms.CharField(
        label=_("What the customer says"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Nothing: the prompt alone is asked."),
    )
    expected = forms.CharField(
        label=_("Expected answer"), required=False, strip=False, widget=forms.Textarea(attrs={"rows": 3})
    )
    is_required = forms.BooleanField(
        label=_("Required: nothing goes live that fails this where the live version passes"), required=False
    )
    repeats = forms.IntegerField(
        label=_("Times asked"),
        min_value=1,
        max_value=20,
        initial=1,
        help_text=_("Several, where a model does not always say the same."),
    )
    tags = forms.CharField(label=_("Tags"), required=False, max_length=500, help_text=_("Words with blanks between."))
    blanks = forms.CharField(
        label=_("Blanks"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "class": "mono"}),
        help_text=_("One on each line, such as name: Ann."),
    )

    def __init__(self, *args: Any, suite: Suite, case: Case | None, **kwargs: Any) -> None:
        self._was = case
        self._names = _blanks_of(suite)
        if case is not None:
            kwargs["initial"] = _initial(case, self._names)
        super().__init__(*args, **kwargs)
        for name in self._names:
            self.fields[BLANK + name] = forms.CharField(
                label=gettext("Blank: %(name)s") % {"name": name}, required=False, strip=False
            )
        first = ["name", *(BLANK + name for name in self._names), "blanks", "said", "expected"]
        self.order_fields([*first, "is_required", "repeats", "tags"])

    def case(self) -> Case:
        """Return the case that was written. Raises Invalid."""
        filled = self.cleaned_data
        variables = {name: filled[BLANK + name] for name in self._names if filled[BLANK + name] != ""}
        variables |= _pairs(filled["blanks"])
        # What is no text is kept as it was, unless somebody wrote something else in its place.
        for name, value in (self._was.variables if self._was else {}).items():
            if not isinstance(value, str) and variables.get(name) == _written(value):
                variables[name] = value
        before = list(self._was.messages[:-1]) if self._was and self._was.messages else []
        said = [{"role": "user", "content": filled["said"]}] if filled["said"] else []
        return Case.from_json(
            {
                "name": filled["name"],
                "variables": variables,
                "messages": [*before, *said],
                "expected": filled["expected"],
                "tags": filled["tags"].split(),
                "required": filled["is_required"],
                "repeats": filled["repeats"],
                "checks": [check.to_dict() for check in self.checks()],
            }
        )

    def field_of(self, problem: FieldProblem) -> str | None:
        if problem.field.startswith("variables"):
            return "blanks"
        return super().field_of(problem)


class RunForm(HouseForm):
    """Which version is asked, by which models, and what that may cost."""

    named: Mapping[str, str] = {"budget_usd": "budget"}
    prompt = PromptField(label=_("Prompt"), empty_label=None)
    version = forms.CharField(label=_("Version"), initial="latest", max_length=100, help_text=_("A number, or latest."))
    models = forms.MultipleChoiceField(
        label=_("Models"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None: the version's own."),
    )
    environment = forms.ModelChoiceField(
        Environment.objects.none(), label=_("Texts that it includes, as in"), empty_label=None
    )
    budget = forms.DecimalField(
        label=_("It may cost at most, in dollars"), min_value=0, max_value=1_000_000, max_digits=12, decimal_places=4
    )
    note = forms.CharField(label=_("Why"), required=False, max_length=300)

    def __init__(self, *args: Any, suite: Suite, actor: Principal, **kwargs: Any) -> None:
        usual = named(suite.team_id, USUAL_ENVIRONMENT)
        kwargs["initial"] = {"environment": usual, "budget": settings.SUITE_BUDGET_USD}
        super().__init__(*args, **kwargs)
        rows = Prompt.objects.visible_to(actor).active().filter(team=suite.team_id)
        fields: dict[str, Any] = self.fields
        offer(self, rows.filter(pk=suite.prompt_id) if suite.prompt_id else rows, "prompt")
        fields["environment"].queryset = Environment.objects.filter(team=suite.team_id)
        fields["models"].choices = [(one.name, one.name) for one in offers(suite.team_id)]

    def wanted(self) -> Wanted:
        """Return what is to be run. Raises VersionNotFound."""
        filled = self.cleaned_data
        version = _version(filled["prompt"], filled["version"])
        return Wanted(version, filled["models"], filled["environment"], filled["budget"], filled["note"])


def _version(prompt: Prompt, selector: str) -> Version:
    return resolve.version_of(prompt, selector.strip())


def _blanks_of(suite: Suite) -> list[str]:
    """Return the blanks of the prompt's newest version; none for a suite of all prompts."""
    if suite.prompt is None or suite.prompt.newest is None:
        return []
    suite.prompt.newest.prompt = suite.prompt
    return list(rendering.blanks_of(suite.prompt.newest.content))


def _initial(case: Case, names: Sequence[str]) -> dict[str, Any]:
    own = {BLANK + name: _written(case.variables[name]) for name in names if name in case.variables}
    rest = [f"{name}: {_written(value)}" for name, value in case.variables.items() if name not in names]
    return {
        "name": case.name,
        "said": case.messages[-1]["content"] if case.messages else "",
        "expected": case.expected,
        "is_required": case.required,
        "repeats": case.repeats,
        "tags": " ".join(case.tags),
        "blanks": "\n".join(rest),
        **own,
        **initial_of(case.checks),
    }


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _pairs(text: str) -> dict[str, str]:
    """Return the blanks of some lines. Raises Invalid for a line without a colon."""
    found = {}
    for line in _lines(text):
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise Invalid.field("blanks", gettext("Each line is a name, a colon and a value."))
        found[name.strip()] = value.strip()
    return found
