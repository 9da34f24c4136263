"""The OpenAI-compatible provider, through the door, against a server that misbehaves."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import aclosing
from decimal import Decimal
from typing import Any

import pytest
from django.test import override_settings

from promptlab import llm
from tests.llm.conftest import KEY
from tests.llm.upstream import SECRET, TEXT, WORDS, Upstream

pytestmark = pytest.mark.asyncio


def ask(**options: Any) -> llm.CompletionRequest:
    messages = (llm.ChatMessage("system", "Be kind."), llm.ChatMessage("user", "Hello"))
    return llm.CompletionRequest(**{"messages": messages, "model": "gpt-4o-mini", "purpose": "test", **options})


async def deltas_until_error(request: llm.CompletionRequest) -> tuple[list[str], llm.LLMError]:
    texts: list[str] = []
    with pytest.raises(llm.LLMError) as caught:
        async with aclosing(llm.astream(request)) as events:
            async for event in events:
                assert isinstance(event, llm.Delta)
                texts.append(event.text)
    assert SECRET not in str(caught.value) and KEY not in str(caught.value)
    return texts, caught.value


async def test_an_answer_streams_and_ends_with_its_exact_usage_and_cost(upstream: Upstream) -> None:
    events = [event async for event in llm.astream(ask())]
    assert [event.text for event in events[:-1]] == list(WORDS)
    done = events[-1]
    assert isinstance(done, llm.Completion)
    assert done.text == TEXT
    assert done.usage == llm.Usage(1000, 100, cached_tokens=200, reasoning_tokens=40, cache_write_tokens=50)
    assert done.cost_usd == Decimal("0.000195")
    assert done.finish_reason is llm.FinishReason.STOP
    assert done.provider == "openai"
    assert done.model == "gpt-4o-mini"
    assert done.first_token_ms is not None and 0 <= done.first_token_ms <= done.latency_ms


async def test_the_request_carries_messages_settings_user_and_key(upstream: Upstream) -> None:
    await llm.acomplete(ask(parameters={"temperature": 0.5, "max_tokens": 7, "stop": ["\n"]}, user="ab12"))
    sent = upstream.requests[0]
    assert sent["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello"},
    ]
    assert (sent["temperature"], sent["max_tokens"], sent["stop"], sent["user"]) == (0.5, 7, ["\n"], "ab12")
    assert sent["stream"] is True and sent["stream_options"] == {"include_usage": True}
    assert upstream.keys == [f"Bearer {KEY}"]


async def test_an_unknown_price_is_none(upstream: Upstream) -> None:
    assert (await llm.acomplete(ask(model="nobody-knows-me"))).cost_usd is None


async def test_missing_usage_is_estimated_and_says_so(upstream: Upstream) -> None:
    upstream.script.append("no_usage")
    done = await llm.acomplete(ask())
    assert done.usage.is_estimated
    assert done.usage.output_tokens == llm.estimate(TEXT, "gpt-4o-mini").tokens


@pytest.mark.parametrize("mode", ["split", "no_done", "no_reason", "drop_after_reason", "refusal"])
async def test_an_oddly_framed_answer_is_whole(upstream: Upstream, mode: str) -> None:
    upstream.script.append(mode)
    done = await llm.acomplete(ask())
    assert (done.text, done.finish_reason) == (TEXT, llm.FinishReason.STOP)


async def test_odd_characters_neither_break_the_stream_nor_what_stores_it(upstream: Upstream) -> None:
    upstream.script.append("odd")
    done = await llm.acomplete(ask())
    assert done.text == "Good morning, a\u2028b\x85c\ufffdd\ufffdAnn."


@pytest.mark.parametrize("mode", ["early_close", "bad_json", "not_an_object", "long_line"])
async def test_an_unreadable_or_unfinished_answer_is_never_taken_for_whole(upstream: Upstream, mode: str) -> None:
    upstream.script.append(mode)
    texts, error = await deltas_until_error(ask())
    assert isinstance(error, llm.MalformedAnswer)
    assert texts == list(WORDS[:2])
    assert error.partial and len(upstream.requests) == 1


@pytest.mark.parametrize("mode", ["drop", "error_event"])
async def test_a_provider_that_breaks_off_is_unavailable_and_not_asked_again(upstream: Upstream, mode: str) -> None:
    upstream.script.append(mode)
    texts, error = await deltas_until_error(ask())
    assert isinstance(error, llm.ProviderUnavailable)
    assert texts == list(WORDS[:2])
    assert error.partial and len(upstream.requests) == 1


@pytest.mark.parametrize("mode", ["500", "503", "empty"])
async def test_a_failure_before_the_first_token_is_tried_once_more(upstream: Upstream, mode: str) -> None:
    upstream.script.append(mode)
    assert (await llm.acomplete(ask())).text == TEXT
    assert len(upstream.requests) == 2


async def test_a_provider_that_keeps_failing_is_unavailable(upstream: Upstream) -> None:
    upstream.script.extend(["500", "500"])
    texts, error = await deltas_until_error(ask())
    assert isinstance(error, llm.ProviderUnavailable)
    assert not texts and not error.partial and len(upstream.requests) == 2


async def test_a_rate_limit_passes_on_how_long_to_wait(upstream: Upstream) -> None:
    upstream.script.append("429")
    upstream.headers["retry-after"] = "7.2"
    _, error = await deltas_until_error(ask())
    assert isinstance(error, llm.ProviderRateLimited)
    assert error.retry_after_s == 8 and error.is_retryable and len(upstream.requests) == 1


async def test_a_used_up_quota_is_not_worth_a_retry(upstream: Upstream) -> None:
    upstream.script.append("429")
    upstream.error_code = "insufficient_quota"
    _, error = await deltas_until_error(ask())
    assert error.code == "upstream_rate_limited" and not error.is_retryable and len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("mode", "upstream_code", "status", "code"),
    [
        ("401", None, 502, "upstream_auth_error"),
        ("403", None, 502, "upstream_auth_error"),
        ("400", None, 400, "upstream_bad_request"),
        ("400", "context_length_exceeded", 400, "context_length_exceeded"),
        ("404", "model_not_found", 400, "model_not_found"),
        ("408", None, 504, "upstream_timeout"),
        ("307", None, 503, "llm_misconfigured"),
    ],
)
async def test_a_refusal_becomes_our_error(
    upstream: Upstream, mode: str, upstream_code: str | None, status: int, code: str
) -> None:
    upstream.script.append(mode)
    upstream.error_code = upstream_code
    upstream.headers["location"] = "/elsewhere"
    _, error = await deltas_until_error(ask())
    assert (error.status, error.code) == (status, code)
    assert len(upstream.requests) == 1


async def test_silence_before_the_first_token_times_out(upstream: Upstream) -> None:
    upstream.script.append("silent")
    _, error = await deltas_until_error(ask(first_token_timeout_s=0.1))
    assert isinstance(error, llm.ProviderTimeout) and not error.partial
    assert await upstream.caller_left()
    assert len(upstream.requests) == 1


async def test_the_deadline_ends_an_answer_that_has_begun(upstream: Upstream) -> None:
    upstream.script.append("stall")
    began = time.monotonic()
    texts, error = await deltas_until_error(ask(deadline_s=0.5))
    assert isinstance(error, llm.ProviderTimeout) and error.partial
    assert texts == list(WORDS[:1])
    assert time.monotonic() - began < 30
    assert await upstream.caller_left()


async def test_cancelling_the_waiting_task_closes_the_upstream(upstream: Upstream) -> None:
    upstream.script.append("stall")
    first = asyncio.Event()

    async def read() -> None:
        async for _ in llm.astream(ask()):
            first.set()

    task = asyncio.create_task(read())
    await first.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await upstream.caller_left()


async def test_leaving_the_loop_closes_the_upstream(upstream: Upstream) -> None:
    upstream.script.append("stall")
    async with aclosing(llm.astream(ask())) as events:
        async for _ in events:
            break
    assert await upstream.caller_left()


async def test_calls_one_after_the_other_share_a_connection(upstream: Upstream) -> None:
    upstream.script.extend(["late_end"] * 3)
    for _ in range(3):
        await llm.acomplete(ask())
    assert len(upstream.clients) == 1


async def test_calls_at_the_same_time_get_their_own_answers(upstream: Upstream) -> None:
    done = await asyncio.gather(*(llm.acomplete(ask()) for _ in range(20)))
    assert [answer.text for answer in done] == [TEXT] * 20


async def test_nobody_listening_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with override_settings(OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1", OPENAI_API_KEY=KEY):
        _, error = await deltas_until_error(ask(model="gpt-4o"))
        await llm.aclose()
    assert isinstance(error, llm.ProviderUnavailable)


async def test_a_server_that_does_not_speak_http_is_unavailable() -> None:
    async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ready\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with override_settings(OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1", OPENAI_API_KEY=KEY):
            _, error = await deltas_until_error(ask(model="gpt-4"))
            await llm.aclose()
    assert isinstance(error, llm.ProviderUnavailable)


async def test_a_message_that_is_not_unicode_is_a_bad_request(upstream: Upstream) -> None:
    _, error = await deltas_until_error(ask(messages=[llm.ChatMessage("user", "\ud800")]))
    assert isinstance(error, llm.BadRequest)
