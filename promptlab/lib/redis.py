"""The only door to Redis: clients with hard time-outs, and a breaker so that a dead Redis costs one wait, not thousands.

Redis is never the truth here, and never trusted: what it holds can be lost or wrong and nothing but speed suffers.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import redis
import redis.asyncio
from django.conf import settings
from redis import Redis as Client
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError as ScriptUnknown
from redis.exceptions import RedisError
from redis.retry import Retry

from promptlab.lib.logs import get_logger

log = get_logger(__name__)
T = TypeVar("T")

TIMEOUT_S = 0.25
"""A stopped Redis hangs a client for minutes by default; nothing here waits longer than this."""

OPEN_S = 2.0
"""How long nobody asks again after a failure."""

__all__ = [
    "Client",
    "RedisAway",
    "RedisError",
    "ScriptUnknown",
    "aattempt",
    "acommand",
    "apool",
    "attempt",
    "client",
    "is_away",
    "ping",
    "pool",
    "publish",
    "subscription",
]
Heard = Callable[[float], "tuple[str, str] | None"]
"""Waits so many seconds for a word and returns (channel, value); ("", "") for a sign of life, None for nothing."""


class RedisAway(Exception):
    """Redis did not answer, or did not a moment ago."""


class Breaker:
    """Closed until a call fails; then open for `OPEN_S`, for this process."""

    def __init__(self) -> None:
        self._open_until = 0.0
        self._was_away = False

    @property
    def is_open(self) -> bool:
        return time.monotonic() < self._open_until

    def failed(self, error: Exception) -> None:
        self._open_until = time.monotonic() + OPEN_S
        if not self._was_away:
            self._was_away = True
            log.warning("redis_away", error=type(error).__name__)

    def answered(self) -> None:
        self._open_until = 0.0
        if self._was_away:
            self._was_away = False
            log.info("redis_back")


breaker = Breaker()
_pool: redis.ConnectionPool | None = None
_apools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, redis.asyncio.ConnectionPool] = (
    weakref.WeakKeyDictionary()
)
_aclients: weakref.WeakKeyDictionary[redis.asyncio.ConnectionPool, redis.asyncio.Redis] = weakref.WeakKeyDictionary()


def _options() -> dict[str, Any]:
    return {
        "socket_timeout": TIMEOUT_S,
        "socket_connect_timeout": TIMEOUT_S,
        "max_connections": 50,
        "timeout": TIMEOUT_S,
    }


def pool() -> redis.ConnectionPool:
    """Return the process's pool of blocking connections."""
    global _pool
    if _pool is None:
        _pool = redis.BlockingConnectionPool.from_url(settings.REDIS_URL, retry=Retry(NoBackoff(), 0), **_options())
    return _pool


def client() -> redis.Redis:
    """Return a client over the process's pool. Its calls belong inside `attempt`."""
    return redis.Redis(connection_pool=pool())


def apool() -> redis.asyncio.ConnectionPool:
    """Return the running event loop's pool. A pool belongs to the loop that made it."""
    loop = asyncio.get_running_loop()
    if loop not in _apools:
        _apools[loop] = redis.asyncio.BlockingConnectionPool.from_url(
            settings.REDIS_URL, retry=redis.asyncio.retry.Retry(NoBackoff(), 0), **_options()
        )
    return _apools[loop]


def is_away() -> bool:
    """Tell whether Redis failed within the last seconds."""
    return breaker.is_open


def attempt(operation: Callable[[], T]) -> T:
    """Run `operation`, which talks to Redis; raise RedisAway at once while the breaker is open, or when it fails."""
    if breaker.is_open:
        raise RedisAway
    try:
        result = operation()
    except (RedisError, OSError) as error:
        breaker.failed(error)
        raise RedisAway from error
    breaker.answered()
    return result


async def aattempt(operation: Callable[[], Awaitable[T]]) -> T:
    """Await `operation`; the same promise as `attempt`, and never longer than twice the time-out.

    Raises ScriptUnknown as well: Redis is there, and has to be told the script.
    """
    if breaker.is_open:
        raise RedisAway
    try:
        result = await asyncio.wait_for(operation(), TIMEOUT_S * 2)
    except ScriptUnknown:
        breaker.answered()
        raise
    except (RedisError, OSError, TimeoutError) as error:
        breaker.failed(error)
        raise RedisAway from error
    breaker.answered()
    return result


async def acommand(*words: str | bytes | int) -> Any:
    """Return what Redis answers to one command. Raises RedisAway, ScriptUnknown."""
    client = _aclient()
    return await aattempt(lambda: client.execute_command(*words))  # type: ignore[no-untyped-call]


def _aclient() -> redis.asyncio.Redis:
    """Return the client over the running loop's pool, made once: making one takes as long as asking it."""
    pool = apool()
    if pool not in _aclients:
        _aclients[pool] = redis.asyncio.Redis(connection_pool=pool)
    return _aclients[pool]


def ping() -> bool:
    """Ask Redis now, breaker or not, and return whether it answered."""
    try:
        redis.Redis(connection_pool=pool()).ping()
    except (RedisError, OSError) as error:
        breaker.failed(error)
        return False
    breaker.answered()
    return True


def publish(channel: str, value: str) -> None:
    """Say `value` to whoever listens to the channel now. Raises RedisAway."""
    attempt(lambda: redis.Redis(connection_pool=pool()).publish(channel, value))


@contextmanager
def subscription(patterns: Sequence[str]) -> Iterator[Heard]:
    """Listen to the channels of these patterns, over a connection of its own. Raises RedisAway, also in between."""
    listener = redis.Redis(connection_pool=pool()).pubsub()  # type: ignore[no-untyped-call]

    def hear(timeout_s: float) -> tuple[str, str] | None:
        message = listener.get_message(timeout=timeout_s)
        if message is None:
            listener.ping()
            return None
        if message["type"] != "pmessage":
            return "", ""
        return message["channel"].decode(), message["data"].decode()

    try:
        attempt(lambda: listener.psubscribe(*patterns))
        yield hear
    except (RedisError, OSError) as error:
        breaker.failed(error)
        raise RedisAway from error
    finally:
        listener.close()
