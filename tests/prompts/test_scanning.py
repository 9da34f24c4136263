"""Keys are refused before they are kept for ever; what only looks like one is not, or an administrator lets it through."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from promptlab.audit.models import AuditEntry
from prompts.models import Draft, Prompt, Version
from prompts.services import scanning
from tests.support.api import Api
from tests.support.make import make_key, make_prompt

SIGNS = "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xYzAbCdEf"
"""Put together here, so that no key stands in this file for scanners of repositories to find."""
KEYS = {
    "a private key": "-----BEGIN " + "RSA PRIVATE KEY-----",
    "a key of PromptLab": "pl_" + "abcd1234_" + SIGNS,
    "a key of a model provider": "sk-" + "proj-" + SIGNS,
    "a key of AWS": "AKIA" + "Q3EGR7JSKD5LMN2P",
    "a key of GitHub": "ghp_" + SIGNS[:36],
    "a key of GitLab": "glpat-" + SIGNS[:20],
    "a key of Slack": "xoxb-" + "123456789012-abcdefGHIJ",
    "a key of Google": "AIza" + SIGNS[:35],
    "a key of Stripe": "sk_live_" + SIGNS[:24],
    "a signed token (JWT)": "eyJ" + "hbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0." + "dBjftJeZ4CVP-mB92K27",
    "an assigned secret": 'api_key = "' + SIGNS[:24] + '"',
}
NO_KEYS = [
    "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "sk-your-api-key-goes-here-please",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "api_key = {{key}}",
    "password: correct horse battery staple",
    "token: aaaaaaaaaaaaaaaaaaaaaaaa",
    "The secret = understanding_your_customers",
    "-----BEGIN PUBLIC KEY-----",
    "task-management-and-other-things-1234",
    "550e8400-e29b-41d4-a716-446655440000",
    "Never ask for a password or an API key.",
]
CANARY = KEYS["a key of a model provider"]
pytestmark = pytest.mark.django_db


def found(text: str) -> list[tuple[str, str, int]]:
    return [(one.kind, one.field, one.line) for one in scanning.secrets_in({"content": text})]


@pytest.mark.parametrize(("kind", "key"), list(KEYS.items()))
def test_a_key_is_found_by_kind_and_line(kind: str, key: str) -> None:
    assert found(f"Be kind.\nUse {key} for it.") == [(kind, "content", 2)]


@pytest.mark.parametrize("text", NO_KEYS)
def test_what_only_looks_like_a_key_is_let_through(text: str) -> None:
    assert found(text) == []


def test_a_fresh_key_of_ours_is_found() -> None:
    assert found(f"pl_k3x9ab12_{secrets.token_urlsafe(32)}") == [("a key of PromptLab", "content", 1)]


def refused(answer: Any, field: str, line: int = 1) -> None:
    assert (answer.status_code, answer.json()["code"]) == (400, "secret_in_text"), answer.content
    (problem,) = answer.json()["errors"]
    detail = f"Line {line} has a key of a model provider."
    assert (problem["field"], problem["detail"], problem["code"]) == (field, detail, "secret_in_text")
    assert CANARY.encode() not in answer.content


def test_a_prompt_with_a_key_is_not_made(api: Api) -> None:
    refused(api.post("/api/v1/prompts", {"title": "Greeting", "content": f"Hi.\n{CANARY}"}), "content", 2)
    assert not Prompt.objects.exists()


def test_every_way_of_saving_looks(api: Api, team: Any) -> None:
    make_prompt(team, "Hi.", title="Greeting")
    refused(api.post("/api/v1/prompts/greeting/versions", {"content": CANARY}), "content")
    refused(api.patch("/api/v1/prompts/greeting", {"content": CANARY}), "content")
    refused(api.put("/api/v1/prompts/greeting/draft", {"content": CANARY}), "content")
    said = {"content": "Hi {{name}}", "variables": {"name": {"default": CANARY}}}
    refused(api.post("/api/v1/prompts/greeting/versions", said), "variables.name.default")
    assert Version.objects.count() == 1 and not Draft.objects.exists()


def test_a_message_is_named_by_its_place(api: Api) -> None:
    messages = [{"role": "system", "content": "Hi."}, {"role": "user", "content": CANARY}]
    refused(api.post("/api/v1/prompts", {"title": "Talk", "messages": messages}), "messages.1.content")


def test_an_import_says_so_in_its_plan(api: Api) -> None:
    bundle = {"promptlab": 1, "prompts": [{"name": "greeting", "versions": [{"text": f"Hi. {CANARY}"}]}]}
    planned = api.post("/api/v1/import?dry_run=1", bundle)
    assert "Line 1 of content has a key of a model provider." in planned.json()["prompts"][0]["detail"]
    done = api.post("/api/v1/import", bundle)
    assert (done.status_code, done.json()["errors"][0]["code"]) == (400, "secret_in_text")
    assert CANARY.encode() not in planned.content + done.content
    assert not Prompt.objects.exists()


def test_an_administrator_lets_it_through_with_a_reason_once(api: Api) -> None:
    made = api.post("/api/v1/prompts", {"title": "Greeting", "content": CANARY, "allow_secret": "An example, revoked."})
    assert made.status_code == 201
    entry = AuditEntry.objects.get(verb="secret.allowed")
    assert entry.note == "An example, revoked."
    assert entry.after == {"found": ["content, line 1: a key of a model provider"]}
    assert CANARY not in json.dumps(list(AuditEntry.objects.values("before", "after", "note")))
    assert api.post("/api/v1/prompts/greeting/versions", {"content": f"Hi. {CANARY}"}).status_code == 201
    other = "sk-" + SIGNS[::-1]
    assert api.post("/api/v1/prompts/greeting/versions", {"content": f"Hi. {other}"}).status_code == 400
    assert api.post("/api/v1/prompts/greeting/versions/2/fork", {"title": "Copy"}).status_code == 201


def test_a_draft_with_one_is_saved_with_a_reason(team: Any, api: Api) -> None:
    prompt = make_prompt(team, "Hi.", title="Greeting")
    path, body = "/api/v1/prompts/greeting/draft/save", {"content": CANARY}
    assert api.post(path, body).json()["code"] == "secret_in_text"
    assert api.post(path, {**body, "allow_secret": "An example."}).status_code == 201
    assert prompt.versions.count() == 2


def test_a_writer_cannot_let_it_through(team: Any, api: Api) -> None:
    prompt = make_prompt(team, "Hi.", title="Greeting")
    writer = Api(make_key(team, "write")[1])
    body = {"content": CANARY, "allow_secret": "I want it."}
    answer = writer.post("/api/v1/prompts/greeting/versions", body)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert prompt.versions.count() == 1
