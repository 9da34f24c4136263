"""Chat with all that a version may say: texts it includes, declared blanks, Jinja, and what goes to the model beside the text."""

from __future__ import annotations

from typing import Any

import pytest

from promptlab.chat.models import Message
from promptlab.chat.transcripts import upstream_messages
from promptlab.llm.providers import scripted
from tests.chat.conftest import Counter, answers, text_of
from tests.support.make import make_experiment
from tests.support.snippets import Shelf

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
SCHEMA = {"type": "object", "properties": {"mood": {"type": "string"}}}


@pytest.fixture
def shelf(counter: Counter) -> Shelf:
    return Shelf(counter.team, prompts={"greeting": counter.prompt})


def sent(answer: Message) -> list[tuple[str, str]]:
    return [(part.role, part.content) for part in upstream_messages(answer)]


def test_an_answer_keeps_what_was_included_and_is_rebuilt_after_it_moved_on(counter: Counter, shelf: Shelf) -> None:
    tone = shelf.put("tone", "Be kind to {{name}}.", live=True)
    rules = shelf.put("rules", "{{> tone}} Rules.", live=True)
    shelf.put("greeting", "{{> rules}} Greet {{name}}.", live=True)
    assert text_of(counter.say()).startswith("[instructions: Be kind to Ann. Rules. Greet Ann.]")
    first = answers()[0]
    assert first.snippets == {"rules": rules.pk, "tone": tone.pk}
    then = sent(first)
    shelf.put("tone", "Be brief, {{name}}.", live=True)
    assert text_of(counter.say()).startswith("[instructions: Be brief, Ann. Rules. Greet Ann.]")
    assert sent(answers()[0]) == then == [("system", "Be kind to Ann. Rules. Greet Ann."), ("user", "Hello")]


def test_a_pinned_version_includes_what_is_live_in_the_environment_of_the_call(counter: Counter, shelf: Shelf) -> None:
    shelf.put("tone", "Production.", live=True)
    Shelf(shelf.team, "staging", shelf.prompts).put("tone", "Staging.", live=True)
    shelf.put("greeting", "{{> tone}}")
    assert text_of(counter.say(prompt="greeting@2")).startswith("[instructions: Production.]")
    assert text_of(counter.say(prompt="greeting@2", environment="staging")).startswith("[instructions: Staging.]")
    refused = counter.say(prompt="greeting@2", environment="development")
    assert (refused.status, refused.json()["code"]) == (409, "snippet_not_live")
    assert Message.objects.filter(role="assistant").count() == 2


def test_a_variant_includes_too(counter: Counter, shelf: Shelf) -> None:
    tone = shelf.put("tone", "Be kind.", live=True)
    shelf.put("greeting", "{{> tone}} New {{name}}.")
    make_experiment(counter.prompt, weights=(1, 9999), running=True)
    assert text_of(counter.say(user="user-1")).startswith("[instructions: Be kind. New Ann.]")
    assert answers()[0].snippets == {"tone": tone.pk}


def test_every_problem_with_the_variables_is_told_at_once(counter: Counter, shelf: Shelf) -> None:
    declared = {"age": {"type": "number"}, "mood": {"allowed": ["kind", "brief"]}, "name": {"max_length": 3}}
    shelf.put("tone", "{{mood}} {{age}}", live=True, variables={"age": declared["age"], "mood": declared["mood"]})
    shelf.put("greeting", "{{> tone}} {{name}} {{city}}", live=True, variables={"name": declared["name"]})
    answer = counter.say(variables={"age": "old", "mood": "rude", "name": "Annabel"})
    assert (answer.status, answer.json()["code"]) == (400, "invalid_variables")
    assert {(one["field"], one["code"]) for one in answer.json()["errors"]} == {
        ("variables.name", "too_long"),
        ("variables.city", "missing_variable"),
        ("variables.age", "wrong_type"),
        ("variables.mood", "not_allowed"),
    }
    assert not Message.objects.exists()
    assert counter.say(variables={"age": 3, "mood": "kind", "name": "Ann", "city": "Rome"}).status == 200


def test_a_jinja_version_answers_and_is_rebuilt(counter: Counter, shelf: Shelf) -> None:
    shelf.put("tone", "{% if mood %}Be {{ mood }}.{% endif %}", live=True, syntax="jinja2")
    text = "{{> tone}}{% for one in names %} Greet {{ one }}.{% endfor %}"
    shelf.put("greeting", text, live=True, syntax="jinja2")
    said = {"mood": "kind", "names": ["Ann", "Ben"]}
    assert text_of(counter.say(variables=said)).startswith("[instructions: Be kind. Greet Ann. Greet Ben.]")
    assert sent(answers()[0])[0] == ("system", "Be kind. Greet Ann. Greet Ben.")


def test_stop_tools_and_the_shape_of_the_answer_go_to_the_model(counter: Counter, shelf: Shelf) -> None:
    told: dict[str, Any] = {
        "stop": ["END"],
        "tools": [TOOL],
        "output_schema": SCHEMA,
        "parameters": {"temperature": 0.5},
    }
    shelf.put("greeting", "Greet {{name}}.", live=True, **told)
    with scripted.use("Hi.") as model:
        assert counter.say(model="scripted").status == 200
    assert dict(model.requests[0].parameters) == {
        "temperature": 0.5,
        "stop": ["END"],
        "tools": [TOOL],
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}},
    }
    assert counter.say().status == 200  # echo takes no notice of them


def test_a_version_that_says_none_of_it_sends_none(counter: Counter) -> None:
    with scripted.use("Hi.") as model:
        counter.say(model="scripted")
    assert dict(model.requests[0].parameters) == {}
