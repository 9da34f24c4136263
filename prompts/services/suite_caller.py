"""Many model calls at once for a thread that waits: an event loop in a thread beside it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Self

from promptlab import llm

PATIENCE_S = 5.0


class Caller:
    """While the context lasts: calls models, and gives futures of their answers. At its end what runs is broken off."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="suite-calls", daemon=True)
        self._thread.start()
        return self

    def call(self, request: llm.CompletionRequest) -> Future[llm.Completion]:
        """Begin a call. Cancelling its future ends it at the provider."""
        return asyncio.run_coroutine_threadsafe(llm.acomplete(request), self._loop)

    def __exit__(self, *raised: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        if not self._loop.is_running():
            self._loop.close()

    async def _end(self) -> None:
        """Break off what runs, wait until it is, and close the connections of this loop."""
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await llm.aclose()
