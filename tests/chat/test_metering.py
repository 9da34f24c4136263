"""Ended answers become sums, once."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections, transaction

from experiments.models import ExperimentUnit, HourRollup, Variant
from promptlab.chat import tasks
from promptlab.chat.models import Message
from promptlab.chat.services.metering import roll_up_messages
from prompts.models import Environment, Version
from tests.support.make import make_experiment, make_live, make_message, make_prompt, make_team, newest


@pytest.fixture
def version(db: None) -> Version:
    return newest(make_prompt(make_team()))


@pytest.fixture
def production(version: Version) -> Environment:
    return make_live(version)


@pytest.fixture
def variant(db: None) -> Variant:
    return make_experiment(make_prompt(make_team()), running=True).variants.get(is_control=False)


def test_an_answer_adds_what_it_took(version: Version, production: Environment) -> None:
    make_message(version, production, unit_id="u1")
    assert roll_up_messages() == 1
    cell = HourRollup.objects.get()
    assert (cell.version, cell.environment, cell.variant) == (version, production, None)
    assert (cell.requests, cell.shown, cell.errors, cell.unpriced) == (1, 1, 0, 0)
    assert (cell.input_tokens, cell.output_tokens, cell.latency_ms) == (10, 5, 120)
    assert cell.cost_usd == Decimal("0.001")


def test_it_is_booked_in_the_hour_it_ended(version: Version, production: Environment) -> None:
    message = make_message(version, production)
    roll_up_messages()
    assert message.ended_at is not None
    assert HourRollup.objects.get().hour == message.ended_at.replace(minute=0, second=0, microsecond=0)


def test_rolling_up_twice_changes_nothing(version: Version, production: Environment) -> None:
    make_message(version, production)
    roll_up_messages()
    assert roll_up_messages() == 0
    tasks.roll_up_messages()
    assert HourRollup.objects.get().requests == 1


def test_a_failed_answer_is_an_error_that_nobody_saw(version: Version, production: Environment) -> None:
    make_message(version, production, state=Message.State.FAILED)
    roll_up_messages()
    cell = HourRollup.objects.get()
    assert (cell.requests, cell.shown, cell.errors) == (1, 0, 1)


def test_an_unknown_cost_is_counted_as_unknown(version: Version, production: Environment) -> None:
    make_message(version, production, cost_usd=None)
    roll_up_messages()
    cell = HourRollup.objects.get()
    assert (cell.unpriced, cell.cost_usd) == (1, 0)


def test_an_answer_in_an_experiment_exposes_its_unit(variant: Variant) -> None:
    make_message(variant.version, variant.experiment.environment, variant=variant, unit_id="u1")
    roll_up_messages()
    cell = HourRollup.objects.get()
    assert (cell.variant, cell.phase, cell.units) == (variant, 1, 1)
    unit = ExperimentUnit.objects.get()
    assert (unit.variant, unit.unit_id, unit.requests) == (variant, "u1", 1)


def test_the_served_variant_counts_not_the_assigned_one(variant: Variant) -> None:
    control = variant.experiment.variants.get(is_control=True)
    environment = variant.experiment.environment
    make_message(control.version, environment, variant=control, assigned_variant=variant, unit_id="u1")
    roll_up_messages()
    assert HourRollup.objects.get().variant == control


def test_what_is_not_over_waits(version: Version, production: Environment) -> None:
    make_message(version, production, state=Message.State.STREAMING)
    assert roll_up_messages() == 0


def test_plain_chat_is_counted_nowhere(production: Environment) -> None:
    make_message(None, team=production.team)
    assert roll_up_messages() == 0
    assert not HourRollup.objects.exists()


def test_an_answer_without_an_environment_does_not_stop_the_others(version: Version, production: Environment) -> None:
    make_message(version, None)
    make_message(version, production)
    assert roll_up_messages() == 2
    assert HourRollup.objects.get().requests == 1


def test_it_goes_on_until_nothing_waits(version: Version, production: Environment) -> None:
    for _ in range(5):
        make_message(version, production)
    assert roll_up_messages(limit=2) == 5
    assert HourRollup.objects.get().requests == 5


def test_a_batch_takes_the_same_queries_however_long(
    version: Version, production: Environment, django_assert_num_queries: Any
) -> None:
    make_message(version, production)
    roll_up_messages()
    for _ in range(20):
        make_message(version, production)
    with django_assert_num_queries(
        11
    ):  # savepoint, read, formats, add to hours and days, uses of the day and in all, read and count what is sent, stamp, release
        roll_up_messages()


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_count_every_answer_once() -> None:
    variant = make_experiment(make_prompt(make_team()), running=True).variants.get(is_control=False)
    for number in range(60):
        make_message(variant.version, variant.experiment.environment, variant=variant, unit_id=f"u{number % 7}")
    done: list[int] = []

    def work() -> None:
        try:
            done.append(roll_up_messages(limit=10))
        finally:
            connections["default"].close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    done.append(roll_up_messages())  # a worker that finds less than a full batch leaves the rest to the next sweep
    assert sum(done) == 60
    cells = HourRollup.objects.filter(variant=variant)
    assert (sum(cell.requests for cell in cells), sum(cell.units for cell in cells)) == (60, 7)


@pytest.mark.django_db(transaction=True)
def test_what_another_worker_holds_is_left_to_it() -> None:
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("One writer at a time: nobody can hold rows beside us.")
    version = newest(make_prompt(make_team()))
    production = make_live(version)
    make_message(version, production)
    done: list[int] = []

    def work() -> None:
        try:
            done.append(roll_up_messages())
        finally:
            connections["default"].close()

    with transaction.atomic():
        list(Message.objects.not_rolled_up().select_for_update())
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(60)
    assert done == [0]
    assert roll_up_messages() == 1
