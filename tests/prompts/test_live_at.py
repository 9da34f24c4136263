"""What was live at a moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from tests.support.api import Api
from tests.support.cast import Cast

pytestmark = pytest.mark.django_db
THERE = {"prompt_name": "greeting", "environment": "production"}
NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)


def at(api: Api, minutes: int) -> object:
    moment = (NOON + timedelta(minutes=minutes)).isoformat().replace("+", "%2B")
    answer = api.get(f"/prompts/greeting/live?environment=production&at={moment}")
    return answer.json()["version"] if answer.status_code == 200 else answer.json()["code"]


def test_the_history_answers_for_every_moment(cast: Cast) -> None:
    api = Api(cast.key)
    api.post("/prompts", {"title": "Greeting", "content": "One."})
    api.post("/prompts/greeting/versions", {"content": "Two."})
    for minutes, path, body in (
        (0, "/deployments", {"version": 1}),
        (10, "/deployments", {"version": 2}),
        (20, "/deployments/rollback", {}),
        (30, "/deployments/undeploy", {}),
    ):
        with time_machine.travel(NOON + timedelta(minutes=minutes), tick=False):
            assert api.post(path, {**THERE, **body}).status_code == 201
    assert [at(api, minutes) for minutes in (-1, 0, 5, 10, 15, 25, 30, 99)] == [
        "not_deployed", 1, 1, 2, 2, 1, "not_deployed", "not_deployed",
    ]  # fmt: skip


def test_without_a_moment_it_is_now_and_wrong_ones_are_refused(cast: Cast) -> None:
    api = Api(cast.key)
    api.post("/prompts", {"title": "Greeting", "content": "One."})
    api.post("/deployments", {**THERE, "version": 1})
    assert api.get("/prompts/greeting/live/?environment=production").json()["version"] == 1
    assert api.get("/prompts/greeting/live").json()["errors"][0]["field"] == "environment"
    naive = api.get("/prompts/greeting/live?environment=production&at=2030-01-31T12:00:00")
    assert (naive.status_code, naive.json()["errors"][0]["field"]) == (400, "at")
    assert api.get("/prompts/greeting/live?environment=nowhere").json()["code"] == "environment_not_found"
    assert Api(cast.stranger_key).get("/prompts/greeting/live?environment=production").status_code == 404
