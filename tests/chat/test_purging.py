"""What was said goes after as many days as its team keeps it; what it took stays, and what was rated."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from experiments.models import HourRollup
from feedback.services.ingest import NewRating, accept
from promptlab.accounts.access import SYSTEM
from promptlab.audit.models import AuditEntry
from promptlab.chat.models import Conversation, Message
from promptlab.chat.services.conversations import set_retention
from promptlab.chat.services.metering import roll_up_messages
from promptlab.chat.services.purging import purge_old_messages
from promptlab.chat.transcripts import upstream_messages
from tests.support.make import make_live, make_message, make_prompt, make_team, newest

pytestmark = pytest.mark.django_db
OLD = timedelta(days=40)


def turn(team: Any, *, age: timedelta = OLD, conversation: Conversation | None = None) -> Message:
    """Return an answer of that age, rolled up, with the question before it."""
    prompt = make_prompt(team, "Hello {{name}}.")
    where = make_live(newest(prompt))
    moment = timezone.now() - age
    talk = conversation or Conversation.objects.create(team=team, unit_id="u-1", title="Named", session="s-1")
    asked = Message.objects.create(conversation=talk, role="user", content="Q", state="completed", ended_at=moment)
    answer = make_message(newest(prompt), where, unit_id="u-1", variables={"name": "Ann"}, ended_at=moment)
    Message.objects.filter(pk=answer.pk).update(conversation=talk)
    Message.objects.filter(pk__in=[asked.pk, answer.pk]).update(created_at=moment)
    roll_up_messages()
    answer.refresh_from_db()
    return answer


def test_texts_go_and_numbers_stay() -> None:
    team = make_team()
    answer = turn(team)
    set_retention(SYSTEM, team, 30)
    before = list(HourRollup.objects.values())
    assert purge_old_messages() == 2
    row = Message.objects.get(pk=answer.pk)
    assert (row.content, row.variables, row.unit_id) == ("", {}, "")
    assert (row.input_tokens, row.output_tokens, row.cost_usd) == (10, 5, answer.cost_usd)
    assert row.purged_at is not None
    talk = Conversation.objects.get(pk=row.conversation_id)
    assert (talk.title, talk.unit_id, talk.session) == ("", "", "")
    assert list(HourRollup.objects.values()) == before
    assert upstream_messages(row) == []


def test_doing_it_again_does_nothing() -> None:
    team = make_team()
    turn(team)
    set_retention(SYSTEM, team, 30)
    assert [purge_old_messages(), purge_old_messages()] == [2, 0]
    entry = AuditEntry.objects.get(verb="conversation.purged")
    assert (entry.team_id, entry.after) == (team.pk, {"messages": 2})


def test_what_is_younger_or_another_team_s_or_kept_for_ever_stays() -> None:
    team, other = make_team(), make_team()
    young, kept = turn(team, age=timedelta(days=20)), turn(other)
    set_retention(SYSTEM, team, 30)
    set_retention(SYSTEM, other, 30)
    set_retention(SYSTEM, other, None)
    assert purge_old_messages() == 0
    assert all(Message.objects.get(pk=one.pk).content for one in (young, kept))


def test_a_conversation_that_goes_on_loses_its_beginning() -> None:
    team = make_team()
    first = turn(team)
    second = turn(team, age=timedelta(days=1), conversation=first.conversation)
    set_retention(SYSTEM, team, 30)
    assert purge_old_messages() == 2
    talk = Conversation.objects.get(pk=first.conversation_id)
    assert (talk.title, talk.unit_id) == ("Named", "u-1")
    assert Message.objects.get(pk=second.pk).content == "An answer."
    assert list(talk.messages.all().transcript().values_list("content", flat=True)) == ["Q", "An answer."]


def test_what_is_not_counted_yet_waits() -> None:
    team = make_team()
    answer = turn(team)
    Message.objects.filter(pk=answer.pk).update(rolled_up_at=None)
    set_retention(SYSTEM, team, 30)
    assert purge_old_messages() == 0


def test_a_rating_survives() -> None:
    team = make_team()
    answer = turn(team)
    accept(SYSTEM, NewRating(message_id=str(answer.uid), value=1))
    set_retention(SYSTEM, team, 30)
    purge_old_messages()
    accepted = accept(SYSTEM, NewRating(message_id=str(answer.uid), value=-1))
    assert accepted.message_id == str(answer.uid)


def test_the_command_does_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    team = make_team()
    for _ in range(2):
        turn(team)
    set_retention(SYSTEM, team, 30)
    call_command("purge_conversations")
    assert "Messages purged: 4." in capsys.readouterr().out
