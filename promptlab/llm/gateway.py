"""The way of a call: resolve the model, guard, ask (twice at most), price, write one `llm.call` line.

It never learns who asked and stores nothing: callers keep the text and the usage.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from promptlab.lib.logs import get_logger
from promptlab.llm import catalog, config, tokens
from promptlab.llm.errors import BadRequest, LLMError, MalformedAnswer
from promptlab.llm.providers import making
from promptlab.llm.providers.base import Finish
from promptlab.llm.resilience import breakers, pause_before_retry, within
from promptlab.llm.types import PARAMETERS, Completion, CompletionRequest, Delta, Usage

log = get_logger(__name__)


@dataclass
class _Call:
    """What is known about a call while it runs. Times are of `time.perf_counter`, `until` is of the loop's clock."""

    request: CompletionRequest
    info: catalog.ModelInfo
    until: float
    first_s: float
    idle_s: float
    started: float = field(default_factory=time.perf_counter)
    first_token_ms: int | None = None
    attempts: int = 0
    parts: list[str] = field(default_factory=list)
    completion: Completion | None = None
    outcome: str = "cancelled"

    def note(self, text: str) -> None:
        if self.first_token_ms is None:
            self.first_token_ms = self.elapsed_ms()
        self.parts.append(text)

    def elapsed_ms(self) -> int:
        return round((time.perf_counter() - self.started) * 1000)


async def astream(request: CompletionRequest) -> AsyncGenerator[Delta | Completion, None]:
    """Yield the answer's deltas, then exactly one `Completion` with the whole text, usage, cost and timing.

    Closing the generator, or cancelling the task that waits in it, ends the call at the provider: wrap it in
    `contextlib.aclosing` where the loop may be left early. Raises LLMError; `partial` tells whether deltas came before.
    """
    call = _begin(request)
    try:
        async with aclosing(_answer(call)) as events:
            async for event in events:
                yield event
    except LLMError as error:
        error.partial = bool(call.parts)
        call.outcome = error.code
        raise
    except Exception:
        call.outcome = "crashed"
        raise
    finally:
        _log(call)


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


async def aclose() -> None:
    """Close the connections of the running event loop; for the end of a process or a loop."""
    await making.aclose()


async def _complete_and_close(request: CompletionRequest) -> Completion:
    try:
        return await acomplete(request)
    finally:
        await aclose()


def _begin(request: CompletionRequest) -> _Call:
    """Return the call with model and limits filled in. Raises UnknownModel, BadRequest."""
    info = catalog.resolve(request.model)
    unknown = sorted(request.parameters.keys() - PARAMETERS)
    if unknown:
        detail = f"Unknown model setting {unknown[0]!r}. Known are: {', '.join(sorted(PARAMETERS))}."
        raise BadRequest(detail, code="unsupported_parameter")
    if not request.messages:
        raise BadRequest("There is no message to answer.", code="missing_messages")
    limits = config.current()
    first_s = request.first_token_timeout_s or limits.first_token_timeout_s
    return _Call(
        request=replace(request, model=info.name),
        info=info,
        until=asyncio.get_running_loop().time() + (request.deadline_s or limits.deadline_s),
        first_s=first_s,
        # A model that has begun to answer is never given less patience than one that thinks.
        idle_s=max(first_s, limits.first_token_timeout_s),
    )


async def _answer(call: _Call) -> AsyncGenerator[Delta | Completion, None]:
    """Yield what one attempt gives; begin another one when it fails before the first token and may do better."""
    while True:
        call.attempts += 1
        try:
            async with aclosing(_attempt(call)) as events:
                async for event in events:
                    yield event
            return
        except LLMError as error:
            left_s = call.until - asyncio.get_running_loop().time()
            pause_s = pause_before_retry(error, call.attempts, left_s)
            if call.parts or pause_s is None:
                raise
        await asyncio.sleep(pause_s)


async def _attempt(call: _Call) -> AsyncGenerator[Delta | Completion, None]:
    finish = None
    source = making.named(call.info.provider).astream(call.request)
    with breakers.of(call.info.provider, call.info.name).guard() as answering:
        limited = within(source, until=call.until, first_s=call.first_s, idle_s=call.idle_s)
        async with aclosing(limited) as events:
            async for event in events:
                if isinstance(event, Finish):
                    finish = event
                    continue
                if not call.parts:
                    answering()
                call.note(event.text)
                yield event
        if finish is None:
            raise MalformedAnswer()
    call.completion = await _completion(call, finish)
    call.outcome = "ok"
    yield call.completion


async def _completion(call: _Call, finish: Finish) -> Completion:
    latency_ms = call.elapsed_ms()
    text = "".join(call.parts)
    usage = finish.usage
    if usage is None:
        usage = await asyncio.to_thread(_estimated_usage, call.request, text)
    return Completion(
        text=text,
        model=finish.model,
        provider=call.info.provider,
        usage=usage,
        cost_usd=await catalog.aprice(call.info, finish.model, usage, datetime.now(UTC)),
        finish_reason=finish.finish_reason,
        latency_ms=latency_ms,
        first_token_ms=call.first_token_ms,
    )


def _estimated_usage(request: CompletionRequest, text: str) -> Usage:
    asked = tokens.estimate(request.messages, request.model)
    answered = tokens.estimate(text, request.model)
    return Usage(asked.tokens, answered.tokens, is_estimated=True)


def _log(call: _Call) -> None:
    done = call.completion
    log.info(
        "llm.call",
        model=call.info.name,
        answered_by=done.model if done else None,
        provider=call.info.provider,
        purpose=call.request.purpose,
        outcome=call.outcome,
        attempts=call.attempts,
        input_tokens=done.usage.input_tokens if done else None,
        output_tokens=done.usage.output_tokens if done else None,
        is_estimated=done.usage.is_estimated if done else None,
        cost_usd=str(done.cost_usd) if done and done.cost_usd is not None else None,
        latency_ms=done.latency_ms if done else call.elapsed_ms(),
        first_token_ms=call.first_token_ms,
    )
