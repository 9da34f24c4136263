"""Answers whose process ended are closed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from promptlab.chat import tasks
from promptlab.chat.models import Message
from promptlab.chat.services.metering import roll_up_messages
from promptlab.chat.services.sweeping import close_abandoned
from prompts.models import Version
from tests.support.make import make_live, make_message, make_prompt, make_team, newest

STREAMING = Message.State.STREAMING


@pytest.fixture
def version(db: None) -> Version:
    return newest(make_prompt(make_team()))


def test_an_answer_whose_lease_ran_out_is_closed_with_its_text(version: Version) -> None:
    now = timezone.now()
    message = make_message(version, state=STREAMING, content="Half an ans", lease_until=now - timedelta(seconds=1))
    assert close_abandoned(now) == 1
    message.refresh_from_db()
    assert (message.state, message.content, message.ended_at) == (Message.State.ABANDONED, "Half an ans", now)


def test_an_answer_that_is_being_written_stays_open(version: Version) -> None:
    message = make_message(version, state=STREAMING)
    assert close_abandoned() == 0
    message.refresh_from_db()
    assert message.state == STREAMING


@pytest.mark.parametrize("state", [s for s in Message.State if s != STREAMING])
def test_an_answer_that_ended_keeps_its_end(version: Version, state: str) -> None:
    past = timezone.now() - timedelta(hours=1)
    message = make_message(version, state=state, lease_until=past, ended_at=past)
    assert close_abandoned() == 0
    message.refresh_from_db()
    assert (message.state, message.ended_at) == (state, past)


def test_closing_twice_changes_nothing(version: Version, django_assert_num_queries: Any) -> None:
    make_message(version, state=STREAMING, lease_until=timezone.now() - timedelta(seconds=1))
    tasks.close_abandoned()
    with django_assert_num_queries(2):
        assert close_abandoned() == 0


def test_an_abandoned_answer_is_counted(version: Version) -> None:
    make_message(version, make_live(version), state=STREAMING, lease_until=timezone.now() - timedelta(seconds=1))
    close_abandoned()
    assert roll_up_messages() == 1
