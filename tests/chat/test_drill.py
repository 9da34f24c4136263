"""Every way a model server fails, some calls each at once: all end as stated, and nothing is left over.

`bench/gateway.py --drill` does the same with thousands against a real server process.
"""

from __future__ import annotations

import asyncio
from collections import Counter as Count
from typing import Any

import pytest

from promptlab import llm
from promptlab.chat.services import streams
from promptlab.llm import resilience
from tests.chat.conftest import Counter, answers
from tests.llm.upstream import Upstream, serve

CALLS = 12


@pytest.fixture
def upstream(settings: Any) -> Any:
    resilience.breakers.clear()
    with serve() as running:
        settings.OPENAI_BASE_URL = running.url
        settings.OPENAI_API_KEY = "k"
        yield running
    resilience.breakers.clear()


def ends_of(counter: Counter) -> Count[str]:
    """Ask so many times at once and return how the calls ended, as their callers heard it."""

    async def ask() -> list[Any]:
        heard = await asyncio.gather(*(counter.asay(model="gpt-4o-mini") for _ in range(CALLS)))
        await llm.aclose()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        done, hanging = await asyncio.wait(left, timeout=20) if left else (set(), set())
        assert hanging == set(), done
        return heard

    heard = asyncio.run(ask())
    return Count(
        one.json()["code"] if one.status != 200 else one.events()[-1].get("error", {}).get("code", "whole")
        for one in heard
    )


@pytest.mark.parametrize(
    ("mode", "stated"),
    [
        ("normal", {"whole"}),
        ("500", {"upstream_unavailable"}),
        ("429", {"upstream_rate_limited", "upstream_unavailable"}),
        ("silent", {"upstream_timeout", "upstream_unavailable"}),
        ("stall", {"upstream_timeout", "upstream_unavailable"}),
        ("drop", {"upstream_unavailable"}),
        ("bad_json", {"upstream_malformed", "upstream_unavailable"}),
        ("long_line", {"upstream_malformed", "upstream_unavailable"}),
        ("early_close", {"upstream_malformed", "upstream_unavailable"}),
        ("401", {"upstream_auth_error"}),
    ],
)
def test_every_call_ends_as_stated_and_nothing_is_left(
    counter: Counter, upstream: Upstream, settings: Any, mode: str, stated: set[str]
) -> None:
    if mode in ("silent", "stall"):
        settings.LLM_FIRST_TOKEN_TIMEOUT_S = settings.LLM_IDLE_TIMEOUT_S = 0.5
    upstream.script.extend([mode] * CALLS * 2)
    ends = ends_of(counter)
    assert set(ends) <= stated and ends.total() == CALLS
    rows = answers()
    assert len(rows) == CALLS
    assert {row.state for row in rows} == ({"completed"} if mode == "normal" else {"failed"})
    assert Count(row.error_code or "whole" for row in rows) == ends
    assert all(row.output_tokens is not None and row.cost_usd is not None for row in rows if row.content)
    assert streams.count() == 0


def test_whoever_hangs_up_anywhere_leaves_nothing_open(counter: Counter, upstream: Upstream) -> None:
    async def hang_up() -> None:
        upstream.script.extend(["stall"] * CALLS)
        after = [1 + number % 2 for number in range(CALLS)]
        calls = [asyncio.ensure_future(counter.asay(model="gpt-4o-mini", gone_after=parts)) for parts in after]
        await asyncio.gather(*calls)
        await llm.aclose()

    asyncio.run(hang_up())
    rows = answers()
    assert len(rows) == CALLS
    assert {row.state for row in rows} <= {"cancelled", "failed"}
    assert all(row.is_usage_estimated and row.output_tokens for row in rows if row.state == "cancelled" and row.content)
    assert streams.count() == 0
    for _ in rows:
        assert upstream.left.acquire(timeout=20)
