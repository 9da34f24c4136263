"""Traffic split and rating rate: hand-counted statistics, and the traps."""

from __future__ import annotations

import math

import pytest

from experiments.stats.health import rating_rate, sample_ratio
from experiments.stats.moments import Moments


@pytest.mark.parametrize(
    ("units", "weights", "statistic", "p_value"),
    [
        ({"a": 500, "b": 500}, {"a": 5000, "b": 5000}, 0.0, 1.0),
        ({"a": 550, "b": 450}, {"a": 5000, "b": 5000}, 10.0, math.erfc(math.sqrt(5))),
        ({"a": 5050, "b": 4950}, {"a": 1, "b": 1}, 1.0, math.erfc(math.sqrt(0.5))),
        (
            {"a": 60, "b": 25, "c": 25},
            {"a": 5000, "b": 2500, "c": 2500},
            0.9090909090909091,
            math.exp(-0.45454545454545),
        ),
        ({"a": 30, "b": 50, "c": 40}, {"a": 1, "b": 1, "c": 1}, 5.0, math.exp(-2.5)),
    ],
)
def test_sample_ratio(units: dict[str, int], weights: dict[str, int], statistic: float, p_value: float) -> None:
    """One degree of freedom has p = erfc(√(x/2)), two have p = exp(-x/2)."""
    found = sample_ratio(units, weights)
    assert (found.statistic, found.p_value) == pytest.approx((statistic, p_value), rel=1e-9)


def test_a_variant_without_weight_adds_no_degree_of_freedom() -> None:
    found = sample_ratio({"a": 550, "b": 450, "off": 3}, {"a": 5000, "b": 5000, "off": 0})
    assert (found.degrees, found.p_value) == (1, pytest.approx(math.erfc(math.sqrt(5))))


def test_ninety_nine_units_say_nothing() -> None:
    assert sample_ratio({"a": 99, "b": 0}, {"a": 1, "b": 1}).p_value is None
    assert sample_ratio({"a": 100, "b": 0}, {"a": 1, "b": 1}).is_wrong
    assert sample_ratio({"a": 1000}, {"a": 10_000}).p_value is None


def rated(requests: int, ratings: int) -> Moments:
    """Every request from another user, and rated at most once."""
    return Moments(requests, requests, ratings, requests, ratings, ratings, squares=ratings)


@pytest.mark.parametrize(
    ("control", "treatment", "is_alarming"),
    [
        (rated(10_000, 1000), rated(10_000, 1020), False),
        (rated(10_000, 1000), rated(10_000, 850), True),
        (rated(1000, 100), rated(1000, 112), False),
        (rated(1_000_000, 100_000), rated(1_000_000, 98_000), True),
    ],
)
def test_raters_differ(control: Moments, treatment: Moments, is_alarming: bool) -> None:
    found = rating_rate(control, treatment)
    assert found is not None
    assert found.is_alarming == is_alarming
    assert found.change == pytest.approx(treatment.total / control.total - 1)


def test_few_ratings_say_nothing_about_who_rates() -> None:
    assert rating_rate(rated(1000, 100), rated(1000, 99)) is None
