"""Several ways to a model: which one is taken, what is told of it, and that no two share a key."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
from django.test import override_settings

from promptlab import llm
from promptlab.lib import tracing as incoming
from promptlab.llm import draining, meters, resilience, tracing
from promptlab.llm.providers import clients, making, openai, scripted
from tests.llm.test_gateway import ask, call_lines, failing
from tests.llm.upstream import TEXT, WORDS, Upstream

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def _closed_breakers() -> Iterator[None]:
    resilience.breakers.clear()
    yield
    resilience.breakers.clear()


def way(kind: str, **options: Any) -> llm.Route:
    return llm.Route(**{"provider": kind, "kind": kind, "model": "m", **options})


def ways(*kinds: str) -> tuple[llm.Route, ...]:
    return tuple(way(kind) for kind in kinds)


def to(upstream: Upstream, **options: Any) -> llm.Route:
    return way("own", **{"address": upstream.url, "key": "k", "model": "gpt-4o-mini", **options})


def test_the_next_route_answers_when_the_first_cannot(caplog: pytest.LogCaptureFixture) -> None:
    with scripted.use(llm.ProviderRateLimited(retry_after_s=60), name="a"), scripted.use("fine", name="b"):
        done = llm.complete(ask(routes=ways("a", "b")))
    assert (done.text, done.provider) == ("fine", "b")
    (line,) = call_lines(caplog)
    tries: Any = line["tries"]
    assert [(one["provider"], one["outcome"]) for one in tries] == [("a", "upstream_rate_limited"), ("b", "ok")]
    assert (line["provider"], line["attempts"]) == ("b", 2)


@pytest.mark.parametrize("error", [llm.ProviderRefusedKey(), llm.UnknownModel("m"), llm.ProviderTimeout()])
def test_what_another_provider_may_do_better_goes_to_the_next(error: llm.LLMError) -> None:
    with scripted.use(error, name="a"), scripted.use("fine", name="b"):
        assert llm.complete(ask(routes=ways("a", "b"))).text == "fine"


def test_a_request_that_is_wrong_is_wrong_everywhere() -> None:
    with scripted.use(llm.BadRequest(), name="a"), scripted.use("fine", name="b") as second:
        assert failing(ask(routes=ways("a", "b"))).code == "upstream_bad_request"
    assert not second.requests


def test_nothing_is_switched_after_the_first_token() -> None:
    broken = scripted.Reply(("half ",), error=llm.ProviderUnavailable())
    with scripted.use(broken, name="a"), scripted.use("other", name="b") as second:
        error = failing(ask(routes=ways("a", "b")))
    assert error.partial
    assert not second.requests


def test_when_all_fail_the_longest_useful_wait_is_told() -> None:
    waits = {"a": 7, "b": 600, "c": 30}
    with (
        scripted.use(llm.ProviderRateLimited(retry_after_s=waits["a"]), name="a"),
        scripted.use(llm.ProviderRateLimited(retry_after_s=waits["b"]), name="b"),
        scripted.use(llm.ProviderRateLimited(retry_after_s=waits["c"]), name="c"),
    ):
        error = failing(ask(routes=ways("a", "b", "c")))
    assert (error.status, error.code, error.retry_after_s) == (503, "upstream_unavailable", 30)


def test_a_503_always_says_how_long_to_wait() -> None:
    assert failing(ask(model="echo-fail")).retry_after_s == 5


def test_an_open_breaker_is_passed_over_without_asking() -> None:
    with scripted.use(llm.ProviderUnavailable(), name="a") as first, scripted.use("fine", name="b", repeats=True):
        for _ in range(resilience.FAILURES_TO_OPEN):
            llm.complete(ask(routes=ways("a", "b")))
        asked = len(first.requests)
        assert llm.complete(ask(routes=ways("a", "b"))).provider == "b"
        assert len(first.requests) == asked


def test_second_tries_run_out_so_that_they_never_double_the_load() -> None:
    calls, budget = 60, resilience.RetryBudget()
    spent = 0
    for _ in range(calls):
        budget.fill()
        spent += budget.spend()
    assert resilience.RETRIES_AT_ONCE <= spent <= resilience.RETRIES_AT_ONCE + calls * resilience.RETRIES_PER_CALL


def test_without_budget_a_failure_is_not_tried_again() -> None:
    with scripted.use(llm.ProviderUnavailable(), "fine", name="b") as provider:
        retries = resilience.breakers.of("b", "m").retries
        while retries.spend():
            continue
        assert failing(ask(routes=ways("b"))).code == "upstream_unavailable"
    assert len(provider.requests) == 1


@pytest.mark.asyncio
async def test_two_keys_for_one_address_share_nothing(upstream: Upstream) -> None:
    upstream.script.extend(["late_end"] * 4)
    for key in ("one", "two", "one", "two"):
        await llm.acomplete(ask(routes=(to(upstream, key=key),)))
    assert upstream.keys == ["Bearer one", "Bearer two", "Bearer one", "Bearer two"]
    assert len(upstream.clients) == 2


@pytest.mark.asyncio
async def test_a_new_version_of_a_provider_gets_connections_of_its_own(upstream: Upstream) -> None:
    upstream.script.extend(["late_end"] * 2)
    for version in ("1", "2"):
        await llm.acomplete(ask(routes=(to(upstream, version=version),)))
    assert len(upstream.clients) == 2


@pytest.mark.asyncio
async def test_clients_are_few_and_unused_ones_are_closed(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "MAX_CLIENTS", 3)
    provider = making.named("openai")
    assert isinstance(provider, openai.OpenAIProvider)
    for number in range(6):
        await llm.acomplete(ask(routes=(to(upstream, version=str(number)),)))
    assert len(provider._clients) == 3
    monkeypatch.setattr(clients, "CLIENT_IDLE_S", -1.0)
    await llm.acomplete(ask(routes=(to(upstream, version="last"),)))
    assert len(provider._clients) == 1


@pytest.mark.asyncio
async def test_azure_is_asked_its_own_way(upstream: Upstream) -> None:
    address = upstream.url.removesuffix("/v1")
    route = way("azure", address=address, key="k", model="our-deployment", api_version="2024-10-21")
    done = await llm.acomplete(ask(routes=(route,), parameters={"max_tokens": 9}))
    assert (done.text, done.provider) == (TEXT, "azure")
    assert upstream.targets == ["/openai/deployments/our-deployment/chat/completions?api-version=2024-10-21"]
    assert upstream.keys == ["k"]
    assert upstream.requests[0]["max_completion_tokens"] == 9


@pytest.mark.asyncio
async def test_calls_of_tools_come_in_pieces_and_end_whole(upstream: Upstream) -> None:
    upstream.script.append("tools")
    events = [event async for event in llm.astream(ask(routes=(to(upstream),)))]
    done = events[-1]
    assert isinstance(done, llm.Completion)
    assert done.finish_reason is llm.FinishReason.TOOL_CALLS
    assert done.tool_calls == tuple(
        {"id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": '{"city": "Rome"}'}}
        for index, name in enumerate(("weather", "time"))
    )
    assert all(isinstance(event, llm.Delta) and event.tool_calls and not event.text for event in events[:-1])
    assert done.first_token_ms is not None


@pytest.mark.asyncio
async def test_what_tools_said_is_sent_along(upstream: Upstream) -> None:
    called = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        llm.ChatMessage("user", "Weather?"),
        llm.ChatMessage("assistant", "", tool_calls=[called]),
        llm.ChatMessage("tool", "sunny", tool_call_id="c1"),
    ]
    await llm.acomplete(llm.CompletionRequest(messages, routes=(to(upstream),)))
    assert upstream.requests[0]["messages"][1:] == [
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "content": "sunny", "tool_call_id": "c1"},
    ]


@pytest.mark.asyncio
async def test_all_kinds_of_tokens_are_told_apart(upstream: Upstream) -> None:
    done = await llm.acomplete(ask(routes=(to(upstream),)))
    assert done.usage == llm.Usage(1000, 100, cached_tokens=200, reasoning_tokens=40, cache_write_tokens=50)


@pytest.mark.asyncio
async def test_who_hangs_up_leaves_a_draining_route_to_be_read_to_its_end(upstream: Upstream) -> None:
    upstream.script.append("slow_end")
    rest = llm.Rest()
    async with aclosing(llm.astream(ask(routes=(to(upstream, drains=True),)), rest=rest)) as events:
        await anext(events)
    assert rest.reading is not None and draining.count() == 1
    upstream.go_on.set()
    done = await asyncio.wait_for(rest.reading, 20)
    assert done is not None
    assert (done.text, done.usage.output_tokens) == (TEXT, 100)
    assert draining.count() == 0


@pytest.mark.asyncio
async def test_who_hangs_up_elsewhere_ends_the_call_at_the_provider(upstream: Upstream) -> None:
    upstream.script.append("stall")
    rest = llm.Rest()
    async with aclosing(llm.astream(ask(routes=(to(upstream),)), rest=rest)) as events:
        await anext(events)
    assert rest.reading is None and rest.route is not None
    assert await upstream.caller_left()


@pytest.mark.asyncio
async def test_only_so_many_are_read_to_their_end(upstream: Upstream) -> None:
    upstream.script.append("stall")
    with override_settings(LLM_DRAINS=0):
        async with aclosing(llm.astream(ask(routes=(to(upstream, drains=True),)))) as events:
            await anext(events)
    assert draining.count() == 0
    assert await upstream.caller_left()


@pytest.mark.asyncio
async def test_the_end_of_the_process_ends_what_is_read_on(upstream: Upstream) -> None:
    upstream.script.append("stall")
    rest = llm.Rest()
    async with aclosing(llm.astream(ask(routes=(to(upstream, drains=True),)), rest=rest)) as events:
        await anext(events)
    await llm.aclose()
    assert rest.reading is not None and rest.reading.cancelled()
    assert await upstream.caller_left()


@pytest.mark.asyncio
async def test_a_draining_route_gives_answers_and_errors_as_any_other(upstream: Upstream) -> None:
    route = to(upstream, drains=True)
    assert (await llm.acomplete(ask(routes=(route,)))).text == TEXT
    upstream.script.append("drop")
    texts: list[str] = []
    with pytest.raises(llm.ProviderUnavailable) as caught:
        async for event in llm.astream(ask(routes=(route,))):
            texts.append(getattr(event, "text", ""))
    assert texts == list(WORDS[:2]) and caught.value.partial


@pytest.mark.asyncio
async def test_what_was_said_before_it_broke_off_is_priced_as_an_estimate(upstream: Upstream) -> None:
    spent = await llm.aspent(ask(), to(upstream), "Good morning")
    assert spent.usage.is_estimated
    assert spent.usage.output_tokens == 2
    assert spent.cost_usd is not None and spent.cost_usd > 0


@pytest.mark.asyncio
@pytest.mark.parametrize("allowed", [True, False])
async def test_the_trace_goes_on_where_the_setting_says_so(upstream: Upstream, allowed: bool) -> None:
    incoming.note(TRACE)
    with override_settings(LLM_FORWARD_TRACEPARENT=allowed):
        await llm.acomplete(ask(routes=(to(upstream),)))
    incoming.note("not a trace")
    assert incoming.traceparent() == ""
    assert upstream.sent[0].get("traceparent") == (TRACE if allowed else None)


class FakeSpan:
    """Keeps what it is told; stands in for OpenTelemetry's."""

    trace_id, span_id, trace_flags, is_valid = 1, 2, 1, True

    def __init__(self, name: str, attributes: dict[str, Any]) -> None:
        self.name = name
        self.attributes = attributes
        self.ends = 0

    def get_span_context(self) -> FakeSpan:
        return self

    def set_attributes(self, attributes: dict[str, Any]) -> None:
        self.attributes |= attributes

    def end(self) -> None:
        self.ends += 1


class FakeTrace:
    class SpanKind:
        CLIENT = "client"

    def __init__(self) -> None:
        self.spans: list[FakeSpan] = []

    def get_tracer(self, _name: str) -> FakeTrace:
        return self

    def start_span(self, name: str, *, kind: str, attributes: dict[str, Any]) -> FakeSpan:
        self.spans.append(FakeSpan(name, attributes))
        return self.spans[-1]


@pytest.mark.asyncio
async def test_a_span_tells_names_and_numbers_of_a_call(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = FakeTrace()
    monkeypatch.setattr(tracing, "trace", spans)
    with override_settings(LLM_FORWARD_TRACEPARENT=True):
        await llm.acomplete(ask("a secret wish", routes=(to(upstream),), parameters={"temperature": 0}))
    (span,) = spans.spans
    assert (span.name, span.ends) == ("chat gpt-4o-mini", 1)
    assert span.attributes["gen_ai.request.temperature"] == 0
    assert span.attributes["gen_ai.provider.name"] == "own"
    assert span.attributes["gen_ai.usage.output_tokens"] == 100
    assert "secret" not in str(span.attributes)
    assert upstream.sent[0]["traceparent"] == f"00-{1:032x}-{2:016x}-01"


def test_calls_are_counted_by_who_answered_and_how_they_ended() -> None:
    before = meters.calls.value("a", "counted", "ok"), meters.calls.value("a", "counted", "upstream_error")
    with scripted.use("fine", llm.LLMError(), name="a"):
        route = way("a", model="counted")
        llm.complete(ask(routes=(route,)))
        failing(ask(routes=(route,)))
    after = meters.calls.value("a", "counted", "ok"), meters.calls.value("a", "counted", "upstream_error")
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1]
