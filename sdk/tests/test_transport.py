"""One call to the server: what is sent, what is tried again, what an answer means."""

from __future__ import annotations

import time

import httpx
import pytest
from cast import Connect
from fake_server import Fault, PromptServer
from promptlab_sdk import (
    PromptLabError,
    PromptNotFound,
    Prompts,
    RateLimited,
    ServiceUnavailable,
    Unauthorized,
    __version__,
)
from promptlab_sdk.transport import Transport


def test_every_request_carries_the_key_and_says_who_asks(server: PromptServer, connect: Connect) -> None:
    server.deploy("test", "one")
    connect(api_key="pl_abc").get("test")
    headers = server.requests[0].headers
    assert headers["x-api-key"] == "pl_abc"
    assert headers["user-agent"] == f"promptlab-sdk/{__version__}"
    assert headers["accept"] == "application/json"


def test_without_a_key_no_header_is_sent(server: PromptServer, connect: Connect) -> None:
    server.deploy("test", "one")
    connect(api_key="").get("test")
    assert "x-api-key" not in server.requests[0].headers


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_failure_is_tried_again(server: PromptServer, connect: Connect, status: int) -> None:
    server.deploy("test", "one")
    server.faults = [Fault(status), Fault(status)]
    assert connect(retries=2).get("test") == "one"
    assert len(server.requests) == 3


def test_no_more_is_tried_than_was_asked_for(server: PromptServer, connect: Connect) -> None:
    server.deploy("test", "one")
    server.fault = Fault(503)
    with pytest.raises(ServiceUnavailable):
        connect(retries=1).get("test")
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_a_definite_answer_is_not_asked_for_again(server: PromptServer, connect: Connect, status: int) -> None:
    server.fault = Fault(status)
    with pytest.raises(PromptLabError) as caught:
        connect(retries=2).get("test")
    assert (caught.value.status, caught.value.code) == (status, "broken")
    assert len(server.requests) == 1


def test_a_short_retry_after_is_waited_for(server: PromptServer, connect: Connect) -> None:
    server.deploy("test", "one")
    server.faults = [Fault(429, headers={"Retry-After": "1"})]
    started = time.monotonic()
    assert connect(retries=1).get("test") == "one"
    assert time.monotonic() - started >= 1


def test_a_long_retry_after_is_told_instead(server: PromptServer, connect: Connect) -> None:
    server.fault = Fault(429, '{"detail": "Quota used up.", "code": "throttled"}', headers={"Retry-After": "30"})
    with pytest.raises(RateLimited, match="Quota used up") as caught:
        connect(retries=2).get("test")
    assert caught.value.retry_after_s == 30
    assert len(server.requests) == 1


def test_the_timeout_bounds_the_call_with_its_retries(server: PromptServer, connect: Connect) -> None:
    server.gate.clear()
    started = time.monotonic()
    with pytest.raises(ServiceUnavailable, match="ReadTimeout"):
        connect(retries=5, timeout=0.3).get("test")
    assert time.monotonic() - started < 30


def test_a_restarted_server_is_reached_again_over_new_connections(server: PromptServer, connect: Connect) -> None:
    server.deploy("test", "one")
    prompts = connect(retries=1)
    prompts.get("test")
    server.kill()
    server.start()
    prompts.invalidate()
    assert prompts.get("test").source == "network"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(401, "<html>", "text/html"), Unauthorized),
        (Fault(403, '["odd"]'), Unauthorized),
        (Fault(404, "{}"), PromptNotFound),
        (Fault(404, "{}", "application/json; charset=utf-8"), PromptNotFound),
        (Fault(429, ""), RateLimited),
        (Fault(400, "<html>", "text/html"), ServiceUnavailable),
        (Fault(500, "{}"), ServiceUnavailable),
    ],
)
def test_an_answer_becomes_the_error_it_means(
    server: PromptServer, connect: Connect, fault: Fault, kind: type[PromptLabError]
) -> None:
    server.fault = fault
    with pytest.raises(PromptLabError) as caught:
        connect().get("test")
    assert type(caught.value) is kind


def test_redirects_are_not_followed_with_the_key(server: PromptServer, connect: Connect) -> None:
    server.fault = Fault(307, "", headers={"Location": f"{server.url}/elsewhere"})
    with pytest.raises(ServiceUnavailable, match="307"):
        connect().get("test")
    assert [request.path for request in server.requests] == ["/api/v1/prompts/test/deployed/"]


def test_a_given_http_client_is_used_and_left_open(server: PromptServer) -> None:
    server.deploy("test", "one")
    with httpx.Client(headers={"X-Mine": "yes"}) as mine:
        with Prompts.connect(server.url, http_client=mine) as prompts:
            assert prompts.get("test") == "one"
        assert server.requests[0].headers["x-mine"] == "yes"
        assert not mine.is_closed


def test_a_closed_transport_says_so(server: PromptServer) -> None:
    transport = Transport(server.url)
    transport.close()
    with pytest.raises(ServiceUnavailable, match="closed"):
        transport.post("/api/v1/feedback", {})
