"""Always-valid widths, against mpmath 1.3 at 30 digits, and GrowthBook's published tuning."""

from __future__ import annotations

import math

import pytest

from experiments.stats.moments import Moments, independent
from experiments.stats.sequential import interval, one_sided_half_width, two_sided_half_width, upper_limit


@pytest.mark.parametrize(
    ("variance", "events", "planned", "alpha", "two_sided", "one_sided"),
    [
        (0.001, 300, 1000, 0.05, 0.10118178449802858, 0.093966505023716189),
        (0.001, 300, 5000, 0.05, 0.14064648216710859, 0.13599962665111673),
        (0.0004, 1000, 1000, 0.05, 0.060704179807525058, 0.055581884706270434),
        (0.25, 2, 1000, 0.05, 9.8040607779106261, 9.8055284076829703),
        (0.00001, 100_000, 1000, 0.01, 0.012757646010922168, 0.0121445251155784),
        (0.002, 60, 300, 0.025, 0.16052828282271023, 0.15109954772990594),
    ],
)
def test_widths(
    variance: float, events: float, planned: float, alpha: float, two_sided: float, one_sided: float
) -> None:
    assert two_sided_half_width(variance, events, planned, alpha) == pytest.approx(two_sided, rel=1e-12)
    assert one_sided_half_width(variance, events, planned, alpha) == pytest.approx(one_sided, rel=1e-12)


@pytest.mark.parametrize(("planned", "sigmas"), [(5000, 4.4), (1000, 3.2)])
def test_a_plan_near_the_truth_is_narrower(planned: float, sigmas: float) -> None:
    """At 300 ratings GrowthBook's default of 5,000 costs 4.4 standard errors, a plan of 1,000 only 3.2."""
    assert two_sided_half_width(1.0, 300, planned) == pytest.approx(sigmas, abs=0.06)


def test_an_interval_is_about_the_difference_and_shrinks() -> None:
    low, high = interval(independent(1000, 800), independent(1000, 740), 2000)
    assert (low + high) / 2 == pytest.approx(-0.06)
    wider = interval(independent(100, 80), independent(100, 74), 2000)
    assert wider[0] < low < high < wider[1]


def test_the_upper_limit_lies_below_the_two_sided_one_of_the_same_level() -> None:
    control, treatment = independent(400, 320), independent(400, 280)
    assert upper_limit(control, treatment, 300, 0.05) < interval(control, treatment, 300, 0.05)[1]


def test_without_anything_that_varies_nothing_is_known() -> None:
    still = Moments(50, 50, 100.0, 50, 200.0, 100.0, squares=200.0)
    assert upper_limit(still, still, 300, 0.05) == math.inf
    assert interval(still, still, 300) == (-math.inf, math.inf)
