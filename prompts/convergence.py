"""Reads: has a move reached every process, how long did that take, and who is behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Min, Q
from django.utils import timezone

from prompts.models import DeploymentEvent, Environment, ServingProcess

COUNTED_FOR = timedelta(minutes=5)
"""A process that was silent for longer is not waited for: it has ended without a word."""
QUIET_AFTER = timedelta(seconds=30)
"""Three reports missed."""
MAX_NAMED = 50


@dataclass(frozen=True, slots=True)
class Straggler:
    """A process that does not serve the revision yet, as far as it said. Times are seconds ago."""

    host: str
    process: str
    client: str
    revision: int
    seen_s: float
    is_quiet: bool


@dataclass(frozen=True, slots=True)
class Convergence:
    """How far a revision has come. Seconds are from the move to a process serving it; None when nothing was measured.

    `processes` are those that reported within five minutes; `waited_for`, of those, were there when the move was made.
    """

    environment: str
    revision: int
    moved_at: datetime | None
    processes: int
    current: int
    waited_for: int
    last_s: float | None
    median_s: float | None
    stragglers: tuple[Straggler, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every process that reports serves it. With no process at all nothing is known, so no."""
        return 0 < self.processes == self.current


def of_move(event: DeploymentEvent) -> Convergence:
    """Return how far a move has come: one query."""
    return of_moves([event])[0]


def of_moves(events: Sequence[DeploymentEvent]) -> list[Convergence]:
    """Return how far moves in different environments have come, in their order: one query for all."""
    return _measured([(event.environment, event.revision, event.at) for event in events])


def of_environment(environment: Environment) -> Convergence:
    """Return how far the environment's newest revision has come. Experiments take revisions, too."""
    moved = DeploymentEvent.objects.filter(environment=environment, revision=environment.revision)
    return _measured([(environment, environment.revision, moved.values_list("at", flat=True).first())])[0]


def of_revision(environment: Environment, revision: int, moved_at: datetime) -> Convergence:
    """Return how far one revision of the environment has come, whatever took it: one query."""
    return _measured([(environment, revision, moved_at)])[0]


Asked = tuple[Environment, int, datetime | None]
"""(environment, revision, when it was taken)"""


def _measured(asked: Sequence[Asked]) -> list[Convergence]:
    now = timezone.now()
    reached = reduce(
        or_, (Q(environment=environment, steps__revision__gte=revision) for environment, revision, _ in asked), Q()
    )
    rows = list(
        ServingProcess.objects.filter(
            environment__in=[environment for environment, _, _ in asked], seen_at__gte=now - COUNTED_FOR
        )
        .annotate(served_at=Min("steps__at", filter=reached))
        .order_by("revision", "seen_at")
        if asked
        else ()
    )
    return [_of_one(one, [row for row in rows if row.environment_id == one[0].pk], now) for one in asked]


def _of_one(asked: Asked, rows: Sequence[Any], now: datetime) -> Convergence:
    environment, revision, moved_at = asked
    behind = [row for row in rows if row.revision < revision]
    waited_for = [row for row in rows if moved_at is not None and row.first_seen_at < moved_at]
    took = sorted(
        max(0.0, (row.served_at - moved_at).total_seconds())
        for row in waited_for
        if row.revision >= revision and row.served_at is not None and moved_at is not None
    )
    return Convergence(
        environment=environment.name,
        revision=revision,
        moved_at=moved_at,
        processes=len(rows),
        current=len(rows) - len(behind),
        waited_for=len(waited_for),
        last_s=took[-1] if took else None,
        median_s=took[len(took) // 2] if took else None,
        stragglers=tuple(_straggler(row, now) for row in behind[:MAX_NAMED]),
    )


def _straggler(row: ServingProcess, now: datetime) -> Straggler:
    silence = now - row.seen_at
    return Straggler(
        row.host, row.process, row.client, row.revision, silence.total_seconds(), is_quiet=silence > QUIET_AFTER
    )
