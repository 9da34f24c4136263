"""What is live, over REST."""

from __future__ import annotations

from typing import Any

import pytest

from promptlab.accounts.models import Team
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_key

pytestmark = pytest.mark.django_db
PRODUCTION = {"prompt_name": "greeting", "environment": "production"}


@pytest.fixture(autouse=True)
def greeting(api: Api) -> None:
    api.post("/prompts", {"title": "Greeting", "content": "Hello {{name}}.", "version_string": "v1.0.0"})
    api.post("/prompts/greeting/versions", {"content": "Hi {{name}}.", "version_string": "v1.1.0"})
    api.post("/prompts/greeting/versions", {"content": "Hey {{first}}."})


def live(api: Api) -> dict[str, int]:
    found: dict[str, int] = api.get("/prompts/greeting").json()["live"]
    return found


def test_putting_live_is_a_201_with_the_move(api: Api) -> None:
    answer = api.post("/deployments/", {**PRODUCTION, "version_string": "v1.1.0", "note": "Friendlier"})
    assert answer.status_code == 201
    move = answer.json()
    assert move.pop("contract") is None, "Nothing was live before."
    assert {name: move[name] for name in move if name not in ("id", "deployed_at")} == {
        "prompt_name": "greeting",
        "environment": "production",
        "kind": "deploy",
        "version": 2,
        "version_string": "v1.1.0",
        "previous_version": None,
        "revision": 1,
        "note": "Friendlier",
        "actor": "tests (key)",
    }
    assert live(api) == {"production": 2}
    assert api.get(f"/api/v1/deployments/{move['id']}").json() == move


def test_the_same_again_is_a_200_and_moves_nothing(api: Api) -> None:
    first = api.post("/deployments", {**PRODUCTION, "version": 1})
    again = api.post("/deployments", {**PRODUCTION, "version_string": "v1.0.0"})
    assert (again.status_code, again.json()) == (200, first.json())
    assert api.get("/deployments").json()["count"] == 1


def test_a_version_string_that_looks_like_a_number_means_the_version_that_has_it(api: Api) -> None:
    """Somebody calls version 4 "2": asked for by that name, it is not version 2 that goes live."""
    for name in ("2", "v3"):
        made = api.post(
            "/prompts/greeting/versions", {"content": f"{name} {{{{name}}}}", "version_string": name}
        ).json()
        move = api.post("/deployments", {**PRODUCTION, "version_string": name, "confirm": True}).json()
        assert move["version"] == made["number"]
    assert api.post("/deployments", {**PRODUCTION, "version": 2}).json()["version"] == 2


def test_a_number_is_found_by_its_version_string_too_when_nobody_has_that_name(api: Api) -> None:
    assert api.post("/deployments", {**PRODUCTION, "version_string": "v2"}).json()["version"] == 2
    assert api.post("/deployments", {**PRODUCTION, "version_string": "1"}).json()["version"] == 1


def test_other_variables_are_a_409_with_the_list_until_confirmed(api: Api) -> None:
    api.post("/deployments", {**PRODUCTION, "version": 1})
    answer = api.post("/deployments", {**PRODUCTION, "version": 3})
    assert (answer.status_code, answer.json()["code"]) == (409, "variables_changed")
    assert (answer.json()["data"]["added"], answer.json()["data"]["removed"]) == (["first"], ["name"])
    assert live(api) == {"production": 1}
    assert api.post("/deployments", {**PRODUCTION, "version": 3, "confirm": True}).status_code == 201


def test_going_back_is_a_201_and_again_goes_further(api: Api) -> None:
    for version in (1, 2, 3):
        api.post("/deployments", {**PRODUCTION, "version": version, "confirm": True})
    answer = api.post("/deployments/rollback/", {**PRODUCTION, "note": "Too short"})
    assert (answer.status_code, answer.json()["version"], answer.json()["previous_version"]) == (201, 2, 3)
    assert (answer.json()["kind"], answer.json()["note"]) == ("rollback", "Too short")
    assert api.post("/deployments/rollback", PRODUCTION).json()["version"] == 1
    refused = api.post("/deployments/rollback", PRODUCTION)
    assert (refused.status_code, refused.json()["code"]) == (409, "nothing_to_roll_back")
    api.post("/deployments", {**PRODUCTION, "version": 3, "confirm": True})
    assert api.post("/deployments/rollback", PRODUCTION).json()["version"] == 1
    assert [move["revision"] for move in api.get("/deployments").json()["results"]] == [7, 6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"prompt_name": "nobody"}, 404, "prompt_not_found"),
        ({"environment": "moon"}, 404, "environment_not_found"),
        ({"version": 9}, 404, "version_not_found"),
        ({"version": 10**30}, 404, "version_not_found"),
        ({"version": 0}, 400, "invalid"),
        ({"version": "two"}, 400, "invalid"),
        ({"version": None}, 400, "invalid"),
        ({"version": [1]}, 400, "invalid"),
        ({"version_string": "v1.0.0"}, 400, "required"),
        ({"environment": "x" * 37}, 400, "invalid"),
        ({"prompt_name": ""}, 400, "invalid"),
        ({"prompt_name": ["greeting"]}, 400, "invalid"),
        ({"note": "x" * 501}, 400, "invalid"),
        ({"confirm": "perhaps"}, 400, "invalid"),
        ({"team_id": 10**30}, 404, "prompt_not_found"),
        ({"team_id": -1}, 404, "prompt_not_found"),
        ({"team_id": "mine"}, 400, "invalid"),
    ],
)
def test_what_cannot_be_put_live_says_why(api: Api, changes: dict[str, Any], status: int, code: str) -> None:
    answer = api.post("/deployments", {**PRODUCTION, "version": 1, **changes})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert live(api) == {}


def test_the_version_has_to_be_named(api: Api) -> None:
    answer = api.post("/deployments", PRODUCTION)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "version")


def test_going_back_where_nothing_was_is_a_404(api: Api) -> None:
    answer = api.post("/deployments/rollback", PRODUCTION)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_deployed")


@pytest.mark.parametrize("pk", ["0", "999999", "9" * 25, "9" * 5000])
def test_a_move_nobody_made_is_a_404(api: Api, pk: str) -> None:
    assert api.get(f"/deployments/{pk}").status_code == 404


def test_environments_are_listed_with_their_revisions(api: Api) -> None:
    api.post("/deployments", {**PRODUCTION, "version": 1})
    listed = api.get("/environments").json()
    assert [(one["name"], one["revision"]) for one in listed] == [("development", 0), ("staging", 0), ("production", 1)]


def test_writing_keys_move_nothing_and_deploying_keys_do(team: Team) -> None:
    writer, deployer = (Api(make_key(team, scope)[1]) for scope in ("write", "deploy"))
    body = {**PRODUCTION, "version": 1}
    answer = writer.post("/deployments", body)
    assert (answer.status_code, answer.json()["data"]["needs"]) == (403, "prompt.deploy")
    assert deployer.post("/deployments", body).status_code == 201
    assert writer.post("/deployments/rollback", PRODUCTION).status_code == 403


def test_a_key_of_one_environment_is_refused_elsewhere_by_name(team: Team) -> None:
    api = Api(make_key(team, "deploy", environments=["staging"])[1])
    answer = api.post("/deployments", {**PRODUCTION, "version": 1})
    assert (answer.status_code, answer.json()["code"]) == (403, "environment_not_allowed")
    assert api.post("/deployments", {**PRODUCTION, "environment": "staging", "version": 1}).status_code == 201


def test_another_team_can_neither_move_nor_see(cast: Cast, api: Api) -> None:
    move = api.post("/deployments", {**PRODUCTION, "version": 1}).json()
    stranger = Api(cast.stranger_key)
    assert stranger.post("/deployments", {**PRODUCTION, "version": 1}).status_code == 404
    assert stranger.post("/deployments/rollback", PRODUCTION).status_code == 404
    assert stranger.get(f"/deployments/{move['id']}").status_code == 404
    assert stranger.get("/deployments").json()["count"] == 0
