"""Four web processes over one database: a move, a rollback and a revoked key reach each of them, with Redis and without."""

from __future__ import annotations

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

pytestmark = [pytest.mark.flow, pytest.mark.timeout(240)]
PROCESSES = 4
LATE_S = 30.0
"""How late is a mistake and not a slow machine. How late it is, `bench/freshness.py` measures."""


class Fleet:
    """Web processes of one installation; each is called for itself."""

    def __init__(self, server: LiveServer) -> None:
        ports = [server.port, *(server.start_another_web() for _ in range(PROCESSES - 1))]
        headers = {"X-API-Key": server.key}
        self.server = server
        self.webs = [httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=20) for port in ports]
        self.moved = 0

    def post(self, path: str, body: dict[str, object]) -> dict[str, object]:
        """Send to one process after the other in turns, so that each is sometimes the one that knows at once."""
        self.moved += 1
        answer = self.webs[self.moved % PROCESSES].post(path, json=body)
        assert answer.is_success, answer.text
        return dict(answer.json())

    def versions(self, path: str = "/prompts/greeting/deployed") -> list[int]:
        return [web.get(path).json()["version"] for web in self.webs]

    def serves(self, version: int) -> None:
        """Wait until every process serves the version, and see that none goes back."""
        until = time.monotonic() + LATE_S
        while set(self.versions()) != {version}:
            assert time.monotonic() < until, (version, self.versions())
        assert {web.get("/bundle").json()["prompts"][0]["version"] for web in self.webs} == {version}
        assert set(self.versions()) == {version}

    def move_back_and_forth(self) -> None:
        where = {"prompt_name": "greeting", "environment": "production"}
        self.post("/deployments", {**where, "version": 2})
        self.serves(2)
        self.post("/deployments/rollback", where)
        self.serves(1)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[LocalValkey]:
    server = LocalValkey(tmp_path / "v.sock", tmp_path / "valkey")
    server.start()
    yield server
    server.stop()


def test_every_process_follows_with_redis_and_while_it_is_stopped(tmp_path: Path, valkey: LocalValkey) -> None:
    with LiveServer(tmp_path, redis_url=f"unix://{tmp_path / 'v.sock'}", with_worker=False) as server:
        fleet = Fleet(server)
        fleet.post("/prompts", {"title": "Greeting", "name": "greeting", "content": "Hello {{name}}."})
        fleet.post("/prompts/greeting/versions", {"content": "Hi {{name}}."})
        fleet.post("/deployments", {"prompt_name": "greeting", "environment": "production", "version": 1})
        fleet.serves(1)
        fleet.move_back_and_forth()
        process_id = redis.Redis(unix_socket_path=str(tmp_path / "v.sock")).info("server")["process_id"]
        os.kill(process_id, signal.SIGSTOP)
        try:
            fleet.move_back_and_forth()
            _revoking_reaches_everybody(fleet)
        finally:
            os.kill(process_id, signal.SIGCONT)
        fleet.move_back_and_forth()
        _streams_end_with_the_server(fleet)


def _revoking_reaches_everybody(fleet: Fleet) -> None:
    made = fleet.post("/keys", {"name": "short", "scopes": ["read"]})
    header = {"X-API-Key": str(made["key"])}

    def statuses() -> set[int]:
        return {web.get("/prompts/greeting/deployed", headers=header).status_code for web in fleet.webs}

    assert statuses() == {200}
    assert fleet.webs[0].delete(f"/keys/{made['id']}").is_success
    until = time.monotonic() + LATE_S
    while statuses() != {401}:
        assert time.monotonic() < until


def _streams_end_with_the_server(fleet: Fleet) -> None:
    """A process that is told to end closes its streams first, and does not wait for their readers."""
    name, process = next(item for item in fleet.server.processes.items() if item[0] != "web")
    last = httpx.Client(base_url=f"http://127.0.0.1:{name.removeprefix('web-')}", headers=fleet.webs[0].headers)
    with last.stream("GET", "/events", timeout=httpx.Timeout(20, read=20)) as stream:
        lines = stream.iter_lines()
        assert next(lines) == ": keep-alive"
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert any(line.startswith("data: ") for line in lines)
        process.wait(30)
        assert time.monotonic() - began < LATE_S
