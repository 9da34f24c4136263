"""What a text is worth on cases of a suite: models answer, checks and judges decide, and what failed is put into words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from promptlab_sdk.kernel.spec import Content

from promptlab import llm
from promptlab.llm.ceiling import worst_case
from prompts import checks, snippets
from prompts.checks import ASKED, JUDGE, Answer, Outcome
from prompts.checks.cases import Case, Check
from prompts.models import OptimiserCall, OptimiserRun
from prompts.services import suggesting
from prompts.services.optimiser_desk import Desk
from prompts.services.suite_calls import Asking, judging

CHARACTERS: Final = 4
"""Of a token, about."""
MOST_SAID: Final = 600
CallState = OptimiserCall.State


@dataclass
class Scored:
    """A case with a text. `score` is the share of checks that passed over all answers; `passed` of `answers` passed all."""

    case: Case
    score: float = 0.0
    passed: int = 0
    answers: int = 0
    undecided: int = 0
    said: list[str] = field(default_factory=list)

    @property
    def is_passed(self) -> bool:
        """More than half of the answers passed, as in a run of the suite."""
        return 2 * self.passed > self.answers


class Scorer:
    """Scores texts for one run. What was asked once is known: the same text on the same case costs nothing again."""

    def __init__(self, desk: Desk, plan: Mapping[str, Any]) -> None:
        self._desk, self._plan = desk, plan
        self._run: OptimiserRun = desk.run
        self._model = self._run.model
        self._judges = judging(plan["judges"])

    def scores(self, content: Content, cases: Sequence[Case]) -> list[Scored]:
        """Return what a text is worth on each case. Raises as `Desk.ask`, and what rendering raises."""
        asking = self._asking(content)
        answers = self._answered(asking, cases)
        verdicts = self._judged(asking, cases, answers)
        return [self._scored(place, case, answers, verdicts) for place, case in enumerate(cases)]

    def price(self, content: Content, cases: Sequence[Case]) -> tuple[int, int]:
        """Return how many calls it would take to score a text at most, and their most in billionths of a dollar."""
        asking, calls, most = self._asking(content), 0, 0
        longest = "x" * (CHARACTERS * 1000)
        for case in cases:
            requests = [asking.answer(case, self._model)]
            requests += [
                asking.verdict(check, case, longest, order)
                for check in case.checks
                for order in range(ASKED.get(check.kind, 0))
            ]
            calls += case.repeats * len(requests)
            most += case.repeats * sum(worst_case(one, self._desk.team_id) or 0 for one in requests)
        return calls, most

    def is_known(self, content: Content, cases: Sequence[Case]) -> bool:
        """Tell whether a text was asked all of these cases already."""
        asking = self._asking(content)
        return all(
            self._desk.is_known(keyed(asking.answer(case, self._model), repeat)[0])
            for case in cases
            for repeat in range(case.repeats)
        )

    def _asking(self, content: Content) -> Asking:
        """Return what makes the questions for a text, with the included texts of the plan in their places."""
        version = suggesting.as_version(self._run.version, content)
        resolved = snippets.resolve_pinned(version, self._plan["snippets"]).content
        return Asking(self._desk.team_id, resolved, self._judges)

    def _answered(self, asking: Asking, cases: Sequence[Case]) -> dict[tuple[int, int], OptimiserCall]:
        wanted = {
            (place, repeat): keyed(asking.answer(case, self._model), repeat)
            for place, case in enumerate(cases)
            for repeat in range(case.repeats)
        }
        return dict(zip(wanted, self._desk.ask_all(list(wanted.values())), strict=True))

    def _judged(
        self, asking: Asking, cases: Sequence[Case], answers: Mapping[tuple[int, int], OptimiserCall]
    ) -> dict[tuple[int, int, int, int], OptimiserCall]:
        wanted = {}
        for (place, repeat), call in answers.items():
            if call.state != CallState.ANSWERED:
                continue
            for number, check in enumerate(cases[place].checks):
                if check.kind in ASKED and _settled(check, call, cases[place]) is None:
                    for order in range(ASKED[check.kind]):
                        asked = asking.verdict(check, cases[place], call.text, order)
                        wanted[place, repeat, number, order] = keyed(asked, 0)
        return dict(zip(wanted, self._desk.ask_all(list(wanted.values())), strict=True))

    def _scored(
        self,
        place: int,
        case: Case,
        answers: Mapping[tuple[int, int], OptimiserCall],
        verdicts: Mapping[tuple[int, int, int, int], OptimiserCall],
    ) -> Scored:
        found = Scored(case, answers=case.repeats)
        for repeat in range(case.repeats):
            call = answers[place, repeat]
            if call.state != CallState.ANSWERED:
                found.undecided += 1
                found.said.append(f"No answer: {call.problem}"[:MOST_SAID])
                continue
            outcomes = [
                self._outcome(case, call, check, [verdicts.get((place, repeat, number, order)) for order in (0, 1)])
                for number, check in enumerate(case.checks)
            ]
            good = sum(one.passed is True for one in outcomes)
            found.score += good / len(outcomes) / case.repeats
            found.passed += good == len(outcomes)
            is_wrong = any(one.passed is False for one in outcomes)
            found.undecided += not is_wrong and good < len(outcomes)
            wrong = [
                f"{check.kind}: {one.detail}"
                for check, one in zip(case.checks, outcomes, strict=True)
                if not one.passed
            ]
            if wrong:
                found.said.append(f"Answer: {call.text[:MOST_SAID]}\nFailed checks: {'; '.join(wrong)[:MOST_SAID]}")
        return found

    def _outcome(
        self, case: Case, call: OptimiserCall, check: Check, judges: Sequence[OptimiserCall | None]
    ) -> Outcome:
        if check.kind not in ASKED:
            return checks.decide(check.kind, check.options, _answer(case, call))
        if (same := _settled(check, call, case)) is not None:
            return same
        said = [one.text if one is not None and one.state == CallState.ANSWERED else "" for one in judges]
        if check.kind == JUDGE:
            return checks.read_verdict(said[0], check.options["least"])
        return checks.read_preferences(said[0], said[1], check.options["least"])


def keyed(request: llm.CompletionRequest, repeat: int) -> tuple[str, llm.CompletionRequest]:
    """Return a question with the key by which it is asked once: all that it says, and which time it is asked."""
    said = [request.purpose, request.model, [(one.role, one.content) for one in request.messages], repeat]
    return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest(), request


def _answer(case: Case, call: OptimiserCall) -> Answer:
    cost = None if call.cost_usd is None else float(call.cost_usd)
    return Answer(call.text, case.expected, call.latency_ms or 0, cost)


def _settled(check: Check, call: OptimiserCall, case: Case) -> Outcome | None:
    return checks.settled(call.text, case.expected, check.options["least"]) if check.kind == checks.PREFERRED else None
