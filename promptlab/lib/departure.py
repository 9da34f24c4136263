"""Callers who hang up, and the work for them that ends then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from contextvars import Context
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGone(Exception):
    """The caller hung up."""


class AsyncGeneratorStep(Protocol[T_co]):
    """What `anext` returns of an async generator."""

    def __await__(self) -> Generator[Any, Any, T_co]: ...

    def close(self) -> None: ...


class Departure:
    """Knows when the caller of a request hangs up, and ends what the request's own task does for it.

    One task listens for as long as there is something to end; no other one is made for the work. As a context, entered
    when the body has been read, it raises ClientGone as soon as the caller hangs up.
    """

    __slots__ = ("_cancelled_before", "_is_gone", "_listener", "_receive", "_working")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._listener: asyncio.Task[None] | None = None
        self._working: asyncio.Task[Any] | None = None
        self._is_gone = False
        self._cancelled_before = 0

    def __enter__(self) -> None:
        if self._is_gone:
            raise ClientGone
        if self._listener is None:
            self._listener = asyncio.get_running_loop().create_task(self._listen(), context=Context())
        task = self._working = asyncio.current_task()
        assert task is not None
        self._cancelled_before = task.cancelling()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._working = None
        if self._is_gone and isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            assert task is not None
            if task.uncancel() <= self._cancelled_before:
                raise ClientGone from None

    def leave(self) -> None:
        """Take the caller for gone."""
        self._is_gone = True
        if self._working is not None:
            self._working.cancel()
            self._working = None

    def stop(self) -> None:
        """Listen no more."""
        if self._listener is not None:
            self._listener.cancel()

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            continue
        self.leave()

    async def unless_gone(self, work: Coroutine[Any, Any, T] | AsyncGeneratorStep[T]) -> T:
        """Await `work`; raise ClientGone (and cancel it) as soon as the caller hangs up."""
        try:
            with self:
                return await work
        except ClientGone:
            work.close()
            raise
