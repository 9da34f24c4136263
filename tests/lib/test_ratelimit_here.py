"""Budgets of one process: a count for each window, of which the last one fades."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from promptlab.lib import ratelimit
from promptlab.lib.ratelimit import Budget, Limit, budget, check_here

pytestmark = pytest.mark.usefixtures("fresh_limits")


@pytest.fixture
def ten() -> tuple[Budget, float]:
    """Ten calls in 60 s, and when its window begins."""
    made = Budget(10, 60)
    return made, made.ends_at - 60


def spend(made: Budget, now: float, calls: int) -> int:
    """Return how many of so many calls there is room for."""
    return sum(made.spend(now) for _ in range(calls))


def test_exactly_the_quota_is_allowed(ten: tuple[Budget, float]) -> None:
    made, start = ten
    assert spend(made, start, 30) == 10
    assert (made.left(start), made.reset_s(start + 15)) == (0, 46)


def test_the_last_window_counts_by_the_share_still_in_sight(ten: tuple[Budget, float]) -> None:
    made, start = ten
    assert spend(made, start + 59, 10) == 10
    assert spend(made, start + 60, 10) == 0
    assert spend(made, start + 60 + 30, 10) == 5
    assert spend(made, start + 60 + 59.99, 10) == 5


def test_it_says_when_there_is_room_again_and_then_there_is(ten: tuple[Budget, float]) -> None:
    made, start = ten
    spend(made, start + 50, 10)
    spend(made, start + 70, 10)
    now = start + 70
    assert not made.spend(now)
    assert made.spend(now + made.reset_s(now))
    assert not made.spend(now)


def test_a_quiet_window_gives_everything_back(ten: tuple[Budget, float]) -> None:
    made, start = ten
    spend(made, start, 10)
    assert spend(made, start + 60 * 7, 30) == 10


def test_exactly_the_quota_is_allowed_to_many_threads() -> None:
    made = Budget(1000, 3600)
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: spend(made, time.monotonic(), 400), range(8))) == 1000


def test_budgets_are_kept_apart_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratelimit, "MAX_BUDGETS", 4)
    limit = Limit("few", 1, 60)
    assert budget(limit, "a") is budget(limit, "a") is not budget(limit, "b")
    for who in "abcdefghij":
        assert check_here(limit, who).is_allowed
    assert len(ratelimit._budgets) <= 4
    assert not check_here(limit, "j").is_allowed
