"""Database work for the hot routes: a bounded pool of threads that give their connections back after each piece."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial
from threading import Lock
from typing import Any, ParamSpec, TypeVar, cast

from django.conf import settings
from django.db import connections

P = ParamSpec("P")
T = TypeVar("T")


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=settings.HOT_DB_THREADS, thread_name_prefix="promptlab-db")


def give_back() -> None:
    """Return this thread's pooled connections to their pool; keep others open unless they broke.

    These threads live on, and opening an SQLite file anew reads its whole schema: 5 ms of processor time.
    """
    for connection in connections.all(initialized_only=True):
        if connection.settings_dict["OPTIONS"].get("pool"):
            connection.close()
        elif connection.errors_occurred:
            connection.close_if_unusable_or_obsolete()


def giving_back(function: Callable[[], T]) -> T:
    """Run `function` in this thread and give back the connection it may have used."""
    try:
        return function()
    finally:
        give_back()


async def run_db(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `function` in a database thread and return its result. The request's log context goes along."""
    context = contextvars.copy_context()
    work = partial(context.run, giving_back, partial(function, *args, **kwargs))
    return await asyncio.get_running_loop().run_in_executor(_pool(), work)


class SingleFlight:
    """Whoever wants a result that somebody is getting already waits for that one. For threads and for coroutines."""

    def __init__(self) -> None:
        self._flying: dict[object, Future[Any]] = {}
        self._asked: dict[object, Future[Any]] = {}
        self._lock = Lock()

    def do(self, key: object, function: Callable[[], T]) -> T:
        """Return what `function` returns, or what another one's call for the same key, begun before, does."""
        with self._lock:
            flight = self._flying.get(key)
            is_mine = flight is None
            if flight is None:
                flight = self._flying[key] = Future()
        if is_mine:
            self._fly(key, flight, function)
        return cast(T, flight.result())

    async def ado(self, key: object, function: Callable[[], T]) -> T:
        """The same in a database thread. Who waits, waits without a thread; who hangs up stops nobody else's work.

        A thread never waits for work that has no thread yet: it would, in a pool full of those who wait, for ever.
        """
        with self._lock:
            asked = self._asked.get(key)
            if asked is None:
                work = partial(giving_back, partial(self._land, key, function))
                asked = self._asked[key] = _pool().submit(contextvars.copy_context().run, work)
        return await asyncio.shield(asyncio.wrap_future(asked))

    def _fly(self, key: object, flight: Future[Any], function: Callable[[], T]) -> None:
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001  (whoever waits raises it)
            self._forget(self._flying, key)
            flight.set_exception(error)
        else:
            self._forget(self._flying, key)
            flight.set_result(result)

    def _land(self, key: object, function: Callable[[], T]) -> T:
        try:
            return self.do(key, function)
        finally:
            self._forget(self._asked, key)

    def _forget(self, flights: dict[object, Future[Any]], key: object) -> None:
        with self._lock:
            flights.pop(key, None)


class Batches:
    """Work for one thing after another, done at once for all that came while the last was under way. For coroutines.

    `work(group, names)` runs in a database thread, one for each group: many threads that each load a little take longer
    than one that loads it all.
    """

    def __init__(self, work: Callable[[Any, list[str]], None], most: int = 500) -> None:
        self._work = work
        self._most = most
        self._waiting: dict[object, dict[str, Future[None]]] = {}
        self._lock = Lock()

    async def join(self, group: object, name: str) -> None:
        """Wait until work for this name, begun from now on, is done. Raises what the work raises."""
        with self._lock:
            is_first = group not in self._waiting
            flight = self._waiting.setdefault(group, {}).setdefault(name, Future())
            if is_first:
                _pool().submit(contextvars.copy_context().run, self._run, group)
        await asyncio.shield(asyncio.wrap_future(flight))

    def _run(self, group: object) -> None:
        """Work until nobody waits any more."""
        while batch := self._next(group):
            error: Exception | None = None
            try:
                giving_back(partial(self._work, group, list(batch)))
            except Exception as raised:  # noqa: BLE001  (whoever waits raises it)
                error = raised
            for flight in batch.values():
                if error is None:
                    flight.set_result(None)
                else:
                    flight.set_exception(error)

    def _next(self, group: object) -> dict[str, Future[None]]:
        with self._lock:
            waiting = self._waiting[group]
            batch = {name: waiting.pop(name) for name in list(waiting)[: self._most]}
            if not batch:
                del self._waiting[group]
        return batch
