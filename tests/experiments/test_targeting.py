"""Whom an experiment is for: conditions, who tries it out, namespaces, what units keep; the same from every door."""

from __future__ import annotations

from typing import Any

import pytest

from experiments import receipts
from experiments.errors import NamespaceTaken
from experiments.models import Experiment, ExperimentUnit
from experiments.services import lifecycle
from experiments.services.forgetting import rename_unit
from experiments.services.targeting import Setup
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.chat.models import Message
from promptlab.chat.services.metering import roll_up_messages
from promptlab.lib.asgi import HotRoutes
from prompts.models import Environment
from tests.support.api import Api
from tests.support.asgi import call
from tests.support.make import make_experiment, make_key, make_prompt, make_team, make_version

FOR_DE = {"country": "de"}


def two(team: Team, title: str = "Two", **setup: Any) -> Experiment:
    prompt = make_prompt(team, "Hello.", title=f"Prompt of {title}")
    make_version(prompt, "Hi.")
    return make_experiment(prompt, title=title, running=True, setup=Setup(**setup))


def decided(api: Api, query: str, key: str = "two") -> dict[str, Any]:
    answer = api.get(f"/experiments/{key}/assignment?{query}")
    assert answer.status_code == 200, answer.content
    told: dict[str, Any] = answer.json()
    assert [step["has_decided"] for step in told["rules"]] == [False] * (len(told["rules"]) - 1) + [True]
    return told


@pytest.mark.django_db(transaction=True)
def test_every_door_agrees_on_conditions_and_lists(application: HotRoutes) -> None:
    team = make_team()
    key = make_key(team)[1]
    one = two(team, condition=FOR_DE, overrides={"qa": "variant-1"})
    name = one.prompt.name
    expected = {
        ("u", "de"): (decided(Api(key), "unit_id=u&country=de")["variant"], "SPLIT"),
        ("u", "fr"): ("control", "STATIC"),
        ("qa", "de"): ("variant-1", "TARGETING_MATCH"),
        ("qa", "fr"): ("control", "STATIC"),
    }
    for (unit, country), (variant, reason) in expected.items():
        context = {"targetingKey": unit, "country": country}
        flag = call(application, "POST", "/ofrep/v1/evaluate/flags/two", key=key, body={"context": context}).json()
        assert (flag["variant"], flag["reason"], flag["metadata"].get("forced", False)) == (
            variant, reason, reason == "TARGETING_MATCH",
        )  # fmt: skip
        body = {"message": "x", "prompt": name, "user": unit, "attributes": {"country": country}}
        done = call(application, "POST", "/chat", key=key, body=body).events()[-1]
        assert done["variant"] == (None if reason == "STATIC" else variant)
        assert done["version"] == (2 if variant == "variant-1" else 1)
        read = receipts.read(done["receipt"])
        assert read.is_forced == (reason == "TARGETING_MATCH")
        told = Api(key).get(f"/explain/{done['receipt']}").json()
        assert (told["forced"], told["rules"][-1]["rule"] == "override") == (read.is_forced, read.is_forced)
    wrong = call(application, "POST", "/chat", key=key, body={**body, "attributes": {"a": {}}})
    assert (wrong.status, wrong.json()["errors"][0]["field"]) == (400, "attributes.a")


@pytest.mark.django_db(transaction=True)
def test_who_tries_it_out_is_counted_nowhere(application: HotRoutes) -> None:
    team = make_team()
    key = make_key(team)[1]
    one = two(team, overrides={"qa": "variant-1"})
    call(application, "POST", "/chat", key=key, body={"message": "x", "prompt": one.prompt.name, "user": "qa"})
    flag = call(application, "POST", "/ofrep/v1/evaluate/flags/two", key=key, body={"context": {"targetingKey": "qa"}})
    receipt = flag.json()["metadata"]["receipt"]
    for said in ({"unit_id": "qa"}, {"unit_id": "other", "forced": True}, {"unit_id": "user"}):
        assert call(application, "POST", "/exposures", key=key, body={"receipt": receipt, **said}).status == 202
    answers = Message.objects.filter(role="assistant")
    assert set(answers.values_list("unit_id", "served_variant__key", "experiment__key")) == {
        ("qa", None, "two"), ("other", None, "two"), ("user", "variant-1", "two"),
    }  # fmt: skip
    roll_up_messages()
    assert list(ExperimentUnit.objects.values_list("unit_id", flat=True)) == ["user"]


@pytest.mark.django_db
def test_each_rule_says_why_in_a_sentence(api: Api, team: Team) -> None:
    two(team, condition=FOR_DE, overrides={"qa": "variant-1"}, namespace="checkout", namespace_ranges=[[0, 5000]])
    rules = {
        reason: decided(api, query)["rules"][-1]["detail"]
        for query, reason in (
            ("unit_id=u", "condition"),
            ("unit_id=qa&country=de", "override"),
            *((f"unit_id=n{n}&country=de", "slot or namespace") for n in range(2)),
        )
    }
    assert rules["condition"] == "It is not for a user with these attributes."
    assert rules["override"] == "On the list for trying out variant-1."
    found = [decided(api, f"unit_id=n{n}&country=de") for n in range(8)]
    assert {one["reason"] for one in found} == {"namespace", "split"}
    named = next(one for one in found if one["reason"] == "split")
    read = receipts.read(named["receipt"])
    assert (read.slot, read.unit) == (named["slot"], receipts.pseudonym(team.pk, named["unit_id"]))
    told = api.get(f"/explain/{named['receipt']}").json()
    assert (told["variant"], told["slot"]) == (named["variant"], named["slot"])
    assert "owns" in told["rules"][-1]["detail"]


@pytest.mark.django_db
def test_parameters_are_attributes_of_their_kind(api: Api, team: Team) -> None:
    two(team, condition={"visits": {"$gte": 3}, "is_new": False, "zip": "012"})
    assert decided(api, 'unit_id=u&visits=3.5&is_new=false&zip="012"')["reason"] == "split"
    assert decided(api, "unit_id=u&visits=2&is_new=false&zip=012")["reason"] == "condition"
    assert api.get(f"/experiments/two/assignment?unit_id=u&long={'x' * 10}").status_code == 200


@pytest.mark.django_db
def test_an_experiment_keeps_what_it_is_told(api: Api, team: Team) -> None:
    make_version(make_prompt(team, title="Greeting"))
    body = {
        "title": "All of it", "prompt_name": "greeting", "environment": "production", "condition": FOR_DE,
        "variants": [
            {"key": "control", "version": 1, "weight_bp": 5000},
            {"key": "warm", "version": 1, "weight_bp": 5000, "model": "other", "parameters": {"temperature": 1}},
        ],
        "overrides": {"qa": "warm"}, "is_sticky": True, "primary_metric": "success", "guardrails": ["latency"],
        "planned_size": 500, "namespace": {"key": "checkout", "ranges": [[0, 100], [200, 300]]},
    }  # fmt: skip
    made = api.post("/experiments", body).json()
    same = ("condition", "overrides", "is_sticky", "primary_metric", "guardrails", "planned_size", "namespace")
    assert {name: made[name] for name in same} == {name: body[name] for name in same}
    assert [(one["model"], one["parameters"]) for one in made["variants"]] == [("", {}), ("other", {"temperature": 1})]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"condition": {"country": {"$about": 1}}}, "condition.country.$about"),
        ({"condition": {"mail": {"$regex": "(a"}}}, "condition.mail.$regex"),
        ({"condition": []}, "condition"),
        ({"overrides": {"qa": "nobody"}}, "overrides.qa"),
        ({"overrides": {"": "control"}}, "overrides"),
        ({"overrides": {str(n): "control" for n in range(201)}}, "overrides"),
        ({"namespace": {"key": "a", "ranges": [[5, 5]]}}, "namespace.ranges"),
        ({"namespace": {"key": "a", "ranges": [[0, 10], [5, 20]]}}, "namespace.ranges"),
        ({"namespace": {"key": "a", "ranges": [[0, 10001]]}}, "namespace.ranges"),
        ({"namespace": {"key": "A b", "ranges": [[0, 1]]}}, "namespace.key"),
        ({"namespace": {"key": "a"}}, "namespace.ranges"),
        ({"primary_metric": "fame"}, "primary_metric"),
        ({"guardrails": ["fame"]}, "guardrails"),
        ({"planned_size": 0}, "planned_size"),
    ],
)
def test_what_cannot_be_is_refused_by_field(api: Api, team: Team, changes: dict[str, Any], field: str) -> None:
    make_version(make_prompt(team, title="Greeting"))
    variants = [{"key": key, "version": 1, "weight_bp": 5000} for key in ("control", "other")]
    body = {"title": "T", "prompt_name": "greeting", "environment": "production", "variants": variants, **changes}
    answer = api.post("/experiments", body)
    assert answer.status_code == 400, answer.content
    assert field in [error["field"] for error in answer.json()["errors"]]


@pytest.mark.django_db
def test_slots_of_a_namespace_are_given_once(api: Api, team: Team) -> None:
    first = two(team, "First", namespace="checkout", namespace_ranges=[[0, 5000]])
    with pytest.raises(NamespaceTaken, match="First \\(0 to 5000\\)"):
        two(team, "Second", namespace="checkout", namespace_ranges=[[4999, 6000]])
    second = two(team, "Third", namespace="checkout", namespace_ranges=[[5000, 10000]])
    assert first.namespace == second.namespace
    for number in range(30):
        taking = [decided(api, f"unit_id=u{number}", key)["is_assigned"] for key in ("first", "third")]
        assert taking.count(True) == 1
    lifecycle.stop(SYSTEM, first)
    two(team, "Fourth", namespace="checkout", namespace_ranges=[[0, 5000]])


@pytest.mark.django_db
def test_a_sticky_one_gives_again_what_it_gave(api: Api, team: Team) -> None:
    one = two(team, is_sticky=True)
    other = one.variants.get(key="variant-1")
    unit = next(f"u{n}" for n in range(50) if decided(api, f"unit_id=u{n}")["variant"] == "control")
    ExperimentUnit.objects.create(experiment=one, phase=1, unit_id=unit, variant=other, first_exposed_at=one.started_at)
    assert (decided(api, f"unit_id={unit}")["variant"], decided(api, f"unit_id={unit}")["reason"]) == (
        "variant-1",
        "sticky",
    )
    Experiment.objects.filter(pk=one.pk).update(bucket_phase=2)
    assert decided(api, f"unit_id={unit}")["reason"] == "split"


@pytest.mark.django_db
def test_the_list_may_change_while_it_runs(api: Api, team: Team) -> None:
    one = two(team)
    for _ in range(2):
        answer = api.put("/experiments/two/overrides", {"overrides": {"qa": "variant-1"}})
        assert (answer.status_code, answer.json()["overrides"]) == (200, {"qa": "variant-1"})
        assert Environment.objects.get(pk=one.environment_id).revision == 3
    assert decided(api, "unit_id=qa")["forced"]
    bad = api.put("/experiments/two/overrides", {"overrides": {"qa": "nobody"}})
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (400, "overrides.qa")
    assert rename_unit(team.pk, "qa", "gone") == 1
    assert not Experiment.objects.get(pk=one.pk).overrides
    assert Environment.objects.get(pk=one.environment_id).revision == 4
    lifecycle.stop(SYSTEM, one)
    assert api.put("/experiments/two/overrides", {"overrides": {}}).json()["code"] == "wrong_state"


@pytest.mark.django_db(transaction=True)
def test_a_variant_may_be_another_model_with_the_same_text(application: HotRoutes) -> None:
    team = make_team()
    key = make_key(team)[1]
    prompt = make_prompt(team, "Hello.", title="Greeting")
    one = make_experiment(prompt, title="Two", weights=(0, 10_000))
    one.variants.filter(key="variant-1").update(
        version=one.variants.get(key="control").version, model="echo-other", parameters={"temperature": 0.5}
    )
    lifecycle.start(SYSTEM, one)
    payload = call(application, "GET", "/prompts/greeting/deployed", key=key).json()
    varied = payload["experiment"]["variants"][1]["prompt"]
    assert (varied["model"], varied["parameters"], varied["version"]) == ("echo-other", {"temperature": 0.5}, 1)
    call(application, "POST", "/chat", key=key, body={"message": "x", "prompt": "greeting", "user": "u"})
    answer = Message.objects.get(role="assistant")
    assert (answer.asked_model, answer.parameters["temperature"]) == ("echo-other", 0.5)
