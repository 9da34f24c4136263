"""Answers that are given again: the same request of the same team, at no cost, asked for once however many want it."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import Any

import pytest
import redis as client

from promptlab.chat.models import Message
from promptlab.chat.services import kept_answers
from promptlab.lib import cache, redis
from promptlab.llm import BadRequest, FinishReason, ProviderUnavailable
from promptlab.llm.providers import scripted
from tests.chat.conftest import Counter, answers
from tests.chat.test_generate import BY_NAME, agenerate, generate
from tests.support.make import make_key, make_live, make_prompt, make_team, make_version


@pytest.fixture(autouse=True)
def _empty() -> None:
    """Ids repeat from test to test, and so would the places of answers."""
    server = client.Redis(connection_pool=redis.pool())
    for name in server.scan_iter(match="*:cache:*"):
        server.delete(name)


def test_the_same_again_is_given_again_at_no_cost(counter: Counter) -> None:
    with scripted.use("Good day") as provider:
        first = generate(counter, model="scripted", unit_id="user-1", cache=True, **BY_NAME).json()
        second = generate(counter, model="scripted", unit_id="user-2", cache=True, **BY_NAME).json()
    assert len(provider.requests) == 1
    assert (first["cached"], second["cached"]) == (False, True)
    assert first["content"] == second["content"] == "Good day"
    assert (second["cost_usd"], second["tokens_used"]) == (0.0, 0)
    assert second["message_id"] != first["message_id"]
    row = Message.objects.get(uid=second["message_id"])
    assert (row.state, row.is_cached, row.content, row.cost_usd) == ("completed", True, "Good day", Decimal(0))
    assert (row.input_tokens, row.output_tokens, row.unit_id) == (0, 0, "user-2")
    assert row.latency_ms is not None


def test_without_asking_for_it_nothing_is_given_again(counter: Counter) -> None:
    with scripted.use("One", "Two", "Three") as provider:
        generate(counter, model="scripted", prompt="Hi", cache=True)
        for cache_wanted in (False, None):
            assert generate(counter, model="scripted", prompt="Hi", cache=cache_wanted).json()["cached"] is False
    assert len(provider.requests) == 3


OTHER: list[dict[str, Any]] = [
    {"variables": {"name": "Bob"}},
    {"temperature": 0.5},
    {"max_tokens": 7},
    {"model": "scripted-2"},
    {"prompt_name": "greeting@2"},
]


def test_another_request_is_another_answer(counter: Counter) -> None:
    make_version(counter.prompt, "Greet {{name}}. ")
    same = {**BY_NAME, "model": "scripted", "cache": 60}
    with scripted.use("Hi", repeats=True):
        generate(counter, **same)
        for other in OTHER:
            assert generate(counter, **{**same, **other}).json()["cached"] is False, other
        assert generate(counter, **same).json()["cached"] is True


def test_another_team_never_gets_it_even_when_values_are_swapped(counter: Counter) -> None:
    team = make_team()
    key = make_key(team, "chat")[1]
    version = make_prompt(team, "Greet {{name}}.", title="Greeting").newest
    assert version is not None
    make_live(version)
    with scripted.use("Ours", "Theirs", "Theirs again") as provider:
        generate(counter, model="scripted", cache=True, **BY_NAME)
        theirs = generate(counter, key=key, model="scripted", cache=True, **BY_NAME).json()
        assert (theirs["content"], theirs["cached"]) == ("Theirs", False)
        server = client.Redis(connection_pool=redis.pool())
        names = sorted(server.scan_iter(match="*:cache:*"))
        assert len(names) == 2
        values = [server.get(name) for name in names]
        for name, value in zip(names, reversed(values), strict=True):
            server.set(name, value)
        again = generate(counter, key=key, model="scripted", cache=True, **BY_NAME).json()
    assert (again["content"], again["cached"], len(provider.requests)) == ("Theirs again", False, 3)


def test_what_broke_off_or_was_filtered_is_not_kept(counter: Counter) -> None:
    broken = scripted.Reply(("Half",), error=ProviderUnavailable())
    filtered = scripted.Reply(("No",), finish_reason=FinishReason.CONTENT_FILTER)
    with scripted.use(broken, filtered, "Whole") as provider:
        for _ in range(3):
            generate(counter, model="scripted", prompt="Hi", cache=True)
    assert len(provider.requests) == 3


def test_many_at_once_ask_once(counter: Counter) -> None:
    async def many() -> list[dict[str, Any]]:
        calls = [agenerate(counter, model="scripted", prompt="Hi", cache=True) for _ in range(8)]
        return [one.json() for one in await asyncio.gather(*calls)]

    with scripted.use(scripted.Reply(("Hi",), delay_s=0.5)) as provider:
        bodies = asyncio.run(many())
    assert len(provider.requests) == 1
    assert sorted(body["cached"] for body in bodies) == [False] + [True] * 7
    assert {row.state for row in answers()} == {"completed"}
    assert len(answers()) == 8


def test_when_the_first_fails_the_next_takes_over(counter: Counter) -> None:
    async def two() -> list[int]:
        calls = [agenerate(counter, model="scripted", prompt="Hi", cache=True) for _ in range(2)]
        return sorted(one.status for one in await asyncio.gather(*calls))

    failing = scripted.Reply(("Half",), error=ProviderUnavailable(), gap_s=0.3)
    with scripted.use(failing, "Whole") as provider:
        assert asyncio.run(two()) == [200, 503]
    assert len(provider.requests) == 2
    assert {row.state for row in answers()} == {"completed", "failed"}


def test_who_waits_and_hangs_up_leaves_an_ended_row(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[object] = []

    async def seen(*words: str | bytes | int) -> object:
        if "NX" in words:
            tries.append(words)
        return await acommand(*words)

    async def waiting() -> None:
        async with asyncio.timeout(20):
            callers = []
            for number in (1, 2):
                asked = agenerate(counter, model="scripted", prompt="Hi", cache=True)
                callers.append(asyncio.ensure_future(asked))
                while len(tries) < number:
                    await asyncio.sleep(0.01)
            while not provider.requests:
                await asyncio.sleep(0.01)
            for caller in reversed(callers):
                caller.cancel()
                await asyncio.gather(caller, return_exceptions=True)

    acommand = redis.acommand
    monkeypatch.setattr(redis, "acommand", seen)
    with scripted.use(scripted.Reply(("Hi",), delay_s=30)) as provider:
        asyncio.run(waiting())
    assert len(provider.requests) == 1
    assert [row.state for row in answers()] == ["cancelled", "cancelled"]


def test_without_redis_each_asks(counter: Counter, no_redis: None) -> None:
    with scripted.use("One", "Two") as provider:
        for _ in range(2):
            assert generate(counter, model="scripted", prompt="Hi", cache=True).json()["cached"] is False
    assert len(provider.requests) == 2


def test_what_is_too_large_is_not_kept(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_VALUE_BYTES", 100)
    with scripted.use("x" * 200, "y" * 200) as provider:
        for _ in range(2):
            generate(counter, model="scripted", prompt="Hi", cache=True)
    assert len(provider.requests) == 2


# When nobody answers

DOWN = ProviderUnavailable(retry_after_s=7)
STALE = {"prompt": "Hi", "model": "scripted", "stale_if_error": 600}


def test_when_nobody_answers_the_last_answer_is_given_and_marked(counter: Counter) -> None:
    with scripted.use("Good day", DOWN) as provider:
        first = generate(counter, **STALE).json()
        down = generate(counter, unit_id="user-2", **STALE)
    second = down.json()
    assert (first["cached"], first["stale"], second["cached"], second["stale"]) == (False, False, True, True)
    assert (second["content"], second["cost_usd"], second["tokens_used"]) == ("Good day", 0.0, 0)
    assert 0 <= int(down.headers["age"]) <= 600
    row = Message.objects.get(uid=second["message_id"])
    assert (row.state, row.is_cached, row.error_code) == ("completed", True, "upstream_unavailable")
    assert (row.cost_usd, row.input_tokens) == (Decimal(0), 0)
    assert len(provider.requests) > 1, "the provider is asked first"


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({}, {}),
        (STALE, {}),
        ({}, STALE),
        (STALE, {**STALE, "prompt": "Another"}),
        ({**STALE, "cache": 60, "stale_if_error": None}, STALE),
    ],
)
def test_who_did_not_ask_for_it_is_told_to_come_back(
    counter: Counter, first: dict[str, Any], then: dict[str, Any]
) -> None:
    plain = {"prompt": "Hi", "model": "scripted"}
    with scripted.use("Good day", DOWN):
        generate(counter, **{**plain, **first})
        refused = generate(counter, **{**plain, **then})
    assert (refused.status, refused.headers["retry-after"]) == (503, "7")
    assert answers()[-1].state == "failed"


def test_an_answer_older_than_the_caller_takes_is_not_given(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted.use("Good day", DOWN):
        generate(counter, **STALE)
        now = time.time()
        monkeypatch.setattr(kept_answers.time, "time", lambda: now + 100)
        assert generate(counter, **{**STALE, "stale_if_error": 60}).status == 503
        assert generate(counter, **STALE).json()["stale"] is True


def test_what_the_model_refuses_is_never_covered_up(counter: Counter) -> None:
    with scripted.use("Good day", BadRequest()):
        generate(counter, **STALE)
        assert generate(counter, **STALE).status == 400


def test_a_stale_answer_is_not_kept_as_a_fresh_one(counter: Counter) -> None:
    both = {**STALE, "cache": 1}
    with scripted.use("Good day", DOWN):
        generate(counter, **STALE)
        assert generate(counter, **both).json()["stale"] is True
        assert generate(counter, **both).json()["stale"] is True


@pytest.mark.parametrize("wrong", ["x", True, -1, 10**9])
def test_how_old_it_may_be_is_a_number_within_bounds(counter: Counter, wrong: Any) -> None:
    refused = generate(counter, **{**STALE, "stale_if_error": wrong})
    assert refused.status == 400
    assert refused.json()["errors"][0]["field"] == "stale_if_error"
