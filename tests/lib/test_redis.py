"""The breaker: a dead Redis costs one wait, not thousands."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis as client

from promptlab.lib import redis


@pytest.fixture
def mute(tmp_path: Path) -> Iterator[Path]:
    """A server that takes connections and never says a word, as a stopped process does."""
    path = tmp_path / "mute.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(64)
        yield path


def get() -> object:
    return client.Redis(connection_pool=redis.pool()).get("tests:anything")


async def aget() -> object:
    return await client.asyncio.Redis(connection_pool=redis.apool()).get("tests:anything")


def test_a_call_that_works_gives_its_answer() -> None:
    assert redis.attempt(get) is None
    assert asyncio.run(redis.aattempt(aget)) is None
    assert redis.ping()
    assert not redis.is_away()


def test_after_one_failure_nobody_asks_again_for_a_while(no_redis: None) -> None:
    with pytest.raises(redis.RedisAway):
        redis.attempt(get)
    asked: list[int] = []
    with pytest.raises(redis.RedisAway):
        redis.attempt(lambda: asked.append(1))
    assert asked == []
    assert redis.is_away()


def test_after_the_pause_the_next_call_tries_again(no_redis: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis, "OPEN_S", 0.0)
    with pytest.raises(redis.RedisAway):
        redis.attempt(get)
    assert redis.attempt(lambda: "back") == "back"
    assert not redis.is_away()


def test_an_error_that_is_not_redis_s_passes_and_opens_nothing() -> None:
    with pytest.raises(ZeroDivisionError):
        redis.attempt(lambda: 1 / 0)
    assert not redis.is_away()


def test_asking_how_it_is_asks_even_while_the_breaker_is_open(no_redis: None) -> None:
    assert redis.ping() is False
    assert redis.is_away()
    redis.breaker.answered()
    assert redis.ping() is False


def test_a_ping_that_is_answered_closes_the_breaker() -> None:
    redis.breaker.failed(client.ConnectionError())
    assert redis.is_away()
    assert redis.ping() is True
    assert not redis.is_away()


def test_a_stopped_server_costs_one_short_wait(mute: Path, redis_at: Callable[[Path], None]) -> None:
    redis_at(mute)
    started = time.monotonic()
    for _ in range(50):
        with pytest.raises(redis.RedisAway):
            redis.attempt(get)
    assert time.monotonic() - started < 30


def test_a_stopped_server_costs_the_event_loop_one_short_wait(mute: Path, redis_at: Callable[[Path], None]) -> None:
    redis_at(mute)

    async def fifty() -> float:
        started = time.monotonic()
        for _ in range(50):
            with pytest.raises(redis.RedisAway):
                await redis.aattempt(aget)
        return time.monotonic() - started

    assert asyncio.run(fifty()) < 5
