"""Comments on prompts, versions and lines, with answers and mentions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from prompts.models import Mention
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_key, make_prompt

pytestmark = pytest.mark.django_db
PATH = "/prompts/greeting/comments"


@pytest.fixture(autouse=True)
def greeting(cast: Cast) -> None:
    make_prompt(cast.team, "Hello {{name}}.\nBye.", title="Greeting")


def person(user: Any) -> Api:
    api = Api()
    api.client.force_login(user)
    return api


def test_on_a_prompt_a_version_and_a_line(cast: Cast) -> None:
    ann = person(cast.ann)
    for body in ({}, {"version": 1}, {"version": 1, "line": 2}):
        made = ann.post(f"{PATH}/", {"text": "Too cold?", **body})
        assert made.status_code == 201, made.content
        assert (made.json()["version"], made.json()["line"]) == (body.get("version"), body.get("line"))
    assert ann.get(PATH).json()["count"] == 3
    assert ann.get(f"{PATH}?version=1").json()["count"] == 2


def test_what_cannot_be_commented_on_is_named(cast: Cast) -> None:
    ann = person(cast.ann)
    for body, field in (
        ({"text": "x", "version": 1, "line": 3}, "line"),
        ({"text": "x", "line": 1}, "version"),
        ({"text": "  "}, "text"),
        ({}, "text"),
    ):
        answer = ann.post(PATH, body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field), body
    assert ann.post(PATH, {"text": "x", "version": 9}).json()["code"] == "version_not_found"


def test_people_of_the_team_are_mentioned_and_nobody_else(cast: Cast) -> None:
    text = "@ben and @cleo. Not @zoe, @nobody or ann@vic.example; @ben again."
    made = person(cast.ann).post(PATH, {"text": text}).json()
    assert made["mentions"] == ["ben", "cleo"]
    changed = person(cast.ann).patch(f"/comments/{made['id']}", {"text": "Only @ben."}).json()
    assert changed["mentions"] == ["ben"]
    assert Mention.objects.count() == 1


def test_own_words_can_be_changed_for_a_quarter_of_an_hour(cast: Cast) -> None:
    ann = person(cast.ann)
    pk = ann.post(PATH, {"text": "Frist"}).json()["id"]
    assert ann.patch(f"/comments/{pk}/", {"text": "First"}).json()["text"] == "First"
    assert person(cast.ben).patch(f"/comments/{pk}", {"text": "Mine"}).json()["code"] == "not_your_comment"
    with time_machine.travel(timezone.now() + timedelta(minutes=16)):
        assert ann.patch(f"/comments/{pk}", {"text": "Second"}).json()["code"] == "too_late_to_edit"


def test_a_thread_is_answered_settled_and_opened_again(cast: Cast) -> None:
    ann, ben = person(cast.ann), person(cast.ben)
    first = ann.post(PATH, {"text": "Why?", "version": 1, "line": 1}).json()["id"]
    answer = ben.post(f"/comments/{first}", {"text": "Because."})
    assert (answer.status_code, answer.json()["parent_id"], answer.json()["line"]) == (201, first, 1)
    deeper = ann.post(f"/comments/{answer.json()['id']}", {"text": "I see."}).json()
    assert deeper["parent_id"] == first
    settled = ben.patch(f"/comments/{deeper['id']}", {"resolved": True}).json()
    assert (settled["id"], settled["resolved_by"]) == (first, "ben")
    assert ben.get(f"{PATH}?resolved=true").json()["count"] == 1
    assert ben.patch(f"/comments/{first}", {"resolved": False}).json()["resolved_at"] is None
    assert ben.patch(f"/comments/{first}", {}).status_code == 400


def test_who_may_comment(cast: Cast) -> None:
    pk = Api(cast.key).post(PATH, {"text": "From a program."}).json()["id"]
    assert Api(make_key(cast.team, "read")[1]).post(PATH, {"text": "x"}).status_code == 403
    assert person(cast.vic).post(PATH, {"text": "x"}).status_code == 403
    assert Api().post(PATH, {"text": "x"}).status_code == 401
    stranger = Api(cast.stranger_key)
    assert stranger.get(PATH).status_code == 404
    assert stranger.patch(f"/comments/{pk}", {"resolved": True}).json()["code"] == "comment_not_found"


def test_the_same_words_at_once_are_one_comment_and_later_another(cast: Cast) -> None:
    ann = person(cast.ann)
    first, second = (ann.post(PATH, {"text": "Why?"}).json()["id"] for _ in range(2))
    assert first == second
    elsewhere = ann.post(PATH, {"text": "Why?", "version": 1}).json()["id"]
    others = person(cast.ben).post(PATH, {"text": "Why?"}).json()["id"]
    with time_machine.travel(timezone.now() + timedelta(minutes=2), tick=False):
        later = ann.post(PATH, {"text": "Why?"}).json()["id"]
    assert len({first, elsewhere, others, later}) == 4
