"""An import is taken back whole, while nobody built on it: what it made is archived, what it changed is as it was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.audit.models import AuditEntry
from prompts.errors import ImportTooOld, ImportTouched
from prompts.models import Deployment, ImportRun, Prompt, Version
from prompts.porting import formats
from prompts.services import authoring, collecting, fields, porting, reviewing, scheduling, taking_back
from prompts.services.authoring import PromptChanges
from prompts.services.collecting import Place
from prompts.services.environments import named
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_live, make_prompt, make_version, newest

pytestmark = pytest.mark.django_db
FILE = """promptlab: 1
prompts:
- name: greeting
  title: Another title
  description: From the file
  tags: [new]
  metadata: {size: 2}
  collection: Files
  versions:
  - text: "two {{name}}"
  - text: "three {{name}}"
- name: farewell
  versions:
  - text: "Bye {{> greeting}}"
"""


@pytest.fixture
def greeting(team: Team) -> Prompt:
    """One version, live, with settings of its own."""
    fields.create_field(SYSTEM, team.pk, key="size", type="number")
    collecting.create_collection(SYSTEM, team.pk, name="Files")
    made = make_prompt(team, "one {{name}}", title="Greeting", tags=["old"], description="As it was")
    make_live(newest(made))
    return made


def came_in(team: Team, text: str = FILE) -> ImportRun:
    plan = porting.run_import(SYSTEM, formats.read(text.encode()), team.pk)
    return ImportRun.objects.get(pk=plan.import_id)


def state(name: str) -> dict[str, Any]:
    prompt = Prompt.objects.select_related("newest", "collection").get(name=name)
    assert prompt.newest is not None
    return {
        "text": prompt.newest.text,
        "title": prompt.title,
        "description": prompt.description,
        "tags": sorted(tag.name for tag in prompt.tags.all()),
        "collection": prompt.collection and prompt.collection.name,
        "fields": {one.field.key: fields.said(one.value) for one in prompt.metadata.select_related("field")},
        "is_archived": prompt.archived_at is not None,
    }


def test_all_of_it_is_as_it_was_and_no_version_is_gone(team: Team, greeting: Prompt) -> None:
    was = state("greeting")
    run = came_in(team)
    assert state("greeting") == {
        "text": "three {{name}}", "title": "Another title", "description": "From the file", "tags": ["new"],
        "collection": "Files", "fields": {"size": 2}, "is_archived": False,
    }  # fmt: skip
    undone = taking_back.undo_import(SYSTEM, run)
    assert state("greeting") == was and state("farewell")["is_archived"]
    assert undone.undone_at and undone.undone_label == SYSTEM.label
    texts = list(Version.objects.filter(prompt=greeting).order_by("number").values_list("text", flat=True))
    assert texts == ["one {{name}}", "two {{name}}", "three {{name}}", "one {{name}}"]
    pointer = Deployment.objects.select_related("version").get(prompt=greeting)
    assert pointer.version and pointer.version.number == 1
    assert AuditEntry.objects.filter(verb="import.undone").get().after == {"archived": 1, "put_back": 1}


def test_taking_back_again_changes_nothing(team: Team, greeting: Prompt) -> None:
    run = came_in(team)
    taking_back.undo_import(SYSTEM, run)
    count = AuditEntry.objects.count()
    assert taking_back.undo_import(SYSTEM, run).undone_at
    assert AuditEntry.objects.count() == count


def test_an_import_that_changes_nothing_is_none(team: Team, greeting: Prompt) -> None:
    came_in(team)
    assert porting.run_import(SYSTEM, formats.read(FILE.encode()), team.pk).import_id is None
    assert porting.plan_import(SYSTEM, formats.read(FILE.encode()), team.pk).import_id is None


def _plan(prompt: Prompt) -> None:
    where = named(prompt.team_id, "production")
    scheduling.schedule(SYSTEM, newest(prompt), where, timezone.now() + timedelta(days=1))


TOUCHES: dict[str, tuple[str, Callable[[Prompt], object]]] = {
    "live": ("was put live", lambda prompt: make_live(newest(prompt), "staging")),
    "planned": ("is planned to go live", _plan),
    "text": ("was changed", lambda prompt: make_version(prompt, "four {{name}}")),
    "title": ("was changed", lambda prompt: authoring.update_prompt(SYSTEM, prompt, PromptChanges(title="Mine"))),
    "review": ("was sent to review", lambda prompt: reviewing.submit_for_review(SYSTEM, newest(prompt))),
}


@pytest.mark.parametrize("touch", TOUCHES)
def test_what_somebody_built_on_is_not_taken_back(team: Team, greeting: Prompt, touch: str) -> None:
    run = came_in(team)
    reason, act = TOUCHES[touch]
    act(greeting)
    with pytest.raises(ImportTouched) as refused:
        taking_back.undo_import(SYSTEM, run)
    assert f"greeting {reason}" in str(refused.value.detail)
    run.refresh_from_db()
    assert run.undone_at is None and not state("farewell")["is_archived"]


def test_what_others_include_is_not_taken_back(team: Team, greeting: Prompt) -> None:
    run = came_in(team)
    make_prompt(team, "{{> farewell}} See you.", title="Letter")
    assert taking_back.why_not(run) == [("farewell", "is included by another prompt")]


def test_after_a_day_it_is_too_late(team: Team, greeting: Prompt) -> None:
    run = came_in(team)
    ImportRun.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(hours=25))
    with pytest.raises(ImportTooOld):
        taking_back.undo_import(SYSTEM, run)


def test_the_questions_do_not_grow_with_the_prompts(team: Team, django_assert_num_queries: Any) -> None:
    rows = "".join(f"- name: p{number}\n  versions:\n  - text: t{number}\n" for number in range(30))
    few = came_in(team, "promptlab: 1\nprompts:\n- name: one\n  versions:\n  - text: one\n")
    many = came_in(team, f"promptlab: 1\nprompts:\n{rows}")
    for run in (few, many):
        with django_assert_num_queries(5):
            assert taking_back.why_not(run) == []


def test_over_rest(team: Team, greeting: Prompt, cast: Cast) -> None:
    api = Api(cast.key)
    body = {"promptlab": 1, "prompts": [{"name": "fresh", "versions": [{"text": "a"}, {"text": "b"}]}]}
    told = api.post("/import", body).json()
    assert api.post("/import", body).json()["id"] is None
    one = api.get(f"/imports/{told['id']}").json()
    assert one["prompts"] == [{"name": "fresh", "is_new": True, "versions": [1, 2], "settings": []}]
    assert one["undone_at"] is None
    undone = api.post(f"/imports/{told['id']}/undo").json()
    assert undone["undone_at"] and undone == api.get("/imports").json()["results"][0]
    assert Api(cast.stranger_key).get(f"/imports/{told['id']}").status_code == 404
    assert Api(cast.read_key).post(f"/imports/{told['id']}/undo").status_code == 403


def test_on_its_page(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.ann)
    transfer = reverse("admin:prompts_prompt_transfer")
    text = "promptlab: 1\nprompts:\n- name: fresh\n  title: Fresh\n  versions:\n  - text: a\n"
    done = client.post(transfer, {"text": text, "go": "1"}, follow=True)
    page = done.redirect_chain[-1][0]
    html = done.content.decode()
    assert "1 prompt is imported. What is live did not change." in html
    assert "Undo this import" in html and "Prompts that it made are archived." in html
    assert page in client.get(transfer).content.decode()
    assert client.get(page).status_code == 200 and not state("fresh")["is_archived"], "looking changes nothing"
    html = client.post(page, follow=True).content.decode()
    assert "The import is taken back." in html and "Ann took it back." in html and "Undo this import" not in html
    assert state("fresh")["is_archived"]


def test_the_page_says_why_not_and_who_may(cast: Cast) -> None:
    client, looker = Client(), Client()
    client.force_login(cast.ann)
    looker.force_login(cast.vic)
    run = came_in(cast.team, "promptlab: 1\nprompts:\n- name: fresh\n  versions:\n  - text: a\n")
    page = reverse("admin:prompts_prompt_import", args=[run.pk])
    assert "Only writers can take it back." in looker.get(page).content.decode()
    assert looker.post(page).status_code == 403
    make_live(newest(Prompt.objects.get(name="fresh")))
    html = client.get(page).content.decode()
    assert "It cannot be taken back as a whole: fresh was put live." in html and "Undo this import" not in html
    assert "fresh was put live" in client.post(page).content.decode()
    client.force_login(cast.zoe)
    assert client.get(page).status_code == 404


def test_an_import_with_a_private_prompt_is_private(cast: Cast) -> None:
    secret = collecting.create_collection(
        cast.principal(cast.cleo), cast.team.pk, name="Secret", place=Place(visibility="private")
    )
    run = came_in(cast.team, "promptlab: 1\nprompts:\n- name: fresh\n  versions:\n  - text: a\n")
    Prompt.objects.filter(name="fresh").update(collection=secret)
    seen = ImportRun.objects.visible_to
    assert not seen(cast.principal(cast.ann)).exists()
    assert seen(cast.principal(cast.cleo)).get() == run
