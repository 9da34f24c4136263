"""The clustered variance: against the definition over units, exact fractions, and its own rules."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from experiments.stats.moments import Moments, clustered_variance, design_effect, effective_events, independent, spread

Units = list[tuple[int, int]]


def some(seed: int) -> Units:
    """Two to forty units with one to nine ratings each."""
    chance = random.Random(seed)
    sizes = [chance.randint(1, 9) for _ in range(chance.randint(2, 40))]
    return [(size, chance.randint(0, size)) for size in sizes]


def of(units: Units) -> Moments:
    return Moments(
        len(units),
        sum(n for n, _ in units),
        sum(s for _, s in units),
        sum(n * n for n, _ in units),
        sum(s * s for _, s in units),
        sum(n * s for n, s in units),
    )


def by_definition(units: Units) -> Fraction:
    """The sample variance of s_i - R·n_i over units, divided by K and the square of the mean n: Deng et al., eq. 4."""
    k, n = len(units), sum(n for n, _ in units)
    mean = Fraction(sum(s for _, s in units), n)
    residuals = [s - mean * m for m, s in units]
    variance = sum(one * one for one in residuals) / (k - 1)
    return variance / k / Fraction(n, k) ** 2


@pytest.mark.parametrize("seed", range(20))
def test_the_sums_give_what_the_definition_gives(seed: int) -> None:
    units = some(seed)
    assert clustered_variance(of(units)) == pytest.approx(float(by_definition(units)), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(
    ("units", "variance"),
    [
        ([(1, 1), (1, 0)], Fraction(1, 4)),
        ([(2, 2), (2, 0)], Fraction(1, 4)),
        ([(3, 2), (1, 0), (2, 2)], Fraction(1, 27)),
        ([(1, 1)] * 3 + [(1, 0)], Fraction(1, 16)),
        ([(4, 4), (4, 4), (4, 4)], Fraction(0)),
    ],
)
def test_hand_counted(units: Units, variance: Fraction) -> None:
    assert by_definition(units) == variance
    assert clustered_variance(of(units)) == pytest.approx(float(variance), abs=1e-15)


@pytest.mark.parametrize("seed", range(20))
def test_a_mean_is_never_more_certain_than_of_independent_ratings(seed: int) -> None:
    units = some(seed)
    found = spread(of(units))
    assert found.mean >= found.event / of(units).events
    assert design_effect(of(units)) >= 1


def test_units_that_say_everything_thrice_count_once() -> None:
    once, thrice = independent(100, 80), of([(3, 3)] * 80 + [(3, 0)] * 20)
    assert clustered_variance(thrice) == pytest.approx(clustered_variance(once))
    assert design_effect(thrice) == pytest.approx(3, rel=0.05)


def test_independent_ratings_are_effective_all() -> None:
    one, other = spread(independent(500, 400)), spread(independent(500, 380))
    assert effective_events(one, other) == pytest.approx(1000, rel=0.005)


def test_all_up_is_no_certainty() -> None:
    assert spread(independent(30, 30)).mean == pytest.approx(31 / 32 * 1 / 32 / 30)


def test_measures_spread_as_their_events_do() -> None:
    values = [1.0, 2.0, 4.0, 9.0]
    each = Moments(4, 4, 16.0, 4, 102.0, 16.0, squares=102.0)
    assert spread(each).event == pytest.approx(38 / 3)
    assert spread(each).mean == pytest.approx(38 / 3 / len(values))


def test_one_unit_has_no_variance_between_units_and_nothing_has_none() -> None:
    assert clustered_variance(Moments(1, 5, 3, 25, 9, 15)) == 0.0
    with pytest.raises(ValueError, match="Nothing"):
        clustered_variance(Moments(0, 0, 0, 0, 0, 0))
    assert spread(Moments(1, 1, 5.0, 1, 25.0, 5.0, squares=25.0)).mean == 0.0
