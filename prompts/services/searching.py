"""Search: a prompt evolves against a test suite within a budget, and a part of the cases is held out to tell what it is worth.

What is found waits as suggestions, as those of a goal do: a person takes one, or none. Nothing is saved or goes live here.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django.conf import settings
from promptlab_sdk.kernel.spec import Content

from promptlab import llm
from promptlab.accounts.access import Principal, require
from promptlab.lib.errors import DomainError, Invalid
from promptlab.llm.ceiling import worst_case
from promptlab.llm.routes import masks_of, routes_for
from prompts import checks, meta_prompts, snippets
from prompts.checks.cases import Case
from prompts.errors import PromptArchived, SuiteNotReady
from prompts.models import OptimiserCall, OptimiserRun, Suggestion, Suite, Version
from prompts.models.running import NANO
from prompts.services import optimising, suggesting
from prompts.services.environments import named
from prompts.services.evolution import Enough, Evolution, Texts, Tried, front
from prompts.services.optimiser_desk import Desk
from prompts.services.running import NoRoom, budget_of
from prompts.services.scoring import Scored, Scorer, keyed
from prompts.services.suggesting import Estimate
from prompts.services.suite_runs import USUAL_ENVIRONMENT, calls_to, check_plan, judges_now
from prompts.services.suites import plan_of

LEAST_CASES: Final = 4
MOST_CALLS: Final = 20_000
MOST_PROPOSALS: Final = 200
MOST_COMMENTS: Final = 20
MOST_KEPT: Final = 5
"""Texts of the Pareto front that are kept to choose from."""
ATTEMPTS: Final = 2
PROMPT: Final = "prompt"
INSTRUCTION: Final = """\
Make the model that follows this text pass more of the checks of its test suite. Below are some questions, what the model \
answered by the text as it is, and which checks failed. Learn from the failing checks what an answer has to do, and write \
that into the text as instructions that hold for questions of this kind. Write down facts and rules, not answers to these \
questions: others will be asked. Keep what already works.

{cases}{comments}"""
CallState = OptimiserCall.State


@dataclass(frozen=True, slots=True)
class SearchWanted:
    """What to search. `model` answers (else the version's own), `by` proposes texts (else the same one).

    `held_out`: the share of the cases that is not searched. `max_calls` and `budget_usd` bound everything together.
    `comments`: what people said of answers, in words without names; the caller has seen to that.
    """

    version: Version
    suite: Suite
    model: str = ""
    by: str = ""
    held_out: float = 0.34
    max_calls: int = 400
    proposals: int = 30
    seed: int = 0
    comments: Sequence[str] = ()
    budget_usd: Decimal | None = None
    note: str = ""


def request_search(actor: Principal, wanted: SearchWanted) -> OptimiserRun:
    """Have a prompt evolve against a suite. Nothing is saved of what is found until somebody takes it.

    Raises SuiteNotReady, Invalid naming the field, PromptArchived, TooManyRuns, ModelOff, ProviderNotReady.
    """
    require(actor, "prompt.write", wanted.version.prompt.team_id)
    return optimising.begin(_prepared(wanted), actor, budget_usd=wanted.budget_usd)


def estimate_search(actor: Principal, wanted: SearchWanted) -> Estimate:
    """Return what a search would be at most, without asking for it. Raises as `request_search`.

    Its calls and its money are bounded whatever it proposes, so that these two are what it can come to.
    """
    require(actor, "prompt.write", wanted.version.prompt.team_id)
    run = _prepared(wanted)
    budget = settings.OPTIMISER_BUDGET_USD if wanted.budget_usd is None else wanted.budget_usd
    return Estimate(run.max_calls, Decimal(budget_of(budget)) / NANO)


def work(desk: Desk) -> None:
    """Search, score the start and the winner on what was held out, and write down the front."""
    search = _Search(desk)
    tried = search.evolution.run(search.texts(desk.run.version.content))
    if not tried:
        raise NoRoom
    search.write(tried)


class _Search:
    """One search, worked on at a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._plan = desk, desk.run.plan
        self._source = desk.run.version.content
        self._parts = suggesting.parts_of(self._source)
        self._tag = meta_prompts.tag_for(self._parts)
        self._scorer = Scorer(desk, self._plan)
        self._cases = [Case.from_json(one) for one in self._plan["search"]]
        self._held_out = [Case.from_json(one) for one in self._plan["held_out"]]
        self._proposed = 0
        self.evolution = Evolution(
            self._cases, self._score, self._propose, self._tell, self._plan["proposals"], self._plan["seed"]
        )

    def texts(self, content: Content) -> Texts:
        """Return what is evolved of a content: its parts, as a model is shown them."""
        return {PROMPT: meta_prompts.written(suggesting.parts_of(content), self._tag)}

    def content(self, texts: Texts) -> Content:
        """Return the content that texts stand for."""
        said = meta_prompts.read(texts[PROMPT], self._tag, len(self._parts))
        assert said is not None, "Only what was read is proposed."
        return suggesting.with_parts(self._source, said.parts)

    def write(self, tried: Sequence[Tried]) -> None:
        """Keep the front as suggestions, the winner first, with what it is worth on the cases that were held out."""
        kept = sorted(front(tried), key=lambda place: (-tried[place].score, place))
        winner = kept[0]
        before = self._scorer.scores(self._source, self._held_out)
        after = before if winner == 0 else self._scorer.scores(self.content(tried[winner].texts), self._held_out)
        found: dict[str, Any] = {
            "ended": self.evolution.ended,
            "tried": len(tried),
            "start": self._facts(tried[0], before),
            "winner": self._facts(tried[winner], after),
            "is_start_best": winner == 0,
        }
        for place, index in enumerate([one for one in kept if one != 0][:MOST_KEPT], 1):
            content = self.content(tried[index].texts)
            row = {
                "model": self._plan["by"],
                "text": content.text,
                "messages": [part.to_dict() for part in content.messages],
                "facts": self._facts(tried[index], after if index == winner else None),
                "state": Suggestion.State.PROPOSED,
            }
            Suggestion.objects.get_or_create(run=self._desk.run, place=place, defaults=row)
        self._desk.progress(min(self._proposed, self._plan["proposals"]), **found)

    def _facts(self, one: Tried, held_out: Sequence[Scored] | None) -> dict[str, Any]:
        facts: dict[str, Any] = {"score": round(one.score, 4), "passed": one.passed, "of": len(one.scores)}
        if held_out is not None:
            passed = sum(case.is_passed for case in held_out)
            low, high = checks.wilson(passed, len(held_out))
            facts |= {
                "held_out_passed": passed,
                "held_out_of": len(held_out),
                "low": round(low, 4),
                "high": round(high, 4),
            }
        return facts

    def _score(self, texts: Texts, places: Sequence[int]) -> list[Scored]:
        """Score a text; one that cannot be asked is worth nothing. Raises Enough when the rest is for the held out."""
        content, cases = self.content(texts), [self._cases[place] for place in places]
        try:
            if not self._scorer.is_known(content, cases):
                self._keep_rest(content, *self._scorer.price(content, cases))
            return self._scorer.scores(content, cases)
        except DomainError as error:
            return [Scored(case, answers=case.repeats, said=[error.detail]) for case in cases]

    def _keep_rest(self, content: Content, calls: int, nano: int) -> None:
        """Raise Enough when these calls would take what is left for scoring the start and the winner at the end."""
        held_calls, held_nano = self._scorer.price(content, self._held_out)
        run = OptimiserRun.objects.get(pk=self._desk.run.pk)
        left = run.budget_nanousd - run.spent_nanousd - run.reserved_nanousd
        if run.calls + calls + 2 * held_calls > run.max_calls or nano + 2 * held_nano > left:
            raise Enough

    def _propose(self, texts: Texts, name: str, scored: Sequence[Scored]) -> str:
        """Return a better text, or the same one when the model does not come to any that can be used."""
        self._proposed += 1
        content = self.content(texts)
        messages = self._question(content, scored)
        for _attempt in range(ATTEMPTS):
            request = _request(self._desk.team_id, messages, self._plan["by"])
            key, _ = keyed(request, self._proposed)
            if not self._desk.is_known(key):
                self._keep_rest(content, 1, worst_case(request, self._desk.team_id) or 0)
            call = self._desk.ask(key, request)
            problem = self._problem(call)
            if not problem:
                said = meta_prompts.read(call.text, self._tag, len(self._parts))
                assert said is not None
                return meta_prompts.written(said.parts, self._tag)
            messages = [
                *messages,
                llm.ChatMessage("assistant", call.text),
                llm.ChatMessage("user", meta_prompts.NOT_GOOD.format(problem=problem)),
            ]
        return texts[name]

    def _problem(self, call: OptimiserCall) -> str:
        """Return why an answer cannot be used: it is none, has another form, or other placeholders."""
        if call.state != CallState.ANSWERED or call.is_cut_off:
            return "There is no whole answer."
        said = meta_prompts.read(call.text, self._tag, len(self._parts))
        if said is None:
            return "It does not have the form that was asked for."
        content = suggesting.with_parts(self._source, said.parts)
        try:
            suggesting.checked(content)
            return suggesting.difference(self._source, content).sentence
        except DomainError as error:
            return error.detail

    def _question(self, content: Content, scored: Sequence[Scored]) -> list[llm.ChatMessage]:
        comments = [f"- {one}" for one in self._plan["comments"]]
        instruction = INSTRUCTION.format(
            cases="\n\n".join(_told(number, one) for number, one in enumerate(scored, 1)),
            comments="\n\nWhat people said of other answers:\n" + "\n".join(comments) if comments else "",
        )
        placeholders = [suggesting.braced(one) for one in suggesting.placeholders(self._source)]
        parts = suggesting.parts_of(content)
        return [
            llm.ChatMessage("system", meta_prompts.framed(instruction, placeholders, self._tag)),
            llm.ChatMessage("user", meta_prompts.written(parts, self._tag)),
        ]

    def _tell(self, tried: Sequence[Tried]) -> None:
        shown = [{"score": round(one.score, 4), "passed": one.passed} for one in tried]
        self._desk.progress(min(self._proposed, self._plan["proposals"]), self._plan["proposals"], tried=shown)


def _told(number: int, one: Scored) -> str:
    """Return a scored case as a model is told it."""
    asked = json.dumps([dict(one.case.variables), list(one.case.messages)], ensure_ascii=False)
    said = "\n".join(one.said) or "All checks passed."
    expected = f"\nA good answer: {one.case.expected}" if one.case.expected else ""
    return f"{number}. Asked: {asked}\n{said}{expected}"


def _request(team_id: int, messages: Sequence[llm.ChatMessage], model: str) -> llm.CompletionRequest:
    longest = max(settings.BUDGET_MAX_TOKENS, sum(len(one.content) for one in messages[1:2]) // 2)
    return llm.CompletionRequest(
        messages=list(messages),
        model=model,
        parameters={"max_tokens": longest},
        purpose=suggesting.PURPOSE,
        routes=routes_for(team_id, model),
        masks=masks_of(team_id),
    )


def _prepared(wanted: SearchWanted) -> OptimiserRun:
    version, suite = wanted.version, wanted.suite
    prompt = version.prompt
    if prompt.archived_at is not None:
        raise PromptArchived(prompt=prompt.title)
    if suite.team_id != prompt.team_id or suite.prompt_id not in (None, prompt.pk):
        raise Invalid.field("suite", f"{suite.name} is for another prompt.")
    _check_bounds(wanted)
    resolved = snippets.resolve(version, named(prompt.team_id, USUAL_ENVIRONMENT))
    cases = plan_of(suite)
    check_plan(suite, cases, resolved.content, 1)
    if len(cases) < LEAST_CASES:
        raise SuiteNotReady(suite=suite.name, problem=f"a search takes at least {LEAST_CASES} cases.")
    model = _model(prompt.team_id, wanted.model or version.model)
    by = _model(prompt.team_id, wanted.by or model)
    searched, held_out = split(cases, wanted.held_out, wanted.seed)
    if wanted.max_calls < (least := _calls(searched) + 2 * _calls(held_out)):
        raise Invalid.field("max_calls", f"The version alone takes {least} calls.", code="out_of_range")
    return OptimiserRun(
        kind=OptimiserRun.Kind.SEARCH,
        version=version,
        model=model,
        total=wanted.proposals,
        max_calls=wanted.max_calls,
        note=wanted.note[:300],
        plan={
            "suite": suite.name,
            "suite_id": suite.pk,
            "suite_revision": suite.revision,
            "search": [case.to_dict() for case in searched],
            "held_out": [case.to_dict() for case in held_out],
            "snippets": resolved.ids,
            "judges": judges_now(cases, prompt.team_id),
            "by": by,
            "proposals": wanted.proposals,
            "seed": wanted.seed,
            "comments": [one[:500] for one in wanted.comments][:MOST_COMMENTS],
        },
    )


def split(cases: Sequence[Case], held_out: float, seed: int) -> tuple[list[Case], list[Case]]:
    """Return the cases that are searched and those that are held out, each in the order of the suite; by chance, and the
    same for the same seed."""
    places = list(range(len(cases)))
    held = min(max(1, round(len(cases) * held_out)), len(cases) - 2)
    chosen = set(random.Random(seed).sample(places, held))
    return [cases[n] for n in places if n not in chosen], [cases[n] for n in places if n in chosen]


def _calls(cases: Sequence[Case]) -> int:
    return sum(calls_to(case) * case.repeats for case in cases)


def _check_bounds(wanted: SearchWanted) -> None:
    for name, value, least, most in (
        ("max_calls", wanted.max_calls, 1, MOST_CALLS),
        ("proposals", wanted.proposals, 1, MOST_PROPOSALS),
        ("held_out", wanted.held_out, 0.1, 0.9),
    ):
        if not least <= value <= most:
            raise Invalid.field(name, f"From {least} to {most}.", code="out_of_range")


def _model(team_id: int, name: str) -> str:
    """Return a model's name. Raises Invalid, and what forbids calling it."""
    found = llm.resolve(name).name
    if len(found) > 100:
        raise Invalid.field("model", "A model's name has at most 100 characters.")
    routes_for(team_id, found)
    return found
