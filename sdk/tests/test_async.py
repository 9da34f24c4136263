"""`AsyncPrompts`: the same answers, and an event loop that never waits for anything but the network it awaits."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from cast import Clock, Connect, our_threads, until
from fake_server import Fault, PromptServer
from promptlab_sdk import AsyncPrompts, PromptNotFound, Prompts, ServiceUnavailable
from promptlab_sdk.kernel.spec import JINJA2, Content


@pytest.fixture
def aconnect(connect: Connect) -> Callable[..., AsyncPrompts]:
    return lambda **options: AsyncPrompts(connect(**options)._core)


def test_it_says_what_the_other_client_says(server: PromptServer, aconnect: Callable[..., AsyncPrompts]) -> None:
    server.deploy("test", "Hi {{name}}", version=3)

    async def work() -> None:
        prompts = aconnect()
        first = await prompts.get("test", name="Alex")
        again = await prompts.get("test", "production", variables={"name": "Zoë"})
        assert (first, first.source, first.prompt.version) == ("Hi Alex", "network", 3)
        assert (again, again.source) == ("Hi Zoë", "network")
        assert (await prompts.get("test", name="Alex")).source == "cache"
        assert (await prompts.fetch("test")).variables == ("name",)
        with pytest.raises(PromptNotFound):
            await prompts.get("absent")
        assert await prompts.get("absent", fallback="plan b") == "plan b"

    asyncio.run(work())


def test_both_clients_take_the_same_arguments() -> None:
    verbs = [
        "connect",
        "get",
        "fetch",
        "prefetch",
        "feedback",
        "track",
        "invalidate",
        "on_change",
        "status",
        "flush",
        "close",
    ]
    for verb in verbs:
        ours, theirs = (inspect.signature(getattr(kind, verb)) for kind in (Prompts, AsyncPrompts))
        assert ours.parameters == theirs.parameters, verb
        assert getattr(Prompts, verb).__doc__, verb


def test_many_tasks_on_a_cold_prompt_cost_one_request(
    server: PromptServer, aconnect: Callable[..., AsyncPrompts]
) -> None:
    server.deploy("test", "one")
    server.gate.clear()

    async def work() -> None:
        prompts = aconnect()
        tasks = [asyncio.create_task(_got(prompts, "test")) for _ in range(100)]
        while not server.requests:
            await asyncio.sleep(0.01)  # The loop is free while the server has not answered.
        server.gate.set()
        assert set(await asyncio.gather(*tasks)) == {"one"}

    asyncio.run(work())
    assert len(server.requests) == 1


async def _got(prompts: AsyncPrompts, name: str) -> str:
    return str(await prompts.get(name))


def test_who_stops_waiting_takes_nothing_from_the_others(
    server: PromptServer, aconnect: Callable[..., AsyncPrompts]
) -> None:
    server.deploy("test", "one")
    server.gate.clear()

    async def work() -> None:
        prompts = aconnect()
        impatient, patient = (asyncio.create_task(_got(prompts, "test")) for _ in range(2))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(impatient, 0.05)
        server.gate.set()
        assert await patient == "one"

    asyncio.run(work())
    assert len(server.requests) == 1


def test_one_slow_prompt_does_not_hold_up_the_others(
    server: PromptServer, aconnect: Callable[..., AsyncPrompts]
) -> None:
    for number in range(8):
        server.deploy(f"p{number}", f"text {number}")
    server.gate.clear()

    async def work() -> None:
        prompts = aconnect()
        loading = asyncio.create_task(prompts.prefetch(*(f"p{number}" for number in range(8))))
        while len(server.requests) < 8:
            await asyncio.sleep(0.01)  # All eight are on their way at once.
        server.gate.set()
        await loading
        assert await prompts.get("p7") == "text 7"

    asyncio.run(work())


def test_stale_is_served_at_once_and_refreshed_behind(
    server: PromptServer, aconnect: Callable[..., AsyncPrompts], clock: Clock
) -> None:
    server.deploy("test", "one")

    async def work() -> None:
        prompts = aconnect()
        await prompts.get("test")
        server.deploy("test", "two", revision=2)
        clock.pass_(60)
        assert (await prompts.get("test")).source == "stale"
        while await prompts.get("test") != "two":
            await asyncio.sleep(0.01)

    asyncio.run(work())


def test_it_outlives_its_loop(server: PromptServer, aconnect: Callable[..., AsyncPrompts]) -> None:
    server.deploy("a", "A")
    server.deploy("b", "B")
    prompts = aconnect()
    assert asyncio.run(_got(prompts, "a")) == "A"
    assert asyncio.run(_got(prompts, "b")) == "B"


def test_without_a_server_it_raises_a_connection_error(
    server: PromptServer, aconnect: Callable[..., AsyncPrompts]
) -> None:
    server.kill()

    async def work() -> None:
        prompts = aconnect()
        with pytest.raises(ConnectionError) as caught:
            await prompts.get("test")
        assert isinstance(caught.value, ServiceUnavailable)

    asyncio.run(work())


def test_prefetch_tries_all_and_raises_the_first_error(
    server: PromptServer, aconnect: Callable[..., AsyncPrompts]
) -> None:
    server.deploy("b", "B")

    async def work() -> None:
        prompts = aconnect()
        with pytest.raises(PromptNotFound, match="/a/"):
            await prompts.prefetch("a", "b", "c")
        assert (await prompts.get("b")).source == "cache"

    asyncio.run(work())


def test_after_close_a_cold_prompt_is_an_error_and_no_wait(server: PromptServer) -> None:
    async def work() -> None:
        async with AsyncPrompts.connect(server.url) as prompts:
            pass
        with pytest.raises(ConnectionError, match="closed"):
            await prompts.get("test")

    asyncio.run(work())


def test_close_leaves_no_thread(server: PromptServer) -> None:
    server.deploy("test", "one")

    async def work() -> None:
        async with AsyncPrompts.connect(server.url, refresh="stream") as prompts:
            await prompts.get("test")
            prompts.feedback("m1", "rating", 1)
        assert our_threads() == []

    asyncio.run(work())
    assert "/api/v1/feedback" in server.paths()


def test_the_stream_serves_the_loop_too(server: PromptServer, aconnect: Callable[..., AsyncPrompts]) -> None:
    server.deploy("test", "one")
    prompts = aconnect(refresh="stream")
    asyncio.run(_got(prompts, "test"))
    until(lambda: prompts.status().is_connected)
    server.deploy("test", "two", revision=2)
    server.tell()
    until(lambda: asyncio.run(_got(prompts, "test")) == "two")


def test_a_refused_answer_is_remembered_for_tasks_too(
    server: PromptServer, aconnect: Callable[..., AsyncPrompts]
) -> None:
    server.fault = Fault(503)

    async def work() -> None:
        prompts = aconnect()
        for _ in range(10):
            assert await prompts.get("test", fallback="plan b") == "plan b"

    asyncio.run(work())
    assert len(server.requests) == 1


def test_a_fake_for_tests() -> None:
    async def work() -> Any:
        prompts = AsyncPrompts.fake({"greeting": "Hi {{name}}"})
        assert await prompts.get("greeting", name="Alex") == "Hi Alex"
        prompts.feedback("m1", "rating", 1, key="k1")
        await prompts.flush()
        await prompts.close()
        return prompts

    prompts = asyncio.run(work())
    assert [str(call) for call in prompts.calls] == ["Hi Alex"]
    assert prompts.ratings == [{"message_id": "m1", "metric": "rating", "value": 1, "id": "k1"}]


def test_jinja_is_filled_by_the_server_without_holding_up_the_loop(
    server: PromptServer, aconnect: Callable[..., AsyncPrompts]
) -> None:
    server.deploy(
        "test", Content(text="{% if vip %}Sir{% endif %}", syntax=JINJA2, variables={"vip": {"type": "boolean"}})
    )

    async def work() -> str:
        prompts = aconnect()
        await prompts.prefetch("test")
        server.gate.clear()
        server.faults.append(Fault(200, '{"text": "Sir", "messages": []}', "application/json"))
        filling = asyncio.create_task(prompts.get("test", vip=True))
        while len(server.requests) < 2:
            await asyncio.sleep(0.01)
        server.gate.set()
        return str(await filling)

    assert asyncio.run(work()) == "Sir"
