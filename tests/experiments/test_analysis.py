"""The analysis a worker keeps: from sums to a verdict, once, and the same again from what was kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
import time_machine
from django.apps import apps
from django.db import transaction
from django.db.models import F, Sum

from experiments.models import AnalysisSnapshot, Experiment, ExperimentUnit, HourRollup, Variant
from experiments.results import as_json, results
from experiments.services import lifecycle
from experiments.services.analysis import analyse, analyse_all, computed
from experiments.services.hours import Served
from experiments.services.rollups import Observation, add_observations
from experiments.tasks import analyse as task
from promptlab.accounts.access import SYSTEM
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
    assert found["split"] == {"p_value": 1.0, "is_wrong": False}
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


def test_results_hold_the_newest_analysis_of_the_phase(experiment: Experiment) -> None:
    assert as_json(results(experiment))["analysis"] is None
    analyse(experiment, START + 2 * HOUR)
    add(users(experiment.variants.get(is_control=True), 5, 5))
    analyse(experiment, START + 3 * HOUR)
    found = as_json(results(experiment))["analysis"]
    assert (found["as_of"], found["code_version"], found["verdict"]) == ("2026-03-01T12:00:00+00:00", "1", "too_early")
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
