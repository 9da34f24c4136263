"""How long a silence is waited out."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from typing import Any, Generic, Self, TypeVar

from promptlab.lib import alarms
from promptlab.llm.errors import ProviderTimeout

T = TypeVar("T")


class Within(Generic[T]):
    """The events of a source, but not after silence: `first_s` before the first, `idle_s` between two, `until` at the latest.

    `until` is a time of the running loop's clock. One alarm serves a whole stream: it is moved when it rings, not before.
    Whichever task waits may be another one each time. Raises ProviderTimeout, after which the source has ended.
    """

    __slots__ = (
        "_cancelled_before",
        "_idle_s",
        "_is_over",
        "_limit",
        "_loop",
        "_rings_at",
        "_source",
        "_task",
        "_timer",
        "_until",
    )

    def __init__(self, source: AsyncGenerator[T, None], *, until: float, first_s: float, idle_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._source = source
        self._until, self._idle_s = until, idle_s
        self._limit: float | None = min(until, self._loop.time() + first_s)
        self._rings_at = math.inf
        self._timer: alarms.Alarm | None = None
        self._task: asyncio.Task[Any] | None = None
        self._cancelled_before = 0
        self._is_over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        self._begin()
        try:
            return await anext(self._source)
        finally:
            if self._end():
                raise ProviderTimeout from None

    async def aclose(self) -> None:
        """End the source, and ring no more."""
        if self._timer is not None:
            self._timer.cancel()
        await self._source.aclose()

    def _begin(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        limit = self._limit if self._limit is not None else min(self._until, self._loop.time() + self._idle_s)
        self._task, self._limit, self._cancelled_before = task, limit, task.cancelling()
        if self._timer is None or limit < self._rings_at:
            self._wind()

    def _end(self) -> bool:
        """Return whether it is over, and whether nobody else ended the task meanwhile."""
        task, self._task, self._limit = self._task, None, None
        return self._is_over and task is not None and task.uncancel() <= self._cancelled_before

    def _wind(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        assert self._limit is not None
        self._rings_at = self._limit
        self._timer = alarms.at(self._limit, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._task is None or self._limit is None:
            return
        if self._loop.time() < self._limit:
            self._wind()
            return
        self._is_over = True
        self._task.cancel()
