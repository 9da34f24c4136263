"""Answers whose process ended without closing them. Nothing stays "being written" for ever."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from promptlab.chat.models import Message
from promptlab.chat.services.reserving import release_orphans
from promptlab.lib.logs import get_logger

log = get_logger(__name__)
CLOSE_TASK = "chat.close_abandoned"


def close_abandoned(now: datetime | None = None) -> int:
    """Close answers whose lease ran out before `now`, keeping what was written, and return how many.

    One guarded statement: an answer that ends or renews its lease meanwhile stays as it is. What budgets kept ready for
    ended answers is given back.
    """
    moment = now or timezone.now()
    ended = {"state": Message.State.ABANDONED, "ended_at": moment, "lease_until": None}
    closed: int = Message.objects.abandoned(moment).update(**ended)
    if closed:
        log.warning("messages_abandoned", messages=closed)
    release_orphans()
    return closed
