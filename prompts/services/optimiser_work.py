"""Working on improvements: one process a run. What a kind of run does is in its own module; here is what all have in common.

The database says what is to be done. Who takes over from a process that died marks its calls as lost, counts what they may
have cost, asks none of them again, and goes through the run from its beginning: answers are found by their keys.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final

from django.db import transaction
from django.db.models import F, Sum
from django.utils import timezone

from promptlab.hooks.services.outbox import emit
from promptlab.lib.errors import DomainError
from promptlab.lib.logs import get_logger
from promptlab.lib.queue import enqueue_on_commit
from prompts.models import OptimiserCall, OptimiserRun
from prompts.models.running import RunState
from prompts.services import searching, suggesting
from prompts.services.optimiser_desk import Desk, SliceOver
from prompts.services.optimising import RUN_TASK
from prompts.services.running import BROKE, Gone, Hold, NoRoom
from prompts.services.suite_caller import Caller

log = get_logger(__name__)
SWEEP_TASK: Final = "prompts.sweep_optimiser_runs"
Kind, State, CallState = OptimiserRun.Kind, OptimiserRun.State, OptimiserCall.State
KINDS: Final[Mapping[str, Callable[[Desk], None]]] = {Kind.SUGGESTION: suggesting.work, Kind.SEARCH: searching.work}
"""What each kind does. It may be called again from its beginning; it ends by returning, or by raising DomainError."""
_working = threading.Lock()
"""One run at a time in a process: the others of its threads have ratings and deployments to look after."""


def work_on(run_id: int) -> None:
    """Work on a run, then on those that wait; nothing when this process does already, or another one on this run."""
    if not _working.acquire(blocking=False):
        return
    try:
        next_id: int | None = run_id
        while next_id is not None:
            _drive(next_id)
            waiting = OptimiserRun.objects.free_at(timezone.now()).exclude(pk=next_id)
            next_id = waiting.order_by("id").values_list("pk", flat=True).first()
    finally:
        _working.release()


def sweep() -> int:
    """Have workers take up what nobody works on, and close what a dead process left of cancelled runs; return how many."""
    now = timezone.now()
    ids = list(OptimiserRun.objects.free_at(now).order_by("id").values_list("pk", flat=True)[:20])
    for pk in ids:
        enqueue_on_commit(RUN_TASK, pk)
    left = OptimiserCall.objects.filter(state=CallState.ASKED, run__lease_until__lt=now)
    left = left.exclude(run__in=OptimiserRun.objects.open())
    for pk in left.order_by().values_list("run_id", flat=True).distinct()[:20]:
        with transaction.atomic():
            lose(pk, CallState.CANCELLED)
    return len(ids)


def _drive(run_id: int) -> None:
    """Take the run's lease and work until it ends, is cancelled, or the slice is over."""
    hold = _take(run_id)
    if hold is None:
        return
    run = OptimiserRun.objects.select_related("version__prompt").get(pk=run_id)
    try:
        with Caller() as caller:
            KINDS[run.kind](Desk(run, hold, caller))
        _end(hold, State.FINISHED)
    except Gone:
        _close_cancelled(hold)
        log.info("optimiser_run_gone", run=run_id)
    except SliceOver:
        _end(hold, State.QUEUED)
    except NoRoom as error:
        _end(hold, State.STOPPED, error.sentence)
    except DomainError as error:
        _end(hold, State.STOPPED, error.detail)
    except Exception:
        log.exception("unexpected", optimiser_run=run_id)
        _end(hold, State.STOPPED, BROKE)


@transaction.atomic
def _take(run_id: int) -> Hold | None:
    """Take the lease of an open run that nobody works on; what the one before left as asked is lost."""
    hold = Hold.take(OptimiserRun.objects.all(), run_id)
    if hold is not None and (lost := lose(run_id, CallState.LOST)):
        log.warning("optimiser_calls_lost", run=run_id, calls=lost)
    return hold


def lose(run_id: int, state: OptimiserCall.State) -> int:
    """End calls that nobody waits for any more: each counts as the most it can have cost."""
    rows = OptimiserCall.objects.filter(run_id=run_id, state=CallState.ASKED)
    most = rows.aggregate(most=Sum("reserved_nanousd"))["most"] or 0
    count = rows.update(state=state, ended_at=timezone.now(), reserved_nanousd=0)
    if count:
        OptimiserRun.objects.filter(pk=run_id).update(
            reserved_nanousd=F("reserved_nanousd") - most, spent_nanousd=F("spent_nanousd") + most
        )
    return count


@transaction.atomic
def _close_cancelled(hold: Hold) -> None:
    """Close the calls of a run that was cancelled while we worked on it."""
    cancelled = hold.mine(State.CANCELLED)
    if cancelled.exists():
        lose(hold.run_id, CallState.CANCELLED)
        cancelled.update(lease="", lease_until=None)


@transaction.atomic
def _end(hold: Hold, state: RunState, reason: str = "") -> None:
    """Give the run back: finished, stopped, or for another worker to go on with; webhooks hear when it is over."""
    if not hold.end(state, reason):
        return
    if state == State.QUEUED:
        enqueue_on_commit(RUN_TASK, hold.run_id)
        return
    lose(hold.run_id, CallState.LOST)
    run = OptimiserRun.objects.select_related("version__prompt__collection").get(pk=hold.run_id)
    prompt = run.version.prompt
    told = {"run": run.pk, "kind": run.kind, "prompt": prompt.name, "version": run.version.number, "state": run.state}
    emit(
        prompt.team_id,
        "optimiser.ended",
        {**told, "actor": run.requested_label},
        about=f"prompts/{prompt.name}",
        is_private=prompt.is_private,
    )
