"""Daily sums from the answers and ratings themselves: for the days before there were sums, and every night to compare.

What is held and what is counted are read in one state of the database, in which every answer and rating says whether it
is in the sums. So their difference stays what is lacking, whatever workers add meanwhile, and is added later.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import BigIntegerField, Count, F, FloatField, Func, Min, Q, QuerySet, Sum, Value
from django.db.models.functions import Cast, Coalesce, Floor, Greatest, Least, Ln, TruncDate
from django.utils import timezone

from experiments.models import DayMark, DayRollup
from experiments.services.cells import Number
from experiments.services.days import NANO, DayCell, add_to_days
from experiments.stats.histogram import BUCKETS, PER_DOUBLING, SHORTEST_MS
from feedback.models import Feedback
from feedback.services.months import kept_from
from promptlab.accounts.access import SYSTEM
from promptlab.audit.recorder import record
from promptlab.chat.models import Message
from promptlab.lib.logs import get_logger
from promptlab.lib.metrics import Counter
from promptlab.lib.snapshot import reading_snapshot

log = get_logger(__name__)
FILL_TASK = "feedback.fill_days"
RECONCILE_TASK = "feedback.reconcile_days"
CHUNK = timedelta(days=31)
"""So many days are counted in one go: each reads all answers once."""
LATELY = timedelta(days=8)
"""So many days are compared at night: ratings come within a week, and what is older was compared before."""
COLUMNS = (
    "requests", "shown", "errors", "ratings", "ups", "input_tokens", "output_tokens", "cost_nanousd", "unpriced", "priced",
)  # fmt: skip
differences_found = Counter(
    "promptlab_day_differences_total", "Daily sums that differed from the answers.", ("repaired",)
)

Sums = dict[DayCell, dict[str, Number]]


@dataclass(frozen=True, slots=True)
class Difference:
    """A sum of a day that is not what the answers say."""

    cell: DayCell
    name: str
    held: Number
    counted: Number

    def __str__(self) -> str:
        one = self.cell
        where = f"version {one.version_id} environment {one.environment_id} {one.model}".strip()
        return f"{one.day} {where} {self.name}: {self.held} for {self.counted}"


def fill(chunk: timedelta = CHUNK) -> bool:
    """Count the next days that are not in the sums, newest first; return whether there are more."""
    mark = _mark()
    if mark.counted_from is None:
        return False
    first = Message.objects.answers().filter(version__isnull=False).aggregate(at=Min("ended_at"))["at"]
    until, oldest = mark.counted_from, _day(first) if first else None
    if oldest is None or oldest >= until:
        DayMark.objects.filter(pk=mark.pk).update(counted_from=None)
        return False
    since = max(until - chunk, oldest)
    found = _recount(since, until, counted_from=since if since > oldest else None)
    if found is None:
        return True
    log.info("days_filled", since=str(since), until=str(until), differences=len(found))
    return since > oldest


def reconcile_days(since: date | None = None, until: date | None = None, *, repair: bool = True) -> list[Difference]:
    """Return which sums of these days (by default the last ones) differ from the answers, and add what they lack.

    Days that are still to be filled are left to `fill`.
    """
    mark = _mark()
    today = timezone.now().astimezone(UTC).date()
    since, until = since or today - LATELY, until or today + timedelta(days=1)
    if mark.counted_from is not None:
        since = max(since, mark.counted_from)
    if settings.MONTHS_KEPT:  # of what was removed nothing is left but the sums
        since = max(since, _day(kept_from(timezone.now())) + timedelta(days=1))
    if since >= until:
        return []
    if not repair:
        with reading_snapshot():
            return _differences(since, until)
    return _recount(since, until, counted_from=mark.counted_from, is_told=True) or []


def _recount(since: date, until: date, *, counted_from: date | None, is_told: bool = False) -> list[Difference] | None:
    """Bring the sums of these days to what the answers say, and note how far back they reach.

    Return what differed; None when another recount was written meanwhile, and this one is not.
    """
    with reading_snapshot():
        mark = DayMark.objects.get(pk=1)
        found = _differences(since, until)
    lacking: Sums = defaultdict(dict)
    for one in found:
        lacking[one.cell][one.name] = _minus(one.counted, one.held)
    with transaction.atomic():
        mine = DayMark.objects.filter(pk=1, turn=mark.turn)
        if not mine.update(turn=F("turn") + 1, counted_from=counted_from, recounted_at=timezone.now()):
            return None
        add_to_days(lacking)
        if found and is_told:
            _tell(mark, found)
    return found


def _tell(mark: DayMark, found: list[Difference]) -> None:
    told = [str(one) for one in found[:20]]
    log.error("days_differ", differences=told, number=len(found))
    differences_found.add("yes", by=len(found))
    record(SYSTEM, "days.repaired", mark, team_id=None, after={"differences": told, "number": len(found)})


def _mark() -> DayMark:
    return DayMark.objects.get_or_create(pk=1)[0]


def _differences(since: date, until: date) -> list[Difference]:
    if connection.vendor == "postgresql":
        # It reads all answers, which may take longer than any page may.
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
    held, counted = _held(since, until), counted_sums(since, until)
    found = []
    for cell in sorted(held.keys() | counted.keys()):
        have, want = held.get(cell, {}), counted.get(cell, {})
        for name in COLUMNS:
            if have.get(name, 0) != want.get(name, 0):
                found.append(Difference(cell, name, have.get(name, 0), want.get(name, 0)))
        if have.get("wait_counts", {}) != want.get("wait_counts", {}):
            found.append(Difference(cell, "wait_counts", have.get("wait_counts", {}), want.get("wait_counts", {})))
    return found


def _minus(counted: Number, held: Number) -> Number:
    if isinstance(counted, dict):
        buckets = counted.keys() | held.keys()
        changed = {one: counted.get(one, 0) - held.get(one, 0) for one in buckets}
        return {one: number for one, number in changed.items() if number}
    return counted - held


def _held(since: date, until: date) -> Sums:
    rows = DayRollup.objects.filter(day__gte=since, day__lt=until)
    return {
        DayCell(one.day, one.version_id, one.environment_id, one.model, one.prompt_id): {
            **{name: getattr(one, name) for name in COLUMNS},
            "wait_counts": {key: number for key, number in one.wait_counts.items() if number},
        }
        for one in rows.iterator()
    }


def counted_sums(since: date, until: date) -> Sums:
    """Return the sums of these days from the answers and ratings that are counted: three queries, all in the database."""
    sums: Sums = defaultdict(dict)
    for cell, row in _of_cells(_answers(since, until), "", _SUMS):
        sums[cell] |= row
    for cell, row in _of_cells(_answers(since, until).filter(latency_ms__gt=0), "", {"n": Count("pk")}, bucket=_BUCKET):
        sums[cell].setdefault("wait_counts", {})[str(int(row["bucket"]))] = row["n"]
    ratings = Feedback.objects.filter(counted_value__isnull=False, **_within("message__", since, until))
    said = {"ratings": Count("pk"), "ups": Count("pk", filter=Q(counted_value=1))}
    for cell, row in _of_cells(ratings.exclude(message__purpose=Message.Purpose.TRY), "message__", said):
        sums[cell] |= row
    return sums


def _answers(since: date, until: date) -> QuerySet[Message]:
    """Return the answers of these days that are in the sums."""
    answers = Message.objects.answers().exclude(purpose=Message.Purpose.TRY)
    found: QuerySet[Message] = answers.filter(**_within("", since, until))
    return found


def _within(path: str, since: date, until: date) -> dict[str, Any]:
    return {
        f"{path}rolled_up_at__isnull": False,
        f"{path}version__isnull": False,
        f"{path}environment__isnull": False,
        f"{path}ended_at__gte": datetime.combine(since, time(), UTC),
        f"{path}ended_at__lt": datetime.combine(until, time(), UTC),
    }


def _of_cells(
    rows: QuerySet[Any], path: str, sums: dict[str, Any], **more: Any
) -> Iterator[tuple[DayCell, dict[str, Number]]]:
    """Return what is summed of the rows of each cell, as whole numbers. `path` leads to the answer."""
    keys = {
        "of_day": TruncDate(f"{path}ended_at", tzinfo=UTC),
        "of_version": F(f"{path}version_id"),
        "of_environment": F(f"{path}environment_id"),
        "of_model": F(f"{path}model"),
        "of_prompt": F(f"{path}version__prompt_id"),
    }
    grouped = (
        rows.order_by().annotate(**keys, **more).values(*keys, *more).annotate(**{f"n_{k}": v for k, v in sums.items()})
    )
    for row in grouped.iterator():
        cell = DayCell(*(row[name] for name in keys))
        found = {name: int(row[f"n_{name}"] or 0) for name in sums}
        yield cell, {**found, **{name: row[name] for name in more}}


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


_NANOS = Func(F("cost_usd") * Value(NANO), function="ROUND", output_field=FloatField())
_SUMS = {
    "requests": Count("pk"),
    "shown": Count("pk", filter=Q(is_external=True) | Q(first_token_ms__isnull=False)),
    "errors": Count("pk", filter=Q(state=Message.State.FAILED)),
    "input_tokens": Coalesce(Sum("input_tokens"), 0),
    "output_tokens": Coalesce(Sum("output_tokens"), 0),
    "cost_nanousd": Sum(Cast(_NANOS, BigIntegerField())),
    "unpriced": Count("pk", filter=Q(cost_usd=None, is_external=False)),
    "priced": Count("pk", filter=Q(cost_usd__isnull=False)),
}
_DOUBLINGS = Ln(Cast("latency_ms", FloatField()) / Value(float(SHORTEST_MS))) / Value(math.log(2))
# The hair keeps powers of two, where a logarithm may end a little low, in the bucket that `stats.histogram` has them in.
_EIGHTHS = Cast(Floor(_DOUBLINGS * Value(float(PER_DOUBLING)) + Value(1e-9)), BigIntegerField())
_BUCKET = Least(Greatest(_EIGHTHS, Value(0)), Value(BUCKETS - 1), output_field=BigIntegerField())
