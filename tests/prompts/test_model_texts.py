"""Texts of a version for certain models: what is refused, what is saved, and everywhere it is read again."""

from __future__ import annotations

from typing import Any

import pytest
from promptlab_sdk.kernel.spec import JINJA2, Message

from promptlab.accounts.access import SYSTEM
from promptlab.lib.errors import Invalid
from prompts import diff, snippets
from prompts.errors import SecretInText
from prompts.models import Version
from prompts.porting import bundle, safe_yaml
from prompts.services import authoring
from prompts.services.contents import content_of
from prompts.services.suggesting import with_parts
from tests.support.api import Api
from tests.support.make import make_live, make_prompt, make_team, make_version, newest

TEXT = "Answer {{name}} kindly."
OTHER = "You are kind. {{name}} asks."


def problems(**said: Any) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        content_of(**{"text": TEXT, **said})
    return [(problem.field, problem.code) for problem in caught.value.problems]


def test_a_text_for_a_model_is_kept_with_the_blanks_of_the_prompt() -> None:
    content = content_of(text=TEXT, model_texts={"small": OTHER})
    assert content.model_texts == {"small": OTHER}
    assert set(content.variables) == {"name"}
    assert content_of(text=TEXT, model_texts={}).checksum() == content_of(text=TEXT).checksum()


def test_a_text_that_loses_or_invents_a_blank_is_refused_by_name() -> None:
    found = problems(model_texts={"small": "Answer {{nmae}}.", "tiny": "No blank.", "fine": OTHER})
    small, tiny = "model_texts.small", "model_texts.tiny"
    assert found == [(small, "blank_lost"), (small, "blank_invented"), (tiny, "blank_lost")]
    jinja = problems(text="{% if vip %}a{% endif %}", syntax=JINJA2, model_texts={"small": "{{ vip }}{{ age }}"})
    assert jinja == [(small, "blank_invented")]


def test_messages_keep_their_placeholders_too() -> None:
    parts = [{"role": "system", "content": "{{a}}"}, {"placeholder": "history"}]
    other = [{"placeholder": "history"}, {"role": "user", "content": "{{a}}"}]
    content = content_of(messages=parts, model_texts={"small": other})
    assert content.for_model("small").messages == (Message(placeholder="history"), Message("user", "{{a}}"))
    assert problems(text="", messages=parts, model_texts={"small": other[1:]}) == [("model_texts.small", "blank_lost")]
    assert problems(text="", messages=parts, model_texts={"small": "{{a}}"}) == [("model_texts.small", "invalid")]


@pytest.mark.parametrize(
    ("texts", "field", "code"),
    [
        ([], None, ""),
        (["x"], "model_texts", "invalid"),
        ({"": TEXT}, "model_texts", "invalid"),
        ({" small": TEXT}, "model_texts", "invalid"),
        ({"m" * 101: TEXT}, "model_texts", "invalid"),
        ({f"m{number}": TEXT for number in range(11)}, "model_texts", "too_many"),
        ({"small": ""}, "model_texts.small", "required"),
        ({"small": ["x"]}, "model_texts.small", "invalid"),
        ({"small": "x" * 1_000_001}, "model_texts.small", "too_long"),
        ({"small": "{{ name"}, "model_texts.small", "template_syntax"),
    ],
)
def test_what_a_version_cannot_have(texts: Any, field: str | None, code: str) -> None:
    if field is None:
        assert content_of(text=TEXT, model_texts=texts).model_texts == {}
    else:
        assert problems(model_texts=texts) == [(field, code)]


@pytest.mark.django_db
def test_a_key_in_a_text_for_a_model_is_found() -> None:
    prompt = make_prompt(make_team(), TEXT)
    with pytest.raises(SecretInText) as caught:
        make_version(prompt, TEXT, model_texts={"small": f"{TEXT} sk-abcdefgh12345678ijklmnop"})
    assert caught.value.problems[0].field == "model_texts.small"


@pytest.mark.django_db
def test_what_a_text_for_a_model_includes_is_checked_noted_and_put_in() -> None:
    team = make_team()
    tone = make_prompt(team, "Be kind to {{name}}.", name="tone")
    where = make_live(newest(tone))
    prompt = make_prompt(team, TEXT, name="support")
    with pytest.raises(Invalid) as caught:
        make_version(prompt, TEXT, model_texts={"small": "{{> no-such}} {{name}}"})
    assert caught.value.problems[0].field == "model_texts.small"
    version = make_version(prompt, TEXT, model_texts={"small": "{{> tone}} {{name}}"})
    assert snippets.included_in(version) == ("tone",)
    assert [one.snippet_id for one in version.snippet_uses.all()] == [tone.pk]
    said = snippets.resolve(version, where)
    assert said.content.for_model("small").text == "Be kind to {{name}}. {{name}}"
    assert said.spec.to_dict()["model_texts"] == {"small": "Be kind to {{name}}. {{name}}"}
    assert said.content.text == TEXT


@pytest.mark.django_db
def test_the_blanks_of_what_only_one_text_includes_are_asked_for_whoever_answers() -> None:
    team = make_team()
    where = make_live(newest(make_prompt(team, "Today is {{day}}.", name="tone")))
    version = make_version(make_prompt(team, TEXT), TEXT, model_texts={"small": "{{> tone}} {{name}}"})
    assert set(snippets.resolve(version, where).content.variables) == {"name", "day"}


@pytest.mark.django_db
def test_old_versions_have_none_and_their_checksum_stays() -> None:
    version = newest(make_prompt(make_team(), TEXT))
    assert version.model_texts == {}
    assert Version.objects.get(pk=version.pk).content.checksum() == version.checksum


@pytest.mark.django_db
def test_a_change_of_one_text_alone_is_a_new_version_and_shown_by_model() -> None:
    prompt = make_prompt(make_team(), TEXT, model_texts={"small": OTHER, "tiny": OTHER})
    old = newest(prompt)
    new = make_version(prompt, TEXT, model_texts={"small": f"{OTHER}\nBriefly.", "huge": OTHER})
    assert new.number == 2
    found = diff.model_texts(old, new)
    assert {name: [line.kind for line in lines] for name, lines in found.items()} == {
        "small": ["same", "added"],
        "tiny": ["removed"],
        "huge": ["added"],
    }
    assert diff.settings(old, new) == {}


@pytest.mark.django_db
def test_they_survive_copying_going_back_and_what_a_model_suggests() -> None:
    prompt = make_prompt(make_team(), TEXT, model_texts={"small": OTHER})
    first = newest(prompt)
    copy = authoring.fork_prompt(SYSTEM, first, "Copy")
    assert newest(copy).checksum == first.checksum
    make_version(prompt, TEXT)
    assert authoring.revert_version(SYSTEM, first)[0].model_texts == {"small": OTHER}
    assert with_parts(first.content, ["Other {{name}}."]).model_texts == {"small": OTHER}


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["text", "chat"])
def test_a_bundle_carries_them_both_ways(kind: str) -> None:
    parts = [{"role": "user", "content": TEXT}]
    said: dict[str, Any] = {"messages": parts} if kind == "chat" else {"text": TEXT}
    content = content_of(**said, model_texts={"small": [*parts, *parts] if kind == "chat" else OTHER})
    one = bundle.BundledPrompt("support", kind, (bundle.BundledVersion(content),))
    for text in (bundle.Bundle((one,)).to_yaml(), bundle.Bundle((one,)).to_json()):
        read = bundle.from_document(safe_yaml.load(text))
        assert read.prompts[0].versions[0].content == content


ROW = {"title": "Support", "content": TEXT, "model_texts": {"small": OTHER}}


@pytest.mark.django_db
def test_over_rest_they_are_written_read_and_rendered(api: Api) -> None:
    made = api.post("/prompts", ROW)
    assert made.status_code == 201, made.content
    for said in (made.json(), made.json()["latest_version"], api.get("/prompts/support/versions/1").json()):
        assert said["model_texts"] == {"small": OTHER}
    ask = {"variables": {"name": "Al"}}
    render = "/prompts/support/versions/1/render"
    assert api.post(render, {**ask, "model": "small"}).json()["text"] == "You are kind. Al asks."
    assert api.post(render, {**ask, "model": "large"}).json()["text"] == "Answer Al kindly."
    assert api.post(render, ask).json()["text"] == "Answer Al kindly."


@pytest.mark.django_db
def test_over_rest_a_new_version_keeps_or_changes_them(api: Api) -> None:
    api.post("/prompts", ROW)
    kept = api.post("/prompts/support/versions", {"content": "Hello {{name}}."}).json()
    assert (kept["number"], kept["model_texts"]) == (2, {"small": OTHER})
    refused = api.post("/prompts/support/versions", {"content": "Hello {{who}}."})
    assert refused.status_code == 400
    assert [one["field"] for one in refused.json()["errors"]] == ["model_texts.small"] * 2
    gone = api.post("/prompts/support/versions", {"content": "Hello {{who}}.", "model_texts": {}}).json()
    assert (gone["number"], gone["model_texts"]) == (3, {})
    changed = api.get("/prompts/support/versions/1/diff/3").json()["model_texts"]
    assert changed == {"small": [{"kind": "removed", "old": OTHER, "new": "", "segments": []}]}
    draft = api.put("/prompts/support/draft", {"model_texts": {"tiny": "{{x}}"}}).json()
    assert (draft["model_texts"], draft["problems"][0]["field"]) == ({"tiny": "{{x}}"}, "model_texts.tiny")
