"""What workers do for experiments. Each may run twice, and late."""

from __future__ import annotations

from celery import shared_task

from experiments.services import analysis


@shared_task(name=analysis.ANALYSE_TASK)
def analyse() -> None:
    """Compute what may be said of every experiment whose sums changed."""
    analysis.analyse_all()
