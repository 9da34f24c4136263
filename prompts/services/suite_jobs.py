"""One answer of a run of a test suite, from the call that brings it to what its checks and judges say. No tables here."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from django.utils import timezone

from promptlab import llm
from promptlab.lib.logs import get_logger
from promptlab.llm import pricing
from prompts import checks
from prompts.checks import ASKED, JUDGE, PREFERRED, Answer, Outcome, preferring
from prompts.checks.cases import Case
from prompts.models import SuiteResult
from prompts.services.running import BROKE

log = get_logger(__name__)
Row = SuiteResult.State


@dataclass
class Job:
    """A row that is being asked: first its model, then the judges one after the other. `most` is for the call under way."""

    row: SuiteResult
    case: Case
    provider: str
    request: llm.CompletionRequest
    most: int | None
    answer: Answer | None = None
    outcomes: list[tuple[str, Outcome]] = field(default_factory=list)
    to_judge: deque[tuple[int, int]] = field(default_factory=deque)
    judged: list[str] = field(default_factory=list)
    cost_usd: Decimal | None = Decimal(0)
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def is_judged(self) -> bool:
        """Tell whether no judge is left to be asked."""
        return not self.to_judge or "state" in self.changes

    def end(self, team_id: int, future: Future[llm.Completion]) -> Decimal | None:
        """Note what the call came to, and return what it cost; None: nobody knows."""
        try:
            completion = future.result()
        except llm.LLMError as error:
            self.refuse(f"{error.code}: {error.detail}")
            if error.partial:
                self.cost_usd = None
            return None if error.partial else Decimal(0)
        except Exception:
            log.exception("unexpected", suite_result=self.row.pk)
            self.refuse(BROKE)
            self.cost_usd = None
            return None
        cost_usd = self._paid(team_id, completion)
        if self.answer is None:
            self._decide(completion, cost_usd)
        else:
            self._judge(completion.text)
        return cost_usd

    def refuse(self, problem: str) -> None:
        """Note that there is no answer, or no verdict on it."""
        self.changes |= {"state": Row.ERROR, "problem": problem[:300]}

    def ended(self) -> dict[str, Any]:
        """Return what becomes of the row when nobody is left to ask."""
        outcomes = [{"check": kind, **asdict(outcome)} for kind, outcome in self.outcomes]
        ended = {"outcomes": outcomes, "cost_usd": self.cost_usd, "ended_at": timezone.now(), "reserved_nanousd": 0}
        return {**ended, **({} if "state" in self.changes else self._verdict()), **self.changes}

    def _paid(self, team_id: int, completion: llm.Completion) -> Decimal | None:
        """Add what a call cost to what the row costs, and return it."""
        now, asked = timezone.now(), self.request.model
        cost = pricing.price(
            team_id, completion.provider, completion.model, completion.usage, now, asked=asked
        ).cost_usd
        self.cost_usd = None if cost is None or self.cost_usd is None else self.cost_usd + cost
        return cost

    def _decide(self, completion: llm.Completion, cost_usd: Decimal | None) -> None:
        """Hold an answer against every check but the judges."""
        usage = completion.usage
        self.changes = {
            "text": completion.text,
            "latency_ms": completion.latency_ms,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
        }
        cost = None if cost_usd is None else float(cost_usd)
        self.answer = Answer(completion.text, self.case.expected, completion.latency_ms, cost)
        for place, check in enumerate(self.case.checks):
            same = check.kind == PREFERRED and preferring.settled(
                self.answer.text, self.case.expected, check.options["least"]
            )
            if same:
                self.outcomes.append((check.kind, same))
            elif check.kind in ASKED:
                self.to_judge += [(place, order) for order in range(ASKED[check.kind])]
            else:
                self.outcomes.append((check.kind, checks.decide(check.kind, check.options, self.answer)))

    def _judge(self, said: str) -> None:
        """Note what a judge said; of two answers it says it in both orders, and only then it counts."""
        place, order = self.to_judge.popleft()
        check = self.case.checks[place]
        self.judged.append(said)
        if check.kind == JUDGE:
            self.outcomes.append((check.kind, checks.read_verdict(said, check.options["least"])))
        elif order:
            first, second = self.judged[-2:]
            self.outcomes.append((check.kind, checks.read_preferences(first, second, check.options["least"])))

    def _verdict(self) -> dict[str, Any]:
        """Return what the row comes to: one check that fails is enough, else one that could not be decided."""
        undecided = next((outcome for _, outcome in self.outcomes if outcome.passed is None), None)
        if any(outcome.passed is False for _, outcome in self.outcomes):
            return {"state": Row.FAILED}
        if undecided is not None:
            return {"state": Row.ERROR, "problem": undecided.detail[:300]}
        return {"state": Row.PASSED}
