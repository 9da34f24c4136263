"""Calling a hot route in process: a whole HTTP exchange without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from promptlab.lib.asgi import Application


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> list[dict[str, Any]]:
        """The data of every server-sent event."""
        lines = self.body.decode().split("\n\n")
        return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


async def acall(
    app: Application,
    method: str,
    target: str,
    *,
    key: str = "",
    headers: Mapping[str, str] | None = None,
    body: Any = b"",
    gone_after: int | None = None,
) -> Answer:
    """Send one request and return the answer. `gone_after`: the caller hangs up after so many body parts."""
    path, _, query = target.partition("?")
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"host": "testserver", **({"x-api-key": key} if key else {}), **(headers or {})}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": quote(path).encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 1),
    }
    answer, gone, state = Answer(), asyncio.Event(), {"read": False, "parts": 0}

    async def receive() -> dict[str, Any]:
        if not state["read"]:
            state["read"] = True
            return {"type": "http.request", "body": raw, "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        answer.body += message.get("body", b"")
        state["parts"] += 1
        if gone_after is not None and state["parts"] >= gone_after:
            gone.set()
            await asyncio.sleep(0)

    await app(scope, receive, send)
    return answer


def call(app: Application, method: str, target: str, **kwargs: Any) -> Answer:
    """The same as `acall`, from a synchronous test."""
    return asyncio.run(acall(app, method, target, **kwargs))
