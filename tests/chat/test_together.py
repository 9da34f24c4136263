"""Calls that begin or end together are written together; what cannot be written fails alone."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from dataclasses import replace
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError

from promptlab import llm
from promptlab.accounts.access import Principal
from promptlab.accounts.auth import principal_of_key
from promptlab.accounts.models import Team
from promptlab.chat.models import Conversation, Message
from promptlab.chat.services import beginning, ending
from promptlab.chat.services.beginning import Draft
from promptlab.chat.services.ending import Outcome
from promptlab.chat.services.turn import TurnInput, TurnPlan, draft_turn, prepare_turn
from promptlab.chat.services.writing import new_row
from promptlab.lib.errors import Invalid
from tests.support.make import make_key

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[[], Draft[TurnPlan]]


@pytest.fixture
def caller(team: Team) -> Principal:
    return principal_of_key(make_key(team)[0])


def begun(*drafts: Make) -> list[object]:
    return list(beginning._begin_together([(copy_context(), draft) for draft in drafts]))


def ended(*ends: tuple[TurnPlan, Outcome]) -> list[object]:
    return list(ending._finish_together([(copy_context(), plan.answer, outcome) for plan, outcome in ends]))


def outcome(text: str, *, is_whole: bool = True) -> Outcome:
    usage = llm.Usage(2, 3)
    done = llm.Completion(text, "echo", "echo", usage, None, llm.FinishReason.STOP, latency_ms=5, first_token_ms=2)
    return Outcome.of(done if is_whole else None, None, text, None)


def test_a_new_row_is_what_its_model_makes(caller: Principal) -> None:
    def facts(row: Any) -> dict[str, Any]:
        return {name: value for name, value in vars(row).items() if name not in ("_state", "uid")}

    talk = Conversation(team_id=3, environment="production")
    assert facts(new_row(Conversation, team_id=3, environment="production")) == facts(talk)
    said: dict[str, Any] = {
        "conversation": talk,
        "role": "user",
        "content": "Hi",
        "version": None,
        "slot": 7,
        "model": "echo",
    }
    one, other = new_row(Message, **said), Message(**said)
    assert facts(one) == facts(other)
    assert vars(one._state) == vars(other._state)
    assert one.uid != new_row(Message).uid and one.metadata is not new_row(Message).metadata


def test_what_cannot_be_written_fails_alone(caller: Principal) -> None:
    def saying(text: str) -> Make:
        return lambda: draft_turn(caller, TurnInput(message=text, model="echo"))

    def spoilt() -> Draft[TurnPlan]:
        draft = draft_turn(caller, TurnInput(message="Spoilt", model="echo"))
        assert draft.first is not None
        draft.first.answer.model = None
        return draft

    said = (llm.ChatMessage("user", "One"), llm.ChatMessage("assistant", "Two"), llm.ChatMessage("user", "Three"))
    whole = TurnInput(said=said, purpose="openai", model="echo")
    told = begun(saying("First"), spoilt, saying(""), lambda: draft_turn(caller, whole), saying("Last"))
    assert [type(one) for one in told] == [TurnPlan, IntegrityError, Invalid, TurnPlan, TurnPlan]
    plans = [one for one in told if isinstance(one, TurnPlan)]
    assert not Message.objects.filter(content="Spoilt").exists()
    for plan, texts in zip(plans, (["First"], ["One", "Two", "Three"], ["Last"]), strict=True):
        *before, answer = Message.objects.filter(conversation__uid=plan.conversation_uid).order_by("id")
        assert ([one.content for one in before], answer.uid, answer.pk) == (texts, plan.answer.uid, plan.answer.pk)
        assert answer.sent_from == (before[0].pk if len(texts) > 1 else None)


def test_those_who_come_while_the_database_is_away_do_not_wait_one_after_the_other(caller: Principal) -> None:
    tries = []

    def away() -> Draft[TurnPlan]:
        tries.append(1)
        raise OperationalError

    assert [type(one) for one in begun(away, away, away)] == [OperationalError] * 3
    assert len(tries) == 1


def test_answers_that_end_together_have_their_own_ends(caller: Principal) -> None:
    plans = [prepare_turn(caller, TurnInput(message="Hi", model="echo")) for _ in range(4)]
    Message.objects.filter(pk=plans[2].answer.pk).update(state="abandoned")
    ends = [outcome("A"), outcome("B", is_whole=False), outcome("C"), outcome("D")]
    told = ended(*zip(plans, ends, strict=True))
    assert all(isinstance(one, Outcome) for one in told)
    rows = [Message.objects.get(pk=plan.answer.pk) for plan in plans]
    assert [(one.state, one.content) for one in rows] == [
        ("completed", "A"), ("cancelled", "B"), ("abandoned", ""), ("completed", "D"),
    ]  # fmt: skip
    assert (rows[0].input_tokens, rows[0].cost_usd, rows[0].prices) == (2, 0, {"source": "free"})
    assert (rows[1].input_tokens, rows[1].cost_usd, rows[1].prices) == (None, None, None)
    assert rows[0].ended_at is not None and rows[0].lease_until is None


def test_an_end_that_cannot_be_written_fails_alone(caller: Principal) -> None:
    plans = [prepare_turn(caller, TurnInput(message="Hi", model="echo")) for _ in range(3)]
    spoilt = replace(outcome("B"), error_code=None)  # type: ignore[arg-type]
    told = ended(*zip(plans, [outcome("A"), spoilt, outcome("C")], strict=True))
    assert [type(one) for one in told] == [Outcome, IntegrityError, Outcome]
    states = [Message.objects.get(pk=plan.answer.pk).state for plan in plans]
    assert states == ["completed", "streaming", "completed"]
