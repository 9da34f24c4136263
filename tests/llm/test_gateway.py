"""The door itself: limits, retries, breakers, the log line; with echo and with scripted answers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from contextlib import aclosing
from decimal import Decimal
from typing import Any

import pytest
from django.test import override_settings

from promptlab import llm
from promptlab.llm.providers import scripted
from promptlab.llm.resilience import FAILURES_TO_OPEN
from tests.llm.conftest import KEY
from tests.llm.upstream import TEXT, Upstream


def ask(text: str = "Hello there", *, system: str = "", **options: Any) -> llm.CompletionRequest:
    messages = [llm.ChatMessage("system", system)] if system else []
    return llm.CompletionRequest([*messages, llm.ChatMessage("user", text)], purpose="test", **options)


def failing(request: llm.CompletionRequest) -> llm.LLMError:
    with pytest.raises(llm.LLMError) as caught:
        llm.complete(request)
    return caught.value


@pytest.mark.asyncio
async def test_echo_answers_with_what_the_model_would_have_received() -> None:
    events = [event async for event in llm.astream(ask("How are\nyou?", system="Be kind to Ann."))]
    done = events[-1]
    assert isinstance(done, llm.Completion)
    assert done.text == "[instructions: Be kind to Ann.]\n\nYou said: How are\nyou?"
    assert "".join(event.text for event in events[:-1]) == done.text
    assert len(events) == 11
    assert done.usage == llm.Usage(7, 10)
    assert (done.cost_usd, done.provider, done.model) == (Decimal(0), "echo", "echo")


def test_a_worker_gets_the_whole_answer_without_a_loop() -> None:
    assert llm.complete(ask()).text == "You said: Hello there"


@pytest.mark.asyncio
async def test_a_worker_call_from_a_thread_reaches_a_real_server(upstream: Upstream) -> None:
    for _ in range(2):
        done = await asyncio.to_thread(llm.complete, ask(model="gpt-4o"))
        assert done.text == TEXT


def test_echo_obeys_the_limit_of_tokens() -> None:
    done = llm.complete(ask(parameters={"max_tokens": 3}))
    assert (done.text, done.usage.output_tokens) == ("You said: Hello", 3)
    assert done.finish_reason is llm.FinishReason.LENGTH


def test_echo_fail_fails_before_the_first_token() -> None:
    error = failing(ask(model="echo-fail"))
    assert error.code == "upstream_unavailable" and not error.partial


@pytest.mark.asyncio
async def test_echo_drop_fails_after_three_words() -> None:
    texts: list[str] = []
    with pytest.raises(llm.ProviderUnavailable) as caught:
        async for event in llm.astream(ask(model="echo-drop")):
            texts.append(getattr(event, "text", ""))
    assert texts == ["You", " said:", " Hello"] and caught.value.partial


def test_echo_slow_takes_longer_than_a_short_deadline() -> None:
    error = failing(ask("word " * 500, model="echo-slow", deadline_s=2))
    assert error.code == "upstream_timeout" and error.partial


@pytest.mark.parametrize(
    ("parameters", "messages", "code"),
    [({"n": 5}, [llm.ChatMessage("user", "x")], "unsupported_parameter"), ({}, [], "missing_messages")],
)
def test_a_request_that_makes_no_sense_is_refused(
    parameters: dict[str, int], messages: list[llm.ChatMessage], code: str
) -> None:
    error = failing(llm.CompletionRequest(messages, parameters=parameters))
    assert (error.status, error.code) == (400, code)


def test_a_script_is_out_of_reach_unless_it_is_in_use() -> None:
    with scripted.use("Good ") as provider:
        assert llm.complete(ask(model="scripted")).text == "Good "
        assert provider.requests[0].purpose == "test"
    assert llm.resolve("scripted").provider == "openai"


def test_a_script_can_stand_in_for_every_real_model() -> None:
    with scripted.use("one", "two", name="openai"):
        assert [llm.complete(ask(model=model)).text for model in ("gpt-4o", "o3")] == ["one", "two"]


def test_a_failure_before_the_first_token_is_tried_once_more() -> None:
    with scripted.use(llm.ProviderUnavailable(), "fine") as provider:
        assert llm.complete(ask(model="scripted")).text == "fine"
    assert len(provider.requests) == 2


def test_a_failure_after_the_first_token_is_not_tried_again() -> None:
    with scripted.use(scripted.Reply(("a", "b"), error=llm.ProviderUnavailable())) as provider:
        assert failing(ask(model="scripted")).partial
    assert len(provider.requests) == 1


def test_the_first_token_must_come_in_time() -> None:
    with scripted.use(scripted.Reply(("late",), delay_s=30)) as provider:
        assert failing(ask(model="scripted", first_token_timeout_s=0.02)).code == "upstream_timeout"
    assert provider.abandoned == 1


def test_a_provider_that_fails_again_and_again_is_left_alone_for_a_while() -> None:
    with scripted.use(scripted.Reply(("a",), error=llm.ProviderUnavailable("itself")), repeats=True) as provider:
        for _ in range(FAILURES_TO_OPEN):
            assert failing(ask(model="scripted")).detail == "itself"
        error = failing(ask(model="scripted"))
        assert error.code == "upstream_unavailable" and error.retry_after_s
        assert len(provider.requests) == FAILURES_TO_OPEN
        assert failing(ask(model="scripted-other")).detail == "itself"


@pytest.mark.asyncio
async def test_leaving_early_stops_the_provider() -> None:
    with scripted.use(scripted.Reply(("a", "b", "c"), gap_s=30)) as provider:
        async with aclosing(llm.astream(ask(model="scripted"))) as events:
            await anext(events)
        assert provider.abandoned == 1


@pytest.mark.parametrize(
    ("values", "setting"),
    [
        ({"OPENAI_API_KEY": "", "LLM_ALLOW_REAL_CALLS": True}, "OPENAI_API_KEY"),
        ({"OPENAI_API_KEY": KEY, "LLM_ALLOW_REAL_CALLS": False}, "LLM_ALLOW_REAL_CALLS"),
        (
            {
                "OPENAI_API_KEY": KEY,
                "LLM_ALLOW_REAL_CALLS": False,
                "OPENAI_BASE_URL": "http://127.0.0.1.evil.example",
            },
            "LLM_ALLOW_REAL_CALLS",
        ),
    ],
)
def test_a_call_that_the_settings_do_not_allow_names_the_setting(values: dict[str, Any], setting: str) -> None:
    with override_settings(**{"OPENAI_BASE_URL": "", **values}):
        error = failing(ask(model="gpt-4o"))
    assert isinstance(error, llm.Misconfigured)
    assert (error.status, error.data["setting"]) == (503, setting)
    assert KEY not in error.detail


def call_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    return [line for line in lines if line["event"] == "llm.call"]


def test_each_call_writes_one_line_without_text_or_key(caplog: pytest.LogCaptureFixture) -> None:
    llm.complete(ask("a secret wish"))
    (line,) = call_lines(caplog)
    assert (line["model"], line["provider"], line["purpose"], line["outcome"]) == (
        "echo",
        "echo",
        "test",
        "ok",
    )
    assert (line["input_tokens"], line["output_tokens"], line["cost_usd"]) == (3, 5, "0")
    assert "wish" not in str(line)


async def _leave(request: llm.CompletionRequest) -> None:
    async with aclosing(llm.astream(request)) as events:
        await anext(events)


@pytest.mark.parametrize(
    ("call", "model", "outcome"),
    [
        (failing, "echo-fail", "upstream_unavailable"),
        (lambda request: asyncio.run(_leave(request)), "echo", "cancelled"),
    ],
)
def test_the_line_says_how_a_broken_call_ended(
    call: Callable[[llm.CompletionRequest], object], model: str, outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    call(ask(model=model))
    assert [line["outcome"] for line in call_lines(caplog)] == [outcome]


def test_the_door_loads_nothing_heavy() -> None:
    program = """
import sys
from promptlab import llm
llm.complete(llm.CompletionRequest([llm.ChatMessage("user", "hi")], "echo"))
print(sorted({"openai", "aiohttp", "httpx2", "tiktoken", "genai_prices"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
