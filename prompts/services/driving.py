"""Driving runs: one process a run, whatever breaks. What a kind of run asks is its own; here is what all have in common.

The database says what is to be done. A row says `asked` before its call, and money is reserved with it, in one transaction;
who takes over from a process that died marks such rows as lost, counts what they may have cost, and asks none of them again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import transaction
from django.db.models import F, QuerySet, Sum
from django.utils import timezone

from promptlab.lib.errors import DomainError
from promptlab.lib.logs import get_logger
from promptlab.lib.queue import enqueue_on_commit
from prompts.models.running import RunState
from prompts.services.running import BROKE, Gone, Hold, NoRoom, SliceOver
from prompts.services.suite_caller import Caller

log = get_logger(__name__)
ASKED: Final = "asked"
LOST: Final = "lost"
CANCELLED: Final = "cancelled"
MOST_SWEPT: Final = 20


@dataclass
class Driver:
    """Works on the runs of one table, whose calls are rows of another one.

    `work` is called with the hold on a run, maybe again from the beginning; it ends by returning, or by raising NoRoom,
    SliceOver, Gone or DomainError. `tell` is called in the transaction that ends a run.
    """

    runs: Callable[[], Any]
    rows: Callable[[], QuerySet[Any]]
    task: str
    work: Callable[[Hold, Caller], None]
    tell: Callable[[int], None]
    _working: threading.Lock = field(default_factory=threading.Lock)
    """One run at a time in a process: the others of its threads have ratings and deployments to look after."""

    def work_on(self, run_id: int) -> None:
        """Work on a run, then on those that wait; nothing when this process does already, or another one on this run."""
        if not self._working.acquire(blocking=False):
            return
        try:
            next_id: int | None = run_id
            while next_id is not None:
                self._drive(next_id)
                waiting = self.runs().free_at(timezone.now()).exclude(pk=next_id)
                next_id = waiting.order_by("id").values_list("pk", flat=True).first()
        finally:
            self._working.release()

    def sweep(self) -> int:
        """Have workers take up what nobody works on, and close what a dead process left of cancelled runs; return how many."""
        now = timezone.now()
        ids = list(self.runs().free_at(now).order_by("id").values_list("pk", flat=True)[:MOST_SWEPT])
        for pk in ids:
            enqueue_on_commit(self.task, pk)
        left = self.rows().filter(state=ASKED, run__lease_until__lt=now).exclude(run__in=self.runs().open())
        for pk in left.order_by().values_list("run_id", flat=True).distinct()[:MOST_SWEPT]:
            with transaction.atomic():
                self._lose(pk, CANCELLED)
        return len(ids)

    def _drive(self, run_id: int) -> None:
        """Take the run's lease and work until it ends, is cancelled, or the slice is over."""
        hold = self._take(run_id)
        if hold is None:
            return
        try:
            with Caller() as caller:
                self.work(hold, caller)
            self._end(hold, RunState.FINISHED)
        except Gone:
            self._close_cancelled(hold)
            log.info("run_gone", task=self.task, run=run_id)
        except SliceOver:
            self._end(hold, RunState.QUEUED)
        except NoRoom as error:
            self._end(hold, RunState.STOPPED, error.sentence)
        except DomainError as error:
            self._end(hold, RunState.STOPPED, error.detail)
        except Exception:
            log.exception("unexpected", task=self.task, run=run_id)
            self._end(hold, RunState.STOPPED, BROKE)

    @transaction.atomic
    def _take(self, run_id: int) -> Hold | None:
        """Take the lease of an open run that nobody works on; what the one before left as asked is lost."""
        hold = Hold.take(self.runs(), run_id)
        if hold is not None and (lost := self._lose(run_id, LOST)):
            log.warning("calls_lost", task=self.task, run=run_id, calls=lost)
        return hold

    def _lose(self, run_id: int, state: str) -> int:
        """End calls that nobody waits for any more: each counts as the most it can have cost."""
        rows = self.rows().filter(run_id=run_id, state=ASKED)
        most = rows.aggregate(most=Sum("reserved_nanousd"))["most"] or 0
        count = rows.update(state=state, ended_at=timezone.now(), reserved_nanousd=0)
        if count:
            counted = {"reserved_nanousd": F("reserved_nanousd") - most, "spent_nanousd": F("spent_nanousd") + most}
            self.runs().filter(pk=run_id).update(**counted)
        return count

    @transaction.atomic
    def _close_cancelled(self, hold: Hold) -> None:
        """Close the calls of a run that was cancelled while we worked on it."""
        cancelled = hold.mine(RunState.CANCELLED)
        if cancelled.exists():
            self._lose(hold.run_id, CANCELLED)
            cancelled.update(lease="", lease_until=None)

    @transaction.atomic
    def _end(self, hold: Hold, state: RunState, reason: str = "") -> None:
        """Give the run back: finished, stopped, or for another worker to go on with."""
        if not hold.end(state, reason):
            return
        if state == RunState.QUEUED:
            enqueue_on_commit(self.task, hold.run_id)
            return
        self._lose(hold.run_id, LOST)
        self.tell(hold.run_id)
