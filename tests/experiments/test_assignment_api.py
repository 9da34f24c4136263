"""Who gets which variant: one answer, wherever it is asked for."""

from __future__ import annotations

import asyncio

import pytest
from promptlab_sdk.kernel.assignment import assign
from promptlab_sdk.kernel.spec import Delivery

from experiments.models import Experiment
from experiments.services import lifecycle
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.lib.asgi import HotRoutes
from prompts.services import deploying
from tests.support.api import Api
from tests.support.asgi import acall, call
from tests.support.make import make_experiment, make_key, make_prompt, make_team, make_version

UNITS = [f"user-{number}" for number in range(198)] + ["Zoë 😀", " padded "]


@pytest.mark.django_db(transaction=True)
def test_the_api_the_delivery_with_the_kernel_and_the_chat_agree_on_200_units(application: HotRoutes) -> None:
    team = make_team()
    key = make_key(team)[1]
    prompt = make_prompt(team, "Hello.", title="Greeting")
    make_version(prompt, "Hi.")
    make_version(prompt, "Hey.")
    make_experiment(prompt, weights=(4000, 3000, 3000), coverage_bp=8000, running=True, title="Three")
    api = Api(key)
    payload = call(application, "GET", "/prompts/greeting/deployed", key=key).json()
    experiment = Delivery.from_dict(payload).experiment
    assert experiment is not None

    async def talk() -> list[tuple[str | None, int]]:
        answers = []
        for unit in UNITS:
            body = {"message": "x", "prompt": "greeting", "user": unit}
            done = (await acall(application, "POST", "/chat", key=key, body=body)).events()[-1]
            answers.append((done["variant"], done["version"]))
        return answers

    chatted = dict(zip(UNITS, asyncio.run(talk()), strict=True))
    seen = set()
    for unit in UNITS:
        mine = assign(experiment, unit)
        told = api.client.get("/experiments/three/assignment", {"unit_id": unit}).json()
        assert (told["variant"], told["is_assigned"], told["slot"], told["reason"], told["version"]) == (
            mine.variant.key, mine.assigned, mine.slot, mine.reason, mine.variant.prompt.version,
        )  # fmt: skip
        assert chatted[unit] == (mine.variant.key if mine.assigned else None, mine.variant.prompt.version)
        seen.add((mine.reason, mine.variant.key))
    assert seen == {("split", "control"), ("split", "variant-1"), ("split", "variant-2"), ("outside", "control")}


@pytest.fixture
def running(team: Team) -> Experiment:
    prompt = make_prompt(team, title="Greeting")
    make_version(prompt)
    return make_experiment(prompt, running=True, title="Two")


@pytest.mark.django_db
def test_the_answer_says_why(api: Api, running: Experiment) -> None:
    told = api.get("/experiments/two/assignment?unit_id=user-1").json()
    assert (told["experiment"], told["unit_id"], told["phase"], told["state"]) == ("two", "user-1", 1, "running")
    assert (told["reason"], told["is_assigned"]) == ("split", True)
    assert api.get("/experiments/two/assignment?unit_id=user-1").json() == told


@pytest.mark.django_db
def test_whoever_is_paused_or_over_serves_the_control(api: Api, running: Experiment) -> None:
    for verb in ("pause", "kill"):
        lifecycle.VERBS[verb](SYSTEM, running)
        told = api.get("/experiments/two/assignment?unit_id=user-1").json()
        assert (told["variant"], told["is_assigned"], told["slot"], told["reason"]) == (
            "control",
            False,
            None,
            "disabled",
        )


@pytest.mark.django_db
def test_so_does_one_whose_control_is_not_live_any_more(api: Api, running: Experiment) -> None:
    deploying.undeploy(SYSTEM, running.prompt, running.environment)
    told = api.get("/experiments/two/assignment?unit_id=user-1").json()
    assert (told["variant"], told["is_assigned"], told["reason"]) == ("control", False, "disabled")


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["", "?unit_id=", "?unit_id=" + "x" * 201])
def test_a_unit_has_to_be_named(api: Api, running: Experiment, query: str) -> None:
    answer = api.get(f"/experiments/two/assignment{query}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "unit_id")
