"""Everything but background work goes on without Redis: away from the start, and stopped in the middle."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from promptlab.management.local_valkey import LocalValkey
from tests.flows.server import LiveServer
from tests.flows.test_main_path import stream

pytestmark = [pytest.mark.flow, pytest.mark.timeout(180)]


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[LocalValkey]:
    server = LocalValkey(tmp_path / "v.sock", tmp_path / "valkey")
    server.start()
    yield server
    server.stop()


def walk(base: str, key: str, name: str) -> float:
    """Take the main path once and return the longest wait in seconds."""
    client = httpx.Client(base_url=base, headers={"X-API-Key": key}, timeout=20)
    waits = []

    def post(path: str, body: dict[str, object], expected: int = 201) -> dict[str, object]:
        began = time.monotonic()
        answer = client.post(path, json=body)
        waits.append(time.monotonic() - began)
        assert answer.status_code == expected, answer.text
        return dict(answer.json())

    post("/prompts", {"title": name, "name": name, "content": "Say {{word}}"})
    post("/deployments", {"prompt_name": name, "environment": "production", "version": 1})
    began = time.monotonic()
    assert client.get(f"/prompts/{name}/deployed/").json()["prompt_text"] == "Say {{word}}"
    _, done = stream(client, {"message": "Hi", "prompt": name, "variables": {"word": "yes"}})
    waits.append(time.monotonic() - began)
    post("/feedback", {"message_id": done["message_id"], "rating": 1}, 202)
    assert client.get(f"/feedback/stats?prompt={name}").json()["totals"]["up"] == 1
    return max(waits)


def test_the_main_path_works_with_no_redis_at_all(tmp_path: Path) -> None:
    with LiveServer(tmp_path, redis_url="redis://127.0.0.1:9/0", with_worker=False) as server:
        assert walk(server.base, server.key, "no-redis") < 5
        health = httpx.get(f"{server.base}/health")
        assert health.status_code == 200 and health.json()["status"] == "degraded"
        assert httpx.get(f"{server.base}/readyz").json()["degraded_by"] == ["redis"]


def test_a_redis_killed_in_the_middle_ends_no_answer_and_no_limit(tmp_path: Path, valkey: LocalValkey) -> None:
    """docs/operations.md: a process counts anew at its share, so that a key has at most twice its quota."""
    quota, before = 6, 3
    with LiveServer(tmp_path, redis_url=f"unix://{tmp_path / 'v.sock'}", with_worker=False) as server:
        options = ["--team", "Acme", "--name", "few", "--scopes", "chat", "--calls-per-hour", str(quota)]
        client = httpx.Client(base_url=server.base, headers={"X-API-Key": server.manage("issue_key", *options)})
        body: dict[str, object] = {"message": "one two three " * 20, "model": "echo-slow"}
        for _ in range(before - 1):
            assert client.post("/generate", json={"prompt": "Hi", "cache": 60}).status_code == 200
        with client.stream("POST", "/chat", json=body) as answer:
            events = answer.iter_lines()
            assert next(events).startswith("data: ")
            os.kill(redis.Redis(unix_socket_path=str(tmp_path / "v.sock")).info("server")["process_id"], signal.SIGKILL)
            statuses = [client.post("/generate", json={"prompt": "Hi", "cache": 60}).status_code for _ in range(9)]
            done = [json.loads(line[6:]) for line in events if line.startswith("data: ")][-1]
        assert statuses == [200] * quota + [429] * 3
        assert done["done"] and done["output_tokens"] > 50
        ready = httpx.get(f"{server.base}/readyz")
        assert (ready.status_code, ready.json()["degraded_by"]) == (200, ["redis"])


def test_a_stopped_redis_costs_one_short_wait(tmp_path: Path, valkey: LocalValkey) -> None:
    with LiveServer(tmp_path, redis_url=f"unix://{tmp_path / 'v.sock'}", with_worker=False) as server:
        key = server.key
        walk(server.base, key, "before")
        process_id = redis.Redis(unix_socket_path=str(tmp_path / "v.sock")).info("server")["process_id"]
        os.kill(process_id, signal.SIGSTOP)
        try:
            assert walk(server.base, key, "while-stopped") < 3
            assert httpx.get(f"{server.base}/health", timeout=5).json()["status"] == "degraded"
        finally:
            os.kill(process_id, signal.SIGCONT)
        server.wait_until(
            lambda: httpx.get(f"{server.base}/health").json()["status"] == "healthy", "still degraded", 15
        )
        lines = [json.loads(line) for line in server.logs("web").splitlines() if line.startswith("{")]
        assert sum(line["event"] == "redis_away" for line in lines) <= 3
