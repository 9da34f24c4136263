"""What a plain ASGI callable can do at best: it reads the request and answers with constant bytes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

BODY = json.dumps({"prompt_text": "x" * 2000, "name": "bench", "version": 1}).encode()
TYPE = (b"content-type", b"application/json")
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [TYPE, (b"content-length", str(len(BODY)).encode())],
}
WHOLE = {"type": "http.response.body", "body": BODY}


async def application(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        continue
    await send(START)
    await send(WHOLE)
