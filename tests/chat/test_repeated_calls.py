"""`Idempotency-Key` on `POST /chat` and `POST /generate`: one answer, one row, however often it is sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from promptlab.chat.models import Message
from promptlab.llm import ProviderUnavailable
from promptlab.llm.providers import scripted
from tests.chat.conftest import Counter, answers, text_of
from tests.chat.test_generate import generate
from tests.support.asgi import Answer, acall
from tests.support.make import make_key


def say(counter: Counter, sent: str = "k-1", *, key: str = "", **body: Any) -> Answer:
    return asyncio.run(asay(counter, sent, key=key, **body))


async def asay(counter: Counter, sent: str, *, key: str = "", **body: Any) -> Answer:
    said = {"message": "Hello", "model": "scripted", **body}
    headers = {"idempotency-key": sent}
    return await acall(counter.application, "POST", "/chat/", key=key or counter.key, headers=headers, body=said)


def test_the_same_call_again_is_the_same_answer(counter: Counter) -> None:
    with scripted.use(scripted.Reply(("Good ", "day"))) as provider:
        first, again = say(counter), say(counter, '"k-1"')
    assert len(provider.requests) == len(answers()) == 1
    assert text_of(again) == text_of(first) == "Good day"
    assert again.events()[-1] == first.events()[-1]
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    assert again.headers["x-promptlab-message-id"] == first.headers["x-promptlab-message-id"]


def test_an_answer_without_a_word_is_told_again(counter: Counter) -> None:
    with scripted.use(scripted.Reply(())):
        assert say(counter).events() == say(counter).events()


def test_generate_tells_it_again_as_well(counter: Counter) -> None:
    headers = {"idempotency-key": "k-1"}
    with scripted.use("Good day") as provider:
        first = generate(counter, headers=headers, model="scripted", prompt="Hi", session_id="s")
        again = generate(counter, headers=headers, session_id="s", prompt="Hi", model="scripted")
    assert len(provider.requests) == 1
    assert again.headers["idempotent-replayed"] == "true"
    told = {name: value for name, value in first.json().items() if name != "request_id"}
    assert {name: value for name, value in again.json().items() if name != "request_id"} == told


def test_the_same_key_with_another_body_is_refused(counter: Counter) -> None:
    with scripted.use("Good day"):
        say(counter)
        answer = say(counter, message="Bye")
    assert (answer.status, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert len(answers()) == 1


def test_a_key_is_its_caller_s_and_its_address_s(counter: Counter) -> None:
    other = make_key(counter.team, "chat")[1]
    with scripted.use("One", "Two", "Three") as provider:
        say(counter)
        say(counter, key=other)
        generate(counter, headers={"idempotency-key": "k-1"}, prompt="Hi", model="scripted")
    assert len(provider.requests) == 3


@pytest.mark.parametrize("sent", ['"half', '"', '""', "a\x01b", "x" * 256])
def test_a_malformed_key_is_refused(counter: Counter, sent: str) -> None:
    answer = say(counter, sent)
    assert (answer.status, answer.json()["errors"][0]["field"]) == (400, "Idempotency-Key")
    assert answers() == []


def test_while_the_first_is_answered_the_second_is_told_to_wait(counter: Counter) -> None:
    async def both() -> Answer:
        first = asyncio.ensure_future(asay(counter, "k-1"))
        async with asyncio.timeout(20):
            while not provider.requests:
                await asyncio.sleep(0.01)
            second = await asay(counter, "k-1")
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        return second

    with scripted.use(scripted.Reply(("Late",), delay_s=30)) as provider:
        answer = asyncio.run(both())
    assert (answer.status, answer.json()["code"]) == (409, "idempotency_still_running")
    assert int(answer.headers["retry-after"]) >= 1
    assert len(provider.requests) == 1


def test_what_did_not_come_to_its_end_is_asked_for_again(counter: Counter) -> None:
    with scripted.use(scripted.Reply(("Half",), error=ProviderUnavailable()), "Whole"):
        first, second, third = say(counter), say(counter), say(counter)
    assert "error" in first.events()[-1]
    assert (text_of(second), text_of(third)) == ("Whole", "Whole")
    assert [row.state for row in answers()] == ["failed", "completed"]


def test_what_was_refused_leaves_the_key_free(counter: Counter) -> None:
    assert say(counter, conversation_id="no").status == 404
    with scripted.use("Hi"):
        assert say(counter).status == 200


@pytest.mark.postgres
def test_sent_at_once_there_is_one_answer(counter: Counter) -> None:
    async def many() -> list[int]:
        return [one.status for one in await asyncio.gather(*(asay(counter, "k-1") for _ in range(6)))]

    with scripted.use(scripted.Reply(("Hi",), delay_s=0.2)) as provider:
        statuses = asyncio.run(many())
    assert len(provider.requests) == Message.objects.filter(role="assistant").count() == 1
    assert set(statuses) <= {200, 409}
    assert statuses.count(200) >= 1
