"""Gradual launches: every rule of every step, what people may do, and what is written down."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import translation

from experiments.delivery import deliver, entries
from experiments.errors import (
    AlreadyRunning,
    HarmProven,
    NotHeld,
    NothingLive,
    RampMoved,
    RampOver,
    ReasonNeeded,
    StagesInvalid,
    VersionLiveAlready,
)
from experiments.models import Experiment, Ramp, RampDecision, Stage
from experiments.services import lifecycle, ramping
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.audit.models import AuditEntry
from promptlab.hooks.models import Mail, OutboxEvent
from promptlab.hooks.services.letters import letter
from promptlab.lib.errors import Conflict
from prompts.errors import EnvironmentFrozen, ReviewRequired, VariablesChanged
from prompts.models import Deployment, Environment
from prompts.services import deploying, environments, reviewing
from prompts.services.environments import Rules, change_environment, freeze
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_live, make_prompt, make_version
from tests.support.ramps import feed, make_ramp

pytestmark = pytest.mark.django_db
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TWO = (Stage(100, 3600, 86_400), Stage(5000, 7200, 172_800))
State = Ramp.State


@pytest.fixture
def ramp(team: Team) -> Ramp:
    return make_ramp(team)


def again(ramp: Ramp) -> Ramp:
    return Ramp.objects.with_names().get(pk=ramp.pk)


def kinds(ramp: Ramp) -> list[tuple[str, str]]:
    return [(one.kind, one.rule) for one in RampDecision.objects.filter(ramp=ramp)]


def both(ramp: Ramp, users: int, **said: Any) -> None:
    for key in ("live", "new"):
        feed(ramp, key, users, **said)


def live_number(ramp: Ramp) -> int:
    pointer = Deployment.objects.select_related("version").get(prompt=ramp.experiment.prompt)
    assert pointer.version is not None
    return pointer.version.number


def at(ramp: Ramp, after: timedelta) -> datetime:
    return again(ramp).entered_at + after


def to_stage(ramp: Ramp, index: int) -> None:
    """Put the ramp at a stage, as if it had walked there, with its sums as they are."""
    ramp.stage_index = index
    ramp.save(update_fields=["stage_index"])


def test_it_starts_with_two_equal_slices_and_says_so(team: Team) -> None:
    ramp = make_ramp(team)
    experiment = ramp.experiment
    assert (ramp.state, ramp.stage, experiment.state, experiment.coverage_bp) == (
        "running", Stage(100, 3600, 86_400), "running", 200,
    )  # fmt: skip
    assert [(one.key, one.is_control, one.weight_bp, one.version.number) for one in experiment.variants.all()] == [
        ("live", True, 5000, 1),
        ("new", False, 5000, 2),
    ]
    spec = deliver(team.pk, "production", "greeting").delivery.experiment
    assert spec is not None
    assert [variant.ranges for variant in spec.variants] == [((0, 100),), ((5000, 5100),)]
    decision = RampDecision.objects.get()
    assert (decision.kind, decision.rule, decision.revision) == ("started", "by_hand", spec_revision(team))
    entry = AuditEntry.objects.filter(verb="ramp.started").get()
    assert entry.after == {"state": "running", "share_bp": 100, "rule": "by_hand", "revision": decision.revision}
    assert OutboxEvent.objects.get(type="ramp.started").data["version"] == 2


def spec_revision(team: Team) -> int:
    return Environment.objects.get(team=team, name="production").revision


def test_it_asks_for_what_a_deployment_asks_for(team: Team) -> None:
    prompt = make_prompt(team, title="Greeting")
    where = environments.named(team.pk, "production")
    first = prompt.newest
    with pytest.raises(NothingLive):
        ramping.start_ramp(SYSTEM, first, where)
    make_live(first)
    with pytest.raises(VersionLiveAlready):
        ramping.start_ramp(SYSTEM, first, where)
    other = make_version(prompt, "Hello {{name}}, it is {{day}}.")
    with pytest.raises(VariablesChanged):
        ramping.start_ramp(SYSTEM, other, where)
    change_environment(SYSTEM, where, Rules(is_protected=True))
    with pytest.raises(ReviewRequired):
        ramping.start_ramp(SYSTEM, other, where, confirm=True)
    change_environment(SYSTEM, where, Rules(is_protected=False))
    assert ramping.start_ramp(SYSTEM, other, where, confirm=True).is_open
    with pytest.raises(AlreadyRunning):
        ramping.start_ramp(SYSTEM, make_version(prompt), where)
    assert Ramp.objects.count() == 1


def test_nothing_starts_where_an_experiment_runs(team: Team) -> None:
    prompt = make_prompt(team, title="Greeting")
    experiment = make_experiment(prompt, running=True)
    with pytest.raises(AlreadyRunning):
        ramping.start_ramp(SYSTEM, make_version(prompt), experiment.environment)


@pytest.mark.parametrize(
    ("stages", "field"),
    [
        ((), "ramp.stages"),
        (tuple(Stage(n, 0, 10) for n in range(1, 12)), "ramp.stages"),
        ((Stage(0, 0, 10),), "ramp.stages.0.share_bp"),
        ((Stage(5001, 0, 10),), "ramp.stages.0.share_bp"),
        ((Stage(1000, 0, 10), Stage(1000, 0, 10)), "ramp.stages.1.share_bp"),
        ((Stage(1000, 10, 10),), "ramp.stages.0.min_dwell_s"),
        ((Stage(1000, -1, 10),), "ramp.stages.0.min_dwell_s"),
        ((Stage(1000, 0, 8_000_000),), "ramp.stages.0.min_dwell_s"),
    ],
)
def test_stages_that_cannot_be_are_refused_by_field(team: Team, stages: tuple[Stage, ...], field: str) -> None:
    with pytest.raises(StagesInvalid) as refused:
        make_ramp(team, stages=stages)
    assert [problem.field for problem in refused.value.problems] == [field]
    assert not Ramp.objects.exists()


@pytest.mark.parametrize(
    ("harm", "rule"),
    [
        (lambda ramp: (feed(ramp, "live", 30, ratings=30, ups=30), feed(ramp, "new", 30, ratings=30, ups=18)),
         "guard_approval"),
        (lambda ramp: (feed(ramp, "live", 700, errors=7), feed(ramp, "new", 700, errors=77)), "guard_success"),
        (lambda ramp: (feed(ramp, "live", 400, latency_ms=400), feed(ramp, "new", 400, latency_ms=900)),
         "guard_latency"),
    ],
)  # fmt: skip
def test_proven_harm_sends_everybody_back_and_every_number_is_kept(
    team: Team, ramp: Ramp, harm: Callable[[Ramp], object], rule: str
) -> None:
    harm(ramp)
    decision = ramping.tick(ramp.pk)
    assert decision is not None
    ramp = again(ramp)
    assert (ramp.state, ramp.experiment.state, live_number(ramp)) == ("rolled_back", "killed", 1)
    assert (decision.kind, decision.rule) == ("rolled_back", rule)
    assert decision.revision == spec_revision(team)
    found = next(one for one in decision.numbers["guard"] if one["is_harmful"])
    assert found["metric"] == rule.removeprefix("guard_")
    assert found["upper"] < 0 and found["change"] <= -found["margin"]
    assert decision.numbers["control"]["units"] == found["control_units"]
    assert deliver(team.pk, "production", "greeting").delivery.experiment is None
    assert AuditEntry.objects.filter(verb="ramp.rolled_back").get().after["revision"] == decision.revision
    assert ramping.tick(ramp.pk) is None


def test_29_ratings_of_each_do_not_send_anybody_back(ramp: Ramp) -> None:
    feed(ramp, "live", 29, ratings=29, ups=29)
    feed(ramp, "new", 29, ratings=29, ups=5)
    assert ramping.tick(ramp.pk) is None
    assert again(ramp).state == State.RUNNING


@pytest.mark.parametrize(
    ("doubt", "reason"),
    [
        (lambda ramp: (feed(ramp, "live", 150), feed(ramp, "new", 60)), "split"),
        (lambda ramp: (feed(ramp, "live", 400, ratings=160, ups=140), feed(ramp, "new", 400, ratings=320, ups=280)),
         "rating_rate"),
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_trusted_hold_it(ramp: Ramp, doubt: Callable[[Ramp], object], reason: str) -> None:
    doubt(ramp)
    decision = ramping.tick(ramp.pk)
    assert decision is not None
    ramp = again(ramp)
    assert (decision.kind, ramp.state, ramp.hold_reason, ramp.experiment.state) == ("held", "held", reason, "running")
    assert decision.revision is None
    assert ramping.tick(ramp.pk) is None
    ramping.go_on(SYSTEM, ramp, note="We know why.")
    assert again(ramp).accepted == reason
    assert ramping.tick(ramp.pk) is None, "what a person has set aside does not hold it again"


def test_users_that_met_both_texts_hold_it(ramp: Ramp) -> None:
    both(ramp, 60)
    experiment = ramp.experiment
    from experiments.models import HourRollup

    HourRollup.objects.filter(experiment=experiment, variant__key="new").update(multiple_units=2)
    decision = ramping.tick(ramp.pk)
    assert decision is not None and decision.rule == "multiple"


def test_without_traffic_it_waits_for_a_person(ramp: Ramp) -> None:
    both(ramp, 10)
    assert ramping.tick(ramp.pk, at(ramp, HOUR / 2)) is None
    assert ramping.tick(ramp.pk, at(ramp, HOUR * 1.4)) is None, "the last traffic was seen half an hour after the start"
    decision = ramping.tick(ramp.pk, at(ramp, HOUR * 1.5))
    assert decision is not None and (decision.kind, decision.rule) == ("held", "no_traffic")


def test_the_first_step_ends_after_its_time_with_enough_clean_requests(ramp: Ramp) -> None:
    both(ramp, 199)
    assert ramping.tick(ramp.pk, at(ramp, HOUR)) is None
    both(ramp, 1)
    assert ramping.tick(ramp.pk, at(ramp, HOUR - timedelta(seconds=1))) is None, "not before its least time"
    decision = ramping.tick(ramp.pk, at(ramp, HOUR))
    assert decision is not None
    ramp = again(ramp)
    assert (decision.kind, decision.rule, decision.share_bp) == ("advanced", "clean_requests", 1000)
    assert (ramp.stage_index, ramp.experiment.coverage_bp, ramp.stage_version) == (1, 2000, 2)


def test_nobody_changes_texts_when_the_slices_grow(team: Team, ramp: Ramp) -> None:
    from promptlab_sdk.kernel.assignment import assign

    def served() -> dict[str, str]:
        entries.clear()  # nothing is committed here, so nobody tells this process that there was a move
        spec = deliver(team.pk, "production", "greeting").delivery.experiment
        assert spec is not None
        found = {unit: assign(spec, unit) for unit in units}
        return {unit: one.variant.key for unit, one in found.items() if one.assigned}

    units = [f"unit-{number}" for number in range(2000)]
    before = served()
    for share in (1000, 5000):
        both(ramp, 1500, ratings=1500, ups=1200)
        moment = at(ramp, timedelta(seconds=again(ramp).stage.min_dwell_s))
        assert ramping.tick(ramp.pk, moment) is not None
        after = served()
        assert len(after) > len(before) and before.items() <= after.items()
        assert again(ramp).stage.share_bp == share
        before = after
    assert len(after) == len(units)


def test_a_suspicion_of_errors_keeps_it_small(ramp: Ramp) -> None:
    feed(ramp, "live", 300, errors=0)
    feed(ramp, "new", 300, errors=12)
    assert ramping.tick(ramp.pk, at(ramp, 2 * HOUR)) is None
    assert again(ramp).stage_index == 0


@pytest.mark.parametrize(
    ("index", "ratings", "is_enough"), [(1, 150, False), (1, 500, True), (2, 500, False), (2, 1500, True)]
)
def test_later_steps_take_ratings_that_rule_a_loss_out(ramp: Ramp, index: int, ratings: int, is_enough: bool) -> None:
    to_stage(ramp, index)
    both(ramp, ratings, ratings=ratings, ups=ratings * 8 // 10)
    decision = ramping.tick(ramp.pk, at(ramp, 49 * HOUR))
    assert (decision is not None) == is_enough
    if decision is not None:
        low, _ = decision.numbers["gate"]["range"]
        assert low > decision.numbers["gate"]["above"] == (-0.05 if index == 2 else -0.10)


def test_the_last_step_puts_it_live_for_everyone_and_ends_the_experiment(team: Team, ramp: Ramp) -> None:
    to_stage(ramp, 2)
    both(ramp, 1500, ratings=1500, ups=1200)
    before = spec_revision(team)
    decision = ramping.tick(ramp.pk, at(ramp, 48 * HOUR))
    assert decision is not None
    ramp = again(ramp)
    assert (ramp.state, ramp.experiment.state, live_number(ramp)) == ("completed", "stopped", 2)
    assert (decision.kind, decision.revision, spec_revision(team)) == ("completed", before + 1, before + 2)
    assert ramping.tick_all() == 0
    assert spec_revision(team) == before + 2


def test_a_launch_that_was_cut_off_at_its_end_is_finished_by_the_clock(team: Team, ramp: Ramp) -> None:
    to_stage(ramp, 2)
    both(ramp, 1500, ratings=1500, ups=1200)
    ramping.tick(ramp.pk, at(ramp, 48 * HOUR))
    Experiment.objects.filter(pk=ramp.experiment_id).update(state="running", ended_at=None)
    assert deliver(team.pk, "production", "greeting").delivery.prompt.version == 2
    assert ramping.tick_all() == 0
    assert again(ramp).experiment.state == "stopped"


def test_numbers_that_do_not_decide_wait_for_a_person_with_a_reason(ramp: Ramp) -> None:
    both(ramp, 50)
    decision = ramping.tick(ramp.pk, at(ramp, DAY))
    assert decision is not None and (decision.kind, decision.rule) == ("held", "inconclusive")
    with pytest.raises(ReasonNeeded):
        ramping.go_on(SYSTEM, ramp, note=" ")
    ramping.go_on(SYSTEM, ramp, note="We read fifty answers.")
    ramp = again(ramp)
    assert (ramp.state, ramp.stage_index, ramp.experiment.coverage_bp, ramp.hold_reason) == ("running", 1, 2000, "")
    assert kinds(ramp)[-1] == ("advanced", "by_hand")


def test_a_person_may_give_it_to_everyone_from_the_last_step(ramp: Ramp) -> None:
    to_stage(ramp, 2)
    both(ramp, 50)
    assert ramping.tick(ramp.pk, at(ramp, 7 * DAY)) is not None
    ramping.go_on(SYSTEM, ramp, note="It is Friday.")
    ramp = again(ramp)
    assert (ramp.state, ramp.experiment.state, live_number(ramp)) == ("completed", "stopped", 2)


def test_a_held_ramp_is_still_taken_back(ramp: Ramp) -> None:
    ramping.hold(SYSTEM, ramp)
    both(ramp, 1000)
    assert ramping.tick(ramp.pk, at(ramp, 7 * DAY)) is None
    feed(ramp, "live", 40, ratings=40, ups=40)
    feed(ramp, "new", 40, ratings=40, ups=10)
    decision = ramping.tick(ramp.pk)
    assert decision is not None and decision.kind == "rolled_back"


def test_people_hold_it_let_it_go_on_and_send_everybody_back(ramp: Ramp) -> None:
    with pytest.raises(NotHeld):
        ramping.go_on(SYSTEM, ramp)
    ramping.hold(SYSTEM, ramp, note="Lunch")
    ramping.hold(SYSTEM, ramp)
    ramping.go_on(SYSTEM, ramp)
    ramping.send_back(SYSTEM, ramp, note="Complaints")
    ramping.send_back(SYSTEM, ramp)
    assert [kind for kind, _ in kinds(ramp)] == ["started", "held", "resumed", "rolled_back"]
    for act in (ramping.hold, ramping.go_on):
        with pytest.raises(RampOver):
            act(SYSTEM, ramp)


@pytest.mark.parametrize("verb", ["stop", "kill"])
def test_ending_the_experiment_breaks_the_ramp_off(ramp: Ramp, verb: str) -> None:
    lifecycle.VERBS[verb](SYSTEM, ramp.experiment, note="Enough")
    assert (again(ramp).state, kinds(ramp)[-1]) == ("aborted", ("aborted", f"experiment_{verb}"))
    assert ramping.tick(ramp.pk) is None


def test_a_paused_experiment_takes_no_step(ramp: Ramp) -> None:
    both(ramp, 300)
    lifecycle.pause(SYSTEM, ramp.experiment)
    assert ramping.tick(ramp.pk, at(ramp, 2 * HOUR)) is None
    lifecycle.resume(SYSTEM, ramp.experiment)
    assert ramping.tick(ramp.pk, at(ramp, 2 * HOUR)) is not None


def test_another_version_put_live_breaks_it_off(team: Team, ramp: Ramp) -> None:
    make_live(make_version(ramp.experiment.prompt))
    decision = ramping.tick(ramp.pk)
    assert decision is not None and (decision.kind, decision.rule) == ("aborted", "live_version_moved")
    assert (again(ramp).experiment.state, live_number(ramp)) == ("killed", 3)


def test_a_tick_that_looked_before_another_step_changes_nothing(ramp: Ramp) -> None:
    both(ramp, 200)
    stale = again(ramp)
    step = ramping.next_step(ramping._facts(stale, at(ramp, HOUR)))
    assert ramping.tick(ramp.pk, at(ramp, HOUR)) is not None
    assert ramping._take(stale, step, at(ramp, HOUR)) is None
    assert (again(ramp).stage_index, len(kinds(ramp))) == (1, 2)


def test_a_late_tick_finds_its_stage_too_young(ramp: Ramp) -> None:
    both(ramp, 3000, ratings=3000, ups=2400)
    moment = at(ramp, HOUR)
    assert ramping.tick(ramp.pk, moment) is not None
    for _ in range(3):
        assert ramping.tick(ramp.pk, moment) is None
    assert ramping.tick(ramp.pk, moment - DAY) is None
    assert again(ramp).stage_index == 1


def test_a_freeze_lets_it_wait_and_nothing_else(ramp: Ramp) -> None:
    both(ramp, 200)
    moment = at(ramp, HOUR)
    window = freeze(
        SYSTEM, ramp.experiment.environment, starts_at=moment - DAY, ends_at=moment + DAY, reason="Christmas"
    )
    assert ramping.tick(ramp.pk, moment) is None
    Ramp.objects.filter(pk=ramp.pk).update(state="held", hold_reason="inconclusive")
    with pytest.raises(EnvironmentFrozen):
        ramping.go_on(SYSTEM, ramp, note="Now")
    ramping.send_back(SYSTEM, ramp)
    assert again(ramp).state == State.ROLLED_BACK
    environments.thaw(SYSTEM, window)


def test_a_lost_approval_holds_it(cast: Cast) -> None:
    prompt = make_prompt(cast.team, title="Greeting")
    where = make_live(prompt.newest)
    version = make_version(prompt)
    reviewing.submit_for_review(cast.principal(cast.ann), version)
    reviewing.approve(cast.principal(cast.ben), version)
    change_environment(SYSTEM, where, Rules(is_protected=True))
    ramp = ramping.start_ramp(cast.principal(cast.ben), version, where)
    both(ramp, 200)
    change_environment(SYSTEM, where, Rules(approvals_needed=2))
    decision = ramping.tick(ramp.pk, at(ramp, HOUR))
    assert decision is not None and (decision.kind, decision.rule) == ("held", "refused")
    assert "approval" in decision.note or "review" in decision.note.lower()
    assert Mail.objects.filter(kind="ramp_moved").count() == 0, "nobody in the cast has an address"


def test_dwell_times_pass_faster_where_that_is_set(ramp: Ramp, settings: Any) -> None:
    settings.RAMP_TIME_FACTOR = 3600.0
    both(ramp, 200)
    assert ramping.tick(ramp.pk, at(ramp, timedelta(seconds=0.9))) is None
    assert ramping.tick(ramp.pk, at(ramp, timedelta(seconds=1))) is not None


def test_steps_are_mailed_to_those_whom_they_concern(cast: Cast) -> None:
    cast.ben.email = "ben@example.com"
    cast.ben.save()
    prompt = make_prompt(cast.team, title="Greeting")
    where = make_live(prompt.newest)
    ramp = ramping.start_ramp(cast.principal(cast.ben), make_version(prompt), where)
    ramping.hold(cast.principal(cast.cleo), ramp, note="Odd answers")
    mail = Mail.objects.get(kind="ramp_moved")
    assert (mail.user, mail.facts["step"], mail.facts["reason"]) == (cast.ben, "held", "Somebody stopped it here")


@pytest.mark.parametrize(("reads", "said"), [("en", "Somebody stopped it here"), ("es", "Alguien lo detuvo aquí")])
def test_a_mail_is_in_the_language_of_its_reader_whoever_acts(cast: Cast, reads: str, said: str) -> None:
    cast.ben.email, cast.ben.language = "ben@example.com", reads
    cast.ben.save()
    prompt = make_prompt(cast.team, title="Greeting")
    where = make_live(prompt.newest)
    with translation.override("es" if reads == "en" else "en"):
        ramp = ramping.start_ramp(cast.principal(cast.ben), make_version(prompt), where)
        ramping.hold(cast.principal(cast.cleo), ramp, note="Odd answers")
        assert said in letter(Mail.objects.get(kind="ramp_moved")).body


def test_decisions_are_kept_for_ever(ramp: Ramp) -> None:
    decision = RampDecision.objects.get()
    with pytest.raises(Conflict):
        decision.save()
    with pytest.raises(Conflict):
        decision.delete()
    for act in (
        lambda: RampDecision.objects.filter(pk=decision.pk).update(rule="other"),
        lambda: RampDecision.objects.filter(pk=decision.pk).delete(),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            act()


def test_one_that_breaks_stops_no_other(team: Team, ramp: Ramp, monkeypatch: pytest.MonkeyPatch) -> None:
    other = make_ramp(team, "Farewell")
    for one in (ramp, other):
        both(one, 200)
    Ramp.objects.filter(pk=ramp.pk).update(stages=[])
    assert ramping.tick_all(at(other, HOUR)) == 1
    assert again(other).stage_index == 1


def test_sums_that_grew_wake_the_ramp(ramp: Ramp, django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        feed(ramp, "new", 1)
    assert len(callbacks) == 1
    ramping.send_back(SYSTEM, ramp)
    with django_capture_on_commit_callbacks() as callbacks:
        feed(ramp, "new", 1)
    assert callbacks == []


def test_a_deployment_of_the_same_version_by_hand_ends_it(ramp: Ramp) -> None:
    new = ramp.experiment.variants.get(key="new").version
    deploying.deploy(SYSTEM, new, ramp.experiment.environment)
    decision = ramping.tick(ramp.pk)
    assert decision is not None and decision.kind == "aborted"
    assert live_number(ramp) == 2


def test_a_person_may_take_the_next_step_before_the_numbers_allow_it(ramp: Ramp) -> None:
    both(ramp, 50)
    with pytest.raises(ReasonNeeded):
        ramping.go_earlier(SYSTEM, ramp, note=" ")
    ramping.go_earlier(SYSTEM, ramp, note="It is Friday.")
    with pytest.raises(RampMoved):
        ramping.go_earlier(SYSTEM, ramp, note="It is Friday.")
    ramp = again(ramp)
    assert (ramp.state, ramp.stage_index, ramp.experiment.coverage_bp) == ("running", 1, 2000)
    assert kinds(ramp)[-1] == ("advanced", "by_hand")
    to_everyone = again(ramping.go_earlier(SYSTEM, ramp, note="All is well."))
    ramping.go_earlier(SYSTEM, to_everyone, note="All is well.")
    assert (again(ramp).state, live_number(ramp)) == ("completed", 2)
    with pytest.raises(RampOver):
        ramping.go_earlier(SYSTEM, again(ramp), note="Again.")


def test_nobody_may_take_a_step_that_is_proven_to_harm(ramp: Ramp) -> None:
    feed(ramp, "live", 300, ups=270, ratings=300)
    feed(ramp, "new", 300, ups=120, ratings=300)
    with pytest.raises(HarmProven):
        ramping.go_earlier(SYSTEM, ramp, note="We like it.")
    assert again(ramp).stage_index == 0
