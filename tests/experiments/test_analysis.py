"""The analysis a worker keeps: from sums to a verdict, once, and the same again from what was kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any

import pytest
import time_machine
from django.apps import apps
from django.db import transaction
from django.db.models import F, Sum

from experiments.models import AnalysisSnapshot, Experiment, ExperimentUnit, HourRollup, Phase, Variant
from experiments.results import as_json, results
from experiments.services import lifecycle
from experiments.services.analysis import analyse, analyse_all, computed
from experiments.services.hours import Served
from experiments.services.rollups import Observation, add_observations
from experiments.stats.skewed import winsorised
from experiments.tasks import analyse as task
from promptlab.accounts.access import SYSTEM
from tests.experiments.test_rollups import served_by
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_prompt

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def experiment(cast: Cast) -> Experiment:
    with time_machine.travel(START, tick=False):
        return make_experiment(make_prompt(cast.team), running=True, key="tone")


def users(variant: Variant, ups: int, downs: int, prefix: str = "", **more: Any) -> Iterator[Observation]:
    """So many users who see one answer and rate it."""
    one = variant.experiment
    served = Served(one.prompt_id, one.environment_id, variant.version_id, one.pk, one.phase, variant.pk)
    for number in range(ups + downs):
        unit_id = f"{prefix}{variant.key}-{number}"
        yield Observation(served, unit_id, START + HOUR, requests=1, shown=1, latency_ms=200 + number, **more)
        yield Observation(served, unit_id, START + HOUR, ratings=1, ups=int(number < ups))


def add(*groups: Iterator[Observation]) -> None:
    with transaction.atomic():
        add_observations([one for group in groups for one in group])


def test_a_healthy_pair_keeps_going(experiment: Experiment) -> None:
    control, other = experiment.variants.all()
    add(users(control, 160, 40), users(other, 161, 39))
    snapshot = analyse(experiment, START + timedelta(days=3))
    assert snapshot is not None
    found = snapshot.results
    assert (snapshot.verdict, found["about"], found["leaders"]) == ("keep_going", "", [])
    assert found["variants"]["control"]["approval"] == 0.8
    change = found["changes"][other.key]
    assert change["change"] == pytest.approx(0.005)
    assert change["range"][0] < 0.005 < change["range"][1]
    assert change["latency_ratio"][0] == pytest.approx(1.0)
    assert change["rating_rate"]["change"] == 0.0
    assert (found["split"]["p_value"], found["split"]["is_wrong"]) == (1.0, False)
    assert found["split"]["shares"] == found["split"]["expected"] == {"control": 0.5, other.key: 0.5}
    assert found["variants"]["control"]["downs_per_1000"] == 200
    assert found["variants"]["control"]["wait_ms"]["p50"] == pytest.approx(300, rel=0.05)
    assert {one["metric"] for one in found["guardrails"]} == {"approval", "success", "latency"}
    assert found["days_to_decision"] > 0


def test_a_bad_text_is_called_worse_at_once(experiment: Experiment) -> None:
    control, other = experiment.variants.all()
    add(users(control, 90, 10), users(other, 40, 60))
    snapshot = analyse(experiment, START + 2 * HOUR)
    assert snapshot is not None
    assert (snapshot.verdict, snapshot.results["about"]) == ("worse", other.key)
    assert [one["metric"] for one in snapshot.results["guardrails"] if one["is_harmful"]] == ["approval"]


def test_a_text_is_ahead_at_the_second_daily_count_and_stays(experiment: Experiment) -> None:
    control, other = experiment.variants.all()
    add(users(control, 600, 400), users(other, 720, 280))
    said = []
    for hours in (7 * 24, 7 * 24 + 1, 8 * 24 + 2):
        analyse(experiment, START + timedelta(hours=hours))
        said.append(AnalysisSnapshot.objects.newest_of(experiment.pk, 1)[0].verdict)
    assert said == ["keep_going", "keep_going", "ahead"]
    add(users(other, 0, 140, prefix="late-"))
    snapshot = analyse(experiment, START + timedelta(days=9))
    assert snapshot is not None
    assert snapshot.results["leaders"] == []
    assert snapshot.results["changes"][other.key]["chance_to_win"] > 0.9
    assert snapshot.verdict == "ahead"


def test_a_wrong_split_hides_the_verdict(experiment: Experiment) -> None:
    control, other = experiment.variants.all()
    add(users(control, 160, 40), users(other, 60, 40))
    snapshot = analyse(experiment, START + timedelta(days=3))
    assert snapshot is not None
    assert (snapshot.verdict, snapshot.results["split"]["is_wrong"]) == ("do_not_trust", True)


def test_a_text_that_fails_is_not_compared(experiment: Experiment) -> None:
    control, other = experiment.variants.all()
    add(users(control, 20, 5), users(other, 20, 5, errors=1))
    snapshot = analyse(experiment, START + timedelta(days=3))
    assert snapshot is not None
    assert snapshot.verdict == "do_not_trust"


def test_without_anything_nobody_has_seen_it(experiment: Experiment) -> None:
    snapshot = analyse(experiment, START + timedelta(days=2))
    assert snapshot is not None
    assert snapshot.verdict == "no_data"
    assert [one["range"] for one in snapshot.results["changes"].values()] == [None]
    assert (snapshot.results["guardrails"], snapshot.results["days_to_decision"]) == ([], None)


def test_the_same_sums_are_kept_once_and_once_a_day(experiment: Experiment) -> None:
    add(users(experiment.variants.get(is_control=True), 5, 5))
    assert analyse(experiment, START + 2 * HOUR) is not None
    assert analyse(experiment, START + 3 * HOUR) is None
    assert analyse(experiment, START + 26 * HOUR) is not None


def test_any_past_verdict_can_be_computed_again(experiment: Experiment) -> None:
    control, other = experiment.variants.all()
    add(users(control, 160, 40), users(other, 150, 50))
    analyse(experiment, START + timedelta(days=3))
    snapshot = AnalysisSnapshot.objects.get()
    assert json.loads(json.dumps(computed(snapshot.inputs))) == snapshot.results


def test_the_task_looks_at_what_runs_or_has_just_ended(cast: Cast, experiment: Experiment) -> None:
    make_experiment(make_prompt(cast.team))
    with time_machine.travel(START + timedelta(days=1), tick=False):
        task()
        assert [one.verdict for one in AnalysisSnapshot.objects.all()] == ["too_early"]
        lifecycle.stop(SYSTEM, experiment)
    assert analyse_all(START + timedelta(days=2)) == 1
    assert AnalysisSnapshot.objects.newest_of(experiment.pk, 1)[0].verdict == "ended"
    assert analyse_all(START + timedelta(days=5)) == 0


def test_at_the_planned_number_tests_are_made_once(cast: Cast) -> None:
    with time_machine.travel(START, tick=False):
        experiment = make_experiment(make_prompt(cast.team), running=True, weights=(3334, 3333, 3333))
    experiment.planned_size = 600
    control, one, other = experiment.variants.all()
    add(users(control, 140, 50), users(one, 150, 40), users(other, 142, 48))
    early = analyse(experiment, START + timedelta(days=3))
    assert early is not None
    plan = early.results["plan"]
    assert (early.results["at_end"], plan["is_reached"], plan["ratings"]) == (None, False, 570)
    assert (plan["ratings_per_day"], plan["days_to_end"], plan["unknown_until"]) == (190.0, 1, None)
    assert 0 < plan["shows_at_end"] < plan["shows_now"]
    assert 0 < plan["power_at_end"] < 1
    add(users(control, 10, 5, "b"), users(one, 14, 1, "b"))
    last = analyse(experiment, START + timedelta(days=4))
    assert last is not None
    end = last.results["at_end"]
    by_holm = [(test["variant"], test["p_value"], test["adjusted_p_value"]) for test in end["primary"]]
    assert [key for key, _, _ in by_holm] == [one.key, other.key]
    assert by_holm[0][2] == pytest.approx(2 * by_holm[0][1])
    assert by_holm[1][2] == pytest.approx(max(by_holm[1][1], by_holm[0][2]))
    assert {test["metric"] for test in end["secondary"]} == {"success", "latency"}
    assert all(test["adjusted_p_value"] >= test["p_value"] for test in end["secondary"])
    assert last.verdict == "no_difference"
    add(users(other, 0, 60, "late"))
    after = analyse(experiment, START + timedelta(days=5))
    assert after is not None
    assert after.results["at_end"] == end, "looked at once more it would err more often"
    assert json.loads(json.dumps(computed(after.inputs))) == after.results


def test_the_dearest_units_are_held_down_and_read_once_a_day(
    experiment: Experiment, django_assert_num_queries: Any
) -> None:
    control, other = experiment.variants.all()
    bills = {key: [Decimal(n % 17 + 1) / 1000 for n in range(1100)] for key in ("control", other.key)}
    bills[other.key][7] = Decimal(90)
    for variant in (control, other):
        served = served_by(variant)
        costs = enumerate(bills[variant.key])
        with transaction.atomic():
            add_observations(
                [Observation(served, f"{variant.key}{n}", START, requests=1, cost_usd=c) for n, c in costs]
            )
    snapshot = analyse(experiment, START + HOUR)
    assert snapshot is not None
    held_down = snapshot.inputs["costs"]["moments"]
    for key, of_units in bills.items():
        expected = asdict(winsorised((1, float(cost)) for cost in of_units))
        assert held_down[key] == {name: pytest.approx(number) for name, number in expected.items()}
    assert snapshot.results["variants"][other.key]["cost_per_request"] > 0.08
    low, high = snapshot.results["changes"][other.key]["cost_range"]
    assert -0.01 < low < 0 < high < 0.01
    add(users(control, 1, 0))
    with django_assert_num_queries(6):
        analyse(experiment, START + 2 * HOUR)


def test_what_took_part_once_is_not_compared_any_more(experiment: Experiment) -> None:
    Variant.objects.filter(experiment=experiment, is_control=False).update(weight_bp=0)
    experiment = Experiment.objects.get(pk=experiment.pk)
    snapshot = analyse(experiment, START + HOUR)
    assert snapshot is not None
    assert (list(snapshot.results["variants"]), snapshot.results["changes"]) == (["control"], {})


def test_a_phase_has_its_own_time(experiment: Experiment) -> None:
    with time_machine.travel(START + timedelta(days=3), tick=False):
        Phase.objects.create(experiment=experiment, number=2, kind="shares", seed="s", bucket_version=1, shares={})
    experiment.phase = 2
    snapshot = analyse(experiment, START + timedelta(days=3, hours=5))
    assert snapshot is not None
    assert (snapshot.inputs["ran_for_s"], snapshot.verdict) == (5 * 3600, "too_early")


def test_results_hold_the_newest_analysis_of_the_phase(experiment: Experiment) -> None:
    assert as_json(results(experiment))["analysis"] is None
    analyse(experiment, START + 2 * HOUR)
    add(users(experiment.variants.get(is_control=True), 5, 5))
    analyse(experiment, START + 3 * HOUR)
    found = as_json(results(experiment))["analysis"]
    assert (found["as_of"], found["code_version"], found["verdict"]) == ("2026-03-01T12:00:00+00:00", "2", "too_early")
    assert found["variants"]["control"]["ratings"] == 10
    Experiment.objects.update(phase=2)
    experiment.refresh_from_db()
    assert results(experiment).analysis is None


def test_the_migration_books_what_older_hours_do_not_hold(experiment: Experiment) -> None:
    control, other = experiment.variants.all()
    add(users(control, 3, 2), users(other, 1, 1))
    names = ["users", "unit_requests", "requests_sq", "unit_ratings", "unit_ups", "requests_ratings", "raters"]
    sums = {f"all_{name}": Sum(name) for name in names}
    right = list(HourRollup.objects.values("variant_id").order_by("variant_id").annotate(**sums))
    HourRollup.objects.update(**dict.fromkeys(names[:-1], 0), raters=F("raters") + 7)
    fill = import_module("experiments.migrations.0003_fill_sums_over_units").fill
    for _ in range(2):
        fill(apps, None)
        assert list(HourRollup.objects.values("variant_id").order_by("variant_id").annotate(**sums)) == right
    assert ExperimentUnit.objects.count() == 7
