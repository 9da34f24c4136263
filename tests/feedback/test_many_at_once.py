"""Several ratings in one request, and many requests in one transaction."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from feedback.api.intake import ROUTES
from feedback.models import Feedback, FeedbackReceipt
from feedback.services import buffer as buffers
from feedback.services import ingest
from feedback.services.ingest import Accepted, NewRating, accept_all
from promptlab.accounts.access import SYSTEM
from promptlab.chat.models import Message
from promptlab.lib.asgi import HotRoutes, Receive, Scope, Send
from promptlab.lib.errors import Unavailable
from tests.support.api import Api
from tests.support.asgi import Answer, call
from tests.support.cast import Cast
from tests.support.make import make_key, make_live, make_message, make_prompt, newest

pytestmark = pytest.mark.django_db(transaction=True)


async def nobody(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("The route did not match.")


app = HotRoutes(ROUTES, fallback=nobody)


@pytest.fixture
def messages(cast: Cast) -> list[Message]:
    version = newest(make_prompt(cast.team))
    live = make_live(version)
    return [make_message(version, live, unit_id=f"customer-{number}") for number in range(5)]


def post(key: str, items: Any, **more: Any) -> Answer:
    return call(app, "POST", "/feedback", key=key, body={"items": items, **more})


def up(message: Message, **more: Any) -> dict[str, Any]:
    return {"message_id": str(message.uid), "rating": 1, **more}


def test_several_are_kept_and_answered_in_their_order(cast: Cast, messages: list[Message]) -> None:
    answer = post(cast.key, [up(one, id=f"k-{place}") for place, one in enumerate(messages)])
    assert (answer.status, answer.json()["accepted"]) == (202, 5)
    assert [one["message_id"] for one in answer.json()["items"]] == [str(one.uid) for one in messages]
    assert "errors" not in answer.json()
    assert (Feedback.objects.count(), FeedbackReceipt.objects.count()) == (5, 5)
    again = post(cast.key, [up(one, id=f"k-{place}") for place, one in enumerate(messages)])
    assert again.json() == answer.json() and Feedback.objects.count() == 5


def test_what_is_refused_says_which_and_why_and_stops_no_other(cast: Cast, messages: list[Message]) -> None:
    items = [
        up(messages[0]),
        up(messages[1], rating=7),
        {"message_id": str(uuid.UUID(int=5)), "rating": 1},
        "thumbs up",
        up(messages[2]),
    ]
    answer = post(cast.key, items)
    assert (answer.status, answer.json()["accepted"], answer.json()["rejected"]) == (207, 2, 3)
    told = [(one["index"], one["field"], one["code"], one["status"]) for one in answer.json()["errors"]]
    assert told == [(1, "rating", "invalid", 400), (2, "", "message_not_found", 404), (3, "", "invalid", 400)]
    assert [one is None for one in answer.json()["items"]] == [False, True, True, True, False]
    assert Feedback.objects.count() == 2


def test_of_two_about_the_same_the_later_one_stays(cast: Cast, messages: list[Message]) -> None:
    answer = post(cast.key, [up(messages[0]), up(messages[0], rating=-1, comment="No")])
    assert len({one["feedback_id"] for one in answer.json()["items"]}) == 1
    row = Feedback.objects.get()
    assert (row.value, row.comment) == (-1, "No")


def test_one_key_twice_in_a_request_is_one_rating(cast: Cast, messages: list[Message]) -> None:
    answer = post(cast.key, [up(messages[0], id="k"), up(messages[0], id="k"), up(messages[0], id="k", comment="No")])
    first, second, third = answer.json()["items"]
    assert first == second and third is None
    assert answer.json()["errors"][0]["code"] == "idempotency_key_reused"
    assert Feedback.objects.get().comment == ""


@pytest.mark.parametrize(
    ("items", "field", "code"),
    [
        ([], "items", "invalid"),
        ({}, "items", "invalid"),
        (None, "items", "invalid"),
        ([{}] * 1001, "items", "too_many"),
    ],
)
def test_a_list_that_cannot_be_is_a_400(cast: Cast, items: Any, field: str, code: str) -> None:
    answer = post(cast.key, items)
    assert (answer.status, answer.json()["errors"][0]["field"], answer.json()["errors"][0]["code"]) == (
        400,
        field,
        code,
    )


def test_a_list_and_a_rating_beside_it_is_refused(cast: Cast, messages: list[Message]) -> None:
    assert post(cast.key, [up(messages[0])], rating=1).json()["errors"][0]["field"] == "rating"


def test_a_list_needs_a_key(messages: list[Message]) -> None:
    assert post("", [up(messages[0])]).status == 401


def test_strangers_find_none_of_them(cast: Cast, messages: list[Message]) -> None:
    answer = post(cast.stranger_key, [up(one) for one in messages])
    assert {one["code"] for one in answer.json()["errors"]} == {"message_not_found"}
    assert post(cast.read_key, [up(messages[0])]).json()["errors"][0]["status"] == 403
    assert not Feedback.objects.exists()


def test_a_list_costs_what_it_holds(cast: Cast, messages: list[Message], settings: Any) -> None:
    settings.RATE_LIMIT_FEEDBACK_PER_MINUTE = 7
    key = make_key(cast.team, "feedback")[1]
    assert [post(key, [up(one) for one in messages]).status for _ in range(2)] == [202, 429]
    assert post(key, [up(one) for one in messages[:2]]).status == 202


def test_behind_plain_wsgi_the_answer_is_the_same(cast: Cast, messages: list[Message]) -> None:
    items = [up(messages[0], id="a"), up(messages[1], rating=3)]
    plain = Api(cast.key).post("/feedback", {"items": items})
    hot = post(cast.key, items)
    assert (plain.status_code, plain.json()) == (hot.status, hot.json())


def test_a_group_costs_as_many_statements_as_one(messages: list[Message]) -> None:
    def statements(ratings: list[NewRating]) -> int:
        with CaptureQueriesContext(connection) as seen:
            outcomes = accept_all([(SYSTEM, one) for one in ratings])
        assert all(isinstance(one, Accepted) for one in outcomes)
        return len(seen)

    one = statements([NewRating(str(messages[0].uid), 1, key="a")])
    assert statements([NewRating(str(one.uid), 1, key=f"b-{one.pk}") for one in messages]) == one


def test_what_arrives_together_is_written_together(
    cast: Cast, messages: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[int] = []

    def counted(said: Any) -> Any:
        groups.append(len(said))
        return accept_all(said)

    monkeypatch.setattr(buffers, "accept_all", counted)

    async def fifty() -> list[Any]:
        waiting = (
            buffers.buffer().submit([(SYSTEM, NewRating(str(messages[number % 5].uid), 1, user=f"u-{number}"))])
            for number in range(50)
        )
        return await asyncio.gather(*waiting)

    outcomes = asyncio.run(fifty())
    assert len({one[0].feedback_id for one in outcomes}) == 50 == Feedback.objects.count()
    assert sum(groups) == 50 and len(groups) <= 3


def test_who_hangs_up_loses_nothing_and_holds_nobody_up(messages: list[Message]) -> None:
    async def one_leaves() -> Any:
        mine = asyncio.ensure_future(buffers.buffer().submit([(SYSTEM, NewRating(str(messages[0].uid), 1))]))
        other = asyncio.ensure_future(buffers.buffer().submit([(SYSTEM, NewRating(str(messages[1].uid), 1))]))
        await asyncio.sleep(0)
        mine.cancel()
        return await other

    assert isinstance(asyncio.run(one_leaves())[0], Accepted)
    assert Feedback.objects.count() == 2


def test_a_full_buffer_says_when_to_come_again(messages: list[Message], settings: Any) -> None:
    settings.FEEDBACK_WAITING_MOST = 3

    async def too_many() -> None:
        await buffers.buffer().submit([(SYSTEM, NewRating(str(one.uid), 1)) for one in messages])

    with pytest.raises(Unavailable) as refused:
        asyncio.run(too_many())
    assert refused.value.retry_after_s == 1


def test_with_the_database_away_everybody_is_told(
    cast: Cast, messages: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(said: Any) -> Any:
        raise OperationalError("server closed the connection")

    assert post(cast.key, [up(messages[0])]).status == 202
    monkeypatch.setattr(buffers, "accept_all", gone)
    answer = post(cast.key, [up(messages[0])])
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")


def test_one_that_the_database_refuses_stops_no_other(messages: list[Message], monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is removed between the look and the write takes its own rating along and no other."""
    found = ingest.answers_of

    def and_then_removed(uids: Any) -> Any:
        answers = found(uids)
        Message.objects.filter(pk=messages[0].pk).delete()
        return answers

    monkeypatch.setattr(ingest, "answers_of", and_then_removed)
    outcomes = accept_all([(SYSTEM, NewRating(str(one.uid), 1)) for one in messages])
    assert [type(one).__name__ for one in outcomes] == ["SubjectNotFound", *["Accepted"] * 4]
    assert Feedback.objects.count() == 4


def test_groups_at_once_with_shared_keys_and_rows_agree(messages: list[Message]) -> None:
    together, outcomes = threading.Barrier(4), []

    def send(turn: int) -> None:
        said = [(SYSTEM, NewRating(str(one.uid), 1, key=f"k-{one.pk}")) for one in messages]
        together.wait(timeout=30)
        outcomes.append([one.feedback_id for one in accept_all(said[::-1] if turn % 2 else said)])  # type: ignore[union-attr]
        connection.close()

    threads = [threading.Thread(target=send, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(outcomes) == 4 and len({json.dumps(sorted(one)) for one in outcomes}) == 1
    assert (Feedback.objects.count(), FeedbackReceipt.objects.count()) == (5, 5)


def test_with_the_database_away_nobody_waits_for_the_others(
    messages: list[Message], monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """Each look for a connection takes its two seconds: one is enough for all who wait."""
    settings.FEEDBACK_GROUP_MOST = 1
    looked: list[int] = []

    def gone(said: Any) -> Any:
        looked.append(len(said))
        raise OperationalError("no connection")

    monkeypatch.setattr(buffers, "accept_all", gone)

    async def five() -> list[Any]:
        one = (buffers.buffer().submit([(SYSTEM, NewRating(str(message.uid), 1))]) for message in messages)
        return await asyncio.gather(*one, return_exceptions=True)

    assert [type(one) for one in asyncio.run(five())] == [OperationalError] * 5
    assert looked == [1]


def test_what_one_request_brings_is_never_parted(
    messages: list[Message], monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """Parted, a later half could be kept without the earlier one, and sent again they would come in the wrong order."""
    settings.FEEDBACK_GROUP_MOST = 3
    groups: list[int] = []

    def counted(said: Any) -> Any:
        groups.append(len(said))
        return accept_all(said)

    monkeypatch.setattr(buffers, "accept_all", counted)

    async def several() -> list[Any]:
        sizes = (2, 1, 5, 2)
        said = ([(SYSTEM, NewRating(str(one.uid), 1)) for one in messages[:size]] for size in sizes)
        return await asyncio.gather(*map(buffers.buffer().submit, said))

    assert [len(one) for one in asyncio.run(several())] == [2, 1, 5, 2]
    assert groups == [3, 5, 2]
