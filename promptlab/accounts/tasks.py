"""What workers do for accounts. Each may run twice, and late."""

from __future__ import annotations

from celery import shared_task

from promptlab.accounts import idempotency


@shared_task(name=idempotency.SWEEP_TASK)
def sweep_idempotent_calls() -> None:
    """Forget what idempotency keys stood for a day ago."""
    idempotency.sweep()
