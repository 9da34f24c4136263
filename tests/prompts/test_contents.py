"""What can be saved: every wrong field is named, all of one kind at once; and what was saved can be filled."""

from __future__ import annotations

from typing import Any

import pytest
from promptlab_sdk.kernel.spec import JINJA2

from promptlab.lib.errors import Invalid
from prompts.errors import TextInvalid
from prompts.services import shapes, wording
from prompts.services.contents import content_of
from tests.support.api import Api


def fields(**said: Any) -> list[str]:
    with pytest.raises(Invalid) as caught:
        content_of(**{"text": "Hi {{name}}", **said})
    return [problem.field for problem in caught.value.problems]


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


TOOL = {"type": "function", "function": {"name": "find_order", "parameters": {"type": "object"}}}
ANSWER = {
    "$schema": shapes.DIALECT,
    "type": "object",
    "properties": {"mood": {"$ref": "#/$defs/mood"}},
    "$defs": {"mood": {"enum": ["good", "bad"], "pattern": "^[a-z]+$"}},
}


def test_everything_a_version_may_say_is_kept() -> None:
    variables = {"name": {"type": "string", "default": "Al", "example": "Bo", "allowed": ["Al", "Bo"], "max_length": 3}}
    content = content_of(
        text="Hi {{name}}", variables=variables, output_schema=ANSWER, stop=["END"], tools=[TOOL], parameters={"n": 1}
    )
    assert content.variables == {"name": {"required": True, **variables["name"]}}
    assert (content.output_schema, content.stop, content.tools) == (ANSWER, ("END",), (TOOL,))


def test_the_syntax_is_one_of_two() -> None:
    assert fields(syntax="handlebars") == ["syntax"]
    assert content_of(text="x", syntax="").syntax == "mustache-lite"


def test_a_template_in_jinja_is_checked_when_saved() -> None:
    assert fields(text="{{ ''.__class__ }}", syntax=JINJA2) == ["content"]
    assert fields(messages=[{"role": "user", "content": "{% if %}"}], syntax=JINJA2) == ["messages.0.content"]
    with pytest.raises(TextInvalid, match=r"\(line 2\)"):
        content_of(text="a\n{% for x in xs %}", syntax=JINJA2)


def test_the_roots_of_a_template_in_jinja_are_declared_as_they_are_used() -> None:
    text = "{{ name }}{% for x in xs %}{{ x }}{% endfor %}{{ user.name }}{{ n }}{{> tone}}"
    content = content_of(text=text, syntax=JINJA2, variables={"n": {"type": "number"}, "of_tone": {}})
    assert {name: spec.get("type") for name, spec in content.variables.items()} == {
        "name": "string",
        "xs": "list",
        "user": "object",
        "n": "number",
        "of_tone": None,
    }


def test_variables_told_of_are_kept_where_an_included_prompt_may_ask_for_them() -> None:
    assert set(content_of(text="{{a}}", variables={"b": {}}).variables) == {"a"}
    assert set(content_of(text="{{a}}{{> tone}}", variables={"b": {}}).variables) == {"a", "b"}


@pytest.mark.parametrize(
    ("spec", "keys"),
    [
        ("text", [""]),
        ({"type": "text"}, [".type"]),
        ({"typ": "string"}, [".typ"]),
        ({"type": "number", "default": "1"}, [".default"]),
        ({"type": "boolean", "example": 1}, [".example"]),
        ({"type": "list", "default": "a"}, [".default"]),
        ({"type": "object", "allowed": [[]]}, [".allowed"]),
        ({"allowed": []}, [".allowed"]),
        ({"allowed": ["a"], "default": "b", "example": "c"}, [".default", ".example"]),
        ({"max_length": 0}, [".max_length"]),
        ({"max_length": True}, [".max_length"]),
        ({"max_length": 2, "default": "abc"}, [".default"]),
        ({"type": "number", "max_length": 2}, [".max_length"]),
        ({"required": "yes", "description": 1, "type": 3}, [".required", ".description", ".type"]),
        ({"description": "x" * 1_001}, [".description"]),
        ({"allowed": ["x" * 1_000] * 200}, [""]),
    ],
)
def test_a_wrong_declaration_is_named_by_its_key(spec: Any, keys: list[str]) -> None:
    assert fields(variables={"name": spec}) == [f"variables.name{key}" for key in keys]


def test_all_wrong_declarations_are_named_at_once() -> None:
    told = {"name": {"type": "text"}, "b": {"default": []}, "c": {"oops": 1}}
    assert fields(variables=told) == ["variables.name.type", "variables.b.default", "variables.c.oops"]


@pytest.mark.parametrize(
    "spec",
    [
        {"default": None},
        {"default": 3, "example": True},
        {"allowed": ["1", 2], "default": 2},
        {"type": "number", "allowed": [1, 2.5], "default": 1},
        {"type": "list", "default": [], "max_length": 3},
        {"type": "object", "example": {"a": [1]}},
        {"required": False, "description": ""},
    ],
)
def test_a_sound_declaration_is_kept(spec: dict[str, Any]) -> None:
    assert content_of(text="{{a}}", variables={"a": spec}).variables["a"].items() >= spec.items()


def test_stop_texts_are_few_and_short() -> None:
    assert fields(stop=["", "a", 3, "x" * 201]) == ["stop.0", "stop.2", "stop.3"]
    assert fields(stop=["a"] * 17) == ["stop"]
    assert fields(stop="END") == ["stop"]


@pytest.mark.parametrize(
    ("tools", "places"),
    [
        ("x", [""]),
        ([TOOL] * 129, [""]),
        (["x"], [".0"]),
        ([{"type": "function"}], [".0"]),
        ([{**TOOL, "strict": True}], [".0"]),
        ([{**TOOL, "type": "retrieval"}], [".0.type"]),
        ([TOOL, {"type": "function", "function": {"name": "a b"}}, TOOL], [".1.function.name", ".2.function.name"]),
        ([{"type": "function", "function": {"name": "a", "description": 1}}], [".0.function.description"]),
        ([{"type": "function", "function": {"name": "a", "code": "x"}}], [".0.function.code"]),
        ([{"type": "function", "function": {"name": "a", "parameters": []}}], [".0.function.parameters"]),
        ([{"type": "function", "function": {"name": "a", "parameters": {"type": 1}}}], [".0.function.parameters.type"]),
        ([{"type": "function", "function": {"name": "a", "description": "x" * 200_001}}], [""]),
    ],
)
def test_a_wrong_tool_is_named_by_its_place(tools: Any, places: list[str]) -> None:
    assert fields(tools=tools) == [f"tools{place}" for place in places]


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        (["x"], ""),
        ({"type": "text"}, ".type"),
        ({"properties": {"a": {"minimum": "1"}}}, ".properties.a.minimum"),
        ({"$ref": "https://example.com/schema.json"}, ".$ref"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, ".properties.a.$ref"),
        ({"items": {"$ref": "#/$defs/none"}}, ".items.$ref"),
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, ".$schema"),
        ({"$schema": 4}, ".$schema"),
        ({"pattern": "(["}, ".pattern"),
        (nested(40), ""),
        ({"description": "x" * 100_001}, ""),
    ],
)
def test_what_is_no_schema_of_its_own_is_refused(schema: Any, place: str) -> None:
    assert fields(output_schema=schema)[0] == f"output_schema{place}"


def test_a_deep_but_bounded_schema_and_a_ring_of_references_are_taken() -> None:
    ring = {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
    assert content_of(text="x", output_schema=nested(10)).output_schema == nested(10)
    assert content_of(text="x", output_schema=ring).output_schema == ring


def test_a_text_has_at_most_a_million_characters() -> None:
    limit = wording.MAX_TEXT
    assert content_of(text="x" * (limit - 5) + "{{a}}").variables == {"a": {"type": "string", "required": True}}
    assert fields(text="x" * (limit + 1)) == ["content"]
    assert fields(text="{" * (limit + 1), syntax=JINJA2) == ["content"]
    assert fields(messages=[{"role": "user", "content": "x" * (limit // 2 + 1)}] * 2) == ["content"]


def test_includes_are_few_and_their_names_short() -> None:
    assert content_of(text="{{> a}}").text == "{{> a}}"
    assert fields(text="{{> " + "a" * 256 + "}}") == ["content"]
    assert fields(text="".join(f"{{{{> a{n}}}}}" for n in range(101))) == ["content"]
    assert fields(text="{{> }}") == ["content"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "line", ["Lorem ipsum, dolor sit\n", "\u043f\u0440\u0438\u0432\u0435\u0442 "], ids=["english", "cyrillic"]
)
def test_a_megabyte_is_saved_read_and_rendered_over_rest(api: Api, line: str) -> None:
    text = line * (999_000 // len(line.encode())) + "{{name}}"
    made = api.post("/prompts", {"title": "Long", "content": text})
    assert made.status_code == 201, made.content[:300]
    assert api.get("/prompts/long/versions/1").json()["content"] == text
    filled = api.post("/prompts/long/versions/1/render", {"variables": {"name": "Ann"}}).json()["text"]
    assert filled == text.replace("{{name}}", "Ann")
