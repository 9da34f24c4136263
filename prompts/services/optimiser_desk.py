"""What a kind of run works with: models that are asked within the run's budget, each question once, whatever breaks.

All database work is done in the thread that works on the run, calls in a loop beside it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from decimal import Decimal
from time import monotonic
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from promptlab import llm
from promptlab.lib.logs import get_logger
from promptlab.llm import pricing
from promptlab.llm.ceiling import worst_case
from prompts.models import OptimiserCall, OptimiserRun
from prompts.services.running import BROKE, SLICE_S, WATCH_S, Gone, Hold, NoRoom, SliceOver
from prompts.services.suite_caller import Caller

log = get_logger(__name__)
CallState = OptimiserCall.State
Wanted = tuple[str, llm.CompletionRequest]
"""(key, question)"""


@dataclass(frozen=True, slots=True)
class _Job:
    row: OptimiserCall
    request: llm.CompletionRequest
    most: int


class Desk:
    """One process's work on one run. What was asked by a key is not asked again: a run that is gone through again, after a
    worker was killed, finds its answers here, so that its calls have to come in the same order with the same keys.
    """

    def __init__(self, run: OptimiserRun, hold: Hold, caller: Caller) -> None:
        self.run = run
        self.team_id = run.version.prompt.team_id
        self._hold, self._caller = hold, caller
        self._known = {row.key: row for row in OptimiserCall.objects.filter(run=run).exclude(key="")}
        self._until = monotonic() + SLICE_S

    def ask(self, key: str, request: llm.CompletionRequest) -> OptimiserCall:
        """Return the call by a key: that of before, or one made now. Raises NoRoom, Gone, SliceOver."""
        return self.ask_all([(key, request)])[0]

    def ask_all(self, wanted: Sequence[Wanted]) -> list[OptimiserCall]:
        """Return the calls in the order of their questions, several of them made at once. Raises as `ask`.

        A call may have no answer: `state` says why. Those under way are waited for before anything but Gone is raised.
        """
        waiting = deque((key, request) for key, request in dict(wanted).items() if key not in self._known)
        jobs: dict[Future[llm.Completion], _Job] = {}
        end: Exception | None = None
        try:
            while waiting or jobs:
                while waiting and end is None and len(jobs) < settings.SUITE_CALLS_AT_ONCE:
                    end = self._begin(waiting, jobs)
                if not jobs:
                    break
                done, _ = wait(jobs, timeout=WATCH_S, return_when=FIRST_COMPLETED)
                for one in done:
                    self._settle(jobs.pop(one), one)
                self._hold.look()
        except BaseException:
            for one in jobs:
                one.cancel()
            raise
        if end is not None:
            raise end
        return [self._known[key] for key, _ in wanted]

    def is_known(self, key: str) -> bool:
        """Tell whether something was asked by this key already."""
        return key in self._known

    def progress(self, done: int, total: int | None = None, **found: Any) -> None:
        """Say how far the run is, and what it has come to so far. Raises Gone."""
        said = {"done": done, **({"total": total} if total is not None else {}), **({"found": found} if found else {})}
        if not self._hold.mine().update(**said):
            raise Gone

    def _begin(self, waiting: deque[Wanted], jobs: dict[Future[llm.Completion], _Job]) -> Exception | None:
        """Ask the next question; return why that cannot be, if it cannot."""
        if monotonic() > self._until:
            return SliceOver()
        key, request = waiting.popleft()
        most = worst_case(request, self.team_id) or 0
        try:
            with transaction.atomic():
                self._hold.pay(most)
                row = OptimiserCall.objects.create(
                    run=self.run, key=key, model=request.model[:100], reserved_nanousd=most
                )
        except NoRoom as error:
            return error
        jobs[self._caller.call(request)] = _Job(row, request, most)
        return None

    def _settle(self, job: _Job, future: Future[llm.Completion]) -> None:
        """Write what a call came to, with what it cost, in one transaction. Raises Gone."""
        changes, cost = self._ended(job, future)
        row = job.row
        for name, value in {**changes, "cost_usd": cost, "reserved_nanousd": 0, "ended_at": timezone.now()}.items():
            setattr(row, name, value)
        with transaction.atomic():
            if not OptimiserCall.objects.filter(pk=row.pk, state=CallState.ASKED).exists():
                raise Gone
            self._hold.settle(job.most, cost)
            row.save()
        self._known[row.key] = row

    def _ended(self, job: _Job, future: Future[llm.Completion]) -> tuple[dict[str, Any], Decimal | None]:
        """Return what a call came to, and what it cost; None: nobody knows."""
        try:
            said = future.result()
        except llm.LLMError as error:
            problem = f"{error.code}: {error.detail}"[:300]
            return {"state": CallState.ERROR, "problem": problem}, None if error.partial else Decimal(0)
        except Exception:
            log.exception("unexpected", optimiser_call=job.row.pk)
            return {"state": CallState.ERROR, "problem": BROKE}, None
        usage, now, asked = said.usage, timezone.now(), job.request.model
        priced = pricing.price(self.team_id, said.provider, said.model, usage, now, asked=asked)
        changes = {
            "state": CallState.ANSWERED,
            "text": said.text,
            "is_cut_off": said.finish_reason == llm.FinishReason.LENGTH,
            "latency_ms": said.latency_ms,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
        }
        return changes, priced.cost_usd
