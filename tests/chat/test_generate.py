"""`POST /generate`: one whole answer, and the row that tells the same."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from promptlab.chat.models import Conversation, Message
from promptlab.chat.services.metering import roll_up_messages
from promptlab.chat.transcripts import upstream_messages
from promptlab.llm import ProviderUnavailable, pricing
from promptlab.llm.providers import scripted
from promptlab.llm.types import Usage
from tests.chat.conftest import Counter, answers
from tests.support.asgi import Answer, acall
from tests.support.make import make_experiment, make_key, make_live, make_model, make_prompt, make_provider, make_team

MUST_HAVE = {"content", "cached", "model_used", "tokens_used", "request_id", "cost_usd", "message_id"}
BY_NAME = {"prompt_name": "greeting", "variables": {"name": "Ann"}}


def generate(counter: Counter, *, key: str = "", headers: dict[str, str] | None = None, **body: Any) -> Answer:
    return asyncio.run(agenerate(counter, key=key, headers=headers, **body))


async def agenerate(counter: Counter, *, key: str = "", headers: dict[str, str] | None = None, **body: Any) -> Answer:
    sent = {"key": key or counter.key, "headers": headers or {}, "body": body}
    return await acall(counter.application, "POST", "/api/v1/generate", **sent)


def test_a_text_is_answered_whole(counter: Counter) -> None:
    answer = generate(counter, prompt="How are you?", session_id="s-1")
    assert answer.status == 200
    body = answer.json()
    assert body.keys() >= MUST_HAVE
    assert (body["content"], body["cached"], body["model_used"]) == ("You said: How are you?", False, "echo")
    assert (body["cost_usd"], body["session_id"], body["receipt"]) == (0.0, "s-1", None)
    assert body["tokens_used"] == body["usage"]["input_tokens"] + body["usage"]["output_tokens"] > 0
    assert body["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/json"
    assert "ratelimit" in answer.headers


def test_the_row_tells_the_same_as_the_answer(counter: Counter) -> None:
    with scripted.use(scripted.Reply(("Good ", "day"), usage=Usage(7, 2))):
        body = generate(counter, model="scripted", unit_id="user-1", **BY_NAME).json()
    row = Message.objects.get(uid=body["message_id"])
    assert (row.state, row.content, row.purpose) == ("completed", "Good day", "generate")
    assert (row.input_tokens, row.output_tokens, row.cost_usd, body["cost_usd"]) == (7, 2, None, None)
    assert (row.version, row.environment, row.unit_id) == (counter.prompt.newest, counter.production, "user-1")
    assert (row.is_cached, row.ended_at is not None, row.lease_until) == (False, True, None)
    assert str(row.conversation.uid) == body["conversation_id"]
    assert body["receipt"]


def test_a_prompt_that_is_a_text_is_what_the_model_is_asked(counter: Counter) -> None:
    with scripted.use("Hi") as provider:
        body = generate(counter, model="scripted", **BY_NAME).json()
    assert [(said.role, said.content) for said in provider.requests[0].messages] == [("user", "Greet Ann.")]
    assert provider.requests[0].purpose == "generate"
    row = Message.objects.get(uid=body["message_id"])
    assert upstream_messages(row) == list(provider.requests[0].messages)


def test_a_prompt_of_messages_is_sent_as_it_is(counter: Counter) -> None:
    said = [
        {"role": "system", "content": "Be {{mood}}."},
        {"placeholder": "history"},
        {"role": "user", "content": "Hi"},
    ]
    version = make_prompt(counter.team, title="Moods", messages=said).newest
    assert version is not None
    make_live(version)
    with scripted.use("Hi") as provider:
        generate(counter, model="scripted", prompt_name="moods", variables={"mood": "kind"})
    sent = [(one.role, one.content) for one in provider.requests[0].messages]
    assert sent == [("system", "Be kind."), ("user", "Hi")]


def test_each_answer_stands_alone_and_a_session_holds_them_together(counter: Counter) -> None:
    with scripted.use("One", "Two") as provider:
        for text in ("First", "Second"):
            generate(counter, model="scripted", prompt=text, session_id="s-1")
    assert [one.content for one in provider.requests[1].messages] == ["Second"]
    assert Conversation.objects.filter(session="s-1").count() == 2


def test_settings_of_the_call_go_before_the_version_s(counter: Counter) -> None:
    version = make_prompt(counter.team, "Hi.", title="Warm", parameters={"temperature": 0.9, "max_tokens": 50}).newest
    assert version is not None
    make_live(version)
    with scripted.use("Hi", "Hi", "Hi") as provider:
        generate(counter, model="scripted", prompt_name="warm")
        generate(counter, model="scripted", prompt_name="warm", max_tokens=9, temperature=0)
        generate(counter, model="scripted", prompt="Hi")
    first, second, third = (dict(one.parameters) for one in provider.requests)
    assert first == {"temperature": 0.9, "max_tokens": 50}
    assert second == {"temperature": 0, "max_tokens": 9}
    assert third == {"max_tokens": 4096}


def test_a_tier_is_the_model_that_was_chosen_for_it(counter: Counter) -> None:
    ours = make_provider(counter.prompt.team, kind="echo")
    make_model(ours, "small", upstream_name="echo", tier="economy")
    body = generate(counter, prompt="Hi", tier="economy").json()
    assert body["model_used"] == "echo"
    answer = Message.objects.get(uid=body["message_id"])
    assert (answer.provider, answer.asked_model, answer.cost_usd, answer.prices) == (
        ours.name,
        "small",
        0,
        {"source": "free"},
    )
    refused = generate(counter, prompt="Hi", tier="premium").json()
    assert (refused["code"], refused["errors"][0]["field"]) == ("no_model_of_tier", "tier")


def test_who_is_assigned_is_served_their_variant_and_it_is_counted(counter: Counter) -> None:
    experiment = make_experiment(counter.prompt, running=True)
    body = generate(counter, unit_id="user-1", **BY_NAME).json()
    row = Message.objects.get(uid=body["message_id"])
    assert (body["experiment"], body["variant"]) == (experiment.key, row.served_variant.key)  # type: ignore[union-attr]
    assert row.served_variant is not None
    assert roll_up_messages() == 1


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "prompt"),
    ({"prompt": " "}, "prompt"),
    ({"prompt": "Hi", "prompt_name": "greeting"}, "prompt"),
    ({"prompt": 7}, "prompt"),
    ({"prompt": "x" * 200_001}, "prompt"),
    ({"prompt": "Hi", "max_tokens": 0}, "max_tokens"),
    ({"prompt": "Hi", "max_tokens": 4097}, "max_tokens"),
    ({"prompt": "Hi", "max_tokens": True}, "max_tokens"),
    ({"prompt": "Hi", "temperature": 2.1}, "temperature"),
    ({"prompt": "Hi", "temperature": "warm"}, "temperature"),
    ({"prompt": "Hi", "cache": -1}, "cache"),
    ({"prompt": "Hi", "cache": 86_401}, "cache"),
    ({"prompt": "Hi", "cache": "yes"}, "cache"),
    ({"prompt": "Hi", "tier": "best"}, "tier"),
    ({"prompt": "Hi", "tier": "economy", "model": "echo"}, "tier"),
    ({"prompt": "Hi", "session_id": "x" * 201}, "session_id"),
    ({"prompt": "Hi", "variables": []}, "variables"),
]


def test_bad_input_is_named_and_leaves_no_row(counter: Counter) -> None:
    for body, field in BAD:
        answer = generate(counter, **body)
        assert answer.status == 400, body
        assert field in [one["field"] for one in answer.json()["errors"]], body
    assert Message.objects.count() == Conversation.objects.count() == 0


def test_who_may_not_is_told_so(counter: Counter) -> None:
    nobody = asyncio.run(acall(counter.application, "POST", "/generate", body={"prompt": "Hi"}))
    assert nobody.status == 401
    reader = make_key(counter.team, "read")[1]
    assert generate(counter, key=reader, prompt="Hi").status == 403
    stranger = make_key(make_team(), "chat")[1]
    assert generate(counter, key=stranger, **BY_NAME).status == 404
    assert generate(counter, prompt_name="greeting").json()["code"] == "missing_variable"


def test_a_model_that_fails_is_an_error_and_an_ended_row(counter: Counter) -> None:
    with scripted.use(ProviderUnavailable()):
        answer = generate(counter, model="scripted", prompt="Hi")
    assert (answer.status, answer.json()["code"]) == (503, "upstream_unavailable")
    assert [(row.state, row.error_code) for row in answers()] == [("failed", "upstream_unavailable")]


def test_an_answer_that_breaks_off_is_an_error_and_its_text_is_kept(counter: Counter) -> None:
    with scripted.use(scripted.Reply(("Half ",), error=ProviderUnavailable())):
        answer = generate(counter, model="scripted", prompt="Hi")
    assert answer.status == 503
    assert [(row.state, row.content) for row in answers()] == [("failed", "Half ")]


def test_who_hangs_up_ends_the_call_and_the_row(counter: Counter) -> None:
    async def hang_up() -> Answer:
        gone = asyncio.Event()
        sent = [{"type": "http.request", "body": b'{"prompt": "Hi", "model": "scripted"}', "more_body": False}]

        async def receive() -> dict[str, Any]:
            if sent:
                return sent.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            assert message["status" if "status" in message else "body"] in (499, b"")

        scope = {
            "type": "http", "method": "POST", "path": "/generate", "query_string": b"", "client": ("127.0.0.1", 1),
            "headers": [(b"x-api-key", counter.key.encode())],
        }  # fmt: skip
        call = asyncio.ensure_future(counter.application(scope, receive, send))
        async with asyncio.timeout(20):
            while not provider.requests:
                await asyncio.sleep(0.01)
            gone.set()
            await call
        return Answer()

    with scripted.use(scripted.Reply(("Late",), delay_s=30)) as provider:
        asyncio.run(hang_up())
    assert provider.abandoned == 1
    assert [row.state for row in answers()] == ["cancelled"]


def test_a_call_takes_so_many_statements(counter: Counter, statements: list[str]) -> None:
    generate(counter, prompt="Hi")
    statements.clear()
    generate(counter, prompt="Hi")
    assert len(statements) <= 6, statements


@pytest.mark.parametrize("cost", [None, Decimal("0.000123")])
def test_the_cost_is_a_number_or_unknown(counter: Counter, cost: Decimal | None, monkeypatch: Any) -> None:
    monkeypatch.setattr(pricing, "price", lambda *args, **named: pricing.Priced(cost))
    body = generate(counter, prompt="Hi").json()
    assert body["cost_usd"] == (float(cost) if cost else None)
    assert answers()[0].cost_usd == cost
