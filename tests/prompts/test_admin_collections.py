"""Collections and environments through the pages."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Membership
from prompts.models import Collection, Environment, Prompt
from prompts.services import collecting
from tests.support.cast import Cast
from tests.support.make import make_live, make_prompt, newest

ADD = "/admin/prompts/collection/add/"


def signed_in(user: object) -> Client:
    client = Client()
    client.force_login(user)
    return client


def url(collection: Collection, name: str = "change") -> str:
    return reverse(f"admin:prompts_collection_{name}", args=[collection.pk])


def test_making_a_collection_leads_to_its_page(cast: Cast) -> None:
    html = signed_in(cast.ann).post(ADD, {"name": "Legal", "description": "Contracts"}, follow=True).content.decode()
    assert "Legal is ready." in html
    made = Collection.objects.get()
    assert (made.name, made.description, made.owner, made.team) == ("Legal", "Contracts", cast.ann, cast.team)


def test_a_collection_needs_a_name(cast: Cast) -> None:
    html = signed_in(cast.ann).post(ADD, {"name": " ", "description": "kept"}).content.decode()
    assert "kept" in html and 'href="#id_name"' in html


def test_the_page_lists_prompts_and_changes_the_name(cast: Cast) -> None:
    collection = collecting.create_collection(SYSTEM, cast.team.pk, name="Legal")
    make_live(newest(make_prompt(cast.team, title="Contract", collection=collection)))
    html = signed_in(cast.vic).get(url(collection)).content.decode()
    assert "Contract" in html and "Production v1" in html and "Archive…" not in html
    signed_in(cast.ann).post(url(collection), {"name": "Law", "description": ""})
    collection.refresh_from_db()
    assert collection.name == "Law"


def test_the_list_counts_prompts_and_what_is_live(cast: Cast) -> None:
    collection = collecting.create_collection(SYSTEM, cast.team.pk, name="Legal")
    for number in range(3):
        prompt = make_prompt(cast.team, collection=collection, tags=["a", "b"])
        if number:
            make_live(newest(prompt))
            make_live(newest(prompt), "staging")
    html = signed_in(cast.vic).get("/admin/prompts/collection/").content.decode()
    assert 'field-prompts">3<' in html and 'field-live">2<' in html


def test_archiving_names_what_goes_along(cast: Cast) -> None:
    collection = collecting.create_collection(SYSTEM, cast.team.pk, name="Legal")
    prompt = make_prompt(cast.team, title="Contract", collection=collection)
    make_live(newest(prompt))
    client = signed_in(cast.ann)
    html = client.get(url(collection, "archive")).content.decode()
    assert "1 prompt is archived with it: Contract." in html and "Still live" in html
    collection.refresh_from_db()
    assert collection.archived_at is None
    client.post(url(collection, "archive"))
    assert Prompt.objects.get(pk=prompt.pk).archived_at is not None
    assert "Legal is archived." in client.get("/admin/prompts/collection/").content.decode()
    assert "Legal" not in client.get("/admin/prompts/collection/").content.decode()


def test_strangers_and_viewers_change_nothing(cast: Cast) -> None:
    collection = collecting.create_collection(SYSTEM, cast.team.pk, name="Legal")
    for name in ("change", "archive"):
        assert Client().get(url(collection, name)).status_code == 302
        assert signed_in(cast.zoe).get(url(collection, name)).status_code == 404
        assert signed_in(cast.vic).post(url(collection, name), {"name": "X"}).status_code == 403
    assert signed_in(cast.vic).get(ADD).status_code == 403
    collection.refresh_from_db()
    assert (collection.name, collection.archived_at) == ("Legal", None)


def test_administrators_make_environments(cast: Cast) -> None:
    add = "/admin/prompts/environment/add/"
    client = signed_in(cast.cleo)
    html = client.post(add, {"name": "v1", "position": 5}).content.decode()
    assert 'href="#id_name"' in html and "like a version" in html
    client.post(add, {"name": "preview", "position": 5})
    made = Environment.objects.get(team=cast.team, name="preview")
    assert 'href="#id_name"' in client.post(add, {"name": "preview", "position": 5}).content.decode()
    assert "Preview" in client.get(reverse("admin:prompts_environment_change", args=[made.pk])).content.decode()
    assert signed_in(cast.ann).post(add, {"name": "mine", "position": 5}).status_code == 403


def test_a_collection_is_moved_and_narrowed_on_its_page(cast: Cast) -> None:
    place = collecting.Place(owner_id=cast.ann.pk, has_owner=True)
    legal, law = (
        collecting.create_collection(SYSTEM, cast.team.pk, name=name, place=place) for name in ("Legal", "Law")
    )
    client = signed_in(cast.ann)
    form = {"name": "Law", "description": "", "parent": legal.pk, "visibility": "private", "owner": cast.ann.pk}
    client.post(url(law), form)
    law.refresh_from_db()
    assert (law.parent, law.visibility) == (legal, "private")
    assert "Law" in client.get(url(legal)).content.decode()
    assert "Law" not in signed_in(cast.vic).get(url(legal)).content.decode()
    assert signed_in(cast.vic).get(url(law)).status_code == 404
    wrong = client.post(url(law), {**form, "visibility": "everyone"}).content.decode()
    assert "fewer people see" in wrong
    listed = client.get("/admin/prompts/collection/?seen_by=private").content.decode()
    assert "Law" in listed and "Legal /" in listed


def test_a_parent_that_is_not_seen_stays(cast: Cast) -> None:
    mine = collecting.Place(owner_id=cast.ann.pk, has_owner=True, visibility="private")
    top = collecting.create_collection(SYSTEM, cast.team.pk, name="Top", place=mine)
    Membership.objects.create(team=cast.team, user=cast.ben, role="writer")
    his = collecting.Place(parent=top, has_parent=True, owner_id=cast.ben.pk, has_owner=True)
    inside = collecting.create_collection(SYSTEM, cast.team.pk, name="Inside", place=his)
    client = signed_in(cast.ben)
    assert "Top" not in client.get(url(inside)).content.decode()
    client.post(url(inside), {"name": "Mine", "description": "", "visibility": "private", "owner": cast.ben.pk})
    inside.refresh_from_db()
    assert (inside.name, inside.parent) == ("Mine", top)


def test_a_whole_is_brought_back_on_its_page(cast: Cast) -> None:
    legal = collecting.create_collection(SYSTEM, cast.team.pk, name="Legal")
    prompt = make_prompt(cast.team, title="Contract", collection=legal)
    client = signed_in(cast.ann)
    client.post(url(legal, "archive"))
    assert "Legal" in client.get("/admin/prompts/collection/?archived=yes").content.decode()
    assert "Bring back…" in client.get(url(legal)).content.decode()
    assert "archived along with it" in client.get(url(legal, "restore")).content.decode()
    assert signed_in(cast.vic).post(url(legal, "restore")).status_code == 403
    assert "Legal is back." in client.post(url(legal, "restore"), follow=True).content.decode()
    assert Prompt.objects.get(pk=prompt.pk).archived_at is None
