"""Keeping one bad provider from hurting everybody: time limits, a short second try, and circuit breakers.

Each process counts failures for itself; that a breaker opened, and which process tries whether it may close, all of them
know over Redis. While Redis is away each goes on alone.
"""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from promptlab.lib.redis import RedisAway, attempt
from promptlab.llm import sharing
from promptlab.llm.errors import LLMError, ProviderTimeout, ProviderUnavailable

T = TypeVar("T")
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


class _Patience:
    """How long a task waits for its next event. One timer for a whole stream: it is moved when it rings, not before."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._until = self._rings_at = math.inf
        self._cancelled_before = 0
        self._is_over = False

    def begin(self, until: float) -> None:
        """Let the running task wait until then. Whichever task it is: a stream may change hands between two events."""
        task = asyncio.current_task()
        assert task is not None
        self._task, self._until, self._cancelled_before = task, until, task.cancelling()
        if self._timer is None or until < self._rings_at:
            self._wind()

    def end(self) -> bool:
        """Return whether it is over, and whether nobody else ended the task meanwhile."""
        task, self._task = self._task, None
        return self._is_over and task is not None and task.uncancel() <= self._cancelled_before

    def stop(self) -> None:
        """Ring no more."""
        self._task = None
        if self._timer is not None:
            self._timer.cancel()

    def _wind(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = self._until
        self._timer = self._loop.call_at(self._until, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._task is None:
            return
        if self._loop.time() < self._until:
            self._wind()
            return
        self._is_over = True
        self._task.cancel()


async def within(
    events: AsyncGenerator[T, None], *, until: float, first_s: float, idle_s: float
) -> AsyncGenerator[T, None]:
    """Yield the events, but not after silence: `first_s` before the first, `idle_s` between two, `until` at the latest.

    `until` is a time of the running loop's clock. What is given up is closed. Raises ProviderTimeout.
    """
    loop, patience = asyncio.get_running_loop(), _Patience()
    limit = min(until, loop.time() + first_s)
    try:
        async with aclosing(events):
            while True:
                patience.begin(limit)
                try:
                    event = await anext(events)
                except StopAsyncIteration:
                    return
                finally:
                    if patience.end():
                        raise ProviderTimeout from None
                yield event
                limit = min(until, loop.time() + idle_s)
    finally:
        patience.stop()


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


@dataclass(frozen=True, slots=True)
class Passage:
    """A call that was let through. To be called at the first token; `is_probe`: it finds out if the provider is back."""

    is_probe: bool
    answering: Callable[[], None]

    def __call__(self) -> None:
        self.answering()


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
        self._succeeded()

    @contextmanager
    def guard(self) -> Iterator[Passage]:
        """Let one call through and learn from how it ends; what it yields is to be called at the first token.

        Raises ProviderUnavailable, with the seconds to wait, while the breaker is open.
        """
        is_probe = self._admit()
        try:
            yield Passage(is_probe, self._answering)
        except LLMError as error:
            if error.is_retryable:
                self._failed()
            else:
                self._succeeded()
            raise
        except BaseException:
            # Cancelled or closed by the caller: that says nothing about the provider.
            self._withdraw(is_probe)
            raise
        else:
            self._succeeded()

    def _admit(self) -> bool:
        """Return whether this call is the one that finds out if the provider is back."""
        with self._lock:
            if self._opened_at is None:
                return False
            left_s = self._opened_at + self._open_s - self._clock()
            if left_s <= 0 and not self._is_probing:
                self._is_probing = True
                return True
        raise _left_alone(left_s)

    def _answering(self) -> None:
        """Let others in as soon as the probe gets text, however long its answer is; one more failure opens again."""
        with self._lock:
            if self._is_probing:
                self._opened_at, self._is_probing = None, False
                self._failures = self._failures_to_open - 1

    def _succeeded(self) -> None:
        with self._lock:
            self._failures, self._opened_at, self._is_probing = 0, None, False

    def _failed(self) -> None:
        with self._lock:
            self._failures += 1
            if self._failures >= self._failures_to_open:
                self._opened_at, self._is_probing = self._clock(), False

    def _withdraw(self, is_probe: bool) -> None:
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

    @asynccontextmanager
    async def guard(self) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Let one call through and learn from how it ends; what it yields is to be awaited at the first token.

        Raises ProviderUnavailable, with the seconds to wait, while the breaker is open.
        """
        await self._look()
        passage: Passage | None = None
        try:
            with self.local.guard() as passage:
                if passage.is_probe:
                    await self._claim()
                yield self._answering(passage)
        except ProbeTaken:
            passage = None
            raise _left_alone(LOOK_S) from None
        finally:
            if passage is not None:
                await self._tell(passage)

    def _answering(self, passage: Passage) -> Callable[[], Awaitable[None]]:
        async def answering() -> None:
            passage()
            if passage.is_probe:
                await self._tell_closed()

        return answering

    async def _look(self) -> None:
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

    async def _claim(self) -> None:
        """Raises ProbeTaken when another process tries already. Without Redis each process tries for itself."""
        with suppress(RedisAway):
            if not await sharing.claim_probe(self.provider, self.model):
                raise ProbeTaken

    async def _tell(self, passage: Passage) -> None:
        """Tell the others what this call has changed: opened, closed, or left the trying to somebody else."""
        state = self.local.state
        with suppress(RedisAway):
            if state == "open" and (passage.is_probe or not self.was_told):
                await sharing.tell_opened(self.provider, self.model, OPEN_S)
                self.was_told = True
            elif state == "closed" and self.was_told:
                await self._tell_closed()
            elif passage.is_probe:
                await sharing.end_probe(self.provider, self.model)

    async def _tell_closed(self) -> None:
        self.was_told = False
        with suppress(RedisAway):
            await sharing.tell_closed(self.provider, self.model)


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
