"""Collections over REST."""

from __future__ import annotations

from typing import Any

import pytest

from promptlab.accounts.models import Team
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_key, make_live, make_prompt

pytestmark = pytest.mark.django_db


@pytest.fixture
def emails(api: Api) -> int:
    pk: int = api.post("/collections/", {"name": "Emails", "description": "All we send"}).json()["id"]
    return pk


def test_a_collection_is_made_with_what_was_said(api: Api) -> None:
    answer = api.post("/collections", {"name": "  Emails ", "description": "All we send"})
    assert answer.status_code == 201
    assert answer.json()["name"] == "Emails"
    assert answer.json()["description"] == "All we send"
    assert answer.json()["created_at"]
    assert api.get(f"/api/v1/collections/{answer.json()['id']}/").json() == answer.json()


def test_collections_are_listed_by_name(api: Api, emails: int) -> None:
    api.post("/collections", {"name": "Ads"})
    listed = api.get("/collections").json()
    assert (listed["count"], [one["name"] for one in listed["results"]]) == (2, ["Ads", "Emails"])


def test_put_replaces_and_patch_changes(api: Api, emails: int) -> None:
    assert api.patch(f"/collections/{emails}", {"name": "Letters"}).json()["description"] == "All we send"
    answer = api.put(f"/collections/{emails}", {"name": "Mail"})
    assert (answer.json()["name"], answer.json()["description"]) == ("Mail", "")


def test_deleting_archives_the_collection_and_its_prompts_and_what_is_live_stays(api: Api, team: Team) -> None:
    emails = api.post("/collections", {"name": "Emails"}).json()["id"]
    api.post("/prompts", {"title": "Inside", "content": "x", "collection_id": emails})
    api.post("/prompts", {"title": "Outside", "content": "x"})
    api.post("/deployments", {"prompt_name": "inside", "environment": "production", "version": 1})
    answer = api.delete(f"/collections/{emails}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert api.get("/collections").json()["count"] == 0
    assert api.get(f"/collections/{emails}").status_code == 404
    assert [one["name"] for one in api.get("/prompts").json()["results"]] == ["outside"]
    assert api.get("/deployments").json()["results"][0]["version"] == 1
    assert api.delete(f"/collections/{emails}").status_code == 404


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": "   "}, {"name": "x" * 201}, {"name": None}, {"name": ["x"]}]
)
def test_a_wrong_name_is_named(api: Api, emails: int, body: dict[str, Any]) -> None:
    for answer in (api.post("/collections", body), api.put(f"/collections/{emails}", body)):
        assert answer.status_code == 400
        assert [error["field"] for error in answer.json()["errors"]] == ["name"]


@pytest.mark.parametrize("pk", ["0", "999999", "9" * 25, "9" * 5000])
def test_a_collection_nobody_has_is_a_404(api: Api, pk: str) -> None:
    for answer in (api.get(f"/collections/{pk}"), api.patch(f"/collections/{pk}", {"name": "x"})):
        assert (answer.status_code, answer.json()["code"]) == (404, "collection_not_found")


def test_another_team_sees_none_of_it(cast: Cast) -> None:
    mine = Api(cast.key).post("/collections", {"name": "Emails"}).json()["id"]
    stranger = Api(cast.stranger_key)
    assert stranger.get("/collections").json()["count"] == 0
    for answer in (
        stranger.get(f"/collections/{mine}"),
        stranger.put(f"/collections/{mine}", {"name": "x"}),
        stranger.delete(f"/collections/{mine}"),
    ):
        assert answer.status_code == 404


def test_a_reading_key_changes_nothing(team: Team, api: Api, emails: int) -> None:
    reader = Api(make_key(team, "read")[1])
    assert reader.get(f"/collections/{emails}").status_code == 200
    for answer in (
        reader.post("/collections", {"name": "x"}),
        reader.patch(f"/collections/{emails}", {"name": "x"}),
        reader.delete(f"/collections/{emails}"),
    ):
        assert (answer.status_code, answer.json()["data"]["needs"]) == (403, "prompt.write")


def test_somebody_in_two_teams_says_which(cast: Cast) -> None:
    from promptlab.accounts.models import Membership

    elsewhere = Team.objects.get(name="Elsewhere")
    Membership.objects.create(team=elsewhere, user=cast.ann, role="writer")
    api = Api()
    api.client.force_login(cast.ann)
    assert api.post("/collections", {"name": "x"}).json()["code"] == "team_needed"
    assert api.post("/collections", {"name": "x", "team_id": elsewhere.pk}).status_code == 201
    assert Api(cast.stranger_key).get("/collections").json()["count"] == 1


def test_a_prompt_keeps_serving_after_its_collection_went(api: Api, team: Team) -> None:
    prompt = make_prompt(team)
    make_live(prompt.newest)  # type: ignore[arg-type]
    emails = api.post("/collections", {"name": "Emails"}).json()["id"]
    api.patch(f"/prompts/{prompt.pk}", {"collection_id": emails})
    api.delete(f"/collections/{emails}")
    answer = api.post("/deployments/rollback", {"prompt_name": prompt.name, "environment": "production"})
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_roll_back")
