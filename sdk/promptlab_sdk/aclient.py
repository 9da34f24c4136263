"""The client for asyncio. It shares everything with `Prompts` but the waiting.

Nothing is read or written in the event loop: what is in memory is answered at once, and what has to be loaded is loaded
by a background thread and awaited. So one client serves several loops, and a loop that ends takes nothing along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from promptlab_sdk.client import Client, spare_prompt
from promptlab_sdk.core import Core, one_unit
from promptlab_sdk.errors import PromptLabError
from promptlab_sdk.kernel import template
from promptlab_sdk.kernel.spec import JSON, MUSTACHE_LITE
from promptlab_sdk.prompt import Messages, Prompt, Rendered
from promptlab_sdk.source import FakeSource, Key


class AsyncPrompts(Client):
    """`Prompts` for asyncio: the same verbs, and those that may wait are awaited."""

    @classmethod
    def fake(cls, prompts: Mapping[str, str | Messages]) -> FakeAsyncPrompts:
        """Return a client for tests: it knows these prompts, needs no server, and records calls."""
        return FakeAsyncPrompts(FakeSource(prompts))

    async def get(
        self,
        name: str,
        /,
        env: str | None = None,
        *,
        version: int | str | None = None,
        unit_id: str | None = None,
        subject: str | None = None,
        attributes: Mapping[str, JSON] | None = None,
        fallback: str | Messages | None = None,
        missing: template.Missing = "error",
        placeholders: Mapping[str, Messages] | None = None,
        variables: Mapping[str, object] | None = None,
        **more: object,
    ) -> Rendered:
        """Return what `Prompts.get` returns, and raise what it raises."""
        prompt = await self._find(name, env, version, one_unit(unit_id, subject), attributes, fallback)
        values = {**variables, **more} if variables else more
        if prompt.content.syntax != MUSTACHE_LITE:  # The server fills it, which takes a request.
            return await asyncio.to_thread(prompt.fill, values, placeholders, missing)
        return prompt.fill(values, placeholders, missing)

    async def fetch(
        self,
        name: str,
        /,
        env: str | None = None,
        *,
        version: int | str | None = None,
        unit_id: str | None = None,
        subject: str | None = None,
        attributes: Mapping[str, JSON] | None = None,
        fallback: str | Messages | None = None,
    ) -> Prompt:
        """Return the prompt with its blanks unfilled; parameters and errors as for `get`.

        Its `render` does not wait, unless it is written in Jinja: then it makes a request, in the calling thread.
        """
        return await self._find(name, env, version, one_unit(unit_id, subject), attributes, fallback)

    async def prefetch(self, *names: str, env: str | None = None) -> None:
        """Load these prompts now, all at once. Tries all, then raises the first error."""
        keys = [self._core.key(name, env, None) for name in names]
        for found in await asyncio.gather(*map(self._ask, keys), return_exceptions=True):
            if isinstance(found, BaseException):
                raise found

    async def flush(self, timeout: float = 5.0) -> bool:
        """Send feedback and exposures that are queued; tell whether all have gone within the time."""
        return await asyncio.to_thread(self._core.outbox.flush, timeout)

    async def close(self) -> None:
        """Do what `Prompts.close` does."""
        await asyncio.to_thread(self._core.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _find(
        self,
        name: str,
        env: str | None,
        version: int | str | None,
        unit_id: str | None,
        attributes: Mapping[str, JSON] | None,
        fallback: str | Messages | None,
    ) -> Prompt:
        key = self._core.key(name, env, version)
        try:
            value, origin = self._core.cache.peek(key) or await self._ask(key)
        except PromptLabError:
            if fallback is None:
                raise
            return spare_prompt(name, fallback, unit_id)
        if origin == "cache" and unit_id is None and not value.is_split:
            return value.prompt
        return value.serve(origin, unit_id, attributes)

    async def _ask(self, key: Key) -> Any:
        return await asyncio.wrap_future(self._core.cache.ask_later(key))


class FakeAsyncPrompts(AsyncPrompts):
    """What `AsyncPrompts.fake` returns. `calls` lists every rendered prompt; `ratings` what was reported by `flush`."""

    def __init__(self, source: FakeSource) -> None:
        super().__init__(Core(source))
        self.calls: list[Rendered] = []
        self.ratings: list[Mapping[str, JSON]] = source.ratings
        self.exposures: list[Mapping[str, JSON]] = source.exposures

    async def get(self, name: str, /, env: str | None = None, **options: Any) -> Rendered:
        """Return what `AsyncPrompts.get` returns for the same arguments, and note it."""
        shown = await super().get(name, env, **options)
        self.calls.append(shown)
        return shown
