"""Tags over REST and on their pages: one word whatever its letters, counted, renamed, merged, ended."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from prompts.models import Prompt, Tag
from prompts.services import authoring
from prompts.services.authoring import PromptChanges
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_key, make_prompt, make_team

pytestmark = pytest.mark.django_db


def tags(api: Api) -> dict[str, int]:
    return {one["name"]: one["prompt_count"] for one in api.get("/tags").json()["results"]}


def tag_id(name: str) -> int:
    pk: int = Tag.objects.get(name=name).pk
    return pk


@pytest.mark.parametrize(("first", "again"), [("Summary", "summary"), ("Ärger", "ärger"), ("ИТОГ", "итог")])
def test_big_and_small_letters_are_one_tag_and_the_first_spelling_stays(
    api: Api, team: Team, first: str, again: str
) -> None:
    make_prompt(team, tags=[first])
    make_prompt(team, tags=[again, again.upper()])
    assert tags(api) == {first: 2}


def test_a_tag_is_found_however_it_is_written(api: Api, team: Team) -> None:
    make_prompt(team, name="one", tags=["Summary", "short"])
    make_prompt(team, name="two", tags=["short"])
    for asked, found in (("summary", 1), ("SUMMARY,Short", 1), ("SHORT", 2), ("summary,other", 0)):
        assert api.get(f"/prompts?tags={asked}").json()["count"] == found, asked


def test_writing_the_same_tags_otherwise_changes_nothing(api: Api, team: Team) -> None:
    prompt = make_prompt(team, tags=["Summary", "short"])
    changed, _ = authoring.update_prompt(SYSTEM, prompt, PromptChanges(tags=("SHORT", "summary")))
    assert changed.row_version == prompt.row_version


def test_counts_leave_out_what_is_archived(api: Api, team: Team) -> None:
    make_prompt(team, tags=["a", "b"])
    authoring.archive_prompt(SYSTEM, make_prompt(team, tags=["a"]))
    assert tags(api) == {"a": 1, "b": 1}


def test_renaming_reaches_every_prompt_and_changes_their_etags(api: Api, team: Team) -> None:
    prompt = make_prompt(team, tags=["short"])
    before = api.get(f"/prompts/{prompt.pk}").headers["ETag"]
    answer = api.patch(f"/tags/{tag_id('short')}", {"name": " Brief "})
    assert (answer.status_code, answer.json()["name"], answer.json()["prompt_count"]) == (200, "Brief", 1)
    shown = api.get(f"/prompts/{prompt.pk}")
    assert shown.json()["tags"] == ["Brief"] and shown.headers["ETag"] != before
    assert api.patch(f"/tags/{tag_id('Brief')}", {"name": "brief"}).json()["name"] == "brief"


def test_a_name_that_is_taken_is_to_be_merged(api: Api, team: Team) -> None:
    make_prompt(team, tags=["short", "Brief"])
    answer = api.patch(f"/tags/{tag_id('short')}", {"name": "BRIEF"})
    assert (answer.status_code, answer.json()["code"]) == (409, "tag_taken")


@pytest.mark.parametrize("name", ["", " ", "x" * 51, None, 7.5])
def test_a_wrong_name_is_named(api: Api, team: Team, name: Any) -> None:
    make_prompt(team, tags=["short"])
    answer = api.patch(f"/tags/{tag_id('short')}", {"name": name})
    assert answer.status_code == (400 if name != 7.5 else 200)
    assert name == 7.5 or answer.json()["errors"][0]["field"] == "name"


def test_merging_leaves_one_tag_on_all_of_them(api: Api, team: Team) -> None:
    make_prompt(team, tags=["short", "brief"])
    make_prompt(team, tags=["short"])
    answer = api.post(f"/tags/{tag_id('short')}/merge", {"into": tag_id("brief")})
    assert (answer.status_code, answer.json()) == (200, {"prompts": 2})
    assert tags(api) == {"brief": 2}


def test_a_tag_is_not_merged_into_itself_or_another_teams(cast: Cast) -> None:
    make_prompt(cast.team, tags=["short"])
    make_prompt(Team.objects.get(name="Elsewhere"), tags=["theirs"])
    api, pk = Api(cast.key), tag_id("short")
    assert api.post(f"/tags/{pk}/merge", {"into": pk}).status_code == 400
    assert api.post(f"/tags/{pk}/merge", {"into": tag_id("theirs")}).json()["code"] == "tag_not_found"
    assert api.post(f"/tags/{pk}/merge", {}).status_code == 400


def test_deleting_takes_it_off_and_says_how_many(api: Api, team: Team) -> None:
    kept = make_prompt(team, tags=["short", "other"])
    make_prompt(team, tags=["short"])
    pk = tag_id("short")
    answer = api.delete(f"/tags/{pk}")
    assert (answer.status_code, answer.json()) == (200, {"prompts": 2})
    assert api.get(f"/prompts/{kept.pk}").json()["tags"] == ["other"]
    assert api.delete(f"/tags/{pk}").json()["code"] == "tag_not_found"


def test_a_reading_key_changes_nothing(api: Api, team: Team) -> None:
    make_prompt(team, tags=["a", "b"])
    reader, pk = Api(make_key(team, "read")[1]), tag_id("a")
    assert tags(reader) == {"a": 1, "b": 1}
    for answer in (
        reader.patch(f"/tags/{pk}", {"name": "x"}),
        reader.delete(f"/tags/{pk}"),
        reader.post(f"/tags/{pk}/merge", {"into": tag_id("b")}),
    ):
        assert answer.status_code == 403
    assert tags(reader) == {"a": 1, "b": 1}


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_the_pages_say_how_many_prompts_lose_it(cast: Cast) -> None:
    for _ in range(3):
        make_prompt(cast.team, tags=["short"])
    client, base = signed_in(cast.ann), f"/admin/prompts/tag/{tag_id('short')}"
    assert 'field-prompts">3<' in client.get("/admin/prompts/tag/").content.decode()
    assert "3 prompts have this tag" in client.get(f"{base}/change/").content.decode()
    assert "3 prompts lose this tag." in client.get(f"{base}/end/").content.decode()
    assert Tag.objects.count() == 1
    html = client.post(f"{base}/end/", follow=True).content.decode()
    assert "#short is gone. 3 prompts had it." in html
    assert not Tag.objects.exists() and Prompt.objects.count() == 3


def test_the_pages_rename_and_merge(cast: Cast) -> None:
    make_prompt(cast.team, tags=["short", "brief"])
    client, pk = signed_in(cast.ann), tag_id("short")
    assert "There is a tag brief" in client.post(f"/admin/prompts/tag/{pk}/change/", {"name": "Brief"}).content.decode()
    client.post(f"/admin/prompts/tag/{pk}/change/", {"name": "Terse"})
    assert "1 prompt gets the other tag." in client.get(f"/admin/prompts/tag/{pk}/merge/").content.decode()
    client.post(f"/admin/prompts/tag/{pk}/merge/", {"into": tag_id("brief")})
    assert list(Tag.objects.values_list("name", flat=True)) == ["brief"]


def test_viewers_and_strangers_change_no_tag(cast: Cast) -> None:
    make_prompt(cast.team, tags=["short"])
    base = f"/admin/prompts/tag/{tag_id('short')}"
    assert "Delete…" not in signed_in(cast.vic).get(f"{base}/change/").content.decode()
    for name in ("change", "merge", "end"):
        assert signed_in(cast.vic).post(f"{base}/{name}/", {"name": "x"}).status_code == 403
        assert signed_in(cast.zoe).get(f"{base}/{name}/").status_code == 404
    assert Tag.objects.get().name == "short"


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_one_word_written_at_once_is_one_tag() -> None:
    team = make_team()
    start = threading.Barrier(4)
    failed: list[Exception] = []

    def write(name: str) -> None:
        try:
            start.wait(timeout=30)
            make_prompt(team, tags=[name])
        except Exception as error:  # noqa: BLE001  (told below)
            failed.append(error)
        finally:
            connections["default"].close()

    threads = [threading.Thread(target=write, args=(name,)) for name in ("Word", "word", "WORD", "wOrd")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert Tag.objects.count() == 1 and Tag.objects.get().name.lower() == "word"
    assert Prompt.objects.filter(tags=Tag.objects.get()).count() == 4
