"""A provider that answers from a script, for tests and benchmarks. No request can reach it unless `use` is active."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from promptlab.llm import resilience
from promptlab.llm.errors import LLMError
from promptlab.llm.providers import registry
from promptlab.llm.providers.base import Finish
from promptlab.llm.types import CompletionRequest, Delta, FinishReason, Json, Usage

SCRIPTED = "scripted"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the script. `error` is raised after the deltas: with none of them, before the first token.

    `tool_calls` come after the deltas, each a piece of a call in the form of the chat completions API.

    Without `usage` the input counts as the words of the messages, the output as the number of deltas.
    """

    deltas: tuple[str, ...] = ()
    error: LLMError | None = None
    delay_s: float = 0.0
    gap_s: float = 0.0
    usage: Usage | None = None
    finish_reason: FinishReason = FinishReason.STOP
    model: str = ""
    tool_calls: tuple[Json, ...] = ()


Step = str | Reply | LLMError


class ScriptedProvider:
    """Give the steps of the script, one a call, in order; `requests` holds what was asked, for assertions.

    An error at the end of the script stays, because the gateway asks again when the first token fails.
    """

    def __init__(self, steps: Iterable[Step], *, repeats: bool = False) -> None:
        self._steps = deque(_reply(step) for step in steps)
        self._repeats = repeats
        self.requests: list[CompletionRequest] = []
        self.abandoned = 0

    async def astream(self, request: CompletionRequest) -> AsyncGenerator[Delta | Finish, None]:
        """Yield the next step of the script. `abandoned` counts the answers that were closed or cancelled midway."""
        self.requests.append(request)
        reply = self._next()
        try:
            await asyncio.sleep(reply.delay_s)
            for delta in reply.deltas:
                yield Delta(delta)
                await asyncio.sleep(reply.gap_s)
            for piece in reply.tool_calls:
                yield Delta("", (piece,))
        except (asyncio.CancelledError, GeneratorExit):
            self.abandoned += 1
            raise
        if reply.error:
            raise reply.error
        usage = reply.usage or _counted(request, reply)
        yield Finish(reply.finish_reason, usage, reply.model or request.model)

    async def aclose(self) -> None:
        """Hold nothing, close nothing."""

    def _next(self) -> Reply:
        assert self._steps, "There were more calls than steps in the script."
        reply = self._steps.popleft()
        if self._repeats or (reply.error and not self._steps):
            self._steps.append(reply)
        return reply


@contextmanager
def use(*steps: Step, name: str = SCRIPTED, repeats: bool = False) -> Iterator[ScriptedProvider]:
    """Answer calls to the models `NAME` and `NAME-...` from a script while the context lasts.

    With `name="openai"` the script stands in for every model that is not echo. Breakers start and end closed.
    """
    provider = ScriptedProvider(steps, repeats=repeats)
    registry.register(name, provider)
    resilience.breakers.clear()
    try:
        yield provider
    finally:
        registry.unregister(name)
        resilience.breakers.clear()


def _reply(step: Step) -> Reply:
    if isinstance(step, Reply):
        return step
    return Reply(deltas=(step,)) if isinstance(step, str) else Reply(error=step)


def _counted(request: CompletionRequest, reply: Reply) -> Usage:
    return Usage(sum(len(message.content.split()) for message in request.messages), len(reply.deltas))
