"""Calls that arrive together in an event loop are made by one piece of work: for them all one way there and back.

Who comes alone waits for nobody. While a group is under way those who come make up the next one, so the busier the
process, the larger its groups, and the less each of them costs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from promptlab.lib.threads import run_db

Given = TypeVar("Given")
Result = TypeVar("Result")
Work = Callable[[Sequence[Given]], Sequence[Result | Exception]]
AsyncWork = Callable[[Hashable, Sequence[Given]], Awaitable[Sequence[Result | Exception]]]
MOST = 100


@dataclass(slots=True)
class _Line(Generic[Given, Result]):
    """Who waits, and how many groups are under way."""

    waiting: deque[tuple[Given, asyncio.Future[Result]]] = field(default_factory=deque)
    groups: int = 0


class Gathering(Generic[Given, Result]):
    """`work` returns for each thing that was given what came of it: a result, or the error to raise. Raising, it fails all.

    It is told what the group is about, and runs in no call's context: what belongs to one brings it along. In an event
    loop so many groups about a thing are under way `at_once`, of at most `most` each.
    """

    def __init__(self, work: AsyncWork[Given, Result], most: int = MOST, at_once: int = 1) -> None:
        self._work = work
        self._most = most
        self._at_once = at_once
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _Line[Given, Result]]] = (
            WeakKeyDictionary()
        )

    @classmethod
    def in_database(cls, work: Work[Given, Result], most: int = MOST, at_once: int = 1) -> Gathering[Given, Result]:
        """Return one whose work is done in a database thread."""
        return cls(partial(_in_thread, work), most, at_once)

    async def join(self, given: Given, about: Hashable = None) -> Result:
        """Return what came of it. Who hangs up meanwhile changes nothing: the work is done all the same."""
        loop = asyncio.get_running_loop()
        lines = self._loops.setdefault(loop, {})
        future: asyncio.Future[Result] = loop.create_future()
        line = lines.setdefault(about, _Line())
        line.waiting.append((given, future))
        if line.groups < self._at_once:
            line.groups += 1
            task = loop.create_task(self._work_off(lines, about), context=Context())
            _under_way.add(task)
            task.add_done_callback(_under_way.discard)
        return await future

    async def _work_off(self, lines: dict[Hashable, _Line[Given, Result]], about: Hashable) -> None:
        line = lines[about]
        try:
            while line.waiting:
                group = [line.waiting.popleft() for _ in range(min(len(line.waiting), self._most))]
                await self._work_on(about, group)
        finally:
            line.groups -= 1
            if not line.groups:
                del lines[about]
                _tell(line.waiting, [asyncio.CancelledError()] * len(line.waiting))

    async def _work_on(self, about: Hashable, group: Sequence[tuple[Given, asyncio.Future[Result]]]) -> None:
        results: Sequence[Result | BaseException]
        try:
            results = await self._work(about, [given for given, _ in group])
        except BaseException as error:
            _tell(group, [error] * len(group))
            if not isinstance(error, Exception):
                raise
        else:
            _tell(group, results)


_under_way: set[asyncio.Task[None]] = set()
"""A loop holds its tasks weakly."""


async def settled() -> None:
    """Wait for the groups of the running event loop that are under way; for its end."""
    loop = asyncio.get_running_loop()
    ours = {task for task in _under_way if task.get_loop() is loop}
    if ours:
        await asyncio.wait(ours)


async def _in_thread(
    work: Work[Given, Result], _about: Hashable, given: Sequence[Given]
) -> Sequence[Result | Exception]:
    return await run_db(work, given)


def _tell(group: Iterable[tuple[Given, asyncio.Future[Result]]], results: Sequence[Result | BaseException]) -> None:
    for (_, future), result in zip(group, results, strict=True):
        if future.done():
            continue
        if isinstance(result, asyncio.CancelledError):
            future.cancel()
        elif isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)
