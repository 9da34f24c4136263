"""Budgets: exact over all threads and processes, and about right when Redis is away."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from promptlab.lib import redis
from promptlab.lib.errors import RateLimited
from promptlab.lib.ratelimit import (
    Demand,
    Limit,
    Taken,
    Verdict,
    acheck,
    acheck_all,
    check,
    check_here,
    strictest,
)
from promptlab.lib.windows import Want, Window

pytestmark = pytest.mark.usefixtures("fresh_limits")
_names = count()


def a_limit(quota: int, window_s: int = 3600) -> Limit:
    return Limit(f"test{next(_names)}", quota, window_s)


def test_exactly_the_quota_is_allowed_whatever_runs_at_once() -> None:
    limit = a_limit(40)
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(lambda _: check(limit, "key:1"), range(120)))
    assert all(verdict.is_shared for verdict in verdicts)
    assert sum(verdict.is_allowed for verdict in verdicts) == 40


def test_exactly_the_quota_is_allowed_on_the_hot_routes_too() -> None:
    limit = a_limit(10)

    async def thirty() -> list[Verdict]:
        return await asyncio.gather(*(acheck(limit, "key:1") for _ in range(30)))

    verdicts = asyncio.run(thirty())
    assert all(verdict.is_shared for verdict in verdicts)
    assert sum(verdict.is_allowed for verdict in verdicts) == 10


def test_both_kinds_of_routes_spend_the_same_budget() -> None:
    limit = a_limit(2)
    assert check(limit, "key:1").is_allowed
    assert asyncio.run(acheck(limit, "key:1")).is_allowed
    assert not check(limit, "key:1").is_allowed


def test_callers_and_purposes_do_not_spend_each_other_s_budget() -> None:
    limit = a_limit(1)
    assert check(limit, "key:1").is_allowed
    assert check(limit, "key:2").is_allowed
    assert check(a_limit(1), "key:1").is_allowed
    assert not check(limit, "key:1").is_allowed


def test_the_headers_say_what_is_left() -> None:
    limit = a_limit(3)
    first = check(limit, "key:1")
    assert first.headers()["RateLimit-Policy"] == f'"{limit.name}";q=3;w=3600'
    assert re.fullmatch(rf'"{limit.name}";r=2;t=\d+', first.headers()["RateLimit"])
    for _ in range(3):
        last = check(limit, "key:1")
    assert re.fullmatch(rf'"{limit.name}";r=0;t=\d+', last.headers()["RateLimit"])
    assert 1 <= last.reset_s <= 3601


def test_too_many_is_an_error_that_says_how_long_to_wait() -> None:
    limit = a_limit(1, 60)
    verdict = check(limit, "key:1")
    assert verdict.enforce() is verdict
    with pytest.raises(RateLimited) as refused:
        check(limit, "key:1").enforce()
    assert refused.value.status == 429
    assert 1 <= (refused.value.retry_after_s or 0) <= 61
    assert "More than 1 calls in 1 minutes" in refused.value.detail


def test_the_window_slides_and_gives_room_again() -> None:
    limit = a_limit(2, 1)
    assert [check(limit, "key:1").is_allowed for _ in range(3)] == [True, True, False]
    deadline = time.monotonic() + 5
    while not check(limit, "key:1").is_allowed:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_without_redis_each_process_allows_its_share(no_redis: None, settings: Any) -> None:
    settings.WEB_PROCESSES = 4
    limit = a_limit(40)
    verdicts = [check(limit, "key:1") for _ in range(30)]
    assert sum(verdict.is_allowed for verdict in verdicts) == 10
    assert not any(verdict.is_shared for verdict in verdicts)


def test_the_share_is_never_nothing(no_redis: None, settings: Any) -> None:
    settings.WEB_PROCESSES = 4
    assert asyncio.run(acheck(a_limit(2), "key:1")).is_allowed


def test_a_stopped_redis_delays_callers_by_one_short_wait_together(
    redis_at: Callable[[Path], None], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "mute.sock"))
        mute.listen(8)
        redis_at(tmp_path / "mute.sock")
        started = time.monotonic()
        assert all(check(a_limit(5), "key:1").is_allowed for _ in range(50))
        assert time.monotonic() - started < 30


def test_a_budget_of_this_process_asks_nobody(no_redis: None) -> None:
    limit = a_limit(2, 60)
    assert [check_here(limit, "key:1").is_allowed for _ in range(3)] == [True, True, False]
    assert check_here(limit, "key:2").remaining == 1


def test_the_strictest_verdict_is_the_one_with_least_room() -> None:
    wide, narrow, empty = (
        Verdict(a_limit(9), allowed, left, 1) for allowed, left in ((True, 8), (True, 2), (False, 5))
    )
    assert strictest([wide, narrow]) is narrow
    assert strictest([wide, narrow, empty]) is empty


def test_several_limits_are_taken_together_or_not_at_all() -> None:
    calls, tokens = a_limit(5, 60), Limit(f"test{next(_names)}", 100, 60, of="tokens")

    def take(size: int) -> list[Verdict]:
        return asyncio.run(acheck_all([Demand(calls, "key:1"), Demand(tokens, "key:1", size)]))

    assert [verdict.remaining for verdict in take(70)] == [4, 30]
    refused = take(40)
    assert [verdict.is_allowed for verdict in refused] == [True, False]
    assert [verdict.remaining for verdict in take(30)] == [3, 0]
    with pytest.raises(RateLimited, match="More than 100 tokens in 1 minutes"):
        refused[1].enforce()


@pytest.mark.parametrize("is_shared", [True, False])
def test_what_was_taken_is_settled_where_it_was_taken(is_shared: bool, request: pytest.FixtureRequest) -> None:
    if not is_shared:
        request.getfixturevalue("no_redis")
    demand = Demand(a_limit(100, 60), "key:1", 50)
    first = asyncio.run(acheck_all([demand]))[0]
    assert (first.remaining, first.is_shared) == (50, is_shared)
    asyncio.run(Taken(demand, first.is_shared).settle(20))
    assert asyncio.run(acheck_all([demand]))[0].remaining == 30
    asyncio.run(Taken(demand, first.is_shared).settle(120))
    assert asyncio.run(acheck(demand.limit, "key:1")).remaining == 0


def test_the_script_is_told_again_to_a_redis_that_forgot_it() -> None:
    limit = a_limit(3)
    assert check(limit, "key:1").is_shared
    redis.client().script_flush()
    assert check(limit, "key:1").is_shared
    redis.client().script_flush()
    assert asyncio.run(acheck(limit, "key:1")).is_shared
    assert not check(limit, "key:1").is_allowed


def test_room_comes_back_when_it_was_said_to() -> None:
    want = Want("k", 10, 60, 4)
    full = Window(want, before=0, count=10, left_s=30)
    assert not full.has_room
    # Of these ten six may be in sight, and less than a seventh: three tenths of the next window have to pass.
    assert full.wait_s() == pytest.approx(30 + 60 * 0.3)
    fading = Window(want, before=10, count=0, left_s=60)
    assert fading.wait_s() == pytest.approx(60 - 60 * 0.7)
    later = Window(want, before=10, count=0, left_s=60 * 0.7 - 0.001)
    assert later.has_room
