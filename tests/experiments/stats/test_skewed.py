"""Waiting times and cost: what a few enormous values do, and do not."""

from __future__ import annotations

import math

import pytest

from experiments.stats.moments import Moments
from experiments.stats.skewed import latency_ratio, of_units, winsorised


def waits(*milliseconds: float) -> Moments:
    """Each of another user."""
    logs = [math.log(one) for one in milliseconds]
    n, squares = len(logs), sum(one * one for one in logs)
    return Moments(n, n, sum(logs), n, squares, sum(logs), squares=squares)


def test_the_ratio_is_of_geometric_means() -> None:
    ratio, low, high = latency_ratio(waits(*[100, 400] * 200), waits(*[125, 500] * 200), planned=2000)
    assert ratio == pytest.approx(1.25)
    assert 0 < low < ratio < high
    assert math.sqrt(low * high) == pytest.approx(ratio)


def test_the_moments_of_units() -> None:
    assert of_units([(1, 2.0), (3, 6.0), (0, 9.0)]) == Moments(2, 4, 8.0, 10, 40.0, 20.0, squares=16.0)


def test_one_enormous_bill_is_held_down() -> None:
    units = [(1, 0.01)] * 4000 + [(1, 1000.0)]
    held = winsorised(units)
    assert (held.units, held.mean) == (4001, pytest.approx(0.01))
    assert of_units(units).mean > 0.25


def test_the_limit_is_the_nearest_rank() -> None:
    held = winsorised([(1, float(one)) for one in range(1, 11)], kept=0.8)
    assert held.total == sum(range(1, 9)) + 8 + 8
    assert winsorised([]).units == 0
