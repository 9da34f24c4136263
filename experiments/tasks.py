"""What workers do for experiments. Each may run twice, and late."""

from __future__ import annotations

from celery import shared_task

from experiments.services import analysis, looking, pausing, ramping, reconciling, rollups


@shared_task(name=analysis.ANALYSE_TASK)
def analyse() -> None:
    """Compute what may be said of every experiment whose sums changed."""
    analysis.analyse_all()


@shared_task(name=ramping.TICK_TASK)
def tick_ramps() -> None:
    """Let every gradual launch take the step that is due, and the guard look at every experiment."""
    ramping.tick_all()
    pausing.check_all()


@shared_task(name=reconciling.RECONCILE_TASK)
def reconcile() -> None:
    """Compare sums with the units' rows, and repair what differs."""
    reconciling.reconcile_all()


@shared_task(name=rollups.LOOK_TASK)
def look(experiment_id: int, is_due: int = 0) -> None:
    """Look at one experiment whose sums have just changed; `is_due`: a look that was put off until now."""
    looking.look(experiment_id, is_due=bool(is_due))
