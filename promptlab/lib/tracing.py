"""The trace that a request belongs to, as its caller named it (W3C `traceparent`)."""

from __future__ import annotations

import re
from contextvars import ContextVar

TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")
_traceparent: ContextVar[str] = ContextVar("traceparent", default="")


def note(header: str) -> None:
    """Keep the `traceparent` header of the request that begins; one that is not well-formed counts as none."""
    _traceparent.set(header if TRACEPARENT.match(header) else "")


def traceparent() -> str:
    """Return the header of the request being served; empty without one."""
    return _traceparent.get()
