"""`POST /chat`: tokens, then what it took; and the row that tells the same."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from experiments.models import Experiment
from promptlab.accounts.access import SYSTEM
from promptlab.chat.models import Conversation, Message
from promptlab.lib.threads import run_db
from promptlab.llm.providers import scripted
from promptlab.llm.types import Usage
from prompts.services import deploying
from tests.chat.conftest import Counter, answers, text_of
from tests.support.asgi import call
from tests.support.make import make_experiment, make_key, make_live, make_prompt, make_team, make_version

DONE = {
    "done", "message_id", "conversation_id", "variant", "model", "input_tokens", "output_tokens",
    "latency_ms", "first_token_ms", "cost_usd",
}  # fmt: skip


def test_an_answer_is_tokens_and_then_one_event_with_what_it_took(counter: Counter) -> None:
    answer = counter.say("How are you?")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *tokens, done = answer.events()
    assert len(tokens) > 3
    assert all(list(event) == ["token"] and event["token"] for event in tokens)
    assert text_of(answer) == "[instructions: Greet Ann.]\n\nYou said: How are you?"
    assert done.keys() >= DONE
    assert (done["done"], done["model"], done["variant"], done["version"]) == (True, "echo", None, 1)
    assert (done["output_tokens"], done["finish_reason"], done["cost_usd"]) == (len(tokens), "stop", 0.0)
    assert done["input_tokens"] > 0
    assert 0 <= done["first_token_ms"] <= done["latency_ms"]


def test_the_row_tells_the_same_as_the_answer(counter: Counter) -> None:
    answer = counter.say("How are you?", user="user-1")
    done = answer.events()[-1]
    row = Message.objects.get(uid=done["message_id"])
    assert (row.state, row.content) == ("completed", text_of(answer))
    assert str(row.conversation.uid) == done["conversation_id"]
    for name in ("model", "input_tokens", "output_tokens", "latency_ms", "first_token_ms", "finish_reason"):
        assert getattr(row, name) == done[name], name
    assert (row.cost_usd, row.provider, row.unit_id) == (Decimal(0), "echo", "user-1")
    assert (row.version, row.environment) == (counter.prompt.newest, counter.production)
    assert row.ended_at is not None
    assert row.lease_until is None
    assert answer.headers["x-promptlab-message-id"] == done["message_id"]
    assert answer.headers["x-promptlab-prompt"] == "greeting@1"
    assert row.request_id == answer.headers["x-request-id"]


def test_the_row_is_there_before_the_first_byte_and_completed_before_the_last(counter: Counter) -> None:
    seen: list[tuple[str, str]] = []

    async def look(message: dict[str, Any]) -> None:
        found = await run_db(answers)
        seen.append((message["type"] if not message.get("body") else message["body"][:14].decode(), found[0].state))

    counter.watched(look).say()
    assert seen[0] == ("http.response.start", "streaming")
    assert seen[1] == ('data: {"token"', "streaming")
    assert seen[-1] == ('data: {"done":', "completed")


def test_every_token_is_sent_as_it_comes(counter: Counter) -> None:
    at: list[float] = []

    async def look(message: dict[str, Any]) -> None:
        at.append(time.monotonic())

    answer = counter.watched(look).say(model="echo-slow")
    tokens = len(answer.events()) - 1
    assert at[-1] - at[1] > 0.04 * (tokens - 2)
    assert at[2] - at[1] < 0.5 * (at[-1] - at[1])


def test_a_cost_nobody_knows_is_null(counter: Counter) -> None:
    with scripted.use(scripted.Reply(("Hi",), usage=Usage(3, 1))):
        done = counter.say(model="scripted-x").events()[-1]
    assert done["cost_usd"] is None
    assert answers()[0].cost_usd is None


def test_an_answer_without_a_word_ends_as_well(counter: Counter) -> None:
    with scripted.use(scripted.Reply(())):
        answer = counter.say(model="scripted")
    assert [next(iter(event)) for event in answer.events()] == ["done"]
    assert (answers()[0].state, answers()[0].content, answers()[0].first_token_ms) == ("completed", "", None)


def test_without_a_prompt_it_is_a_plain_chat(counter: Counter) -> None:
    answer = asyncio.run(counter.send({"message": "Hello"}))
    assert text_of(answer) == "You said: Hello"
    assert (answer.events()[-1]["prompt"], answers()[0].version) == (None, None)
    assert "x-promptlab-prompt" not in answer.headers


# Which version


def test_the_model_is_the_caller_s_else_the_version_s_else_the_usual_one(counter: Counter) -> None:
    make_live(make_prompt(counter.team, "Hi.", title="Slow", model="echo-slow", parameters={"max_tokens": 2}).newest)  # type: ignore[arg-type]
    done = counter.say(prompt="slow").events()[-1]
    assert (done["model"], done["output_tokens"], done["finish_reason"]) == ("echo-slow", 2, "length")
    assert counter.say(prompt="slow", model="echo").events()[-1]["model"] == "echo"
    assert counter.say().events()[-1]["model"] == "echo"


def test_what_is_live_is_served_and_a_move_is_seen_at_once(counter: Counter) -> None:
    second = make_version(counter.prompt, "Welcome {{name}}.")
    assert "Greet Ann." in text_of(counter.say())
    deploying.deploy(SYSTEM, second, counter.production)
    assert "Welcome Ann." in text_of(counter.say())
    make_live(counter.prompt.newest, "staging")  # type: ignore[arg-type]
    for body in ({"environment": "staging"}, {"prompt": "greeting@staging"}):
        done = counter.say(**body).events()[-1]
        assert done["version"] == 1
        assert Message.objects.get(uid=done["message_id"]).environment == named_environment(counter, "staging")


def named_environment(counter: Counter, name: str) -> Any:
    from prompts.models import Environment

    return Environment.objects.get(team=counter.team, name=name)


PINNED: list[tuple[str, int]] = [("1", 1), ("v2", 2), ("v1.1.0", 2), ("spring-sale", 3), ("latest", 3)]


def test_a_pinned_version_is_served_whatever_is_live_and_takes_no_part_in_experiments(counter: Counter) -> None:
    make_version(counter.prompt, "Two {{name}}.", version_string="v1.1.0")
    make_version(counter.prompt, "Three {{name}}.", version_string="spring-sale")
    make_experiment(counter.prompt, running=True)
    for selector, version in PINNED:
        done = counter.say(prompt=f"greeting@{selector}", user="user-1").events()[-1]
        assert (done["version"], done["variant"], done["experiment"]) == (version, None, None), selector
        row = answers()[-1]
        assert (row.experiment, row.served_variant, row.slot) == (None, None, None), selector


def test_a_pinned_version_needs_nothing_live(counter: Counter) -> None:
    team = make_team()
    make_prompt(team, "Never deployed.", title="New")
    answer = counter.say(prompt="new@1", key=make_key(team, "chat")[1])
    assert "Never deployed." in text_of(answer)


def test_blanks_are_filled_and_all_that_are_missing_are_named(counter: Counter) -> None:
    make_live(make_prompt(counter.team, "{{a}} {{b}} {{c}}", title="Three").newest)  # type: ignore[arg-type]
    answer = counter.say(prompt="three", variables={"b": "x"})
    assert (answer.status, answer.json()["code"]) == (400, "missing_variable")
    assert [error["field"] for error in answer.json()["errors"]] == ["variables.a", "variables.c"]
    assert "three needs: a, c" in answer.json()["detail"]
    assert (Message.objects.count(), Conversation.objects.count()) == (0, 0)


def test_a_chat_prompt_keeps_its_shape_and_gets_the_history_where_it_says(counter: Counter) -> None:
    messages = [
        {"role": "system", "content": "Be {{mood}}."},
        {"placeholder": "history"},
        {"role": "system", "content": "Remember to be {{mood}}."},
    ]
    make_live(make_prompt(counter.team, messages=messages, title="Talk").newest)  # type: ignore[arg-type]
    with scripted.use("One", "Two") as model:
        first = counter.say("Q1", prompt="talk", variables={"mood": "kind"}, model="scripted").events()[-1]
        counter.say(
            "Q2", prompt="", conversation_id=first["conversation_id"], variables={"mood": "kind"}, model="scripted"
        )
    assert [(part.role, part.content) for part in model.requests[1].messages] == [
        ("system", "Be kind."),
        ("user", "Q1"),
        ("assistant", "One"),
        ("system", "Remember to be kind."),
        ("user", "Q2"),
    ]


# Experiments


def test_a_unit_keeps_its_variant_and_the_row_says_all_of_it(counter: Counter) -> None:
    make_version(counter.prompt, "Two {{name}}.")
    experiment = make_experiment(counter.prompt, running=True, title="Two")
    seen: dict[str, set[str]] = {}
    Experiment.objects.update(seed="0123456789abcdef")
    for unit in ("user-1", "user-2", "user-3", "user-4", "user-5", "user-1", "user-3"):
        answer = counter.say(user=unit)
        done = answer.events()[-1]
        seen.setdefault(unit, set()).add(done["variant"])
        row = Message.objects.select_related("served_variant", "version").get(uid=done["message_id"])
        assert row.served_variant is not None and row.version is not None
        assert (row.experiment, row.phase, row.assigned_variant) == (experiment, 1, row.served_variant)
        assert (row.served_variant.key, row.version) == (done["variant"], row.served_variant.version)
        assert done["experiment"] == "two"
        assert answer.headers["x-promptlab-variant"] == f"two/{done['variant']}"
        assert row.slot is not None
    assert {len(variants) for variants in seen.values()} == {1}
    assert set().union(*seen.values()) == {"control", "variant-1"}


def test_the_end_user_of_a_conversation_is_remembered(counter: Counter) -> None:
    make_experiment(counter.prompt, running=True)
    first = counter.say(unit_id="user-1").events()[-1]
    second = counter.say(prompt="", conversation_id=first["conversation_id"]).events()[-1]
    assert second["variant"] == first["variant"] is not None
    assert answers()[1].unit_id == "user-1"


def test_nobody_in_particular_gets_the_control_and_the_log_says_so(
    counter: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    make_experiment(counter.prompt, weights=(0, 10_000), running=True, title="All new")
    done = counter.say().events()[-1]
    assert (done["version"], done["variant"]) == (1, None)
    assert (answers()[0].experiment, answers()[0].assigned_variant) == (None, None)
    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    (line,) = [line for line in lines if line["event"] == "no_unit_id"]
    assert (line["prompt"], line["experiment"]) == ("greeting", "all-new")
    assert counter.say(user="user-1").events()[-1]["variant"] == "variant-1"


def test_who_it_is_leaves_the_house_as_a_hash(counter: Counter) -> None:
    with scripted.use("One", "Two") as model:
        counter.say(user="ann@example.com", model="scripted")
        counter.say(model="scripted")
    assert len(model.requests[0].user) == 64
    assert "ann" not in model.requests[0].user
    assert model.requests[1].user == ""


# Who may, and what is not there


NOT_THERE: list[tuple[dict[str, Any], str]] = [
    ({"prompt": "nobody"}, "not_deployed"),
    ({"prompt": "nobody@1"}, "prompt_not_found"),
    ({"prompt": "greeting@9"}, "version_not_found"),
    ({"prompt": "greeting@nowhere"}, "version_not_found"),
    ({"environment": "staging"}, "not_deployed"),
    ({"prompt": "greeting@1", "environment": "moon"}, "environment_not_found"),
    ({"conversation_id": "nonsense"}, "conversation_not_found"),
    ({"conversation_id": str(uuid.uuid4())}, "conversation_not_found"),
]


def test_what_is_not_there_is_a_404_and_leaves_no_row(counter: Counter) -> None:
    for body, code in NOT_THERE:
        answer = counter.say(**body)
        assert (answer.status, answer.json()["code"]) == (404, code), body
        assert (Message.objects.count(), Conversation.objects.count()) == (0, 0)


def test_a_conversation_of_another_team_is_not_there(counter: Counter) -> None:
    mine = counter.say().events()[-1]["conversation_id"]
    stranger = make_team()
    make_live(make_prompt(stranger, title="Greeting", text="Hi {{name}}.").newest)  # type: ignore[arg-type]
    answer = counter.say(conversation_id=mine, key=make_key(stranger, "chat")[1])
    assert (answer.status, answer.json()["code"]) == (404, "conversation_not_found")
    assert Message.objects.count() == 2


def test_a_model_nobody_offers_is_a_400_and_the_row_says_so(counter: Counter) -> None:
    answer = counter.say(model="echo-nothing")
    assert (answer.status, answer.json()["code"]) == (400, "model_not_found")
    assert (answers()[0].state, answers()[0].error_code) == ("failed", "model_not_found")


def test_it_takes_a_key_with_the_scope_chat(counter: Counter) -> None:
    assert call(counter.application, "POST", "/chat", body={"message": "x"}).status == 401
    assert counter.say(key="pl_AbCd1234_" + "x" * 43).status == 401
    answer = counter.say(key=make_key(counter.team, "read", "write", "deploy", "feedback")[1])
    assert (answer.status, answer.json()["data"]["needs"]) == (403, "chat.use")


IN_PRODUCTION: list[dict[str, Any]] = [
    {},
    {"prompt": "greeting@production"},
    {"prompt": "greeting@1"},
    {"environment": "production"},
]


def test_a_key_of_one_environment_talks_in_no_other(counter: Counter) -> None:
    make_live(counter.prompt.newest, "staging")  # type: ignore[arg-type]
    key = make_key(counter.team, "chat", environments=["staging", "development"])[1]
    for body in IN_PRODUCTION:
        answer = counter.say(key=key, **body)
        assert (answer.status, answer.json()["code"]) == (403, "environment_not_allowed"), body
    assert counter.say(key=key, prompt="greeting@staging").status == 200


@pytest.mark.usefixtures("fresh_limits")
def test_it_spends_the_same_hourly_budget_as_everything_else(counter: Counter) -> None:
    from tests.support.api import Api

    key = make_key(counter.team, "chat", "read", calls_per_hour=3)[1]
    assert Api(key).get("/me").status_code == 200
    first, second, third = (counter.say(key=key) for _ in range(3))
    assert (first.status, second.status, third.status) == (200, 200, 429)
    assert first.headers["ratelimit-policy"] == '"calls";q=3;w=3600'
    assert first.headers["ratelimit"].startswith('"calls";r=1;t=')
    assert third.json()["code"] == "rate_limited"
    assert int(third.headers["retry-after"]) >= 1
    assert Api(key).get("/me").status_code == 429
    assert len(answers()) == 2


# Bodies


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "message"),
    ({"message": ""}, "message"),
    ({"message": " \n"}, "message"),
    ({"message": None}, "message"),
    ({"message": 5}, "message"),
    ({"message": ["x"]}, "message"),
    ({"message": {"role": "user"}}, "message"),
    ({"message": "x" * 200_001}, "message"),
    ({"message": "x", "prompt": 5}, "prompt"),
    ({"message": "x", "variables": []}, "variables"),
    ({"message": "x", "variables": "name"}, "variables"),
    ({"message": "x", "user": 5}, "user"),
    ({"message": "x", "user": "x" * 201}, "user"),
    ({"message": "x", "unit_id": "x" * 201}, "user"),
    ({"message": "x", "environment": "x" * 37}, "environment"),
    ({"message": "x", "environment": True}, "environment"),
    ({"message": "x", "model": "x" * 101}, "model"),
    ({"message": "x", "model": {}}, "model"),
    ({"message": "x", "conversation_id": 5}, "conversation_id"),
]


def test_a_wrong_field_is_named(counter: Counter) -> None:
    for body, field in WRONG:
        answer = asyncio.run(counter.send(body))
        assert answer.status == 400, (field, answer.body)
        assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert Message.objects.count() == 0


def test_every_wrong_field_is_named_at_once(counter: Counter) -> None:
    answer = asyncio.run(counter.send({"message": 1, "prompt": 2, "variables": 3, "user": 4}))
    assert {error["field"] for error in answer.json()["errors"]} == {"message", "prompt", "variables", "user"}


UNCLEAN: list[bytes] = [
        b"[]", b'"x"', b"5", b"null", b"{", b"\xff", rb'{"message": "\ud800"}', rb'{"message": "\u0000"}',
        b'{"message": "x", "variables": {"name": NaN}}', b'{"message": "x", "variables": {"name": 1e999}}',
        b'{"message": "x", "message": "y"}', b'{"message":' * 5000, b'{"message": "x", "variables": {"n": ' + b"9" * 5000 + b"}}",
    ]  # fmt: skip


def test_a_body_that_is_no_clean_object_is_a_400(counter: Counter) -> None:
    for raw in UNCLEAN:
        assert asyncio.run(counter.send(raw)).status == 400, raw[:40]
    assert Message.objects.count() == 0


VALUES: list[Any] = [True, 10**30, 1.5, "x" * 3000, "{{name}}", "\u202e\U0010ffff"]


def test_a_variable_that_is_text_or_can_be_is_written_as_text_and_can_be_read_again(counter: Counter) -> None:
    for value in VALUES:
        answer = counter.say(variables={"name": value, "surplus": [value, None, {}]})
        assert answer.status == 200, answer.body
        uid = answer.events()[-1]["message_id"]
        found = call(counter.application, "GET", f"/messages/{uid}", key=counter.key)
        assert found.status == 200
        assert found.json()["upstream"][0]["content"].startswith("Greet ")


def test_a_body_past_the_limit_is_a_413(counter: Counter, settings: Any) -> None:
    settings.MAX_BODY_BYTES = 1000
    assert counter.say("x" * 2000).status == 413


# Together, and without what we stand on


def test_eight_people_are_answered_at_once(counter: Counter) -> None:
    async def talk() -> list[Any]:
        return await asyncio.gather(*(counter.asay(f"I am {n}", model="echo-slow", user=f"user-{n}") for n in range(8)))

    started = time.monotonic()
    said = asyncio.run(talk())
    took = time.monotonic() - started
    one = 0.04 * (len(said[0].events()) - 1)
    assert [text_of(answer).endswith(f"I am {n}") for n, answer in enumerate(said)] == [True] * 8
    assert {row.state for row in answers()} == {"completed"}
    assert len({answer.events()[-1]["message_id"] for answer in said}) == 8
    assert took < 6 * one


def test_without_redis_people_are_answered(counter: Counter, no_redis: None) -> None:
    assert counter.say().events()[-1]["done"] is True


def test_without_a_database_nobody_is_asked_to_wait(counter: Counter, no_database: Callable[[], None]) -> None:
    counter.say()
    no_database()
    answer = counter.say()
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
