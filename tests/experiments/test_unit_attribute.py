"""Experiments that deal sessions or accounts, not users: the same from every door, and counted for what was dealt."""

from __future__ import annotations

from typing import Any

import pytest
from promptlab_sdk.kernel.spec import Delivery
from promptlab_sdk.serving import Ready

from experiments import receipts
from experiments.models import Experiment, ExperimentUnit
from experiments.services.targeting import Setup
from feedback.services.batch import roll_up_feedback
from promptlab.accounts.models import Team
from promptlab.chat.models import Message
from promptlab.chat.services.metering import roll_up_messages
from promptlab.chat.services.purging import purge_unit
from promptlab.lib.asgi import HotRoutes
from tests.support.api import Api
from tests.support.asgi import call
from tests.support.make import make_experiment, make_key, make_prompt, make_team, make_version

pytestmark = pytest.mark.django_db(transaction=True)
NAME = "prompt-of-two"


def two(team: Team, **setup: Any) -> Experiment:
    prompt = make_prompt(team, "Hello.", title="Prompt of Two")
    make_version(prompt, "Hi.")
    said = {"unit_attribute": "session_id", **setup}
    return make_experiment(prompt, title="Two", running=True, setup=Setup(**said))


def served(application: HotRoutes, key: str) -> Ready:
    """Return what an application's own process has to decide with."""
    told = call(application, "GET", f"/prompts/{NAME}/deployed", key=key).json()
    assert told["experiment"]["unit_attribute"] == "session_id"
    return Ready(Delivery.from_dict(told), set(), lambda *_: "")


def test_every_door_deals_the_same_session_the_same_text(application: HotRoutes) -> None:
    team = make_team()
    key = make_key(team)[1]
    two(team)
    sdk = served(application, key)
    variants = set()
    for session in (f"s{number}" for number in range(12)):
        told = Api(key).get(f"/experiments/two/assignment?unit_id=ann&session_id={session}").json()
        expected = told["variant"]
        assert (told["unit_id"], told["reason"]) == (session, "split")
        assert Api(key).get(f"/experiments/two/assignment?session_id={session}").json()["variant"] == expected
        context = {"targetingKey": "ann", "session_id": session}
        flag = call(application, "POST", "/ofrep/v1/evaluate/flags/two", key=key, body={"context": context}).json()
        assert (flag["variant"], flag["metadata"]["unit_id"]) == (expected, session)
        for user in ("ann", "bob", None):
            prompt = sdk.serve("cache", user, {"session_id": session})
            assert (prompt.variant, prompt.counted_unit, prompt.unit_id) == (expected, session, user)
        body = {"message": "x", "prompt": NAME, "user": "ann", "attributes": {"session_id": session}}
        done = call(application, "POST", "/chat", key=key, body=body).events()[-1]
        assert done["variant"] == expected
        assert receipts.read(done["receipt"]).unit == receipts.pseudonym(team.pk, session)
        body = {"prompt_name": NAME, "user": "ann", "session_id": session}
        assert call(application, "POST", "/generate", key=key, body=body).json()["variant"] == expected
        body = {
            "model": f"prompt:{NAME}@production", "messages": [{"role": "user", "content": "x"}],
            "user": "ann", "metadata": {"session_id": session},
        }  # fmt: skip
        said = call(application, "POST", "/v1/chat/completions", key=key, body=body)
        assert said.status == 200, said.body
        assert Message.objects.filter(role="assistant").latest("id").served_variant.key == expected  # type: ignore[union-attr]
        variants.add(expected)
    assert variants == {"control", "variant-1"}


def test_without_it_nobody_is_dealt(application: HotRoutes) -> None:
    team = make_team()
    key = make_key(team)[1]
    two(team)
    assert Api(key).get("/experiments/two/assignment?unit_id=ann").json()["reason"] == "no_unit"
    for context in ({"targetingKey": "ann"}, {"targetingKey": "ann", "session_id": 7}):
        flag = call(application, "POST", "/ofrep/v1/evaluate/flags/two", key=key, body={"context": context})
        assert (flag.status, flag.json()["errorCode"]) == (400, "INVALID_CONTEXT")
        assert "session_id" in flag.json()["errorDetails"]
    body = {"message": "x", "prompt": NAME, "user": "ann"}
    assert call(application, "POST", "/chat", key=key, body=body).events()[-1]["variant"] is None
    prompt = served(application, key).serve("cache", "ann")
    assert (prompt.variant, prompt.counted_unit) == (None, "ann")


def test_sessions_are_counted_and_not_users(application: HotRoutes) -> None:
    team = make_team()
    key = make_key(team)[1]
    two(team)
    for session in ("s1", "s2", "s2"):
        body = {"message": "x", "prompt": NAME, "user": "ann", "attributes": {"session_id": session}}
        done = call(application, "POST", "/chat", key=key, body=body).events()[-1]
        rated = call(application, "POST", "/feedback", key=key, body={"message_id": done["message_id"], "rating": 1})
        assert rated.status == 202
    flag = call(
        application, "POST", "/ofrep/v1/evaluate/flags/two", key=key, body={"context": {"session_id": "s3"}}
    ).json()
    shown = {"receipt": flag["metadata"]["receipt"], "unit_id": flag["metadata"]["unit_id"]}
    assert call(application, "POST", "/exposures", key=key, body=shown).status == 202
    roll_up_messages()
    roll_up_feedback()
    units = dict(ExperimentUnit.objects.values_list("unit_id", "ratings"))
    assert units == {"s1": 1, "s2": 2, "s3": 0}
    assert set(Message.objects.filter(is_external=False).values_list("unit_id", flat=True)) == {"ann"}


def test_a_session_keeps_what_it_had_and_may_try_out(application: HotRoutes) -> None:
    team = make_team()
    key = make_key(team)[1]
    one = two(team, is_sticky=True, overrides={"qa-session": "variant-1", "ann": "variant-1"})
    control = next(f"s{n}" for n in range(50) if _variant(key, f"s{n}") == "control")
    other = one.variants.get(key="variant-1")
    ExperimentUnit.objects.create(
        experiment=one, phase=1, unit_id=control, variant=other, first_exposed_at=one.started_at
    )
    assert _variant(key, control) == "variant-1"
    told = Api(key).get("/experiments/two/assignment?unit_id=ann&session_id=qa-session").json()
    assert (told["variant"], told["forced"]) == ("variant-1", True)
    body = {"message": "x", "prompt": NAME, "user": "u", "attributes": {"session_id": control}}
    assert call(application, "POST", "/chat", key=key, body=body).events()[-1]["variant"] == "variant-1"


def _variant(key: str, session: str) -> Any:
    return Api(key).get(f"/experiments/two/assignment?unit_id=ann&session_id={session}").json()["variant"]


def test_who_is_erased_leaves_no_session_behind(application: HotRoutes) -> None:
    team = make_team()
    key = make_key(team)[1]
    one = two(team)
    for user, session in (("ann", "s1"), ("bob", "s2")):
        body = {"message": "x", "prompt": NAME, "user": user, "attributes": {"session_id": session}}
        call(application, "POST", "/chat", key=key, body=body)
    purge_unit(team.pk, "ann", "erased-1", one.created_at)
    purge_unit(team.pk, "s2", "erased-2", one.created_at)
    answers = Message.objects.filter(role="assistant").order_by("id")
    assert list(answers.values_list("unit_id", "dealt_unit")) == [("erased-1", "erased-1"), ("bob", "erased-2")]


def test_an_experiment_on_users_says_nothing_of_attributes(application: HotRoutes) -> None:
    team = make_team()
    key = make_key(team)[1]
    one = two(team, unit_attribute="unit_id")
    assert one.unit_attribute == ""
    told = call(application, "GET", f"/prompts/{NAME}/deployed", key=key).json()
    assert "unit_attribute" not in told["experiment"]
