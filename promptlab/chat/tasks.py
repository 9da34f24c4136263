"""What workers do for chat. Each may run twice, and late."""

from __future__ import annotations

from celery import shared_task

from promptlab.chat.services import metering, purging, repricing, sweeping


@shared_task(name=metering.ROLL_UP_TASK)
def roll_up_messages() -> None:
    """Add ended answers to the sums."""
    metering.roll_up_messages()


@shared_task(name=sweeping.CLOSE_TASK)
def close_abandoned() -> None:
    """Close answers whose process ended."""
    sweeping.close_abandoned()


@shared_task(name=purging.PURGE_TASK)
def purge_old_messages() -> None:
    """Remove what was said longer ago than its team keeps it."""
    purging.purge_old_messages()


@shared_task(name=repricing.RUN_TASK)
def run_repricings() -> None:
    """Price answers again where somebody asked for it."""
    repricing.run_repricings()
