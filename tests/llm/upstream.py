"""A small server that speaks OpenAI's streaming chat and misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

WORDS = ("Good ", "morning, ", "Ann", ".")
TEXT = "".join(WORDS)
USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 100,
    "prompt_tokens_details": {"cached_tokens": 200, "cache_write_tokens": 50},
    "completion_tokens_details": {"reasoning_tokens": 40},
}
SECRET = "sk-leaked and the text of a prompt"
"""Stands in every error body; no error of ours may repeat it."""

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Upstream:
    """The next requests follow `script`, one mode each; an empty script means `normal`.

    Modes: an HTTP status such as `500`; `split`, `odd`, `refusal`, `no_usage`, `no_done`, `no_reason`, `long_line`,
    `empty`, `early_close`, `drop`, `drop_after_reason`, `bad_json`, `not_an_object`, `error_event`, `stall`,
    `silent`, `tools`; `slow_end` holds the last words back until `go_on` is set, `late_end` lets the end of the
    response arrive after its last event.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self.reset()

    def reset(self) -> None:
        self.script: deque[str] = deque()
        self.headers: dict[str, str] = {}
        self.error_code: str | None = None
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.targets: list[str] = []
        self.sent: list[dict[str, str]] = []
        self.finished = 0
        self.go_on = threading.Event()
        self.clients: set[tuple[str, int]] = set()
        self.left = threading.Semaphore(0)

    async def caller_left(self) -> bool:
        """Whether a caller closed its connection while it was being answered, within 5 s."""
        return await asyncio.to_thread(self.left.acquire, timeout=5)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        request = json.loads(await _read(receive))
        self.requests.append(request)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.sent.append(headers)
        self.keys.append(headers.get("authorization") or headers.get("api-key", ""))
        self.targets.append(f"{scope['path']}?{scope['query_string'].decode()}".rstrip("?"))
        self.clients.add(tuple(scope["client"]))
        mode = self.script.popleft() if self.script else "normal"
        if mode.isdigit():
            await self._refuse(int(mode), send)
        elif mode == "silent":
            await self._wait(receive)
        else:
            await _head(send, 200, {"content-type": "text/event-stream"})
            await self._answer(mode, request, receive, send)

    async def _refuse(self, status: int, send: Send) -> None:
        error = {"message": SECRET, "type": "error", "param": None, "code": self.error_code}
        await _head(send, status, {"content-type": "application/json", **self.headers})
        await send({"type": "http.response.body", "body": json.dumps({"error": error}).encode()})

    async def _answer(self, mode: str, request: dict[str, Any], receive: Receive, send: Send) -> None:
        model = request["model"]
        for number, event in enumerate(_events(mode, model)):
            if mode == "stall" and number == 3:
                await self._wait(receive)
                return
            if mode == "slow_end" and number == 3:
                await asyncio.to_thread(self.go_on.wait, 20)
            if event is None:
                return  # An unfinished response: the server cuts the connection.
            await _write(send, event, in_halves=mode == "split")
        if mode == "late_end":
            await asyncio.sleep(0.02)
        await send({"type": "http.response.body", "body": b""})
        self.finished += 1

    async def _wait(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        self.left.release()


def _events(mode: str, model: str) -> Iterator[bytes | None]:
    """Yield the events of an answer; `None` is where a connection drops."""
    if mode == "empty":
        yield b"data: [DONE]\n\n"
        return
    yield _chunk(model, {"role": "assistant", "content": ""})
    if mode == "tools":
        yield from _tool_calls(model)
        return
    yield b": ping\n\n"
    for number, word in enumerate(WORDS):
        if number == 2:
            yield from _midway(mode)
            if mode in ("early_close", "drop", "error_event"):
                return
        yield _chunk(model, {"refusal" if mode == "refusal" else "content": word})
    if mode != "no_reason":
        yield _chunk(model, {}, finish_reason="stop")
    if mode == "drop_after_reason":
        yield None
    if mode not in ("no_usage", "no_done"):
        yield _data({"model": model, "choices": [], "usage": USAGE})
    if mode != "no_done":
        yield b"data: [DONE]\n\n"


def _tool_calls(model: str) -> Iterator[bytes]:
    """Two calls side by side, their arguments in pieces."""
    for index, name in enumerate(("weather", "time")):
        called = {"name": name, "arguments": ""}
        piece = {"index": index, "id": f"call_{index}", "type": "function", "function": called}
        yield _chunk(model, {"tool_calls": [piece]})
    for part in ('{"city": ', '"Rome"}'):
        pieces = [{"index": index, "function": {"arguments": part}} for index in (0, 1)]
        yield _chunk(model, {"tool_calls": pieces})
    yield _chunk(model, {}, finish_reason="tool_calls")
    yield _data({"model": model, "choices": [], "usage": USAGE})
    yield b"data: [DONE]\n\n"


def _midway(mode: str) -> Iterator[bytes | None]:
    if mode == "drop":
        yield None
    if mode == "error_event":
        yield _data({"error": {"message": SECRET, "type": "server_error", "param": None, "code": [1]}})
    if mode == "bad_json":
        yield b'data: {"choices": [{"delta": {"content": "oops\n\n'
    if mode == "not_an_object":
        yield b"data: 12\n\n"
    if mode == "long_line":
        yield b"data: " + b" " * (1 << 21)
    if mode == "odd":
        odd = {"choices": [{"index": 0, "delta": {"content": "a\u2028b\x85c\0d"}, "finish_reason": None}]}
        yield b"data:" + json.dumps(odd, ensure_ascii=False).encode() + b"\r\n\r\n"
        yield b'data: {"choices": [{"index": 0, "delta": {"content": "\\ud83d"}}]}\n\n'


def _chunk(model: str, delta: dict[str, Any], *, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return _data({"model": f"{model}-2024-07-18", "choices": [choice], "usage": None})


def _data(event: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(event)}\n\n".encode()


async def _write(send: Send, event: bytes, *, in_halves: bool) -> None:
    middle = len(event) // 2
    for part in (event[:middle], event[middle:]) if in_halves else (event,):
        await send({"type": "http.response.body", "body": part, "more_body": True})
        await asyncio.sleep(0.001 if in_halves else 0)


async def _head(send: Send, status: int, headers: dict[str, str]) -> None:
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


@contextmanager
def serve() -> Iterator[Upstream]:
    """Run the fake in a thread on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    upstream = Upstream(listener.getsockname()[1])
    config = uvicorn.Config(upstream, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield upstream
    finally:
        server.should_exit = True
        thread.join(timeout=5)
        listener.close()
