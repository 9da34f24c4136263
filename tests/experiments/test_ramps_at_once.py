"""Gradual launches under ticks and people at the same time, and from answers and ratings to the end."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from django.db import connections

from experiments.delivery import deliver
from experiments.errors import NotHeld, RampOver
from experiments.models import Ramp, RampDecision
from experiments.services import ramping
from feedback.services.batch import roll_up_feedback
from feedback.services.ingest import NewRating, accept
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.audit.models import AuditEntry
from promptlab.chat.services.metering import roll_up_messages
from promptlab.hooks.models import OutboxEvent
from prompts.models import Deployment, Environment
from tests.support.make import make_message, make_team
from tests.support.ramps import feed, make_ramp


def at_once(acts: list[Callable[[], Any]]) -> list[Any]:
    """Do all of them, beginning together, each in a thread with a connection of its own."""
    ready = Barrier(len(acts))

    def one(act: Callable[[], Any]) -> Any:
        ready.wait(timeout=20)
        try:
            return act()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(one, acts))


def revision(ramp: Ramp) -> int:
    return Environment.objects.get(pk=ramp.experiment.environment_id).revision


def _people_like_both(ramp: Ramp) -> None:
    for key in ("live", "new"):
        feed(ramp, key, 1000, ratings=1000, ups=800)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_ten_ticks_at_once_take_one_step() -> None:
    ramp = make_ramp(make_team())
    before, moment = revision(ramp), ramp.entered_at + timedelta(hours=1)
    for step in (1, 2):
        _people_like_both(ramp)
        taken = at_once([partial(ramping.tick, ramp.pk, moment)] * 10)
        assert [one.stage_index for one in taken if one is not None] == [step]
        assert revision(ramp) == before + step
        moment += timedelta(hours=48)
    _people_like_both(ramp)
    taken = at_once([partial(ramping.tick, ramp.pk, moment)] * 10)
    assert [one.kind for one in taken if one is not None] == ["completed"]
    assert revision(ramp) == before + 4, "the deployment and the end of the experiment"
    assert RampDecision.objects.count() == OutboxEvent.objects.filter(type__startswith="ramp.").count() == 4


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_ticks_and_people_at_once_leave_one_story() -> None:
    team = make_team()
    for number in range(5):
        ramp = make_ramp(team, title=f"Greeting {number}")
        feed(ramp, "live", 40, ratings=40, ups=40)
        feed(ramp, "new", 40, ratings=40, ups=10)
        acts = [ramping.hold, ramping.go_on, ramping.send_back]
        at_once(
            [
                *[lambda pk=ramp.pk: ramping.tick(pk)] * 5,
                *(lambda act=act, one=ramp: _attempt(act, one) for act in acts),
            ]  # type: ignore[misc]
        )
        found = Ramp.objects.with_names().get(pk=ramp.pk)
        assert (found.state, found.experiment.state) == ("rolled_back", "killed")
        steps = list(RampDecision.objects.filter(ramp=ramp).values_list("stage_version", flat=True))
        assert steps == list(range(1, len(steps) + 1))
        assert found.stage_version == steps[-1]
        assert AuditEntry.objects.filter(verb="ramp.rolled_back", target_id=str(found.experiment_id)).count() == 1


def _attempt(act: Callable[..., Any], ramp: Ramp) -> None:
    try:
        act(SYSTEM, ramp)
    except (NotHeld, RampOver):
        return


def talk(ramp: Ramp, key: str, users: int, ups: int, crowd: str = "") -> None:
    """Let users ask and rate, each once, as chat and feedback leave it; the first `ups` with thumbs up."""
    variant = ramp.experiment.variants.get(key=key)
    for number in range(users):
        unit = f"{key}{crowd}-{number}"
        answer = make_message(variant.version, variant.experiment.environment, variant=variant, unit_id=unit)
        accept(SYSTEM, NewRating(str(answer.uid), 1 if number < ups else -1))
    roll_up_messages()
    roll_up_feedback()


@pytest.mark.django_db
def test_a_bad_version_comes_back_and_the_record_explains_it(team: Team) -> None:
    ramp = make_ramp(team)
    talk(ramp, "live", 60, 48)
    talk(ramp, "new", 60, 48 - 12)
    assert ramping.tick(ramp.pk) is None, "twenty points on sixty ratings prove nothing yet"
    talk(ramp, "live", 120, 97, "more")
    talk(ramp, "new", 120, 72, "more")
    decision = ramping.tick(ramp.pk)
    assert decision is not None and (decision.kind, decision.rule) == ("rolled_back", "guard_approval")
    served = deliver(team.pk, "production", "greeting").delivery
    assert (served.prompt.version, served.experiment, served.revision) == (1, None, decision.revision)
    control, treatment = decision.numbers["control"], decision.numbers["treatment"]
    assert [(one["unit_ratings"], one["unit_ups"]) for one in (control, treatment)] == [(180, 145), (180, 108)]
    found = next(one for one in decision.numbers["guard"] if one["metric"] == "approval")
    assert found["change"] == pytest.approx(108 / 180 - 145 / 180)
    assert found["upper"] < 0


@pytest.mark.django_db
def test_a_healthy_one_walks_to_everybody_by_itself(team: Team, settings: Any) -> None:
    settings.RAMP_TIME_FACTOR = 48 * 3600.0
    ramp = make_ramp(team)
    shares = []
    for users in (100, 300, 900):
        for key in ("live", "new"):
            feed(ramp, key, users * 2, ratings=users * 2, ups=round(users * 1.6))
        ramp = Ramp.objects.with_names().get(pk=ramp.pk)
        shares.append(ramp.stage.share_bp)
        assert ramping.tick_all(ramp.entered_at + timedelta(seconds=1)) == 1
    assert shares == [100, 1000, 5000]
    ramp = Ramp.objects.with_names().get(pk=ramp.pk)
    pointer = Deployment.objects.select_related("version").get(prompt=ramp.experiment.prompt)
    assert pointer.version is not None and pointer.version.number == 2
    assert (ramp.state, ramp.experiment.state) == ("completed", "stopped")
    assert [one.kind for one in RampDecision.objects.all()] == ["started", "advanced", "advanced", "completed"]
    delivery = deliver(team.pk, "production", "greeting").delivery
    assert (delivery.prompt.version, delivery.experiment) == (2, None)
