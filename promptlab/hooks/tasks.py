"""What workers do for webhooks and mail. Each may run twice, and late."""

from __future__ import annotations

from celery import shared_task

from promptlab.hooks.services import mail_sending, mailing, outbox, pruning, sending


@shared_task(name=outbox.SEND_TASK)
def fan_out_and_send() -> None:
    """Tell the receivers what happened."""
    sending.sweep()


@shared_task(name=mailing.SEND_TASK)
def send_mails() -> None:
    """Tell people what happened."""
    mail_sending.sweep()


@shared_task(name=pruning.PRUNE_TASK)
def prune() -> None:
    """Forget what was told long ago."""
    pruning.prune()
