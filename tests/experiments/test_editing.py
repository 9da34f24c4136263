"""Drafts of experiments over REST: begun, changed part by part, and closed to changes once they serve."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.errors import NothingLive, VariantsInvalid
from experiments.models import Experiment
from experiments.services import lifecycle
from experiments.services.drafting import begin_draft
from experiments.services.targeting import Setup
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.audit.models import AuditEntry
from prompts.models import Environment
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_key, make_prompt, make_version, newest

pytestmark = pytest.mark.django_db
URL = "/experiments/two"


@pytest.fixture
def draft(team: Team) -> Experiment:
    prompt = make_prompt(team, "Hello.", title="Greeting")
    make_version(prompt, "Hi.")
    make_version(prompt, "Good day.")
    return make_experiment(prompt, title="Two", setup=Setup(overrides={"qa": "variant-1"}, condition={"plan": "pro"}))


def test_what_is_said_changes_and_the_rest_stays(api: Api, draft: Experiment) -> None:
    changes = {
        "title": "Three", "hypothesis": "Short is better.", "coverage_bp": 5000, "primary_metric": "success",
        "guardrails": ["latency"], "planned_size": 300, "unit_attribute": "account_id",
    }  # fmt: skip
    before = api.get(URL).json()
    after = api.patch(URL, changes).json()
    assert {name: after[name] for name in changes} == changes
    assert {name for name in after if after[name] != before[name]} == set(changes)
    entry = AuditEntry.objects.latest("id")
    assert (entry.verb, entry.before["title"], entry.after) == ("experiment.edited", "Two", changes)
    entries = AuditEntry.objects.count()
    assert api.patch(URL, changes).json() == after
    assert AuditEntry.objects.count() == entries


def test_other_texts_come_in_place_of_all(api: Api, draft: Experiment) -> None:
    variants = [
        {"key": "control", "version": 1, "weight_bp": 4000},
        {"key": "formal", "version": 3, "weight": 30},
        {"key": "warm", "version": 1, "weight_bp": 3000, "model": "other", "parameters": {"temperature": 1}},
    ]
    said = api.patch(URL, {"variants": variants}).json()
    assert [(one["key"], one["version"], one["weight_bp"], one["model"]) for one in said["variants"]] == [
        ("control", 1, 4000, ""), ("formal", 3, 3000, ""), ("warm", 1, 3000, "other"),
    ]  # fmt: skip
    assert said["overrides"] == {}, "who tried out a text that is gone tries out nothing"
    assert said["condition"] == {"plan": "pro"}
    assert Experiment.objects.get().variants.get(is_control=True).key == "control"
    lifecycle.start(SYSTEM, draft)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"title": " "}, "title"),
        ({"coverage_bp": 0}, "coverage_bp"),
        ({"variants": [{"key": "control", "version": 1, "weight_bp": 10_000}]}, "variants"),
        ({"variants": [{"key": "a", "version": 1, "weight_bp": 1}, {"key": "b", "version": 2, "weight_bp": 1}]}, "variants"),
        ({"overrides": {"qa": "nobody"}}, "overrides.qa"),
        ({"unit_attribute": "a b"}, "unit_attribute"),
        ({"planned_size": 0}, "planned_size"),
        ({"condition": {"a": {"$about": 1}}}, "condition.a.$about"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_nothing_changes(
    api: Api, draft: Experiment, changes: dict[str, Any], field: str
) -> None:
    before = api.get(URL).json()
    answer = api.patch(URL, {"hypothesis": "New.", **changes})
    assert answer.status_code == 400, answer.content
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert api.get(URL).json() == before


def test_it_moves_to_another_environment(api: Api, draft: Experiment) -> None:
    assert api.patch(URL, {"environment": "staging"}).json()["environment"] == "staging"
    assert api.patch(URL, {"environment": "nowhere"}).status_code == 404
    points = {one["point"]: one["code"] for one in api.get(f"{URL}/checklist").json()}
    assert points["control"] == "control_not_live"


def test_what_was_started_keeps_its_setup(api: Api, draft: Experiment) -> None:
    lifecycle.start(SYSTEM, draft)
    answer = api.patch(URL, {"title": "Three"})
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")
    assert Experiment.objects.get().title == "Two"


def test_it_takes_the_right_to_write(draft: Experiment, cast: Cast) -> None:
    assert Api(make_key(draft.team, "read")[1]).patch(URL, {"title": "Three"}).status_code == 403
    assert Api().patch(URL, {"title": "Three"}).status_code == 401
    assert Api(cast.key).patch(URL, {"title": "Three"}).status_code == (200 if cast.team == draft.team else 404)


def test_one_that_begins_has_the_live_text_and_cannot_start(api: Api, team: Team, draft: Experiment) -> None:
    production = Environment.objects.get(team=team, name="production")
    begun = begin_draft(SYSTEM, draft.prompt, production, title="Warm or not")
    assert [(one.key, one.version.number, one.weight_bp) for one in begun.variants.all()] == [("control", 1, 10_000)]
    points = {one["point"]: one["code"] for one in api.get("/experiments/warm-or-not/checklist").json()}
    assert points["texts"] == "variants_invalid"
    with pytest.raises(VariantsInvalid):
        lifecycle.start(SYSTEM, begun)
    nowhere = Environment.objects.get(team=team, name="staging")
    with pytest.raises(NothingLive):
        begin_draft(SYSTEM, draft.prompt, nowhere, title="Nothing to compare with")


def test_slots_of_a_namespace_are_looked_at_again(api: Api, team: Team, draft: Experiment) -> None:
    other = make_prompt(team, title="Farewell")
    make_version(other)
    make_experiment(other, title="Other", setup=Setup(namespace="checkout", namespace_ranges=[[0, 5000]]))
    taken = {"namespace": {"key": "checkout", "ranges": [[4000, 6000]]}}
    assert api.patch(URL, taken).json()["code"] == "namespace_taken"
    free = {"namespace": {"key": "checkout", "ranges": [[5000, 6000]]}}
    assert api.patch(URL, free).json()["namespace"] == free["namespace"]
    assert api.patch(URL, {"title": "Three"}).json()["namespace"] == free["namespace"]
    mixed = api.patch(URL, {"unit_attribute": "account_id"})
    assert (mixed.status_code, mixed.json()["errors"][0]["field"]) == (400, "unit_attribute")
    assert api.patch(URL, {"namespace": None}).json()["namespace"] is None


def test_the_newest_version_may_be_compared_after_it_was_written(api: Api, draft: Experiment) -> None:
    number = make_version(draft.prompt, "Hello there.").number
    assert newest(draft.prompt).number == number
    variants = [
        {"key": "control", "version": 1, "weight_bp": 5000},
        {"key": "newer", "version": number, "weight_bp": 5000},
    ]
    assert api.patch(URL, {"variants": variants}).json()["variants"][1]["version"] == number
