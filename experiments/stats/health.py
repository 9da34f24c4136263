"""Can the numbers be trusted at all: was traffic split as set, and do the same people rate?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from experiments.stats.distributions import chi_square_tail, normal_cdf
from experiments.stats.moments import Moments, clustered_variance

LEAST_UNITS = 100
"""Below so many units a split says nothing."""
SPLIT_ALARM = 0.001
"""The verdict is hidden below this p-value. Read hourly for a week it comes in 1.7 % of healthy experiments."""
SPLIT_HOLD = 0.0001
"""A gradual launch waits for a person below this one: 0.23 % of healthy ones."""
RATING_ALARM = 0.001
RATING_SHARE = 0.1
LEAST_RATINGS = 100


@dataclass(frozen=True, slots=True)
class Split:
    """How units were split. `p_value` None: fewer than 100 units, or one variant alone."""

    statistic: float
    degrees: int
    p_value: float | None

    @property
    def is_wrong(self) -> bool:
        return self.p_value is not None and self.p_value < SPLIT_ALARM


def sample_ratio(units: Mapping[str, int], weights: Mapping[str, int]) -> Split:
    """Return Pearson's chi-square of units per variant against their weights, all of one phase (Pearson 1900).

    Variants without weight are left out first: they would add a degree of freedom and hide a fault (Fabijan et al.
    2019, KDD, doi:10.1145/3292500.3330722, for causes).
    """
    served = {key: weight for key, weight in weights.items() if weight > 0}
    total, whole = sum(units.get(key, 0) for key in served), sum(served.values())
    degrees = max(0, len(served) - 1)
    if total < LEAST_UNITS or not degrees:
        return Split(0.0, degrees, None)
    expected = {key: total * weight / whole for key, weight in served.items()}
    statistic = sum((units.get(key, 0) - much) ** 2 / much for key, much in expected.items())
    return Split(statistic, degrees, chi_square_tail(statistic, degrees))


@dataclass(frozen=True, slots=True)
class RatingRate:
    """Ratings per request of two variants. `change` is relative: 0.1 is a tenth more than the control."""

    control: float
    treatment: float
    change: float
    p_value: float
    is_alarming: bool


def rating_rate(control: Moments, treatment: Moments) -> RatingRate | None:
    """Return whether one variant is rated more often, from moments whose events are requests; None with too little.

    Approval is approval among those who rate. Where satisfied people rate less by a factor f its odds fall by f: at
    80 %, f = 0.75 looks like 5 points less. Alarming: p < .001, or a tenth more or less that is no accident (p < .05;
    with 100 ratings each, chance alone makes a tenth). The z test is clustered by unit.
    """
    if min(control.total, treatment.total) < LEAST_RATINGS:
        return None
    error = math.sqrt(clustered_variance(control) + clustered_variance(treatment))
    change = treatment.mean - control.mean
    p_value = 2 * normal_cdf(-abs(change) / error) if error else float(change == 0)
    relative = change / control.mean
    is_alarming = p_value < RATING_ALARM or (abs(relative) > RATING_SHARE and p_value < 0.05)
    return RatingRate(control.mean, treatment.mean, relative, p_value, is_alarming)
