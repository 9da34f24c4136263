"""Sums against the units' rows: the same after anything the services do; told and repaired after anything else."""

from __future__ import annotations

import io
import random
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import F

from experiments import tasks
from experiments.models import Experiment, ExperimentUnit, HourRollup
from experiments.services import lifecycle
from experiments.services.reconciling import NAMES, differences_found, reconcile, reconcile_all
from experiments.services.rollups import sums_over_units
from promptlab.accounts.access import SYSTEM
from promptlab.audit.models import AuditEntry
from tests.experiments.test_rollups import add, rated, shown
from tests.support.make import make_experiment, make_prompt, make_team

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def summed(kept_for_the_file: None) -> Experiment:
    """One with 60 units, some of which met both texts, and with everything that is summed."""
    made = make_experiment(make_prompt(make_team()), running=True)
    chance, variants = random.Random(3), list(made.variants.all())
    for number in range(60):
        unit, variant = f"u{number}", variants[number % 2]
        cost = Decimal(chance.randrange(1, 900)) / 1000
        add(shown(variant, unit, latency_ms=chance.randrange(20, 9000), cost_usd=cost, errors=int(number % 7 == 0)))
        kept = {"checked": 1, "misfits": int(number % 5 == 0)}
        add(shown(variant, unit, latency_ms=5, **kept), rated(variant, unit, 2, number % 3))
        if number % 10 == 0:
            add(shown(variants[1 - number % 2], unit))
    return made


@pytest.fixture
def experiment(summed: Experiment, db: None) -> Experiment:
    return deepcopy(summed)


def names(found: Any) -> set[tuple[str, str]]:
    return {(one.variant, one.name) for one in found}


def test_every_sum_over_units_is_compared() -> None:
    assert set(NAMES) == {"units", "multiple_units", *sums_over_units(ExperimentUnit())}


def test_what_services_wrote_agrees(experiment: Experiment, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(5):  # two of them are the savepoint
        assert reconcile(experiment) == []
    assert not AuditEntry.objects.filter(verb="rollups.repaired").exists()


def test_what_differs_is_told_and_repaired_once(experiment: Experiment) -> None:
    control = experiment.variants.get(is_control=True)
    HourRollup.objects.filter(variant=control).update(unit_ups=F("unit_ups") - 3, ln_ms=F("ln_ms") + 1.5)
    before = differences_found.value("yes")
    found = reconcile(experiment)
    assert names(found) == {("control", "unit_ups"), ("control", "ln_ms")}
    assert {one.name: round(one.counted - one.held, 6) for one in found} == {"unit_ups": 3, "ln_ms": -1.5}
    assert differences_found.value("yes") == before + 2
    assert reconcile(experiment) == []
    entry = AuditEntry.objects.get(verb="rollups.repaired")
    assert entry.actor_kind == "system"
    assert entry.after["control 1 unit_ups"] - entry.before["control 1 unit_ups"] == 3


def test_lost_hours_are_made_again(experiment: Experiment) -> None:
    HourRollup.objects.filter(experiment=experiment).delete()
    found = reconcile(experiment)
    assert {one.name for one in found} == set(NAMES)
    assert reconcile(experiment) == []


def test_lost_units_are_taken_from_the_sums(experiment: Experiment) -> None:
    ExperimentUnit.objects.filter(experiment=experiment).delete()
    assert {one.counted for one in reconcile(experiment)} == {0}
    assert reconcile(experiment) == []


def test_looking_alone_changes_nothing(experiment: Experiment) -> None:
    HourRollup.objects.filter(experiment=experiment).update(users=F("users") + 1)
    assert names(reconcile(experiment, repair=False)) == {("control", "users"), ("variant-1", "users")}
    assert names(reconcile(experiment, repair=False)) == {("control", "users"), ("variant-1", "users")}


def test_every_night_those_that_may_still_change(experiment: Experiment) -> None:
    HourRollup.objects.filter(experiment=experiment).update(users=F("users") + 1)
    make_experiment(make_prompt(experiment.team))
    lifecycle.stop(SYSTEM, experiment)
    assert [one.pk for one in reconcile_all(repair=False)] == [experiment.pk]
    tasks.reconcile()
    assert reconcile_all() == {}
    Experiment.objects.update(ended_at=None, state=Experiment.State.STOPPED)
    HourRollup.objects.filter(experiment=experiment).update(users=F("users") + 1)
    assert reconcile_all() == {}


def test_the_command_names_what_differs(experiment: Experiment) -> None:
    def said(**options: Any) -> tuple[str, int]:
        out = io.StringIO()
        try:
            call_command("reconcile_rollups", stdout=out, **options)
        except SystemExit as end:
            return out.getvalue(), int(end.code or 0)
        return out.getvalue(), 0

    assert said() == ("Every sum is what the units say.\n", 0)
    HourRollup.objects.filter(experiment=experiment, variant__is_control=True).update(users=F("users") + 1)
    told, code = said()
    assert f"{experiment.key}: control, phase 1, users:" in told and "--repair" in told and code == 1
    assert said(repair=True)[1] == 1
    assert said()[1] == 0
