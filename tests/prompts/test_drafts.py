"""Drafts: unparsed text on the server, one for each writer; and refusals that bring both texts."""

from __future__ import annotations

from typing import Any

import pytest

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from prompts.errors import DraftNeedsSomebody, DraftNotFound
from prompts.models import Draft, Prompt, Version
from prompts.services import authoring, drafting
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_key, make_prompt, make_version

pytestmark = pytest.mark.django_db
DRAFT = "/prompts/greeting/draft"
SAVE = f"{DRAFT}/save"


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    return make_prompt(cast.team, "Hello {{name}}.", title="Greeting", model="gpt-4o")


@pytest.fixture
def ann(cast: Cast, prompt: Prompt) -> Api:
    return signed_in(cast.ann)


def signed_in(user: Any) -> Api:
    api = Api()
    api.client.force_login(user)
    return api


def test_without_a_draft_the_newest_version_is_what_it_would_begin_with(ann: Api) -> None:
    answer = ann.get(DRAFT)
    assert answer.status_code == 200
    assert "ETag" not in answer.headers
    shown = answer.json()
    assert (shown["content"], shown["model"], shown["messages"]) == ("Hello {{name}}.", "gpt-4o", [])
    assert (shown["row_version"], shown["started_from"], shown["newest_version"]) == (0, 1, 1)
    assert (shown["updated_at"], shown["problems"]) == (None, [])


def test_a_draft_is_kept_takes_no_number_and_is_saved_as_a_version(ann: Api, prompt: Prompt) -> None:
    kept = ann.put(f"/api/v1{DRAFT}/", {"content": "Good day {{name}}.", "message": "Politer"})
    assert kept.status_code == 200, kept.content
    assert ann.get(DRAFT).json() == kept.json()
    assert ann.get(DRAFT).headers["ETag"] == kept.headers["ETag"]
    assert Version.objects.filter(prompt=prompt).count() == 1
    saved = ann.post(f"{SAVE}/", {"version_string": "v2.0"})
    made = saved.json()
    assert (saved.status_code, made["number"], made["version_string"]) == (201, 2, "v2.0")
    assert (made["content"], made["model"], made["message"]) == ("Good day {{name}}.", "gpt-4o", "Politer")
    assert made["author"] == "Ann"
    assert ann.get(DRAFT).json()["row_version"] == 0
    again = ann.post(SAVE)
    assert (again.status_code, again.json()["code"]) == (404, "draft_not_found")


def test_a_draft_may_hold_errors_which_are_told_and_refused_only_when_it_is_saved(ann: Api) -> None:
    kept = ann.put(DRAFT, {"content": "Hello\n{{na"})
    assert kept.status_code == 200
    (problem,) = kept.json()["problems"]
    assert (problem["field"], problem["code"]) == ("content", "template_syntax")
    assert "line 2" in problem["detail"]
    refused = ann.post(SAVE)
    assert (refused.status_code, refused.json()["code"]) == (400, "template_syntax")
    assert refused.json()["errors"][0]["field"] == "content"
    assert ann.get(DRAFT).json()["content"] == "Hello\n{{na"
    ann.put(DRAFT, {"messages": [{"role": "king", "content": "x"}]})
    assert ann.get(DRAFT).json()["problems"][0]["field"] == "messages.0.role"
    ann.put(DRAFT, {"messages": [{"role": "user", "content": "x"}]})
    assert "text prompt" in ann.get(DRAFT).json()["problems"][0]["detail"]


def test_each_person_and_each_key_has_a_draft_of_its_own(cast: Cast, ann: Api, prompt: Prompt) -> None:
    other_key = Api(make_key(cast.team, "write")[1])
    writers = {"Ann": ann, "Cleo": signed_in(cast.cleo), "a key": Api(cast.key), "another": other_key}
    for name, api in writers.items():
        assert api.put(DRAFT, {"content": f"Of {name}"}).status_code == 200
    for name, api in writers.items():
        assert api.get(DRAFT).json()["content"] == f"Of {name}"
    assert Draft.objects.count() == 4
    assert ann.delete(DRAFT).status_code == 204
    assert Draft.objects.count() == 3


def test_a_stale_draft_is_refused_with_both_texts(ann: Api) -> None:
    first = ann.put(DRAFT, {"content": "One", "row_version": 0})
    second = ann.put(DRAFT, {"content": "Two", "row_version": 1})
    assert (first.json()["row_version"], second.json()["row_version"]) == (1, 2)
    for answer in (
        ann.put(DRAFT, {"content": "Mine", "row_version": 1}),
        ann.put(DRAFT, {"content": "Mine"}, **{"If-Match": first.headers["ETag"]}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (412, "draft_stale")
        data = answer.json()["data"]
        assert (data["yours"]["content"], data["newest"]["content"]) == ("Mine", "Two")
        assert data["etag"] == second.headers["ETag"]
    assert ann.get(DRAFT).json()["content"] == "Two"
    assert ann.put(DRAFT, {"content": "Mine"}, **{"If-Match": second.headers["ETag"]}).status_code == 200


def test_a_read_of_no_draft_is_stale_once_there_is_one(ann: Api) -> None:
    ann.put(DRAFT, {"content": "One"})
    assert ann.put(DRAFT, {"content": "Two", "row_version": 0}).status_code == 412


def test_the_same_draft_again_changes_nothing(ann: Api) -> None:
    first = ann.put(DRAFT, {"content": "One"}).json()
    assert ann.put(DRAFT, {"content": "One"}).json() == first


def test_a_version_saved_meanwhile_is_a_conflict_with_both_texts_until_confirmed(ann: Api, prompt: Prompt) -> None:
    ann.put(DRAFT, {"content": "Mine {{name}}."})
    make_version(prompt, "Theirs {{name}}.")
    assert ann.get(DRAFT).json()["started_from"] == 1
    assert ann.get(DRAFT).json()["newest_version"] == 2
    refused = ann.post(SAVE)
    assert (refused.status_code, refused.json()["code"]) == (409, "draft_behind")
    data = refused.json()["data"]
    assert (data["yours"]["content"], data["newest"]["content"]) == ("Mine {{name}}.", "Theirs {{name}}.")
    assert (data["version"], data["started_from"]) == (2, 1)
    assert data["etag"] == ann.get("/prompts/greeting").headers["ETag"]
    assert ann.get(DRAFT).json()["row_version"] == 1
    assert ann.post(SAVE, {"confirm": True}).json()["number"] == 3


def test_who_has_taken_the_newest_version_in_says_so(ann: Api, prompt: Prompt) -> None:
    ann.put(DRAFT, {"content": "Mine {{name}}."})
    make_version(prompt, "Theirs {{name}}.")
    assert ann.put(DRAFT, {"content": "Both {{name}}.", "started_from": 2}).json()["started_from"] == 2
    assert ann.post(SAVE).json()["number"] == 3


def test_a_draft_that_says_what_the_newest_says_makes_no_version(ann: Api) -> None:
    ann.put(DRAFT, {"content": "Hello {{name}}."})
    answer = ann.post(SAVE)
    assert (answer.status_code, answer.json()["number"]) == (200, 1)


def test_what_is_sent_with_the_save_counts(ann: Api) -> None:
    ann.put(DRAFT, {"content": "Half"})
    assert ann.post(SAVE, {"content": "Whole {{name}}."}).json()["content"] == "Whole {{name}}."
    assert ann.get(DRAFT).json()["row_version"] == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"content": ["x"]}, "content"),
        ({"messages": "x"}, "messages"),
        ({"model": "m" * 101}, "model"),
        ({"parameters": [1]}, "parameters"),
        ({"variables": {"a": 1}}, "variables"),
        ({"content": "x", "row_version": -1}, "row_version"),
        ({"content": "x", "row_version": "one"}, "row_version"),
        ({"content": "x", "started_from": 0}, "started_from"),
        ({"content": "x", "started_from": 2}, "started_from"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_kept(ann: Api, body: dict[str, Any], field: str) -> None:
    answer = ann.put(DRAFT, body)
    assert answer.status_code == 400, answer.content
    assert answer.json()["errors"][0]["field"].split(".")[0] == field
    assert Draft.objects.count() == 0


def test_who_may_not_write_has_no_draft(cast: Cast, prompt: Prompt) -> None:
    for api in (signed_in(cast.vic), Api(cast.read_key)):
        assert api.get(DRAFT).status_code == 200
        for answer in (api.put(DRAFT, {"content": "x"}), api.delete(DRAFT), api.post(SAVE, {"content": "x"})):
            assert (answer.status_code, answer.json()["data"]["needs"]) == (403, "prompt.write")
    stranger = Api(cast.stranger_key)
    for answer in (stranger.get(DRAFT), stranger.put(DRAFT, {"content": "x"}), stranger.post(SAVE)):
        assert (answer.status_code, answer.json()["code"]) == (404, "prompt_not_found")
    assert Api().get(DRAFT).status_code == 401


def test_the_house_itself_writes_no_drafts(prompt: Prompt) -> None:
    with pytest.raises(DraftNeedsSomebody):
        drafting.keep_draft(SYSTEM, prompt, {"content": "x"})
    with pytest.raises(DraftNotFound):
        drafting.publish_draft(SYSTEM, prompt)


def test_an_archived_prompt_takes_no_draft(ann: Api, prompt: Prompt) -> None:
    ann.put(DRAFT, {"content": "x"})
    authoring.archive_prompt(SYSTEM, prompt)
    assert ann.put(DRAFT, {"content": "y"}).status_code == 404
    authoring.restore_prompt(SYSTEM, prompt)
    assert ann.get(DRAFT).json()["content"] == "x"


def test_a_draft_goes_with_its_writer(cast: Cast, ann: Api) -> None:
    ann.put(DRAFT, {"content": "x"})
    cast.ann.delete()
    assert Draft.objects.count() == 0


@pytest.mark.parametrize("method", ["put", "patch"])
def test_a_change_of_what_somebody_else_changed_is_refused_with_both_texts(api: Api, team: Team, method: str) -> None:
    prompt = make_prompt(team, "Hello {{name}}.", title="Greeting")
    read = api.get("/prompts/greeting").headers["ETag"]
    make_version(prompt, "Theirs {{name}}.")
    body = {"title": "Greeting", "content": "Mine {{name}}."}
    refused = getattr(api, method)("/prompts/greeting", body, **{"If-Match": read})
    assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
    data = refused.json()["data"]
    assert set(data) == {"yours", "newest", "etag", "version"}
    assert (data["yours"]["content"], data["newest"]["content"]) == ("Mine {{name}}.", "Theirs {{name}}.")
    assert (data["version"], data["etag"]) == (2, api.get("/prompts/greeting").headers["ETag"])
    assert getattr(api, method)("/prompts/greeting", body, **{"If-Match": data["etag"]}).status_code == 200


def test_a_stale_change_of_the_title_alone_brings_the_newest_text(api: Api, team: Team) -> None:
    make_prompt(team, "Hello {{name}}.", title="Greeting")
    refused = api.patch("/prompts/greeting", {"title": "New"}, **{"If-Match": '"1-99"'})
    assert (refused.status_code, refused.json()["data"]["yours"]) == (412, None)
    assert refused.json()["data"]["newest"]["content"] == "Hello {{name}}."
