"""Ratings that arrive together in a process are written together: one commit for a group of them.

Whoever sends one waits for the commit of its group, so acknowledged means durable, whatever happens to Redis or to this
process. A group is written as soon as the one before it is: the busier the process, the larger its groups.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Sequence

from django.conf import settings
from django.db import InterfaceError, OperationalError

from feedback.services.ingest import Outcome, Said, accept_all
from promptlab.lib.errors import Unavailable
from promptlab.lib.threads import give_back, run_db

Waiting = tuple[Sequence[Said], "asyncio.Future[list[Outcome]]"]
"""What came in one request, which is written by one commit: sent again, its parts come in their order, all or none."""


class Buffer:
    """What waits in one event loop, and the thread that writes it for as long as something does.

    One group is under way at a time: two would be half as large, and a group costs more than what is in it.
    """

    def __init__(self) -> None:
        self._waiting: deque[Waiting] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._held = 0

    async def submit(self, said: Sequence[Said]) -> list[Outcome]:
        """Have ratings written with what else arrives now, and return what became of each after the commit.

        Raises Unavailable when more wait already than the process may hold, and what the database raises when it is away.
        """
        if not said:
            return []
        if self._held + len(said) > settings.FEEDBACK_WAITING_MOST:
            raise Unavailable("Too many ratings are waiting to be written. Send it again in a moment.", retry_after_s=1)
        self._held += len(said)
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._waiting.append((said, future))
        if self._writer is None or self._writer.done():
            self._writer = loop.create_task(self._write_all())
        return await future

    async def _write_all(self) -> None:
        if settings.FEEDBACK_GROUP_WAIT_MS:
            await asyncio.sleep(settings.FEEDBACK_GROUP_WAIT_MS / 1000)
        while self._waiting:
            await run_db(self._write_groups, asyncio.get_running_loop())

    def _write_groups(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write, in a database thread, until nothing waits: the next group need not ask for a thread and a connection."""
        while group := self._next(settings.FEEDBACK_GROUP_MOST):
            outcomes: list[Outcome] | BaseException
            try:
                outcomes = accept_all([one for said, _ in group for one in said])
            except BaseException as error:  # noqa: BLE001  (nobody waits for ever, whatever goes wrong)
                give_back()
                outcomes = error
                group += self._next(self._held) if _is_away(error) else []
            loop.call_soon_threadsafe(self._tell, group, outcomes)

    def _next(self, most: int) -> list[Waiting]:
        """Take the first that wait, so many ratings together, or what one request brought if that is more."""
        group: list[Waiting] = []
        room = most
        while self._waiting and (not group or len(self._waiting[0][0]) <= room):
            group.append(self._waiting.popleft())
            room -= len(group[-1][0])
        return group

    def _tell(self, group: Sequence[Waiting], outcomes: list[Outcome] | BaseException) -> None:
        """Tell everybody who waits for a group. Who hung up is not told; their rating is written all the same."""
        place = 0
        for said, future in group:
            self._held -= len(said)
            if future.done():
                pass
            elif isinstance(outcomes, BaseException):
                future.set_exception(outcomes)
            else:
                future.set_result(outcomes[place : place + len(said)])
            place += len(said)


def _is_away(error: BaseException) -> bool:
    """Tell whether the database did not answer at all: then whoever waits would wait as long, one group after the other."""
    cause = error.__cause__
    return isinstance(error, OperationalError | InterfaceError) and getattr(cause, "sqlstate", None) is None


_buffers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Buffer] = weakref.WeakKeyDictionary()


def buffer() -> Buffer:
    """Return the running event loop's buffer."""
    loop = asyncio.get_running_loop()
    if loop not in _buffers:
        _buffers[loop] = Buffer()
    return _buffers[loop]
