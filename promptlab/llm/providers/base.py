"""What every provider can do, and the reading of event streams that all of them share.

The gateway adds limits, retries, prices and the log line around a provider.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from promptlab.llm.errors import MalformedAnswer
from promptlab.llm.types import CompletionRequest, Delta, FinishReason, Usage

MAX_LINE_BYTES = 1 << 20
DRAIN_S = 0.1


@dataclass(frozen=True, slots=True)
class Finish:
    """The last event of an answer. `usage` is `None` when the provider did not say; `model` is what it says it used."""

    finish_reason: FinishReason
    usage: Usage | None
    model: str


class Provider(Protocol):
    """A way to reach models."""

    def astream(self, request: CompletionRequest) -> AsyncGenerator[Delta | Finish, None]:
        """Yield deltas, then exactly one `Finish`.

        `request.model` is the provider's own name for it, `request.routes` the one way to go. Raises only `LLMError`.
        Closing the generator, or cancelling the task that waits in it, ends the work on the other side too.
        """
        ...

    async def aclose(self) -> None:
        """Give back what is held for the running event loop; a later call may open it again."""
        ...


class EventData:
    """Finds what stands behind each `data:` of an event stream that comes in blocks.

    Only LF ends a line here. General line readers also split at U+2028 and its kin, which may stand inside JSON.
    """

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def of(self, block: bytes) -> list[bytes]:
        """Return what is whole by now; of an empty block, which ends the stream, what is left. Raises MalformedAnswer.

        That is for a line above 1 MiB.
        """
        *lines, rest = (self._rest + (block or b"\n")).split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            raise MalformedAnswer()
        self._rest = rest
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]


async def drain(body: AsyncIterator[bytes]) -> None:
    """Read the few bytes behind the last event, so that the connection can serve the next call; 0.1 s at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            async for _ in body:
                continue


def sound(text: str) -> str:
    """Return text that a database stores and a socket sends: NUL and halves of characters become U+FFFD."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
