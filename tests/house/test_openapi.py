"""The API's description is what we promised: it equals the committed one, and is made without a warning."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.conf import settings
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from promptlab.asgi import application

SNAPSHOT = settings.BASE_DIR / "docs" / "spec" / "openapi.json"
REGENERATE = "python manage.py spectacular --format openapi-json --file docs/spec/openapi.json"
Document = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Document:
    """What `/schema` answers, and what it warned of while it was made."""
    GENERATOR_STATS.reset()
    with GENERATOR_STATS.silence():
        made = SchemaGenerator().get_schema(public=True)
    warned = [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]
    plain: Document = json.loads(json.dumps(made, default=str))
    return {**plain, "x-warned": [str(message) for message in warned]}


def test_it_equals_the_committed_one(document: Document) -> None:
    committed = json.loads(SNAPSHOT.read_text())
    now = {name: value for name, value in document.items() if name != "x-warned"}
    every = now["paths"].keys() | committed["paths"].keys()
    differing = [name for name in every if now["paths"].get(name) != committed["paths"].get(name)]
    assert now == committed, f"The API changed: {sorted(differing)}. If that is wanted: {REGENERATE}"


def test_it_is_made_without_a_warning_and_is_valid(document: Document) -> None:
    assert document["x-warned"] == []
    validate_schema(document)


def test_every_hot_route_is_described(document: Document) -> None:
    """They stand before Django, where the generator does not look."""
    ours = [route for route in application.routes if "api/v1" in route.pattern.pattern]
    assert ours
    for route in ours:
        described = [path for path in document["paths"] if route.pattern.match(re.sub(r"\{\w+\}", "x", path))]
        for method in route.methods - {"HEAD"}:
            assert any(method.lower() in document["paths"][path] for path in described), route.pattern.pattern


def test_only_v1_is_described(document: Document) -> None:
    assert {path.startswith("/api/v1/") for path in document["paths"]} == {True}
    assert not [path for path in document["paths"] if path.endswith("/") or "?" in path]


def test_every_operation_has_a_summary_a_tag_and_the_common_errors(document: Document) -> None:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            told = operation.get("summary") or operation.get("description")
            assert told or method in ("get", "put", "patch"), (method, path)
            assert operation["tags"], (method, path)
            assert {"400", "401", "403", "404", "429", "503"} <= operation["responses"].keys(), (method, path)
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))


def test_a_key_goes_into_one_header_or_the_other(document: Document) -> None:
    security = document["paths"]["/api/v1/prompts"]["get"]["security"]
    assert {"key": []} in security
    assert {"bearer": []} in security
    assert set(document["components"]["securitySchemes"]) == {"key", "bearer", "session"}


def test_lists_are_described_as_pages(document: Document) -> None:
    answer = document["paths"]["/api/v1/prompts"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    page = document["components"]["schemas"][answer["$ref"].rpartition("/")[2]]
    assert page["properties"].keys() == {"count", "next", "previous", "results"}
