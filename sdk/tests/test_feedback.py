"""Feedback and exposures go out in the background: bounded, repeated until taken, never in the caller's way."""

from __future__ import annotations

import logging
import threading

import pytest
from cast import Connect, our_threads, until
from fake_server import Fault, PromptServer
from promptlab_sdk import PromptLabError, Prompts
from promptlab_sdk.errors import RateLimited, ServiceUnavailable
from promptlab_sdk.events import Outbox
from test_experiment import make_experiment


def test_a_rating_is_sent_with_the_key_that_is_returned(server: PromptServer, prompts: Prompts) -> None:
    key = prompts.feedback("m1", "rating", 1)
    assert prompts.flush()
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/api/v1/feedback")
    assert request.headers["x-api-key"] == "pl_key"
    assert request.body == {"message_id": "m1", "metric": "rating", "value": 1, "id": key}


def test_comment_user_and_key_are_sent_when_given(server: PromptServer, prompts: Prompts) -> None:
    assert prompts.feedback("m1", "helpful", True, comment="Thanks", user="user-7", key="k1") == "k1"
    prompts.flush()
    assert server.requests[0].body == {
        "message_id": "m1",
        "metric": "helpful",
        "value": True,
        "comment": "Thanks",
        "user": "user-7",
        "id": "k1",
    }


def test_the_caller_waits_for_nothing(server: PromptServer, prompts: Prompts) -> None:
    server.gate.clear()
    for number in range(50):
        prompts.feedback(f"m{number}", "rating", 1)
    assert prompts.status().queued == 50  # Handed in while not one of them was answered.
    server.gate.set()
    assert prompts.flush(20)
    assert [said["message_id"] for said in ratings(server)] == [f"m{number}" for number in range(50)]
    assert len(server.requests) <= 2  # What waits together is sent together.


def test_what_the_server_cannot_take_now_is_sent_again_with_the_same_key(
    server: PromptServer, prompts: Prompts
) -> None:
    server.faults = [Fault(503), Fault(429), Fault(401)]
    prompts.feedback("m1", "rating", -1)
    assert prompts.flush(20)
    assert len({request.body["id"] for request in server.requests}) == 1
    assert len(server.requests) == 4
    assert (prompts.status().sent, prompts.status().queued) == (1, 0)


def test_a_dead_server_gets_its_reports_when_it_is_back(server: PromptServer, prompts: Prompts) -> None:
    server.kill()
    prompts.feedback("m1", "rating", 1)
    assert not prompts.flush(0.3)
    assert prompts.status().queued == 1
    server.start()
    assert prompts.flush(20)
    assert server.requests[-1].body["message_id"] == "m1"


def test_what_the_server_refuses_is_dropped_counted_and_logged_without_values(
    server: PromptServer, prompts: Prompts, caplog: pytest.LogCaptureFixture
) -> None:
    prompts.feedback("nobody's", "rating", 1, comment="secret")
    prompts.feedback("m2", "rating", 1)
    assert prompts.flush(20)
    assert (prompts.status().refused, prompts.status().sent) == (1, 1)
    assert "refused" in caplog.text
    assert "secret" not in caplog.text


def test_the_queue_is_bounded_and_what_finds_no_room_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    gate = threading.Event()
    outbox = Outbox(lambda kind, events: gate.wait(20) and 0, max_queued=10, gather_s=0)
    with caplog.at_level(logging.WARNING, logger="promptlab"):
        for number in range(25):
            outbox.put("rating", {"id": number})
    assert (len(outbox), outbox.counts["dropped"]) == (10, 15)
    assert caplog.text.count("reports are dropped") == 1
    gate.set()
    assert outbox.flush(20)
    assert outbox.counts["sent"] == 10
    outbox.close(1)


@pytest.mark.parametrize("error", [ServiceUnavailable("away"), RateLimited("slow down", retry_after_s=0.01)])
def test_reports_keep_their_order_through_a_failure(error: PromptLabError) -> None:
    came: list[int] = []
    failures = [error]

    def send(kind: str, events: object) -> int:
        if failures:
            raise failures.pop()
        came.extend(event["id"] for event in events)  # type: ignore[attr-defined]
        return 0

    outbox = Outbox(send, gather_s=0.01)
    for number in range(5):
        outbox.put("exposure", {"id": number})
    assert outbox.flush(20)
    assert came == [0, 1, 2, 3, 4]
    outbox.close(1)


def test_a_send_that_breaks_costs_its_batch_only() -> None:
    sent: list[object] = []

    def send(kind: str, events: object) -> int:
        if kind == "rating":
            raise ZeroDivisionError
        sent.append(events)
        return 0

    outbox = Outbox(send, gather_s=0)
    outbox.put("rating", {"id": 1})
    outbox.put("exposure", {"id": 2})
    assert outbox.flush(20)
    assert (sent, outbox.counts["refused"]) == ([[{"id": 2}]], 1)
    outbox.close(1)


def test_close_sends_what_is_queued_and_counts_what_it_cannot(server: PromptServer, connect: Connect) -> None:
    prompts = connect()
    prompts.feedback("m1", "rating", 1)
    prompts.close()
    assert [request.body["message_id"] for request in server.requests] == ["m1"]
    prompts.feedback("m2", "rating", 1)
    assert (prompts.status().sent, prompts.status().dropped) == (1, 1)


def test_close_does_not_wait_for_a_server_that_is_away(server: PromptServer, connect: Connect) -> None:
    server.kill()
    prompts = connect()
    prompts.feedback("m1", "rating", 1)
    prompts.close()
    assert prompts.status().dropped == 1
    assert our_threads() == []


def ratings(server: PromptServer) -> list[dict[str, object]]:
    bodies = [request.body for request in server.requests if request.path == "/api/v1/feedback"]
    return [said for body in bodies for said in body.get("items", [body])]


def test_what_is_wrong_with_one_costs_no_other(server: PromptServer, prompts: Prompts) -> None:
    """A body that cannot be read at all is refused as a whole: then each is sent by itself."""
    server.faults = [Fault(400)]
    for message_id in ("m1", "nobody's", "m3"):
        prompts.feedback(message_id, "rating", 1)
    assert prompts.flush(20)
    assert (prompts.status().refused, prompts.status().sent) == (1, 2)
    assert [said["message_id"] for said in ratings(server)][3:] == ["m1", "nobody's", "m3"]


def test_a_key_that_may_not_rate_loses_nothing(server: PromptServer, prompts: Prompts) -> None:
    forbidden = '{"items": [null, null], "errors": [{"index": 0, "status": 403}, {"index": 1, "status": 403}]}'
    server.faults = [Fault(207, forbidden)]
    prompts.feedback("m1", "rating", 1)
    prompts.feedback("m2", "rating", 1)
    assert prompts.flush(20)
    assert (prompts.status().refused, prompts.status().sent) == (0, 2)


def exposures(server: PromptServer) -> list[dict[str, object]]:
    return [said for request in server.requests if request.path == "/api/v1/exposures" for said in request.body]


def test_exposures_go_out_together_and_once_per_unit(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "control {{a}}", experiment=make_experiment())
    for unit in ("user-1", "user-2", "user-1", None):
        prompts.track(prompts.get("test", unit_id=unit, a="secret"))
    assert prompts.flush(20)
    receipts = {unit: prompts.fetch("test", unit_id=unit).receipt for unit in ("user-1", "user-2")}
    assert set(receipts.values()) <= {"receipt-control", "receipt-short"}
    assert exposures(server) == [{"receipt": receipt, "unit_id": unit} for unit, receipt in receipts.items()]
    assert server.paths().count("/api/v1/exposures") == 1


def test_an_answer_with_an_id_or_figures_is_always_reported(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "Hi")
    text = prompts.get("test", unit_id="user-1")
    prompts.track(text, answer_id="a1", model="m", input_tokens=10, cost_usd=0.5)
    prompts.track(text, answer_id="a2")
    prompts.track(prompts.get("test"), answer_id="a3")
    assert prompts.flush(20)
    base = {"receipt": "receipt-test-1", "unit_id": "user-1"}
    assert exposures(server) == [
        {**base, "id": "a1", "model": "m", "input_tokens": 10, "cost_usd": 0.5},
        {**base, "id": "a2"},
        {"receipt": "receipt-test-1", "id": "a3"},
    ]


def test_outside_an_experiment_nobody_counts_for_its_control(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "live {{a}}", experiment=make_experiment(coverage_bp=0))
    assert prompts.get("test", unit_id="user-1", a="x").receipt == "receipt-test-1"


def test_a_fallback_has_nothing_to_report(server: PromptServer, prompts: Prompts) -> None:
    server.kill()
    prompts.track(prompts.get("test", unit_id="user-1", fallback="plan b"), answer_id="a1")
    assert prompts.status().queued == 0


def test_an_answer_of_ones_own_is_rated_by_its_text(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "Hi")
    text = prompts.get("test", unit_id="user-1")
    prompts.feedback(text, "rating", 1, answer_id="a1", key="k1")
    prompts.feedback(text, "rating", -1, user="user-2", key="k2")
    assert prompts.flush(20)
    base = {"receipt": "receipt-test-1", "metric": "rating"}
    assert ratings(server) == [
        {**base, "value": 1, "id": "k1", "user": "user-1", "answer_id": "a1"},
        {**base, "value": -1, "id": "k2", "user": "user-2"},
    ]


def test_no_thread_is_left_when_all_has_gone(server: PromptServer, prompts: Prompts) -> None:
    prompts.feedback("m1", "rating", 1)
    assert prompts.flush(20)
    until(lambda: our_threads() == [])
