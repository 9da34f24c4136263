"""What pages have to say, counted from answers and ratings alone: no sum of the product is read, and none of its code adds.

Statistics are computed from these counts by the product (they have tests of their own against published numbers); how
numbers are written is the product's as well, so that what is compared is what people read.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import Count, Q

from experiments.models import Experiment
from feedback.models import Feedback
from promptlab.chat.models import Message

Sums = dict[str, Any]


class Answer(NamedTuple):
    """One answer that counts, with how many rated it, and how many of them up."""

    prompt: str
    version: int
    place: str
    model: str
    variant_id: int | None
    unit: str
    at: datetime
    is_shown: bool
    is_failed: bool
    wait_ms: int
    input_tokens: int
    output_tokens: int
    cost: Decimal | None
    is_external: bool
    ratings: int
    ups: int

    @property
    def day(self) -> date:
        return self.at.astimezone(UTC).date()


COLUMNS = (
    "version__prompt__title", "version__number", "environment__name", "model", "served_variant_id", "unit_id", "ended_at",
    "first_token_ms", "state", "latency_ms", "input_tokens", "output_tokens", "cost_usd", "is_external", "pk",
)  # fmt: skip


def answers(**of: Any) -> list[Answer]:
    """Return the answers that count, with what stands of what was said of them, in the order in which they ended."""
    said = Feedback.objects.filter(metric="rating", value__isnull=False, source__in=("end_user", "api")).order_by()
    told = said.values("message_id").annotate(n=Count("pk"), ups=Count("pk", filter=Q(value=1)))
    rated = {row["message_id"]: (row["n"], row["ups"]) for row in told.iterator()}
    rows = Message.objects.filter(role="assistant", is_sent=False, ended_at__isnull=False, **of)
    rows = rows.exclude(purpose="try").exclude(version=None).exclude(environment=None).order_by("ended_at", "pk")
    return [_answer(row, rated) for row in rows.values_list(*COLUMNS).iterator(chunk_size=5000)]


def _answer(row: tuple[Any, ...], rated: Mapping[int, tuple[int, int]]) -> Answer:
    *named, token_ms, state, wait, tokens_in, tokens_out, cost, is_external, pk = row
    is_shown, said = is_external or token_ms is not None, rated.get(pk, (0, 0))
    return Answer(
        *named, is_shown, state == "failed", wait or 0, tokens_in or 0, tokens_out or 0, cost, is_external, *said
    )


@dataclass(slots=True)
class Unit:
    """What one unit did that met one text only."""

    requests: int = 0
    errors: int = 0
    ratings: int = 0
    ups: int = 0
    lengths: list[float] | None = None
    costs: list[float] | None = None


def inputs(experiment: Experiment, kept: Mapping[str, Any], found: Sequence[Answer]) -> Sums:
    """Return what an analysis is made of, with the sums of its variants counted from answers."""
    variants = [
        {**one, **counted(found, variant.pk)}
        for one, variant in zip(kept["variants"], experiment.variants.all(), strict=True)
    ]
    assert [one["key"] for one in variants] == [one.key for one in experiment.variants.all()]
    return {**kept, "variants": variants}


def counted(found: Sequence[Answer], variant_id: int) -> Sums:
    """Return the sums over the units of one variant, and the lengths of its waits."""
    met: dict[str, list[int]] = defaultdict(list)
    for one in found:
        if one.variant_id is not None and one.variant_id not in met[one.unit]:
            met[one.unit].append(one.variant_id)
    mine = {unit for unit, variants in met.items() if variants[0] == variant_id}
    units: dict[str, Unit] = defaultdict(Unit)
    own = [one for one in found if one.variant_id == variant_id]
    for one in own:
        if len(met[one.unit]) == 1:
            _add(units[one.unit], one)
    sums = _over_units(list(units.values()))
    sums |= {"units": len(mine), "multiple_units": sum(len(met[unit]) > 1 for unit in mine)}
    return {"sums": {**sums, "shown": sum(one.is_shown for one in own)}, "wait_counts": lengths(own)}


def _add(unit: Unit, one: Answer) -> None:
    unit.requests += 1
    unit.errors += one.is_failed
    unit.ratings += one.ratings
    unit.ups += one.ups
    if one.wait_ms:
        unit.lengths = [*(unit.lengths or []), math.log(one.wait_ms)]
    if one.cost is not None:
        unit.costs = [*(unit.costs or []), float(one.cost)]


def _over_units(units: Sequence[Unit]) -> Sums:
    raters = [one for one in units if one.ratings]
    waits = [one.lengths for one in units if one.lengths]
    costs = [one.costs for one in units if one.costs]
    return {
        "raters": len(raters),
        "unit_ratings": sum(one.ratings for one in units),
        "unit_ups": sum(one.ups for one in units),
        "ratings_sq": sum(one.ratings**2 for one in units),
        "ups_sq": sum(one.ups**2 for one in units),
        "ratings_ups": sum(one.ratings * one.ups for one in units),
        "users": len(units),
        "unit_requests": sum(one.requests for one in units),
        "unit_errors": sum(one.errors for one in units),
        "requests_sq": sum(one.requests**2 for one in units),
        "errors_sq": sum(one.errors**2 for one in units),
        "requests_errors": sum(one.requests * one.errors for one in units),
        "requests_ratings": sum(one.requests * one.ratings for one in units),
        **_of_numbers(waits, "waiters waits ln_ms waits_sq ln_ms_sq waits_ln_ms ln_ms_events"),
        **_of_numbers(costs, "payers priced unit_cost priced_sq cost_sq priced_cost cost_events"),
        # Nothing here had a format to keep.
        **dict.fromkeys(("checked_units", "unit_checked", "unit_misfits", "checked_sq", "misfits_sq"), 0),
        "checked_misfits": 0,
    }


def _of_numbers(units: Sequence[Sequence[float]], names: str) -> Sums:
    """Return, of units' numbers: units, Σn, Σs, Σn², Σs², Σns and Σx²."""
    both = [(len(one), math.fsum(one)) for one in units]
    sums = (
        len(both),
        sum(n for n, _ in both),
        math.fsum(s for _, s in both),
        sum(n * n for n, _ in both),
        math.fsum(s * s for _, s in both),
        math.fsum(n * s for n, s in both),
        math.fsum(x * x for one in units for x in one),
    )
    return dict(zip(names.split(), sums, strict=True))


SHORTEST_MS, PER_DOUBLING, BUCKETS = 16, 8, 112


def _place(ms: float) -> int:
    """Return the number of the eighth of a doubling that a wait falls in."""
    return min(BUCKETS - 1, max(0, math.floor(PER_DOUBLING * math.log2(ms / SHORTEST_MS))))


def lengths(found: Iterable[Answer]) -> dict[str, int]:
    """Return how many waits there are of each length."""
    counts: dict[str, int] = defaultdict(int)
    for one in found:
        if one.wait_ms:
            counts[str(_place(one.wait_ms))] += 1
    return dict(sorted(counts.items(), key=lambda one: int(one[0])))


def under(found: Iterable[Answer], share: float) -> int | None:
    """Return the wait that a share of answers stays under, as pages say it: the middle of the eighth it lies in."""
    waits = sorted(one.wait_ms for one in found if one.wait_ms)
    if not waits:
        return None
    exact = waits[math.ceil(share * len(waits)) - 1]
    said = SHORTEST_MS * 2 ** ((_place(exact) + 0.5) / PER_DOUBLING)
    assert exact < SHORTEST_MS or abs(said - exact) <= 0.045 * exact, (said, exact)
    return round(said)


def by(found: Iterable[Answer], key: Callable[[Answer], Any]) -> dict[Any, list[Answer]]:
    """Return the answers by something of them, the most first."""
    groups: dict[Any, list[Answer]] = defaultdict(list)
    for one in found:
        groups[key(one)].append(one)
    return dict(sorted(groups.items(), key=lambda one: -len(one[1])))
