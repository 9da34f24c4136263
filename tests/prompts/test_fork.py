"""A copy of a version as a prompt of its own, which remembers where it came from."""

from __future__ import annotations

from typing import Any

import pytest

from prompts.models import Collection, Prompt, Version
from prompts.services import collecting
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_live, make_prompt, make_version

pytestmark = pytest.mark.django_db
FORK = "/prompts/greeting/versions/1/fork"


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    owner = cast.principal(cast.ann)
    collection = collecting.create_collection(owner, cast.team.pk, name="Emails")
    made = make_prompt(
        cast.team,
        "Hello {{name}}.",
        title="Greeting",
        model="gpt-4o",
        parameters={"temperature": 0},
        description="For mails",
        tags=["mail"],
        collection=collection,
    )
    make_version(made, "Other {{name}}.")
    make_live(Version.objects.select_related("prompt").get(prompt=made, number=1))
    return made


def test_a_copy_says_the_same_and_where_it_came_from(cast: Cast, prompt: Prompt) -> None:
    api = Api()
    api.client.force_login(cast.ann)
    answer = api.post(f"/api/v1{FORK}/", {"title": "Letter"})
    made = answer.json()
    assert answer.status_code == 201, answer.content
    assert answer.headers["Location"] == f"/api/v1/prompts/{made['id']}"
    assert (made["name"], made["version"], made["content"], made["live"]) == ("letter", 1, "Hello {{name}}.", {})
    assert made["forked_from"] == {"name": "greeting", "version": 1}
    assert (made["description"], made["tags"]) == ("For mails", ["mail"])
    assert made["collection_id"] == prompt.collection_id
    first = made["latest_version"]
    source = api.get("/prompts/greeting/versions/1").json()
    same = ("content", "messages", "model", "parameters", "variables", "sha256")
    assert {key: first[key] for key in same} == {key: source[key] for key in same}
    assert first["message"] == "Copied from greeting version 1"
    assert first["author"] == "Ann"
    assert api.get("/prompts/greeting").json()["forked_from"] is None


def test_the_copy_and_the_original_go_their_own_ways(cast: Cast, prompt: Prompt) -> None:
    api = Api(cast.key)
    api.post(FORK, {"title": "Letter", "name": "a-letter"})
    assert api.post("/prompts/a-letter/versions", {"content": "New {{name}}."}).json()["number"] == 2
    assert api.get("/prompts/greeting").json()["version"] == 2
    copy_of_a_copy = api.post("/prompts/a-letter/versions/latest/fork", {"title": "Third"}).json()
    assert copy_of_a_copy["forked_from"] == {"name": "a-letter", "version": 2}
    again = api.post(FORK, {"title": "Letter"}).json()
    assert again["name"] == "letter"


def test_an_archived_collection_takes_no_copies(cast: Cast, prompt: Prompt) -> None:
    assert prompt.collection is not None
    Collection.objects.filter(pk=prompt.collection.pk).update(archived_at=prompt.created_at)
    assert Api(cast.key).post(FORK, {"title": "Letter"}).json()["collection_id"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "title"),
        ({"title": " "}, "title"),
        ({"title": "t" * 201}, "title"),
        ({"title": "Letter", "name": "has space"}, "name"),
        ({"title": "Letter", "name": ["x"]}, "name"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_made(
    cast: Cast, prompt: Prompt, body: dict[str, Any], field: str
) -> None:
    answer = Api(cast.key).post(FORK, body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)
    assert Prompt.objects.count() == 1


def test_a_taken_name_and_a_missing_version_are_told(cast: Cast, prompt: Prompt) -> None:
    api = Api(cast.key)
    taken = api.post(FORK, {"title": "Letter", "name": "greeting"})
    assert (taken.status_code, taken.json()["code"]) == (409, "name_taken")
    missing = api.post("/prompts/greeting/versions/9/fork", {"title": "Letter"})
    assert (missing.status_code, missing.json()["code"]) == (404, "version_not_found")


def test_who_may_not_write_copies_nothing(cast: Cast, prompt: Prompt) -> None:
    assert Api(cast.read_key).post(FORK, {"title": "Letter"}).status_code == 403
    assert Api(cast.stranger_key).post(FORK, {"title": "Letter"}).status_code == 404
    assert Api().post(FORK, {"title": "Letter"}).status_code == 401
