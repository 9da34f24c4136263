"""Holding a run: its lease, its budget, and whether it is still ours. What all kinds of runs have in common."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import ROUND_CEILING, Decimal
from time import monotonic
from typing import Any, Final

from django.db.models import F, QuerySet, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_noop

from promptlab.lib.errors import Invalid
from prompts.models.running import NANO, RunState

LEASE: Final = timedelta(seconds=15)
RENEW_S: Final = 3.0
WATCH_S: Final = 0.5
"""How often somebody's cancelling is looked for."""
SLICE_S: Final = 300.0
"""After so long a worker hands the run on, so that it can be stopped in between."""
BROKE: Final = "Something unexpected happened. The log says more."


class Gone(Exception):
    """The run is not ours any more: it was cancelled, or another process took it over."""


class NoRoom(Exception):
    """The run may not make another call: its budget, or the number of its calls, is used up."""

    sentence = gettext_noop("The budget has no room for the next call. Raise it to go on.")


class SliceOver(Exception):
    """The run has been worked on for long enough here: another worker goes on with it."""


@dataclass
class Hold:
    """A run that this process works on. `rows` is the table that it is in."""

    rows: QuerySet[Any]
    run_id: int
    lease: str
    renewed: float = field(default_factory=monotonic)
    watched: float = field(default_factory=monotonic)

    @classmethod
    def take(cls, rows: Any, run_id: int) -> Hold | None:
        """Take the lease of an open run that nobody works on; None when there is none to take."""
        lease, now = secrets.token_hex(8), timezone.now()
        began = Coalesce("started_at", Value(now))
        free = rows.free_at(now).filter(pk=run_id)
        taken = free.update(lease=lease, lease_until=now + LEASE, state=RunState.RUNNING, started_at=began)
        return cls(rows, run_id, lease) if taken else None

    def mine(self, state: str = RunState.RUNNING) -> QuerySet[Any]:
        """Return the run's row as long as this process holds it."""
        return self.rows.filter(pk=self.run_id, lease=self.lease, state=state)

    def pay(self, most: int) -> None:
        """Reserve one call that costs `most` billionths of a dollar at most. Raises NoRoom, Gone."""
        room = self.mine().filter(
            calls__lt=F("max_calls"), spent_nanousd__lte=F("budget_nanousd") - F("reserved_nanousd") - most
        )
        if room.update(calls=F("calls") + 1, reserved_nanousd=F("reserved_nanousd") + most):
            return
        raise NoRoom if self.mine().exists() else Gone

    def settle(self, most: int, cost_usd: Decimal | None) -> None:
        """Count what a call cost, None for nobody knows: then it counts as the most it can have cost. Raises Gone."""
        self.count(most, most if cost_usd is None else nano_of(cost_usd), unpriced=int(cost_usd is None))

    def count(self, reserved: int, spent: int, *, unpriced: int = 0) -> None:
        """Count what several calls cost for which so much was reserved. Raises Gone."""
        mine = self.rows.filter(pk=self.run_id, lease=self.lease)
        if not mine.update(
            reserved_nanousd=F("reserved_nanousd") - reserved,
            spent_nanousd=F("spent_nanousd") + spent,
            unpriced_calls=F("unpriced_calls") + unpriced,
        ):
            raise Gone

    def look(self) -> None:
        """Keep the lease, and see whether the run is still ours. Raises Gone when it is not."""
        now = monotonic()
        if now - self.watched < WATCH_S:
            return
        self.watched = now
        if now - self.renewed < RENEW_S:
            is_mine = self.mine().exists()
        else:
            is_mine = bool(self.mine().update(lease_until=timezone.now() + LEASE))
            self.renewed = now
        if not is_mine:
            raise Gone

    def end(self, state: str, reason: str = "") -> bool:
        """Give the lease back with what became of the run; tell whether it was still ours."""
        ended = None if state == RunState.QUEUED else timezone.now()
        free: dict[str, Any] = {"lease": "", "lease_until": None}
        return bool(self.mine().update(state=state, reason=reason[:300], ended_at=ended, **free))


def nano_of(usd: Decimal) -> int:
    """Return dollars in billionths, rounded up."""
    return int((usd * NANO).to_integral_value(ROUND_CEILING))


def budget_of(usd: Decimal | float) -> int:
    """Return a budget in billionths of a dollar. Raises Invalid naming `budget_usd`."""
    said = Decimal(str(usd))
    if not said.is_finite() or not 0 <= said <= 1_000_000:
        raise Invalid.field("budget_usd", gettext_noop("It is a number of dollars, from 0 on."))
    return nano_of(said)
