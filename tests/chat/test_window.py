"""What goes along with a question: as many of the last turns as the model has room for, and always the prompt."""

from __future__ import annotations

import pytest

from promptlab.chat.models import Message
from promptlab.chat.transcripts import upstream_messages
from promptlab.llm import ChatMessage, estimate
from promptlab.llm.providers import scripted
from tests.chat.conftest import Counter, answers

MODEL = "gpt-4"
WINDOW = 8192
LONG = "word " * 1500


def talk(counter: Counter, *questions: str) -> list[list[tuple[str, str]]]:
    """Ask the questions in one conversation and return what was sent for each."""
    conversation = ""
    with scripted.use("Yes", name="openai", repeats=True) as provider:
        for question in questions:
            answer = counter.say(question, model=MODEL, conversation_id=conversation)
            assert answer.status == 200, answer.body
            conversation = answer.events()[-1]["conversation_id"]
    return [[(one.role, one.content) for one in request.messages] for request in provider.requests]


def test_what_fits_is_sent_whole(counter: Counter) -> None:
    sent = talk(counter, "One", "Two")
    assert [text for _, text in sent[1]] == ["Greet Ann.", "One", "Yes", "Two"]
    assert [row.history_from for row in answers()] == [None, None]


def test_the_oldest_turns_are_left_out_whole_and_the_prompt_never(counter: Counter) -> None:
    questions = [f"{number} {LONG}" for number in range(7)]
    sent = talk(counter, *questions)
    roles = [role for role, _ in sent[-1]]
    assert roles[:2] == ["system", "user"]
    assert roles[1:] == ["user", "assistant"] * ((len(roles) - 2) // 2) + ["user"]
    kept = [text for role, text in sent[-1] if role == "user"]
    assert kept == questions[-len(kept) :]
    assert 1 < len(kept) < len(questions)
    for messages in sent:
        tokens = estimate([ChatMessage(role, text) for role, text in messages], MODEL).tokens
        assert tokens + 1024 <= WINDOW


def test_what_was_sent_is_rebuilt_with_the_same_cut(counter: Counter) -> None:
    sent = talk(counter, *[f"{number} {LONG}" for number in range(7)])
    rebuilt = [[(one.role, one.content) for one in upstream_messages(row)] for row in answers()]
    assert rebuilt == sent
    assert answers()[-1].history_from is not None


def test_room_is_kept_for_the_answer_that_was_asked_for(counter: Counter) -> None:
    from tests.support.make import make_live, make_prompt

    version = make_prompt(counter.team, "Hi.", title="Long", model=MODEL, parameters={"max_tokens": 6000}).newest
    assert version is not None
    make_live(version)
    conversation = ""
    with scripted.use("Yes", name="openai", repeats=True) as provider:
        for _ in range(2):
            said = counter.say(LONG, prompt="long", variables={}, conversation_id=conversation)
            conversation = said.events()[-1]["conversation_id"]
    assert [one.role for one in provider.requests[1].messages] == ["system", "user"]


@pytest.mark.parametrize("path", ["/chat", "/generate"])
def test_what_does_not_fit_by_itself_is_refused_before_any_call(counter: Counter, path: str) -> None:
    from tests.support.asgi import call

    body = {"message": LONG * 6, "model": MODEL} if path == "/chat" else {"prompt": LONG * 6, "model": MODEL}
    with scripted.use("No", name="openai") as provider:
        answer = call(counter.application, "POST", path, key=counter.key, body=body)
    assert (answer.status, answer.json()["code"]) == (400, "context_length_exceeded")
    assert provider.requests == []
    assert Message.objects.count() == 0
