"""A canary that no provider sees and every caller gets back: through chat, generate and the OpenAI-compatible face."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from promptlab.accounts.access import SYSTEM
from promptlab.chat.models import Message
from promptlab.chat.transcripts import sent_messages
from promptlab.lib import metrics
from promptlab.llm import keeping
from promptlab.llm.providers import scripted
from promptlab.llm.providers.scripted import Reply
from promptlab.llm.services import hiding
from tests.chat.conftest import Counter, answers, text_of
from tests.chat.openai_desk import Desk
from tests.support.api import Api
from tests.support.asgi import call

CANARY = "canary.ann@example.com"
STAFF = "EMP-12345"
REPLY = Reply(deltas=("I wrote to [EMA", "IL_1] about [", "STAFF_1]", "."))
SAID = f"I wrote to {CANARY} about {STAFF}."
ASKED = f"Write to {CANARY} about {STAFF}."
SENT = "Write to [EMAIL_1] about [STAFF_1]."


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    keeping.forget()
    yield
    keeping.forget()


def mask(team_id: int) -> None:
    hiding.set_masking(SYSTEM, team_id, kinds=["email"], patterns={"staff": r"EMP-\d{4,8}"})
    keeping.forget()


def seen_by(provider: scripted.ScriptedProvider) -> str:
    return " ".join(message.content for request in provider.requests for message in request.messages)


def test_chat_sends_tokens_and_gives_values_back(counter: Counter, caplog: pytest.LogCaptureFixture) -> None:
    mask(counter.team.pk)
    with caplog.at_level("DEBUG"), scripted.use(REPLY, REPLY) as provider:
        first = counter.say(ASKED, model="scripted")
        again = counter.say("And now?", model="scripted", conversation_id=first.events()[-1]["conversation_id"])
    assert (text_of(first), text_of(again)) == (SAID, SAID)
    assert [message.content for message in provider.requests[0].messages] == ["Greet Ann.", SENT]
    history = [message.content for message in provider.requests[1].messages]
    assert history == ["Greet Ann.", SENT, "I wrote to [EMAIL_1] about [STAFF_1].", "And now?"]
    assert Message.objects.filter(content__contains=CANARY).count() == 3
    written = caplog.text + metrics.exposition()
    assert CANARY not in written and STAFF not in written


def test_what_was_sent_is_rebuilt_with_its_tokens_after_the_rules_changed(counter: Counter) -> None:
    mask(counter.team.pk)
    with scripted.use(REPLY) as provider:
        counter.say(ASKED, model="scripted")
    (row,) = answers()
    hiding.set_masking(SYSTEM, counter.team.pk, kinds=[], patterns={})
    assert sent_messages(row) == list(provider.requests[0].messages)
    shown = Api(counter.key).get(f"/api/v1/messages/{row.uid}").json()["upstream"]
    assert [part["content"] for part in shown] == ["Greet Ann.", SENT]


def test_without_rules_nothing_is_noted(counter: Counter) -> None:
    with scripted.use("Hi") as provider:
        counter.say(ASKED, model="scripted")
    assert CANARY in seen_by(provider)
    assert answers()[0].masks is None


def test_generate_sends_tokens_and_keeps_values_in_its_cache(counter: Counter) -> None:
    mask(counter.team.pk)
    body = {"prompt": ASKED, "model": "scripted", "cache": 60}
    with scripted.use(REPLY) as provider:
        found = [call(counter.application, "POST", "/api/v1/generate", key=counter.key, body=body) for _ in range(2)]
    assert [(one.json()["content"], one.json()["cached"]) for one in found] == [(SAID, False), (SAID, True)]
    assert seen_by(provider) == SENT


def test_the_openai_client_gets_its_values_back_whole_and_in_a_stream(desk: Desk) -> None:
    mask(desk.team.pk)
    messages = [{"role": "user", "content": ASKED}]
    with scripted.use(REPLY, repeats=True) as provider:
        whole = desk.client.chat.completions.create(model="scripted", messages=messages)  # type: ignore[arg-type]
        parts = desk.client.chat.completions.create(model="scripted", messages=messages, stream=True)  # type: ignore[call-overload]
        streamed = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
        responded = desk.client.responses.create(model="scripted", input=ASKED)
    assert (whole.choices[0].message.content, streamed, responded.output_text) == (SAID, SAID, SAID)
    assert CANARY not in seen_by(provider) and STAFF not in seen_by(provider)
    assert len(provider.requests) == 3


def test_calls_of_tools_come_back_with_their_values(desk: Desk) -> None:
    mask(desk.team.pk)
    arguments = ('{"to": "[EM', 'AIL_1]"}')
    first = {"index": 0, "id": "c1", "type": "function", "function": {"name": "mail", "arguments": arguments[0]}}
    reply = Reply(tool_calls=(first, {"index": 0, "function": {"arguments": arguments[1]}}))
    tool = {"type": "function", "function": {"name": "mail", "parameters": {"type": "object"}}}
    with scripted.use(reply):
        done = desk.client.chat.completions.create(
            model="scripted",
            messages=[{"role": "user", "content": ASKED}],
            tools=[tool],  # type: ignore[list-item]
        )
    (asked,) = done.choices[0].message.tool_calls or []
    assert asked.function.arguments == f'{{"to": "{CANARY}"}}'  # type: ignore[union-attr]
