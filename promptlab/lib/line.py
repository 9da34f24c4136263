"""The line to a caller: one who takes nothing is left, and a silence is ended before it is taken for a dead line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from promptlab.lib import alarms
from promptlab.lib.departure import ClientGone

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
WRITE_TIMEOUT_S = 30.0
PING_S = 15.0
"""The silence after which a line would be taken for dead by what stands in between."""


class Last(bytes):
    """The last bytes of a stream, which are sent together with its end."""


class Line:
    """Where a stream is sent. It knows since when it waits for the caller, or is silent: one alarm for all of its parts."""

    __slots__ = ("_is_sending", "_leave", "_loop", "_ping", "_pinging", "_send", "_since", "_timer", "has_ended")

    def __init__(self, send: Send, ping: bytes, leave: Callable[[], None]) -> None:
        self._send = send
        self._ping = ping
        self._leave = leave
        self._loop = asyncio.get_running_loop()
        self._is_sending = False
        self.has_ended = False
        self._since = self._loop.time()
        self._pinging: asyncio.Task[None] | None = None
        self._timer = alarms.at(self._loop.time() + self._wait_s(), self._look)

    async def send(self, part: bytes) -> None:
        """Send a part, and the stream's end with the last one."""
        self._is_sending, self._since = True, self._loop.time()
        self.has_ended = isinstance(part, Last)
        await self._send({"type": "http.response.body", "body": part, "more_body": not self.has_ended})
        self._is_sending, self._since = False, self._loop.time()

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()
        if self._pinging is not None:
            self._pinging.cancel()

    def _left_s(self) -> float | None:
        """Return how long it may go on as it does; None for as long as it likes."""
        if self._is_sending:
            return self._since + WRITE_TIMEOUT_S - self._loop.time()
        return self._since + PING_S - self._loop.time() if self._ping else None

    def _wait_s(self) -> float:
        """Return when to look again: a stream that begins to wait for its caller is looked at after the shorter time."""
        left_s = self._left_s()
        return max(0.0, min(WRITE_TIMEOUT_S, left_s if left_s is not None else WRITE_TIMEOUT_S))

    def _look(self) -> None:
        """End a silence, or the stream when what was sent is not taken."""
        left_s = self._left_s()
        if left_s is not None and left_s <= 0:
            if self._is_sending:
                self._leave()
                return
            self._pinging = self._loop.create_task(self._say_so())
            self._is_sending, self._since = True, self._loop.time()
        self._timer = alarms.at(self._loop.time() + self._wait_s(), self._look)

    async def _say_so(self) -> None:
        try:
            await self.send(self._ping)
        except OSError:
            self._leave()


async def send_part(part: bytes, send: Send) -> None:
    try:
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            await send({"type": "http.response.body", "body": part, "more_body": True})
    except TimeoutError as error:
        raise ClientGone from error
