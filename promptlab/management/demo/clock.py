"""The one place where the demo tells another time.

Everything stamps itself with `timezone.now()`: rows that never change afterwards (versions, moves, the activity log) as
well as those that do. So the demo makes each thing while the clock shows the moment it is to have happened at, and no
row has to be changed after the fact. Only for one process that does nothing else meanwhile, inside one transaction:
others see nothing of it before the clock is right again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.utils import timezone


@contextmanager
def clock_at(moment: datetime) -> Iterator[None]:
    """Have `timezone.now()` return `moment` inside the block."""
    usual = timezone.now
    timezone.now = lambda: moment
    try:
        yield
    finally:
        timezone.now = usual
