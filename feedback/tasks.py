"""What workers do for feedback. Each may run twice, and late."""

from __future__ import annotations

from celery import shared_task

from feedback.services import batch, ingest


@shared_task(name=ingest.ROLL_UP_TASK)
def roll_up_feedback() -> None:
    """Add new and changed ratings to the sums."""
    batch.roll_up_feedback()
