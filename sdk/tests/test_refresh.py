"""Freshness: when the server is asked, how often, and what happens meanwhile."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from cast import Clock, Connect, settle
from fake_server import Fault, PromptServer
from promptlab_sdk import PromptNotFound, Prompts


def test_within_its_ttl_a_prompt_comes_from_memory(server: PromptServer, prompts: Prompts, clock: Clock) -> None:
    server.deploy("test", "one")
    assert prompts.get("test").source == "network"
    clock.pass_(53)
    assert prompts.get("test").source == "cache"
    assert len(server.requests) == 1


def test_after_its_ttl_the_old_text_is_served_while_the_new_one_is_fetched(
    server: PromptServer, prompts: Prompts, clock: Clock
) -> None:
    server.deploy("test", "one", revision=1)
    prompts.get("test")
    server.deploy("test", "two", revision=2)
    clock.pass_(60)
    server.gate.clear()
    late = prompts.get("test")
    assert (late, late.source) == ("one", "stale")
    server.gate.set()
    settle()
    fresh = prompts.get("test")
    assert (fresh, fresh.source, fresh.revision) == ("two", "cache", 2)


def test_the_ttl_is_a_promise_that_jitter_does_not_break(server: PromptServer, connect: Connect, clock: Clock) -> None:
    server.deploy("test", "one")
    clients = [connect(ttl=100) for _ in range(20)]
    for prompts in clients:
        prompts.get("test")
    clock.pass_(89.9)
    assert {prompts.get("test").source for prompts in clients} == {"cache"}
    clock.pass_(10.1)
    assert {prompts.get("test").source for prompts in clients} == {"stale"}
    settle()


def test_an_unchanged_prompt_is_confirmed_without_a_body(server: PromptServer, prompts: Prompts, clock: Clock) -> None:
    server.deploy("test", "one")
    prompts.get("test")
    for _ in range(2):
        clock.pass_(60)
        assert prompts.get("test").source == "stale"
        settle()
        assert prompts.get("test").source == "cache"
    tags = [request.headers.get("if-none-match") for request in server.requests]
    assert tags[0] is None
    assert tags[1] == tags[2]
    assert tags[1] is not None


def test_many_threads_on_a_cold_prompt_cost_one_request(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "one")
    server.gate.clear()
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(prompts.get, "test") for _ in range(20)]
        assert server.arrived.acquire(timeout=10)
        server.gate.set()
        assert {answer.result(10) for answer in answers} == {"one"}
    assert len(server.requests) == 1


def test_many_threads_on_a_stale_prompt_cost_one_request(server: PromptServer, prompts: Prompts, clock: Clock) -> None:
    server.deploy("test", "one")
    prompts.get("test")
    clock.pass_(60)
    server.gate.clear()
    with ThreadPoolExecutor(20) as pool:
        assert {text.source for text in pool.map(lambda _: prompts.get("test"), range(200))} == {"stale"}
    server.gate.set()
    settle()
    assert len(server.requests) == 2


def test_there_is_no_thread_until_something_is_stale_and_none_after(
    server: PromptServer, prompts: Prompts, clock: Clock
) -> None:
    def refreshing() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "promptlab-sdk-refresh"]

    server.deploy("test", "one")
    prompts.get("test")
    prompts.get("test")
    assert refreshing() == []
    clock.pass_(60)
    server.gate.clear()
    prompts.get("test")
    assert refreshing() == ["promptlab-sdk-refresh"]
    server.gate.set()
    settle()
    assert refreshing() == []


def test_one_thread_refreshes_all_prompts(server: PromptServer, prompts: Prompts, clock: Clock) -> None:
    names = [f"p{number}" for number in range(10)]
    for name in names:
        server.deploy(name, name)
    prompts.prefetch(*names)
    clock.pass_(60)
    server.gate.clear()
    for name in names:
        prompts.get(name)
    assert sum(thread.name == "promptlab-sdk-refresh" for thread in threading.enumerate()) == 1
    server.gate.set()
    settle()
    assert {prompts.get(name).source for name in names} == {"cache"}


def test_a_missing_prompt_costs_one_request_in_five_seconds(
    server: PromptServer, prompts: Prompts, clock: Clock
) -> None:
    for _ in range(10):
        with pytest.raises(PromptNotFound):
            prompts.get("test")
    assert len(server.requests) == 1
    clock.pass_(5)
    server.deploy("test", "now")
    assert prompts.get("test") == "now"


def test_a_404_found_by_a_refresh_takes_the_prompt_away(server: PromptServer, prompts: Prompts, clock: Clock) -> None:
    server.deploy("test", "one")
    prompts.get("test")
    server.remove("test")
    clock.pass_(60)
    assert prompts.get("test") == "one"
    settle()
    with pytest.raises(PromptNotFound):
        prompts.get("test")
    assert prompts.get("test", fallback="plan b") == "plan b"


def test_the_404_page_of_a_proxy_takes_nothing_away(server: PromptServer, prompts: Prompts, clock: Clock) -> None:
    server.deploy("test", "one")
    prompts.get("test")
    server.fault = Fault(404, "<h1>Not found</h1>", "text/html")
    for _ in range(3):
        clock.pass_(60)
        assert prompts.get("test") == "one"
        settle()


def test_invalidate_makes_the_next_get_ask(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("a", "one")
    server.deploy("b", "one")
    prompts.prefetch("a", "b")
    server.deploy("a", "two", revision=2)
    prompts.invalidate("a")
    text = prompts.get("a")
    assert (text, text.source) == ("two", "network")
    assert prompts.get("b").source == "cache"


def test_invalidate_without_a_name_means_all(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("a", "one")
    server.deploy("b", "one")
    prompts.prefetch("a", "b")
    prompts.invalidate()
    assert (prompts.get("a").source, prompts.get("b").source) == ("network", "network")


def test_invalidate_forgets_that_a_prompt_was_missing(server: PromptServer, prompts: Prompts) -> None:
    with pytest.raises(PromptNotFound):
        prompts.get("test")
    server.deploy("test", "now")
    prompts.invalidate("test")
    assert prompts.get("test") == "now"


def test_what_was_read_before_an_invalidate_does_not_count_after_it(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "one")
    server.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        early = pool.submit(prompts.get, "test")
        assert server.arrived.acquire(timeout=10)
        prompts.invalidate("test")
        server.gate.set()
        assert early.result(10) == "one"
    server.deploy("test", "two", revision=2)
    assert prompts.get("test") == "two"


def test_a_pinned_number_is_kept_for_a_day_and_a_string_for_the_ttl(
    server: PromptServer, prompts: Prompts, clock: Clock
) -> None:
    server.deploy("test", "three", version=3)
    prompts.get("test", version=3)
    prompts.get("test", version="latest")
    server.deploy("test", "four", version=4)
    clock.pass_(60)
    assert prompts.get("test", version=3).source == "cache"
    assert prompts.get("test", version="latest").source == "stale"
    settle()
    assert prompts.get("test", version="latest").prompt.version == 4
    clock.pass_(24 * 3600)
    assert prompts.get("test", version=3).source == "stale"
    settle()


def test_status_tells_ages_and_errors(server: PromptServer, prompts: Prompts, clock: Clock) -> None:
    assert prompts.status().entries == ()
    server.deploy("test", "one", version=3)
    prompts.get("test")
    clock.pass_(70)
    server.fault = Fault(503)
    prompts.get("test")
    settle()
    status = prompts.status()
    assert status.address == server.url
    assert status.last_error.startswith("ServiceUnavailable: ")
    (entry,) = status.entries
    assert (entry.name, entry.environment, entry.version) == ("test", "production", 3)
    assert (entry.age_s, entry.is_fresh, entry.error) == (70, False, "ServiceUnavailable")


def test_after_close_memory_is_served_and_nothing_is_asked(
    server: PromptServer, prompts: Prompts, clock: Clock
) -> None:
    server.deploy("test", "one")
    prompts.get("test")
    prompts.close()
    clock.pass_(60)
    assert prompts.get("test") == "one"
    settle()
    assert prompts.status().last_error == ""
    with pytest.raises(ConnectionError, match="closed"):
        prompts.get("other")
    assert len(server.requests) == 1
