"""What is refused when a text that includes others is saved, and by which field."""

from __future__ import annotations

from typing import Any

import pytest

from promptlab.accounts.models import Team
from prompts.models import Prompt, SnippetUse, Version
from tests.support.api import Api
from tests.support.make import make_prompt, make_team
from tests.support.snippets import Shelf

pytestmark = pytest.mark.django_db


@pytest.fixture
def shelf(team: Team) -> Shelf:
    return Shelf(team)


def refused(answer: Any) -> list[tuple[str, str]]:
    """Return the field and the code of each problem of a 400."""
    assert answer.status_code == 400, answer.content
    return [(problem["field"], problem["code"]) for problem in answer.json()["errors"]]


def save(api: Api, name: str, text: str) -> Any:
    return api.post(f"/prompts/{name}/versions", {"content": text})


def test_a_version_notes_what_it_includes(shelf: Shelf, api: Api) -> None:
    shelf.put("tone", "Be kind.")
    shelf.put("rules", "Rules.")
    made = api.post("/prompts", {"title": "Support", "content": "{{> tone}} {{> rules}} {{> tone}}"})
    assert made.status_code == 201, made.content
    uses = SnippetUse.objects.filter(version__prompt__name="support").order_by("snippet__name")
    assert [use.snippet.name for use in uses] == ["rules", "tone"]


def test_a_text_without_includes_asks_nothing_more(shelf: Shelf, statements: list[str]) -> None:
    shelf.put("plain", "Text {{name}}.")
    assert not [statement for statement in statements if "snippetuse" in statement]


def test_an_unknown_name_is_refused_with_its_field(api: Api) -> None:
    assert refused(api.post("/prompts", {"title": "Support", "content": "{{> tone}}"})) == [
        ("content", "snippet_not_found")
    ]
    assert not Prompt.objects.exists()


def test_every_problem_is_named_by_its_message(shelf: Shelf, api: Api) -> None:
    make_prompt(shelf.team, messages=[{"role": "user", "content": "Hi."}], name="chatty")
    shelf.put("tone", "Be kind.")
    messages = [
        {"role": "system", "content": "{{> tone}} {{> nothing}}"},
        {"placeholder": "history"},
        {"role": "user", "content": "{{> chatty}}"},
    ]
    answer = api.post("/prompts", {"title": "Support", "messages": messages})
    assert refused(answer) == [("messages.0.content", "snippet_not_found"), ("messages.2.content", "snippet_is_chat")]
    assert "chatty has messages" in answer.json()["errors"][1]["detail"]


def test_another_teams_prompt_is_unknown(api: Api) -> None:
    Shelf(make_team()).put("tone", "Secret.")
    assert refused(api.post("/prompts", {"title": "S", "content": "{{> tone}}"})) == [("content", "snippet_not_found")]


def test_a_text_does_not_include_itself(shelf: Shelf, api: Api) -> None:
    shelf.put("tone", "Be kind.")
    assert refused(save(api, "tone", "{{> tone}}")) == [("content", "snippet_includes_itself")]
    api.post("/prompts/tone/versions", {"content": "Be kind, {{name}}."})
    shelf.put("user", "{{> tone}}")
    assert api.post("/prompts/tone/rename", {"name": "voice"}).status_code == 200
    assert refused(save(api, "voice", "{{> tone}}")) == [("content", "snippet_includes_itself")]


def test_a_circle_over_the_newest_versions_is_refused_with_its_path(shelf: Shelf, api: Api) -> None:
    shelf.put("c", "End.")
    shelf.put("b", "{{> c}}")
    shelf.put("a", "{{> b}}")
    answer = save(api, "c", "{{> a}}")
    assert refused(answer) == [("content", "snippet_cycle")]
    assert "c -> a -> b -> c" in answer.json()["detail"]
    assert Version.objects.filter(prompt__name="c").count() == 1
    shelf.put("a", "No more.")
    assert save(api, "c", "{{> a}}").status_code == 201


def test_six_levels_are_refused(shelf: Shelf, api: Api) -> None:
    shelf.put("s5", "5")
    for level in (4, 3, 2, 1):
        shelf.put(f"s{level}", f"{{{{> s{level + 1}}}}}")
    assert api.post("/prompts", {"title": "Top", "content": "{{> s1}}"}).status_code == 201
    assert refused(api.post("/prompts", {"title": "Over", "content": "{{> top}}"})) == [("content", "snippet_too_deep")]


def test_a_draft_says_the_same_before_it_is_saved(shelf: Shelf, api: Api) -> None:
    shelf.put("tone", "Be kind.")
    shelf.put("support", "{{> tone}}")
    kept = api.put("/prompts/tone/draft", {"content": "{{> support}} {{> nothing}}"}).json()
    assert [(problem["field"], problem["code"]) for problem in kept["problems"]] == [
        ("content", "snippet_cycle"),
        ("content", "snippet_not_found"),
    ]
    assert refused(api.post("/prompts/tone/draft/save", {})) == [
        ("content", "snippet_cycle"),
        ("content", "snippet_not_found"),
    ]


def test_what_is_said_twice_is_refused(api: Api) -> None:
    body = {"title": "Support", "content": "Hi.", "stop": ["END"], "parameters": {"stop": ["FIN"]}}
    assert refused(api.post("/prompts", body)) == [("parameters.stop", "said_twice")]
