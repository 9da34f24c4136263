"""The server is killed, and comes back."""

from __future__ import annotations

import json
import logging
import time

import pytest
from cast import Clock, Connect, settle
from fake_server import Fault, PromptServer
from promptlab_sdk import PromptLabError, Prompts, ServiceUnavailable, Unauthorized


def test_what_was_loaded_is_served_for_as_long_as_the_server_is_away(
    server: PromptServer, prompts: Prompts, clock: Clock
) -> None:
    server.deploy("test", "Hello {{name}}")
    prompts.get("test", name="Alex")
    server.kill()
    for seconds in (60, 60, 3600, 30 * 24 * 3600):
        clock.pass_(seconds)
        text = prompts.get("test", name="Alex")
        assert (text, text.source) == ("Hello Alex", "stale")
        settle()


def test_when_the_server_returns_its_news_arrive(server: PromptServer, prompts: Prompts, clock: Clock) -> None:
    server.deploy("test", "one")
    prompts.get("test")
    server.kill()
    clock.pass_(60)
    prompts.get("test")
    settle()
    server.deploy("test", "two", revision=2)
    server.start()
    clock.pass_(60)
    assert prompts.get("test") == "one"
    settle()
    assert prompts.get("test") == "two"


def test_an_outage_costs_one_background_call_per_ttl(server: PromptServer, prompts: Prompts, clock: Clock) -> None:
    server.deploy("test", "one")
    prompts.get("test")
    server.fault = Fault(503)
    for _ in range(54):
        clock.pass_(10)
        prompts.get("test")
        settle()
    assert len(server.requests) <= 1 + 10


def test_a_long_ttl_does_not_make_the_return_long(server: PromptServer, connect: Connect, clock: Clock) -> None:
    server.deploy("test", "one")
    prompts = connect(ttl=3600)
    prompts.get("test")
    server.kill()
    clock.pass_(3600)
    prompts.get("test")
    settle()
    server.deploy("test", "two")
    server.start()
    clock.pass_(60)
    prompts.get("test")
    settle()
    assert prompts.get("test") == "two"


def test_the_caller_never_waits_for_a_server_that_hangs(server: PromptServer, prompts: Prompts, clock: Clock) -> None:
    server.deploy("test", "one")
    prompts.get("test")
    clock.pass_(60)
    server.gate.clear()
    started = time.monotonic()
    for _ in range(100):
        assert prompts.get("test") == "one"
    assert time.monotonic() - started < 30
    server.gate.set()
    settle()


def test_with_nothing_in_memory_the_fallback_is_filled(server: PromptServer, prompts: Prompts) -> None:
    server.kill()
    text = prompts.get("test", fallback="Hi {{name}}", name="Alex")
    assert (text, text.source, text.prompt.version) == ("Hi Alex", "fallback", 0)
    assert (text.environment, text.revision, text.variant) == (None, None, None)


def test_a_fallback_may_be_a_conversation(server: PromptServer, prompts: Prompts) -> None:
    server.kill()
    text = prompts.get("test", fallback=[{"role": "system", "content": "Be {{mood}}"}], mood="kind")
    assert text.to_openai() == {"messages": [{"role": "system", "content": "Be kind"}]}


def test_memory_comes_before_the_fallback(server: PromptServer, prompts: Prompts, clock: Clock) -> None:
    server.deploy("test", "one")
    prompts.get("test")
    server.kill()
    clock.pass_(3600)
    assert prompts.get("test", fallback="plan b") == "one"
    settle()


def test_with_nothing_at_all_a_connection_error_is_raised(server: PromptServer, prompts: Prompts) -> None:
    server.kill()
    with pytest.raises(ConnectionError) as caught:
        prompts.get("test")
    assert isinstance(caught.value, ServiceUnavailable)
    assert server.url in str(caught.value)


def test_a_dead_server_is_not_asked_again_by_every_call(server: PromptServer, prompts: Prompts, clock: Clock) -> None:
    server.fault = Fault(503)
    for _ in range(20):
        assert prompts.get("test", fallback="plan b") == "plan b"
    assert len(server.requests) == 1
    clock.pass_(5)
    server.fault = None
    server.deploy("test", "one")
    assert prompts.get("test", fallback="plan b") == "one"


def test_invalidate_during_an_outage_costs_nothing(server: PromptServer, prompts: Prompts, clock: Clock) -> None:
    server.deploy("test", "one")
    prompts.get("test")
    server.kill()
    prompts.invalidate()
    text = prompts.get("test")
    assert (text, text.source) == ("one", "stale")
    server.deploy("test", "two")
    server.start()
    clock.pass_(60)
    prompts.get("test")
    settle()
    assert prompts.get("test") == "two"


@pytest.mark.parametrize("status", [401, 403])
def test_a_revoked_key_keeps_what_is_known_and_shouts(
    server: PromptServer, prompts: Prompts, clock: Clock, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    server.deploy("test", "one")
    prompts.get("test")
    server.fault = Fault(status, '{"detail": "This key was revoked.", "code": "revoked"}')
    for _ in range(3):
        clock.pass_(60)
        assert prompts.get("test") == "one"
        settle()
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 3
    assert "This key was revoked." in errors[0].getMessage()


def test_a_refused_key_with_nothing_known_raises(server: PromptServer, prompts: Prompts) -> None:
    server.fault = Fault(401, '{"detail": "No such key.", "code": "unauthorized"}')
    with pytest.raises(Unauthorized, match="No such key"):
        prompts.get("test")


def test_the_owner_hears_of_failures_that_callers_do_not_see(
    server: PromptServer, connect: Connect, clock: Clock
) -> None:
    heard: list[Exception] = []
    prompts = connect(on_error=heard.append)
    server.deploy("test", "one")
    prompts.get("test")
    server.fault = Fault(503)
    clock.pass_(60)
    prompts.get("test")
    settle()
    assert [type(error) for error in heard] == [ServiceUnavailable]


def test_a_faulty_callback_costs_nobody_the_prompt(server: PromptServer, connect: Connect, clock: Clock) -> None:
    def faulty(error: Exception) -> None:
        raise RuntimeError("callback") from error

    prompts = connect(on_error=faulty)
    server.deploy("test", "one")
    prompts.get("test")
    server.kill()
    clock.pass_(60)
    assert prompts.get("test") == "one"
    settle()
    with pytest.raises(PromptLabError):
        prompts.get("other")


@pytest.mark.parametrize(
    "fault",
    [
        Fault(200, "<html>login</html>", "text/html"),
        Fault(200, "{", "application/json"),
        Fault(200, "[]", "application/json"),
        Fault(200, "{}", "application/json"),
        Fault(200, '{"name": "test", "version": "x"}', "application/json"),
        Fault(204, "", "application/json"),
        Fault(302, "", "text/html", {"Location": "/login"}),
        Fault(304, "", "application/json"),
        Fault(404, "<html>", "text/html"),
        Fault(502, "<html>", "text/html"),
    ],
)
def test_an_answer_that_is_not_promptlabs_counts_as_an_outage(
    server: PromptServer, prompts: Prompts, clock: Clock, fault: Fault
) -> None:
    server.fault = fault
    assert prompts.get("cold", fallback="plan b") == "plan b"
    server.fault = None
    server.deploy("test", "one")
    prompts.get("test")
    server.fault = fault
    clock.pass_(60)
    prompts.get("test")
    settle()
    assert prompts.get("test") == "one"


def test_a_delivery_without_a_control_is_refused_and_the_last_one_kept(
    server: PromptServer, prompts: Prompts, clock: Clock
) -> None:
    server.deploy("test", "one")
    prompts.get("test")
    delivery = prompts.fetch("test").spec.to_dict()
    experiment = {"id": 1, "key": "e", "phase": 1, "seed": "s", "state": "running", "variants": []}
    body = {**delivery, "environment": "production", "revision": 2, "experiment": experiment}
    server.fault = Fault(200, json.dumps(body), "application/json")
    clock.pass_(60)
    prompts.get("test", unit_id="user-1")
    settle()
    assert prompts.get("test", unit_id="user-1") == "one"
    assert "is not a delivery" in prompts.status().last_error
