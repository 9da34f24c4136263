"""Reading the sums of an experiment: counts, approval, and what can be said already."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import transaction

from experiments.models import Experiment, Variant
from experiments.results import Status, as_json, overview, results
from experiments.services import lifecycle
from experiments.services.hours import Served
from experiments.services.rollups import Observation, add_observations
from experiments.stats.proportion import wilson
from promptlab.accounts.access import SYSTEM
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_prompt

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


@pytest.fixture
def experiment(cast: Cast) -> Experiment:
    with time_machine.travel(START, tick=False):
        return make_experiment(make_prompt(cast.team), running=True, key="tone")


def count(variant: Variant, **sums: int) -> None:
    one = variant.experiment
    served = Served(one.prompt_id, one.environment_id, variant.version_id, one.pk, one.phase, variant.pk)
    with transaction.atomic():
        add_observations([Observation(served, f"{variant.key}-u", START + timedelta(hours=1), **sums)])


def after(**time: int) -> time_machine.travel:
    return time_machine.travel(START + timedelta(**time), tick=False)


def test_every_variant_has_its_counts(experiment: Experiment) -> None:
    control, other = experiment.variants.all()
    count(control, requests=10, shown=8, errors=2, ratings=4, ups=3)
    found = results(experiment)
    first, second = found.variants
    low, high = wilson(3, 4)
    assert (first.key, first.is_control, first.version, first.share_bp) == ("control", True, 1, 5000)
    assert (first.units, first.requests, first.shown, first.errors) == (1, 10, 8, 2)
    assert (first.ratings, first.ups, first.downs, first.coverage) == (4, 3, 1, 0.5)
    assert (first.approval, first.low, first.high) == (0.75, low, high)
    assert (second.key, second.shown, second.approval, second.coverage) == (other.key, 0, None, None)


def test_only_the_current_phase_is_read(experiment: Experiment) -> None:
    control = experiment.variants.get(is_control=True)
    count(control, requests=1, shown=1)
    Experiment.objects.update(phase=2)
    experiment.refresh_from_db()
    assert results(experiment).shown == 0


def test_a_draft_has_not_started(cast: Cast) -> None:
    found = results(make_experiment(make_prompt(cast.team)))
    assert (found.status, found.days, found.has_enough) == (Status.NOT_STARTED, None, False)


def test_nobody_saw_it(experiment: Experiment) -> None:
    with after(days=3):
        assert results(experiment).status == Status.NO_DATA


@pytest.mark.parametrize(
    ("days", "ratings", "status"),
    [(1, 500, Status.TOO_EARLY), (2, 99, Status.TOO_EARLY), (2, 100, Status.COMPARABLE)],
)
def test_it_takes_two_days_and_a_hundred_ratings_of_each_text(
    experiment: Experiment, days: int, ratings: int, status: Status
) -> None:
    control, other = experiment.variants.all()
    count(control, requests=900, shown=900, ratings=800, ups=1)
    count(other, requests=900, shown=900, ratings=ratings, ups=1)
    with after(days=days):
        found = results(experiment)
    assert (found.status, found.days, found.fewest_ratings) == (status, days, ratings)
    assert found.has_enough == (status == Status.COMPARABLE)


def test_a_paused_and_an_ended_one_say_so(experiment: Experiment) -> None:
    with after(days=4):
        assert results(lifecycle.pause(SYSTEM, experiment)).status == Status.PAUSED
        ended = lifecycle.stop(SYSTEM, experiment)
    with after(days=30):
        found = results(ended)
    assert (found.status, found.days) == (Status.ENDED, 4)


def test_reading_takes_two_queries_beside_the_variants(experiment: Experiment, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(4):
        results(experiment)
    fetched = Experiment.objects.with_names().get(pk=experiment.pk)
    with django_assert_num_queries(2):
        results(fetched)


def test_the_api_gets_the_same_numbers(experiment: Experiment) -> None:
    count(experiment.variants.get(is_control=True), requests=2, shown=2, ratings=1, ups=1)
    with after(days=1):
        found = as_json(results(experiment))
    assert (found["experiment"], found["state"], found["status"]) == ("tone", "running", "too_early")
    assert (found["started_at"], found["days"]) == (START.isoformat(), 1)
    first = found["variants"][0]
    assert (first["variant"], first["shown"], first["rated"], first["up"], first["down"]) == ("control", 2, 1, 1, 0)
    assert (first["approval"], first["approval_high"], first["coverage"]) == (1.0, 1.0, 0.5)


def test_the_list_has_every_experiment_one_may_see(cast: Cast, experiment: Experiment) -> None:
    second = make_experiment(make_prompt(cast.team), weights=(4000, 3000, 3000))
    count(experiment.variants.get(is_control=True), requests=3, shown=2, ratings=1, ups=1)
    lines = overview(cast.principal(cast.vic))
    assert [(line.experiment, line.variants, line.shown, line.rated) for line in lines] == [
        (second, 3, 0, 0),
        (experiment, 2, 2, 1),
    ]
    assert overview(cast.principal(cast.zoe)) == []


def test_the_list_takes_two_queries_however_long(cast: Cast, django_assert_num_queries: Any) -> None:
    for _ in range(4):
        make_experiment(make_prompt(cast.team), running=True)
    principal = cast.principal(cast.vic)
    with django_assert_num_queries(2):
        for line in overview(principal):
            assert line.experiment.prompt.title
            assert line.experiment.environment.name
