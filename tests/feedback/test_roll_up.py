"""Ratings become sums: once, as a difference, and never before their answer."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from experiments.models import Experiment, ExperimentUnit, HourRollup, Variant
from experiments.services import lifecycle
from feedback import tasks
from feedback.models import Feedback
from feedback.services.batch import oldest_waiting_s, roll_up_feedback
from feedback.services.ingest import NewRating, accept
from promptlab.accounts.access import SYSTEM
from promptlab.chat.models import Message
from promptlab.chat.services.metering import roll_up_messages
from promptlab.lib.errors import Conflict
from tests.support.make import make_experiment, make_live, make_message, make_prompt, make_team, newest


@pytest.fixture
def experiment(db: None) -> Experiment:
    return make_experiment(make_prompt(make_team()), running=True)


@pytest.fixture
def control(experiment: Experiment) -> Variant:
    return experiment.variants.get(is_control=True)


def answered(variant: Variant, unit_id: str = "u1") -> Message:
    return make_message(variant.version, variant.experiment.environment, variant=variant, unit_id=unit_id)


def rate(message: Message, value: int, user: str = "") -> None:
    accept(SYSTEM, NewRating(str(message.uid), value, user=user))


def cell(variant: Variant) -> HourRollup:
    return HourRollup.objects.get(variant=variant)


def test_a_rating_lands_on_the_variant_that_was_shown(control: Variant) -> None:
    rate(answered(control), 1)
    roll_up_messages()
    assert roll_up_feedback() == 1
    sums = cell(control)
    assert (sums.shown, sums.ratings, sums.ups, sums.raters) == (1, 1, 1, 1)
    assert (sums.ratings_sq, sums.ups_sq, sums.ratings_ups) == (1, 1, 1)
    row = Feedback.objects.get()
    assert (row.counted_value, row.rolled_up_at is not None) == (1, True)


def test_it_lands_on_what_was_served_when_something_else_was_assigned(experiment: Experiment, control: Variant) -> None:
    other = experiment.variants.get(is_control=False)
    message = answered(control)
    Message.objects.filter(pk=message.pk).update(assigned_variant=other)
    rate(message, -1)
    roll_up_messages()
    roll_up_feedback()
    assert (cell(control).ratings, HourRollup.objects.filter(variant=other).exists()) == (1, False)


def test_rolling_up_twice_changes_nothing(control: Variant) -> None:
    rate(answered(control), 1)
    roll_up_messages()
    roll_up_feedback()
    assert roll_up_feedback() == 0
    tasks.roll_up_feedback()
    assert cell(control).ratings == 1


def test_a_changed_mind_moves_the_thumb_and_counts_once(control: Variant) -> None:
    message = answered(control)
    roll_up_messages()
    for value in (1, -1, 1, -1):
        rate(message, value)
        roll_up_feedback()
        sums = cell(control)
        assert (sums.ratings, sums.ups, sums.raters) == (1, int(value == 1), 1)
        assert (sums.ratings_sq, sums.ups_sq) == (1, int(value == 1))


def test_only_the_last_of_several_changes_is_counted(control: Variant) -> None:
    message = answered(control)
    roll_up_messages()
    for value in (1, -1, 1):
        rate(message, value)
    roll_up_feedback()
    rate(message, -1)
    rate(message, 1)
    assert roll_up_feedback() == 1
    sums = cell(control)
    assert (sums.ratings, sums.ups) == (1, 1)


def test_a_rating_waits_for_its_answer(control: Variant) -> None:
    rate(answered(control), 1)
    assert roll_up_feedback() == 0
    assert not ExperimentUnit.objects.exists()
    roll_up_messages()
    assert roll_up_feedback() == 1


def test_a_rating_of_an_answer_being_written_waits_for_its_end(control: Variant) -> None:
    environment = control.experiment.environment
    message = make_message(control.version, environment, variant=control, unit_id="u1", state=Message.State.STREAMING)
    rate(message, 1)
    roll_up_messages()
    assert roll_up_feedback() == 0


def test_outside_of_experiments_the_version_is_counted(db: None) -> None:
    version = newest(make_prompt(make_team()))
    rate(make_message(version, make_live(version)), -1)
    roll_up_messages()
    roll_up_feedback()
    sums = HourRollup.objects.get()
    assert (sums.version, sums.variant, sums.ratings, sums.ups) == (version, None, 1, 0)


def test_a_rating_of_plain_chat_is_kept_and_counted_nowhere(db: None) -> None:
    rate(make_message(None, team=make_team()), 1)
    assert roll_up_feedback() == 1
    assert roll_up_feedback() == 0
    assert not HourRollup.objects.exists()


def test_two_ratings_of_one_unit_are_one_rater(control: Variant) -> None:
    rate(answered(control), 1)
    rate(answered(control), -1)
    roll_up_messages()
    roll_up_feedback()
    sums = cell(control)
    assert (sums.units, sums.raters, sums.ratings, sums.ups) == (1, 1, 2, 1)
    assert (sums.ratings_sq, sums.ups_sq, sums.ratings_ups) == (4, 1, 2)


def test_it_is_booked_in_the_hour_it_arrived(control: Variant) -> None:
    message = answered(control)
    roll_up_messages()
    rate(message, 1)
    late = datetime(2030, 1, 1, 15, 59, tzinfo=UTC)
    Feedback.objects.update(updated_at=late)
    roll_up_feedback()
    assert HourRollup.objects.get(ratings=1).hour == late.replace(minute=0)


def test_long_after_the_phase_it_is_kept_and_lands_on_what_was_shown(control: Variant) -> None:
    message = answered(control)
    roll_up_messages()
    lifecycle.stop(SYSTEM, control.experiment)
    Message.objects.filter(pk=message.pk).update(ended_at=message.created_at - timedelta(hours=100))
    rate(message, 1)
    assert roll_up_feedback() == 1
    assert HourRollup.objects.get(variant=control, ratings=1).ups == 1


def test_the_worker_says_when_ratings_wait_long(control: Variant, caplog: pytest.LogCaptureFixture) -> None:
    rate(answered(control), 1)
    assert 0 <= oldest_waiting_s() < 60
    Feedback.objects.update(updated_at=timezone.now() - timedelta(minutes=5))
    roll_up_feedback()  # its answer is not in the sums yet
    assert "ratings_late" in caplog.text and 290 < oldest_waiting_s() < 400
    caplog.clear()
    roll_up_messages()
    roll_up_feedback()
    assert "ratings_late" not in caplog.text and oldest_waiting_s() == 0


def test_it_goes_on_until_nothing_waits(control: Variant) -> None:
    for number in range(5):
        rate(answered(control, f"u{number}"), 1)
    roll_up_messages()
    assert roll_up_feedback(limit=2) == 5
    assert cell(control).ratings == 5


def test_a_change_that_slips_in_undoes_the_batch(control: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rows cannot be locked, the stamp notices: nothing is counted, and the next sweep counts the new value."""
    message = answered(control)
    rate(message, 1)
    roll_up_messages()
    from feedback.services import batch

    add = batch.add_observations

    def add_and_change_mind(observations: Any) -> None:
        add(observations)
        Feedback.objects.update(value=-1)

    monkeypatch.setattr(batch, "add_observations", add_and_change_mind)
    with pytest.raises(Conflict):
        roll_up_feedback()
    monkeypatch.undo()
    assert cell(control).ratings == 0


@pytest.mark.django_db(transaction=True)
def test_minds_that_change_while_they_are_counted_are_counted_right() -> None:
    control = make_experiment(make_prompt(make_team()), running=True).variants.get(is_control=True)
    messages = [answered(control, f"u{number % 3}") for number in range(12)]
    roll_up_messages()
    errors: list[BaseException] = []

    def rater(seed: int) -> None:
        for turn in range(8):
            for message in messages:
                rate(message, 1 if (turn + seed + message.pk) % 2 else -1)

    def counter() -> None:
        for _ in range(30):
            roll_up_feedback(limit=5)

    def run(work: Any, *args: Any) -> None:
        try:
            work(*args)
        except Exception as error:  # noqa: BLE001  (whatever it is, the main thread shows it)
            errors.append(error)
        finally:
            connections["default"].close()

    threads = [threading.Thread(target=run, args=(rater, seed)) for seed in (0, 1)]
    threads += [threading.Thread(target=run, args=(counter,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    roll_up_feedback()
    ups = Feedback.objects.filter(value=1).count()
    sums = HourRollup.objects.filter(variant=control)
    assert (sum(one.ratings for one in sums), sum(one.ups for one in sums)) == (12, ups)
    units = ExperimentUnit.objects.values_list("ratings", "ups")
    assert sum(one.ratings_sq for one in sums) == sum(n * n for n, _ in units)
    assert sum(one.ratings_ups for one in sums) == sum(n * s for n, s in units)
