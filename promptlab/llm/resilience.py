"""Keeping one bad provider from hurting everybody: a short second try, and circuit breakers.

Each process counts failures for itself; that a breaker opened, and which process tries whether it may close, all of them
know over Redis. While Redis is away each goes on alone.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Self

from promptlab.lib.redis import RedisAway, attempt
from promptlab.llm import sharing
from promptlab.llm.errors import LLMError, ProviderTimeout, ProviderUnavailable

Clock = Callable[[], float]

FAILURES_TO_OPEN = 5
OPEN_S = 30.0
MAX_BREAKERS = 1_000
LOOK_S = 1.0
"""How often a process asks Redis what others know of a breaker, at most."""
MAX_ATTEMPTS = 2
MAX_PAUSE_S = 0.5
LONGEST_RETRY_AFTER_S = 2
RETRIES_AT_ONCE = 10.0
RETRIES_PER_CALL = 0.1
"""Second tries come out of a budget that calls fill: of many calls that fail, one in ten is made again."""


def pause_before_retry(error: LLMError, attempt: int, left_s: float) -> float | None:
    """Return how long to wait before asking again, or `None` for not at all.

    `attempt` counts from 1, `left_s` is what the deadline leaves. A provider that asks for more than 2 s, and one that
    kept us waiting until a time limit, is not asked again: the caller is better served by another route, or the error.
    """
    if attempt >= MAX_ATTEMPTS or not error.is_retryable or isinstance(error, ProviderTimeout):
        return None
    asked_s = error.retry_after_s or 0
    if asked_s > LONGEST_RETRY_AFTER_S:
        return None
    pause_s = asked_s + random.uniform(0, MAX_PAUSE_S)
    return pause_s if pause_s < left_s else None


class RetryBudget:
    """How many calls may be made a second time, so that retries never multiply the load on a provider that fails."""

    def __init__(self) -> None:
        self._left = RETRIES_AT_ONCE
        self._lock = threading.Lock()

    def fill(self) -> None:
        """Count one call that was made for the first time."""
        with self._lock:
            self._left = min(RETRIES_AT_ONCE, self._left + RETRIES_PER_CALL)

    def spend(self) -> bool:
        """Take one second try, and tell whether there was one left."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True


class Passage:
    """A call on its way through a breaker, which learns from how the context ends. Called at the first token.

    `is_probe`: it finds out if the provider is back. Entering raises ProviderUnavailable, with the seconds to wait, while
    the breaker is open.
    """

    __slots__ = ("_breaker", "is_probe")

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self.is_probe = False

    def __enter__(self) -> Self:
        self.is_probe = self._breaker.admit()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            self._breaker.succeeded()
        elif not isinstance(error, LLMError):
            # Cancelled or closed by the caller: that says nothing about the provider.
            self._breaker.withdraw(is_probe=self.is_probe)
        elif error.is_retryable:
            self._breaker.failed()
        else:
            self._breaker.succeeded()

    def __call__(self) -> None:
        self._breaker.answering()


class ProbeTaken(Exception):
    """Another process is finding out. Says nothing about the provider."""


class CircuitBreaker:
    """Stop asking a provider that failed several times in a row; after a while let one call through to see.

    Only retryable errors count: a refused request shows that somebody is there. Safe to use from several threads.
    """

    def __init__(
        self,
        *,
        failures_to_open: int = FAILURES_TO_OPEN,
        open_s: float = OPEN_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self._failures_to_open = failures_to_open
        self._open_s = open_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_at: float | None = None
        self._is_probing = False

    @property
    def state(self) -> str:
        """`closed`, `open`, or `half_open` when a call may find out, or is finding out, whether it is over."""
        with self._lock:
            if self._opened_at is None:
                return "closed"
            return "open" if self._clock() < self._opened_at + self._open_s else "half_open"

    def open_for(self, left_s: float) -> None:
        """Believe another process: open, for so many seconds still (0: a call may find out)."""
        with self._lock:
            self._opened_at = self._clock() - self._open_s + min(left_s, self._open_s)
            self._failures = self._failures_to_open

    def close(self) -> None:
        """Believe another process: the provider answers again."""
        self.succeeded()

    def guard(self) -> Passage:
        """Return a context that lets one call through; what it yields is to be called at the first token."""
        return Passage(self)

    def admit(self) -> bool:
        """Return whether this call is the one that finds out if the provider is back. Raises ProviderUnavailable."""
        with self._lock:
            if self._opened_at is None:
                return False
            left_s = self._opened_at + self._open_s - self._clock()
            if left_s <= 0 and not self._is_probing:
                self._is_probing = True
                return True
        raise _left_alone(left_s)

    def answering(self) -> None:
        """Let others in as soon as the probe gets text, however long its answer is; one more failure opens again."""
        with self._lock:
            if self._is_probing:
                self._opened_at, self._is_probing = None, False
                self._failures = self._failures_to_open - 1

    def succeeded(self) -> None:
        """Close: the provider answers."""
        with self._lock:
            self._failures, self._opened_at, self._is_probing = 0, None, False

    def failed(self) -> None:
        """Count a failure, and open when there were several in a row."""
        with self._lock:
            self._failures += 1
            if self._failures >= self._failures_to_open:
                self._opened_at, self._is_probing = self._clock(), False

    def withdraw(self, *, is_probe: bool) -> None:
        """Learn nothing from a call; where it was to find out, the next one may."""
        with self._lock:
            if is_probe:
                self._is_probing = False


def _left_alone(left_s: float) -> ProviderUnavailable:
    return ProviderUnavailable(
        "The model provider failed several times in a row, so we ask it less often. Try again shortly.",
        retry_after_s=max(1, math.ceil(left_s)),
    )


class SharedBreaker:
    """A breaker whose opening every process believes, and of which one process at a time tries whether it may close."""

    def __init__(self, provider: str, model: str) -> None:
        self.provider = provider
        self.model = model
        self.local = CircuitBreaker()
        self.retries = RetryBudget()
        self.was_told = False
        self._next_look_at = -math.inf

    def guard(self) -> SharedPassage:
        """Return a context that lets one call through; what it yields is to be awaited at the first token."""
        return SharedPassage(self)

    async def look(self) -> None:
        """Ask what others know, now and then. One call asks, those beside it go on with what is known."""
        now = time.monotonic()
        if now < self._next_look_at:
            return
        self._next_look_at = now + LOOK_S
        with suppress(RedisAway):
            left_s = await sharing.open_left_s(self.provider, self.model)
            if left_s is None and self.was_told:
                self.local.close()
            elif left_s is not None and (self.local.state == "closed" or left_s > 0):
                self.local.open_for(left_s)
            self.was_told = left_s is not None

    async def claim(self) -> None:
        """Raises ProbeTaken when another process tries already. Without Redis each process tries for itself."""
        with suppress(RedisAway):
            if not await sharing.claim_probe(self.provider, self.model):
                raise ProbeTaken

    async def tell(self, passage: Passage) -> None:
        """Tell the others what this call has changed: opened, closed, or left the trying to somebody else."""
        state = self.local.state
        with suppress(RedisAway):
            if state == "open" and (passage.is_probe or not self.was_told):
                await sharing.tell_opened(self.provider, self.model, OPEN_S)
                self.was_told = True
            elif state == "closed" and self.was_told:
                await self.tell_closed()
            elif passage.is_probe:
                await sharing.end_probe(self.provider, self.model)

    async def tell_closed(self) -> None:
        self.was_told = False
        with suppress(RedisAway):
            await sharing.tell_closed(self.provider, self.model)


class SharedPassage:
    """A call on its way through a shared breaker: others are told of what it changes. Awaited at the first token.

    Entering raises ProviderUnavailable, with the seconds to wait, while the breaker is open.
    """

    __slots__ = ("_passage", "_shared")

    def __init__(self, shared: SharedBreaker) -> None:
        self._shared = shared
        self._passage = shared.local.guard()

    async def __aenter__(self) -> Self:
        await self._shared.look()
        self._passage.__enter__()
        if self._passage.is_probe:
            await self._claim()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._passage.__exit__(kind, error, trace)
        await self._shared.tell(self._passage)

    async def __call__(self) -> None:
        self._passage()
        if self._passage.is_probe:
            await self._shared.tell_closed()

    async def _claim(self) -> None:
        try:
            await self._shared.claim()
        except ProbeTaken as taken:
            self._passage.__exit__(None, taken, None)
            raise _left_alone(LOOK_S) from None
        except BaseException as error:
            await self.__aexit__(None, error, None)
            raise


class Breakers:
    """One breaker per provider and model. Model names come from callers, so the longest unused are forgotten."""

    def __init__(self) -> None:
        self._breakers: OrderedDict[tuple[str, str], SharedBreaker] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, provider: str, model: str) -> SharedBreaker:
        """Return the breaker of that model."""
        with self._lock:
            breaker = self._breakers.get((provider, model))
            if breaker is None:
                breaker = self._breakers[provider, model] = SharedBreaker(provider, model)
            self._breakers.move_to_end((provider, model))
            if len(self._breakers) > MAX_BREAKERS:
                self._breakers.popitem(last=False)
            return breaker

    def all(self) -> list[SharedBreaker]:
        """Return those that are known, the longest unused first."""
        with self._lock:
            return list(self._breakers.values())

    def clear(self) -> None:
        """Forget everything learnt, and what the others were told of it."""
        for breaker in self.all():
            if breaker.was_told:
                with suppress(RedisAway):
                    attempt(partial(sharing.forget, breaker.provider, breaker.model))
        with self._lock:
            self._breakers.clear()


breakers = Breakers()
