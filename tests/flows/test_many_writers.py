"""Several web processes over one database: 64 versions and 32 moves at once, on PostgreSQL and on SQLite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.flows.server import LiveServer

pytestmark = [pytest.mark.flow, pytest.mark.timeout(300)]
PROCESSES = 4
VERSIONS, MOVES = 64, 32
AT_ONCE = 16
WHERE = {"prompt_name": "greeting", "environment": "production"}
PATIENCE_S = 120
"""On SQLite writers wait for each other, on a slow machine for long."""


@pytest.fixture
def webs(tmp_path: Path) -> Iterator[list[httpx.Client]]:
    with LiveServer(tmp_path, with_worker=False) as server:
        headers = {"X-API-Key": server.key}
        ports = [server.port, *(server.start_another_web() for _ in range(PROCESSES - 1))]
        bases = [f"http://127.0.0.1:{port}" for port in ports]
        yield [httpx.Client(base_url=base, headers=headers, timeout=PATIENCE_S) for base in bases]


def at_once(times: int, send: Callable[[int], httpx.Response]) -> list[httpx.Response]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(send, range(times)))


def everything(web: httpx.Client, path: str) -> list[dict[str, Any]]:
    """Return the rows of all pages."""
    rows, url = [], path
    while url:
        page = web.get(url).json()
        rows += page["results"]
        url = page["next"] or ""
    return rows


def test_numbers_have_no_gap_and_one_version_is_live(webs: list[httpx.Client]) -> None:
    first = webs[0].post("/prompts", json={"title": "Greeting", "name": "greeting", "content": "Text 0."})
    assert first.status_code == 201, first.text
    had = 1

    def write(number: int) -> httpx.Response:
        web = webs[number % PROCESSES]
        return web.post("/prompts/greeting/versions", json={"content": f"Text {number + 1}.", "message": "race"})

    saved = at_once(VERSIONS, write)
    assert Counter(answer.status_code for answer in saved) == {201: VERSIONS}
    assert sorted(answer.json()["version"] for answer in saved) == list(range(had + 1, had + VERSIONS + 1))
    kept = [row["version"] for row in everything(webs[1], "/prompts/greeting/versions")]
    assert kept == list(range(had + VERSIONS, 0, -1))

    def move(number: int) -> httpx.Response:
        body = {**WHERE, "version": had + 1 + number, "confirm": True}
        return webs[number % PROCESSES].post("/deployments", json=body)

    moved = at_once(MOVES, move)
    assert Counter(answer.status_code for answer in moved) == {201: MOVES}
    history = everything(webs[2], "/deployments?prompt_name=greeting&environment=production")
    assert len(history) == MOVES
    by_revision = sorted(history, key=lambda row: row["revision"])
    assert [row["id"] for row in by_revision] == sorted(row["id"] for row in history)
    assert all(later["previous_version"] == earlier["version"] for earlier, later in pairwise(by_revision))
    assert all(later["revision"] == earlier["revision"] + 1 for earlier, later in pairwise(by_revision[-MOVES:]))
    live = by_revision[-1]["version"]
    assert webs[3].get("/prompts/greeting/live?environment=production").json()["version"] == live
