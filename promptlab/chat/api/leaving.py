"""How the answer behind a stream ends: whoever hangs up, and whenever."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TypeVar

from promptlab.chat.services.streams import Place

T = TypeVar("T")


async def leave(events: AsyncGenerator[T], place: Place) -> None:
    """End the answer, however little of it was sent, and give its place back."""
    try:
        await events.aclose()
    finally:
        place.give_back()
