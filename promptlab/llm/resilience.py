"""Keeping one bad provider from hurting everybody: time limits, a short second try, and circuit breakers.

Breakers belong to this process. What they learn is not shared, so each process pays for its own discovery.
"""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import TypeVar

from promptlab.llm.errors import LLMError, ProviderTimeout, ProviderUnavailable

T = TypeVar("T")
Clock = Callable[[], float]

FAILURES_TO_OPEN = 5
OPEN_S = 30.0
MAX_BREAKERS = 1_000
MAX_ATTEMPTS = 2
MIN_PAUSE_S, MAX_PAUSE_S = 0.1, 0.4
LONGEST_RETRY_AFTER_S = 2


async def within(
    events: AsyncGenerator[T, None], *, until: float, first_s: float, idle_s: float
) -> AsyncGenerator[T, None]:
    """Yield the events, but not after silence: `first_s` before the first, `idle_s` between two, `until` at the latest.

    `until` is a time of the running loop's clock. What is given up is closed. Raises ProviderTimeout.
    """
    loop = asyncio.get_running_loop()
    async with aclosing(events):
        limit = min(until, loop.time() + first_s)
        while True:
            try:
                async with asyncio.timeout_at(limit):
                    event = await anext(events)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise ProviderTimeout() from None
            yield event
            limit = min(until, loop.time() + idle_s)


def pause_before_retry(error: LLMError, attempt: int, left_s: float) -> float | None:
    """Return how long to wait before asking again, or `None` for not at all.

    `attempt` counts from 1, `left_s` is what the deadline leaves. A provider that asks for more than 2 s, and one that
    kept us waiting until a time limit, is not asked again: the caller is better served by the error.
    """
    if attempt >= MAX_ATTEMPTS or not error.is_retryable or isinstance(error, ProviderTimeout):
        return None
    asked_s = error.retry_after_s or 0
    if asked_s > LONGEST_RETRY_AFTER_S:
        return None
    pause_s = asked_s + random.uniform(MIN_PAUSE_S, MAX_PAUSE_S)
    return pause_s if pause_s < left_s else None


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

    @contextmanager
    def guard(self) -> Iterator[Callable[[], None]]:
        """Let one call through and learn from how it ends; what it yields is to be called at the first token.

        Raises ProviderUnavailable, with the seconds to wait, while the breaker is open.
        """
        is_probe = self._admit()
        try:
            yield self._answering
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
        raise ProviderUnavailable(
            "The model provider failed several times in a row, so we ask it less often. Try again shortly.",
            retry_after_s=max(1, math.ceil(left_s)),
        )

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


class Breakers:
    """One breaker per provider and model. Model names come from callers, so the longest unused are forgotten."""

    def __init__(self) -> None:
        self._breakers: OrderedDict[tuple[str, str], CircuitBreaker] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, provider: str, model: str) -> CircuitBreaker:
        """Return the breaker of that model."""
        with self._lock:
            breaker = self._breakers.setdefault((provider, model), CircuitBreaker())
            self._breakers.move_to_end((provider, model))
            if len(self._breakers) > MAX_BREAKERS:
                self._breakers.popitem(last=False)
            return breaker

    def clear(self) -> None:
        """Forget everything learnt."""
        with self._lock:
            self._breakers.clear()


breakers = Breakers()
