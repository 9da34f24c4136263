"""What changed most, and what else happened when approval fell or calls became dearer."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

from django.db.models import BooleanField, Case, Sum, Value, When

from experiments.services.days import NANO
from feedback.usage.asking import Asked, today
from feedback.usage.moves import Move
from feedback.usage.shifts import ENOUGH, WEEK, Day, Shift, approval_fall, cost_rise, model_moves
from feedback.usage.sums import Row, Used, grouped, summed, used, waits
from promptlab.accounts.access import Principal

CHANGED = 0.25
"""From which share on a number has changed, where no range says so."""
LEAST_USD = Decimal("0.01")
MOST_MOVERS = 5
BUSIEST = 20
"""So many prompts are looked at for what coincided."""
NEAR = timedelta(days=1)
Place = tuple[int, str]
"""(prompt id, name of the environment)"""


@dataclass(frozen=True, slots=True)
class Mover:
    """A prompt one of whose numbers changed. `size` orders those of the same measure; `is_worse` None: neither."""

    prompt_id: int
    title: str
    before: Used
    now: Used
    size: float
    is_worse: bool | None = None


@dataclass(frozen=True, slots=True)
class Coincidence:
    """A fall of approval (`before`, `after` are ratios) or a rise of what a call costs (dollars), and what happened then."""

    measure: str
    prompt_id: int
    title: str
    environment: str
    day: date
    before: float
    after: float
    moves: tuple[Move, ...] = ()
    models: tuple[tuple[str, float, float], ...] = ()


def movers(principal: Principal, asked: Asked) -> dict[str, list[Mover]]:
    """Return by measure whose numbers changed most: `asked.days` whole days, up to yesterday, against those before.

    Two queries.
    """
    first = today() - timedelta(days=asked.days)
    rows = replace(asked, days=2 * asked.days + 1).rows(principal).filter(day__lt=today())
    split = rows.annotate(
        is_now=Case(When(day__gte=first, then=Value(True)), default=Value(False), output_field=BooleanField())
    )
    counts = {(pk, bool(is_now)): one for (pk, is_now), one in waits(split, "prompt_id", "is_now").items()}
    halves: dict[tuple[int, str], dict[bool, Used]] = defaultdict(dict)
    for row in summed(split, "prompt_id", "prompt__title", "is_now"):
        is_now = bool(row["is_now"])
        halves[row["prompt_id"], row["prompt__title"]][is_now] = used(
            [row], [counts.get((row["prompt_id"], is_now), {})]
        )
    nothing = used([])
    pairs = [(*key, one.get(False, nothing), one.get(True, nothing)) for key, one in halves.items()]
    return {
        name: sorted(found, key=lambda one: -one.size)[:MOST_MOVERS]
        for name, measure in MEASURES.items()
        if (found := [one for pair in pairs if (one := measure(*pair))])
    }


def _calls(pk: int, title: str, before: Used, now: Used) -> Mover | None:
    if max(before.calls, now.calls) < ENOUGH or not _differ(before.calls, now.calls):
        return None
    return Mover(pk, title, before, now, abs(now.calls - before.calls))


def _cost(pk: int, title: str, before: Used, now: Used) -> Mover | None:
    change = now.cost_usd - before.cost_usd
    if abs(change) < LEAST_USD or not _differ(before.cost_usd, now.cost_usd):
        return None
    return Mover(pk, title, before, now, abs(float(change)), change > 0)


def _approval(pk: int, title: str, before: Used, now: Used) -> Mover | None:
    """Return it where the two likely ranges lie apart."""
    was, said = before.said, now.said
    if min(was.ratings, said.ratings) < ENOUGH or was.rate is None or said.rate is None:
        return None
    assert was.low is not None and was.high is not None and said.low is not None and said.high is not None
    if said.low <= was.high and was.low <= said.high:
        return None
    return Mover(pk, title, before, now, abs(said.rate - was.rate), said.rate < was.rate)


def _errors(pk: int, title: str, before: Used, now: Used) -> Mover | None:
    """Return it where the shares are three standard errors apart."""
    if min(before.calls, now.calls) < ENOUGH:
        return None
    share = (before.errors + now.errors) / (before.calls + now.calls)
    error = math.sqrt(share * (1 - share) * (1 / before.calls + 1 / now.calls))
    change = now.errors / now.calls - before.errors / before.calls
    if not error or abs(change) < 3 * error:
        return None
    return Mover(pk, title, before, now, abs(change), change > 0)


def _wait(pk: int, title: str, before: Used, now: Used) -> Mover | None:
    if min(before.calls, now.calls) < ENOUGH or before.p95_ms is None or now.p95_ms is None:
        return None
    if not _differ(before.p95_ms, now.p95_ms):
        return None
    return Mover(pk, title, before, now, abs(now.p95_ms - before.p95_ms), now.p95_ms > before.p95_ms)


def _differ(before: Decimal | int, now: Decimal | int) -> bool:
    return abs(float(now - before)) >= CHANGED * float(max(before, now))


MEASURES = {"calls": _calls, "cost": _cost, "approval": _approval, "errors": _errors, "wait": _wait}


def coincidences(principal: Principal, asked: Asked, moves: Sequence[Move]) -> list[Coincidence]:
    """Return the falls and rises of the busiest prompts in these days, by environment. One query.

    `moves`: what went live, from a day before them on.
    """
    by_calls = grouped(asked.rows(principal), ["prompt_id"], calls=Sum("requests")).order_by("-n_calls", "prompt_id")
    rows = asked.rows(principal, before=WEEK).filter(prompt__in=by_calls.values("prompt_id")[:BUSIEST])
    return shifts_of(summed(rows, "prompt_id", "prompt__title", "environment__name", "day", "model"), asked, moves)


def shifts_of(rows: Iterable[Row], asked: Asked, moves: Sequence[Move]) -> list[Coincidence]:
    """Return what fell or rose in rows of sums by prompt, environment, day and model; the newest first."""
    first = asked.since - timedelta(days=WEEK)
    days: dict[Place, list[Day]] = defaultdict(lambda: [Day() for _ in range(asked.days + WEEK)])
    titles: dict[int, str] = {}
    for row in rows:
        titles[row["prompt_id"]] = row["prompt__title"]
        place = (row["day"] - first).days
        if 0 <= place < asked.days + WEEK:
            _add(days[row["prompt_id"], row["environment__name"]][place], row)
    found = []
    for place_of, of_place in days.items():
        for measure, shift in (("approval", approval_fall(of_place, WEEK)), ("cost", cost_rise(of_place, WEEK))):
            if shift is not None:
                found.append(_told(measure, place_of, titles[place_of[0]], shift, first, of_place, moves))
    return sorted(found, key=lambda one: (one.day, one.title), reverse=True)


def _add(day: Day, row: Row) -> None:
    day.ratings += row["ratings"]
    day.ups += row["ups"]
    day.priced += row["priced"]
    day.cost_nanousd += row["cost_nanousd"]
    day.models[row["model"]] += row["requests"]


def _told(
    measure: str, place: Place, title: str, shift: Shift, first: date, days: Sequence[Day], moves: Sequence[Move]
) -> Coincidence:
    day = first + timedelta(days=shift.at)
    scale = NANO if measure == "cost" else 1
    near = [one for one in moves if (one.prompt_id, one.environment) == place and abs(one.day - day) <= NEAR]
    models = model_moves(days, shift.at)
    return Coincidence(
        measure, place[0], title, place[1], day, shift.before / scale, shift.after / scale, tuple(near), tuple(models)
    )
