"""Measures with long tails: waiting times as logarithms, cost with its largest units held down."""

from __future__ import annotations

import math
from collections.abc import Iterable

from experiments.stats.moments import Moments
from experiments.stats.sequential import interval

KEPT = 0.999
"""The share of units whose cost is taken as it is; above, it counts as the largest of those."""


def of_units(units: Iterable[tuple[int, float]]) -> Moments:
    """Return the moments of units given as (events, their total), for measures that are not 0 or 1.

    Single events are not known: each counts as its unit's mean, so that ranges come out too wide rather than too narrow.
    """
    rows = [(events, total) for events, total in units if events]
    return Moments(
        units=len(rows),
        events=sum(events for events, _ in rows),
        total=math.fsum(total for _, total in rows),
        events_sq=sum(events * events for events, _ in rows),
        total_sq=math.fsum(total * total for _, total in rows),
        events_total=math.fsum(events * total for events, total in rows),
        squares=math.fsum(total * total / events for events, total in rows),
    )


def winsorised(units: Iterable[tuple[int, float]], kept: float = KEPT) -> Moments:
    """Return the moments of units given as (events, total) whose totals above the `kept` quantile are that quantile.

    The nearest rank, so that the limit is a total that occurred (Dixon 1960, Ann. Math. Stat. 31:385; Hyndman, Fan
    1996, type 1). The mean shown to people is of all the money; this one is for its interval.
    """
    rows = [(events, total) for events, total in units if events]
    if not rows:
        return of_units(rows)
    ranked = sorted(total for _, total in rows)
    limit = ranked[math.ceil(kept * len(ranked)) - 1]
    return of_units((events, min(total, limit)) for events, total in rows)


def latency_ratio(
    control: Moments, treatment: Moments, planned: float, alpha: float = 0.05
) -> tuple[float, float, float]:
    """Return how many times as long an answer takes, with its always-valid range: 1.25 is a quarter longer.

    Events are ln(milliseconds), so this is the ratio of geometric means: one wait ten times as long moves it little
    (Limpert, Stahel, Abbt 2001, BioScience 51:341).
    """
    low, high = interval(control, treatment, planned, alpha)
    return math.exp(treatment.mean - control.mean), math.exp(low), math.exp(high)
