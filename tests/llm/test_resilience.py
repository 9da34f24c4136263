"""Time limits, the second try and the circuit breaker, each by itself and without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from promptlab.llm.errors import (
    BadRequest,
    LLMError,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
)
from promptlab.llm.patience import Within
from promptlab.llm.resilience import MAX_BREAKERS, Breakers, CircuitBreaker, pause_before_retry


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Source:
    """Yields numbers up to `silent_from`, then never again; knows whether it was closed."""

    def __init__(self, silent_from: int) -> None:
        self.silent_from = silent_from
        self.is_closed = False

    async def numbers(self) -> AsyncGenerator[int, None]:
        try:
            for number in range(self.silent_from):
                yield number
            await asyncio.Event().wait()
        finally:
            self.is_closed = True


async def collect(source: Source, **limits: float) -> list[int]:
    now = asyncio.get_running_loop().time()
    allowed = {"until": now + 60, "first_s": 60.0, "idle_s": 60.0, **limits}
    seen: list[int] = []
    with pytest.raises(ProviderTimeout):
        async for number in Within(source.numbers(), **allowed):
            seen.append(number)
    return seen


@pytest.mark.asyncio
async def test_silence_before_the_first_event_ends_the_wait() -> None:
    source = Source(silent_from=0)
    assert await collect(source, first_s=0.01) == []
    assert source.is_closed


@pytest.mark.asyncio
async def test_silence_between_events_ends_the_wait() -> None:
    source = Source(silent_from=2)
    assert await collect(source, idle_s=0.01) == [0, 1]
    assert source.is_closed


@pytest.mark.asyncio
async def test_the_deadline_holds_whatever_the_other_limits_allow() -> None:
    source = Source(silent_from=2)
    assert await collect(source, until=asyncio.get_running_loop().time() + 0.01) == [0, 1]
    assert source.is_closed


@pytest.mark.parametrize(
    ("error", "attempt", "left_s", "waits"),
    [
        (ProviderUnavailable(), 1, 60.0, True),
        (ProviderUnavailable(), 2, 60.0, False),
        (ProviderUnavailable(), 1, 0.05, False),
        (ProviderRateLimited(retry_after_s=1), 1, 60.0, True),
        (ProviderRateLimited(retry_after_s=3), 1, 60.0, False),
        (ProviderTimeout(), 1, 60.0, False),
        (BadRequest(), 1, 60.0, False),
    ],
)
def test_a_second_try_comes_only_where_it_may_help(error: LLMError, attempt: int, left_s: float, waits: bool) -> None:
    pause_s = pause_before_retry(error, attempt, left_s)
    assert (pause_s is not None) is waits
    if pause_s is not None:
        assert pause_s >= (error.retry_after_s or 0)


def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(failures_to_open=3, open_s=30.0, clock=clock)


def fail(guarded: CircuitBreaker, error: BaseException | None = None, times: int = 1) -> None:
    raised = error or ProviderUnavailable("the provider itself")
    for _ in range(times):
        with pytest.raises(type(raised), match=str(raised) or None), guarded.guard():
            raise raised


def is_open(guarded: CircuitBreaker) -> bool:
    try:
        with guarded.guard():
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        return False
    except ProviderUnavailable:
        return True


def test_the_breaker_opens_after_failures_in_a_row() -> None:
    guarded = breaker(Clock())
    fail(guarded, times=2)
    assert not is_open(guarded)
    fail(guarded)
    assert is_open(guarded)


def test_a_success_starts_the_count_anew() -> None:
    guarded = breaker(Clock())
    fail(guarded, times=2)
    with guarded.guard():
        pass
    fail(guarded, times=2)
    assert not is_open(guarded)


def test_a_refused_request_shows_that_the_provider_lives() -> None:
    guarded = breaker(Clock())
    fail(guarded, times=2)
    fail(guarded, BadRequest("no"))
    fail(guarded, times=2)
    assert not is_open(guarded)


def test_a_cancelled_call_says_nothing_about_the_provider() -> None:
    guarded = breaker(Clock())
    fail(guarded, times=2)
    fail(guarded, asyncio.CancelledError("by the caller"))
    fail(guarded)
    assert is_open(guarded)


def test_an_open_breaker_says_how_long_it_stays_so() -> None:
    clock = Clock()
    guarded = breaker(clock)
    fail(guarded, times=3)
    clock.now += 10.5
    with pytest.raises(ProviderUnavailable) as caught, guarded.guard():
        raise AssertionError("let through")
    assert caught.value.retry_after_s == 20


def test_after_a_while_one_call_finds_out_while_the_others_wait() -> None:
    clock = Clock()
    guarded = breaker(clock)
    fail(guarded, times=3)
    clock.now += 30
    with guarded.guard():
        assert is_open(guarded)
    assert not is_open(guarded)


def test_the_first_token_of_that_call_lets_the_others_in() -> None:
    clock = Clock()
    guarded = breaker(clock)
    fail(guarded, times=3)
    clock.now += 30
    with guarded.guard() as answering:
        answering()
        assert not is_open(guarded)


def test_a_failure_of_that_call_opens_for_another_while() -> None:
    clock = Clock()
    guarded = breaker(clock)
    fail(guarded, times=3)
    clock.now += 30
    with pytest.raises(ProviderUnavailable, match="midway"), guarded.guard() as answering:
        answering()
        raise ProviderUnavailable("midway")
    clock.now += 29
    assert is_open(guarded)
    clock.now += 1
    assert not is_open(guarded)


def test_a_cancelled_probe_leaves_the_place_to_the_next() -> None:
    clock = Clock()
    guarded = breaker(clock)
    fail(guarded, times=3)
    clock.now += 30
    fail(guarded, asyncio.CancelledError("by the caller"))
    with guarded.guard():
        pass
    assert not is_open(guarded)


def test_each_model_has_its_own_breaker_and_the_oldest_are_forgotten() -> None:
    breakers = Breakers()
    first = breakers.of("openai", "a")
    assert breakers.of("openai", "a") is first
    assert breakers.of("openai", "b") is not first
    for number in range(MAX_BREAKERS):
        breakers.of("openai", f"model-{number}")
    assert breakers.of("openai", "a") is not first
