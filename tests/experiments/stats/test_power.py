"""How much it takes: the table of the specification, round trips, and what is unknown."""

from __future__ import annotations

from datetime import timedelta

import pytest

from experiments.stats.power import (
    baseline_lacking,
    days_left,
    days_to_decision,
    detectable_drop,
    power_of,
    ratings_per_variant,
)


@pytest.mark.parametrize(("points", "ratings"), [(1, 25_580), (2, 6_507), (3, 2_940), (5, 1_091), (10, 291), (20, 79)])
def test_ratings_for_a_drop_from_eighty_percent(points: int, ratings: int) -> None:
    """7.849 · (p0·q0 + p1·q1) / mde², rounded up; the published factor has four digits."""
    assert ratings_per_variant(0.8, -points / 100) == pytest.approx(ratings, abs=2)


@pytest.mark.parametrize("base", [0.5, 0.7, 0.8, 0.9])
@pytest.mark.parametrize("drop", [0.02, 0.05, 0.2])
def test_the_detectable_drop_is_the_one_that_takes_so_much(base: float, drop: float) -> None:
    ratings = ratings_per_variant(base, -drop)
    found = detectable_drop(base, ratings)
    assert found is not None
    assert found <= drop < (detectable_drop(base, ratings - 1) or 1)
    assert found == pytest.approx(drop, rel=0.02)


def test_users_who_rate_often_take_more() -> None:
    assert ratings_per_variant(0.8, -0.05, design_effect=2) == pytest.approx(2 * 1091, abs=2)
    assert detectable_drop(0.8, 2182, design_effect=2) == pytest.approx(0.05, rel=1e-3)


def test_what_cannot_be_seen_is_unknown() -> None:
    assert detectable_drop(0.8, 0) is None
    assert detectable_drop(0.05, 3) is None


@pytest.mark.parametrize(("base", "change"), [(0.8, 0), (0.8, 0.3), (0.1, -0.2), (1.2, -0.5)])
def test_differences_that_cannot_be_are_refused(base: float, change: float) -> None:
    with pytest.raises(ValueError, match="No difference"):
        ratings_per_variant(base, change)


@pytest.mark.parametrize(
    ("watched", "ratings", "already", "days"),
    [
        (timedelta(days=2), 400, 0, 11),
        (timedelta(days=2), 400, 1000, 1),
        (timedelta(days=2), 400, 1091, 0),
        (timedelta(hours=23), 400, 0, None),
        (timedelta(days=2), 99, 0, None),
    ],
)
def test_days_to_decision(watched: timedelta, ratings: int, already: int, days: int | None) -> None:
    """1,091 ratings of each of two texts at 200 a day take 11 days; too short a look says nothing."""
    assert days_to_decision(1091, 2, ratings, watched, already=already) == days


def test_power_is_what_the_ratings_were_planned_for() -> None:
    assert power_of(0.8, -0.05, ratings_per_variant(0.8, -0.05)) == pytest.approx(0.8, abs=1e-3)
    assert power_of(0.8, -0.05, 2182, design_effect=2) == pytest.approx(0.8, abs=1e-3)
    assert (power_of(0.8, -0.05, 0), power_of(1, 0, 10)) == (0.0, 0.0)
    with pytest.raises(ValueError, match="Not shares"):
        power_of(0.8, 0.3, 10)


def test_days_to_the_planned_number_are_unknown_at_first() -> None:
    assert baseline_lacking(40, timedelta(hours=18)) == (6.0, 60)
    assert baseline_lacking(100, timedelta(days=1)) is None
    assert days_left(1000, 40, timedelta(hours=18)) is None
    assert days_left(1000, 400, timedelta(days=2)) == 3
    assert days_left(1000, 1000, timedelta()) == 0
