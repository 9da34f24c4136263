"""What a team lets be said of answers, who says it, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from experiments.models import HourRollup
from feedback.models import Feedback, FeedbackChange, Metric
from feedback.results import feedback_stats
from feedback.services.batch import roll_up_feedback
from feedback.services.metrics import declare_metric
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.chat.models import Message
from promptlab.chat.services.external import receipt_of
from promptlab.chat.services.metering import roll_up_messages
from tests.feedback.test_intake import post
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_live, make_message, make_prompt, newest

pytestmark = pytest.mark.django_db
TASTES = ["terse", "wordy"]


@pytest.fixture
def message(cast: Cast) -> Message:
    for key, kind in (("fun", "thumbs"), ("safe", "boolean"), ("why", "text"), ("ideal", "correction")):
        declare_metric(SYSTEM, cast.team.pk, key=key, kind=kind)
    declare_metric(SYSTEM, cast.team.pk, key="accuracy", kind="score", low=0, high=10)
    declare_metric(SYSTEM, cast.team.pk, key="taste", kind="category", categories=TASTES)
    version = newest(make_prompt(cast.team))
    return make_message(version, make_live(version), unit_id="customer-7")


def say(cast: Cast, message: Message, **said: Any) -> Any:
    return Api(cast.key).post("/feedback", {"message_id": str(message.uid), **said})


@pytest.mark.parametrize(
    ("metric", "value", "held"),
    [
        ("rating", -1, (-1, None, "")),
        ("approval", 1, (1, None, "")),
        ("thumbs", 1, (1, None, "")),
        ("fun", 1, (None, 1.0, "")),
        ("safe", False, (None, 0.0, "")),
        ("accuracy", 7.5, (None, 7.5, "")),
        ("accuracy", 10, (None, 10.0, "")),
        ("taste", "wordy", (None, None, "wordy")),
        ("why", "It is long.", (None, None, "It is long.")),
        ("ideal", "Short.", (None, None, "Short.")),
    ],
)
def test_each_kind_is_kept_as_it_was_said(cast: Cast, message: Message, metric: str, value: Any, held: Any) -> None:
    answer = say(cast, message, metric=metric, value=value)
    assert answer.status_code == 202
    row = Feedback.objects.get()
    assert (row.value, row.score, row.text) == held
    told = Api(cast.key).get("/feedback").json()["results"][0]
    assert (told["value"], told["metric"]) == (next(one for one in held if one not in (None, "")), row.metric)


@pytest.mark.parametrize(
    ("said", "field", "code"),
    [
        ({"metric": "stars", "value": 1}, "metric", "unknown_metric"),
        ({"metric": "stars", "retract": True}, "metric", "unknown_metric"),
        ({"metric": "fun", "value": 0.5}, "value", "invalid"),
        ({"metric": "safe", "value": 1}, "value", "invalid"),
        ({"metric": "accuracy", "value": 10.5}, "value", "range"),
        ({"metric": "accuracy", "value": True}, "value", "invalid"),
        ({"metric": "accuracy", "value": "7"}, "value", "invalid"),
        ({"metric": "taste", "value": "odd"}, "value", "invalid_choice"),
        ({"metric": "why", "value": "  "}, "value", "invalid"),
        ({"metric": "why", "value": "x" * 20_001}, "value", "max_length"),
        ({"metric": "why", "value": ["x"]}, "value", "invalid"),
        ({"metric": "why"}, "rating", "required"),
        ({"metric": "why", "value": "x", "correction": "y"}, "correction", "invalid"),
        ({"rating": 1, "source": "nobody"}, "source", "invalid_choice"),
        ({"rating": 1, "source": "judge"}, "user", "required"),
        ({"rating": 1, "correction": "x" * 20_001}, "correction", "max_length"),
        ({"rating": 1, "conversation_id": "00000000-0000-0000-0000-000000000001"}, "conversation_id", "invalid"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    cast: Cast, message: Message, said: dict[str, Any], field: str, code: str
) -> None:
    answer = say(cast, message, **said)
    assert answer.status_code == 400
    assert [(one["field"], one["code"]) for one in answer.json()["errors"]] == [(field, code)]
    assert not Feedback.objects.exists()


def test_an_unknown_metric_of_many_stops_no_other(cast: Cast, message: Message) -> None:
    items = [{"message_id": str(message.uid), "metric": name, "value": 5} for name in ("stars", "accuracy")]
    answer = Api(cast.key).post("/feedback", {"items": items})
    assert (answer.status_code, answer.json()["accepted"]) == (207, 1)
    assert "Known: rating, accuracy, fun" in answer.json()["errors"][0]["detail"]


def test_another_team_s_metric_is_unknown(cast: Cast, message: Message) -> None:
    Metric.objects.filter(key="accuracy").update(team=Team.objects.get(name="Elsewhere"))
    assert say(cast, message, metric="accuracy", value=5).json()["code"] == "unknown_metric"


def test_what_annotators_and_judges_think_is_kept_beside_approval(cast: Cast, message: Message) -> None:
    say(cast, message, rating=1, correction="Shorter.")
    for source in ("annotator", "judge"):
        assert say(cast, message, rating=-1, user=source, source=source).status_code == 202
    say(cast, message, metric="accuracy", value=3)
    before = feedback_stats(SYSTEM).totals
    roll_up_messages()
    roll_up_feedback()
    assert feedback_stats(SYSTEM).totals == before
    assert (before.rated, before.up) == (1, 1)
    row = HourRollup.objects.get()
    assert (row.ratings, row.ups, Feedback.objects.count()) == (1, 1, 4)
    assert len(Api(cast.key).get("/feedback?source=judge").json()["results"]) == 1
    assert Api(cast.key).get("/feedback?metric=accuracy").json()["results"][0]["value"] == 3


def test_a_receipt_alone_speaks_for_end_users_only(cast: Cast, message: Message) -> None:
    message.revision = 1
    said = {"receipt": receipt_of(message, cast.team.pk), "rating": 1, "user": "x", "source": "judge"}
    assert post("", said).json()["errors"][0]["field"] == "source"


def test_a_conversation_s_rating_is_its_newest_answer_s(cast: Cast, message: Message) -> None:
    later = Message.objects.create(conversation=message.conversation, role="assistant", state="completed")
    said = {"conversation_id": str(message.conversation.uid), "rating": 1, "id": "once"}
    assert Api(cast.key).post("/feedback", said).json()["message_id"] == str(later.uid)
    refused = Api(cast.stranger_key).post("/feedback", said)
    assert (refused.status_code, refused.json()["code"]) == (404, "conversation_not_found")
    assert str(later.uid) not in refused.content.decode()


@pytest.mark.parametrize("prefix", ["chatcmpl-", "resp_"])
def test_the_ids_of_the_openai_face_name_answers_too(cast: Cast, message: Message, prefix: str) -> None:
    assert Api(cast.key).post("/feedback", {"message_id": f"{prefix}{message.uid}", "rating": 1}).status_code == 202


def test_a_changed_score_keeps_what_it_said(cast: Cast, message: Message) -> None:
    say(cast, message, metric="accuracy", value=3)
    say(cast, message, metric="accuracy", value=8)
    feedback_id = say(cast, message, metric="accuracy", retract=True).json()["feedback_id"]
    assert list(FeedbackChange.objects.values_list("score", flat=True)) == [3.0, 8.0]
    assert Feedback.objects.get().said is None
    assert Api(cast.key).get("/feedback").json()["count"] == 0
    say(cast, message, metric="accuracy", value=9)
    assert Api(cast.key).delete(f"/feedback/{feedback_id}").status_code == 204
    assert Feedback.objects.get().said is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"key": "Accuracy"}, "key"),
        ({"key": "rating"}, "key"),
        ({"kind": "colour"}, "kind"),
        ({"low": 5, "high": 5}, "high"),
        ({"kind": "category", "categories": ["one"]}, "categories"),
        ({"kind": "category", "categories": ["one", "one"]}, "categories"),
    ],
)
def test_a_metric_that_cannot_be_is_refused(cast: Cast, change: dict[str, Any], field: str) -> None:
    answer = Api(cast.key).post("/feedback/metrics", {"key": "exact", "kind": "score", **change})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


def test_a_metric_is_declared_once_and_can_be_put_away(cast: Cast, message: Message) -> None:
    api = Api(cast.key)
    taken = api.post("/feedback/metrics", {"key": "safe", "kind": "score"})
    assert (taken.status_code, taken.json()["code"]) == (409, "metric_taken")
    pk = Metric.objects.get(key="safe").pk
    say(cast, message, metric="safe", value=True)
    assert api.patch(f"/feedback/metrics/{pk}", {"is_archived": True}).json()["is_archived"]
    assert say(cast, message, metric="safe", value=False).json()["code"] == "unknown_metric"
    assert say(cast, message, metric="safe", retract=True).status_code == 202
    assert Api(cast.key).get("/feedback/metrics/999").json()["code"] == "metric_not_found"


def test_administrators_declare_metrics_on_a_page(cast: Cast) -> None:
    client, page = Client(), "/admin/feedback/metric/"
    client.force_login(cast.cleo)
    said = {"title": "How exact", "key": "exact", "kind": "score", "low": 0, "high": 5, "is_higher_better": "on"}
    assert client.post(f"{page}add/", said).status_code == 302
    metric = Metric.objects.get(key="exact")
    assert "How exact" in client.get(page).content.decode()
    client.post(f"{page}{metric.pk}/change/", {**said, "high": 9, "is_archived": "on"})
    metric.refresh_from_db()
    assert (metric.high, metric.archived_at is not None) == (9, True)
    assert "above the lowest" in client.post(f"{page}add/", {**said, "key": "b", "high": -1}).content.decode()
    client.force_login(cast.ann)
    assert client.get(page).status_code == 403
