"""Promoting, going back to any earlier deployment, and stopping, over REST."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_key

pytestmark = pytest.mark.django_db
THERE = {"prompt_name": "greeting", "environment": "production", "confirm": True}
UP = {"prompt_name": "greeting", "from_environment": "staging", "to_environment": "production"}


@pytest.fixture(autouse=True)
def greeting(cast: Cast) -> Api:
    api = Api(cast.key)
    api.post("/prompts", {"title": "Greeting", "content": "One {{name}}."})
    for text in ("Two", "Three", "Four"):
        api.post("/prompts/greeting/versions", {"content": f"{text} {{{{name}}}}."})
    return api


def live(api: Api) -> dict[str, int]:
    found: dict[str, int] = api.get("/prompts/greeting").json()["live"]
    return found


def walk(api: Api, *versions: int) -> list[dict[str, Any]]:
    return [api.post("/deployments", {**THERE, "version": number}).json() for number in versions]


def test_promoting_makes_live_what_is_live_there(greeting: Api) -> None:
    assert greeting.post("/deployments/promote", UP).json()["code"] == "not_deployed"
    greeting.post("/deployments", {**THERE, "environment": "staging", "version": 2})
    moved = greeting.post("/deployments/promote/", {**UP, "note": "Tested"})
    assert (moved.status_code, moved.json()["version"], moved.json()["note"]) == (201, 2, "Tested")
    assert live(greeting) == {"staging": 2, "production": 2}
    assert greeting.post("/deployments/promote", UP).status_code == 200


def test_promoting_is_refused_like_deploying(cast: Cast, greeting: Api) -> None:
    greeting.post("/deployments", {**THERE, "environment": "staging", "version": 2})
    assert Api(make_key(cast.team, "read")[1]).post("/deployments/promote", UP).status_code == 403
    assert Api(cast.stranger_key).post("/deployments/promote", UP).status_code == 404
    same = greeting.post("/deployments/promote", {**UP, "to_environment": "staging"})
    assert (same.status_code, same.json()["errors"][0]["field"]) == (400, "to_environment")
    assert greeting.post("/deployments/promote", {"prompt_name": "greeting"}).status_code == 400
    greeting.post("/prompts/greeting/versions", {"content": "Five {{first}}."})
    greeting.post("/deployments/promote", UP)
    greeting.post("/deployments", {**THERE, "environment": "staging", "version": 5})
    assert greeting.post("/deployments/promote", UP).json()["code"] == "variables_changed"
    assert greeting.post("/deployments/promote", {**UP, "confirm": True}).status_code == 201


def test_going_back_to_any_earlier_version_in_one_call(greeting: Api) -> None:
    walk(greeting, 1, 2, 3, 4)
    back = greeting.post("/deployments/rollback", {**THERE, "version": 2})
    assert (back.status_code, back.json()["version"], back.json()["kind"]) == (201, 2, "rollback")
    assert greeting.post("/deployments/rollback", THERE).json()["version"] == 1


def test_going_back_to_any_earlier_move_in_one_call(greeting: Api) -> None:
    moves = walk(greeting, 1, 2, 3)
    back = greeting.post("/deployments/rollback", {**THERE, "deployment_id": moves[0]["id"]})
    assert (back.status_code, back.json()["version"]) == (201, 1)
    assert greeting.post("/deployments/rollback", THERE).json()["code"] == "nothing_to_roll_back"


def test_going_back_to_what_never_was_is_refused(greeting: Api) -> None:
    elsewhere = greeting.post("/deployments", {**THERE, "environment": "staging", "version": 4}).json()["id"]
    walk(greeting, 1, 2)
    for wanted, code in (
        ({"version": 3}, "never_live"),
        ({"deployment_id": elsewhere}, "never_live"),
        ({"version": 2}, "live_already"),
        ({"deployment_id": 999_999}, "deployment_not_found"),
        ({"deployment_id": 1, "version": 1}, "invalid"),
    ):
        assert greeting.post("/deployments/rollback", {**THERE, **wanted}).json()["code"] == code, wanted
    assert live(greeting)["production"] == 2


def test_stopping_over_rest(cast: Cast, greeting: Api) -> None:
    walk(greeting, 1)
    assert Api(make_key(cast.team, "read")[1]).post("/deployments/undeploy", THERE).status_code == 403
    stopped = greeting.post("/deployments/undeploy/", {**THERE, "note": "Wrong"})
    assert (stopped.status_code, stopped.json()["version"], live(greeting)) == (201, None, {})
    assert greeting.post("/deployments/undeploy", THERE).json()["code"] == "not_deployed"
