"""Events that a page reads as they come, out of an ordinary view: the same under ASGI and WSGI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from promptlab.lib import sse


def event_response(
    request: HttpRequest, events: AsyncGenerator[bytes], on_close: Callable[[], Awaitable[None]]
) -> StreamingHttpResponse:
    """Return the framed events as an answer. Who leaves has the generator closed.

    Under WSGI they come from an event loop of this answer's own: `on_close` closes what is held for that loop.
    """
    source = events if isinstance(request, ASGIRequest) else _in_own_loop(events, on_close)
    return StreamingHttpResponse(source, headers=sse.HEADERS)


def _in_own_loop(events: AsyncGenerator[bytes], on_close: Callable[[], Awaitable[None]]) -> Iterator[bytes]:
    with asyncio.Runner() as runner:
        try:
            while (event := runner.run(_next(events))) is not None:
                yield event
        finally:
            runner.run(_close(events, on_close))


async def _next(events: AsyncGenerator[bytes]) -> bytes | None:
    return await anext(events, None)


async def _close(events: AsyncGenerator[bytes], on_close: Callable[[], Awaitable[None]]) -> None:
    try:
        async with aclosing(events):
            pass
    finally:
        await on_close()
