"""The guard looks as soon as sums change, once a second at most; an experiment that is proven worse is paused, once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from experiments.delivery import deliver
from experiments.models import AnalysisSnapshot, Experiment, RampDecision
from experiments.services import lifecycle, looking, pausing, rollups
from experiments.services.hours import Served
from experiments.services.rollups import Observation
from promptlab.accounts.access import SYSTEM
from promptlab.audit.models import AuditEntry
from promptlab.hooks.models import Mail
from tests.experiments.test_rollups import add, served_by
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_prompt
from tests.support.ramps import feed, make_ramp

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def experiment(cast: Cast) -> Experiment:
    return make_experiment(make_prompt(cast.team, title="Greeting"), running=True, key="tone")


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Wake-ups, as they were asked for."""
    asked: list[tuple[Any, ...]] = []

    def enqueue(*what: Any, after_s: float = 0) -> None:
        asked.append((*what, after_s))

    for module in (rollups, looking):
        monkeypatch.setattr(module, "enqueue_on_commit", enqueue)
    return asked


def say(experiment: Experiment, **ups: int) -> None:
    """Let forty users of each variant rate, so many of them with thumbs up."""
    for key, number in ups.items():
        served: Served = served_by(experiment.variants.get(key=key.replace("_", "-")))
        units = [(f"{key}-{n}", int(n < number)) for n in range(40)]
        add(*(Observation(served, unit, NOON, requests=1, shown=1) for unit, _ in units))
        add(*(Observation(served, unit, NOON, ratings=1, ups=up) for unit, up in units))


def test_changed_sums_wake_the_guard_of_what_runs(experiment: Experiment, woken: list[tuple[Any, ...]]) -> None:
    say(experiment, control=30)
    assert set(woken) == {(rollups.LOOK_TASK, experiment.pk, 0)}
    woken.clear()
    lifecycle.pause(SYSTEM, experiment)
    say(experiment, variant_1=30)
    assert woken == []


def test_looks_within_a_second_become_one_at_its_end(experiment: Experiment, woken: list[tuple[Any, ...]]) -> None:
    looked = []
    with time_machine.travel(NOON, tick=False) as clock:
        for after_s in (0, 0.2, 0.4, 0.9):
            clock.move_to(NOON + timedelta(seconds=after_s))
            looked.append(looking.look(experiment.pk))
        assert looked == [True, False, False, False]
        assert woken == [(rollups.LOOK_TASK, experiment.pk, 1, 1.0)]
        clock.move_to(NOON + timedelta(seconds=1.2))
        assert looking.look(experiment.pk, is_due=True)
        clock.move_to(NOON + timedelta(seconds=60))
        assert looking.look(experiment.pk), "also when the one that was put off is lost"
    assert len(woken) == 1


def test_a_launch_is_sent_back_by_a_look(cast: Cast) -> None:
    ramp = make_ramp(cast.team)
    feed(ramp, "live", 60, ratings=60, ups=55)
    feed(ramp, "new", 60, ratings=60, ups=20)
    assert looking.look(ramp.experiment_id)
    assert RampDecision.objects.latest("id").rule == "guard_approval"


def test_a_text_that_is_proven_worse_is_paused_and_the_numbers_are_kept(experiment: Experiment) -> None:
    say(experiment, control=36, variant_1=30)
    assert not pausing.check(experiment.pk), "proves nothing"
    say(experiment, variant_1=0)
    with time_machine.travel(NOON + timedelta(hours=1), tick=False):
        assert looking.look(experiment.pk)
    experiment.refresh_from_db()
    assert experiment.state == "paused"
    served = deliver(experiment.team_id, "production", "greeting").delivery.experiment
    assert served is not None and served.state == "paused"
    entry = AuditEntry.objects.get(verb="experiment.pause")
    assert (entry.actor_label, entry.note) == ("PromptLab", "variant-1: fewer thumbs-up, proven")
    kept = AnalysisSnapshot.objects.get()
    found = next(one for one in kept.results["guardrails"] if one["metric"] == "approval")
    assert (kept.verdict, found["is_harmful"]) == ("worse", True)


def test_what_nobody_chose_to_guard_pauses_nothing(experiment: Experiment) -> None:
    say(experiment, control=40, variant_1=0)
    chosen = {"guardrails": ["format"], "primary_metric": "latency"}
    Experiment.objects.filter(pk=experiment.pk).update(**chosen)
    assert pausing.check_all() == 0
    Experiment.objects.filter(pk=experiment.pk).update(primary_metric="approval")
    assert pausing.check_all() == 1


def test_who_lets_it_go_on_is_not_overruled(experiment: Experiment) -> None:
    say(experiment, control=40, variant_1=0)
    assert pausing.check_all() == 1
    assert pausing.check_all() == 0
    lifecycle.resume(SYSTEM, experiment)
    assert pausing.check_all() == 0
    assert not pausing.check(experiment.pk)


def test_its_owner_hears_of_it(experiment: Experiment, cast: Cast) -> None:
    type(cast.ben).objects.filter(pk=cast.ben.pk).update(email="ben@example.com")
    Experiment.objects.filter(pk=experiment.pk).update(owner=cast.ben)
    say(experiment, control=40, variant_1=0)
    pausing.check_all()
    assert Mail.objects.filter(kind="experiment_ended").count() == 1


def test_one_that_breaks_stops_no_other(experiment: Experiment, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    other = make_experiment(make_prompt(cast.team, title="Other"), running=True, key="other")
    say(other, control=40, variant_1=0)
    check = pausing.check

    def breaks(pk: int, now: datetime | None = None) -> bool:
        if pk == experiment.pk:
            raise ValueError("broken")
        return check(pk, now)

    monkeypatch.setattr(pausing, "check", breaks)
    assert pausing.check_all() == 1
