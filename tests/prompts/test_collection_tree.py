"""Collections inside of collections: moving, counting, archiving a whole and bringing back exactly that whole."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connections

from experiments.services import lifecycle
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from prompts.errors import InItself
from prompts.models import Collection, Environment, Prompt
from prompts.services import authoring, collecting
from prompts.services.collecting import Place
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_live, make_prompt, make_team, newest

pytestmark = pytest.mark.django_db


def new(api: Api, name: str, **said: Any) -> int:
    answer = api.post("/collections", {"name": name, **said})
    assert answer.status_code == 201, answer.content
    pk: int = answer.json()["id"]
    return pk


@pytest.fixture
def tree(api: Api, team: Team) -> dict[str, int]:
    """Emails > Letters > Drafts, and Ads, with a prompt in each."""
    ids = {"emails": new(api, "Emails"), "ads": new(api, "Ads")}
    ids["letters"] = new(api, "Letters", parent_id=ids["emails"])
    ids["drafts"] = new(api, "Drafts", parent_id=ids["letters"])
    for name, pk in ids.items():
        make_prompt(team, title=f"In {name}", name=f"in-{name}", collection=Collection.objects.get(pk=pk))
    return ids


def names(answer: Any) -> list[str]:
    return [one["name"] for one in answer.json()["results"]]


def test_a_collection_says_the_way_to_it(api: Api, tree: dict[str, int]) -> None:
    shown = api.get(f"/collections/{tree['drafts']}").json()
    assert [part["name"] for part in shown["path"]] == ["Emails", "Letters", "Drafts"]
    assert (shown["parent_id"], shown["prompt_count"], shown["visibility"]) == (tree["letters"], 1, "team")


def test_lists_go_by_parent(api: Api, tree: dict[str, int]) -> None:
    assert names(api.get("/collections?parent=root")) == ["Ads", "Emails"]
    assert names(api.get(f"/collections?parent={tree['emails']}")) == ["Letters"]
    assert names(api.get("/collections")) == ["Ads", "Drafts", "Emails", "Letters"]
    assert api.get("/collections?parent=x").json()["errors"][0]["field"] == "parent"


def test_the_tree_has_everything_with_counts(api: Api, tree: dict[str, int]) -> None:
    ads, emails = api.get("/collections?tree=1").json()["results"]
    assert (ads["name"], ads["children"], ads["total_count"]) == ("Ads", [], 1)
    assert (emails["prompt_count"], emails["total_count"]) == (1, 3)
    assert [one["name"] for one in emails["children"][0]["children"]] == ["Drafts"]
    below = api.get(f"/collections?tree=1&parent={tree['emails']}").json()["results"]
    assert [one["name"] for one in below] == ["Letters"]


def test_prompts_within_are_those_of_the_whole(api: Api, tree: dict[str, int]) -> None:
    found = set(names(api.get(f"/prompts?within={tree['emails']}")))
    assert found == {"in-emails", "in-letters", "in-drafts"}
    assert names(api.get(f"/prompts?collection_id={tree['emails']}")) == ["in-emails"]


def test_moving_takes_what_is_inside_along(api: Api, tree: dict[str, int]) -> None:
    moved = api.patch(f"/collections/{tree['letters']}", {"parent_id": tree["ads"]}).json()
    assert [part["name"] for part in moved["path"]] == ["Ads", "Letters"]
    assert api.get(f"/collections/{tree['drafts']}").json()["path"][0]["name"] == "Ads"
    assert api.patch(f"/collections/{tree['letters']}", {"parent_id": None}).json()["path"][0]["name"] == "Letters"


def test_put_without_a_place_leaves_it_where_it_is(api: Api, tree: dict[str, int]) -> None:
    assert api.put(f"/collections/{tree['letters']}", {"name": "Post"}).json()["parent_id"] == tree["emails"]


@pytest.mark.parametrize("into", ["emails", "letters", "drafts"])
def test_nothing_is_inside_of_itself(api: Api, tree: dict[str, int], into: str) -> None:
    answer = api.patch(f"/collections/{tree['emails']}", {"parent_id": tree[into]})
    assert (answer.status_code, answer.json()["code"]) == (400, "in_itself")
    assert answer.json()["errors"][0]["field"] == "parent_id"


def test_eight_are_deep_enough(api: Api, tree: dict[str, int]) -> None:
    parent = new(api, "1")
    for number in range(2, 9):
        parent = new(api, str(number), parent_id=parent)
    answer = api.post("/collections", {"name": "9", "parent_id": parent})
    assert (answer.status_code, answer.json()["code"]) == (400, "too_deep")
    sixth = Collection.objects.get(name="6").pk
    assert api.patch(f"/collections/{tree['emails']}", {"parent_id": sixth}).json()["code"] == "too_deep"
    assert api.patch(f"/collections/{tree['ads']}", {"parent_id": sixth}).status_code == 200
    assert len(api.get(f"/collections/{parent}").json()["path"]) == 8


def test_a_parent_is_of_the_same_team(cast: Cast) -> None:
    theirs = new(Api(cast.stranger_key), "Theirs")
    answer = Api(cast.key).post("/collections", {"name": "Mine", "parent_id": theirs})
    assert (answer.status_code, answer.json()["code"]) == (400, "collection_not_found")
    shared = new(Api(cast.stranger_key), "Shared", visibility="everyone")
    assert Api(cast.key).post("/collections", {"name": "Mine", "parent_id": shared}).status_code == 400


def test_an_owner_is_somebody_of_the_team(cast: Cast) -> None:
    api = Api(cast.key)
    pk = new(api, "Emails", owner_id=cast.ann.pk)
    shown = api.get(f"/collections/{pk}").json()
    assert (shown["owner_id"], shown["owner"]) == (cast.ann.pk, "Ann")
    assert api.patch(f"/collections/{pk}", {"owner_id": cast.ben.pk}).json()["owner"] == "Ben"
    assert api.patch(f"/collections/{pk}", {"owner_id": cast.zoe.pk}).json()["code"] == "not_a_member"
    writer = Api()
    writer.client.force_login(cast.ann)
    refused = writer.patch(f"/collections/{pk}", {"owner_id": cast.ann.pk})
    assert (refused.status_code, refused.json()["code"]) == (403, "not_your_collection")


def test_archiving_takes_the_whole_and_restoring_brings_back_exactly_that(api: Api, tree: dict[str, int]) -> None:
    make_prompt(Team.objects.get(), name="old", collection=Collection.objects.get(pk=tree["letters"]))
    assert api.delete("/prompts/old").status_code == 204
    assert api.delete(f"/collections/{tree['drafts']}").status_code == 204
    assert api.delete(f"/collections/{tree['emails']}").status_code == 204
    assert (names(api.get("/collections")), names(api.get("/prompts"))) == (["Ads"], ["in-ads"])
    assert names(api.get("/collections?archived=1")) == ["Drafts", "Emails", "Letters"]
    restored = api.post(f"/collections/{tree['emails']}/restore")
    assert (restored.status_code, restored.json()["archived_at"]) == (200, None)
    assert names(api.get("/collections")) == ["Ads", "Emails", "Letters"]
    assert set(names(api.get("/prompts"))) == {"in-ads", "in-emails", "in-letters"}
    assert api.post(f"/collections/{tree['emails']}/restore").status_code == 200
    assert api.post(f"/collections/{tree['drafts']}/restore").status_code == 200
    assert "in-drafts" in names(api.get("/prompts"))
    assert "old" not in names(api.get("/prompts"))


def test_what_is_inside_comes_back_with_what_it_is_in(api: Api, tree: dict[str, int]) -> None:
    api.delete(f"/collections/{tree['emails']}")
    answer = api.post(f"/collections/{tree['letters']}/restore")
    assert (answer.status_code, answer.json()["code"]) == (409, "collection_archived")


def test_two_archived_at_the_same_moment_come_back_apart(api: Api, tree: dict[str, int], time_machine: Any) -> None:
    time_machine.move_to("2030-01-01T00:00:00Z", tick=False)
    api.delete(f"/collections/{tree['drafts']}")
    api.delete(f"/collections/{tree['emails']}")
    api.post(f"/collections/{tree['emails']}/restore")
    assert names(api.get("/collections?archived=1")) == ["Drafts"]


def test_nothing_is_put_into_an_archived_one(api: Api, tree: dict[str, int]) -> None:
    collection = Collection.objects.get(pk=tree["ads"])
    api.delete(f"/collections/{tree['ads']}")
    body = {"title": "New", "content": "x", "collection_id": tree["ads"]}
    assert api.post("/prompts", body).json()["code"] == "collection_not_found"
    with pytest.raises(collecting.CollectionArchived):
        make_prompt(collection.team, collection=collection)
    with pytest.raises(collecting.CollectionArchived):
        collecting.create_collection(SYSTEM, collection.team_id, name="x", place=Place(collection, has_parent=True))
    with pytest.raises(collecting.CollectionArchived):
        collecting.update_collection(SYSTEM, collection, name="x")


def test_a_prompt_in_a_running_experiment_keeps_its_collections(api: Api, tree: dict[str, int]) -> None:
    prompt = Prompt.objects.get(name="in-drafts")
    experiment = make_experiment(prompt, environment="staging", running=True)
    for answer in (api.delete(f"/collections/{tree['emails']}"), api.delete("/prompts/in-drafts")):
        assert (answer.status_code, answer.json()["code"]) == (409, "in_running_experiment")
        assert "In drafts" in answer.json()["detail"]
    lifecycle.pause(SYSTEM, experiment)
    assert api.delete("/prompts/in-drafts").json()["code"] == "in_running_experiment"
    lifecycle.stop(SYSTEM, experiment)
    assert api.delete(f"/collections/{tree['emails']}").status_code == 204


def test_an_experiment_does_not_start_on_an_archived_prompt(api: Api, team: Team) -> None:
    prompt = make_prompt(team)
    experiment = make_experiment(prompt, environment="staging")
    authoring.archive_prompt(SYSTEM, prompt)
    assert api.post(f"/experiments/{experiment.key}/start").json()["code"] == "prompt_archived"


def test_a_prompt_live_in_a_protected_environment_keeps_its_collections(api: Api, tree: dict[str, int]) -> None:
    prompt = Prompt.objects.get(name="in-drafts")
    make_live(newest(prompt))
    Environment.objects.filter(team=prompt.team, name="production").update(is_protected=True)
    answer = api.delete(f"/collections/{tree['emails']}")
    assert (answer.status_code, answer.json()["code"]) == (409, "live_in_protected")
    assert "In drafts" in answer.json()["detail"]
    assert Collection.objects.filter(archived_at=None).count() == 4


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_moves_at_once_make_no_circle() -> None:
    team = make_team()
    one, other = (collecting.create_collection(SYSTEM, team.pk, name=name) for name in ("one", "other"))
    for _ in range(5):
        refused: list[Exception] = []
        start = threading.Barrier(2)

        def move(what: Collection, into: Collection, start: Any = start, refused: Any = refused) -> None:
            try:
                start.wait(timeout=30)
                collecting.update_collection(SYSTEM, what, place=Place(parent=into, has_parent=True))
            except InItself as error:
                refused.append(error)
            finally:
                connections["default"].close()

        threads = [threading.Thread(target=move, args=pair) for pair in ((one, other), (other, one))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refused) == 1
        assert Collection.objects.filter(parent=None).count() == 1
        for row in (one, other):
            collecting.update_collection(SYSTEM, row, place=Place(has_parent=True))
