"""Answers that are read to their end though their callers hung up: their providers bill them all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from promptlab.llm import config
from promptlab.llm.types import Completion, Delta, Route

_reading: set[asyncio.Task[Completion | None]] = set()


@dataclass(slots=True)
class Rest:
    """What becomes of an answer whose caller hung up. `route` is the one that answers, once one does.

    `reading` ends with the whole answer where it is read to its end; it is `None` where the call was ended at the
    provider. It raises LLMError, or is cancelled at the end of the process.
    """

    route: Route | None = None
    reading: asyncio.Task[Completion | None] | None = None

    @property
    def may_read_on(self) -> bool:
        """Whether the answer is billed to its end, whoever still listens."""
        return self.route is not None and self.route.drains


async def kept(
    events: AsyncGenerator[Delta | Completion, None], rest: Rest
) -> AsyncGenerator[Delta | Completion, None]:
    """Yield the events. When this is closed early they are read on in the background, or closed as well."""
    queue: asyncio.Queue[Delta | Completion | None] = asyncio.Queue()
    task = asyncio.create_task(_read(events, queue))
    try:
        while (event := await queue.get()) is not None:
            yield event
        await task
    finally:
        if not task.done():
            if rest.may_read_on and len(_reading) < config.current().drains:
                rest.reading = task
                _reading.add(task)
                task.add_done_callback(_ended)
            else:
                task.cancel()
                await asyncio.wait({task})


async def stop() -> None:
    """End what the running event loop reads on, at the provider too; for the end of a process."""
    loop = asyncio.get_running_loop()
    ours = {task for task in _reading if task.get_loop() is loop}
    for task in ours:
        task.cancel()
    if ours:
        await asyncio.wait(ours)


def count() -> int:
    """Return how many answers this process reads on now."""
    return len(_reading)


async def _read(
    events: AsyncGenerator[Delta | Completion, None], queue: asyncio.Queue[Delta | Completion | None]
) -> Completion | None:
    completion = None
    try:
        async with aclosing(events):
            async for event in events:
                completion = event if isinstance(event, Completion) else None
                queue.put_nowait(event)
    finally:
        queue.put_nowait(None)
    return completion


def _ended(task: asyncio.Task[Completion | None]) -> None:
    """Forget it. Its error stands in the log line of the call already."""
    _reading.discard(task)
    if not task.cancelled():
        task.exception()
