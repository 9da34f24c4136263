"""Who sees which collection and what is in it: private, the team's, the library's; and nobody anything else, at any address."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Membership, Team
from promptlab.chat.models import Message
from promptlab.lib.asgi import HotRoutes
from prompts.models import Collection, Prompt
from prompts.services import authoring, collecting, commenting, porting, reviewing
from prompts.services.collecting import Place
from tests.support.api import Api
from tests.support.asgi import call
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_key, make_live, make_message, make_prompt, make_version

pytestmark = pytest.mark.django_db
WHO = ("ann", "ben", "vic", "cleo", "zoe", "key", "writing key", "stranger's key")
OWN = frozenset(WHO[:4] + WHO[5:7])
"""Of Acme. Ann owns the collections; Cleo and the key with every scope administer."""
SEES = {"private": frozenset(["ann", "cleo", "key"]), "team": OWN, "everyone": OWN}
READS = {**SEES, "everyone": frozenset(WHO)}


def person(user: Any) -> Api:
    api = Api()
    api.client.force_login(user)
    return api


@pytest.fixture
def callers(cast: Cast) -> dict[str, Api]:
    people = {name: person(getattr(cast, name)) for name in WHO[:5]}
    writing = Api(make_key(cast.team, "read", "write", "deploy")[1])
    return {**people, "key": Api(cast.key), "writing key": writing, "stranger's key": Api(cast.stranger_key)}


def collection(cast: Cast, visibility: str, name: str = "Secrets") -> Collection:
    place = Place(owner_id=cast.ann.pk, has_owner=True, visibility=visibility)
    return collecting.create_collection(SYSTEM, cast.team.pk, name=name, place=place)


@pytest.fixture(params=["private", "team", "everyone"])
def visibility(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def prompt(cast: Cast, visibility: str) -> Prompt:
    """In a collection of Ann's, with everything that is shown of a prompt anywhere."""
    made = make_prompt(
        cast.team, "Whisper {{name}}.", title="Whisper", collection=collection(cast, visibility), tags=["hush"]
    )
    second = make_version(made, "Whisper again, {{name}}.")
    commenting.add_comment(SYSTEM, made, "Whisper it louder")
    reviewing.submit_for_review(SYSTEM, second)
    make_experiment(made, environment="staging", title="Whispers")
    make_live(made.newest)  # type: ignore[arg-type]
    return made


def find(answer: Any) -> bool:
    return b"whisper" in answer.content.lower()


LISTS = (
    "/prompts",
    "/prompts?search=whisper",
    "/prompts?tags=hush",
    "/deployments",
    "/reviews",
    "/experiments",
    "/export",
)
OF_TEAM = ("/prompts/whisper/comments", "/prompts/whisper/live?environment=production", "/prompts/whisper/usage")
READING = (
    "/prompts/whisper",
    "/prompts/{pk}",
    "/prompts/whisper/versions",
    "/prompts/whisper/versions/2",
    "/prompts/whisper/versions/1/diff/2",
)


def test_lists_show_what_is_seen(callers: dict[str, Api], prompt: Prompt, visibility: str) -> None:
    for path in LISTS:
        seen = {who for who, api in callers.items() if find(api.get(path))}
        assert seen == SEES[visibility], path


def test_reading_one_is_for_who_sees_it_and_the_library_for_all(
    callers: dict[str, Api], prompt: Prompt, visibility: str
) -> None:
    for path in READING:
        found = {who: api.get(path.format(pk=prompt.pk)).status_code for who, api in callers.items()}
        assert found == {who: 200 if who in READS[visibility] else 404 for who in WHO}, path


def test_what_is_said_about_it_and_where_it_is_live_stays_in_the_team(
    callers: dict[str, Api], prompt: Prompt, visibility: str
) -> None:
    refused = (403, "library_read_only") if visibility == "everyone" else (404, "prompt_not_found")
    for path, (who, api) in itertools.product(OF_TEAM, callers.items()):
        answer = api.get(path)
        if who in SEES[visibility]:
            assert answer.status_code == 200, (path, who)
        else:
            assert (answer.status_code, answer.json()["code"]) == refused, (path, who)


def test_rendering_is_reading(callers: dict[str, Api], prompt: Prompt, visibility: str) -> None:
    body = {"variables": {"name": "x"}}
    found = {who: api.post("/prompts/whisper/versions/1/render", body).status_code for who, api in callers.items()}
    assert found == {who: 200 if who in READS[visibility] else 404 for who in WHO}


WRITES: list[tuple[str, str, Any]] = [
    ("PATCH", "/prompts/whisper", {"title": "Taken"}),
    ("PUT", "/prompts/whisper", {"title": "Taken", "content": "x"}),
    ("DELETE", "/prompts/whisper", None),
    ("POST", "/prompts/whisper/versions", {"content": "x"}),
    ("POST", "/prompts/whisper/versions/1/revert", None),
    ("PUT", "/prompts/whisper/draft", {"content": "x"}),
    ("POST", "/prompts/whisper/rename", {"name": "other"}),
    ("POST", "/prompts/whisper/comments", {"text": "x"}),
    ("POST", "/prompts/whisper/versions/1/submit", None),
    ("POST", "/deployments", {"prompt_name": "whisper", "environment": "production", "version": 2}),
    ("POST", "/deployments/undeploy", {"prompt_name": "whisper", "environment": "production"}),
]


def test_nobody_else_writes(callers: dict[str, Api], prompt: Prompt, visibility: str) -> None:
    prompt.refresh_from_db()
    before = (prompt.title, prompt.versions.count(), prompt.row_version)
    for (method, path, body), who in itertools.product(WRITES, sorted(set(WHO) - SEES[visibility])):
        answer = callers[who]._send(method, path, body)
        allowed = (403, 404) if visibility == "everyone" else (404,)
        assert answer.status_code in allowed, (method, path, who, answer.content)
        prompt.refresh_from_db()
        assert (prompt.title, prompt.versions.count(), prompt.row_version) == before, (method, path, who)


def test_collections_show_as_their_prompts_do(callers: dict[str, Api], prompt: Prompt, visibility: str) -> None:
    pk = prompt.collection_id
    listed = {who for who, api in callers.items() if b"Secrets" in api.get("/collections?tree=1").content}
    assert listed == SEES[visibility]
    read = {who for who, api in callers.items() if api.get(f"/collections/{pk}").status_code == 200}
    assert read == READS[visibility]
    for who in set(WHO) - SEES[visibility]:
        assert callers[who].patch(f"/collections/{pk}", {"name": "x"}).status_code in (403, 404), who
        assert callers[who].delete(f"/collections/{pk}").status_code in (403, 404), who


def test_a_tag_counts_what_one_sees(callers: dict[str, Api], prompt: Prompt, visibility: str) -> None:
    for who in OWN:
        (tag,) = callers[who].get("/tags").json()["results"]
        assert tag["prompt_count"] == (who in SEES[visibility]), who


def test_the_library_lists_what_everyone_may_read(callers: dict[str, Api], prompt: Prompt, visibility: str) -> None:
    for path in ("/prompts?library=1", "/collections?library=1"):
        for who, api in callers.items():
            assert api.get(path).json()["count"] == (visibility == "everyone"), (who, path)


def test_the_text_sent_upstream_is_seen_as_the_prompt_is(
    callers: dict[str, Api], cast: Cast, prompt: Prompt, visibility: str
) -> None:
    answer = make_message(prompt.newest)
    said = {"role": "user", "state": "completed", "content": "Hello?", "ended_at": answer.created_at}
    Message.objects.create(conversation=answer.conversation, **said)
    again = Message.objects.create(
        conversation=answer.conversation,
        role="assistant",
        state="completed",
        version=prompt.newest,
        variables={"name": "x"},
    )
    seen = {who for who, api in callers.items() if api.get(f"/messages/{again.uid}").status_code == 200}
    assert seen == SEES[visibility]


def test_others_do_not_learn_where_it_is_live_or_how_much_it_is_used(cast: Cast) -> None:
    make_live(make_prompt(cast.team, title="Shared", collection=collection(cast, "everyone")).newest)  # type: ignore[arg-type]
    theirs, own = (Api(key).get("/prompts/shared").json() for key in (cast.stranger_key, cast.key))
    assert (theirs["live"], theirs["uses_30d"]) == ({}, None)
    assert (own["live"], own["uses_30d"]) == ({"production": 1}, 0)
    stranger = Api(cast.stranger_key)
    assert stranger.get("/prompts?library=1&environment=production").json()["count"] == 0
    assert stranger.get("/prompts?library=1&unused_days=1").json()["count"] == 0


@pytest.mark.django_db(transaction=True)
def test_delivery_knows_no_visibility(cast: Cast, application: HotRoutes) -> None:
    make_live(make_prompt(cast.team, title="Whisper", collection=collection(cast, "private")).newest)  # type: ignore[arg-type]
    reader = make_key(cast.team, "read")[1]
    assert call(application, "GET", "/prompts/whisper/deployed", key=reader).status == 200
    assert call(application, "GET", "/prompts/whisper/deployed", key=cast.stranger_key).status == 404


@pytest.mark.parametrize("caller", ["zoe", "stranger's key"])
def test_the_library_is_copied_into_ones_own_team(cast: Cast, callers: dict[str, Api], caller: str) -> None:
    source = make_prompt(cast.team, "Hi {{name}}.", title="Shared", collection=collection(cast, "everyone"), tags=["a"])
    answer = callers[caller].post("/prompts/shared/versions/1/fork", {"title": "Ours"})
    assert answer.status_code == 201, answer.content
    made = Prompt.objects.get(pk=answer.json()["id"])
    assert (made.team.name, made.collection, made.forked_from) == ("Elsewhere", None, source.newest)
    assert answer.json()["tags"] == ["a"]
    stolen = callers[caller].post("/prompts/shared/versions/1/fork", {"title": "Ours", "team_id": cast.team.pk})
    assert stolen.status_code == 404


def test_ones_own_prompt_wins_over_the_librarys_of_the_same_name(cast: Cast) -> None:
    shared = make_prompt(cast.team, title="Greeting", collection=collection(cast, "everyone"))
    own = make_prompt(Team.objects.get(name="Elsewhere"), title="Greeting")
    stranger = Api(cast.stranger_key)
    assert stranger.get("/prompts/greeting").json()["id"] == own.pk
    assert stranger.get(f"/prompts/{shared.pk}").json()["id"] == shared.pk
    assert stranger.patch("/prompts/greeting", {"title": "Mine"}).json()["id"] == own.pk


def test_an_import_neither_changes_nor_reveals_what_is_private(cast: Cast, callers: dict[str, Api]) -> None:
    secret = make_prompt(cast.team, "Whisper.", title="Whisper", collection=collection(cast, "private"))
    bundle = porting.export_prompts(SYSTEM, Prompt.objects.filter(pk=secret.pk)).to_json()
    for path in ("/import?dry_run=1", "/import"):
        answer = callers["writing key"].post(path, bundle.encode())
        assert "short name is taken" in answer.content.decode(), path
    assert callers["writing key"].get("/export?names=whisper").status_code == 404


def test_a_child_is_never_wider(cast: Cast, callers: dict[str, Api]) -> None:
    ann = callers["ann"]
    top = ann.post("/collections", {"name": "Top", "visibility": "everyone"}).json()["id"]
    inside = ann.post("/collections", {"name": "Inside", "parent_id": top, "visibility": "everyone"}).json()["id"]
    below = ann.post("/collections", {"name": "Below", "parent_id": inside}).json()
    assert below["visibility"] == "team"
    ann.patch(f"/collections/{top}", {"visibility": "private"})
    assert {one.visibility for one in Collection.objects.all()} == {"private"}
    refused = ann.patch(f"/collections/{inside}", {"visibility": "team"})
    assert (refused.status_code, refused.json()["code"]) == (400, "wider_than_parent")
    assert ann.post("/collections", {"name": "x", "parent_id": top, "visibility": "team"}).status_code == 400
    assert ann.patch(f"/collections/{inside}", {"parent_id": None, "visibility": "team"}).status_code == 200
    assert Collection.objects.get(pk=below["id"]).visibility == "private"


def test_moving_into_a_narrower_one_narrows(cast: Cast, callers: dict[str, Api]) -> None:
    ann = callers["ann"]
    private = ann.post("/collections", {"name": "Mine", "visibility": "private"}).json()["id"]
    shared = ann.post("/collections", {"name": "Shared", "visibility": "everyone"}).json()["id"]
    make_prompt(cast.team, title="Tip", collection=Collection.objects.get(pk=shared))
    assert Api(cast.stranger_key).get("/prompts/tip").status_code == 200
    assert ann.patch(f"/collections/{shared}", {"parent_id": private}).json()["visibility"] == "private"
    assert Api(cast.stranger_key).get("/prompts/tip").status_code == 404


def test_only_the_owner_or_an_administrator_says_who_sees_it(cast: Cast, callers: dict[str, Api]) -> None:
    pk = collection(cast, "team").pk
    Membership.objects.create(team=cast.team, user=cast.ben, role="writer")
    for who in ("ben", "writing key"):
        answer = callers[who].patch(f"/collections/{pk}", {"visibility": "everyone"})
        assert (answer.status_code, answer.json()["code"]) == (403, "not_your_collection")
    assert callers["cleo"].patch(f"/collections/{pk}", {"visibility": "everyone"}).status_code == 200
    assert callers["ann"].patch(f"/collections/{pk}", {"visibility": "private"}).status_code == 200


def test_a_private_one_belongs_to_a_person(cast: Cast, callers: dict[str, Api]) -> None:
    answer = callers["writing key"].post("/collections", {"name": "x", "visibility": "private"})
    assert (answer.status_code, answer.json()["code"]) == (400, "owner_needed")
    pk = collection(cast, "private").pk
    assert callers["ann"].patch(f"/collections/{pk}", {"owner_id": None}).json()["code"] == "owner_needed"


def test_what_is_private_to_others_keeps_the_whole(cast: Cast, callers: dict[str, Api]) -> None:
    top = collection(cast, "team", "Top")
    place = Place(parent=top, has_parent=True, owner_id=cast.ann.pk, has_owner=True, visibility="private")
    collecting.create_collection(SYSTEM, cast.team.pk, name="Mine", place=place)
    answer = callers["writing key"].delete(f"/collections/{top.pk}")
    assert (answer.status_code, answer.json()["code"]) == (409, "holds_private")
    assert "Mine" not in answer.content.decode()
    assert callers["ann"].delete(f"/collections/{top.pk}").status_code == 204


def test_the_way_leaves_out_what_is_private_to_others(cast: Cast, callers: dict[str, Api]) -> None:
    top = collection(cast, "private", "Top")
    Membership.objects.create(team=cast.team, user=cast.ben, role="writer")
    place = Place(parent=top, has_parent=True, owner_id=cast.ben.pk, has_owner=True)
    inside = collecting.create_collection(SYSTEM, cast.team.pk, name="Inside", place=place)
    shown = callers["ben"].get(f"/collections/{inside.pk}").json()
    assert [part["name"] for part in shown["path"]] == ["Inside"]
    assert [part["name"] for part in callers["cleo"].get(f"/collections/{inside.pk}").json()["path"]] == [
        "Top",
        "Inside",
    ]


def test_the_pages_show_what_is_seen(cast: Cast, callers: dict[str, Api]) -> None:
    secret = make_prompt(cast.team, title="Whisper", collection=collection(cast, "private"))
    pages: list[Callable[[], str]] = [
        lambda: "/admin/prompts/prompt/",
        lambda: "/admin/prompts/prompt/?q=whisper",
        lambda: f"/admin/prompts/prompt/{secret.pk}/change/",
        lambda: "/admin/prompts/collection/",
        lambda: "/admin/prompts/version/",
    ]
    for page in pages:
        for who, is_seen in (("ann", True), ("cleo", True), ("vic", False), ("ben", False), ("zoe", False)):
            html = callers[who].get(page()).content.decode()
            assert ("Whisper" in html or "Secrets" in html) == is_seen, (page(), who)


def test_a_copy_of_ones_own_stays_with_its_collection(cast: Cast, callers: dict[str, Api]) -> None:
    make_prompt(cast.team, title="Whisper", collection=collection(cast, "private"))
    made = callers["ann"].post("/prompts/whisper/versions/1/fork", {"title": "Again"}).json()
    assert callers["ben"].get(f"/prompts/{made['id']}").status_code == 404


def test_a_service_refuses_to_copy_what_is_not_to_be_read(cast: Cast) -> None:
    secret = make_prompt(cast.team, title="Whisper", collection=collection(cast, "private"))
    from promptlab.accounts.auth import principal_of_user
    from promptlab.lib.errors import NotFound

    assert secret.newest is not None
    for user in (cast.ben, cast.zoe):
        with pytest.raises(NotFound):
            authoring.fork_prompt(principal_of_user(user), secret.newest, "Mine")
