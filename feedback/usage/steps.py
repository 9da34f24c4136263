"""Days in a row, or weeks where there would be too many: what charts over time are drawn of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeVar

from feedback.usage.asking import Asked, today
from feedback.usage.moves import Move
from feedback.usage.sums import Row, Used, used

Thing = TypeVar("Thing")
MOST_DAYS = 60
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Step:
    """What came of the calls of some days, of which `day` is the first, and what went live in them."""

    day: date
    used: Used
    moves: tuple[Move, ...]


def steps(asked: Asked, rows: Iterable[Row], moves: Sequence[Move] = ()) -> list[Step]:
    """Return the days that are asked for, those without use as well; more than sixty as weeks, counted back from today."""
    begins = _begins(asked)
    of_step: list[list[Row]] = [[] for _ in begins]
    moved: list[list[Move]] = [[] for _ in begins]
    for row in rows:
        _put(of_step, begins, row["day"], row)
    for one in moves:
        _put(moved, begins, one.day, one)
    return [Step(begins[at], used(of_step[at]), tuple(moved[at])) for at in range(len(begins))]


def is_weekly(asked: Asked) -> bool:
    """Tell whether steps are weeks."""
    return asked.days > MOST_DAYS


def _begins(asked: Asked) -> list[date]:
    if not is_weekly(asked):
        return [asked.since + timedelta(days=n) for n in range(asked.days)]
    weeks = -(-asked.days // 7)
    first = today() + timedelta(days=1) - weeks * WEEK
    return [max(asked.since, first + n * WEEK) for n in range(weeks)]


def _put(of_step: list[list[Thing]], begins: Sequence[date], day: date, thing: Thing) -> None:
    at = next((at for at in range(len(begins) - 1, -1, -1) if begins[at] <= day), None)
    if at is not None:
        of_step[at].append(thing)
