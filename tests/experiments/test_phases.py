"""Other traffic while it runs: coverage, shares, units dealt anew; who need not move stays, and phases are kept apart."""

from __future__ import annotations

from typing import Any

import pytest
from promptlab_sdk.kernel.assignment import assign

from experiments.models import Experiment, ExperimentUnit, HourRollup, Phase
from experiments.services import lifecycle, phasing
from experiments.specs import experiment_now
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.audit.models import AuditEntry
from promptlab.chat.services.metering import roll_up_messages
from prompts.models import Environment
from tests.support.api import Api
from tests.support.make import make_experiment, make_message, make_prompt, make_version
from tests.support.ramps import make_ramp

pytestmark = pytest.mark.django_db
UNITS = [f"user-{number}" for number in range(2_000)]
NEW_SHARES = [
    {"key": "control", "weight_bp": 4000},
    {"key": "variant-1", "weight_bp": 4000},
    {"key": "short", "version": 3, "weight_bp": 2000},
]


@pytest.fixture
def running(team: Team) -> Experiment:
    prompt = make_prompt(team, title="Greeting")
    for _ in range(2):
        make_version(prompt)
    return make_experiment(prompt, running=True, title="Two")


def served(one: Experiment) -> dict[str, str | None]:
    spec = experiment_now(Experiment.objects.get(pk=one.pk))
    found = {unit: assign(spec, unit) for unit in UNITS}
    return {unit: one.variant.key if one.assigned else None for unit, one in found.items()}


def moved(before: dict[str, str | None], after: dict[str, str | None]) -> set[tuple[str | None, str | None]]:
    return {(before[unit], after[unit]) for unit in UNITS if before[unit] != after[unit]}


def revision(one: Experiment) -> int:
    return Environment.objects.get(pk=one.environment_id).revision


def test_a_variant_more_moves_a_fifth_and_nobody_else(api: Api, running: Experiment) -> None:
    before, revision_before = served(running), revision(running)
    receipt = api.get("/experiments/two/assignment?unit_id=user-1").json()["receipt"]
    explained = api.get(f"/explain/{receipt}").json()
    answer = api.post("/experiments/two/shares", {"variants": NEW_SHARES, "note": "A third one"})
    assert answer.status_code == 200, answer.content
    assert answer.json()["phase"] == 2
    after = served(running)
    assert api.get(f"/explain/{receipt}").json() == explained
    assert "owns" in explained["rules"][-1]["detail"]
    assert moved(before, after) == {("control", "short"), ("variant-1", "short")}
    assert 0.17 < sum(before[unit] != after[unit] for unit in UNITS) / len(UNITS) < 0.23
    first, second = api.get("/experiments/two/phases").json()
    assert (first["number"], first["kind"], first["moved_slots"]) == (1, "started", 0)
    assert (second["kind"], second["moved_slots"], second["shares"]["short"]) == (
        "shares", 2000, {"weight_bp": 2000, "owned": [[4000, 5000], [9000, 10000]]},
    )  # fmt: skip
    entry = AuditEntry.objects.latest("id")
    assert (entry.verb, entry.note, entry.after["revision"]) == (
        "experiment.shares",
        "A third one",
        revision_before + 1,
    )
    assert revision(running) == revision_before + 1


def test_a_variant_less_gives_its_units_to_the_others(api: Api, running: Experiment) -> None:
    api.post("/experiments/two/shares", {"variants": NEW_SHARES})
    before = served(running)
    halves = [{"key": "control", "weight_bp": 5000}, {"key": "variant-1", "weight_bp": 5000}]
    assert api.post("/experiments/two/shares", {"variants": halves}).json()["phase"] == 3
    after = served(running)
    assert moved(before, after) == {("short", "control"), ("short", "variant-1")}
    assert api.post("/experiments/two/shares", {"variants": halves}).json()["phase"] == 3
    assert Phase.objects.count() == 3


def test_a_ramp_from_one_percent_to_all_moves_nobody(api: Api, running: Experiment) -> None:
    api.post("/experiments/two/shares", {"variants": NEW_SHARES})
    before = dict.fromkeys(UNITS)
    for coverage in (100, 1000, 5000, 10_000):
        answer = api.post("/experiments/two/coverage", {"coverage_bp": coverage})
        assert (answer.status_code, answer.json()["phase"]) == (200, 2)
        after = served(running)
        assert {was for was, _ in moved(before, after)} <= {None}
        before = after
    assert None not in before.values()
    again = revision(running)
    assert api.post("/experiments/two/coverage", {"coverage_bp": 10_000}).status_code == 200
    assert revision(running) == again


def test_dealt_anew_everybody_may_get_another_one(api: Api, running: Experiment) -> None:
    assert api.post("/experiments/two/deal-anew").json()["errors"][0]["field"] == "note"
    before = served(running)
    found = api.post("/experiments/two/deal-anew", {"note": "Everybody saw the bug"}).json()
    assert (found["phase"], found["bucket_version"]) == (2, 2)
    assert 0.45 < sum(before[unit] != after for unit, after in served(running).items()) / len(UNITS) < 0.55
    one = Experiment.objects.get()
    assert (one.bucket_phase, one.phases.last().seed) == (2, one.seed)
    assert one.seed != running.seed


def test_who_met_two_texts_in_two_phases_is_counted_and_left_out(api: Api, running: Experiment) -> None:
    shown(running, {"moved": "control", "stayed": "control"})
    api.post("/experiments/two/shares", {"variants": NEW_SHARES})
    one = Experiment.objects.get()
    shown(one, {"moved": "short", "stayed": "control", "new": "short"})
    units = ExperimentUnit.objects.filter(phase=2)
    assert dict(units.values_list("unit_id", "is_multiple")) == {"moved": True, "stayed": False, "new": False}
    sums = HourRollup.objects.get(experiment=one, phase=2, variant__key="short")
    assert (sums.units, sums.multiple_units, sums.users) == (2, 1, 1)
    api.post("/experiments/two/deal-anew", {"note": "A bug"})
    shown(Experiment.objects.get(), {"moved": "variant-1", "stayed": "short"})
    assert not ExperimentUnit.objects.filter(phase=3, is_multiple=True).exists()


def shown(one: Experiment, variants: dict[str, str]) -> None:
    """Let units have been shown variants, and count it."""
    for unit, key in variants.items():
        variant = one.variants.select_related("version", "experiment").get(key=key)
        make_message(variant.version, one.environment, variant=variant, unit_id=unit)
    roll_up_messages()


@pytest.mark.parametrize(
    ("variants", "said"),
    [
        ([], "two to five"),
        ([{"key": "control", "weight_bp": 10_000}], "two to five"),
        ([{"key": "control", "weight_bp": 4000}, {"key": "variant-1", "weight_bp": 4000}], "add up"),
        ([{"key": "control", "weight_bp": 5000}, {"key": "nobody", "weight_bp": 5000}], "no variant nobody"),
        ([{"key": "variant-1", "weight_bp": 5000}, {"key": "x", "version": 3, "weight_bp": 5000}], "control"),
        (
            [{"key": "control", "weight_bp": 5000}, {"key": "variant-1", "version": 3, "weight_bp": 5000}],
            "there already",
        ),
    ],
)
def test_what_cannot_be_is_refused(api: Api, running: Experiment, variants: list[dict[str, Any]], said: str) -> None:
    answer = api.post("/experiments/two/shares", {"variants": variants})
    assert answer.status_code == 400
    assert said in answer.content.decode()
    assert Experiment.objects.get().phase == 1


def test_only_what_serves_has_traffic_and_a_launch_its_own(api: Api, team: Team, running: Experiment) -> None:
    assert api.post("/experiments/two/coverage", {"coverage_bp": 0}).status_code == 400
    lifecycle.stop(SYSTEM, running)
    for verb, body in (
        ("coverage", {"coverage_bp": 5}),
        ("deal-anew", {"note": "x"}),
        ("shares", {"variants": NEW_SHARES}),
    ):
        assert api.post(f"/experiments/two/{verb}", body).json()["code"] == "wrong_state"
    ramp = make_ramp(team, "Launch")
    answer = api.post(f"/experiments/{ramp.experiment.key}/coverage", {"coverage_bp": 10_000})
    assert (answer.status_code, answer.json()["code"]) == (409, "run_by_ramp")
    assert Phase.objects.filter(experiment=ramp.experiment).count() == 1
    with pytest.raises(lifecycle.WrongState):
        phasing.deal_anew(SYSTEM, make_experiment(make_prompt(team)), note="x")
