"""Sending what waits in a table: rows are claimed for a while, sent outside of any transaction, and tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from promptlab.hooks.models import Sending
from promptlab.hooks.querysets import SendingQuerySet

State = Sending.State

WAITS_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Between one attempt and the next; after the last of them there is one attempt more, and then none."""
JITTER = 0.2
LEASE = timedelta(seconds=60)
"""How long a row belongs to the process that sends it."""
AT_ONCE = 20
SWEEP_S = 20.0
"""How long one sweep starts new batches, so that it ends well within a task's time."""


def send_all(send_due: Callable[[int], int]) -> int:
    """Call `send_due(limit)`, which returns how many rows it tried, until it had fewer or time is up; return the sum."""
    started, sent = time.monotonic(), 0
    while time.monotonic() - started < SWEEP_S:
        done = send_due(AT_ONCE)
        sent += done
        if done < AT_ONCE:
            break
    return sent


@transaction.atomic(durable=True)
def claim(due: SendingQuerySet, limit: int) -> list[Any]:
    """Take rows that are due for `LEASE` and count the attempt.

    When this process dies meanwhile, they are due again as soon as the lease ends. Durable: a caller's transaction would
    stay open while we send.
    """
    claimed = list(due.select_for_update(skip_locked=True, of=("self",), no_key=True)[:limit])
    for row in claimed:
        row.attempts += 1
        row.next_at = timezone.now() + LEASE
    due.model._default_manager.bulk_update(claimed, ["attempts", "next_at"])
    return claimed


def delivered(row: Sending, **facts: object) -> None:
    """Note that it arrived."""
    rows = type(row)._default_manager.filter(pk=row.pk)
    rows.update(state=State.DELIVERED, last_error="", delivered_at=timezone.now(), **facts)


def failed(row: Sending, error: str, *, is_over: bool = False, least_s: float = 0.0, **facts: object) -> None:
    """Note that it did not, and when it is tried again; never, when it `is_over` or that was the last attempt."""
    # Only while it is ours: after the lease another process may have sent it.
    rows = type(row)._default_manager.filter(pk=row.pk, attempts=row.attempts, state__in=Sending.UNSETTLED)
    is_dead = is_over or row.attempts > len(WAITS_S)
    next_at = timezone.now() + _wait(row.attempts, least_s)
    rows.update(state=State.DEAD if is_dead else State.FAILED, last_error=error[:100], next_at=next_at, **facts)


def _wait(attempts: int, least_s: float) -> timedelta:
    """Return how long to wait after so many attempts: the schedule, `least_s` at least, spread a little."""
    usual = WAITS_S[min(attempts, len(WAITS_S)) - 1]
    return timedelta(seconds=max(usual, least_s) * (1 + random.random() * JITTER))
