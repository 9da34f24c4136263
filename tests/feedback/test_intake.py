"""POST /feedback: the hot route, and the same behind plain WSGI."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from feedback.api.intake import ROUTES
from feedback.models import Feedback, FeedbackReceipt
from feedback.services.ingest import NewRating, accept
from promptlab.accounts.access import SYSTEM
from promptlab.chat.models import Message
from promptlab.lib.asgi import HotRoutes, Receive, Scope, Send
from tests.support.api import Api
from tests.support.asgi import Answer, call
from tests.support.cast import Cast
from tests.support.make import make_key, make_live, make_message, make_prompt, newest

pytestmark = pytest.mark.django_db(transaction=True)


async def nobody(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("The route did not match.")


app = HotRoutes(ROUTES, fallback=nobody)


@pytest.fixture
def message(cast: Cast) -> Message:
    version = newest(make_prompt(cast.team))
    return make_message(version, make_live(version), unit_id="customer-7")


def post(key: str, body: Any, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(app, "POST", "/feedback", key=key, body=body, headers=named)


def up(message: Message, **more: Any) -> dict[str, Any]:
    return {"message_id": str(message.uid), "rating": 1, **more}


def test_a_rating_is_kept_and_acknowledged(cast: Cast, message: Message) -> None:
    answer = post(cast.key, up(message, comment="Just what I needed."))
    row = Feedback.objects.get()
    assert answer.status == 202
    assert answer.json() == {
        "feedback_id": str(row.uid),
        "id": str(row.uid),
        "message_id": str(message.uid),
        "rating": 1,
    }
    assert (row.message, row.value, row.comment, row.rater) == (message, 1, "Just what I needed.", "customer-7")
    assert row.team == cast.team
    assert "idempotent-replayed" not in answer.headers
    assert answer.headers["ratelimit"].startswith('"feedback";r=')


@pytest.mark.parametrize("path", ["/feedback", "/feedback/", "/api/v1/feedback", "/api/v1/feedback/"])
def test_every_spelling_of_the_address_answers(cast: Cast, message: Message, path: str) -> None:
    assert call(app, "POST", path, key=cast.key, body=up(message)).status == 202


def test_metric_and_value_say_the_same_as_rating(cast: Cast, message: Message) -> None:
    body = {"message_id": str(message.uid), "metric": "rating", "value": -1}
    assert post(cast.key, body).json()["rating"] == -1


def test_without_a_key_nobody_rates(message: Message) -> None:
    answer = post("", up(message))
    assert (answer.status, answer.json()["code"]) == (401, "unauthenticated")
    assert not Feedback.objects.exists()


def test_a_stranger_finds_no_such_message(cast: Cast, message: Message) -> None:
    answer = post(cast.stranger_key, up(message))
    assert (answer.status, answer.json()["code"]) == (404, "message_not_found")
    assert str(message.uid) in answer.json()["detail"]


def test_a_key_without_the_scope_is_told_which_one_it_needs(cast: Cast, message: Message) -> None:
    answer = post(cast.read_key, up(message))
    assert (answer.status, answer.json()["code"]) == (403, "forbidden")
    assert "feedback" in answer.json()["detail"]


def test_a_key_of_another_environment_may_not_rate(cast: Cast, message: Message) -> None:
    staging = make_key(cast.team, "feedback", environments=["staging"])[1]
    answer = post(staging, up(message))
    assert (answer.status, answer.json()["code"]) == (403, "environment_not_allowed")


def test_the_feedback_scope_alone_is_enough(cast: Cast, message: Message) -> None:
    assert post(make_key(cast.team, "feedback")[1], up(message)).status == 202


@pytest.mark.parametrize("message_id", ["nonsense", str(uuid.UUID(int=5)), "0" * 300])
def test_an_unknown_message_is_not_found(cast: Cast, message: Message, message_id: str) -> None:
    answer = post(cast.key, {"message_id": message_id, "rating": 1})
    assert (answer.status, answer.json()["code"]) == (404, "message_not_found")


def test_only_answers_are_rated(cast: Cast, message: Message) -> None:
    question = Message.objects.create(
        conversation=message.conversation, role=Message.Role.USER, state=Message.State.COMPLETED
    )
    assert post(cast.key, up(question)).status == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"rating": 0}, "rating"),
        ({"rating": 2}, "rating"),
        ({"rating": True}, "rating"),
        ({"rating": 1.0}, "rating"),
        ({"rating": "1"}, "rating"),
        ({"rating": None}, "rating"),
        ({"rating": 1, "value": 1}, "value"),
        ({"metric": "stars"}, "metric"),
        ({"metric": 5}, "metric"),
        ({"comment": "x" * 5001}, "comment"),
        ({"comment": "x" * 2_000_000}, "comment"),
        ({"comment": ["x"]}, "comment"),
        ({"comment": "a\x00b"}, "comment"),
        ({"user": "x" * 201}, "user"),
        ({"user": 7}, "user"),
        ({"id": "x" * 256}, "id"),
        ({"id": 5}, "id"),
        ({"message_id": ""}, "message_id"),
        ({"message_id": None}, "message_id"),
        ({"message_id": 5}, "message_id"),
    ],
)
def test_bad_input_names_the_field(cast: Cast, message: Message, change: dict[str, Any], field: str) -> None:
    answer = post(cast.key, {**up(message), **change})
    assert answer.status == 400
    assert [problem["field"] for problem in answer.json()["errors"]] == [field]
    assert not Feedback.objects.exists()


def test_an_unknown_metric_names_the_known_ones(cast: Cast, message: Message) -> None:
    assert "Known: rating" in post(cast.key, up(message, metric="stars")).json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[{}]", b"null", b'{"rating": 1, "rating": 1}', b"\xff"])
def test_a_body_that_is_no_object_is_a_400(cast: Cast, body: bytes) -> None:
    answer = post(cast.key, body)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_same_key_again_changes_nothing(cast: Cast, message: Message) -> None:
    first = post(cast.key, up(message), idempotency_key='"a-1"')
    post(cast.key, {"message_id": str(message.uid), "rating": -1})  # a changed mind in between stays changed
    again = post(cast.key, up(message), idempotency_key="a-1")
    assert (again.status, again.json()) == (202, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert Feedback.objects.get().value == -1


def test_the_bodys_id_is_the_same_key(cast: Cast, message: Message) -> None:
    first = post(cast.key, up(message, id="a-1"))
    assert post(cast.key, up(message), idempotency_key="a-1").json() == first.json()
    assert FeedbackReceipt.objects.count() == 1


def test_two_different_keys_in_one_request_are_refused(cast: Cast, message: Message) -> None:
    assert post(cast.key, up(message, id="a-1"), idempotency_key="a-2").status == 400


@pytest.mark.parametrize("header", ['"open', '"', '""', "é", "x" * 256, "tab\tin"])
def test_a_malformed_key_is_a_400(cast: Cast, message: Message, header: str) -> None:
    answer = post(cast.key, up(message), idempotency_key=header)
    assert (answer.status, answer.json()["errors"][0]["field"]) == (400, "Idempotency-Key")


def test_the_same_key_for_another_rating_is_refused(cast: Cast, message: Message) -> None:
    post(cast.key, up(message), idempotency_key="a-1")
    answer = post(cast.key, {"message_id": str(message.uid), "rating": -1}, idempotency_key="a-1")
    assert (answer.status, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert Feedback.objects.get().value == 1


def test_two_teams_may_use_the_same_key(cast: Cast, message: Message) -> None:
    theirs = newest(make_prompt(cast.zoe.memberships.get().team))
    post(cast.key, up(message), idempotency_key="a-1")
    answer = post(cast.stranger_key, up(make_message(theirs)), idempotency_key="a-1")
    assert (answer.status, "idempotent-replayed" in answer.headers) == (202, False)


def test_rating_again_changes_the_rating(cast: Cast, message: Message) -> None:
    first = post(cast.key, up(message, comment="Good"))
    Feedback.objects.update(counted_value=1, rolled_up_at=message.ended_at)
    second = post(cast.key, {"message_id": str(message.uid), "rating": -1})
    row = Feedback.objects.get()
    assert first.json()["feedback_id"] == second.json()["feedback_id"]
    assert (row.value, row.comment, row.counted_value, row.rolled_up_at) == (-1, "", 1, None)


def test_two_people_rate_the_same_answer(cast: Cast, message: Message) -> None:
    post(cast.key, up(message, user="ann"))
    post(cast.key, up(message, user="ben"))
    assert set(Feedback.objects.values_list("rater", flat=True)) == {"ann", "ben"}


def test_the_same_key_twice_at_once_is_one_rating(cast: Cast, message: Message) -> None:
    answers: list[Answer] = []
    together = threading.Barrier(4)

    def send() -> None:
        together.wait(timeout=30)
        answers.append(post(cast.key, up(message), idempotency_key="a-1"))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [answer.status for answer in answers] == [202] * 4
    assert len({answer.json()["feedback_id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 3
    assert (Feedback.objects.count(), FeedbackReceipt.objects.count()) == (1, 1)


def test_more_than_the_budget_is_told_to_wait(cast: Cast, message: Message, settings: Any) -> None:
    settings.RATE_LIMIT_FEEDBACK_PER_MINUTE = 2
    key = make_key(cast.team, "feedback")[1]
    answers = [post(key, up(message)) for _ in range(3)]
    assert [answer.status for answer in answers] == [202, 202, 429]
    assert int(answers[2].headers["retry-after"]) > 0


def test_one_rating_costs_few_queries(cast: Cast, message: Message, django_assert_max_num_queries: Any) -> None:
    rating = NewRating(str(message.uid), 1, key="a-1")
    with django_assert_max_num_queries(7):  # the answer; begin, receipt, row, its id, receipt, commit
        accept(SYSTEM, rating)
    with CaptureQueriesContext(connections["default"]) as replay:
        accept(SYSTEM, rating)
    assert len([q for q in replay.captured_queries if q["sql"].startswith("SELECT")]) == 2


def test_behind_plain_wsgi_the_answer_is_the_same(cast: Cast, message: Message) -> None:
    hot = post(cast.key, up(message), idempotency_key="a-1")
    plain = Api(cast.key).post("/api/v1/feedback/", up(message), **{"Idempotency-Key": "a-1"})
    assert (plain.status_code, plain.json()) == (hot.status, hot.json())
    assert plain.headers["Idempotent-Replayed"] == "true"
    assert plain.headers["RateLimit"].startswith('"feedback";r=')


def test_behind_plain_wsgi_errors_are_the_same(cast: Cast, message: Message) -> None:
    refused = Api(cast.key).post("/feedback", up(message, rating=7))
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "rating")
    assert Api(cast.key).post("/feedback", [up(message)]).status_code == 400
    assert Api().post("/feedback", up(message)).status_code == 401
