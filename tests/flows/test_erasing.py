"""Erasing an end user of a running installation: no table, no key of Redis, no log and no export names them afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from tests.flows.server import LiveServer
from tests.flows.test_main_path import stream

pytestmark = [pytest.mark.flow, pytest.mark.timeout(240)]
WHO = "customer-4711@example.org"
ELSE = "customer-1@example.org"
TEAM = """
from promptlab.accounts import services
from promptlab.accounts.access import SYSTEM
from tests.support.make import make_experiment, make_prompt
team = services.create_team(SYSTEM, "Acme")
make_experiment(make_prompt(team, title="Support reply"), title="Shorter", running=True)
scopes = ["admin", "read", "write", "chat", "feedback"]
print(services.issue_key(SYSTEM, team, name="flow", scopes=scopes, calls_per_hour=100_000)[1])
"""
NAMED = """
import json
from django.apps import apps
from django.db import connection
found = []
with connection.cursor() as cursor:
    for model in apps.get_models(include_auto_created=True):
        cursor.execute('SELECT * FROM "' + model._meta.db_table + '"')
        found += [model._meta.label for row in cursor.fetchall() if %r in repr(row)]
print(json.dumps(sorted(set(found))))
"""
EXPORTS = [f"/{what}/export?format={form}" for what in ("conversations", "feedback") for form in ("jsonl", "csv")] + [
    "/experiments/shorter/results"
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    running = LiveServer(tmp_path, with_people=False)
    running.env["LOG_LEVEL"] = "DEBUG"
    with running:
        yield running


def kept_by_redis(server: LiveServer) -> list[str]:
    """Return every key of this installation with all that is in it."""
    client = redis.Redis.from_url(server.env["REDIS_URL"])
    reads = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": client.xrange,
    }
    found = [
        repr((key, reads[client.type(key)](key))) for key in client.scan_iter(match=f"{server.env['REDIS_PREFIX']}*")
    ]
    client.close()
    return found


def places(server: LiveServer, client: httpx.Client) -> dict[str, list[str]]:
    """Return where the end user is named: tables, keys, logs, exports."""
    logs = {path.name: path.read_text(errors="replace") for path in server.var.glob("*.log")}
    exports = {path: client.get(path) for path in EXPORTS}
    assert all(answer.status_code == 200 for answer in exports.values()), exports
    return {
        "tables": json.loads(server.python(NAMED % WHO).splitlines()[-1]),
        "redis": [one[:200] for one in kept_by_redis(server) if WHO in one],
        "logs": [line[:300] for text in logs.values() for line in text.splitlines() if WHO in line],
        "exports": [path for path, answer in exports.items() if WHO in answer.text],
    }


def use(client: httpx.Client, who: str) -> str:
    """Do as an end user of an application everything that brings their name here; return an answer's id."""
    asked = {"prompt": "support-reply", "variables": {"name": who}, "user": who, "session_id": f"session of {who}"}
    _, said = stream(client, {**asked, "message": f"I am {who}."})
    for _ in range(2):
        kept = {**asked, "prompt_name": asked["prompt"], "cache": 600, "stale_if_error": 600}
        del kept["prompt"]
        answer = client.post("/generate", json=kept, headers={"Idempotency-Key": f"g-{who}"})
        assert answer.status_code == 200, answer.text
    face = {"model": "echo", "messages": [{"role": "user", "content": f"{who} asks"}], "user": who}
    assert client.post("/v1/chat/completions", json=face).status_code == 200
    assignment = client.get("/experiments/shorter/assignment", params={"unit_id": who})
    assert assignment.status_code == 200, assignment.text
    shown = {"receipt": assignment.json()["receipt"], "unit_id": who, "id": f"shown to {who}"}
    assert client.post("/exposures", json=shown).status_code == 202
    about = {"message_id": said["message_id"], "user": who}
    for rating in (1, -1):
        body = {**about, "rating": rating, "comment": f"Says {who}", "id": f"{who}-{rating}"}
        assert client.post("/feedback", json=body).status_code == 202
    refused = client.post("/feedback", json={**about, "metric": f"of {who}", "value": 1})
    assert refused.status_code == 400, refused.text
    assert client.post("/chat", json={"message": 1, "user": who}).status_code == 400
    return str(said["message_id"])


def test_nobody_finds_them_again(server: LiveServer) -> None:
    key = server.python(TEAM).splitlines()[-1]
    client = httpx.Client(base_url=server.base, headers={"X-API-Key": key}, timeout=30)
    mine, other = use(client, WHO), use(client, ELSE)
    server.wait_until(lambda: rated(client) == 2, "The ratings are not in the sums.")
    tries = {"overrides": {WHO: "variant-1"}}
    assert client.put("/experiments/shorter/overrides", json=tries).status_code == 200
    before = places(server, client)
    assert len(before["tables"]) > 4 and len(before["exports"]) == 4 and not before["logs"], before
    sums = client.get("/feedback/stats").json()["totals"]

    told = client.post("/units/erase", json={"unit_id": WHO})
    assert told.status_code == 200 and told.json()["messages"] > 2, told.text

    assert places(server, client) == {"tables": [], "redis": [], "logs": [], "exports": []}
    assert client.get("/feedback/stats").json()["totals"] == sums
    rows = [json.loads(line) for line in client.get(EXPORTS[2]).text.splitlines()]
    assert {row["message_id"]: row["comment"] for row in rows} == {mine: "", other: f"Says {ELSE}"}


def rated(client: httpx.Client) -> int:
    results: dict[str, Any] = client.get("/experiments/shorter/results").json()
    return sum(int(row["rated"]) for row in results["variants"])
