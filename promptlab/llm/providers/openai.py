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
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
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
from promptlab.llm.types import OFFICIAL_ONLY, ChatMessage, CompletionRequest, Delta, FinishReason, Json, Route, Usage

if TYPE_CHECKING:
    import ssl

    from openai import APIStatusError, AsyncOpenAI

OFFICIAL_URL = "https://api.openai.com/v1"
MAX_CONNECTIONS = 4_000
KEEPALIVE_S = 30.0
MAX_NAME_CHARS = 200
MAX_COUNT = 2**31 - 1
"""The largest number of tokens that a column holds; what claims to be more is not believed."""
MAX_CLIENTS = 64
CLIENT_IDLE_S = 120.0
"""How long a client that nobody uses is kept: one whose address or key was replaced is never used again."""
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
        self._clients = _Clients()

    async def astream(self, request: CompletionRequest) -> AsyncGenerator[Delta | Finish, None]:
        """Yield the answer. Raises LLMError for whatever the settings, the network or the server do wrong."""
        endpoint = _endpoint(request.routes[0])
        answer = _Answer(request.model)
        async with self._clients.use(endpoint) as client:
            try:
                asked = client.chat.completions.with_streaming_response.create(
                    model=request.model,
                    messages=[],
                    stream=True,
                    extra_body=_extra(request, is_official=endpoint.is_official),
                    extra_headers={"traceparent": request.traceparent} if request.traceparent else None,
                )
                async with asked as response:
                    body = response.iter_bytes()
                    async with aclosing(event_data(body)) as payloads:
                        async for payload in payloads:
                            if delta := answer.take(payload):
                                yield delta
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
    """Where to call, with which key. Whatever differs here shares no connection: no tenant's key serves another."""

    provider: str
    url: str
    key: str = field(repr=False)
    version: str
    api_version: str
    connect_timeout_s: float
    is_local: bool
    is_public_only: bool

    @property
    def is_official(self) -> bool:
        return self.url == OFFICIAL_URL or bool(self.api_version)


def _endpoint(route: Route) -> _Endpoint:
    """Return where to call. Raises Misconfigured. Servers on this machine need no key and may be called under test."""
    url = route.address or OFFICIAL_URL
    is_local = _is_loopback(url)
    if not (route.key or is_local):
        raise Misconfigured("There is no key for this model: set OPENAI_API_KEY.", setting="OPENAI_API_KEY")
    settings = config.current()
    if not (settings.allow_real_calls or is_local):
        raise Misconfigured("Calls to real models are switched off here.", setting="LLM_ALLOW_REAL_CALLS")
    return _Endpoint(
        provider=route.provider,
        url=url,
        key=route.key or "none",
        version=route.version,
        api_version=route.api_version,
        connect_timeout_s=route.connect_timeout_s or settings.connect_timeout_s,
        is_local=is_local,
        is_public_only=route.is_public_only,
    )


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(slots=True, eq=False)
class _Held:
    """A client, how many calls use it, and when the last one ended (monotonic)."""

    client: AsyncOpenAI
    calls: int = 0
    idle_since: float = field(default_factory=time.monotonic)


class _Clients:
    """One client per endpoint and event loop: connections belong to the loop that opened them.

    Those that were not used for a while are closed, the longest unused first when there are many; none in mid-call.
    """

    def __init__(self) -> None:
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, OrderedDict[_Endpoint, _Held]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many the running event loop has."""
        return len(self._by_loop.get(asyncio.get_running_loop(), ()))

    @asynccontextmanager
    async def use(self, endpoint: _Endpoint) -> AsyncGenerator[AsyncOpenAI, None]:
        """Yield the client; the first is built in a thread, because importing the SDK takes half a second."""
        clients = self._by_loop.setdefault(asyncio.get_running_loop(), OrderedDict())
        held = clients.get(endpoint)
        if held is None:
            held = await asyncio.to_thread(self._build, clients, endpoint)
        held.calls += 1
        clients[endpoint] = held
        clients.move_to_end(endpoint)
        await self._tidy(clients)
        try:
            yield held.client
        finally:
            held.calls -= 1
            held.idle_since = time.monotonic()

    async def close(self) -> None:
        for held in self._by_loop.pop(asyncio.get_running_loop(), OrderedDict()).values():
            await held.client.close()

    def _build(self, clients: OrderedDict[_Endpoint, _Held], endpoint: _Endpoint) -> _Held:
        with self._lock:
            if endpoint not in clients:
                clients[endpoint] = _Held(_new_client(endpoint))
            return clients[endpoint]

    async def _tidy(self, clients: OrderedDict[_Endpoint, _Held]) -> None:
        """Close what is idle: for too long, or too much of it. The first of `clients` was used the longest ago."""
        if len(clients) == 1:
            return
        oldest = time.monotonic() - CLIENT_IDLE_S
        idle = [endpoint for endpoint, held in clients.items() if not held.calls]
        too_many = len(clients) - MAX_CLIENTS
        over = [one for number, one in enumerate(idle) if number < too_many or clients[one].idle_since < oldest]
        for held in [clients.pop(endpoint) for endpoint in over]:
            await held.client.close()


def _new_client(endpoint: _Endpoint) -> AsyncOpenAI:
    """Return a client that neither retries nor limits reading: the gateway does both.

    It follows no redirect, so that the key goes where the route says, and asks no proxy for servers on this machine.
    """
    import httpx2
    import openai

    from promptlab.llm.providers import reaching

    timeout = httpx2.Timeout(None, connect=endpoint.connect_timeout_s)
    transport = openai.DefaultAioHttpClient(
        verify=_tls(),
        timeout=timeout,
        limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEPALIVE_S),
        follow_redirects=False,
        trust_env=not endpoint.is_local,
    )
    if endpoint.is_public_only:
        reaching.let_reach_public_only(transport, connections=MAX_CONNECTIONS, keepalive_s=KEEPALIVE_S)
    if endpoint.api_version:
        return openai.AsyncAzureOpenAI(
            api_key=endpoint.key,
            azure_endpoint=endpoint.url,
            api_version=endpoint.api_version,
            timeout=timeout,
            max_retries=0,
            http_client=transport,
        )
    return openai.AsyncOpenAI(
        api_key=endpoint.key, base_url=endpoint.url, timeout=timeout, max_retries=0, http_client=transport
    )


@functools.cache
def _tls() -> ssl.SSLContext:
    """Return the one context of this process; loading the certificates takes 20 to 50 ms."""
    import httpx2

    return httpx2.create_ssl_context()


def _message(message: ChatMessage) -> dict[str, object]:
    plain: dict[str, object] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        plain |= {"content": message.content or None, "tool_calls": [dict(call) for call in message.tool_calls]}
    if message.tool_call_id:
        plain["tool_call_id"] = message.tool_call_id
    return plain


def _extra(request: CompletionRequest, *, is_official: bool) -> dict[str, object]:
    """Return the rest of the body, the messages as well: the SDK takes a quarter of a call's time to look at them.

    OpenAI wants `max_completion_tokens`; most others know only the old name.
    """
    extra: dict[str, object] = {
        name: value for name, value in request.parameters.items() if is_official or name not in OFFICIAL_ONLY
    }
    extra["messages"] = [_message(message) for message in request.messages]
    extra["stream_options"] = {"include_usage": True}
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
        if isinstance(model, str) and 0 < len(model) <= MAX_NAME_CHARS:
            self._model = model
        self._usage = _usage(chunk.get("usage")) or self._usage

    def _choice(self, choice: Json) -> Delta | None:
        self._has_choice = True
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._finish_reason = FINISH_REASONS.get(reason, FinishReason.STOP)
        delta = _object(choice.get("delta"))
        text = delta.get("content") or delta.get("refusal")
        added = Delta(sound(text) if isinstance(text, str) else "", _tool_calls(delta.get("tool_calls")))
        return added if added.text or added.tool_calls else None


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
