"""Every operation of the API is shown by example, and each example is what its schema describes."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator, FormatChecker

from promptlab.lib.openapi import examples, main_answer

Document = dict[str, Any]
TABLE = "promptlab/examples/*.json"


@pytest.fixture(scope="module")
def document() -> Document:
    made: Document = json.loads(json.dumps(SchemaGenerator().get_schema(public=True), default=str))
    return made


def operations(document: Document) -> dict[str, Document]:
    """Return the operations by operationId."""
    return {one["operationId"]: one for item in document["paths"].values() for one in item.values()}


def closed(part: Any) -> Any:
    """Return a schema in which an object has no property that is not described: a misspelt one must not pass."""
    if isinstance(part, list):
        return [closed(one) for one in part]
    if not isinstance(part, dict):
        return part
    strict = {name: closed(value) for name, value in part.items() if name != "example"}
    if isinstance(strict.get("properties"), dict):
        strict.setdefault("additionalProperties", False)
    return strict


def wrong(document: Document, described: Document) -> list[str]:
    """Return what the examples of a body or an answer have against its schemas; a missing one is wrong as well."""
    content = described.get("content", {})
    shown = {media: one for media, one in content.items() if "example" in one}
    if content and not shown:
        return ["has none"]
    components = closed(document["components"])
    found = []
    for media, one in shown.items():
        schema = {**closed(one["schema"]), "components": components}
        for error in Draft202012Validator(schema, format_checker=FormatChecker()).iter_errors(one["example"]):
            found.append(f"{media}: {error.json_path}: {error.message}")
    return found


def test_every_body_has_an_example_that_is_valid(document: Document) -> None:
    bodies = {name: one["requestBody"] for name, one in operations(document).items() if "requestBody" in one}
    assert len(bodies) > 30
    found = {name: problems for name, body in bodies.items() if (problems := wrong(document, body))}
    assert found == {}, f"Correct or add the requests of {sorted(found)} in {TABLE}."


def test_every_answer_has_an_example_that_is_valid(document: Document) -> None:
    answers = {name: main_answer(one) for name, one in operations(document).items()}
    found = {name: problems for name, answer in answers.items() if (problems := wrong(document, answer))}
    assert found == {}, f"Correct or add the responses of {sorted(found)} in {TABLE}."


def test_the_table_holds_nothing_that_is_not_shown(document: Document) -> None:
    every = operations(document)
    assert sorted(set(examples()) - set(every)) == [], f"{TABLE} names operations that are no more."
    for name, example in examples().items():
        assert example.keys() <= {"request", "response"}, name
        assert "request" not in example or "requestBody" in every[name], f"{name} takes no body."
        assert "response" not in example or main_answer(every[name]).get("content"), f"{name} answers nothing."


def test_a_wrong_example_is_found(document: Document) -> None:
    spoilt = copy.deepcopy(document)
    body = operations(spoilt)["prompts_create"]["requestBody"]
    body["content"]["application/json"]["example"] = {"titel": "x", "tags": "support"}
    problems = " ".join(wrong(spoilt, body))
    assert "titel" in problems and "'title' is a required property" in problems and "$.tags" in problems
    del body["content"]["application/json"]["example"]
    assert wrong(spoilt, body) == ["has none"]
