"""What workers do for experiments. Each may run twice, and late."""

from __future__ import annotations

from celery import shared_task

from experiments.services import analysis, ramping, reconciling, rollups


@shared_task(name=analysis.ANALYSE_TASK)
def analyse() -> None:
    """Compute what may be said of every experiment whose sums changed."""
    analysis.analyse_all()


@shared_task(name=ramping.TICK_TASK)
def tick_ramps() -> None:
    """Let every gradual launch take the step that is due."""
    ramping.tick_all()


@shared_task(name=reconciling.RECONCILE_TASK)
def reconcile() -> None:
    """Compare sums with the units' rows, and repair what differs."""
    reconciling.reconcile_all()


@shared_task(name=rollups.TICK_TASK)
def tick_ramp(ramp_id: int) -> None:
    """Look at one gradual launch, whose sums have just changed."""
    ramping.tick(ramp_id)
