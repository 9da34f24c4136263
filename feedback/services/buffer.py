"""Ratings that arrive together in a process are written together: one transaction for a group of them.

Whoever sends one waits for the commit of its group, so acknowledged means durable, whatever happens to Redis or to this
process. A group is written as soon as the one before it is: the busier the process, the larger its groups.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Sequence

from django.conf import settings

from feedback.services.ingest import Outcome, Said, accept_all
from promptlab.lib.errors import Unavailable
from promptlab.lib.threads import run_db

Waiting = tuple[Said, "asyncio.Future[Outcome]"]


class Buffer:
    """What waits in one event loop, and the task that writes it.

    One group is under way at a time: two would be half as large, and a group costs more than what is in it.
    """

    def __init__(self) -> None:
        self._waiting: deque[Waiting] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._in_hand = 0

    async def submit(self, said: Sequence[Said]) -> list[Outcome]:
        """Have ratings written with what else arrives now, and return what became of each after the commit.

        Raises Unavailable when more wait already than the process may hold, and what the database raises when it is away.
        """
        if len(self._waiting) + self._in_hand + len(said) > settings.FEEDBACK_WAITING_MOST:
            raise Unavailable("Too many ratings are waiting to be written. Send it again in a moment.", retry_after_s=1)
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in said]
        self._waiting.extend(zip(said, futures, strict=True))
        self._start_writer()
        return list(await asyncio.gather(*futures))

    def _start_writer(self) -> None:
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write_all())

    async def _write_all(self) -> None:
        if settings.FEEDBACK_GROUP_WAIT_MS:
            await asyncio.sleep(settings.FEEDBACK_GROUP_WAIT_MS / 1000)
        while self._waiting:
            group = [self._waiting.popleft() for _ in range(min(len(self._waiting), settings.FEEDBACK_GROUP_MOST))]
            self._in_hand += len(group)
            try:
                await self._write(group)
            finally:
                self._in_hand -= len(group)

    async def _write(self, group: Sequence[Waiting]) -> None:
        """Write a group and tell everybody who waits for it. Nobody waits for ever, whatever goes wrong."""
        try:
            outcomes = await run_db(accept_all, [said for said, _ in group])
        except BaseException as error:
            for future in _listening(group):
                future.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        told = dict(zip((future for _, future in group), outcomes, strict=True))
        for future in _listening(group):
            future.set_result(told[future])


def _listening(group: Sequence[Waiting]) -> list[asyncio.Future[Outcome]]:
    """Return whom to tell: who sent a rating may have hung up. It is written all the same."""
    return [future for _, future in group if not future.done()]


_buffers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Buffer] = weakref.WeakKeyDictionary()


def buffer() -> Buffer:
    """Return the running event loop's buffer."""
    loop = asyncio.get_running_loop()
    if loop not in _buffers:
        _buffers[loop] = Buffer()
    return _buffers[loop]
