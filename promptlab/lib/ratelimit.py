"""Rate limits: one budget per caller over all processes, counted in Redis by atomic scripts of the `limits` library.

When Redis is away each process counts for itself, at its share of the quota, so that the sum stays about right. Routes
that must not pay a round trip count per process always.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import limits
import limits.aio.storage
import limits.aio.strategies
import limits.storage
import limits.strategies
from django.conf import settings

from promptlab.lib import redis
from promptlab.lib.errors import RateLimited
from promptlab.lib.logs import get_logger

log = get_logger(__name__)
HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `quota` calls in any `window_s` seconds. `name` separates budgets of the same caller."""

    name: str
    quota: int
    window_s: int = HOUR_S


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the limiter says of one call. `reset_s`: whole seconds until the window has room again."""

    limit: Limit
    is_allowed: bool
    remaining: int
    reset_s: int
    is_shared: bool = True

    def headers(self) -> dict[str, str]:
        """Return the RateLimit headers (draft-ietf-httpapi-ratelimit-headers)."""
        name, quota = self.limit.name, self.limit.quota
        return {
            "RateLimit-Policy": f'"{name}";q={quota};w={self.limit.window_s}',
            "RateLimit": f'"{name}";r={self.remaining};t={self.reset_s}',
        }

    def enforce(self) -> Verdict:
        """Return the verdict, or raise RateLimited with the seconds to wait."""
        if not self.is_allowed:
            raise RateLimited(
                f"More than {self.limit.quota} calls in {self.limit.window_s // 60} minutes. "
                f"Try again in {self.reset_s} seconds.",
                retry_after_s=self.reset_s,
                limit=self.limit.quota,
                window_s=self.limit.window_s,
            )
        return self


def _item(limit: Limit) -> limits.RateLimitItem:
    return limits.RateLimitItemPerSecond(limit.quota, limit.window_s, namespace=settings.REDIS_PREFIX)


def _verdict(limit: Limit, allowed: bool, stats: limits.WindowStats) -> Verdict:
    reset_s = max(1, int(stats.reset_time - time.time()) + 1)
    return Verdict(limit, allowed, max(0, int(stats.remaining)), reset_s)


class Budget:
    """What one caller has left in this process: a count for this window, and of the last one the share still in sight."""

    __slots__ = ("_lock", "before", "count", "ends_at", "quota", "window_s")

    def __init__(self, quota: int, window_s: int) -> None:
        self.quota = quota
        self.window_s = window_s
        self.before = self.count = 0
        self.ends_at = time.monotonic() + window_s
        self._lock = threading.Lock()

    def spend(self, now: float, calls: int = 1) -> bool:
        """Count calls at `now` (monotonic) if there is room for all of them, and tell whether there was."""
        with self._lock:
            if now >= self.ends_at:
                self._turn(now)
            # As long as both windows together have room, nobody has to weigh them.
            room = self.quota - calls + 1
            if self.count + self.before >= room and self._used(now) >= room:
                return False
            self.count += calls
            return True

    def left(self, now: float) -> int:
        """Return how many calls there is room for at `now`."""
        return max(0, self.quota - self._used(now))

    def reset_s(self, now: float) -> int:
        """Return the whole seconds from `now` until there is room again; until this window ends while there is some."""
        left_s = self.ends_at - now
        if self.before and self.count < self.quota <= self._used(now):
            left_s -= self.window_s * (self.quota - self.count) / self.before
        return max(1, int(left_s) + 1)

    def is_over(self, now: float) -> bool:
        """Tell whether nothing of it counts any more."""
        return now > self.ends_at + self.window_s

    def _used(self, now: float) -> int:
        return int(self.before * max(0.0, self.ends_at - now) / self.window_s + self.count)

    def _turn(self, now: float) -> None:
        passed = 1 + int((now - self.ends_at) // self.window_s)
        self.before = self.count if passed == 1 else 0
        self.count = 0
        self.ends_at += passed * self.window_s


MAX_BUDGETS = 50_000
_budgets: dict[tuple[str, str, int, int], Budget] = {}
_budgets_lock = threading.Lock()


def budget(limit: Limit, who: str, *, share: int = 1) -> Budget:
    """Return this process's budget of a caller, for routes that keep it at hand."""
    quota = max(1, limit.quota // share)
    name = (limit.name, who, quota, limit.window_s)
    found = _budgets.get(name)
    if found is not None:
        return found
    with _budgets_lock:
        if len(_budgets) >= MAX_BUDGETS:
            _tidy()
        return _budgets.setdefault(name, Budget(quota, limit.window_s))


def _tidy() -> None:
    """Drop the budgets that are whole again; and if that is not enough, the oldest half."""
    now = time.monotonic()
    over = [name for name, found in _budgets.items() if found.is_over(now)]
    for name in over or list(_budgets)[: MAX_BUDGETS // 2]:
        del _budgets[name]


def forget() -> None:
    """Give everybody a full budget in this process: for tests."""
    _budgets.clear()


@lru_cache(maxsize=1)
def _shared() -> limits.strategies.SlidingWindowCounterRateLimiter:
    storage = limits.storage.RedisStorage("redis://localhost", connection_pool=redis.pool())
    return limits.strategies.SlidingWindowCounterRateLimiter(storage)


_per_loop: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop, limits.aio.strategies.SlidingWindowCounterRateLimiter
] = weakref.WeakKeyDictionary()


def _ashared() -> limits.aio.strategies.SlidingWindowCounterRateLimiter:
    loop = asyncio.get_running_loop()
    if loop not in _per_loop:
        storage = limits.aio.storage.RedisStorage(
            "async+redis://localhost:6379",  # parsed, then ignored: the pool says where Redis is
            implementation="redispy",
            connection_pool=redis.apool(),  # type: ignore[arg-type]  # the annotation forgets what it documents
        )
        _per_loop[loop] = limits.aio.strategies.SlidingWindowCounterRateLimiter(storage)
    return _per_loop[loop]


def check_here(limit: Limit, who: str, *, share: int = 1, calls: int = 1) -> Verdict:
    """Count calls of `who` in this process alone: for routes that must not pay a network round trip."""
    own, now = budget(limit, who, share=share), time.monotonic()
    return Verdict(limit, own.spend(now, calls), own.left(now), own.reset_s(now), is_shared=False)


def check(limit: Limit, who: str) -> Verdict:
    """Count one call of `who` and return the verdict. Never raises for a missing Redis."""
    item = _item(limit)
    try:
        allowed = redis.attempt(lambda: _shared().hit(item, limit.name, who))
        stats = redis.attempt(lambda: _shared().get_window_stats(item, limit.name, who))
    except redis.RedisAway:
        return check_here(limit, who, share=settings.WEB_PROCESSES)
    return _verdict(limit, allowed, stats)


async def acheck(limit: Limit, who: str) -> Verdict:
    """The same as `check`, for the hot routes."""
    item = _item(limit)
    try:
        allowed = await redis.aattempt(lambda: _ashared().hit(item, limit.name, who))
        stats = await redis.aattempt(lambda: _ashared().get_window_stats(item, limit.name, who))
    except redis.RedisAway:
        return check_here(limit, who, share=settings.WEB_PROCESSES)
    return _verdict(limit, allowed, stats)


def strictest(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict with the least room left."""
    return min(verdicts, key=lambda verdict: (verdict.is_allowed, verdict.remaining))
