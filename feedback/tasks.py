"""What workers do for feedback. Each may run twice, and late."""

from __future__ import annotations

from celery import shared_task

from feedback.services import batch, ingest, judging, months, purging, recounting


@shared_task(name=ingest.ROLL_UP_TASK)
def roll_up_feedback() -> None:
    """Add new and changed ratings to the sums."""
    batch.roll_up_feedback()


@shared_task(name=purging.TIDY_TASK)
def tidy_texts() -> None:
    """Remove or clean the texts that teams do not keep."""
    purging.tidy_texts()


@shared_task(name=judging.JUDGE_TASK)
def judge_answers() -> None:
    """Have a share of the new answers judged."""
    judging.judge_answers()


@shared_task(name=months.MONTHS_TASK)
def keep_months() -> None:
    """Make the months to come, and remove what is not kept."""
    months.keep_months()


@shared_task(name=recounting.FILL_TASK)
def fill_days() -> None:
    """Count the next days that are older than the daily sums, while there are any."""
    recounting.fill()


@shared_task(name=recounting.RECONCILE_TASK)
def reconcile_days() -> None:
    """Compare the last days' sums with the answers, and repair what differs."""
    recounting.reconcile_days()
