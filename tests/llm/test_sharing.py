"""What processes tell each other of a provider that fails. Two breakers of one name stand for two processes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from promptlab.lib import redis
from promptlab.llm import resilience, sharing
from promptlab.llm.errors import ProviderUnavailable
from promptlab.llm.resilience import FAILURES_TO_OPEN, SharedBreaker

WHO = ("shared", "m")


@pytest.fixture(autouse=True)
def _no_wait_between_looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(resilience, "LOOK_S", 0.0)
    assert redis.ping()
    sharing.forget(*WHO)
    yield
    if redis.ping():
        sharing.forget(*WHO)


async def fail(breaker: SharedBreaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(ProviderUnavailable, match="itself"):
            async with breaker.guard():
                raise ProviderUnavailable("itself")


async def is_let_through(breaker: SharedBreaker) -> bool:
    try:
        async with breaker.guard():
            return True
    except ProviderUnavailable:
        return False


async def is_over() -> None:
    """Let the time of the open breaker pass, as Redis counts it."""
    await asyncio.to_thread(redis.client().pexpire, sharing._name(*WHO), round(sharing.KEEP_S * 1000))


async def opened() -> tuple[SharedBreaker, SharedBreaker]:
    one, other = SharedBreaker(*WHO), SharedBreaker(*WHO)
    await fail(one, FAILURES_TO_OPEN)
    return one, other


@pytest.mark.asyncio
async def test_what_one_process_found_out_all_believe() -> None:
    _, other = await opened()
    with pytest.raises(ProviderUnavailable) as caught:
        async with other.guard():
            raise AssertionError("let through")
    assert caught.value.retry_after_s is not None
    assert 1 <= caught.value.retry_after_s <= resilience.OPEN_S


@pytest.mark.asyncio
async def test_one_process_at_a_time_finds_out_and_success_lets_all_in() -> None:
    _, other = await opened()
    third = SharedBreaker(*WHO)
    await is_over()
    async with other.guard() as answering:
        assert not await is_let_through(third)
        assert not await is_let_through(third)
        await answering()
        assert await is_let_through(third)
    assert await is_let_through(SharedBreaker(*WHO))
    assert await sharing.open_left_s(*WHO) is None


@pytest.mark.asyncio
async def test_finding_out_that_it_goes_on_keeps_all_out() -> None:
    _, other = await opened()
    await is_over()
    await fail(other)
    assert not await is_let_through(SharedBreaker(*WHO))


@pytest.mark.asyncio
async def test_who_is_cancelled_while_finding_out_leaves_it_to_the_next() -> None:
    _, other = await opened()
    await is_over()
    with pytest.raises(asyncio.CancelledError):
        async with other.guard():
            raise asyncio.CancelledError
    assert await is_let_through(SharedBreaker(*WHO))


@pytest.mark.asyncio
async def test_who_opened_it_hears_that_somebody_else_closed_it() -> None:
    one, other = await opened()
    await is_over()
    assert await is_let_through(other)
    assert await is_let_through(one)


@pytest.mark.asyncio
async def test_without_redis_each_process_goes_on_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def away(operation: object) -> None:
        asked.append(1)
        raise redis.RedisAway

    monkeypatch.setattr(redis, "attempt", away)
    one, other = await opened()
    assert not await is_let_through(one)
    assert await is_let_through(other)
    assert asked
