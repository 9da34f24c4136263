"""The frame of the hot routes: everything a caller can notice is the same as on the routes that Django serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from django.db import OperationalError

from promptlab.lib import asgi, line, sse
from promptlab.lib.asgi import EventStream, HotRoutes, Request, Response, json_response, route, unless_gone
from promptlab.lib.errors import Invalid, NotFound, RateLimited
from tests.support.asgi import Answer, acall, call

BROWSER = "https://app.example"


async def django(scope: Any, receive: Any, send: Any) -> None:
    """Stand where Django stands: 418 for everything."""
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b"django"})


def app(handler: asgi.Handler, methods: str = "GET HEAD POST", path: str = "/things/{name}") -> HotRoutes:
    return HotRoutes([route(methods, path, handler)], fallback=django)


async def tell(request: Request) -> Response:
    return json_response({"method": request.method, **request.params, "query": request.query}, headers={"ETag": '"1"'})


def raising(error: Exception) -> asgi.Handler:
    async def handler(request: Request) -> Response:
        raise error

    return handler


async def read(request: Request) -> Response:
    return json_response(await request.json_object())


# Which requests are ours


@pytest.mark.parametrize("path", ["/things/one", "/things/one/", "/api/v1/things/one", "/api/v1/things/one/"])
def test_a_route_answers_in_four_spellings(path: str) -> None:
    answer = call(app(tell), "GET", f"{path}?a=1&a=2&b=x+y%26&c=")
    assert answer.status == 200
    assert answer.json() == {"method": "GET", "name": "one", "query": {"a": "2", "b": "x y&", "c": ""}}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/things"),
        ("GET", "/things/one/two"),
        ("GET", "/things//"),
        ("GET", "/api/v2/things/one"),
        ("GET", "/x/things/one"),
        ("DELETE", "/things/one"),
        ("OPTIONS", "/things/one"),
    ],
)
def test_everything_else_is_django_s(method: str, path: str) -> None:
    assert call(app(tell), method, path).status == 418


def test_a_websocket_is_django_s_to_refuse() -> None:
    seen: list[str] = []

    async def other(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(HotRoutes([], fallback=other)({"type": "websocket"}, None, None))  # type: ignore[arg-type]
    assert seen == ["websocket"]


def test_the_server_s_start_and_stop_are_answered_and_what_is_open_is_closed() -> None:
    closed: list[str] = []
    said: list[str] = []
    incoming = ["lifespan.startup", "lifespan.shutdown"]

    async def close() -> None:
        closed.append("closed")

    async def receive() -> dict[str, Any]:
        return {"type": incoming.pop(0)}

    async def send(message: Any) -> None:
        said.append(message["type"])

    asyncio.run(HotRoutes([], fallback=django, on_shutdown=close)({"type": "lifespan"}, receive, send))
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert closed == ["closed"]


def test_head_has_the_headers_of_get() -> None:
    get, head = (call(app(tell), method, "/things/one") for method in ("GET", "HEAD"))
    for name in ("etag", "content-type", "cache-control"):
        assert head.headers[name] == get.headers[name]
    assert head.status == 200


# Ids


def test_a_request_id_comes_in_and_goes_out() -> None:
    assert call(app(tell), "GET", "/things/one", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"


@pytest.mark.parametrize("bad", ["two words", "x" * 65, 'a"b', "\xe9"])
def test_a_malformed_request_id_is_replaced(bad: str) -> None:
    scope_headers = [(b"x-request-id", bad.encode("latin-1"))]
    answer = raw(app(tell), scope_headers)
    assert len(answer.headers["x-request-id"]) == 32


def test_an_error_names_the_request() -> None:
    answer = call(app(raising(NotFound())), "GET", "/things/one", headers={"X-Request-ID": "abc-2"})
    assert answer.json()["request_id"] == "abc-2"


# Errors


def test_our_errors_become_problem_documents() -> None:
    answer = call(app(raising(Invalid.field("a.b", "Too short."))), "GET", "/things/one")
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["errors"] == [{"field": "a.b", "pointer": "/a/b", "detail": "Too short.", "code": "invalid"}]
    assert answer.json()["type"] == "urn:promptlab:error:invalid"


def test_too_many_calls_say_when_to_come_back() -> None:
    answer = call(app(raising(RateLimited(retry_after_s=7))), "GET", "/things/one")
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")


def test_a_missing_database_is_a_503_that_tells_nothing_of_it() -> None:
    answer = call(app(raising(OperationalError("host=db.internal password=x"))), "GET", "/things/one")
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["code"] == "unavailable"
    assert b"internal" not in answer.body


def test_the_unexpected_is_a_500_that_tells_nothing_of_it() -> None:
    answer = call(app(raising(ValueError("secret-detail"))), "GET", "/things/one", headers={"X-Request-ID": "abc-3"})
    assert answer.status == 500
    assert answer.json()["code"] == "internal_error"
    assert answer.json()["request_id"] == "abc-3"
    assert b"secret-detail" not in answer.body


# Bodies


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"1", b"null", b"{", b"\xff", rb'{"a":"\u0000"}', b'{"a":1e999}'])
def test_a_body_that_is_no_clean_object_is_a_400(body: bytes) -> None:
    answer = call(app(read), "POST", "/things/one", body=body)
    assert answer.status == 400
    assert answer.json()["code"] in ("invalid_json", "invalid_text")


def test_no_body_is_an_empty_object() -> None:
    assert call(app(read), "POST", "/things/one", body=b" \n").json() == {}


def test_a_body_past_the_limit_is_a_413_before_all_of_it_has_come(settings: Any) -> None:
    settings.MAX_BODY_BYTES = 1000
    came: list[int] = []

    async def receive() -> dict[str, Any]:
        came.append(1)
        return {"type": "http.request", "body": b"x" * 400, "more_body": True}

    answer = raw(app(read), [], method="POST", receive=receive)
    assert (answer.status, answer.json()["code"]) == (413, "too_large")
    assert len(came) == 3


def test_a_body_in_parts_is_put_together() -> None:
    parts = [b'{"a"', b": 1", b"}"]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    assert raw(app(read), [], method="POST", receive=receive).json() == {"a": 1}


def test_a_body_that_does_not_arrive_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "BODY_TIMEOUT_S", 0.02)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError

    answer = raw(app(read), [], method="POST", receive=receive)
    assert (answer.status, answer.json()["code"]) == (400, "slow_body")


def test_hanging_up_while_sending_a_body_breaks_nothing() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    assert raw(app(read), [], method="POST", receive=receive).status == 499


# Browsers of other origins


def test_an_allowed_origin_may_read_the_answer_and_the_error(settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = frozenset({BROWSER})
    for handler, status in ((tell, 200), (raising(NotFound()), 404)):
        answer = call(app(handler), "GET", "/things/one", headers={"Origin": BROWSER})
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == BROWSER
        assert "etag" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["vary"] == "Origin"


def test_an_answer_that_varies_already_varies_by_origin_as_well(settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = frozenset({BROWSER})

    async def varying(request: Request) -> Response:
        return Response(headers={"Vary": "Authorization"})

    answer = call(app(varying), "GET", "/things/one", headers={"Origin": BROWSER})
    assert answer.headers["vary"] == "Authorization, Origin"


@pytest.mark.parametrize("origin", ["https://evil.example", "https://app.example.evil.example", "null", "*"])
def test_another_origin_may_not(settings: Any, origin: str) -> None:
    settings.CORS_ALLOWED_ORIGINS = frozenset({BROWSER})
    answer = call(app(tell), "GET", "/things/one", headers={"Origin": origin})
    assert "access-control-allow-origin" not in answer.headers
    asked = call(
        app(tell), "OPTIONS", "/things/one", headers={"Origin": origin, "Access-Control-Request-Method": "GET"}
    )
    assert asked.status == 204
    assert "access-control-allow-origin" not in asked.headers


def test_a_preflight_is_answered_without_calling_anybody(settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = frozenset({BROWSER})
    asked = {"Origin": BROWSER, "Access-Control-Request-Method": "POST"}
    answer = call(app(raising(AssertionError())), "OPTIONS", "/api/v1/things/one", headers=asked)
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == BROWSER
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "x-api-key" in answer.headers["access-control-allow-headers"]


# Streams


class Source:
    """Yields some events, then waits for ever or ends; knows how it was left."""

    def __init__(self, events: int, *, ends: bool = False, error: Exception | None = None) -> None:
        self.events, self.ends, self.error = events, ends, error
        self.closed = 0

    async def __call__(self) -> AsyncGenerator[bytes]:
        try:
            for number in range(self.events):
                yield sse.encode({"n": number})
            if self.error:
                raise self.error
            if not self.ends:
                await asyncio.sleep(3600)
        finally:
            self.closed += 1

    def app(self) -> HotRoutes:
        async def stream(request: Request) -> EventStream:
            return EventStream(self(), headers={"X-Extra": "yes"})

        return app(stream)


def test_a_stream_arrives_whole_and_is_closed() -> None:
    source = Source(3, ends=True)
    answer = call(source.app(), "GET", "/things/one")
    assert answer.events() == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert answer.headers["x-extra"] == "yes"
    assert "content-length" not in answer.headers
    assert source.closed == 1


def test_hanging_up_closes_a_stream_that_is_waiting() -> None:
    source = Source(2)
    answer = call(source.app(), "GET", "/things/one", gone_after=2)
    assert len(answer.events()) == 2
    assert source.closed == 1


def test_hanging_up_closes_a_stream_that_never_stops_sending() -> None:
    source = Source(1_000_000, ends=True)
    answer = call(source.app(), "GET", "/things/one", gone_after=5)
    assert len(answer.events()) < 100
    assert source.closed == 1


def test_a_caller_who_reads_nothing_any_more_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "WRITE_TIMEOUT_S", 0.02)
    source = Source(5)

    async def send(message: Any) -> None:
        if message.get("body"):
            await asyncio.sleep(3600)

    raw(source.app(), [], send=send)
    assert source.closed == 1


def test_a_connection_that_breaks_while_sending_closes_the_stream() -> None:
    source = Source(5)

    async def send(message: Any) -> None:
        if message.get("body"):
            raise BrokenPipeError

    raw(source.app(), [], send=send)
    assert source.closed == 1


def test_a_stream_that_breaks_is_cut_off_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    source = Source(2, error=ValueError("secret-detail"))
    answer = call(source.app(), "GET", "/things/one")
    assert len(answer.events()) == 2
    assert b"secret-detail" not in answer.body
    assert source.closed == 1
    assert any("unexpected" in str(record.msg) for record in caplog.records)
    assert any("'event': 'request'" in str(record.msg) for record in caplog.records)


def test_server_shutdown_closes_the_stream() -> None:
    source = Source(1)

    async def shut_down() -> None:
        request = asyncio.ensure_future(acall(source.app(), "GET", "/things/one"))
        await asyncio.sleep(0.02)
        request.cancel()
        with suppress(asyncio.CancelledError):
            await request

    asyncio.run(shut_down())
    assert source.closed == 1


def test_work_before_a_stream_is_cancelled_when_the_caller_hangs_up() -> None:
    left: list[str] = []

    async def slowly() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            left.append("cancelled")

    async def handler(request: Request) -> Response:
        await request.body()
        await unless_gone(request, slowly())
        raise AssertionError

    messages = [{"type": "http.request", "body": b"{}"}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    assert raw(app(handler), [], method="POST", receive=receive).status == 499
    assert left == ["cancelled"]


def test_work_that_ends_first_gives_its_result_or_its_error() -> None:
    async def handler(request: Request) -> Response:
        await request.body()
        assert await unless_gone(request, asyncio.sleep(0, "done")) == "done"

        async def fail() -> None:
            raise NotFound

        await unless_gone(request, fail())
        raise AssertionError

    assert call(app(handler), "POST", "/things/one").status == 404


def raw(
    application: HotRoutes,
    headers: list[tuple[bytes, bytes]],
    *,
    method: str = "GET",
    receive: Callable[[], Awaitable[dict[str, Any]]] | None = None,
    send: Callable[[Any], Awaitable[None]] | None = None,
) -> Answer:
    """Send one request whose parts the test holds in its own hands."""
    answer = Answer()

    async def nothing() -> dict[str, Any]:
        await asyncio.sleep(3600)
        raise AssertionError

    async def keep(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")

    scope = {"type": "http", "method": method, "path": "/things/one", "query_string": b"", "headers": headers}
    asyncio.run(application(scope, receive or nothing, send or keep))
    return answer
