"""A model server that answers at once, or misbehaves on demand: `python bench/upstream.py PORT`. Raw asyncio, no frame.

A model is called `MODE:TOKENS:GAP_MS`. Modes: `ok`; an HTTP status such as `500`; `refuse` (no byte), `stall` (no first
token), `hang` (silence after half), `drop` (cut after half), `trickle` (a token a second, without end), `garbage`
(an event that is no JSON), `long` (a line of 10 MB). `GET /stats` tells how many calls came and how many are open now.
"""

from __future__ import annotations

import asyncio
import json
import sys

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
FAILED = b'{"error":{"message":"fake","type":"server_error","param":null,"code":null}}'
MEGABYTE = b" " * (1 << 20)


class Upstream:
    """Counts what comes in and what is open."""

    def __init__(self) -> None:
        self.calls = 0
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while await self._answer(reader, writer):
                continue
        except (OSError, RuntimeError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection may serve another."""
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET"):
            body = json.dumps({"calls": self.calls, "open": self.open}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            await writer.drain()
            return True
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        model = json.loads(await reader.readexactly(length))["model"]
        self.calls += 1
        self.open += 1
        answer = asyncio.ensure_future(self._misbehave(model, writer))
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            return answer.done() and answer.result() and not gone.done()
        finally:
            self.open -= 1
            for task in (answer, gone):
                task.cancel()
            await asyncio.gather(answer, gone, return_exceptions=True)

    async def _misbehave(self, model: str, writer: asyncio.StreamWriter) -> bool:
        mode, tokens, gap_ms = (*model.split(":"), "20", "0")[:3]
        if mode == "refuse":
            return False
        if mode.isdigit():
            writer.write(
                b"HTTP/1.1 %b No\r\nRetry-After: 1\r\nContent-Length: %d\r\n\r\n" % (mode.encode(), len(FAILED))
            )
            writer.write(FAILED)
            await writer.drain()
            return True
        writer.write(HEAD)
        if mode == "stall":
            await asyncio.sleep(600)
        return await self._stream(mode, model, int(tokens), float(gap_ms) / 1000, writer)

    async def _stream(self, mode: str, model: str, tokens: int, gap_s: float, writer: asyncio.StreamWriter) -> bool:
        for number in range(tokens):
            if mode != "ok" and number == tokens // 2 and not await self._midway(mode, model, writer):
                return False
            writer.write(_chunk(model, {"content": f"tok{number} "}))
            await writer.drain()
            if gap_s:
                await asyncio.sleep(gap_s)
        usage = {"prompt_tokens": 10, "completion_tokens": tokens}
        writer.write(_chunk(model, {}, finish_reason="stop"))
        writer.write(_framed(json.dumps({"model": model, "choices": [], "usage": usage}).encode()))
        writer.write(_framed(b"[DONE]") + b"0\r\n\r\n")
        await writer.drain()
        return True

    async def _midway(self, mode: str, model: str, writer: asyncio.StreamWriter) -> bool:
        """Do the wrong thing in the middle; return whether to go on."""
        if mode == "hang":
            await asyncio.sleep(600)
        while mode == "trickle":
            writer.write(_chunk(model, {"content": "tok "}))
            await writer.drain()
            await asyncio.sleep(1)
        if mode == "garbage":
            writer.write(_framed(b'{"choices": [{"delta'))
        if mode == "long":
            for _ in range(10):
                writer.write(b"%x\r\n%b\r\n" % (len(MEGABYTE), MEGABYTE))
                await writer.drain()
        return mode != "drop"


def _chunk(model: str, delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return _framed(json.dumps({"model": model, "choices": [choice]}).encode())


def _framed(data: bytes) -> bytes:
    event = b"data: %b\n\n" % data
    return b"%x\r\n%b\r\n" % (len(event), event)


async def main(port: int) -> None:
    """Serve until the end of the process."""
    server = await asyncio.start_server(Upstream().serve, "127.0.0.1", port, backlog=4096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(main(int(sys.argv[1])))
    except ImportError:
        asyncio.run(main(int(sys.argv[1])))
