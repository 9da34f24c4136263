"""Improvements of all kinds: beginning them, cancelling them, and going on with them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from promptlab.accounts.access import Principal, require
from promptlab.audit.recorder import record
from promptlab.lib.queue import enqueue_on_commit
from prompts.errors import RunOver, TooManyRuns
from prompts.models import OptimiserCall, OptimiserRun
from prompts.services.running import budget_of

RUN_TASK: Final = "prompts.run_optimiser"
MAX_OPEN: Final = 20
State, CallState = OptimiserRun.State, OptimiserCall.State


def begin(run: OptimiserRun, by: Principal, *, budget_usd: Decimal | None = None) -> OptimiserRun:
    """Save a run that a kind has prepared, and have a worker begin. Raises TooManyRuns, Invalid naming `budget_usd`."""
    prompt = run.version.prompt
    if OptimiserRun.objects.open().filter(version__prompt__team_id=prompt.team_id).count() >= MAX_OPEN:
        raise TooManyRuns(open=MAX_OPEN)
    run.budget_nanousd = budget_of(settings.OPTIMISER_BUDGET_USD if budget_usd is None else budget_usd)
    run.requested_by_id, run.requested_label = by.user_id, by.label[:200]
    with transaction.atomic():
        run.save()
        after = {"goal": run.goal or run.kind, "model": run.model, "budget_usd": str(run.budget_usd)}
        _record(by, "optimiser.requested", run, after=after)
        enqueue_on_commit(RUN_TASK, run.pk)
    return run


def cancel_improvement(actor: Principal, run: OptimiserRun) -> OptimiserRun:
    """End a run; what is being asked is broken off within two seconds. Cancelled already: changes nothing. Raises RunOver."""
    require(actor, "prompt.write", run.version.prompt.team_id)
    with transaction.atomic():
        locked = _locked(run)
        if locked.is_open:
            locked.state, locked.ended_at, locked.reason = State.CANCELLED, timezone.now(), ""
            locked.save(update_fields=["state", "ended_at", "reason"])
            _record(actor, "optimiser.cancelled", locked)
        elif locked.state != State.CANCELLED:
            raise RunOver(state=locked.get_state_display())
    return locked


def resume_improvement(actor: Principal, run: OptimiserRun, *, budget_usd: Decimal | None = None) -> OptimiserRun:
    """Go on with a run that stopped: what got no answer, or was lost, is asked again; it may cost more from then on.

    A run that waits or runs is left alone. Raises RunOver for one that is finished or was cancelled, Invalid.
    """
    require(actor, "prompt.write", run.version.prompt.team_id)
    with transaction.atomic():
        locked = _locked(run)
        if locked.is_open:
            return locked
        if locked.state != State.STOPPED:
            raise RunOver(state=locked.get_state_display())
        again = OptimiserCall.objects.filter(run=locked, state__in=(CallState.ERROR, CallState.LOST)).exclude(key="")
        calls = again.update(key="")
        locked.state, locked.ended_at, locked.reason = State.QUEUED, None, ""
        locked.max_calls = F("max_calls") + calls
        if budget_usd is not None:
            locked.budget_nanousd = budget_of(budget_usd)
        locked.save(update_fields=["state", "ended_at", "reason", "max_calls", "budget_nanousd"])
        locked.refresh_from_db(fields=["max_calls"])
        _record(actor, "optimiser.resumed", locked, after={"calls": calls, "budget_usd": str(locked.budget_usd)})
        enqueue_on_commit(RUN_TASK, locked.pk)
    return locked


def _locked(run: OptimiserRun) -> OptimiserRun:
    rows = OptimiserRun.objects.select_related("version__prompt").select_for_update(of=("self",))
    locked: OptimiserRun = rows.get(pk=run.pk)
    return locked


def _record(actor: Principal, verb: str, run: OptimiserRun, **facts: Any) -> None:
    record(actor, verb, run, team_id=run.version.prompt.team_id, **facts)
