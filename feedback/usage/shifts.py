"""From which day on approval is lower, or a call dearer: found by comparing the week before a day with the week from it on.

Plain numbers; no table is known here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

WEEK = 7
ENOUGH = 30
"""So many ratings, or calls of known price, it takes on either side."""
SURE = 3.5
"""Standard errors. Chance gets a try on every day: of 1,000 months of 20 ratings a day that were dealt by it, 5 had a fall."""
DEARER = 1.2
"""From which factor on."""
MOVED = 0.2
"""By so much of the calls a model's share has to change to be named."""


@dataclass(slots=True)
class Day:
    """What counts of a day. `models`: calls by model."""

    ratings: int = 0
    ups: int = 0
    priced: int = 0
    cost_nanousd: int = 0
    models: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Shift:
    """What was before day `at` (its place), and from it on."""

    at: int
    before: float
    after: float


def approval_fall(days: Sequence[Day], first: int = 0) -> Shift | None:
    """Return the surest fall of approval on a day from place `first` on; None where chance may have done it.

    The two-proportion z test with the pooled share (Fleiss, Levin, Paik 2003, 3.1), which takes every rating for another
    person's.
    """
    found, surest = None, SURE
    for at in range(max(first, 1), len(days)):
        before, after = _sums(days, at)
        if min(before.ratings, after.ratings) < ENOUGH:
            continue
        share = (before.ups + after.ups) / (before.ratings + after.ratings)
        error = math.sqrt(share * (1 - share) * (1 / before.ratings + 1 / after.ratings))
        fall = before.ups / before.ratings - after.ups / after.ratings
        if error and fall / error >= surest:
            surest = fall / error
            found = Shift(at, before.ups / before.ratings, after.ups / after.ratings)
    return found


def cost_rise(days: Sequence[Day], first: int = 0) -> Shift | None:
    """Return the greatest rise of what a call costs, in nanodollars, from place `first` on; None where there is none."""
    found, most = None, 0.0
    for at in range(max(first, 1), len(days)):
        before, after = _sums(days, at)
        if min(before.priced, after.priced) < ENOUGH:
            continue
        was, now = before.cost_nanousd / before.priced, after.cost_nanousd / after.priced
        if now >= was * DEARER and now - was > most:
            most = now - was
            found = Shift(at, was, now)
    return found


def model_moves(days: Sequence[Day], at: int) -> list[tuple[str, float, float]]:
    """Return the models whose share of the calls changed much from the week before to the week from `at` on."""
    before, after = _sums(days, at)
    calls = before.models.total(), after.models.total()
    if not all(calls):
        return []
    shares = {
        name: (before.models[name] / calls[0], after.models[name] / calls[1]) for name in before.models | after.models
    }
    return [(name, was, now) for name, (was, now) in sorted(shares.items()) if abs(now - was) >= MOVED]


def _sums(days: Sequence[Day], at: int) -> tuple[Day, Day]:
    return _sum(days[max(0, at - WEEK) : at]), _sum(days[at : at + WEEK])


def _sum(days: Sequence[Day]) -> Day:
    found = Day()
    for one in days:
        found.ratings += one.ratings
        found.ups += one.ups
        found.priced += one.priced
        found.cost_nanousd += one.cost_nanousd
        found.models += one.models
    return found
