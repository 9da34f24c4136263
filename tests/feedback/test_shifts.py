"""Where approval fell and calls became dearer: found where it happened, and not where nothing did."""

from __future__ import annotations

from collections import Counter

import pytest

from feedback.usage.shifts import Day, Shift, approval_fall, cost_rise, model_moves


def day(ups: int = 8, ratings: int = 10, cost: int = 100, **models: int) -> Day:
    return Day(ratings, ups, ratings, cost * ratings, Counter(models))


def test_a_fall_is_found_on_its_day() -> None:
    days = [day(9)] * 12 + [day(5)] * 12
    assert approval_fall(days) == Shift(12, 0.9, 0.5)
    assert approval_fall(days, first=20) is None
    assert approval_fall(days[::-1]) is None, "a rise is no fall"


@pytest.mark.parametrize("days", [[], [day()], [day(8)] * 30, [day(1, 1)] * 10 + [day(0, 1)] * 10])
def test_nothing_is_found_where_nothing_happened_or_too_little_is_known(days: list[Day]) -> None:
    assert approval_fall(days) is None and cost_rise(days) is None


def test_a_rise_of_what_a_call_costs_is_found() -> None:
    assert cost_rise([day(cost=100)] * 10 + [day(cost=150)] * 10) == Shift(10, 100, 150)
    assert cost_rise([day(cost=100)] * 10 + [day(cost=110)] * 10) is None
    assert cost_rise([day(cost=0)] * 10 + [day(cost=110)] * 10) == Shift(10, 0, 110)


def test_models_whose_share_moved_are_named() -> None:
    days = [day(small=10)] * 7 + [day(small=1, large=9)] * 7
    assert model_moves(days, 7) == [("large", 0.0, 0.9), ("small", 1.0, 0.1)]
    assert model_moves([day(), *days], 1) == []
