"""A caller of streams: asks, reads to the end or hangs up, and says what it heard and when."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

PATIENCE_S = 60.0
"""No call takes longer, whatever the model server does: who still waits then has found a mistake."""


@dataclass(slots=True)
class Heard:
    """How one call ended. `first_s` is the wait for the first token, `None` without one."""

    status: int
    first_s: float | None
    total_s: float
    text: bytes
    message_id: str = ""

    @property
    def said(self) -> str:
        """The tokens that came whole."""
        events = [part[6:] for part in self.text.split(b"\n\n")[:-1] if part.startswith(b"data: {")]
        return "".join(json.loads(event).get("token", "") for event in events)

    @property
    def end(self) -> str:
        """Say it in a word: `whole`, or the code of the error."""
        if self.status < 0:
            return "no end"
        events = [part[6:] for part in self.text.split(b"\n\n") if part.startswith(b"data: {")]
        last = json.loads(events[-1]) if events else {}
        if self.status != 200:
            start = self.text.find(b"{")
            return str(json.loads(self.text[start : self.text.rfind(b"}") + 1])["code"]) if start >= 0 else "nothing"
        if "error" in last:
            return f"event: {last['error']['code']}"
        return "whole" if last.get("done") or self.text.rstrip().endswith(b"[DONE]") else "cut off"


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask, and how."""

    port: int
    path: str
    key: str = ""

    def request(self, model: str) -> bytes:
        """Return the request as it goes over the wire."""
        body: dict[str, object] = {"model": model, "message": "Hello"}
        if not self.key:
            body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
        raw = json.dumps(body).encode()
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {self.key}\r\nConnection: close\r\n"
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw


async def ask(target: Target, model: str, *, hang_up_after: int | None = None) -> Heard:
    """Ask and read to the end, or hang up after so many bytes; give up after `PATIENCE_S`."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await _ask(target, model, hang_up_after)
    except TimeoutError:
        return Heard(-1, None, PATIENCE_S, b"")


async def _ask(target: Target, model: str, hang_up_after: int | None) -> Heard:
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=1 << 24)
    writer.write(target.request(model))
    raw, first_s = bytearray(), None
    try:
        while block := await reader.read(65536 if hang_up_after is None else 1):
            raw += block
            if first_s is None and b"tok" in raw:
                first_s = time.perf_counter() - started
            if hang_up_after is not None and len(raw) >= hang_up_after:
                writer.transport.abort()
                break
            if target.key == "" and raw.endswith(b"0\r\n\r\n"):
                break
    finally:
        writer.close()
    head, ended, body = bytes(raw).partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1]) if ended else 0
    named = head.partition(b"x-promptlab-message-id: ")[2].split(b"\r\n")[0].decode()
    text = _joined(body, is_chunked=b"chunked" in head)
    return Heard(status, first_s, time.perf_counter() - started, text, named)


def _joined(body: bytes, *, is_chunked: bool) -> bytes:
    """Return a body without the frames of its transfer."""
    if not is_chunked:
        return body
    parts = []
    while body:
        size, ended, body = body.partition(b"\r\n")
        length = int(size, 16) if ended and size else 0
        parts.append(body[:length])
        body = body[length + 2 :]
        if not length:
            break
    return b"".join(parts)


async def together(target: Target, model: str, number: int, at_once: int) -> list[Heard]:
    """Ask so many times, so many at once."""
    room = asyncio.Semaphore(at_once)

    async def one() -> Heard:
        async with room:
            return await ask(target, model)

    return list(await asyncio.gather(*(one() for _ in range(number))))


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that so much of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def waits(heard: Sequence[Heard]) -> list[float]:
    """Return the waits for the first token, in ms. Ends the run when one is missing."""
    found = [one.first_s * 1000 for one in heard if one.first_s is not None]
    if len(found) != len(heard):
        sys.exit(f"Answers without a token: {Counter(one.end for one in heard)}")
    return found


def ends(heard: Sequence[Heard]) -> str:
    """Say how calls ended, the most frequent end first."""
    counted = Counter(f"{one.status} {one.end}" for one in heard)
    return ", ".join(f"{number} x {end}" for end, number in counted.most_common())
