"""What has to be so before an experiment may start: the list says the same as starting does."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.models import Experiment
from experiments.services import lifecycle
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from prompts.models import Environment
from prompts.services import authoring, deploying
from tests.support.api import Api
from tests.support.make import make_experiment, make_model, make_prompt, make_provider, make_version, newest

pytestmark = pytest.mark.django_db
POINTS = ["prompt", "texts", "alone", "control", "snippets", "variables", "approved", "model"]
ADVICE = ["hypothesis", "planned_size", "length"]


@pytest.fixture
def draft(team: Team) -> Experiment:
    prompt = make_prompt(team, "Hello {{name}}.", title="Greeting")
    make_version(prompt, "Hi {{name}}.")
    return make_experiment(prompt, title="Two")


def failing(api: Api) -> dict[str, str]:
    points = api.get("/experiments/two/checklist").json()
    assert [one["point"] for one in points if one["is_blocking"]] == POINTS
    assert [one["point"] for one in points if not one["is_blocking"]] == ADVICE
    assert all(one["detail"] and one["is_met"] == (one["code"] == "") for one in points)
    return {one["point"]: one["code"] for one in points if not one["is_met"] and one["is_blocking"]}


def archive(draft: Experiment) -> None:
    authoring.archive_prompt(SYSTEM, draft.prompt)


def run_another(draft: Experiment) -> None:
    lifecycle.start(SYSTEM, make_experiment(draft.prompt, title="Other"))


def move_on(draft: Experiment) -> None:
    deploying.deploy(SYSTEM, newest(draft.prompt), draft.environment, confirm=True)


def ask_for_more(draft: Experiment) -> None:
    draft.variants.filter(is_control=False).update(version=make_version(draft.prompt, "Hi {{name}}, {{order}}?"))


def protect(draft: Experiment) -> None:
    Environment.objects.filter(pk=draft.environment_id).update(is_protected=True, four_eyes=True, approvals_needed=1)


def switch_off(draft: Experiment) -> None:
    make_model(make_provider(draft.team, is_on=False), "mine")
    draft.variants.filter(is_control=False).update(model="mine")


@pytest.mark.parametrize(
    ("happened", "point", "code"),
    [
        (archive, "prompt", "prompt_archived"),
        (run_another, "alone", "already_running"),
        (move_on, "control", "control_not_live"),
        (ask_for_more, "variables", "variables_changed"),
        (protect, "approved", "review_required"),
        (switch_off, "model", "model_off"),
    ],
)
def test_starting_is_refused_with_what_the_list_says(
    api: Api, draft: Experiment, happened: Any, point: str, code: str
) -> None:
    assert failing(api) == {}
    happened(draft)
    assert failing(api)[point] == code
    answer = api.post("/experiments/two/start")
    assert (answer.status_code, answer.json()["code"]) == (409, code)
    assert Experiment.objects.get(pk=draft.pk).state == "draft"


def test_other_blanks_are_let_through_when_they_are_meant(api: Api, draft: Experiment) -> None:
    ask_for_more(draft)
    assert api.post("/experiments/two/start", {"confirm": True}).json()["state"] == "running"


def test_a_variant_that_comes_later_is_asked_the_same(api: Api, draft: Experiment) -> None:
    api.post("/experiments/two/start")
    protect(draft)
    number = make_version(draft.prompt, "Hey {{name}}.").number
    variants = [{"key": "control", "weight_bp": 5000}, {"key": "new", "version": number, "weight_bp": 5000}]
    answer = api.post("/experiments/two/shares", {"variants": variants})
    assert (answer.status_code, answer.json()["code"]) == (409, "review_required")
    assert Experiment.objects.get().variants.count() == 2
