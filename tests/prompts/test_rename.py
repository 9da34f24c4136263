"""Short names: free until something was live, by alias from then on."""

from __future__ import annotations

from typing import Any

import pytest

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.auth import principal_of_user
from promptlab.accounts.models import Team
from prompts import resolve
from prompts.errors import NameTaken, PromptArchived
from prompts.models import Prompt, PromptAlias, Version
from prompts.services import authoring, naming
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_admin, make_key, make_live, make_prompt

pytestmark = pytest.mark.django_db
RENAME = "/prompts/greeting/rename"


@pytest.fixture
def prompt(team: Team) -> Prompt:
    return make_prompt(team, "Hello {{name}}.", title="Greeting")


@pytest.fixture
def live(prompt: Prompt) -> Prompt:
    make_live(Version.objects.select_related("prompt").get(prompt=prompt))
    return prompt


def test_before_anything_was_live_the_name_simply_changes(api: Api, prompt: Prompt) -> None:
    read = api.get("/prompts/greeting").headers["ETag"]
    answer = api.post(f"/api/v1{RENAME}/", {"name": "welcome"})
    assert (answer.status_code, answer.json()["name"]) == (200, "welcome")
    assert answer.headers["ETag"] != read
    assert api.get("/prompts/greeting").status_code == 404
    assert PromptAlias.objects.count() == 0
    assert api.post("/prompts", {"title": "Greeting", "content": "x"}).json()["name"] == "greeting"


def test_afterwards_the_old_name_keeps_working_and_says_so(api: Api, live: Prompt) -> None:
    assert api.post(RENAME, {"name": "welcome"}).json()["live"] == {"production": 1}
    fresh, former = api.get("/prompts/welcome"), api.get("/prompts/greeting/")
    assert fresh.json() == former.json()
    assert "Deprecation" not in fresh.headers
    alias = PromptAlias.objects.get()
    assert former.headers["Deprecation"] == f"@{int(alias.created_at.timestamp())}"
    assert former.headers["Link"] == '</api/v1/prompts/welcome>; rel="successor-version"'
    assert api.get("/prompts/greeting/versions/1").status_code == 200
    assert api.post("/prompts/greeting/versions", {"content": "New {{name}}."}).json()["number"] == 2
    moved = api.post("/deployments", {"prompt_name": "greeting", "environment": "staging", "version": 2})
    assert (moved.status_code, moved.json()["prompt_name"]) == (201, "welcome")


def test_a_name_can_move_on_and_come_back(api: Api, live: Prompt) -> None:
    for name in ("welcome", "salute"):
        assert api.post(RENAME, {"name": name}).status_code == 200
    assert {alias.name for alias in PromptAlias.objects.all()} == {"greeting", "welcome"}
    assert api.get("/prompts/welcome").json()["name"] == "salute"
    assert api.post("/prompts/welcome/rename", {"name": "greeting"}).json()["name"] == "greeting"
    assert {alias.name for alias in PromptAlias.objects.all()} == {"welcome", "salute"}
    assert "Deprecation" not in api.get("/prompts/greeting").headers


def test_the_same_name_again_changes_nothing(api: Api, live: Prompt) -> None:
    first = api.post(RENAME, {"name": "greeting"})
    assert (first.status_code, first.headers["ETag"]) == (200, live.etag)
    assert PromptAlias.objects.count() == 0


def test_a_name_that_somebody_has_or_had_is_taken(api: Api, live: Prompt, team: Team) -> None:
    make_prompt(team, title="Other")
    api.post(RENAME, {"name": "welcome"})
    for answer in (
        api.post("/prompts/other/rename", {"name": "welcome"}),
        api.post("/prompts/other/rename", {"name": "greeting"}),
        api.post("/prompts", {"title": "x", "content": "y", "name": "greeting"}),
        api.post("/prompts/other/versions/1/fork", {"title": "x", "name": "greeting"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "name_taken"), answer.content
    assert api.post("/prompts", {"title": "Greeting", "content": "y"}).json()["name"] == "greeting-2"
    assert api.get("/prompts/greeting").json()["name"] == "welcome"


def test_another_team_s_names_are_nobody_s_business(cast: Cast) -> None:
    ours = make_prompt(cast.team, title="Greeting")
    make_live(Version.objects.select_related("prompt").get(prompt=ours))
    Api(cast.key).post(RENAME, {"name": "welcome"})
    stranger = Api(cast.stranger_key)
    assert stranger.get("/prompts/greeting").status_code == 404
    made = stranger.post("/prompts", {"title": "Greeting", "content": "x"}).json()
    assert made["name"] == "greeting"
    assert stranger.post(RENAME, {"name": "welcome"}).status_code == 200


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": "has space"}, {"name": "12"}, {"name": "a@b"}, {"name": 1.5e400}]
)
def test_a_name_that_cannot_be_asked_for_is_refused(api: Api, prompt: Prompt, body: dict[str, Any]) -> None:
    answer = api.post(RENAME, body)
    assert answer.status_code == 400
    assert api.get("/prompts/greeting").status_code == 200


def test_who_may_not_write_renames_nothing(cast: Cast) -> None:
    make_prompt(cast.team, title="Greeting")
    for key, status in ((cast.read_key, 403), (cast.stranger_key, 404), ("", 401)):
        assert Api(key).post(RENAME, {"name": "welcome"}).status_code == status
    assert Api(make_key(cast.team, "write")[1]).post(RENAME, {"name": "welcome"}).status_code == 200


def test_an_archived_prompt_keeps_its_name(prompt: Prompt, cast: Cast) -> None:
    made = make_prompt(cast.team, title="Greeting")
    cleo = cast.principal(cast.cleo)
    authoring.archive_prompt(cleo, made)
    with pytest.raises(PromptArchived):
        naming.rename_prompt(cleo, made, "welcome")


def test_a_refused_name_leaves_everything_as_it_was(live: Prompt, team: Team, cast: Cast) -> None:
    other = make_prompt(team, title="Other")
    with pytest.raises(NameTaken):
        naming.rename_prompt(SYSTEM, live, other.name)
    assert Prompt.objects.get(pk=live.pk).name == "greeting"


def test_reads_find_a_prompt_under_a_name_it_had(live: Prompt, statements: list[str]) -> None:
    naming.rename_prompt(SYSTEM, live, "welcome")
    admin = principal_of_user(make_admin(live.team))
    statements.clear()
    for name, cost in (("welcome", 1), ("greeting", 3)):
        statements.clear()
        assert resolve.prompt_named(live.team_id, name) == live
        assert resolve.prompt_for(admin, name) == live
        assert len(statements) == 2 * cost
        statements.clear()
        assert resolve.live_version(live.team_id, name, "production").prompt_id == live.pk
        assert len(statements) == cost
    assert resolve.renamed_at(live.team_id, "welcome") is None
