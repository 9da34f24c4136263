"""Any server that speaks OpenAI's chat completions.

The SDK says how a request looks (`clients`); the request is sent and the stream is read here, line by line: that costs a
tenth of the SDK's own way, whose reader besides takes a connection that broke off for a complete answer.
"""

from __future__ import annotations

import ipaddress
import json
import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from promptlab.llm import config
from promptlab.llm.errors import (
    BadRequest,
    ContextTooLong,
    LLMError,
    MalformedAnswer,
    Misconfigured,
    ProviderRateLimited,
    ProviderRefusedKey,
    ProviderTimeout,
    ProviderUnavailable,
    UnknownModel,
)
from promptlab.llm.providers.base import MAX_LINE_BYTES, EventData, Finish, drain, sound
from promptlab.llm.providers.clients import Clients, Endpoint
from promptlab.llm.types import OFFICIAL_ONLY, ChatMessage, CompletionRequest, Delta, FinishReason, Json, Route, Usage

if TYPE_CHECKING:
    from aiohttp import ClientResponse

OFFICIAL_URL = "https://api.openai.com/v1"
MAX_NAME_CHARS = 200
MAX_COUNT = 2**31 - 1
"""The largest number of tokens that a column holds; what claims to be more is not believed."""
DONE = b"[DONE]"
CONTEXT_CODE = "context_length_exceeded"
NO_QUOTA_CODE = "insufficient_quota"
FINISH_REASONS = {
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
}
CACHED = ("cached_tokens", "cache_read_input_tokens", "prompt_cache_hit_tokens")
CACHE_WRITES = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")
"""The names that servers have for tokens read from, and written to, their cache."""


class OpenAIProvider:
    """Stream chat completions from the server that the route names; OpenAI's own when it names none."""

    def __init__(self) -> None:
        self._clients = Clients()

    async def astream(self, request: CompletionRequest) -> AsyncGenerator[Delta | Finish, None]:
        """Yield the answer. Raises LLMError for whatever the settings, the network or the server do wrong."""
        endpoint = _endpoint(request.routes[0])
        body = _body(request, is_official=_is_official(endpoint))
        traced = {"traceparent": request.traceparent} if request.traceparent else None
        answer, events = _Answer(request.model), EventData()
        async with self._clients.use(endpoint) as client:
            from aiohttp import ClientError

            try:
                async with await client.ask(body, traced) as response:
                    if not 200 <= response.status < 300:
                        raise await _refusal(response, request.model)
                    content = response.content
                    while not answer.is_done and (block := await content.readany()):
                        for payload in events.of(block):
                            if delta := answer.take(payload):
                                yield delta
                    for payload in events.of(b""):
                        if delta := answer.take(payload):
                            yield delta
                    if not content.at_eof():
                        await drain(content.iter_any())
            except ClientError:
                # After a finish reason the answer is whole, whatever then happens to the connection.
                if not answer.is_whole:
                    raise ProviderUnavailable from None
        yield answer.finish()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._clients.close()


def _endpoint(route: Route) -> Endpoint:
    """Return where to call. Raises Misconfigured. Servers on this machine need no key and may be called under test."""
    url = route.address or OFFICIAL_URL
    is_local = _is_loopback(url)
    if not (route.key or is_local):
        raise Misconfigured("There is no key for this model: set OPENAI_API_KEY.", setting="OPENAI_API_KEY")
    settings = config.current()
    if not (settings.allow_real_calls or is_local):
        raise Misconfigured("Calls to real models are switched off here.", setting="LLM_ALLOW_REAL_CALLS")
    return Endpoint(
        provider=route.provider,
        url=url,
        key=route.key or "none",
        version=route.version,
        api_version=route.api_version,
        deployment=route.model if route.api_version else "",
        connect_timeout_s=route.connect_timeout_s or settings.connect_timeout_s,
        is_local=is_local,
        is_public_only=route.is_public_only,
    )


@lru_cache(maxsize=1_000)
def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_official(endpoint: Endpoint) -> bool:
    return endpoint.url == OFFICIAL_URL or bool(endpoint.api_version)


def _message(message: ChatMessage) -> dict[str, object]:
    plain: dict[str, object] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        plain |= {"content": message.content or None, "tool_calls": [dict(call) for call in message.tool_calls]}
    if message.tool_call_id:
        plain["tool_call_id"] = message.tool_call_id
    return plain


def _body(request: CompletionRequest, *, is_official: bool) -> bytes:
    """Return the body. OpenAI wants `max_completion_tokens`; most others know only the old name. Raises BadRequest."""
    body: dict[str, object] = {
        "model": request.model,
        "stream": True,
        "messages": [_message(message) for message in request.messages],
        "stream_options": {"include_usage": True},
    }
    body |= {name: value for name, value in request.parameters.items() if is_official or name not in OFFICIAL_ONLY}
    if is_official and "max_tokens" in body:
        body["max_completion_tokens"] = body.pop("max_tokens")
    if request.user:
        body["user"] = request.user
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise BadRequest("The messages hold characters that are not valid Unicode. Remove them.") from None


class _Answer:
    """What the chunks have said so far."""

    def __init__(self, model: str) -> None:
        self.is_done = False
        self._model = model
        self._usage: Usage | None = None
        self._finish_reason: FinishReason | None = None
        self._has_choice = False

    @property
    def is_whole(self) -> bool:
        """Whether the model had its say. Without a finish reason it takes `[DONE]` after at least one choice."""
        return self._finish_reason is not None or (self.is_done and self._has_choice)

    def take(self, payload: bytes) -> Delta | None:
        """Note one event and return what it adds, often nothing. Raises LLMError for errors and the unreadable."""
        if payload == DONE:
            self.is_done = True
        if not payload or self.is_done:
            return None
        chunk = _parsed(payload)
        if chunk.get("error") or chunk.get("object") == "error":
            raise _from_event(chunk)
        self._note(chunk)
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices:
            return None
        return self._choice(_object(choices[0]))

    def finish(self) -> Finish:
        """Return the last event. Raises MalformedAnswer when the stream ended early."""
        if not self.is_whole:
            raise MalformedAnswer()
        return Finish(self._finish_reason or FinishReason.STOP, self._usage, self._model)

    def _note(self, chunk: Json) -> None:
        model = chunk.get("model")
        if model != self._model and isinstance(model, str) and 0 < len(model) <= MAX_NAME_CHARS:
            self._model = model
        usage = chunk.get("usage")
        if usage:
            self._usage = _usage(usage) or self._usage

    def _choice(self, choice: Json) -> Delta | None:
        self._has_choice = True
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._finish_reason = FINISH_REASONS.get(reason, FinishReason.STOP)
        delta = _object(choice.get("delta"))
        text = delta.get("content") or delta.get("refusal")
        calls = delta.get("tool_calls")
        added = sound(text) if isinstance(text, str) else ""
        pieces = _tool_calls(calls) if calls else ()
        return Delta(added, pieces) if added or pieces else None


def _tool_calls(value: object) -> tuple[Json, ...]:
    """Return the pieces of calls that a chunk brings, with what we know of them and nothing else."""
    pieces = value if isinstance(value, list) else []
    return tuple(_tool_call(piece, place) for place, piece in enumerate(pieces) if isinstance(piece, dict))


def _tool_call(piece: Json, place: int) -> Json:
    index = _count(piece, "index")
    function = _object(piece.get("function"))
    known = {name: sound(word) for name in ("id", "type") if isinstance(word := piece.get(name), str)}
    called = {name: sound(word) for name in ("name", "arguments") if isinstance(word := function.get(name), str)}
    return {"index": place if index is None else index, **known, "function": called}


def _parsed(payload: bytes) -> Json:
    try:
        chunk = json.loads(payload.decode())
    except (ValueError, RecursionError):
        raise MalformedAnswer() from None
    if not isinstance(chunk, dict):
        raise MalformedAnswer()
    return chunk


def _usage(value: object) -> Usage | None:
    """Return the counts, or `None` when the two that matter are not there."""
    counts = _object(value)
    asked, answered = _count(counts, "prompt_tokens"), _count(counts, "completion_tokens")
    if asked is None or answered is None:
        return None
    details = {**counts, **_object(counts.get("prompt_tokens_details"))}
    cached = min(_first_count(details, CACHED), asked)
    reasoning = _count(_object(counts.get("completion_tokens_details")), "reasoning_tokens") or 0
    return Usage(
        asked,
        answered,
        cached_tokens=cached,
        reasoning_tokens=min(reasoning, answered),
        cache_write_tokens=min(_first_count(details, CACHE_WRITES), asked - cached),
    )


def _first_count(counts: Json, names: tuple[str, ...]) -> int:
    return next((found for name in names if (found := _count(counts, name))), 0)


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _count(counts: Json, name: str) -> int | None:
    value = counts.get(name)
    return value if isinstance(value, int) and 0 <= value <= MAX_COUNT else None


async def _refusal(response: ClientResponse, model: str) -> LLMError:
    """Return our error. Of theirs only numbers and codes are read: messages may quote keys and prompts."""
    raw = bytearray()
    async for block in response.content.iter_any():
        raw += block
        if len(raw) > MAX_LINE_BYTES:
            break
    with suppress(ValueError, RecursionError):
        body = _object(json.loads(raw))
        return _from_status(response.status, response.headers, _object(body.get("error", body)), model)
    return _from_status(response.status, response.headers, {}, model)


def _from_status(status: int, headers: Mapping[str, str], about: Json, model: str) -> LLMError:
    retry_after_s = _retry_after_s(headers)
    if status in (401, 403):
        return ProviderRefusedKey()
    if status == 408:
        return ProviderTimeout()
    if status == 429:
        return ProviderRateLimited(retry_after_s=retry_after_s, is_retryable=about.get("code") != NO_QUOTA_CODE)
    if status >= 500 or status == 409:
        return ProviderUnavailable(retry_after_s=retry_after_s)
    if about.get("code") == CONTEXT_CODE:
        return ContextTooLong()
    if status == 404 and "message" in about:
        return UnknownModel(model)
    if status == 404 or status < 400:
        detail = "There is no model server at the provider's address. Check it, or the setting OPENAI_BASE_URL."
        return Misconfigured(detail, setting="OPENAI_BASE_URL")
    return BadRequest()


def _from_event(chunk: Json) -> LLMError:
    """Return the error that a server reports inside a stream."""
    about = _object(chunk.get("error")) or chunk
    kinds = (about.get("code"), about.get("type"))
    if CONTEXT_CODE in kinds:
        return ContextTooLong()
    if "rate_limit_exceeded" in kinds or "rate_limit_error" in kinds:
        return ProviderRateLimited()
    return ProviderUnavailable()


def _retry_after_s(headers: Mapping[str, str]) -> int | None:
    """Return the wait in whole seconds, rounded up; `None` without one, and for the date form of `Retry-After`."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with suppress(ValueError, OverflowError):
            return max(0, math.ceil(float(headers.get(name, "")) * unit_s))
    return None
