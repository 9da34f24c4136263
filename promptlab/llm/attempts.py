"""One question to one route, and the call that it belongs to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from promptlab.llm import config, masking, tracing
from promptlab.llm.draining import Rest
from promptlab.llm.errors import LLMError, MalformedAnswer
from promptlab.llm.patience import Within
from promptlab.llm.providers import making
from promptlab.llm.providers.base import Finish
from promptlab.llm.resilience import breakers
from promptlab.llm.types import Completion, CompletionRequest, Delta, Events, Json, Route

MAX_ANSWER_CHARS = 4_000_000


@dataclass(slots=True)
class Try:
    """How one question to one route went, for the log."""

    route: Route
    outcome: str = "cancelled"
    ms: int = 0

    def fields(self) -> dict[str, object]:
        """Return it as the log has it."""
        return {
            "provider": self.route.provider,
            "model": self.route.model,
            "outcome": self.outcome,
            "ms": self.ms,
        }


@dataclass(slots=True)
class Call:
    """What is known about a call while it runs. Times are of `time.perf_counter`, `until` is of the loop's clock.

    `sheet` keeps the values of what the route's provider gets tokens for.
    """

    request: CompletionRequest
    routes: Sequence[Route]
    limits: config.Config
    until: float
    rest: Rest
    span: tracing.Span
    route: Route
    started: float = field(default_factory=time.perf_counter)
    first_token_ms: int | None = None
    tries: list[Try] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    pieces: list[Json] = field(default_factory=list)
    chars: int = 0
    completion: Completion | None = None
    outcome: str = "cancelled"
    sheet: masking.Sheet = field(default_factory=lambda: masking.EMPTY)

    @property
    def has_begun(self) -> bool:
        """Whether anything of the answer came."""
        return self.first_token_ms is not None

    def note(self, delta: Delta) -> None:
        """Keep a piece of the answer. Raises MalformedAnswer when it becomes longer than any answer is."""
        if self.first_token_ms is None:
            self.first_token_ms = self.elapsed_ms()
            self.rest.route = self.route
        self.parts.append(delta.text)
        self.chars += len(delta.text)
        if delta.tool_calls:
            self.pieces.extend(delta.tool_calls)
            self.chars += sum(len(str(piece)) for piece in delta.tool_calls)
        if self.chars > MAX_ANSWER_CHARS:
            raise MalformedAnswer()

    def elapsed_ms(self) -> int:
        """Return how long it has taken so far."""
        return round((time.perf_counter() - self.started) * 1000)

    def left_s(self) -> float:
        """Return what is left until its deadline."""
        return self.until - asyncio.get_running_loop().time()


class Attempt:
    """One question to the call's route: let through by its breaker, within its time limits, noted for the log.

    A context that yields the answer's deltas; `finish` is there when they end. Both raise LLMError. Leaving it ends what
    is still under way at the provider.
    """

    __slots__ = ("_call", "_events", "_passage", "_started", "_try", "breaker", "finish")

    def __init__(self, call: Call) -> None:
        self._call = call
        self.breaker = breakers.of(_own_name(call.route), call.route.model)
        self.finish: Finish | None = None
        self._passage = self.breaker.guard()
        self._events: Events[Delta | Finish] | None = None
        self._started = time.perf_counter()
        self._try = Try(call.route)
        call.tries.append(self._try)

    async def __aenter__(self) -> Self:
        try:
            await self._passage.__aenter__()
        except BaseException as error:
            self._note(error)
            raise
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if self._events is not None:
                await self._events.aclose()
        finally:
            self._note(error)
            await self._passage.__aexit__(kind, error, trace)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delta:
        if self._events is None:
            self._events = await self._asked()
        event = await anext(self._events, None)
        while isinstance(event, Finish):
            self.finish = event
            event = await anext(self._events, None)
        if event is None:
            if self.finish is None:
                raise MalformedAnswer()
            raise StopAsyncIteration
        if not self._call.has_begun:
            await self._passage()
        self._call.note(event)
        return event

    async def _asked(self) -> Events[Delta | Finish]:
        """Return the answer, with its time limits: the call's own, else the route's, else those of the settings."""
        call, route, limits = self._call, self._call.route, self._call.limits
        until = call.until
        if route.deadline_s is not None:
            until = min(until, asyncio.get_running_loop().time() + route.deadline_s)
        first_s = call.request.first_token_timeout_s or route.first_token_timeout_s or limits.first_token_timeout_s
        sent, call.sheet = await masking.amasked(with_its_text(call.request, route))
        source = making.named(route.kind).astream(_by_route(sent, route))
        return masking.restored(Within(source, until=until, first_s=first_s, idle_s=limits.idle_timeout_s), call.sheet)

    def _note(self, error: BaseException | None) -> None:
        """Note how it ends; what was cancelled stays so."""
        if error is None or isinstance(error, LLMError):
            self._try.outcome = error.code if error is not None else "ok"
        self._try.ms = round((time.perf_counter() - self._started) * 1000)


def _own_name(route: Route) -> str:
    """Return the provider's name with its version: two teams may call theirs the same, and a new key begins anew."""
    return f"{route.provider}@{route.version}" if route.version else route.provider


def with_its_text(request: CompletionRequest, route: Route) -> CompletionRequest:
    """Return the request with the messages that are meant for the route's model, where there are any."""
    messages = request.other_messages.get(route.name) if request.other_messages else None
    return request if messages is None else replace(request, messages=messages)


def _by_route(request: CompletionRequest, route: Route) -> CompletionRequest:
    """Return the request as the route's provider gets it."""
    if len(request.routes) == 1 and request.model == route.model:
        return request
    return replace(request, model=route.model, routes=(route,))
