"""`GET /events`: one event for each revision, resumed without a gap."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from experiments import moves
from experiments.api import environment as door
from experiments.services import lifecycle
from promptlab.accounts import services
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import ApiKey, Team
from promptlab.lib import line
from promptlab.lib.asgi import HotRoutes
from promptlab.lib.stopping import Stopping
from promptlab.lib.threads import run_db
from prompts import revisions
from prompts.models import Environment, Prompt, SnippetUse
from prompts.services import deploying, naming
from tests.support.asgi import acall, call
from tests.support.make import make_experiment, make_key, make_live, make_prompt, make_team, make_version, newest

pytestmark = pytest.mark.django_db(transaction=True)
URL = "/api/v1/events?environment=production"
DEPLOYED = "/api/v1/prompts/greeting/deployed?environment=production"


@dataclass
class Stream:
    """An open stream: what came so far, and a way to wait for more."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    ended: bool = False
    grown: asyncio.Event = field(default_factory=asyncio.Event)
    hang_up: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def events(self) -> list[tuple[int, list[str]]]:
        """(revision, names) of each event, whose frame is checked."""
        found = []
        for frame in self.body.split("\n\n"):
            if frame.startswith("id: "):
                number, kind, data = frame.split("\n")
                told = json.loads(data.removeprefix("data: "))
                assert (kind, told["environment"], number) == (
                    "event: deployment",
                    "production",
                    f"id: {told['revision']}",
                )
                found.append((told["revision"], told["names"]))
        return found

    @property
    def carried(self) -> list[list[dict[str, Any]]]:
        """What came along with each event."""
        data = [line.removeprefix("data: ") for line in self.body.split("\n") if line.startswith("data: ")]
        return [json.loads(line)["prompts"] for line in data]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds."""
        async with asyncio.timeout(20):
            while not condition():
                self.grown.clear()
                await self.grown.wait()


@asynccontextmanager
async def following(app: HotRoutes, key: str, target: str = URL, **headers: str) -> AsyncIterator[Stream]:
    """Open a stream and hang up at the end."""
    stream, path, query = Stream(), *target.split("?")
    sent = {"x-api-key": key, **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
    }

    async def receive() -> dict[str, Any]:
        await stream.hang_up.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            stream.status = message["status"]
            stream.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            stream.body += message.get("body", b"").decode()
            stream.ended = not message.get("more_body")
        stream.grown.set()

    task = asyncio.ensure_future(app(scope, receive, send))
    try:
        await stream.until(lambda: stream.body != "")
        yield stream
    finally:
        stream.hang_up.set()
        await task


@dataclass
class Shop:
    application: HotRoutes
    team: Team
    prompt: Prompt
    production: Environment
    key: ApiKey
    secret: str

    def move(self) -> int:
        """Put another version live and return the revision."""
        make_live(make_version(self.prompt))
        return Environment.objects.get(pk=self.production.pk).revision


@pytest.fixture
def shop(application: HotRoutes) -> Shop:
    team = make_team()
    prompt = make_prompt(team, title="Greeting")
    production = make_live(newest(prompt))
    return Shop(application, team, prompt, production, *make_key(team, "read"))


def test_a_new_reader_hears_where_we_are_and_then_each_move(shop: Shop) -> None:
    async def follow() -> None:
        async with following(shop.application, shop.secret) as stream:
            assert stream.status == 200
            assert stream.headers["content-type"].startswith("text/event-stream")
            assert stream.headers["x-promptlab-revision"] == "1"
            await stream.until(lambda: bool(stream.events))
            assert stream.events == [(1, [])]
            await run_db(shop.move)
            await stream.until(lambda: len(stream.events) == 2)
            assert stream.events[1] == (2, ["greeting"])

    asyncio.run(follow())


def test_what_went_live_comes_along(shop: Shop) -> None:
    async def follow() -> None:
        async with following(shop.application, shop.secret) as stream:
            await stream.until(lambda: bool(stream.events))
            await run_db(shop.move)
            await stream.until(lambda: len(stream.events) == 2)
            assert stream.carried[0] == []
            asked = await acall(shop.application, "GET", DEPLOYED, key=shop.secret)
            assert stream.carried[1] == [asked.json()]
            assert asked.json()["revision"] == 2

    asyncio.run(follow())


def test_what_comes_along_comes_once_and_as_it_is_now(shop: Shop) -> None:
    experiment = make_experiment(shop.prompt, running=True)  # 2
    lifecycle.kill(SYSTEM, experiment)  # 3
    other = make_prompt(shop.team, title="Other")
    make_live(newest(other))  # 4
    deploying.undeploy(SYSTEM, other, shop.production)  # 5

    async def follow() -> None:
        async with following(shop.application, shop.secret, Last_Event_ID="1") as stream:
            await stream.until(lambda: len(stream.events) == 4)
            assert [[one["name"] for one in carried] for carried in stream.carried] == [["greeting"], [], [], []]
            assert (stream.carried[0][0]["revision"], stream.carried[0][0]["experiment"]) == (5, None)

    asyncio.run(follow())


@pytest.mark.parametrize("limit", ["MOST_CARRIED", "MOST_BYTES"])
def test_what_is_too_much_is_left_to_be_asked_for(shop: Shop, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, limit, 0)
    shop.move()

    async def follow() -> None:
        async with following(shop.application, shop.secret, Last_Event_ID="1") as stream:
            await stream.until(lambda: stream.events == [(2, ["greeting"])])
            assert stream.carried == [[]]

    asyncio.run(follow())


def test_who_comes_back_hears_what_it_missed_and_nothing_twice(shop: Shop) -> None:
    experiment = make_experiment(shop.prompt, running=True)  # 2
    lifecycle.kill(SYSTEM, experiment)  # 3
    naming.rename_prompt(SYSTEM, shop.prompt, "welcome")  # 4
    assert shop.move() == 5
    make_live(newest(make_prompt(shop.team)), "staging")
    expected = [(2, ["welcome"]), (3, ["welcome"]), (4, []), (5, ["welcome"])]

    async def follow() -> None:
        for forget in (True, False):
            if forget:
                moves.forget()
            for after in ("1", "3"):
                async with following(shop.application, shop.secret, Last_Event_ID=after) as stream:
                    wanted = [event for event in expected if event[0] > int(after)]
                    await stream.until(lambda: len(stream.events) == len(wanted))  # noqa: B023
                    assert stream.events == wanted
        async with following(shop.application, shop.secret, Last_Event_ID="5") as stream:
            await asyncio.sleep(0.05)
            assert stream.events == []
            assert stream.body == ": keep-alive\n\n"

    asyncio.run(follow())


@pytest.mark.parametrize("said", ["0", "99"])
def test_who_missed_too_much_or_knows_the_future_asks_for_everything(
    shop: Shop, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.move()
    monkeypatch.setattr(moves, "MOST", 1)

    async def follow() -> None:
        async with following(shop.application, shop.secret, Last_Event_ID=said) as stream:
            await stream.until(lambda: bool(stream.events))
            assert stream.events == [(2, [])]

    asyncio.run(follow())


def test_a_snippet_s_move_is_everybody_s(shop: Shop) -> None:
    SnippetUse.objects.create(version=newest(make_prompt(shop.team)), snippet=shop.prompt)
    shop.move()
    assert moves.moves(shop.production, 0, 2) == [moves.Move(1, ()), moves.Move(2, ())]


def test_reading_the_log_costs_the_same_however_much_there_is(shop: Shop, statements: list[str]) -> None:
    spent = []
    for _ in range(2):
        lifecycle.kill(SYSTEM, make_experiment(make_prompt(shop.team), running=True))
        until = Environment.objects.get(pk=shop.production.pk).revision
        statements.clear()
        assert len(moves.moves(shop.production, 0, until)) == until
        spent.append(len(statements))
    assert spent == [4, 4]


def test_many_readers_cost_one_read_and_no_connection_while_idle(shop: Shop, settings: Any) -> None:
    settings.REVISION_CHECK_S = 3600
    read: list[int] = []
    plain = moves.moves

    def counted(*args: Any) -> list[moves.Move]:
        read.append(1)
        return plain(*args)

    async def follow() -> None:
        async with asyncio.timeout(60):
            streams = [following(shop.application, shop.secret) for _ in range(40)]
            opened = [await stream.__aenter__() for stream in streams]
            await run_db(shop.move)
            for stream in opened:
                await stream.until(lambda: len(stream.events) == 2)  # noqa: B023
            for stream in streams:
                await stream.__aexit__(None, None, None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moves, "moves", counted)
        asyncio.run(follow())
    assert len(read) == 1
    assert not door._open
    assert revisions.known(shop.production.pk).holds == 0


def test_silence_is_filled_with_comments(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "KEEP_ALIVE_S", 0.02)

    async def follow() -> None:
        async with following(shop.application, shop.secret, Last_Event_ID="1") as stream:
            await stream.until(lambda: stream.body.count(": keep-alive\n\n") >= 3)
            assert stream.events == []

    asyncio.run(follow())


def test_one_too_many_is_told_to_come_back(shop: Shop, settings: Any) -> None:
    settings.EVENT_STREAMS = 2

    async def follow() -> None:
        two = following(shop.application, shop.secret), following(shop.application, shop.secret)
        async with two[0], two[1], following(shop.application, shop.secret) as third:
            assert (third.status, third.headers["retry-after"]) == (503, "5")
        async with following(shop.application, shop.secret) as again:
            assert again.status == 200

    asyncio.run(follow())


def test_a_revoked_key_ends_its_streams(shop: Shop) -> None:
    async def follow() -> None:
        async with following(shop.application, shop.secret) as stream:
            await run_db(services.revoke_key, SYSTEM, shop.key)
            await stream.until(lambda: stream.ended)

    asyncio.run(follow())


def test_a_server_that_ends_ends_its_streams_first(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    ending = Stopping()
    monkeypatch.setattr(door, "stopping", ending)
    heard: list[int] = []

    async def follow() -> None:
        async with following(shop.application, shop.secret) as stream:
            ending._heard(lambda number, frame: heard.append(number), 15, None)
            await stream.until(lambda: stream.ended)

    asyncio.run(follow())
    assert heard == [15]


def test_a_reader_who_takes_nothing_is_left(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "WRITE_TIMEOUT_S", 0.05)

    async def never() -> dict[str, Any]:
        await asyncio.sleep(3600)
        raise AssertionError

    async def stuck(message: Any) -> None:
        if message.get("body"):
            await asyncio.sleep(3600)

    path, query = URL.split("?")
    headers = [(b"x-api-key", shop.secret.encode())]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": headers}
    asyncio.run(shop.application(scope, never, stuck))
    assert not door._open


def test_without_a_database_the_stream_waits_and_misses_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import OperationalError

    monkeypatch.setattr(door, "RETRY_S", 0.02)
    plain, failures = door.amoves, [1, 1, 1]

    async def sometimes(*args: Any) -> list[moves.Move]:
        if failures:
            failures.pop()
            raise OperationalError
        return await plain(*args)

    monkeypatch.setattr(door, "amoves", sometimes)

    async def follow() -> None:
        async with following(shop.application, shop.secret, Last_Event_ID="1") as stream:
            await run_db(shop.move)
            await stream.until(lambda: stream.events == [(2, ["greeting"])])

    asyncio.run(follow())


def test_who_may(shop: Shop) -> None:
    assert call(shop.application, "GET", URL).status == 401
    assert call(shop.application, "GET", URL, key=make_key(shop.team, "chat")[1]).status == 403
    elsewhere = make_key(shop.team, "read", environments=["staging"])[1]
    assert call(shop.application, "GET", URL, key=elsewhere).json()["code"] == "environment_not_allowed"
    assert call(shop.application, "GET", "/events?environment=moon", key=shop.secret).status == 404
    assert call(shop.application, "GET", URL, key=make_key(make_team(), "read")[1]).status == 404
