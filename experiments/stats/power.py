"""How much it takes: ratings per variant, the difference that can be seen, and days until then."""

from __future__ import annotations

import math
from datetime import timedelta

from experiments.stats.distributions import normal_cdf, normal_quantile

ALWAYS_VALID = 2.1
"""So many times the ratings let an interval that may be read at any time prove the same difference as often."""
LEAST_BASELINE = timedelta(hours=24)
LEAST_RATINGS = 100
"""Traffic that was watched for less says nothing about the days to come."""


def ratings_per_variant(
    base: float, change: float, *, alpha: float = 0.05, power: float = 0.8, design_effect: float = 1.0
) -> int:
    """Return how many ratings each variant needs to show `base` + `change` against `base`, two-sided.

    (z_{1-α/2} + z_power)² · (p0·q0 + p1·q1) / change² (Fleiss, Levin, Paik 2003, Statistical Methods for Rates and
    Proportions, eq. 4.14 unpooled). Multiply by `ALWAYS_VALID` where people look before the end. Raises ValueError
    where either share is not inside 0..1 or nothing changes.
    """
    other = base + change
    if not (0 <= base <= 1 and 0 <= other <= 1 and change):
        raise ValueError(f"No difference between shares: {base} and {other}.")
    variance = base * (1 - base) + other * (1 - other)
    return math.ceil(_scale(alpha, power) * variance / change**2 * design_effect)


def detectable_drop(
    base: float, ratings: int, *, alpha: float = 0.05, power: float = 0.8, design_effect: float = 1.0
) -> float | None:
    """Return the smallest drop below `base` that `ratings` of each variant show; None where no drop is large enough.

    `ratings_per_variant` solved for the change, which is a quadratic equation.
    """
    if ratings <= 0:
        return None
    n, c = ratings / design_effect, _scale(alpha, power)
    linear = c * (2 * base - 1)
    drop = (linear + math.sqrt(linear * linear + 8 * c * base * (1 - base) * (n + c))) / (2 * (n + c))
    return drop if 0 < drop <= base else None


def days_to_decision(needed: int, variants: int, ratings: int, watched: timedelta, *, already: int = 0) -> int | None:
    """Return in how many whole days each of `variants` has `needed` ratings; None while that is unknown.

    Unknown until traffic was watched for 24 hours and 100 ratings. `ratings`: of all variants, in `watched`.
    `already`: of the variant that has the fewest.
    """
    if needed <= already:
        return 0
    if baseline_lacking(ratings, watched) is not None:
        return None
    return math.ceil((needed - already) * variants / ratings_per_day(ratings, watched))


def baseline_lacking(ratings: int, watched: timedelta) -> tuple[float, int] | None:
    """Return the hours and ratings that are lacking until traffic says something about days to come; None if nothing."""
    hours = max(0.0, (LEAST_BASELINE - watched) / timedelta(hours=1))
    lacking = hours, max(0, LEAST_RATINGS - ratings)
    return lacking if any(lacking) else None


def ratings_per_day(ratings: int, watched: timedelta) -> float:
    """Return how many ratings came in a day."""
    return ratings / (watched / timedelta(days=1))


def days_left(planned: int, ratings: int, watched: timedelta) -> int | None:
    """Return in how many whole days there are as many ratings as were planned; None while that is unknown."""
    if ratings >= planned:
        return 0
    if baseline_lacking(ratings, watched) is not None:
        return None
    return math.ceil((planned - ratings) / ratings_per_day(ratings, watched))


def power_of(base: float, change: float, ratings: float, *, alpha: float = 0.05, design_effect: float = 1.0) -> float:
    """Return the probability that `ratings` of each variant show `base` + `change` against `base`, two-sided.

    Φ(|change| / error - z_{1-α/2}), the equation of `ratings_per_variant` solved for the power; 0.0 without ratings. Raises
    ValueError where either share is not inside 0..1.
    """
    other = base + change
    if not (0 <= base <= 1 and 0 <= other <= 1):
        raise ValueError(f"Not shares: {base} and {other}.")
    variance = (base * (1 - base) + other * (1 - other)) * design_effect
    if ratings <= 0 or not variance:
        return float(ratings > 0 and change != 0)
    return normal_cdf(abs(change) / math.sqrt(variance / ratings) - normal_quantile(1 - alpha / 2))


def _scale(alpha: float, power: float) -> float:
    return (normal_quantile(1 - alpha / 2) + normal_quantile(power)) ** 2
