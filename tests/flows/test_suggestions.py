"""Suggestions with real processes and a model server over HTTP: refused by name, cancelled at once, killed in the middle."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.flows.server import LiveServer
from tests.support.scripted_upstream import HANGS, Script, scripted_upstream
from tests.support.suggestions import answered

pytestmark = [pytest.mark.flow, pytest.mark.timeout(240)]
TEXT = "Tell {{customer}}, who waits, that the order is {{order_status}}."
LOST = answered("Tell {{customer}} that the order is there.")
GOOD = answered("Tell {{customer}}: the order is {{order_status}}.")


@pytest.fixture
def upstream() -> Iterator[Script]:
    with scripted_upstream() as script:
        yield script


@pytest.fixture
def server(tmp_path: Path, upstream: Script, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveServer]:
    monkeypatch.setenv("OPENAI_BASE_URL", upstream.address)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-this-test")
    monkeypatch.setenv("LLM_MODELS", "gpt-4o-mini")
    with LiveServer(tmp_path) as running:
        yield running


def test_refused_cancelled_killed_and_gone_on_with(server: LiveServer, upstream: Script) -> None:
    key = server.key
    client = httpx.Client(base_url=server.base, headers={"X-API-Key": key}, timeout=20)
    body = {"title": "Support reply", "name": "support-reply", "content": TEXT, "model": "gpt-4o-mini"}
    assert client.post("/prompts", json=body).status_code == 201

    def ask(*answers: str) -> str:
        upstream.answers.extend(answers)
        asked = client.post("/prompts/support-reply/versions/1/optimize", json={"goal": "clearer", "budget_usd": "0.5"})
        assert asked.status_code == 202, asked.text
        return f"/improvements/{asked.json()['id']}"

    def run(address: str) -> dict[str, Any]:
        found: dict[str, Any] = client.get(address).json()
        return found

    def until(address: str, *states: str) -> dict[str, Any]:
        server.wait_until(lambda: run(address)["state"] in states, f"{address} is not {states}")
        return run(address)

    # One that loses a placeholder is named and asked for once more; the same text says so.
    found = until(ask(LOST, LOST), "finished")
    assert [(one["state"], one["missing"]) for one in found["suggestions"]] == [("rejected", ["order_status"])] * 2
    found = until(ask(answered(TEXT)), "finished")
    assert [one["state"] for one in found["suggestions"]] == ["identical"] and found["calls"] == 1

    # Cancelled: the model server sees its caller leave within two seconds.
    address = ask(HANGS)
    server.wait_until(lambda: len(upstream.asked) == 4, "The model was not asked.")
    began = time.monotonic()
    assert client.post(f"{address}/cancel").json()["state"] == "cancelled"
    server.wait_until(lambda: upstream.left_at, "The call goes on.")
    assert upstream.left_at[0] - began < 2

    # kill -9 in the middle of the second call: the first answer is kept, the second is lost, counted, and not asked again.
    address = ask(LOST, HANGS)
    server.wait_until(lambda: len(upstream.asked) == 6, "The model was not asked twice.")
    server.kill("worker")
    server.start_worker()
    found = until(address, "stopped", "finished")
    assert found["state"] == "stopped" and "A worker ended" in found["reason"]
    assert len(upstream.asked) == 6 and found["calls"] == 2
    assert 0 < float(found["spent_usd"]) <= float(found["budget_usd"])

    # Somebody says so: it goes on where it was. What was answered is not asked again.
    upstream.answers.append(GOOD)
    assert client.post(f"{address}/go-on", json={}).status_code == 200
    found = until(address, "finished")
    assert [one["state"] for one in found["suggestions"]] == ["rejected", "proposed"] and len(upstream.asked) == 7
    suggestion = found["suggestions"][1]["id"]
    assert client.post(f"/suggestions/{suggestion}/accept", json={}).json()["version"] == 2
    assert client.get("/prompts/support-reply").json()["latest_version"]["version"] == 2
