"""A rating that cannot be added is set aside: it holds up no other, and can be tried again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError

from experiments.models import HourRollup
from feedback.models import DeadLetter, Feedback
from feedback.services import batch
from feedback.services.ingest import NewRating, accept
from promptlab.accounts.access import SYSTEM
from promptlab.chat.models import Message
from promptlab.chat.services.metering import roll_up_messages
from tests.support.cast import Cast
from tests.support.make import make_live, make_message, make_prompt, newest

pytestmark = pytest.mark.django_db
BAD = "customer-2"


@pytest.fixture
def answers(cast: Cast) -> list[Message]:
    version = newest(make_prompt(cast.team))
    live = make_live(version)
    made = [make_message(version, live, unit_id=f"customer-{number}") for number in range(5)]
    roll_up_messages()
    for one in made:
        accept(SYSTEM, NewRating(str(one.uid), 1))
    return made


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One person's ratings break whatever adds them up."""
    add = batch.add_observations

    def breaks(observations: Sequence[Any]) -> None:
        if any(one.unit_id == BAD for one in observations):
            raise ValueError("a secret that somebody wrote")
        add(observations)

    monkeypatch.setattr(batch, "add_observations", breaks)
    return monkeypatch


def ratings() -> int:
    return sum(HourRollup.objects.values_list("ratings", flat=True))


def test_the_others_are_added(answers: list[Message], poison: object) -> None:
    assert batch.roll_up_feedback(limit=3) == 5
    assert ratings() == 4
    letter = DeadLetter.objects.get()
    assert (letter.feedback.rater, letter.reason, letter.tries) == (BAD, "ValueError", 1)
    assert batch.roll_up_feedback() == 0
    assert Feedback.objects.not_rolled_up().get() == letter.feedback


def test_what_comes_later_is_added_at_once(answers: list[Message], poison: object) -> None:
    batch.roll_up_feedback()
    accept(SYSTEM, NewRating(str(answers[0].uid), -1, user="somebody else"))
    assert batch.roll_up_feedback() == 1
    assert ratings() == 5


def test_tried_again_it_is_added_once_it_can_be(
    answers: list[Message], poison: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.roll_up_feedback()
    call_command("retry_ratings")
    said = capsys.readouterr()
    assert "tried again: 1; set aside still: 1" in said.out and "ValueError" in said.err and "secret" not in said.err
    poison.undo()
    call_command("retry_ratings")
    assert ratings() == 5 and not DeadLetter.objects.exists()


def test_a_database_that_is_away_is_nobody_s_fault(answers: list[Message], monkeypatch: pytest.MonkeyPatch) -> None:
    def away(observations: Sequence[Any]) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(batch, "add_observations", away)
    with pytest.raises(OperationalError):
        batch.roll_up_feedback()
    assert not DeadLetter.objects.exists()
