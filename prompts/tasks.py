"""What workers do for prompts. Each may run twice, and late."""

from __future__ import annotations

from celery import shared_task

from prompts.services import (
    calling,
    drift,
    optimiser_work,
    optimising,
    scheduling,
    serving,
    standing,
    suite_runs,
    testing,
)


@shared_task(name=scheduling.RUN_DUE_TASK)
def run_due_deployments() -> None:
    """Put live what was planned for now."""
    scheduling.run_due()


@shared_task(name=serving.FORGET_TASK)
def forget_processes() -> None:
    """Forget the processes that have not been heard of for long."""
    serving.forget_old()


@shared_task(name=standing.RECOUNT_TASK)
def recount_uses() -> None:
    """Leave out of prompts' uses the days that are over."""
    standing.recount()


@shared_task(name=suite_runs.RUN_TASK, time_limit=900)
def run_suite(run_id: int) -> None:
    """Ask what a run of a test suite has to ask."""
    testing.work_on(run_id)


@shared_task(name=testing.SWEEP_TASK)
def sweep_suite_runs() -> None:
    """Have somebody take up the runs that nobody works on."""
    testing.sweep()


@shared_task(name=optimising.RUN_TASK, time_limit=900)
def run_optimiser(run_id: int) -> None:
    """Work on a better text."""
    optimiser_work.work_on(run_id)


@shared_task(name=optimiser_work.SWEEP_TASK)
def sweep_optimiser_runs() -> None:
    """Have somebody take up the improvements that nobody works on."""
    optimiser_work.sweep()


@shared_task(name=drift.WATCH_TASK)
def watch_drift() -> None:
    """Begin and judge the nightly runs on what is live."""
    drift.watch()


@shared_task(name=calling.FORGET_TASK)
def forget_callers() -> None:
    """Forget with which variables callers asked long ago."""
    calling.forget_old()
