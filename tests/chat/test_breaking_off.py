"""Answers that do not come to their end: the row always does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction
from django.utils import timezone

from promptlab.chat.models import Conversation, Message
from promptlab.chat.services import ending, leasing, sweeping
from promptlab.llm.errors import ProviderUnavailable
from promptlab.llm.providers import registry, scripted
from promptlab.llm.providers.base import Finish
from promptlab.llm.types import CompletionRequest, Delta
from tests.chat.conftest import Counter, answers, text_of


def test_failing_before_the_first_word_is_an_http_error(counter: Counter) -> None:
    answer = counter.say(model="echo-fail")
    assert (answer.status, answer.json()["code"]) == (503, "upstream_unavailable")
    assert answer.headers["content-type"] == "application/problem+json"
    (row,) = answers()
    assert (row.state, row.content, row.error_code, row.finish_reason) == (
        "failed",
        "",
        "upstream_unavailable",
        "error",
    )
    assert row.ended_at is not None
    assert row.lease_until is None
    assert row.first_token_ms is None


def test_failing_later_is_an_event_and_the_row_keeps_what_was_said(counter: Counter) -> None:
    answer = counter.say(model="echo-drop")
    assert answer.status == 200
    *tokens, last = answer.events()
    assert len(tokens) == 3
    assert last["done"] is True
    assert (last["error"]["code"], last["error"]["status"]) == ("upstream_unavailable", 503)
    (row,) = answers()
    assert str(row.uid) == last["message_id"]
    assert (row.state, row.content, row.error_code) == ("failed", text_of(answer), "upstream_unavailable")
    assert row.first_token_ms is not None
    assert (row.output_tokens, row.is_usage_estimated, row.cost_usd) == (3, True, 0)


def test_hanging_up_midway_leaves_the_row_cancelled_with_what_was_said(counter: Counter) -> None:
    with scripted.use(scripted.Reply(("one ", "two ", "three "), gap_s=0.05), repeats=True) as model:
        answer = counter.say(model="scripted", gone_after=2)
    said = text_of(answer)
    (row,) = answers()
    assert said == "one two "
    assert (row.state, row.content, row.finish_reason, row.error_code) == ("cancelled", said, "cancelled", "")
    assert row.ended_at is not None
    assert row.lease_until is None
    assert model.abandoned == 1


def test_hanging_up_before_the_first_word_ends_it_too(counter: Counter) -> None:
    incoming = [
        {"type": "http.request", "body": b'{"message": "Hello", "model": "scripted"}'},
        {"type": "http.disconnect"},
    ]
    sent: list[int] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.05 if len(incoming) == 1 else 0)
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message.get("status", 0))

    scope = {
        "type": "http", "method": "POST", "path": "/chat", "query_string": b"",
        "headers": [(b"x-api-key", counter.key.encode())],
    }  # fmt: skip
    with scripted.use(scripted.Reply(("late",), delay_s=30)) as model:
        asyncio.run(counter.application(scope, receive, send))
    assert (answers()[0].state, answers()[0].content) == ("cancelled", "")
    assert sent[0] == 499
    assert model.abandoned == 1


def test_the_end_of_our_process_leaves_the_row_cancelled(counter: Counter) -> None:
    async def shut_down() -> None:
        request = asyncio.ensure_future(counter.asay(model="echo-slow"))
        while not await ending.run_db(lambda: bool(answers())):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        request.cancel()
        with suppress(asyncio.CancelledError):
            await request

    asyncio.run(shut_down())
    assert answers()[0].state == "cancelled"


class Crashing:
    """A provider with a bug: after some words it raises what no provider may."""

    def __init__(self, words: int) -> None:
        self.words = words

    async def astream(self, request: CompletionRequest) -> AsyncGenerator[Delta | Finish, None]:
        for number in range(self.words):
            yield Delta(f"word{number} ")
        raise ZeroDivisionError("secret-detail")

    async def aclose(self) -> None:
        """Hold nothing."""


@pytest.fixture
def crashing() -> Iterator[Callable[[int], None]]:
    yield lambda words: registry.register("crashing", Crashing(words))
    registry.unregister("crashing")


def test_a_bug_before_the_first_word_is_a_500_and_the_row_failed(
    counter: Counter, crashing: Callable[[int], None]
) -> None:
    crashing(0)
    answer = counter.say(model="crashing")
    assert (answer.status, answer.json()["code"]) == (500, "internal_error")
    assert b"secret-detail" not in answer.body
    assert (answers()[0].state, answers()[0].error_code) == ("failed", "internal_error")


def test_a_bug_later_is_an_event_and_the_row_failed(counter: Counter, crashing: Callable[[int], None]) -> None:
    crashing(2)
    answer = counter.say(model="crashing")
    assert answer.events()[-1]["error"]["code"] == "internal_error"
    assert b"secret-detail" not in answer.body
    assert (answers()[0].state, answers()[0].content) == ("failed", "word0 word1 ")


def test_the_first_outcome_counts(counter: Counter) -> None:
    counter.say()
    (row,) = answers()
    Message.objects.filter(pk=row.pk).update(state="abandoned", content="")
    answer = ending.Answer(row.pk, row.uid, row.conversation_id, row.conversation.team_id)
    failed = ending.Outcome.of(None, ProviderUnavailable(), "x", None)
    assert ending.finish_turn(answer, failed) is False
    assert answers()[0].state == "abandoned"


@pytest.mark.postgres
def test_an_answer_that_ends_while_another_turn_is_prepared_ends_after_it(counter: Counter) -> None:
    """Or the other turn, which could not see it yet, would be rebuilt with it."""
    counter.say()
    row = answers()[0]
    Message.objects.filter(pk=row.pk).update(state="streaming", ended_at=None)
    answer = ending.Answer(row.pk, row.uid, row.conversation_id, row.conversation.team_id)

    def finish() -> None:
        ending.finish_turn(answer, ending.Outcome.of(None, None, "x", None))
        connections.close_all()

    finishing = threading.Thread(target=finish)
    with transaction.atomic():
        Conversation.objects.select_for_update().get(pk=row.conversation_id)
        finishing.start()
        finishing.join(0.2)
        prepared_at = timezone.now()
    finishing.join()
    ended_at = answers()[0].ended_at
    assert ended_at is not None
    assert ended_at > prepared_at


def test_a_lost_database_does_not_stop_a_running_answer(
    counter: Counter, no_database: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "PAUSES_S", (0.0,))
    parts: list[int] = []

    async def look(message: dict[str, Any]) -> None:
        parts.append(1)
        if len(parts) == 2:
            no_database()

    answer = counter.watched(look).say()
    assert text_of(answer).endswith("You said: Hello")
    assert answer.events()[-1]["done"] is True


def test_an_answer_is_written_when_the_database_comes_back(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "PAUSES_S", (0.0, 0.0))
    real, tries = ending.finish_turn, []

    def shaky(*args: Any) -> bool:
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError
        return real(*args)

    monkeypatch.setattr(ending, "finish_turn", shaky)
    answer = counter.say()
    assert (answers()[0].state, answers()[0].content) == ("completed", text_of(answer))


def test_what_could_not_be_written_is_closed_by_the_sweeper(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any) -> bool:
        raise OperationalError

    monkeypatch.setattr(ending, "PAUSES_S", ())
    monkeypatch.setattr(ending, "finish_turn", never)
    counter.say()
    assert answers()[0].state == "streaming"
    assert sweeping.close_abandoned(timezone.now() + timedelta(minutes=5)) == 1
    assert answers()[0].state == "abandoned"


def test_a_long_answer_keeps_saying_that_it_is_alive(
    counter: Counter, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And goes on saying so after the database was away for one of the times."""
    settings.MESSAGE_LEASE_S = 0.3
    real, renewals = leasing.renew_leases, []

    def shaky(answer_ids: tuple[int, ...]) -> None:
        renewals.append(answer_ids)
        if len(renewals) == 1:
            raise OperationalError
        real(answer_ids)

    monkeypatch.setattr(leasing, "renew_leases", shaky)
    leases: list[Any] = []

    async def look(message: dict[str, Any]) -> None:
        if message.get("body"):
            leases.append((await ending.run_db(answers))[0].lease_until)

    with scripted.use(scripted.Reply(("one ", "two ", "three"), gap_s=0.25)):
        counter.watched(look).say(model="scripted")
    assert leases[2] > leases[0] + timedelta(seconds=0.2)
    assert answers()[0].state == "completed"
    assert len(renewals) >= 3


def test_answers_of_a_process_renew_their_leases_by_one_statement(settings: Any) -> None:
    settings.MESSAGE_LEASE_S = 0.03
    said: list[tuple[int, ...]] = []

    async def two() -> None:
        with leasing.Lease(1), leasing.Lease(2), leasing.Lease(2):
            while not said:
                await asyncio.sleep(0.005)
        assert [
            task for task in asyncio.all_tasks() if task is not asyncio.current_task() and not task.cancelling()
        ] == []

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(leasing, "renew_leases", lambda ids: said.append(tuple(ids)))
        asyncio.run(two())
    assert set(said) == {(1, 2)}
