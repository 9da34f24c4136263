"""Forms of improvements: what to ask a model for, and what becomes of the text that it suggests."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseForm
from promptlab.lib.errors import FieldProblem
from promptlab.llm.offering import offers
from prompts import rendering
from prompts.meta_prompts import GOALS
from prompts.models import Suggestion, Version
from prompts.services.pairing import MAX_SAID as MAX_ASKED
from prompts.services.pairing import PairWanted
from prompts.services.suggesting import MAX_SAID, Wanted, content_from, parts_of

PART = "part_"
BLANK = "blank_"
MORE_ROWS = 2
MOST_ROWS = 30


class OptimiseForm(HouseForm):
    """In which way the text should become better, by which model, and what that may cost."""

    named: Mapping[str, str] = {"budget_usd": "budget", "unknown_goal": "goal", "goal_not_ready": "goal"}
    goal = forms.ChoiceField(
        label=_("It should become"),
        choices=[(goal.key, goal.title) for goal in GOALS.values()],
        widget=forms.RadioSelect,
        initial="clearer",
    )
    said = forms.CharField(
        label=_("The language, or your own instruction"),
        required=False,
        max_length=MAX_SAID,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Only where you chose one of these two."),
    )
    model = forms.ChoiceField(label=_("Model"))
    budget = forms.DecimalField(
        label=_("It may cost at most, in dollars"), min_value=0, max_value=1_000_000, max_digits=12, decimal_places=4
    )

    def __init__(self, *args: Any, version: Version, **kwargs: Any) -> None:
        known = [one.name for one in offers(version.prompt.team_id)]
        own = version.model if version.model in known else settings.LLM_DEFAULT_MODEL
        kwargs["initial"] = {"budget": settings.OPTIMISER_BUDGET_USD, "model": own}
        super().__init__(*args, **kwargs)
        fields: dict[str, Any] = self.fields
        fields["model"].choices = [(name, name) for name in known]
        self.version = version

    def wanted(self) -> Wanted:
        """Return what is asked for."""
        filled = self.cleaned_data
        budget: Decimal = filled["budget"]
        return Wanted(self.version, filled["goal"], filled["said"], filled["model"], budget)


class EditedForm(HouseForm):
    """A suggested text, to be edited: one area for each text of the prompt. `typed` stands there instead, where it is sent."""

    def __init__(
        self, *args: Any, suggestion: Suggestion, typed: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.content = content_from(suggestion)
        texts = parts_of(self.content)
        self.parts = [f"{PART}{number}" for number in range(1, len(texts) + 1)]
        for name, suggested in zip(self.parts, texts, strict=True):
            text = str((typed or {}).get(name, suggested))
            rows = min(MOST_ROWS, text.count("\n") + len(text) // 80 + MORE_ROWS)
            self.fields[name] = forms.CharField(
                label=_("Suggested text – you can edit it"),
                initial=text,
                strip=False,
                widget=forms.Textarea(attrs={"rows": rows, "class": "mono"}),
            )

    def edited(self) -> dict[str, Any]:
        """Return the text as it is now, as services take it."""
        texts = [_plain(self.cleaned_data[name]) for name in self.parts]
        if self.content.type != "chat":
            return {"text": texts[0]}
        return {"messages": [{"content": text} for text in texts]}

    def field_of(self, problem: FieldProblem) -> str | None:
        return super().field_of(problem) or (self.parts[0] if problem.field in ("content", "messages") else None)


class DecideForm(EditedForm):
    """What becomes of a suggested text."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["message"] = forms.CharField(
            label=_("What changed and why"),
            required=False,
            max_length=500,
            help_text=_("Empty: which model suggested it, for which goal, and how much of it you edited."),
        )
        if "may_differ" in self.data:
            self.ask_whether_they_may()

    def ask_whether_they_may(self) -> None:
        """Ask whether the placeholders may be others than before."""
        self.fields["may_differ"] = forms.BooleanField(
            label=_("Yes, the placeholders may be others than before"), required=False
        )

    def said(self) -> dict[str, Any]:
        """Return what is to be saved, for `accept_suggestion`."""
        return {
            "message": self.cleaned_data["message"],
            "with_other_placeholders": self.cleaned_data.get("may_differ", False),
            **self.edited(),
        }


class PairForm(EditedForm):
    """What both texts are asked, by which model, and what that may cost."""

    named: Mapping[str, str] = {"budget_usd": "budget"}

    def __init__(self, *args: Any, suggestion: Suggestion, **kwargs: Any) -> None:
        super().__init__(*args, suggestion=suggestion, **kwargs)
        version = suggestion.run.version
        self.blanks = rendering.blanks_of(version.content)
        for name in self.blanks:
            self.fields[BLANK + name] = forms.CharField(
                label=gettext("Blank: %(name)s") % {"name": name},
                required=False,
                strip=False,
                widget=forms.Textarea(attrs={"rows": 1}),
            )
        self.fields["said"] = forms.CharField(
            label=_("What a user says"), required=False, max_length=MAX_ASKED, widget=forms.Textarea(attrs={"rows": 2})
        )
        known = [one.name for one in offers(version.prompt.team_id)]
        self.fields["model"] = forms.ChoiceField(
            label=_("Model"),
            choices=[(name, name) for name in known],
            initial=version.model if version.model in known else settings.LLM_DEFAULT_MODEL,
        )
        self.fields["budget"] = forms.DecimalField(
            label=_("It may cost at most, in dollars"),
            min_value=0,
            max_value=1_000_000,
            max_digits=12,
            decimal_places=4,
            initial=settings.OPTIMISER_BUDGET_USD,
        )
        self.order_fields([*(BLANK + name for name in self.blanks), "said", "model", "budget", *self.parts])

    def wanted(self, suggestion: Suggestion) -> PairWanted:
        """Return what is to be asked."""
        filled = self.cleaned_data
        variables = {name: _plain(filled[BLANK + name]) for name in self.blanks if filled[BLANK + name] != ""}
        asked = {"said": _plain(filled["said"]), "model": filled["model"], "budget_usd": filled["budget"]}
        return PairWanted(suggestion, variables, **asked, **self.edited())

    def field_of(self, problem: FieldProblem) -> str | None:
        name = BLANK + problem.field.removeprefix("variables.")
        return name if name in self.fields else super().field_of(problem)


def _plain(text: str) -> str:
    """Return a text with the line ends that it had before a browser sent it."""
    return text.replace("\r\n", "\n")
