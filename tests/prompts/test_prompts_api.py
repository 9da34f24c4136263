"""Prompts over REST: make, read, change, archive."""

from __future__ import annotations

from typing import Any

import pytest

from promptlab.accounts.models import Team
from prompts.models import Prompt
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_prompt

pytestmark = pytest.mark.django_db
SUMMARY = "Summarize this email in one sentence:\n\n{{email_content}}"


@pytest.fixture
def email(api: Api) -> dict[str, Any]:
    answer = api.post("/prompts/", {"title": "Email summary", "content": SUMMARY})
    assert answer.status_code == 201, answer.content
    found: dict[str, Any] = answer.json()
    return found


def test_a_prompt_is_made_with_its_version_1(api: Api) -> None:
    collection = api.post("/collections", {"name": "Emails"}).json()["id"]
    body = {
        "title": "Email summary",
        "content": SUMMARY,
        "description": "For the inbox",
        "collection_id": collection,
        "tags": ["email", "short"],
        "model_type": "chat",
        "version_string": "v1.0.0",
        "message": "First",
    }
    answer = api.post("/prompts", body)
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/api/v1/prompts/{made['id']}"
    assert {key: made[key] for key in body if key not in ("message",)} == {
        key: body[key] for key in body if key != "message"
    }
    assert (made["name"], made["type"], made["version"], made["live"]) == ("email-summary", "text", 1, {})
    assert made["variables"] == {"email_content": {"type": "string", "required": True}}
    assert made["latest_version"]["number"] == 1
    assert made["latest_version"]["message"] == "First"
    assert made["latest_version"]["author"] == "tests (key)"
    assert len(made["latest_version"]["sha256"]) == 64
    assert made["created_at"] and made["updated_at"]


def test_it_is_found_by_id_and_by_name_with_and_without_slash_and_prefix(api: Api, email: dict[str, Any]) -> None:
    for path in ("/prompts/email-summary", f"/prompts/{email['id']}/", f"/api/v1/prompts/{email['id']}"):
        assert api.get(path).json() == email


def test_making_a_prompt_puts_nothing_live(api: Api, email: dict[str, Any]) -> None:
    assert api.get("/deployments").json()["count"] == 0


@pytest.mark.parametrize("collection_id", [99, 0, -1, 10**30])
def test_a_collection_that_is_not_there_is_told_in_these_words(
    api: Api, email: dict[str, Any], collection_id: int
) -> None:
    body = {"title": "x", "content": "y", "collection_id": collection_id}
    for answer in (
        api.post("/prompts", body),
        api.put(f"/prompts/{email['id']}", body),
        api.patch(f"/prompts/{email['id']}", {"collection_id": collection_id}),
    ):
        assert answer.status_code == 400
        assert answer.json()["detail"] == "Collection not found"
        assert answer.json()["errors"][0]["field"] == "collection_id"


def test_a_collection_of_another_team_is_not_there(cast: Cast) -> None:
    theirs = Api(cast.stranger_key).post("/collections", {"name": "Theirs"}).json()["id"]
    answer = Api(cast.key).post("/prompts", {"title": "x", "content": "y", "collection_id": theirs})
    assert (answer.status_code, answer.json()["detail"]) == (400, "Collection not found")


@pytest.mark.parametrize("reference", ["nobody", "999999", "9" * 25, "9" * 5000, "é", "x" * 400, "-1"])
def test_a_prompt_nobody_has_is_a_404(api: Api, reference: str) -> None:
    for answer in (
        api.get(f"/prompts/{reference}"),
        api.patch(f"/prompts/{reference}", {"title": "x"}),
        api.delete(f"/prompts/{reference}"),
        api.get(f"/prompts/{reference}/versions"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "prompt_not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"content": "x"}, "title"),
        ({"title": "   ", "content": "x"}, "title"),
        ({"title": "x" * 201, "content": "x"}, "title"),
        ({"title": "x"}, "content"),
        ({"title": "x", "content": ""}, "content"),
        ({"title": "x", "content": "y" * 1_000_001}, "content"),
        ({"title": "x", "content": ["y"]}, "content"),
        ({"title": "x", "content": "y", "name": "has space"}, "name"),
        ({"title": "x", "content": "y", "name": "12"}, "name"),
        ({"title": "x", "content": "y", "name": "a@b"}, "name"),
        ({"title": "x", "content": "y", "name": "a/b"}, "name"),
        ({"title": "x", "content": "y", "tags": "email"}, "tags"),
        ({"title": "x", "content": "y", "tags": ["t" * 51]}, "tags"),
        ({"title": "x", "content": "y", "tags": [1, {"a": 2}]}, "tags"),
        ({"title": "x", "content": "y", "type": "image"}, "type"),
        ({"title": "x", "content": "y", "type": "chat"}, "type"),
        ({"title": "x", "content": "y", "collection_id": "emails"}, "collection_id"),
        ({"title": "x", "content": "y", "parameters": [1]}, "parameters"),
        ({"title": "x", "content": "y", "variables": {"y": "text"}}, "variables"),
        ({"title": "x", "content": "y", "version_string": "v" * 101}, "version_string"),
        ({"title": "x", "content": "y", "messages": [{"role": "user", "content": "z"}]}, "messages"),
        ({"title": "x", "messages": [{"role": "king", "content": "z"}]}, "messages"),
        ({"title": "x", "messages": [{"role": "user"}]}, "messages"),
        ({"title": "x", "messages": {"role": "user", "content": "z"}}, "messages"),
        ({"title": "x", "messages": [{"placeholder": "not a name"}]}, "messages"),
        ({"title": "x", "messages": [{"role": "user", "content": "z"}] * 101}, "messages"),
        ({"title": "x", "content": "Hi {{name}"}, "content"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_made(api: Api, body: dict[str, Any], field: str) -> None:
    answer = api.post("/prompts", body)
    assert answer.status_code == 400, answer.content
    assert field in {error["field"].split(".")[0] for error in answer.json()["errors"]}
    assert Prompt.objects.count() == 0


def test_a_name_that_is_taken_is_a_409_and_one_that_is_made_gets_a_number(api: Api, email: dict[str, Any]) -> None:
    again = api.post("/prompts", {"title": "Other", "name": "email-summary", "content": "x"})
    assert (again.status_code, again.json()["code"]) == (409, "name_taken")
    names = [api.post("/prompts", {"title": "Email summary", "content": "x"}).json()["name"] for _ in range(2)]
    assert names == ["email-summary-2", "email-summary-3"]


@pytest.mark.parametrize(
    ("title", "name"), [("要約", "prompt"), ("2024", "prompt-2024"), ("¡Hola, señor!", "hola-senor")]
)
def test_any_title_gives_a_name_that_can_be_asked_for(api: Api, title: str, name: str) -> None:
    assert api.post("/prompts", {"title": title, "content": "x"}).json()["name"] == name
    assert api.get(f"/prompts/{name}").json()["title"] == title


def test_the_name_of_an_archived_prompt_stays_taken(api: Api, email: dict[str, Any]) -> None:
    api.delete(f"/prompts/{email['id']}")
    assert api.post("/prompts", {"title": "x", "name": "email-summary", "content": "x"}).status_code == 409


def test_two_teams_may_use_one_name(cast: Cast) -> None:
    for key in (cast.key, cast.stranger_key):
        assert Api(key).post("/prompts", {"title": "x", "name": "greeting", "content": "x"}).status_code == 201


@pytest.mark.parametrize("path", ["/prompts/%00", "/prompts/a%00b/versions/1", "/prompts/x/versions/a%00b", "/%00"])
def test_an_address_with_a_nul_in_it_is_refused(api: Api, path: str) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_text")


# Changing


def test_put_replaces_everything_and_changed_content_makes_a_version(api: Api) -> None:
    collection = api.post("/collections", {"name": "Emails"}).json()["id"]
    body = {"title": "A", "content": "one {{x}}", "description": "d", "tags": ["t"], "collection_id": collection}
    made = api.post("/prompts", body).json()
    answer = api.put(f"/prompts/{made['id']}", {"title": "B", "content": "two {{x}}"})
    changed = answer.json()
    assert answer.status_code == 200
    assert (changed["title"], changed["content"], changed["version"]) == ("B", "two {{x}}", 2)
    assert (changed["description"], changed["tags"], changed["collection_id"]) == ("", [], None)
    assert changed["name"] == made["name"]
    assert changed["updated_at"] > made["updated_at"]


def test_put_of_the_same_content_makes_no_version(api: Api, email: dict[str, Any]) -> None:
    answer = api.put(f"/prompts/{email['id']}", {"title": "Another title", "content": SUMMARY})
    assert (answer.json()["title"], answer.json()["version"]) == ("Another title", 1)


def test_put_needs_the_content_and_the_title(api: Api, email: dict[str, Any]) -> None:
    for body, field in (({"title": "x"}, "content"), ({"content": "x"}, "title")):
        answer = api.put(f"/prompts/{email['id']}", body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


@pytest.mark.parametrize(
    ("body", "version"),
    [
        ({"title": "New"}, 1),
        ({"description": "New"}, 1),
        ({"tags": ["b", "a"]}, 1),
        ({"model_type": "chat"}, 1),
        ({"content": "New {{email_content}}"}, 2),
        ({"model": "gpt-4o"}, 2),
        ({"parameters": {"temperature": 0}}, 2),
        ({"variables": {"email_content": {"description": "The mail"}}}, 2),
        ({"version_string": "v1.0.0"}, 2),
        ({}, 1),
    ],
)
def test_patch_changes_what_it_names_and_nothing_else(
    api: Api, email: dict[str, Any], body: dict[str, Any], version: int
) -> None:
    answer = api.patch(f"/prompts/{email['id']}", body)
    assert answer.status_code == 200, answer.content
    changed = answer.json()
    assert changed["version"] == version
    may_differ = {"latest_version", "version", "updated_at", "variables", *body}
    assert {k: v for k, v in changed.items() if k not in may_differ} == {
        k: v for k, v in email.items() if k not in may_differ
    }
    for key, value in body.items():
        found = changed if key in changed and key != "variables" else changed["latest_version"]
        expected = sorted(value) if key == "tags" else value
        got = sorted(found[key]) if key == "tags" else found[key]
        assert got == expected or key == "variables"


def test_patched_variables_keep_what_the_text_needs(api: Api, email: dict[str, Any]) -> None:
    told = {"email_content": {"required": False, "default": ""}, "gone": {"type": "string"}}
    variables = api.patch(f"/prompts/{email['id']}", {"variables": told}).json()["variables"]
    assert variables == {"email_content": {"type": "string", "required": False, "default": ""}}


def test_the_name_never_changes(api: Api, email: dict[str, Any]) -> None:
    answer = api.patch(f"/prompts/{email['id']}", {"name": "other"})
    assert (answer.status_code, answer.json()["code"]) == (400, "name_is_fixed")
    assert api.patch(f"/prompts/{email['id']}", {"name": "email-summary", "title": "y"}).status_code == 200


def test_a_text_prompt_takes_no_messages(api: Api, email: dict[str, Any]) -> None:
    answer = api.patch(f"/prompts/{email['id']}", {"messages": [{"role": "user", "content": "Hi"}]})
    assert answer.status_code == 400
    assert api.get(f"/prompts/{email['id']}").json() == email


def test_a_failing_change_changes_nothing(api: Api, email: dict[str, Any]) -> None:
    body = {"title": "New", "tags": ["new"], "content": "Broken {{"}
    assert api.patch(f"/prompts/{email['id']}", body).status_code == 400
    assert api.get(f"/prompts/{email['id']}").json() == email


# Two people at once


def test_a_change_with_the_etag_that_was_read_goes_through_once(api: Api, email: dict[str, Any]) -> None:
    path = f"/prompts/{email['id']}"
    etag = api.get(path).headers["ETag"]
    first = api.patch(path, {"title": "Mine"}, **{"If-Match": etag})
    assert first.status_code == 200
    assert first.headers["ETag"] != etag
    second = api.patch(path, {"title": "Theirs"}, **{"If-Match": etag})
    assert (second.status_code, second.json()["code"]) == (412, "precondition_failed")
    assert second.json()["data"]["etag"] == first.headers["ETag"]
    assert api.put(path, {"title": "T", "content": "x"}, **{"If-Match": etag}).status_code == 412
    assert api.delete(path, **{"If-Match": etag}).status_code == 412
    assert api.get(path).json()["title"] == "Mine"
    assert api.patch(path, {"title": "Again"}, **{"If-Match": first.headers["ETag"]}).status_code == 200


def test_a_weakened_etag_and_a_star_match(api: Api, email: dict[str, Any]) -> None:
    path = f"/prompts/{email['id']}"
    weak = "W/" + api.get(path).headers["ETag"]
    assert api.patch(path, {"title": "A"}, **{"If-Match": weak}).status_code == 200
    assert api.patch(path, {"title": "B"}, **{"If-Match": "*"}).status_code == 200
    assert api.delete(path, **{"If-Match": "*"}).status_code == 204


def test_every_kind_of_change_makes_a_new_etag_and_no_change_keeps_it(api: Api, email: dict[str, Any]) -> None:
    path = f"/prompts/{email['id']}"
    seen = [api.get(path).headers["ETag"]]
    for body in ({"title": "New"}, {"tags": ["x"]}, {"content": "New {{email_content}}"}, {"description": "New"}):
        seen.append(api.patch(path, body).headers["ETag"])
    api.post(f"{path}/versions", {"content": "Newer {{email_content}}"})
    seen.append(api.get(path).headers["ETag"])
    assert len(set(seen)) == len(seen)
    assert api.patch(path, {"description": "New"}).headers["ETag"] == seen[-1]


# Archiving


def test_deleting_archives(api: Api, email: dict[str, Any]) -> None:
    path = f"/prompts/{email['id']}"
    answer = api.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert api.get(path).status_code == 404
    assert api.get("/prompts").json()["count"] == 0
    assert api.delete(path).status_code == 404
    assert Prompt.objects.get(pk=email["id"]).archived_at is not None


def test_an_archived_prompt_cannot_be_put_live_but_what_is_live_can_be_taken_back(
    api: Api, email: dict[str, Any]
) -> None:
    api.post("/prompts/email-summary/versions", {"content": "Two {{email_content}}"})
    for version in (1, 2):
        api.post("/deployments", {"prompt_name": "email-summary", "environment": "production", "version": version})
    api.delete(f"/prompts/{email['id']}")
    body = {"prompt_name": "email-summary", "environment": "production"}
    assert api.post("/deployments", {**body, "version": 1}).json()["code"] == "prompt_archived"
    assert api.post("/deployments/rollback", body).json()["version"] == 1


# Who may


def test_a_viewer_reads_and_a_writer_writes(cast: Cast) -> None:
    viewer, writer = Api(), Api()
    viewer.client.force_login(cast.vic)
    writer.client.force_login(cast.ann)
    prompt = make_prompt(cast.team)
    assert viewer.get(f"/prompts/{prompt.pk}").status_code == 200
    assert viewer.patch(f"/prompts/{prompt.pk}", {"title": "x"}).status_code == 403
    assert viewer.post("/prompts", {"title": "x", "content": "y"}).status_code == 403
    assert viewer.delete(f"/prompts/{prompt.pk}").status_code == 403
    made = writer.post("/prompts", {"title": "x", "content": "y"})
    assert made.status_code == 201
    assert made.json()["latest_version"]["author"] == "Ann"


def test_a_session_needs_the_csrf_token(cast: Cast) -> None:
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.ann)
    answer = client.post("/prompts", {"title": "x", "content": "y"}, content_type="application/json")
    assert answer.status_code == 403
    assert Prompt.objects.count() == 0


def test_fields_that_are_ours_cannot_be_planted(api: Api, team: Team, cast: Cast) -> None:
    planted = {"id": 1, "number": 9, "author": "Somebody", "checksum": "0", "created_at": "1999-01-01", "owner_id": 1}
    made = api.post("/prompts", {"title": "x", "content": "y", **planted}).json()
    assert (made["version"], made["latest_version"]["author"]) == (1, "tests (key)")
    assert not made["created_at"].startswith("1999")
    answer = api.post("/prompts", {"title": "x", "content": "y", "team_id": cast.team.pk})
    assert answer.status_code == 404
