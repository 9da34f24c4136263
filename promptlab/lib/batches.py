"""Working through what waits in the database, one short transaction at a time."""

from __future__ import annotations

from collections.abc import Callable

MOST = 20
"""Batches in one call, so that it ends well within a task's time; the next sweep goes on."""


def in_batches(work: Callable[[int], int], limit: int) -> int:
    """Call `work(limit)`, which returns how many rows it did, until it did fewer than `limit`; return the sum."""
    total = 0
    for _ in range(MOST):
        done = work(limit)
        total += done
        if done < limit:
            break
    return total
