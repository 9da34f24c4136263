"""The way of a call: choose the routes, guard, ask, price, write one `llm.call` line.

Each route is asked twice at most, and the next one only before the first token. It never learns who asked and stores
nothing: callers keep the text and the usage.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal

from promptlab.lib.logs import get_logger
from promptlab.llm import catalog, config, draining, masking, meters, tokens, toolcalls, tracing
from promptlab.llm.draining import Rest
from promptlab.llm.errors import BadRequest, LLMError, MalformedAnswer, NoRouteLeft
from promptlab.llm.providers import making
from promptlab.llm.providers.base import Finish
from promptlab.llm.resilience import SharedBreaker, breakers, pause_before_retry, within
from promptlab.llm.types import (
    PARAMETERS,
    Completion,
    CompletionRequest,
    Delta,
    FinishReason,
    Json,
    Route,
    Usage,
)

log = get_logger(__name__)
MAX_ANSWER_CHARS = 4_000_000
RETRY_AFTER_S = 5
"""What a caller is told to wait when no provider said how long."""
LONGEST_HINT_S = 120
"""Callers do not wait longer than this, so a longer hint helps nobody when there is a shorter one."""


@dataclass(slots=True)
class _Try:
    """One question to one route, for the log."""

    route: Route
    outcome: str = "cancelled"
    ms: int = 0

    def fields(self) -> dict[str, object]:
        return {
            "provider": self.route.provider,
            "model": self.route.model,
            "outcome": self.outcome,
            "ms": self.ms,
        }


@dataclass
class _Call:
    """What is known about a call while it runs. Times are of `time.perf_counter`, `until` is of the loop's clock.

    `sent` is the request as providers get it: with tokens for what `sheet` keeps the values of.
    """

    request: CompletionRequest
    sent: CompletionRequest
    sheet: masking.Sheet
    routes: Sequence[Route]
    limits: config.Config
    until: float
    rest: Rest
    span: tracing.Span
    route: Route
    started: float = field(default_factory=time.perf_counter)
    first_token_ms: int | None = None
    tries: list[_Try] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    pieces: list[Json] = field(default_factory=list)
    chars: int = 0
    completion: Completion | None = None
    outcome: str = "cancelled"

    @property
    def has_begun(self) -> bool:
        return self.first_token_ms is not None

    @property
    def may_read_on(self) -> bool:
        """Whether the answer is billed to its end, whoever still listens."""
        return self.has_begun and self.route.drains

    def note(self, delta: Delta) -> None:
        """Keep a piece of the answer. Raises MalformedAnswer when it becomes longer than any answer is."""
        if self.first_token_ms is None:
            self.first_token_ms = self.elapsed_ms()
            self.rest.route = self.route
        self.parts.append(delta.text)
        self.pieces.extend(delta.tool_calls)
        self.chars += len(delta.text) + sum(len(str(piece)) for piece in delta.tool_calls)
        if self.chars > MAX_ANSWER_CHARS:
            raise MalformedAnswer()

    def elapsed_ms(self) -> int:
        return round((time.perf_counter() - self.started) * 1000)

    def left_s(self) -> float:
        return self.until - asyncio.get_running_loop().time()


async def astream(request: CompletionRequest, *, rest: Rest | None = None) -> AsyncGenerator[Delta | Completion, None]:
    """Yield the answer's deltas, then exactly one `Completion` with the whole text, usage, cost and timing.

    Closing the generator, or cancelling the task that waits in it, ends the call at the provider: wrap it in
    `contextlib.aclosing` where the loop may be left early. Where the route says so the answer is read to its end in the
    background instead: `rest` then says how it goes on. Raises LLMError; `partial` tells whether deltas came before.
    """
    call = await _begin(request, rest or Rest())
    events = _run(call)
    if any(route.drains for route in call.routes):
        events = draining.kept(events, call.rest, lambda: call.may_read_on)
    async with aclosing(events):
        async for event in events:
            yield event


async def acomplete(request: CompletionRequest) -> Completion:
    """Return the whole answer. Raises LLMError."""
    async with aclosing(astream(request)) as events:
        async for event in events:
            if isinstance(event, Completion):
                return event
    raise AssertionError("astream ends with a Completion or an error")


def complete(request: CompletionRequest) -> Completion:
    """Return the whole answer, for workers and commands; async code awaits `acomplete`. Raises LLMError."""
    return asyncio.run(_complete_and_close(request))


async def aspent(request: CompletionRequest, route: Route, text: str) -> Completion:
    """Return what an answer that broke off after `text` is taken to have cost: tokens estimated, priced as of now."""
    asked = replace(request, model=route.model)
    usage = await asyncio.to_thread(_estimated_usage, asked, text)
    return Completion(
        text=text,
        model=route.model,
        provider=route.provider,
        usage=usage,
        cost_usd=await _cost(route, route.model, usage),
        finish_reason=FinishReason.CANCELLED,
        latency_ms=0,
        first_token_ms=None,
    )


async def aclose() -> None:
    """End what is read on, and close the connections of the running event loop; for the end of a process or a loop."""
    await draining.stop()
    await making.aclose()


async def _complete_and_close(request: CompletionRequest) -> Completion:
    try:
        return await acomplete(request)
    finally:
        await aclose()


async def _begin(request: CompletionRequest, rest: Rest) -> _Call:
    """Return the call with routes and limits filled in. Raises UnknownModel, BadRequest."""
    limits = config.current()
    routes = tuple(request.routes) or (_route_of_settings(request.model, limits),)
    unknown = sorted(request.parameters.keys() - PARAMETERS)
    if unknown:
        detail = f"Unknown model setting {unknown[0]!r}. Known are: {', '.join(sorted(PARAMETERS))}."
        raise BadRequest(detail, code="unsupported_parameter")
    if not request.messages:
        raise BadRequest("There is no message to answer.", code="missing_messages")
    if not (request.model and request.routes):
        request = replace(request, model=request.model or routes[0].model, routes=routes)
    sent, sheet = await masking.amasked(request)
    span = tracing.Span(request)
    if limits.forward_traceparent:
        request, sent = (replace(one, traceparent=span.traceparent) for one in (request, sent))
    allowed_s = request.deadline_s or routes[0].deadline_s or limits.deadline_s
    until = asyncio.get_running_loop().time() + allowed_s
    return _Call(request, sent, sheet, routes, limits, until, rest, span, route=routes[0])


def _route_of_settings(model: str, limits: config.Config) -> Route:
    """Return the one way that the settings say. Raises UnknownModel."""
    info = catalog.resolve(model)
    if info.provider == catalog.ECHO:
        return Route(provider=info.provider, kind=info.provider, model=info.name)
    return Route(
        provider=info.provider,
        kind=info.provider,
        model=info.name,
        address=limits.openai_base_url,
        key=limits.openai_api_key,
    )


async def _run(call: _Call) -> AsyncGenerator[Delta | Completion, None]:
    """Yield the answer, and note how the call ended, however it ends."""
    try:
        async with aclosing(_answer(call)) as events:
            async for event in events:
                yield event
    except LLMError as error:
        error.partial = call.has_begun
        if error.status == 503 and error.is_retryable and error.retry_after_s is None:
            error.retry_after_s = RETRY_AFTER_S
        call.outcome = error.code
        raise
    except Exception:
        call.outcome = "crashed"
        raise
    finally:
        _end(call)


async def _answer(call: _Call) -> AsyncGenerator[Delta | Completion, None]:
    """Yield what one route gives; take the next one when it fails before the first token and another may do better."""
    errors: list[LLMError] = []
    for route in call.routes:
        call.route = route
        try:
            async with aclosing(_ask(call)) as events:
                async for event in events:
                    yield event
            return
        except LLMError as error:
            errors.append(error)
            if call.has_begun or isinstance(error, BadRequest) or call.left_s() <= 0:
                raise
    raise errors[0] if len(errors) == 1 else _none_left(errors)


def _none_left(errors: Sequence[LLMError]) -> NoRouteLeft:
    """Return the error of several routes that failed: with the longest wait that one of them asked for, in reason."""
    hints = [error.retry_after_s for error in errors if error.retry_after_s]
    in_reason = [hint for hint in hints if hint <= LONGEST_HINT_S]
    return NoRouteLeft(retry_after_s=max(in_reason, default=RETRY_AFTER_S), routes=len(errors))


def _own_name(route: Route) -> str:
    """Return the provider's name with its version: two teams may call theirs the same, and a new key begins anew."""
    return f"{route.provider}@{route.version}" if route.version else route.provider


async def _ask(call: _Call) -> AsyncGenerator[Delta | Completion, None]:
    """Yield what the route gives; ask it a second time when it fails before the first token and may do better."""
    breaker = breakers.of(_own_name(call.route), call.route.model)
    breaker.retries.fill()
    for attempt in (1, 2):
        try:
            async with aclosing(_try(call, breaker)) as events:
                async for event in events:
                    yield event
            return
        except LLMError as error:
            pause_s = pause_before_retry(error, attempt, call.left_s())
            if call.has_begun or pause_s is None or not breaker.retries.spend():
                raise
        await asyncio.sleep(pause_s)


async def _try(call: _Call, breaker: SharedBreaker) -> AsyncGenerator[Delta | Completion, None]:
    finish = None
    with _noted(call):
        async with breaker.guard() as answering:
            source = _limited(call, making.named(call.route.kind).astream(_by_route(call)))
            async with aclosing(masking.restored(source, call.sheet)) as events:
                async for event in events:
                    if isinstance(event, Finish):
                        finish = event
                        continue
                    if not call.has_begun:
                        await answering()
                    call.note(event)
                    yield event
            if finish is None:
                raise MalformedAnswer()
    call.completion = await _completion(call, finish)
    call.outcome = "ok"
    yield call.completion


def _by_route(call: _Call) -> CompletionRequest:
    """Return the request as the route's provider gets it."""
    route, sent = call.route, call.sent
    if len(call.routes) == 1 and sent.model == route.model:
        return sent
    return replace(sent, model=route.model, routes=(route,))


@contextmanager
def _noted(call: _Call) -> Iterator[None]:
    """Note how one try ends."""
    this, started = _Try(call.route), time.perf_counter()
    call.tries.append(this)
    try:
        yield
        this.outcome = "ok"
    except LLMError as error:
        this.outcome = error.code
        raise
    finally:
        this.ms = round((time.perf_counter() - started) * 1000)


def _limited(call: _Call, source: AsyncGenerator[Delta | Finish, None]) -> AsyncGenerator[Delta | Finish, None]:
    """Return the source with its time limits: the call's own, else the route's, else those of the settings."""
    route, limits = call.route, call.limits
    until = call.until
    if route.deadline_s is not None:
        until = min(until, asyncio.get_running_loop().time() + route.deadline_s)
    first_s = call.request.first_token_timeout_s or route.first_token_timeout_s or limits.first_token_timeout_s
    return within(source, until=until, first_s=first_s, idle_s=limits.idle_timeout_s)


async def _completion(call: _Call, finish: Finish) -> Completion:
    latency_ms = call.elapsed_ms()
    text = "".join(call.parts)
    usage = finish.usage
    if usage is None:
        asked = replace(call.request, model=call.route.model)
        usage = await asyncio.to_thread(_estimated_usage, asked, text)
    return Completion(
        text=text,
        model=finish.model,
        provider=call.route.provider,
        usage=usage,
        cost_usd=await _cost(call.route, finish.model, usage),
        finish_reason=finish.finish_reason,
        latency_ms=latency_ms,
        first_token_ms=call.first_token_ms,
        tool_calls=toolcalls.assembled(call.pieces),
    )


async def _cost(route: Route, answered_by: str, usage: Usage) -> Decimal | None:
    """Return the price in USD as of now, or `None` when it is not known."""
    info = catalog.ModelInfo(route.model, route.kind)
    return await catalog.aprice(info, answered_by, usage, datetime.now(UTC))


def _estimated_usage(request: CompletionRequest, text: str) -> Usage:
    asked = tokens.estimate(request.messages, request.model)
    answered = tokens.estimate(text, request.model)
    return Usage(asked.tokens, answered.tokens, is_estimated=True)


def _end(call: _Call) -> None:
    """Write the line of the call, count it, and end its span."""
    done = call.completion
    elapsed_ms = call.elapsed_ms()
    meters.count(call.route, call.outcome, elapsed_ms, call.first_token_ms, done)
    meters.count_masked(call.route, call.sheet.counts)
    for this in call.tries:
        meters.tries.add(this.route.provider, this.route.model, this.outcome)
    call.span.end(call.route, call.outcome, call.first_token_ms, done)
    log.info(
        "llm.call",
        model=call.request.model,
        answered_by=done.model if done else None,
        provider=call.route.provider,
        purpose=call.request.purpose,
        outcome=call.outcome,
        attempts=len(call.tries),
        tries=[this.fields() for this in call.tries],
        input_tokens=done.usage.input_tokens if done else None,
        output_tokens=done.usage.output_tokens if done else None,
        is_estimated=done.usage.is_estimated if done else None,
        cost_usd=str(done.cost_usd) if done and done.cost_usd is not None else None,
        masked=dict(call.sheet.counts),
        latency_ms=done.latency_ms if done else elapsed_ms,
        first_token_ms=call.first_token_ms,
    )
