"""A rating can be changed and taken back; what it said before is kept, and the sums follow."""

from __future__ import annotations

import uuid

import pytest

from experiments.models import HourRollup
from feedback.models import Feedback, FeedbackChange
from feedback.services.batch import roll_up_feedback
from feedback.services.ingest import NewRating, accept
from promptlab.accounts.access import SYSTEM
from promptlab.chat.models import Message
from promptlab.chat.services.metering import roll_up_messages
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_key, make_live, make_message, make_prompt, newest

pytestmark = pytest.mark.django_db


@pytest.fixture
def message(cast: Cast) -> Message:
    version = newest(make_prompt(cast.team))
    return make_message(version, make_live(version), unit_id="customer-7")


def rate(message: Message, value: int | None, comment: str = "") -> str:
    return accept(SYSTEM, NewRating(str(message.uid), value, comment=comment)).feedback_id


def sums() -> list[tuple[int, int]]:
    roll_up_messages()
    roll_up_feedback()
    return [(row.ratings, row.ups) for row in HourRollup.objects.all()]


def test_what_it_said_before_is_kept(message: Message) -> None:
    rate(message, 1, "Fine")
    rate(message, 1, "Fine")
    assert not FeedbackChange.objects.exists()
    rate(message, -1, "Not at all")
    rate(message, None)
    kept = [(one.value, one.comment) for one in FeedbackChange.objects.all()]
    assert kept == [(1, "Fine"), (-1, "Not at all")]
    assert (Feedback.objects.get().value, Feedback.objects.get().comment) == (None, "")


def test_the_sums_follow(message: Message) -> None:
    rate(message, 1)
    assert sums() == [(1, 1)]
    rate(message, None)
    assert sums() == [(0, 0)]
    rate(message, -1)
    assert sums() == [(1, 0)]


def test_one_taken_back_before_it_was_counted_counts_nothing(message: Message) -> None:
    rate(message, 1)
    rate(message, None)
    assert sums() == [(0, 0)]
    assert not Feedback.objects.not_rolled_up().exists()


def test_stats_and_list_leave_it_out(cast: Cast, message: Message) -> None:
    api = Api(cast.key)
    rate(message, 1)
    assert api.get("/feedback/stats").json()["totals"]["rated"] == 1
    rate(message, None)
    assert api.get("/feedback/stats").json()["totals"]["rated"] == 0
    assert api.get("/feedback").json()["count"] == 0


def test_by_its_own_id(cast: Cast, message: Message) -> None:
    uid = rate(message, 1, "Fine")
    api = Api(make_key(cast.team, "feedback")[1])
    assert [api.delete(f"/feedback/{uid}").status_code for _ in range(2)] == [204, 204]
    assert Feedback.objects.get().value is None and FeedbackChange.objects.count() == 1


def test_by_who_may_not(cast: Cast, message: Message) -> None:
    uid = rate(message, 1)
    assert Api().delete(f"/feedback/{uid}").status_code == 401
    assert Api(cast.read_key).delete(f"/feedback/{uid}").status_code == 403
    assert Api(cast.stranger_key).delete(f"/feedback/{uid}").json()["code"] == "feedback_not_found"
    staging = make_key(cast.team, "feedback", environments=["staging"])[1]
    assert Api(staging).delete(f"/feedback/{uid}").json()["code"] == "environment_not_allowed"
    assert Api(cast.key).delete(f"/feedback/{uuid.uuid4()}").status_code == 404
    assert Feedback.objects.get().value == 1


def test_by_the_answer_it_is_about(cast: Cast, message: Message) -> None:
    rate(message, 1)
    api = Api(cast.key)
    answer = api.post("/feedback", {"message_id": str(message.uid), "retract": True})
    assert (answer.status_code, answer.json()["rating"]) == (202, None)
    for body in ({"retract": False}, {"retract": True, "rating": 1}, {"retract": True, "comment": "x"}):
        assert api.post("/feedback", {"message_id": str(message.uid), **body}).status_code == 400, body


def test_the_page_says_what_it_said_before(cast: Cast, message: Message) -> None:
    from django.test import Client

    rate(message, -1, "Too long")
    rate(message, None)
    client = Client()
    client.force_login(cast.ann)
    page = client.get(f"/admin/feedback/feedback/{Feedback.objects.get().pk}/change/").content.decode()
    assert "Taken back" in page and "Too long" in page and "Said before" in page
