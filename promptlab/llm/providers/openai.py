"""Any server that speaks OpenAI's chat completions. The only file that imports `openai`, and that at the first call.

The SDK carries authentication, addresses and error classes. The stream is read here, line by line: that costs a sixth
of the SDK's own reader, which besides takes a connection that broke off for a complete answer.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import json
import math
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

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
from promptlab.llm.providers.base import Finish, drain, event_data, sound
from promptlab.llm.types import CompletionRequest, Delta, FinishReason, Usage

if TYPE_CHECKING:
    import ssl

    from openai import APIStatusError, AsyncOpenAI
    from openai.types.chat import ChatCompletionMessageParam

OFFICIAL_URL = "https://api.openai.com/v1"
MAX_CONNECTIONS = 4_000
KEEPALIVE_S = 30.0
MAX_NAME_CHARS = 200
DONE = b"[DONE]"
CONTEXT_CODE = "context_length_exceeded"
NO_QUOTA_CODE = "insufficient_quota"
FINISH_REASONS = {
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
}


Json = Mapping[str, object]


class OpenAIProvider:
    """Stream chat completions from the server that `OPENAI_BASE_URL` names; OpenAI's own when it names none."""

    def __init__(self) -> None:
        self._clients = _Clients()

    async def astream(self, request: CompletionRequest) -> AsyncGenerator[Delta | Finish, None]:
        """Yield the answer. Raises LLMError for whatever the settings, the network or the server do wrong."""
        endpoint = _endpoint()
        client = await self._clients.get(endpoint)
        answer = _Answer(request.model)
        try:
            asked = client.chat.completions.with_streaming_response.create(
                model=request.model,
                messages=_messages(request),
                stream=True,
                stream_options={"include_usage": True},
                extra_body=_extra(request, is_official=endpoint.url == OFFICIAL_URL),
            )
            async with asked as response:
                body = response.iter_bytes()
                async with aclosing(event_data(body)) as payloads:
                    async for payload in payloads:
                        if text := answer.take(payload):
                            yield Delta(text)
                        if answer.is_done:
                            break
                await drain(body)
        except _errors() as error:
            # After a finish reason the answer is whole, whatever then happens to the connection.
            if not answer.is_whole:
                raise _translated(error, request.model) from None
        yield answer.finish()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._clients.close()


@dataclass(frozen=True, slots=True)
class _Endpoint:
    url: str
    key: str = field(repr=False)
    connect_timeout_s: float
    is_local: bool


def _endpoint() -> _Endpoint:
    """Return where to call. Raises Misconfigured. Servers on this machine need no key and may be called under test."""
    settings = config.current()
    url = settings.openai_base_url or OFFICIAL_URL
    is_local = _is_loopback(url)
    if not (settings.openai_api_key or is_local):
        raise Misconfigured("There is no key for this model: set OPENAI_API_KEY.", setting="OPENAI_API_KEY")
    if not (settings.allow_real_calls or is_local):
        raise Misconfigured("Calls to real models are switched off here.", setting="LLM_ALLOW_REAL_CALLS")
    return _Endpoint(url, settings.openai_api_key or "none", settings.connect_timeout_s, is_local)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Clients:
    """One client per endpoint and event loop: connections belong to the loop that opened them."""

    def __init__(self) -> None:
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Endpoint, AsyncOpenAI]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    async def get(self, endpoint: _Endpoint) -> AsyncOpenAI:
        """Return the client; the first is built in a thread, because importing the SDK takes half a second."""
        clients = self._by_loop.setdefault(asyncio.get_running_loop(), {})
        client = clients.get(endpoint)
        return client if client else await asyncio.to_thread(self._build, clients, endpoint)

    async def close(self) -> None:
        for client in self._by_loop.pop(asyncio.get_running_loop(), {}).values():
            await client.close()

    def _build(self, clients: dict[_Endpoint, AsyncOpenAI], endpoint: _Endpoint) -> AsyncOpenAI:
        with self._lock:
            if endpoint not in clients:
                clients[endpoint] = _new_client(endpoint)
            return clients[endpoint]


def _new_client(endpoint: _Endpoint) -> AsyncOpenAI:
    """Return a client that neither retries nor limits reading: the gateway does both.

    It follows no redirect, so that the key goes where the setting says, and asks no proxy for servers on this machine.
    """
    import httpx2
    import openai

    timeout = httpx2.Timeout(None, connect=endpoint.connect_timeout_s)
    transport = openai.DefaultAioHttpClient(
        verify=_tls(),
        timeout=timeout,
        limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEPALIVE_S),
        follow_redirects=False,
        trust_env=not endpoint.is_local,
    )
    return openai.AsyncOpenAI(
        api_key=endpoint.key, base_url=endpoint.url, timeout=timeout, max_retries=0, http_client=transport
    )


@functools.cache
def _tls() -> ssl.SSLContext:
    """Return the one context of this process; loading the certificates takes 20 to 50 ms."""
    import httpx2

    return httpx2.create_ssl_context()


def _messages(request: CompletionRequest) -> list[ChatCompletionMessageParam]:
    # Roles are ours to check at the doors; the server knows which of them a model takes.
    plain = [{"role": message.role, "content": message.content} for message in request.messages]
    return cast("list[ChatCompletionMessageParam]", plain)


def _extra(request: CompletionRequest, *, is_official: bool) -> dict[str, object]:
    """Return the rest of the body. OpenAI wants `max_completion_tokens`; most others know only the old name."""
    extra: dict[str, object] = dict(request.parameters)
    if is_official and "max_tokens" in extra:
        extra["max_completion_tokens"] = extra.pop("max_tokens")
    if request.user:
        extra["user"] = request.user
    return extra


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

    def take(self, payload: bytes) -> str:
        """Note one event and return its text, often empty. Raises LLMError for errors and for what cannot be read."""
        if payload == DONE:
            self.is_done = True
        if not payload or self.is_done:
            return ""
        chunk = _parsed(payload)
        if chunk.get("error") or chunk.get("object") == "error":
            raise _from_event(chunk)
        self._note(chunk)
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices:
            return ""
        return self._choice(_object(choices[0]))

    def finish(self) -> Finish:
        """Return the last event. Raises MalformedAnswer when the stream ended early."""
        if not self.is_whole:
            raise MalformedAnswer()
        return Finish(self._finish_reason or FinishReason.STOP, self._usage, self._model)

    def _note(self, chunk: Json) -> None:
        model = chunk.get("model")
        if isinstance(model, str) and 0 < len(model) <= MAX_NAME_CHARS:
            self._model = model
        self._usage = _usage(chunk.get("usage")) or self._usage

    def _choice(self, choice: Json) -> str:
        self._has_choice = True
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._finish_reason = FINISH_REASONS.get(reason, FinishReason.STOP)
        delta = _object(choice.get("delta"))
        text = delta.get("content") or delta.get("refusal")
        return sound(text) if isinstance(text, str) else ""


def _parsed(payload: bytes) -> Json:
    try:
        chunk = json.loads(payload)
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
    cached = _count(_object(counts.get("prompt_tokens_details")), "cached_tokens") or 0
    reasoning = _count(_object(counts.get("completion_tokens_details")), "reasoning_tokens") or 0
    return Usage(asked, answered, min(cached, asked), min(reasoning, answered))


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _count(counts: Json, name: str) -> int | None:
    value = counts.get(name)
    return value if isinstance(value, int) and value >= 0 else None


def _errors() -> tuple[type[Exception], ...]:
    """Return what the SDK and its transport raise. Some errors of aiohttp come through unwrapped."""
    import aiohttp
    import httpx2
    import openai

    return openai.OpenAIError, httpx2.HTTPError, aiohttp.ClientError, UnicodeEncodeError


def _translated(error: Exception, model: str) -> LLMError:
    """Return our error. Of theirs only numbers and codes are read: messages may quote keys and prompts."""
    import openai

    if isinstance(error, openai.APIStatusError):
        return _from_status(error, model)
    if isinstance(error, UnicodeEncodeError):
        return BadRequest("The messages hold characters that are not valid Unicode. Remove them.")
    # Also what the SDK calls a timeout: only connecting has one, and the transport files lost connections under it.
    return ProviderUnavailable()


def _from_status(error: APIStatusError, model: str) -> LLMError:
    status = error.status_code
    retry_after_s = _retry_after_s(error.response.headers)
    if status in (401, 403):
        return ProviderRefusedKey()
    if status == 408:
        return ProviderTimeout()
    if status == 429:
        return ProviderRateLimited(retry_after_s=retry_after_s, is_retryable=error.code != NO_QUOTA_CODE)
    if status >= 500 or status == 409:
        return ProviderUnavailable(retry_after_s=retry_after_s)
    if error.code == CONTEXT_CODE:
        return ContextTooLong()
    if status == 404 and "message" in _object(error.body):
        return UnknownModel(model)
    if status == 404 or status < 400:
        return Misconfigured("There is no model server at OPENAI_BASE_URL.", setting="OPENAI_BASE_URL")
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
