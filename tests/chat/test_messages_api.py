"""What was said, and exactly what was sent upstream, over REST; at any later time."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from promptlab.accounts.access import SYSTEM
from promptlab.llm.providers import scripted
from prompts.services import authoring, deploying
from tests.chat.conftest import Counter, answers
from tests.support.api import Api
from tests.support.make import make_key, make_team, make_version


def upstream(counter: Counter, uid: str) -> list[tuple[str, str]]:
    answer = Api(counter.key).get(f"/messages/{uid}")
    assert answer.status_code == 200, answer.content
    return [(part["role"], part["content"]) for part in answer.json()["upstream"]]


def test_a_message_shows_exactly_what_was_sent_also_after_everything_changed(counter: Counter) -> None:
    uids: list[str] = []
    conversation = ""
    with scripted.use("A1", "A2", "A3", repeats=True) as model:
        for number in (1, 2):
            variables = {"name": f"Ann{number}"}
            done = counter.say(
                f"Q{number}", conversation_id=conversation, variables=variables, model="scripted"
            ).events()[-1]
            conversation = done["conversation_id"]
            uids.append(done["message_id"])
        sent = [[(part.role, part.content) for part in request.messages] for request in model.requests]
        assert sent[1] == [
            ("system", "Greet Ann2."), ("user", "Q1"), ("assistant", "A1"), ("user", "Q2"),
        ]  # fmt: skip
        assert [upstream(counter, uid) for uid in uids] == sent

        deploying.deploy(SYSTEM, make_version(counter.prompt, "Quite new {{name}}."), counter.production)
        counter.say("Q3", conversation_id=conversation, model="scripted")
        counter.prompt.refresh_from_db()
        authoring.archive_prompt(SYSTEM, counter.prompt)
    assert [upstream(counter, uid) for uid in uids] == sent


def test_what_failed_or_was_cancelled_is_not_part_of_the_history(counter: Counter) -> None:
    first = counter.say("Q1", model="echo-drop").events()[-1]
    with scripted.use("A2") as model:
        counter.say("Q2", conversation_id=first["conversation_id"], model="scripted")
    assert [(part.role, part.content) for part in model.requests[0].messages] == [
        ("system", "Greet Ann."), ("user", "Q1"), ("user", "Q2"),
    ]  # fmt: skip


def test_two_turns_of_one_conversation_at_once_are_rebuilt_as_they_were(counter: Counter) -> None:
    import asyncio

    with scripted.use(scripted.Reply(("A",), gap_s=0.05), repeats=True) as model:
        conversation = counter.say("Q1", model="scripted").events()[-1]["conversation_id"]

        async def both() -> list[Any]:
            return await asyncio.gather(
                *(counter.asay(f"Q{n}", conversation_id=conversation, model="scripted") for n in (2, 3, 4))
            )

        asyncio.run(both())
        counter.say("Q5", conversation_id=conversation, model="scripted")
        sent = {
            request.messages[-1].content: [(m.role, m.content) for m in request.messages] for request in model.requests
        }
    for row in answers():
        rebuilt = upstream(counter, str(row.uid))
        assert rebuilt == sent[rebuilt[-1][1]]


def test_a_message_says_what_was_served_and_what_it_took(counter: Counter) -> None:
    done = counter.say("Hello", user="user-1").events()[-1]
    found = Api(counter.key).get(f"/api/v1/messages/{done['message_id']}/").json()
    assert (found["role"], found["state"], found["prompt"], found["version"]) == (
        "assistant",
        "completed",
        "greeting",
        1,
    )
    assert (found["environment"], found["model"], found["unit_id"]) == ("production", "echo", "user-1")
    for name in ("input_tokens", "output_tokens", "latency_ms", "first_token_ms"):
        assert found[name] == done[name]
    assert float(found["cost_usd"]) == done["cost_usd"]


def test_a_conversation_is_listed_as_it_went(counter: Counter) -> None:
    done = counter.say("Q1").events()[-1]
    counter.say("Q2", conversation_id=done["conversation_id"])
    listed = Api(counter.key).get(f"/conversations/{done['conversation_id']}/messages").json()
    assert [(one["role"], one["state"]) for one in listed["results"]] == [
        ("user", "completed"),
        ("assistant", "completed"),
    ] * 2
    assert [one["content"] for one in listed["results"] if one["role"] == "user"] == ["Q1", "Q2"]
    assert Api(counter.key).get(f"/messages/{listed['results'][0]['message_id']}").json()["upstream"] == []


def test_an_answer_that_is_being_written_can_be_looked_at(counter: Counter) -> None:
    counter.say()
    from promptlab.chat.models import Message

    Message.objects.filter(role="assistant").update(state="streaming", ended_at=None)
    assert upstream(counter, str(answers()[0].uid))[-1] == ("user", "Hello")


@pytest.mark.parametrize("path", ["/messages/{uid}", "/conversations/{uid}/messages"])
def test_what_nobody_said_and_what_others_said_is_not_there(counter: Counter, path: str) -> None:
    done = counter.say().events()[-1]
    uid = done["message_id"] if path.startswith("/messages") else done["conversation_id"]
    assert Api(counter.key).get(path.format(uid=uid)).status_code == 200
    assert Api(counter.key).get(path.format(uid=uuid.uuid4())).status_code == 404
    assert Api(counter.key).get(path.format(uid="nonsense")).status_code == 404
    for key in (make_key(make_team())[1], make_key(counter.team, "chat", "write", "feedback")[1]):
        assert Api(key).get(path.format(uid=uid)).status_code == 404
