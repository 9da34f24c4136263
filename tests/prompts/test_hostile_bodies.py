"""Whatever a body holds, the answer is a 4xx that says why, or it worked; and every list can still be read after."""

from __future__ import annotations

from typing import Any

import pytest

from promptlab.accounts.models import Team
from tests.support.api import Api
from tests.support.make import make_experiment, make_prompt, make_version

pytestmark = pytest.mark.django_db
PROMPT = {
    "title": "T", "content": "Hi {{name}}.", "name": "new", "description": "d", "collection_id": None, "tags": ["a"],
    "model_type": "chat", "type": "text", "version_string": "v1", "message": "m", "model": "echo",
    "parameters": {"temperature": 0}, "variables": {"name": {"required": True}}, "team_id": None,
}  # fmt: skip
VARIANTS = [{"key": "a", "version": 1, "weight": 50, "name": "A"}, {"key": "b", "version": 2, "weight_bp": 5000}]
BODIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "collection": ("POST", "/collections", {"name": "C", "description": "d", "team_id": None}),
    "prompt": ("POST", "/prompts", PROMPT),
    "prompt put": ("PUT", "/prompts/greeting", {key: value for key, value in PROMPT.items() if key != "name"}),
    "prompt patch": ("PATCH", "/prompts/greeting", {key: value for key, value in PROMPT.items() if key != "name"}),
    "chat prompt": ("POST", "/prompts", {"title": "T", "messages": [{"role": "user", "content": "x"}]}),
    "version": ("POST", "/prompts/greeting/versions", {"content": "x", "parameters": {}, "variables": {}, "message": "m"}),
    "render": ("POST", "/prompts/greeting/versions/1/render", {"variables": {"name": "x"}, "missing": "keep"}),
    "deployment": (
        "POST",
        "/deployments",
        {"prompt_name": "greeting", "environment": "production", "version": 1, "note": "n", "confirm": True, "team_id": None},
    ),
    "rollback": ("POST", "/deployments/rollback", {"prompt_name": "greeting", "environment": "production", "note": "n"}),
    "experiment": (
        "POST",
        "/experiments",
        {
            "title": "E", "key": "e", "hypothesis": "h", "prompt_name": "greeting", "environment": "production",
            "coverage_bp": 10_000, "variants": VARIANTS, "team_id": None,
        },
    ),
    "act": ("POST", "/experiments/shorter/start", {"note": "n"}),
    "key": (
        "POST",
        "/keys",
        {"name": "K", "scopes": ["read"], "environments": ["staging"], "calls_per_hour": 5, "expires_at": "2099-01-01T00:00:00Z"},
    ),
}  # fmt: skip
VALUES: list[Any] = [
    None, True, -1, 10**30, 1.5, "", "x" * 3000, "latest", [], {}, [[], {}, None], {"a": {"b": []}}, {"": {"required": 10**40}},
    "\u202e\ufeff\U0010ffff", "{{",
]  # fmt: skip
RAW = [
    b"[]", b'"x"', b"5", b"null", b"true", b"{", b"\xff\xfe", rb'{"title": "\ud800"}', rb'{"title": "\u0000"}',
    b'{"title":' * 3000, b'{"parameters": {"temperature": 1e999}}', b'{"note": NaN}', b'{"note": 1, "note": 2}', b"9" * 5000,
    b"[" * 20 + b"]" * 20, b"<xml/>",
]  # fmt: skip


@pytest.fixture(autouse=True)
def rows(team: Team) -> None:
    prompt = make_prompt(team, title="Greeting")
    make_version(prompt)
    make_experiment(prompt, title="Shorter")


def survives(api: Api, method: str, path: str, body: Any) -> None:
    answer = api._send(method, path, body)
    assert answer.status_code < 500, (body, answer.content)
    if answer.status_code >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json", body
        assert answer.json()["code"], body
        assert answer.json()["detail"], body


@pytest.mark.parametrize("kind", BODIES)
def test_a_body_of_another_shape_is_a_400(api: Api, kind: str) -> None:
    method, path, _ = BODIES[kind]
    for raw in RAW:
        answer = api._send(method, path, raw)
        assert answer.status_code == 400, (raw[:40], answer.content)
        assert answer.json()["code"] in ("invalid", "invalid_json", "invalid_text", "too_deep", "required"), raw[:40]


@pytest.mark.parametrize("kind", BODIES)
def test_a_field_of_another_type_breaks_nothing(api: Api, kind: str) -> None:
    method, path, good = BODIES[kind]
    for field in good if kind != "prompt put" else ("title", "content"):
        for value in VALUES:
            survives(api, method, path, {**good, field: value})
    for path in ("/collections", "/prompts", "/prompts/greeting/versions", "/deployments", "/experiments", "/keys"):
        assert api.get(path).status_code == 200


@pytest.mark.parametrize("field", ["key", "version", "version_string", "weight", "weight_bp", "name"])
def test_a_variant_of_another_type_breaks_nothing(api: Api, field: str) -> None:
    _, path, good = BODIES["experiment"]
    for value in VALUES:
        survives(api, "POST", path, {**good, "variants": [{**VARIANTS[0], field: value}, VARIANTS[1]]})


@pytest.mark.parametrize("field", ["role", "content", "placeholder"])
def test_a_message_of_another_type_breaks_nothing(api: Api, field: str) -> None:
    for value in VALUES:
        survives(api, "POST", "/prompts", {"title": "T", "messages": [{"role": "user", "content": "x", field: value}]})
    assert api.get("/prompts").status_code == 200
