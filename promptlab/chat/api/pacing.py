"""The events of an answer as they come, and something to say while the model is silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import TypeVar

from promptlab.chat.services.streams import Place

T = TypeVar("T")


async def paced(first: T, events: AsyncGenerator[T], silence_s: float) -> AsyncGenerator[T | None]:
    """Yield `first` and then the events; None whenever nothing came for `silence_s`. Closes `events` with itself."""
    pending: asyncio.Future[T] | None = None
    try:
        yield first
        while True:
            pending = pending or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait({pending}, timeout=silence_s)
            if not done:
                yield None
                continue
            try:
                event = pending.result()
            except StopAsyncIteration:
                return
            pending = None
            yield event
    finally:
        if pending is not None and not pending.done():
            pending.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await pending
        await events.aclose()


async def leave(events: AsyncGenerator[T], place: Place) -> None:
    """End the answer, however little of it was sent, and give its place back."""
    try:
        await events.aclose()
    finally:
        place.give_back()
