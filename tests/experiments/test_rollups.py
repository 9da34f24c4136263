"""Adding observations: sums per hour, sums per unit, and what two workers do to each other (nothing)."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connections, transaction
from django.db.models import Count, Sum

from experiments.models import Experiment, ExperimentUnit, HourRollup, Variant
from experiments.services.hours import Served
from experiments.services.rollups import Observation, add_observations, sums_over_units
from tests.support.make import make_experiment, make_prompt, make_team

NOON = datetime(2026, 3, 1, 12, 20, tzinfo=UTC)
SQUARES = ("raters", "ratings_sq", "ups_sq", "ratings_ups")


def served_by(variant: Variant) -> Served:
    experiment = variant.experiment
    return Served(
        experiment.prompt_id, experiment.environment_id, variant.version_id, experiment.pk, experiment.phase, variant.pk
    )


def add(*observations: Observation) -> None:
    with transaction.atomic():
        add_observations(observations)


def shown(variant: Variant, unit_id: str, at: datetime = NOON, **more: Any) -> Observation:
    return Observation(served_by(variant), unit_id, at, requests=1, shown=1, **more)


def rated(variant: Variant, unit_id: str, ratings: int, ups: int, at: datetime = NOON) -> Observation:
    return Observation(served_by(variant), unit_id, at, ratings=ratings, ups=ups)


def total(variant: Variant, *names: str) -> tuple[int, ...]:
    sums = HourRollup.objects.filter(variant=variant).aggregate(**{f"n_{name}": Sum(name) for name in names})
    return tuple(int(sums[f"n_{name}"] or 0) for name in names)


@pytest.fixture
def experiment(db: None) -> Experiment:
    return make_experiment(make_prompt(make_team()), running=True)


@pytest.fixture
def control(experiment: Experiment) -> Variant:
    return experiment.variants.get(is_control=True)


@pytest.fixture
def other(experiment: Experiment) -> Variant:
    return experiment.variants.get(is_control=False)


def test_sums_are_booked_in_the_full_hour_of_arrival(control: Variant) -> None:
    in_nepal = (NOON + timedelta(hours=1)).astimezone(timezone(timedelta(hours=5, minutes=45)))
    add(shown(control, "u1", NOON, latency_ms=120, input_tokens=7, output_tokens=3), shown(control, "u2", in_nepal))
    first, second = HourRollup.objects.filter(variant=control).order_by("hour")
    assert (first.hour, second.hour) == (NOON.replace(minute=0), NOON.replace(hour=13, minute=0))
    assert (first.requests, first.shown, first.units, first.latency_ms) == (1, 1, 1, 120)
    assert (first.input_tokens, first.output_tokens) == (7, 3)


def test_a_second_call_adds_to_the_same_cell(control: Variant) -> None:
    add(shown(control, "u1", cost_usd=Decimal("0.001"), errors=1))
    add(shown(control, "u1", cost_usd=Decimal("0.002")), shown(control, "u2", is_unpriced=True))
    cell = HourRollup.objects.get(variant=control)
    assert (cell.requests, cell.errors, cell.units, cell.unpriced) == (3, 1, 2, 1)
    assert cell.cost_usd == Decimal("0.003")


def test_many_cells_of_both_kinds_are_added_to_at_once(control: Variant, django_assert_max_num_queries: Any) -> None:
    inside = served_by(control)
    plain = Served(inside.prompt_id, inside.environment_id, inside.version_id)
    hours = [NOON + timedelta(hours=hour) for hour in range(40)]
    many = [Observation(served, "", at, requests=1, latency_ms=3) for at in hours for served in (inside, plain)]
    with django_assert_max_num_queries(10), transaction.atomic():
        add_observations(many)
    add(*many[:30])
    cells = HourRollup.objects.values_list("variant_id", "requests", "latency_ms", "shown").order_by("hour", "id")
    assert sorted(cells, key=str) == sorted(
        [(pk, n, 3 * n, 0) for pk in (control.pk, None) for n in (2,) * 15 + (1,) * 25], key=str
    )


def test_outside_of_experiments_there_are_hourly_sums_and_no_units(control: Variant) -> None:
    inside = served_by(control)
    plain = Served(inside.prompt_id, inside.environment_id, inside.version_id)
    add(Observation(plain, "u1", NOON, requests=1, shown=1), Observation(plain, "u1", NOON, ratings=1, ups=1))
    cell = HourRollup.objects.get(variant=None)
    assert (cell.experiment_id, cell.phase, cell.requests, cell.ratings, cell.ups) == (None, 0, 1, 1, 1)
    assert (cell.units, cell.raters, cell.ratings_sq) == (0, 0, 0)
    assert not ExperimentUnit.objects.exists()


def test_without_a_unit_the_hour_counts_and_no_unit_does(control: Variant) -> None:
    add(shown(control, ""))
    assert total(control, "shown", "units") == (1, 0)
    assert not ExperimentUnit.objects.exists()


def test_waits_are_counted_by_length_also_where_others_added_to_the_hour(control: Variant) -> None:
    add(shown(control, "u1", latency_ms=32), shown(control, "u2", latency_ms=33), shown(control, "u3"))
    add(shown(control, "u1", latency_ms=32), shown(control, "u1", latency_ms=10**7))
    add(rated(control, "u1", 1, 1))
    assert HourRollup.objects.get().wait_counts == {"8": 3, "111": 1}


def test_hours_without_waits_are_added_to_beside_others_with_some(control: Variant, other: Variant) -> None:
    for _ in range(2):
        add(shown(control, "u1"), shown(other, "u2", latency_ms=32))
    assert [one.wait_counts for one in HourRollup.objects.order_by("variant_id")] == [{}, {"8": 2}]


def test_answers_in_a_wrong_format_are_counted_per_unit(control: Variant) -> None:
    add(shown(control, "u1", checked=1, misfits=1), shown(control, "u1", checked=1), shown(control, "u2", checked=1))
    add(shown(control, "u1", NOON + timedelta(hours=2), checked=1, misfits=1), shown(control, "u3"))
    assert total(control, "checked", "misfits", "checked_units", "unit_checked", "unit_misfits") == (4, 2, 2, 4, 2)
    assert total(control, "checked_sq", "misfits_sq", "checked_misfits") == (9 + 1, 4, 6)


def test_the_squares_are_sums_over_units_not_over_hours(control: Variant) -> None:
    later = NOON + timedelta(hours=5)
    add(shown(control, "u1"), shown(control, "u2"), rated(control, "u1", 1, 1))
    add(rated(control, "u1", 1, 1, later), rated(control, "u1", 1, 0, later), rated(control, "u2", 1, 0, later))
    # u1 gave 3 ratings, 2 of them up; u2 gave 1, down.
    assert total(control, "ratings", "ups") == (4, 2)
    assert total(control, *SQUARES) == (2, 3 * 3 + 1, 2 * 2 + 0, 3 * 2 + 0)


def test_a_changed_mind_takes_back_what_it_added(control: Variant) -> None:
    add(shown(control, "u1"), rated(control, "u1", 1, 1))
    add(rated(control, "u1", 0, -1, NOON + timedelta(hours=3)))
    assert total(control, "ratings", "ups") == (1, 0)
    assert total(control, *SQUARES) == (1, 1, 0, 0)
    add(rated(control, "u1", -1, 0))
    assert total(control, *SQUARES) == (0, 0, 0, 0)


def test_a_unit_that_meets_another_variant_is_counted_once(control: Variant, other: Variant) -> None:
    add(shown(control, "u1"))
    add(shown(other, "u1"), shown(other, "u1"), rated(other, "u1", 1, 1))
    unit = ExperimentUnit.objects.get()
    assert (unit.variant, unit.is_multiple, unit.requests, unit.ratings) == (control, True, 1, 0)
    assert total(control, "units", "multiple_units", "shown") == (1, 1, 1)
    assert total(other, "units", "multiple_units", "shown", "ratings", "ups") == (0, 0, 2, 1, 1)
    assert total(other, *SQUARES) == (0, 0, 0, 0)


def test_a_unit_that_met_two_texts_leaves_the_sums_over_units(control: Variant, other: Variant) -> None:
    add(shown(control, "u1", latency_ms=50, cost_usd=Decimal("0.5")), shown(control, "u2"), rated(control, "u1", 2, 1))
    add(rated(control, "u2", 1, 1))
    assert total(control, "users", *SQUARES) == (2, 2, 5, 2, 3)
    add(shown(other, "u1", NOON + timedelta(hours=2)))
    assert total(control, "users", *SQUARES) == (1, 1, 1, 1, 1)
    add(rated(control, "u1", 3, 3))
    assert total(control, "users", *SQUARES) == (1, 1, 1, 1, 1)
    assert total(control, "ratings", "ups", "units", "multiple_units") == (6, 5, 2, 1)
    assert total(control, "waits", "priced", "requests_ratings", "unit_requests") == (0, 0, 1, 1)
    ln_ms, cost = HourRollup.objects.filter(variant=control).aggregate(a=Sum("ln_ms"), b=Sum("unit_cost")).values()
    assert (ln_ms, cost) == pytest.approx((0, 0), abs=1e-12)


def test_waits_and_cost_are_summed_per_unit(control: Variant) -> None:
    for ms, usd in ((100, "0.01"), (400, "0.03"), (0, None)):
        add(shown(control, "u1", latency_ms=ms, cost_usd=None if usd is None else Decimal(usd)))
    cell = HourRollup.objects.get(variant=control)
    logs = math.log(100), math.log(400)
    assert (cell.users, cell.unit_requests, cell.requests_sq) == (1, 3, 9)
    assert (cell.waiters, cell.waits, cell.waits_sq, cell.payers, cell.priced, cell.priced_sq) == (1, 2, 4, 1, 2, 4)
    assert (cell.ln_ms, cell.ln_ms_sq, cell.waits_ln_ms) == pytest.approx((sum(logs), sum(logs) ** 2, 2 * sum(logs)))
    assert cell.ln_ms_events == pytest.approx(sum(one * one for one in logs))
    assert (cell.unit_cost, cell.cost_sq, cell.priced_cost) == pytest.approx((0.04, 0.0016, 0.08))
    assert cell.cost_events == pytest.approx(0.0001 + 0.0009)


def test_the_oldest_exposure_of_a_batch_decides(control: Variant, other: Variant) -> None:
    add(shown(other, "u1", NOON + timedelta(seconds=1)), shown(control, "u1", NOON))
    unit = ExperimentUnit.objects.get()
    assert (unit.variant, unit.first_exposed_at, unit.is_multiple) == (control, NOON, True)


def test_a_rating_is_no_exposure(control: Variant) -> None:
    add(rated(control, "u1", 1, 1))
    assert not ExperimentUnit.objects.exists()
    assert total(control, "ratings", "units", "raters") == (1, 0, 0)


def test_each_phase_has_units_of_its_own(experiment: Experiment, control: Variant) -> None:
    add(shown(control, "u1"))
    control.experiment.phase = 2
    add(shown(control, "u1"))
    assert ExperimentUnit.objects.filter(is_multiple=False).count() == 2
    assert total(control, "units") == (2,)


def test_it_belongs_in_the_callers_transaction(control: Variant) -> None:
    one = shown(control, "u1")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        add_observations([one])
        raise ZeroDivisionError
    assert not HourRollup.objects.exists()
    assert not ExperimentUnit.objects.exists()


def test_five_hundred_observations_take_few_queries(
    control: Variant, other: Variant, django_assert_max_num_queries: Any
) -> None:
    many = [shown((control, other)[i % 2], f"u{i}") for i in range(500)]
    with django_assert_max_num_queries(28), transaction.atomic():
        add_observations(many)
    assert total(control, "units", "shown") == (250, 250)


def test_the_sums_equal_what_the_units_say(control: Variant, other: Variant) -> None:
    chance = random.Random(7)
    for _ in range(30):
        add(*(_something(chance, (control, other), f"u{chance.randrange(12)}") for _ in range(20)))
    assert_reconciled((control, other))


def _something(chance: random.Random, variants: Sequence[Variant], unit_id: str) -> Observation:
    variant = variants[int(unit_id[1:]) % 2]
    at = NOON + timedelta(hours=chance.randrange(6))
    if chance.random() < 0.5 or not ExperimentUnit.objects.filter(unit_id=unit_id).exists():
        return shown(variant, unit_id, at)
    return rated(variant, unit_id, 1, chance.randrange(2), at)


def assert_reconciled(variants: Sequence[Variant]) -> None:
    """The sums over all hours are exactly the sums over the units' rows."""
    for variant in variants:
        units = ExperimentUnit.objects.filter(variant=variant)
        recount = [sums_over_units(unit) for unit in units]
        assert total(variant, *recount[0]) == tuple(sum(int(one[name]) for one in recount) for name in recount[0])
        rows = units.values_list("requests", "ratings", "ups")
        assert total(variant, "units", "requests", "ratings", "ups", *SQUARES) == (
            len(rows),
            sum(r for r, _, _ in rows),
            sum(n for _, n, _ in rows),
            sum(s for _, _, s in rows),
            sum(n > 0 for _, n, _ in rows),
            sum(n * n for _, n, _ in rows),
            sum(s * s for _, _, s in rows),
            sum(n * s for _, n, s in rows),
        )


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_lose_nothing_and_do_not_deadlock() -> None:
    experiment = make_experiment(make_prompt(make_team()), running=True)
    variants = list(experiment.variants.select_related("experiment"))
    rounds, units = 12, 10
    errors: list[Exception] = []
    together = threading.Barrier(2)

    def work(seed: int) -> None:
        chance = random.Random(seed)
        try:
            for turn in range(rounds):
                ids = [f"u{i}" for i in range(units)]
                chance.shuffle(ids)
                together.wait(timeout=30)
                exposures = [shown(variants[int(one[1:]) % 2], f"{one}-{turn % 3}") for one in ids]
                ratings = [rated(variants[int(one[1:]) % 2], f"{one}-{turn % 3}", 1, seed % 2) for one in ids]
                add(*exposures, *ratings)
        except (DatabaseError, threading.BrokenBarrierError) as error:
            errors.append(error)
            together.abort()
        finally:
            connections["default"].close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    everything = HourRollup.objects.aggregate(n=Sum("requests"), r=Sum("ratings"), u=Sum("units"))
    assert {name: int(value) for name, value in everything.items()} == {
        "n": 2 * rounds * units,
        "r": 2 * rounds * units,
        "u": 3 * units,
    }
    assert ExperimentUnit.objects.aggregate(n=Count("pk"))["n"] == 3 * units
    assert_reconciled(variants)
