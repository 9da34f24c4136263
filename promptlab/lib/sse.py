"""Server-sent events, framed so that every client's parser agrees.

No `id:` and no `retry:` on answers of models (the OpenAI SDK trips over both); a keep-alive is a comment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
_written = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode
PING = b": ping\n\n"
KEEP_ALIVE = b": keep-alive\n\n"


def encode(data: Mapping[str, Any], *, event: str = "", number: int | None = None) -> bytes:
    """Return one event: the data as one line of JSON, so that no text can break out of its frame.

    `number` becomes its id: a reader that comes back says after which one it wants to go on.
    """
    return framed(encoded(data), event=event, number=number)


def encoded(data: Any) -> bytes:
    """Return a value as one line of JSON."""
    return _written(data).encode()


def encoded_text(text: str) -> bytes:
    """Return a text as one line of JSON: a tenth of the work, for what there is much of."""
    return encode_basestring(text).encode()


def framed(line: bytes, *, event: str = "", number: int | None = None) -> bytes:
    """Return one event whose data is a line of JSON already."""
    name = f"event: {event}\n" if event else ""
    numbered = f"id: {number}\n" if number is not None else ""
    return b"%sdata: %s\n\n" % (f"{numbered}{name}".encode(), line)
