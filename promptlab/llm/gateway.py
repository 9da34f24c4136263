"""The way of a call: choose the routes, guard, ask, price, write one `llm.call` line.

Each route is asked twice at most, and the next one only before the first token. It never learns who asked and stores
nothing: callers keep the text and the usage.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from promptlab.lib.logs import get_logger
from promptlab.llm import catalog, config, draining, meters, tokens, toolcalls, tracing
from promptlab.llm.attempts import Attempt, Call, with_its_text
from promptlab.llm.draining import Rest
from promptlab.llm.errors import BadRequest, LLMError, NoRouteLeft
from promptlab.llm.providers import making
from promptlab.llm.providers.base import Finish
from promptlab.llm.resilience import pause_before_retry
from promptlab.llm.types import (
    PARAMETERS,
    Completion,
    CompletionRequest,
    Delta,
    FinishReason,
    Route,
    Usage,
)

log = get_logger(__name__)
RETRY_AFTER_S = 5
"""What a caller is told to wait when no provider said how long."""
LONGEST_HINT_S = 120
"""Callers do not wait longer than this, so a longer hint helps nobody when there is a shorter one."""


def astream(request: CompletionRequest, *, rest: Rest | None = None) -> AsyncGenerator[Delta | Completion, None]:
    """Return the answer's deltas, then exactly one `Completion` with the whole text, usage, cost and timing.

    Closing the generator, or cancelling the task that waits in it, ends the call at the provider: wrap it in
    `contextlib.aclosing` where the loop may be left early. Where the route says so the answer is read to its end in the
    background instead: `rest` then says how it goes on. Raises LLMError; `partial` tells whether deltas came before.
    """
    rest = rest or Rest()
    events = _run(request, rest)
    return draining.kept(events, rest) if any(route.drains for route in request.routes) else events


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
    asked = replace(with_its_text(request, route), model=route.model)
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
        route_name=route.name,
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


async def _begin(request: CompletionRequest, rest: Rest) -> Call:
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
    span = tracing.Span(request)
    if limits.forward_traceparent:
        request = replace(request, traceparent=span.traceparent)
    allowed_s = request.deadline_s or routes[0].deadline_s or limits.deadline_s
    until = asyncio.get_running_loop().time() + allowed_s
    return Call(request, routes, limits, until, rest, span, route=routes[0])


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


async def _run(request: CompletionRequest, rest: Rest) -> AsyncGenerator[Delta | Completion, None]:
    """Yield the answer, and note how the call ended, however it ends."""
    call = await _begin(request, rest)
    order = _Order(call)
    try:
        while call.completion is None:
            attempt = order.next()
            try:
                async with attempt:
                    async for delta in attempt:
                        yield delta
            except LLMError as error:
                await order.go_on_after(error)
            else:
                assert attempt.finish is not None
                call.completion = await _completion(call, attempt.finish)
                call.outcome = "ok"
        yield call.completion
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


class _Order:
    """In which order the routes of a call are asked: each twice at most, and nobody else once there is a first token."""

    __slots__ = ("_attempt", "_call", "_errors", "_number", "_place")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._place = 0
        self._number = 0
        self._errors: list[LLMError] = []
        self._attempt: Attempt | None = None

    def next(self) -> Attempt:
        """Return the next question to ask."""
        self._call.route = self._call.routes[self._place]
        self._attempt = Attempt(self._call)
        if self._number == 0:
            self._attempt.breaker.retries.fill()
        self._number += 1
        return self._attempt

    async def go_on_after(self, error: LLMError) -> None:
        """Wait until it may be asked again, or pass to the next route; raise what the call ends with if there is none."""
        call, attempt = self._call, self._attempt
        assert attempt is not None
        pause_s = pause_before_retry(error, self._number, call.left_s())
        if not call.has_begun and pause_s is not None and attempt.breaker.retries.spend():
            await asyncio.sleep(pause_s)
            return
        self._errors.append(error)
        if call.has_begun or isinstance(error, BadRequest) or call.left_s() <= 0:
            raise error
        self._place, self._number = self._place + 1, 0
        if self._place == len(call.routes):
            raise error if len(self._errors) == 1 else _none_left(self._errors)


def _none_left(errors: Sequence[LLMError]) -> NoRouteLeft:
    """Return the error of several routes that failed: with the longest wait that one of them asked for, in reason."""
    hints = [error.retry_after_s for error in errors if error.retry_after_s]
    in_reason = [hint for hint in hints if hint <= LONGEST_HINT_S]
    return NoRouteLeft(retry_after_s=max(in_reason, default=RETRY_AFTER_S), routes=len(errors))


async def _completion(call: Call, finish: Finish) -> Completion:
    latency_ms = call.elapsed_ms()
    text = "".join(call.parts)
    usage = finish.usage
    if usage is None:
        asked = replace(with_its_text(call.request, call.route), model=call.route.model)
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
        route_name=call.route.name,
    )


async def _cost(route: Route, answered_by: str, usage: Usage) -> Decimal | None:
    """Return the price in USD as of now, or `None` when it is not known."""
    info = catalog.ModelInfo(route.model, route.kind)
    return await catalog.aprice(info, answered_by, usage, datetime.now(UTC))


def _estimated_usage(request: CompletionRequest, text: str) -> Usage:
    asked = tokens.estimate(request.messages, request.model)
    answered = tokens.estimate(text, request.model)
    return Usage(asked.tokens, answered.tokens, is_estimated=True)


def _end(call: Call) -> None:
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
