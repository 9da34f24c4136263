"""A small load client: connections that are kept open, one request at a time on each, as fast as they are answered."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
NextRequest = Callable[[], bytes]


@dataclass(slots=True)
class Burst:
    """What came back. `answers` counts by status; times are in seconds."""

    seconds: float = 0.0
    answers: Counter[int] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return self.answers.total() / self.seconds

    def wait_ms(self, share: float) -> float:
        """Return how long the slowest of the quickest `share` waited."""
        return sorted(self.waits)[int(share * (len(self.waits) - 1))] * 1000


class _Caller(asyncio.Protocol):
    """One connection: sends the next request when the last one is answered."""

    def __init__(self, next_request: NextRequest, burst: Burst, until: float) -> None:
        self.next_request = next_request
        self.burst = burst
        self.until = until
        self.ended = asyncio.get_running_loop().create_future()
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._send()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = LENGTH.search(head)
        if len(body) < (int(length[1]) if length else 0):
            return
        now = time.perf_counter()
        self.burst.answers[int(head[9:12])] += 1
        self.burst.waits.append(now - self.sent_at)
        self.buffer = b""
        if now < self.until:
            self._send()
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def _send(self) -> None:
        self.sent_at = time.perf_counter()
        self.transport.write(self.next_request())


async def _burst(port: int, next_request: NextRequest, connections: int, seconds: float) -> Burst:
    burst, loop, started = Burst(), asyncio.get_running_loop(), time.perf_counter()
    until = started + seconds
    opened = [
        await loop.create_connection(lambda: _Caller(next_request, burst, until), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(caller.ended for _, caller in opened))
    burst.seconds = time.perf_counter() - started
    return burst


def burst(port: int, next_request: NextRequest, *, connections: int, seconds: float) -> Burst:
    """Call the server on `port` for so many seconds and return what came back."""
    try:
        from uvloop import run
    except ImportError:
        from asyncio import run
    return run(_burst(port, next_request, connections, seconds))
