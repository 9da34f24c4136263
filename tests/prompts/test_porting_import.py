"""Prompts out and in again: whole or nothing, the same content makes no version, and no pointer moves."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.audit.models import AuditEntry
from promptlab.lib.errors import Forbidden, NotFound
from prompts.errors import ImportRefused
from prompts.models import DeploymentEvent, Prompt, SnippetUse, Version
from prompts.porting import formats
from prompts.porting.bundle import Bundle
from prompts.services import authoring, collecting, porting
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_key, make_live, make_prompt, make_team, make_version
from tests.support.snippets import Shelf

pytestmark = pytest.mark.django_db


def exported(team: Team, **told: Any) -> Bundle:
    return porting.export_prompts(SYSTEM, Prompt.objects.filter(team=team), **told)


def library(team: Team) -> Prompt:
    """A prompt with three versions, the third as the first, the second live; and a chat prompt."""
    prompt = make_prompt(team, title="Greeting", tags=["b", "a"], description="Says hello", version_string="v1")
    second = make_version(prompt, "Hi {{name}}.", message="Shorter")
    authoring.revert_version(SYSTEM, Version.objects.select_related("prompt").get(prompt=prompt, number=1))
    make_live(second)
    make_prompt(
        team, title="Talk", messages=[{"role": "system", "content": "{{a}}"}, {"placeholder": "history"}], model="echo"
    )
    return prompt


def test_what_comes_out_goes_in_and_comes_out_the_same(team: Team) -> None:
    library(team)
    other = make_team()
    first = exported(team)
    for format in ("yaml", "json"):
        with transaction.atomic():
            plan = porting.run_import(SYSTEM, formats.read(formats.write(first, format).encode()), other.pk)
            again = exported(other)
            transaction.set_rollback(True)
        assert [(item.outcome, len(item.versions)) for item in plan.items] == [("new", 3), ("new", 1)]
        for mine, theirs in zip(first.prompts, again.prompts, strict=True):
            assert [one.content for one in mine.versions] == [one.content for one in theirs.versions]
            assert [one.version_string for one in mine.versions] == [one.version_string for one in theirs.versions]
            assert (mine.title, mine.tags, mine.description) == (theirs.title, theirs.tags, theirs.description)
            assert theirs.deployments == {}
    assert exported(team) == first


TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0{"), min_size=1) | st.sampled_from(
    [
        "no",
        "a: b # c",
        "  x\r\n\r\ny \n",
        "- {{a}}\n",
        "\\{{b}} }} {{ c.d }}",
        "|\n\t>",
        "\u2028\u0085\ufeff",
        "'\"",
        "{{{a}}}",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text("aä:# \n-'\"", max_size=5) | st.just(0.1),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text("ab: -ä", max_size=4), some, max_size=3),
    max_leaves=5,
)
PARAMETERS = st.dictionaries(st.sampled_from(["temperature", "stop sequence", "ä", "no"]), JSON, max_size=3)
CHATS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": TEXTS})
    | st.fixed_dictionaries({"placeholder": st.sampled_from(["history", "examples"])}),
    min_size=1, max_size=4,
).filter(lambda parts: any("content" in part for part in parts))  # fmt: skip

BESIDE = st.fixed_dictionaries({}, optional={
    "stop": st.lists(st.text("ab \n:#", min_size=1, max_size=9), min_size=1, max_size=3),
    "output_schema": st.builds(dict, title=st.text("aä: #-\n", max_size=9)),
    "tools": st.lists(st.sampled_from("abc"), min_size=1, unique=True).map(
        lambda names: [{"type": "function", "function": {"name": name}} for name in names]
    ),
})  # fmt: skip


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    said=st.one_of(st.builds(dict, text=TEXTS), st.builds(dict, messages=CHATS)), parameters=PARAMETERS,
    model=st.sampled_from(["", "echo", "1.5", "no"]), told=st.text("aä: #-\n", max_size=20), beside=BESIDE,
)  # fmt: skip
def test_any_prompt_survives_the_journey(
    team: Team, said: Any, parameters: Any, model: str, told: str, beside: Any
) -> None:
    with transaction.atomic():
        own = {"name": "same", "model": model, "description": told, **beside}
        prompt = make_prompt(team, title="T", parameters=parameters, **own, **said)
        there, other = exported(team), make_team()
        porting.run_import(SYSTEM, formats.read(there.to_yaml().encode()), other.pk)
        here = Version.objects.select_related("prompt").get(prompt__team=other)
        assert here.content == prompt.newest.content  # type: ignore[union-attr]
        assert here.checksum == prompt.newest.checksum  # type: ignore[union-attr]
        assert exported(other).prompts[0].description == told
        assert not porting.plan_import(SYSTEM, there, team.pk).changes
        transaction.set_rollback(True)


TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def test_a_file_brings_what_it_includes_in_any_order(team: Team) -> None:
    shelf = Shelf(team)
    shelf.put("tone", "Be kind.")
    shelf.put("a", "{{> tone}}")
    shelf.put("tone", "No more of that.")
    shelf.put("a", "Plain.")
    shelf.put("tone", "{{> a}}")  # the other way round by now
    technical = {"stop": ["END"], "tools": [TOOL], "output_schema": {"type": "object"}, "syntax": "jinja2"}
    shelf.put("last", "{% if x %}{{ x }}{% endif %}", **technical)
    other, there = make_team(), exported(team)
    plan = porting.run_import(SYSTEM, formats.read(there.to_yaml().encode()), other.pk)
    assert [item.outcome for item in plan.items] == ["new"] * 3
    assert [[one.content for one in prompt.versions] for prompt in exported(other).prompts] == [
        [one.content for one in prompt.versions] for prompt in there.prompts
    ]
    uses = SnippetUse.objects.filter(version__prompt__team=other).order_by("version__prompt__name")
    assert [(use.version.prompt.name, use.version.number, use.snippet.name) for use in uses] == [
        ("a", 1, "tone"),
        ("tone", 3, "a"),
    ]
    assert all(use.snippet.team_id == other.pk for use in uses)
    assert not porting.plan_import(SYSTEM, there, other.pk).changes


def test_what_is_included_may_be_here_and_not_in_the_file(team: Team) -> None:
    Shelf(team).put("tone", "Be kind.")
    Shelf(team).put("support", "{{> tone}}")
    other = make_team()
    there = porting.export_prompts(SYSTEM, Prompt.objects.filter(team=team, name="support"))
    refused = porting.plan_import(SYSTEM, there, other.pk)
    assert [problem.code for problem in refused.problems] == ["snippet_not_found"]
    with pytest.raises(ImportRefused, match="There is no prompt tone to include"):
        porting.run_import(SYSTEM, there, other.pk)
    assert not Prompt.objects.filter(team=other).exists()
    Shelf(other).put("tone", "Ours.")
    assert porting.run_import(SYSTEM, there, other.pk).items[0].outcome == "new"


def test_a_circle_and_a_chat_prompt_are_problems_of_a_file(team: Team) -> None:
    body = {
        "promptlab": 1,
        "prompts": [
            {"name": "a", "versions": [{"text": "{{> b}}"}]},
            {"name": "b", "versions": [{"text": "{{> a}}"}]},
            {"name": "c", "versions": [{"messages": [{"role": "user", "content": "Hi."}]}]},
            {"name": "d", "versions": [{"text": "{{> c}}"}, {"text": "Plain."}]},
        ],
    }
    plan = porting.plan_import(SYSTEM, formats.read(json.dumps(body).encode()), team.pk)
    assert [(item.name, [one.code for one in item.problems]) for item in plan.items] == [
        ("a", ["snippet_cycle"]),
        ("b", ["snippet_cycle"]),
        ("c", []),
        ("d", ["snippet_is_chat"]),
    ]


def test_importing_again_changes_nothing_and_writes_nothing(team: Team) -> None:
    library(team)
    bundle, before, moves = exported(team), AuditEntry.objects.count(), DeploymentEvent.objects.count()
    plan = porting.run_import(SYSTEM, bundle, team.pk)
    assert [item.outcome for item in plan.items] == ["same", "same"]
    assert (AuditEntry.objects.count(), DeploymentEvent.objects.count()) == (before, moves)


def yaml_of(*versions: str, name: str = "greeting", more: str = "") -> Bundle:
    body = "".join(
        f"  - text: {text}\n    version_string: {named}\n"
        for text, _, named in (one.partition("@") for one in versions)
    )
    return formats.read(f"promptlab: 1\nprompts:\n- name: {name}\n{more}  versions:\n{body}".encode())


def test_numbers_are_the_team_s_own_and_only_new_content_is_written(team: Team) -> None:
    prompt = make_prompt(team, "one", title="Greeting", version_string="v1")
    make_version(prompt, "two")
    plan = porting.run_import(SYSTEM, yaml_of("one@v1", "three@v1", "four@v4", "two@v9"), team.pk)
    assert [(one.number, one.version_string) for one in plan.items[0].versions] == [(3, ""), (4, "v4")]
    assert plan.items[0].sentence == "New versions 3 to 4."
    assert "v1 is taken" in plan.items[0].notices[0]
    rows = Version.objects.filter(prompt=prompt).order_by("number").values_list("number", "text", "version_string")
    assert list(rows) == [(1, "one", "v1"), (2, "two", ""), (3, "three", ""), (4, "four", "v4")]


def test_an_import_is_told_once_for_each_prompt_and_by_each_version(team: Team) -> None:
    porting.run_import(SYSTEM, yaml_of("one@v1", "two@v2"), team.pk)
    verbs = list(AuditEntry.objects.filter(team_id=team.pk).order_by("id").values_list("verb", flat=True))
    assert verbs[-3:] == ["prompt.created", "version.created", "prompt.imported"]
    assert AuditEntry.objects.filter(verb="prompt.imported").get().after == {"versions": [1, 2], "settings": []}


def test_settings_that_the_file_gives_are_changed_and_others_stay(team: Team) -> None:
    group = collecting.create_collection(SYSTEM, team.pk, name="Emails")
    prompt = make_prompt(team, "one", title="Greeting", description="Old", tags=["a"])
    bundle = yaml_of("one@", more="  description: New\n  collection: Emails\n")
    plan = porting.run_import(SYSTEM, bundle, team.pk)
    assert plan.items[0].sentence == "Other collection, description."
    prompt.refresh_from_db()
    assert (prompt.title, prompt.description, prompt.collection) == ("Greeting", "New", group)
    assert [tag.name for tag in prompt.tags.all()] == ["a"]
    assert not porting.plan_import(SYSTEM, bundle, team.pk).changes
    lost = porting.plan_import(SYSTEM, yaml_of("one@", more="  collection: Nowhere\n"), team.pk)
    assert "no collection Nowhere" in lost.items[0].notices[0]


def test_one_bad_prompt_keeps_all_of_them_out(team: Team) -> None:
    good, bad = yaml_of("fine@", name="good"), yaml_of("'{{oops'@", name="bad")
    both = Bundle(good.prompts + bad.prompts)
    plan = porting.plan_import(SYSTEM, both, team.pk)
    assert [item.outcome for item in plan.items] == ["new", "problem"]
    with pytest.raises(ImportRefused) as caught:
        porting.run_import(SYSTEM, both, team.pk)
    assert "bad (line 5)" in caught.value.detail
    assert caught.value.problems[0].code == "template_syntax"
    assert not Prompt.objects.filter(team=team).exists()
    assert porting.run_import(SYSTEM, both, team.pk, take=["good"]).items[0].outcome == "new"


def test_archived_prompts_other_types_and_names_that_are_paths_are_problems(team: Team) -> None:
    old = make_prompt(team, title="Old")
    authoring.archive_prompt(SYSTEM, old)
    make_prompt(team, title="Talk", messages=[{"role": "user", "content": "x"}])
    for name in ("old", "talk", "../../etc/passwd", ".hidden", "a/b", "5", "'a b'", "C:\\x"):
        plan = porting.plan_import(SYSTEM, yaml_of("x@", name=name), team.pk)
        assert [item.outcome for item in plan.items] == ["problem"], name
        assert "line 3" in plan.items[0].sentence


def test_only_who_may_write_imports_and_only_what_is_seen_is_exported(cast: Cast) -> None:
    prompt = make_prompt(cast.team, title="Greeting")
    with pytest.raises(Forbidden):
        porting.run_import(cast.principal(cast.vic), yaml_of("x@"), cast.team.pk)
    with pytest.raises(NotFound):
        porting.plan_import(cast.principal(cast.zoe), yaml_of("x@"), cast.team.pk)
    assert porting.export_prompts(cast.principal(cast.zoe), Prompt.objects.filter(pk=prompt.pk)).prompts == ()
    assert len(porting.export_prompts(cast.principal(cast.vic), ["greeting"]).prompts) == 1


def test_only_live_versions_or_the_newest_may_be_exported(team: Team) -> None:
    library(team)
    assert [[one.number for one in prompt.versions] for prompt in exported(team, versions="live").prompts] == [[2]]
    newest = exported(team, versions="newest").prompts
    assert [prompt.versions[-1].number for prompt in newest] == [3, 1]


# REST


def send(api: Api, path: str, body: bytes, kind: str = "application/yaml") -> Any:
    return api.client.generic("POST", path, body, content_type=kind)


def test_export_is_a_download_and_import_takes_it(team: Team, api: Api) -> None:
    library(team)
    other = Api(make_key(make_team())[1])
    for slash in ("", "/"):
        answer = api.get(f"/api/v1/export{slash}?format=yaml")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/yaml; charset=utf-8"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="prompts.yaml"'
        dry = send(other, f"/api/v1/import{slash}?dry_run=1", answer.content).json()
        assert (dry["dry_run"], [one["outcome"] for one in dry["prompts"]]) == (True, ["new", "new"])
        assert other.get("/prompts").json()["count"] == 0
    done = send(other, "/import", answer.content, "application/x-www-form-urlencoded")
    assert (done.status_code, done.json()["prompts"][0]["versions"]) == (200, [1, 2, 3])
    again = send(other, "/import", api.get("/export?format=json").content, "application/json").json()
    assert [one["outcome"] for one in again["prompts"]] == ["same", "same"]
    assert other.get("/prompts/greeting").json()["live"] == {}


def test_export_can_be_narrowed(team: Team, api: Api) -> None:
    library(team)
    group = api.post("/collections", {"name": "C"}).json()["id"]
    api.patch("/prompts/talk", {"collection_id": group})
    assert api.get(f"/export?collection_id={group}&format=json").json()["prompts"][0]["name"] == "talk"
    assert len(api.get("/export?names=greeting&format=json&versions=live").json()["prompts"][0]["versions"]) == 1
    assert api.get("/export?names=talk&format=prompt.yml").content.startswith(b"messages:\n")
    for path, status, code in (
        ("/export?names=nobody", 404, "prompt_not_found"),
        ("/export?collection_id=99999", 404, "collection_not_found"),
        ("/export?format=pdf", 400, "invalid"),
        ("/export?versions=some", 400, "invalid"),
        ("/export?format=prompty", 400, "cannot_export"),
        (f"/export?team_id={team.pk + 99}", 404, "not_found"),
    ):
        answer = api.get(path)
        assert (answer.status_code, answer.json()["code"]) == (status, code), path


@pytest.mark.parametrize(
    ("body", "status", "where"),
    [
        (b"", 400, "line 1"),
        (b"promptlab: 1\nprompts:\n- &a {name: x}\n- *a\n", 400, "line 3"),
        (b"promptlab: 1\npromptlab: 1\n", 400, "line 2"),
        (b"[" * 100_000, 400, "levels"),
        (b"\xff\xfe", 400, "line 1"),
        (b"promptlab: 1\nprompts:\n- name: ../x\n  versions:\n  - text: x\n", 400, "line 3"),
        (b"promptlab: 1\nprompts:\n- name: x\n  versions:\n  - text: '{{'\n", 400, "line 5"),
        (b"a" * 10_000_000, 413, "5000000"),
    ],
)
def test_a_hostile_body_is_refused_at_once_and_says_where(api: Api, body: bytes, status: int, where: str) -> None:
    start = time.perf_counter()
    answer = send(api, "/import", body)
    assert time.perf_counter() - start < 90
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert where in answer.json()["detail"].lower()
    assert Prompt.objects.count() == 0


def test_importing_takes_the_scope_to_write(cast: Cast) -> None:
    body = b"promptlab: 1\nprompts: []\n"
    assert send(Api(), "/import", body).status_code == 401
    assert send(Api(cast.read_key), "/import", body).json()["code"] == "forbidden"
    assert send(Api(cast.key), "/import", body).status_code == 200
    assert send(Api(cast.stranger_key), f"/import?team_id={cast.team.pk}", body).status_code == 404
    assert Api(make_key(cast.team, "chat")[1]).get("/export").status_code == 403
