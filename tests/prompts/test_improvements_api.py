"""Suggestions over REST: asked for, followed, taken or left."""

from __future__ import annotations

import pytest

from prompts.models import OptimiserRun, Suggestion, Version
from prompts.services import optimiser_work
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_prompt, newest
from tests.support.suggestions import answered, make_proposal
from tests.support.suites import MODEL, answering

pytestmark = pytest.mark.django_db
ASKED = {"goal": "clearer", "model": MODEL, "budget_usd": "0.5"}


@pytest.fixture
def api(cast: Cast) -> Api:
    make_prompt(cast.team, "Hello {{name}}.", title="Greeting")
    return Api(cast.key)


def test_a_suggestion_from_asking_to_a_version(api: Api) -> None:
    address = "/prompts/greeting/versions/1/optimize"
    assert api.post(f"{address}/estimate", ASKED).json() == {"calls": 2, "most_usd": None}
    asked = api.post(address, ASKED)
    assert asked.status_code == 202 and asked.json()["state"] == "queued"
    run = f"/improvements/{asked.json()['id']}"
    with answering(answered("Hi {{name}}.")):
        optimiser_work.work_on(asked.json()["id"])
    shown = api.get(run).json()
    assert (shown["state"], shown["done"], shown["budget_usd"]) == ("finished", 1, "0.500000000")
    made = shown["suggestions"][0]
    assert made["content"] == "Hi {{name}}." and made["state"] == "proposed" and made["edited_share"] is None
    refused = api.post(f"/suggestions/{made['id']}/accept", {"content": "Hi."})
    assert refused.status_code == 409 and refused.json()["code"] == "placeholders_differ"
    saved = api.post(f"/suggestions/{made['id']}/accept", {"content": "Hi there, {{name}}."})
    assert saved.status_code == 201 and saved.json()["version"] == 2
    after = api.get(run).json()["suggestions"][0]
    assert (after["state"], after["saved_version"]) == ("accepted", 2) and 0 < float(after["edited_share"]) < 0.6
    origin = api.get("/prompts/greeting/versions/2").json()["suggested"]
    assert (origin["model"], origin["goal"], origin["from_version"]) == (MODEL, "clearer", 1)
    assert api.get("/prompts/greeting/versions/1").json()["suggested"] is None
    again = api.post(f"/suggestions/{made['id']}/accept", {})
    assert again.status_code == 409 and again.json()["code"] == "suggestion_decided"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"goal": "nicer"}, "invalid_choice"),
        ({}, "required"),
        ({"goal": "own"}, "required"),
        ({"goal": "clearer", "budget_usd": "-1"}, "min_value"),
    ],
)
def test_what_cannot_be_asked_is_named(api: Api, body: dict[str, str], code: str) -> None:
    answer = api.post("/prompts/greeting/versions/1/optimize", body)
    assert answer.status_code == 400 and code in str(answer.json())
    assert not OptimiserRun.objects.exists()


def test_the_list_is_narrowed_and_strangers_find_nothing(api: Api, cast: Cast) -> None:
    version = newest(make_prompt(cast.team, "Bye {{name}}.", title="Farewell"))
    made = make_proposal(version, "{{name}}, bye.")
    assert api.get("/improvements?prompt_name=farewell").json()["count"] == 1
    assert api.get("/improvements?prompt_name=greeting").json()["count"] == 0
    stranger = Api(cast.stranger_key)
    assert stranger.get("/improvements").json()["count"] == 0
    for act in (f"/improvements/{made.run_id}/cancel", f"/suggestions/{made.pk}/accept"):
        assert stranger.post(act, {}).status_code == 404
        assert Api(cast.read_key).post(act, {}).status_code == 403
    assert Suggestion.objects.get().state == "proposed"


def test_a_goal_is_brought_back(api: Api) -> None:
    assert [one["live_version"] for one in api.get("/goals").json()] == [None] * 7
    made = api.post("/goals/clearer/restore", {})
    assert made.status_code == 200 and made.json()["name"] == "optimiser.clearer"
    assert api.post("/goals/nicer/restore", {}).json()["code"] == "unknown_goal"


def test_both_texts_answer_the_same(api: Api, cast: Cast) -> None:
    made = make_proposal(Version.objects.get(prompt__name="greeting"))
    refused = api.post(f"/suggestions/{made.pk}/try", {"said": "Where is it?"})
    assert refused.status_code == 400 and not OptimiserRun.objects.filter(kind="pair").exists()
    asked = api.post(
        f"/suggestions/{made.pk}/try", {"variables": {"name": "Bo"}, "model": MODEL, "content": "Oi {{name}}."}
    )
    assert asked.status_code == 202 and asked.json()["kind"] == "pair"
    address = f"/improvements/{asked.json()['id']}"
    assert [one["text"] for one in api.get(address).json()["answers"]] == ["", ""]
    with answering(lambda request: request.messages[0].content.upper()):
        optimiser_work.work_on(asked.json()["id"])
    shown = api.get(address).json()
    assert (shown["state"], shown["calls"]) == ("finished", 2)
    assert [(one["side"], one["text"]) for one in shown["answers"]] == [("own", "HELLO BO."), ("suggested", "OI BO.")]
