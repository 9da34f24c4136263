"""What processes tell each other of a provider that fails: over Redis, and only that. Without Redis each knows its own.

A breaker that opened is one name that expires: for as long as more than `KEEP_S` of its life is left it is open, then
one process at a time may try. Times are Redis's own, so that no two clocks have to agree.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings

from promptlab.lib import redis

T = TypeVar("T")
KEEP_S = 60.0
"""How long an opened breaker is remembered after its time, for a call that tries whether the provider is back."""
PROBE_S = 30.0
"""How long others leave the trying to one process. It says sooner how it went, unless it dies."""


async def open_left_s(provider: str, model: str) -> float | None:
    """Return the seconds that the breaker stays open; 0 when a call may try; `None` when it is closed.

    Raises redis.RedisAway.
    """
    name = _name(provider, model)
    left_ms = await _ask(lambda: redis.client().pttl(name))
    return max(0.0, left_ms / 1000 - KEEP_S) if left_ms > 0 else None


async def tell_opened(provider: str, model: str, open_s: float) -> None:
    """Tell that the breaker opened, for so long. Raises redis.RedisAway."""
    name = _name(provider, model)
    await _ask(lambda: redis.client().set(name, 1, px=round((open_s + KEEP_S) * 1000)))
    await end_probe(provider, model)


async def tell_closed(provider: str, model: str) -> None:
    """Tell that the provider answers again. Raises redis.RedisAway."""
    await _ask(lambda: forget(provider, model))


async def claim_probe(provider: str, model: str) -> bool:
    """Return whether this process is the one to try. Raises redis.RedisAway."""
    name = f"{_name(provider, model)}:probe"
    return bool(await _ask(lambda: redis.client().set(name, 1, nx=True, px=round(PROBE_S * 1000))))


async def end_probe(provider: str, model: str) -> None:
    """Let somebody else try. Raises redis.RedisAway."""
    name = f"{_name(provider, model)}:probe"
    await _ask(lambda: redis.client().delete(name))


def forget(provider: str, model: str) -> None:
    """Drop what is known. Blocks; to be wrapped in `redis.attempt`."""
    name = _name(provider, model)
    redis.client().delete(name, f"{name}:probe")


def _name(provider: str, model: str) -> str:
    told_apart = hashlib.sha256(f"{provider}\0{model}".encode(errors="replace")).hexdigest()[:32]
    return f"{settings.REDIS_PREFIX}:breaker:{told_apart}"


async def _ask(operation: Callable[[], T]) -> T:
    """Ask in a thread, over the process's own pool: a caller who hangs up leaves no half-read connection behind."""
    return await asyncio.to_thread(redis.attempt, operation)
