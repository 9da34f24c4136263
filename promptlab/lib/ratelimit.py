"""Rate limits: one budget per caller over all processes, counted in Redis, several limits in one atomic step.

When Redis is away each process counts for itself, at its share of the quota, so that the sum stays about right. Routes
that must not pay a round trip count per process always.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from django.conf import settings

from promptlab.lib import redis, windows
from promptlab.lib.errors import RateLimited
from promptlab.lib.logs import get_logger

log = get_logger(__name__)
PLACE = "limit"
"""Under which all of them stand in Redis."""
HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `quota` calls in any `window_s` seconds, or of what `of` says. `name` separates a caller's budgets."""

    name: str
    quota: int
    window_s: int = HOUR_S
    of: str = "calls"


@dataclass(frozen=True, slots=True)
class Demand:
    """What a caller wants of a limit."""

    limit: Limit
    who: str
    size: int = 1

    @property
    def want(self) -> windows.Want:
        """The same as it is asked of Redis."""
        limit = self.limit
        key = f"{settings.REDIS_PREFIX}/{PLACE}/{limit.name}/{limit.window_s}/{self.who}"
        return windows.Want(key, limit.quota, limit.window_s, self.size)


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
                f"More than {self.limit.quota} {self.limit.of} in {self.limit.window_s // 60} minutes. "
                f"Try again in {self.reset_s} seconds.",
                retry_after_s=self.reset_s,
                limit=self.limit.quota,
                window_s=self.limit.window_s,
                of=self.limit.of,
            )
        return self


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
        """Count calls, or so much, at `now` (monotonic) if there is room for all of it, and tell whether there was."""
        with self._lock:
            if now >= self.ends_at:
                self._turn(now)
            # As long as both windows together have room, nobody has to weigh them.
            room = self.quota - calls + 1
            if self.count + self.before >= room and self._used(now) >= room:
                return False
            self.count += calls
            return True

    def add(self, size: int) -> None:
        """Count more, or less where it is negative, whether there is room or not."""
        with self._lock:
            self.count = max(0, self.count + size)

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


def check_here(limit: Limit, who: str, *, share: int = 1, calls: int = 1) -> Verdict:
    """Count calls of `who` in this process alone: for routes that must not pay a network round trip."""
    own, now = budget(limit, who, share=share), time.monotonic()
    return Verdict(limit, own.spend(now, calls), own.left(now), own.reset_s(now), is_shared=False)


def check(limit: Limit, who: str) -> Verdict:
    """Count one call of `who` and return the verdict. Never raises for a missing Redis."""
    demands = [Demand(limit, who)]
    try:
        return _verdicts(demands, *windows.take([one.want for one in demands]))[0]
    except redis.RedisAway:
        return _here(demands)[0]


async def acheck(limit: Limit, who: str) -> Verdict:
    """The same as `check`, for the hot routes."""
    return (await acheck_all([Demand(limit, who)]))[0]


async def acheck_all(demands: Sequence[Demand]) -> list[Verdict]:
    """Count all that is demanded, or nothing of it where a limit has no room, and return what each of them says."""
    try:
        return _verdicts(demands, *await windows.atake([one.want for one in demands]))
    except redis.RedisAway:
        return _here(demands)


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken of a limit before it was known how much is needed."""

    demand: Demand
    is_shared: bool

    async def settle(self, size: int) -> None:
        """Count what was needed in place of what was taken, whether there is room or not: there, or here, as then."""
        demand = self.demand
        if not self.is_shared:
            here = budget(demand.limit, demand.who, share=settings.WEB_PROCESSES)
            here.add(size - min(demand.size, here.quota))
        elif size != demand.size:
            with suppress(redis.RedisAway):
                await windows.aadd(replace(demand, size=size - demand.size).want)


def _verdicts(demands: Sequence[Demand], fits: bool, seen: Sequence[windows.Window]) -> list[Verdict]:
    return [_verdict(one.limit, fits or window.has_room, window) for one, window in zip(demands, seen, strict=True)]


def _verdict(limit: Limit, is_allowed: bool, window: windows.Window) -> Verdict:
    reset_s = window.left_s if is_allowed else window.wait_s()
    return Verdict(limit, is_allowed, max(0, limit.quota - window.used), max(1, int(reset_s) + 1))


def _here(demands: Sequence[Demand]) -> list[Verdict]:
    """Return the verdicts of this process alone, at its share of the quotas; more than that share fits into it alone."""
    share = settings.WEB_PROCESSES
    own = [budget(one.limit, one.who, share=share) for one in demands]
    sizes = [min(one.size, here.quota) for one, here in zip(demands, own, strict=True)]
    verdicts = [
        check_here(one.limit, one.who, share=share, calls=size) for one, size in zip(demands, sizes, strict=True)
    ]
    if not all(verdict.is_allowed for verdict in verdicts):
        for verdict, here, size in zip(verdicts, own, sizes, strict=True):
            here.add(-size if verdict.is_allowed else 0)
    return verdicts


def strictest(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict with the least room left."""
    return min(verdicts, key=lambda verdict: (verdict.is_allowed, verdict.remaining))
