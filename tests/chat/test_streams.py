"""How many answers may be under way at once; and that every place is given back, however an answer ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from promptlab import llm
from promptlab.chat.api import stream
from promptlab.chat.services import ending, streams
from promptlab.chat.services.beginning import Draft
from promptlab.chat.services.turn import TurnPlan, draft_turn
from promptlab.llm.providers import scripted
from tests.chat.conftest import Counter, answers, text_of
from tests.llm.upstream import TEXT, WORDS, Upstream, serve
from tests.support.make import make_key


@pytest.fixture(autouse=True)
def _places_are_back() -> Iterator[None]:
    assert streams.count() == 0
    yield
    assert streams.count() == 0


@asynccontextmanager
async def one_under_way(counter: Counter) -> AsyncIterator[None]:
    """Have one answer under way with the counter's key, and end it by hanging up."""
    with scripted.use(scripted.Reply(("one ", "two "), gap_s=30), name="held"):
        begun = asyncio.Event()

        async def look(message: dict[str, Any]) -> None:
            if message.get("body"):
                begun.set()

        caller = asyncio.ensure_future(counter.watched(look).asay(model="held"))
        await asyncio.wait_for(begun.wait(), 20)
        try:
            yield
        finally:
            caller.cancel()
            await asyncio.wait({caller})


def test_a_key_has_only_so_many_answers_under_way(counter: Counter, settings: Any) -> None:
    settings.CHAT_STREAMS_PER_KEY = 1

    async def ask() -> None:
        async with one_under_way(counter):
            refused = await counter.asay()
            assert (refused.status, refused.json()["code"]) == (429, "too_many_streams")
            assert int(refused.headers["retry-after"]) > 0
            other = (await ending.run_db(make_key, counter.team, "chat", "read"))[1]
            assert (await counter.asay(key=other)).status == 200
        assert (await counter.asay()).status == 200

    asyncio.run(ask())
    assert len(answers()) == 3


def test_a_process_has_only_so_many_answers_under_way(counter: Counter, settings: Any) -> None:
    settings.CHAT_STREAMS = 1

    async def ask() -> None:
        async with one_under_way(counter):
            other = (await ending.run_db(make_key, counter.team, "chat", "read"))[1]
            refused = await counter.asay(key=other)
            assert (refused.status, refused.json()["code"]) == (503, "streams_full")
            assert int(refused.headers["retry-after"]) > 0

    asyncio.run(ask())
    assert len(answers()) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [({"prompt": "nowhere"}, 404), ({"model": "echo-fail"}, 503), ({"message": ""}, 400), ({}, 200)],
)
def test_the_place_is_back_after_every_end(counter: Counter, body: dict[str, Any], status: int) -> None:
    assert (
        counter.say(body.get("message", "Hello"), **{k: v for k, v in body.items() if k != "message"}).status == status
    )


def test_the_place_is_back_when_nothing_could_be_sent(counter: Counter) -> None:
    async def gone(message: dict[str, Any]) -> None:
        raise OSError("the caller is gone")

    counter.watched(gone).say(model="echo-slow")
    assert answers()[0].state == "cancelled"


@pytest.fixture
def draining(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Upstream]:
    """Every turn goes to a provider that is read to its end."""
    with serve() as upstream:
        route = llm.Route("billing", "own", "gpt-4o-mini", address=upstream.url, key="k", drains=True)

        def drafted(*args: Any) -> Draft[TurnPlan]:
            draft = draft_turn(*args)

            def plan() -> TurnPlan:
                made = draft.plan()
                return replace(made, request=replace(made.request, routes=(route,)))

            return replace(draft, plan=plan)

        monkeypatch.setattr(stream, "draft_turn", drafted)
        yield upstream


def hung_up_after_two_words(counter: Counter, upstream: Upstream, *, go_on: bool) -> None:
    async def ask() -> None:
        upstream.script.append("slow_end" if go_on else "stall")
        await counter.asay(gone_after=1)
        assert (await ending.run_db(answers))[0].state == "streaming"
        upstream.go_on.set()
        if go_on:
            await asyncio.wait_for(ending.settled(), 20)
        else:
            await llm.aclose()
            await ending.settled()
        await llm.aclose()

    asyncio.run(ask())


def test_who_hangs_up_is_billed_what_the_provider_counted(counter: Counter, draining: Upstream) -> None:
    hung_up_after_two_words(counter, draining, go_on=True)
    (row,) = answers()
    assert (row.state, row.content) == ("cancelled", WORDS[0])
    assert (row.input_tokens, row.output_tokens, row.is_usage_estimated) == (1000, 100, False)
    assert (row.cached_tokens, row.cache_write_tokens, row.reasoning_tokens) == (200, 50, 40)
    assert row.cost_usd > 0
    assert draining.finished == 1


def test_at_the_end_of_the_process_it_is_estimated(counter: Counter, draining: Upstream) -> None:
    hung_up_after_two_words(counter, draining, go_on=False)
    (row,) = answers()
    assert (row.state, row.content, row.is_usage_estimated) == ("cancelled", WORDS[0], True)


def test_a_whole_answer_keeps_its_tool_calls_and_every_kind_of_token(counter: Counter, draining: Upstream) -> None:
    draining.script.append("tools")
    counter.say()
    (row,) = answers()
    assert (row.state, row.finish_reason, row.content) == ("completed", "tool_calls", "")
    assert [call["function"]["name"] for call in row.tool_calls] == ["weather", "time"]
    assert (row.cached_tokens, row.cache_write_tokens, row.reasoning_tokens) == (200, 50, 40)
    assert row.first_token_ms is not None


def test_a_draining_provider_answers_as_any_other(counter: Counter, draining: Upstream) -> None:
    assert text_of(counter.say()) == TEXT
