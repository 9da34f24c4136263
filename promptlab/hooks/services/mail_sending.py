"""From the rows of mails to the mail server. Rows are claimed with a lease, as deliveries of webhooks are."""

from __future__ import annotations

import smtplib
import time
from contextlib import suppress
from typing import Any

from django.core.mail import get_connection

from promptlab.hooks.models import Mail
from promptlab.hooks.services import leasing, mailing
from promptlab.hooks.services.letters import letter
from promptlab.lib.logs import get_logger

log = get_logger(__name__)
REACHABLE = (smtplib.SMTPException, OSError)
"""What a mail server, or the way to it, answers with when it takes nothing."""


def sweep() -> int:
    """Send the mails that are due; return how many were tried."""
    return leasing.send_all(send_due)


def send_due(limit: int = leasing.AT_ONCE) -> int:
    """Send up to `limit` mails that are due over one connection, and note how each went; return how many."""
    claimed = leasing.claim(Mail.objects.due().select_related("user"), limit)
    mails = [mail for mail in claimed if _is_wanted(mail)]
    if mails:
        _send(mails)
    return len(claimed)


def _is_wanted(mail: Mail) -> bool:
    """Tell whether the person still wants it; otherwise it is taken out: whoever left is not written to."""
    if mailing.readers(mail.kind, mail.team_id).filter(pk=mail.user_id).exists():
        return True
    log.info("mail_dropped", mail=mail.pk, kind=mail.kind)
    Mail.objects.filter(pk=mail.pk).delete()
    return False


def _send(mails: list[Mail]) -> None:
    started, connection = time.monotonic(), get_connection()
    try:
        connection.open()
    except REACHABLE as error:
        for mail in mails:
            _failed(mail, error)
        return
    try:
        for mail in mails:
            # What a slow server leaves no time for is sent by the next sweep, after the lease.
            if time.monotonic() - started < leasing.LEASE.total_seconds() / 2:
                _send_one(mail, connection)
    finally:
        # All is noted by now; how the server takes the goodbye changes nothing.
        with suppress(*REACHABLE):
            connection.close()


def _send_one(mail: Mail, connection: Any) -> None:
    try:
        connection.send_messages([letter(mail)])
    except REACHABLE as error:
        _failed(mail, error)
    except Exception:
        # Something of ours. One mail must not keep those behind it waiting.
        log.exception("unexpected", mail=mail.pk, kind=mail.kind)
        leasing.failed(mail, "unexpected")
    else:
        log.info("mail_sent", mail=mail.pk, kind=mail.kind)
        leasing.delivered(mail)


def _failed(mail: Mail, error: Exception) -> None:
    """Note a failure: its kind and the server's code, never its words, which repeat addresses."""
    code = _code(error)
    words = f"{type(error).__name__} {code or ''}".strip()
    log.warning("mail_failed", mail=mail.pk, kind=mail.kind, error=words)
    is_refused_address = isinstance(error, smtplib.SMTPRecipientsRefused)
    leasing.failed(mail, words, is_over=is_refused_address and code >= 500)


def _code(error: Exception) -> int:
    """Return the server's answer; of several the smallest. 0 without one."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return min((code for code, _ in error.recipients.values()), default=0)
    return int(getattr(error, "smtp_code", 0) or 0)
