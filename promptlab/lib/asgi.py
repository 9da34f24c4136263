"""A small frame for routes that must not pay for Django's handler: route table, bodies, answers, streams, errors.

A plain ASGI callable costs a fortieth of a Django async view. Everything a caller can notice is the same as elsewhere:
authenticator, limits, error bodies, CORS, request ids and log lines.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qs

from django.conf import settings
from django.db import InterfaceError, OperationalError

from promptlab.lib import cors, jsonbody, logs, problem, sse, tracing
from promptlab.lib.departure import AsyncGeneratorStep, ClientGone, Departure, Receive
from promptlab.lib.errors import DomainError, Invalid, TooLarge, Unavailable
from promptlab.lib.line import Last, Line, Send, send_part
from promptlab.lib.stopping import stopping

log = logs.get_logger(__name__)
Scope = MutableMapping[str, Any]
T = TypeVar("T")
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_TIMEOUT_S = 30.0


@dataclass(slots=True)
class Request:
    """One HTTP request. `params` are the named parts of the route; header names are lower case."""

    scope: Scope
    receive: Receive
    params: Mapping[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    departure: Departure = field(init=False)

    def __post_init__(self) -> None:
        self.departure = Departure(self.receive)

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    @property
    def query(self) -> dict[str, str]:
        """The query string; of a repeated name the last one counts."""
        raw = self.scope.get("query_string", b"").decode("latin-1")
        return {name: values[-1] for name, values in parse_qs(raw, keep_blank_values=True).items()}

    async def body(self) -> bytes:
        """Return the whole body. Raises TooLarge past the limit, Invalid when it does not arrive in time."""
        limit = settings.MAX_BODY_BYTES
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                while True:
                    message = await self.receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > limit:
                        raise TooLarge(f"The body is larger than {limit} bytes.", limit=limit)
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError as error:
            raise Invalid("The body did not arrive in time.", code="slow_body") from error

    async def json_object(self) -> dict[str, Any]:
        """Return the body as a JSON object; an empty body is an empty object."""
        raw = await self.body()
        value = jsonbody.loads(raw) if raw.strip() else {}
        if not isinstance(value, dict):
            raise Invalid("The body must be a JSON object.", code="invalid_json")
        return value


@dataclass(slots=True)
class Response:
    """A whole answer."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Parts:
    """A whole answer of `length` bytes that is put together as the caller takes it. Who takes nothing is left."""

    parts: Iterable[bytes]
    length: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class EventStream:
    """An answer that goes on: `events` yields framed events, or what `frame` makes them of; `first` came before the rest.

    It is closed when it ends, after bytes that are `Last`, and when the caller hangs up. `on_close` is awaited after that,
    always: also when nothing of the stream could be sent. `ping` is sent whenever nothing else was for `PING_S`.
    """

    events: AsyncGenerator[Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    on_close: Callable[[], Awaitable[None]] | None = None
    ping: bytes = b""
    first: Any = None
    frame: Callable[[Any], bytes] | None = None

    async def send_to(self, line: Line) -> None:
        """Send all of it."""
        if self.first is not None:
            await line.send(self._framed(self.first))
        while not line.has_ended:
            event = await anext(self.events, None)
            await line.send(self._framed(event) if event is not None else Last())

    def _framed(self, event: Any) -> bytes:
        framed: bytes = self.frame(event) if self.frame is not None else event
        return framed


def json_response(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer."""
    encoded = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).encode()
    return Response(
        encoded, status, {"Content-Type": "application/json", "Cache-Control": "no-store", **(headers or {})}
    )


AnyAnswer = Response | Parts | EventStream
Handler = Callable[[Request], Awaitable[AnyAnswer]]


@dataclass(frozen=True, slots=True)
class Route:
    """`pattern` matches the whole path; a trailing slash is always optional.

    `is_public`: pages of any origin may call it, without credentials, and read the answer. `on_error` shapes what went
    wrong, for faces that have a shape of their own; None is our problem document.
    """

    methods: frozenset[str]
    pattern: re.Pattern[str]
    handler: Handler
    is_public: bool = False
    on_error: Callable[[DomainError], Response] | None = None


def route(methods: str, path: str, handler: Handler, *, is_public: bool = False) -> Route:
    """Return a route for a path such as `/prompts/{name}/deployed`; it answers under `/api/v1` as well."""
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)
    return Route(frozenset(methods.split()), re.compile(rf"(?:/api/v1)?{pattern}/?\Z"), handler, is_public)


Message = MutableMapping[str, Any]
Quick = Callable[[Scope], "tuple[Message, Message] | None"]
"""Returns a whole answer that lies ready, as the two messages to send, or None for everything that takes thought.

It makes no mistakes, waits for nobody and raises nothing; None is always right, for then the route itself answers.
"""


class HotRoutes:
    """The ASGI application: what lies ready first, then our routes, everything else to `fallback` (Django)."""

    def __init__(
        self,
        routes: list[Route],
        fallback: Application,
        on_shutdown: Callable[[], Awaitable[None]] | None = None,
        quick: Quick | None = None,
    ) -> None:
        self.routes = routes
        self.fallback = fallback
        self.on_shutdown = on_shutdown
        self.quick = quick or _nothing_ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            ready = self.quick(scope)
            if ready is not None:
                await send(ready[0])
                await send(ready[1])
                return
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        found = self._find(scope) if scope["type"] == "http" else None
        if found is None:
            await self.fallback(scope, receive, send)
        else:
            await serve(found[0], found[1], scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """Answer the server's start and stop; Django knows neither."""
        while (await receive())["type"] == "lifespan.startup":
            stopping.hear()
            await send({"type": "lifespan.startup.complete"})
        if self.on_shutdown is not None:
            await self.on_shutdown()
        await send({"type": "lifespan.shutdown.complete"})

    def _find(self, scope: Scope) -> tuple[Route, dict[str, str]] | None:
        """Return the route of this path and method. A method nobody handles here is Django's (it may be a page's)."""
        path, method = scope["path"], scope["method"]
        for candidate in self.routes:
            match = candidate.pattern.match(path)
            if match and (method in candidate.methods or self._is_preflight(scope)):
                return candidate, match.groupdict()
        return None

    @staticmethod
    def _is_preflight(scope: Scope) -> bool:
        return scope["method"] == "OPTIONS" and any(
            name == b"access-control-request-method" for name, _ in scope["headers"]
        )


def _nothing_ready(scope: Scope) -> None:
    return None


async def serve(route: Route, params: Mapping[str, str], scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request: context, handler, error bodies, log line."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    client = scope.get("client") or ("", 0)
    request_id = logs.begin(headers.get("x-request-id", ""), address=client[0])
    tracing.note(headers.get("traceparent", ""))
    common = {"X-Request-ID": request_id, **cors.headers(headers.get("origin", ""), is_public=route.is_public)}
    request = Request(scope, receive, params, headers)
    del headers
    started = time.perf_counter()
    status = 500
    try:
        answer = await _answer(route, request)
        status = answer.status if isinstance(answer, Response) else 200
        if isinstance(answer, Response):
            await _send_response(answer, common, send)
        elif isinstance(answer, Parts):
            await _send_parts(answer, common, request, send)
        else:
            await _send_stream(answer, common, request, send)
    except (ClientGone, OSError):
        status = 499
    except Exception:  # the answer has begun: all that is left is to cut it off
        log.exception("unexpected")
        status = 500
    finally:
        request.departure.stop()
    ms = round((time.perf_counter() - started) * 1000, 1)
    log.info("request", method=request.method, path=scope["path"], status=status, ms=ms)


async def _answer(route: Route, request: Request) -> AnyAnswer:
    if request.method == "OPTIONS":
        origin = request.headers.get("origin", "")
        return Response(status=204, headers=cors.preflight(origin, is_public=route.is_public))
    try:
        _check_address(request)
        return await route.handler(request)
    except ClientGone:
        return Response(status=499)
    except Exception as error:  # noqa: BLE001  (whatever it is, the caller gets an answer)
        return (route.on_error or error_response)(known(error))


def known(error: Exception) -> DomainError:
    """Return what a caller is told of an error; what nobody foresaw is logged."""
    if isinstance(error, DomainError):
        return error
    if isinstance(error, OperationalError | InterfaceError):
        log.warning("database_away", error=type(error).__name__)
        return Unavailable("The database does not answer. Try again shortly.", retry_after_s=2)
    log.error("unexpected", exc_info=error)
    return problem.Unexpected()


def _check_address(request: Request) -> None:
    """Refuse a NUL in the address, which PostgreSQL would take as an error of ours."""
    found = problem.address_problem(request.scope["path"], request.scope.get("query_string", b"").decode("latin-1"))
    if found is not None:
        raise found


def error_response(error: DomainError) -> Response:
    """Return the problem document of an error as an answer."""
    return Response(problem.encode(error), error.status, problem.headers(error))


def _together(headers: Mapping[str, str], common: Mapping[str, str]) -> dict[str, str]:
    """Return an answer's own headers with those of every answer; what it varies by is added up."""
    varies = [part["Vary"] for part in (headers, common) if "Vary" in part]
    return {**headers, **common, **({"Vary": ", ".join(varies)} if varies else {})}


async def _start(status: int, headers: Mapping[str, str], send: Send) -> None:
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def _send_response(answer: Response, common: Mapping[str, str], send: Send) -> None:
    headers = _together(answer.headers, common)
    if answer.status not in (204, 304):
        headers["Content-Length"] = str(len(answer.body))
    await _start(answer.status, headers, send)
    await send({"type": "http.response.body", "body": answer.body})


async def _send_parts(answer: Parts, common: Mapping[str, str], request: Request, send: Send) -> None:
    await _start(200, {**_together(answer.headers, common), "Content-Length": str(answer.length)}, send)
    for part in answer.parts if request.method != "HEAD" else ():
        await send_part(part, send)
    await send({"type": "http.response.body", "body": b""})


async def _send_stream(answer: EventStream, common: Mapping[str, str], request: Request, send: Send) -> None:
    """Send events until they end or the caller hangs up; then the generator is closed, whatever it waits for."""
    line: Line | None = None
    try:
        await _start(200, _together({**sse.HEADERS, **answer.headers}, common), send)
        request.headers = answer.headers = {}  # those of many streams at once would take room for nothing
        line = Line(send, answer.ping, request.departure.leave)
        with request.departure:
            await answer.send_to(line)
    finally:
        if line is not None:
            line.stop()
        await asyncio.shield(_close(answer))


async def _close(answer: EventStream) -> None:
    try:
        await answer.events.aclose()
    finally:
        if answer.on_close is not None:
            await answer.on_close()


async def unless_gone(request: Request, work: Coroutine[Any, Any, T] | AsyncGeneratorStep[T]) -> T:
    """Await `work`, whose body has been read; raise ClientGone (and cancel it) as soon as the caller hangs up."""
    return await request.departure.unless_gone(work)
