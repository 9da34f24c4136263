"""Gradual launches over REST and on the editors' pages."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from experiments.models import Ramp
from experiments.services import ramping
from promptlab.accounts.access import SYSTEM
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_key, make_live, make_prompt, make_version
from tests.support.ramps import feed, make_ramp

pytestmark = pytest.mark.django_db
MOVE = {"prompt_name": "greeting", "environment": "production", "version": 2, "ramp": True}


@pytest.fixture
def greeting(cast: Cast) -> None:
    """Version 1 is live in Production, version 2 is new."""
    prompt = make_prompt(cast.team, title="Greeting")
    make_live(prompt.newest)
    make_version(prompt)


def launched(cast: Cast, **changes: Any) -> dict[str, Any]:
    answer = Api(cast.key).post("/deployments", {**MOVE, **changes})
    assert answer.status_code == 201, answer.content
    found: dict[str, Any] = answer.json()
    return found


def test_a_deployment_with_ramp_begins_a_gradual_launch(cast: Cast, greeting: None) -> None:
    ramp = launched(cast, note="Shorter.")
    assert (ramp["prompt_name"], ramp["environment"], ramp["version"], ramp["previous_version"]) == (
        "greeting", "production", 2, 1,
    )  # fmt: skip
    assert (ramp["state"], ramp["step"], ramp["share_bp"], ramp["hold_reason"]) == ("running", 1, 100, "")
    assert [one["share_bp"] for one in ramp["stages"]] == [100, 1000, 5000]
    api = Api(cast.key)
    assert api.get("/ramps").json()["results"] == [ramp]
    detail = api.get(f"/ramps/{ramp['id']}").json()
    assert {**detail, "decisions": None} == {**ramp, "decisions": None}
    (decision,) = detail["decisions"]
    assert (decision["kind"], decision["note"], decision["step"]) == ("started", "Shorter.", 1)
    assert api.get("/prompts/greeting/live?environment=production").json()["version"] == 1


def test_own_stages_are_taken(cast: Cast, greeting: None) -> None:
    stages = [{"share_bp": 500, "min_dwell_s": 60, "max_dwell_s": 600}]
    assert launched(cast, ramp={"stages": stages})["stages"] == stages


def test_without_ramp_it_is_a_deployment(cast: Cast, greeting: None) -> None:
    assert launched(cast, ramp=False)["kind"] == "deploy"
    assert not Ramp.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"ramp": "yes"}, "ramp"),
        ({"ramp": []}, "ramp"),
        ({"ramp": {}}, "ramp.stages"),
        ({"ramp": {"stages": [{"share_bp": "x"}]}}, "ramp.stages.0.share_bp"),
        ({"ramp": {"stages": []}}, "ramp.stages"),
        ({"ramp": {"stages": [{"share_bp": 9000, "min_dwell_s": 1, "max_dwell_s": 2}]}}, "ramp.stages.0.share_bp"),
        ({"break_glass": "The house is on fire."}, "break_glass"),
    ],
)
def test_what_cannot_be_is_refused_by_field(cast: Cast, greeting: None, changes: dict[str, Any], field: str) -> None:
    answer = Api(cast.key).post("/deployments", {**MOVE, **changes})
    assert answer.status_code == 400
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert not Ramp.objects.exists()


def test_the_same_call_again_begins_one_launch(cast: Cast, greeting: None) -> None:
    api = Api(cast.key)
    first, second = (api.post("/deployments", MOVE, **{"Idempotency-Key": "once"}) for _ in range(2))
    assert (first.status_code, second.status_code, second.json()) == (201, 201, first.json())
    answer = api.post("/deployments", MOVE)
    assert (answer.status_code, answer.json()["code"]) == (409, "already_running")
    assert Ramp.objects.count() == 1


def test_people_hold_it_let_it_go_on_and_send_everybody_back(cast: Cast, greeting: None) -> None:
    ramp, api = launched(cast), Api(cast.key)
    at = f"/ramps/{ramp['id']}"
    assert api.post(f"{at}/go-on").json()["code"] == "ramp_not_held"
    held = api.post(f"{at}/hold", {"note": "Lunch"}).json()
    assert (held["state"], held["hold_reason"]) == ("held", "by_hand")
    assert api.post(f"{at}/go-on").json()["state"] == "running"
    back = api.post(f"{at}/send-back", {"note": "Complaints"}).json()
    assert (back["state"], back["share_bp"], back["decisions"][-1]["note"]) == ("rolled_back", 0, "Complaints")
    assert api.post(f"{at}/send-back").status_code == 200
    assert (api.post(f"{at}/hold").status_code, api.post(f"{at}/hold").json()["code"]) == (409, "ramp_over")


def test_a_reason_is_asked_for_where_the_numbers_did_not_decide(cast: Cast, greeting: None) -> None:
    ramp, api = launched(cast), Api(cast.key)
    Ramp.objects.update(state="held", hold_reason="inconclusive")
    answer = api.post(f"/ramps/{ramp['id']}/go-on")
    assert (answer.status_code, answer.json()["code"]) == (400, "reason_needed")
    assert api.post(f"/ramps/{ramp['id']}/go-on", {"note": "Read fifty answers."}).json()["share_bp"] == 1000


def test_of_two_who_look_at_one_step_one_takes_the_next(cast: Cast, greeting: None) -> None:
    ramp, api = launched(cast), Api(cast.key)
    at, why = f"/ramps/{ramp['id']}/go-earlier", {"note": "It is Friday."}
    answer = api.post(at, why)
    assert (answer.status_code, answer.json()["code"]) == (400, "required")
    assert [one["field"] for one in answer.json()["errors"]] == ["step"]
    first, second = (api.post(at, {**why, "step": ramp["step"]}) for _ in range(2))
    assert (first.status_code, first.json()["step"]) == (200, 2)
    assert (second.status_code, second.json()["code"]) == (409, "ramp_moved")
    assert Ramp.objects.get().stage_index == 1


@pytest.mark.parametrize("path", ["", "/1", "/1/hold", "/1/go-on", "/1/send-back"])
def test_who_may(cast: Cast, greeting: None, path: str) -> None:
    ramp = launched(cast)
    address = "/ramps" + path.replace("/1", f"/{ramp['id']}")
    is_read = not path or path == "/1"
    keys = {"": 401, cast.stranger_key: 200 if not path else 404, cast.read_key: 200 if is_read else 403}
    for key, status in keys.items():
        api = Api(key)
        answer = api.get(address) if is_read else api.post(address)
        assert answer.status_code == status, (key, answer.content)
    assert Api(cast.stranger_key).get("/ramps").json()["results"] == []
    assert Api(cast.key).get("/ramps/999").json()["code"] == "ramp_not_found"


def test_a_key_for_other_environments_moves_nothing(cast: Cast, greeting: None) -> None:
    ramp = launched(cast)
    narrow = make_key(cast.team, environments=["staging"])[1]
    answer = Api(narrow).post(f"/ramps/{ramp['id']}/send-back")
    assert (answer.status_code, answer.json()["code"]) == (403, "environment_not_allowed")
    assert Ramp.objects.get().state == "running"


def signed_in(user: object) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_editors_see_where_it_stands_and_why(cast: Cast) -> None:
    ramp = make_ramp(cast.team)
    feed(ramp, "live", 30, ratings=30, ups=30)
    feed(ramp, "new", 30, ratings=30, ups=18)
    ramping.tick(ramp.pk)
    client = signed_in(cast.vic)
    assert "v2 of Greeting, step by step" in client.get("/admin/experiments/ramp/").content.decode()
    page = client.get(f"/admin/experiments/ramp/{ramp.pk}/change/").content.decode()
    for said in (
        "Everyone was sent back",
        "Users like it less, proven",
        "Thumbs-up rate: \N{MINUS SIGN}40.0",
        "30 against 30. Over the limit, proven.",
    ):
        assert said in page
    assert "send-back" not in page
    assert signed_in(cast.zoe).get(f"/admin/experiments/ramp/{ramp.pk}/change/").status_code == 404


def test_publishers_act_after_a_page_that_says_what_will_happen(cast: Cast) -> None:
    ramp = make_ramp(cast.team)
    client = signed_in(cast.ben)
    page = client.get(f"/admin/experiments/ramp/{ramp.pk}/change/").content.decode()
    assert "Hold it here" in page and "Send everyone back" in page and "Let it go on" not in page
    for verb, state in (("hold", "held"), ("go-on", "running"), ("send-back", "rolled_back")):
        address = f"/admin/experiments/ramp/{ramp.pk}/{verb}/act/"
        assert "What will happen" in client.get(address).content.decode()
        assert client.post(address, {"note": "Because"}).status_code == 302
        assert Ramp.objects.get().state == state
    over = client.get(f"/admin/experiments/ramp/{ramp.pk}/hold/act/", follow=True).content.decode()
    assert "Nothing was changed." in over


def test_writers_cannot_act(cast: Cast) -> None:
    ramp = make_ramp(cast.team)
    assert signed_in(cast.ann).post(f"/admin/experiments/ramp/{ramp.pk}/send-back/act/").status_code == 403
    assert Ramp.objects.get().is_open


def test_the_page_asks_for_a_reason_too(cast: Cast) -> None:
    ramp = make_ramp(cast.team)
    ramping.hold(SYSTEM, ramp)
    Ramp.objects.update(hold_reason="inconclusive")
    address = f"/admin/experiments/ramp/{ramp.pk}/go-on/act/"
    client = signed_in(cast.ben)
    assert "Say why." in client.post(address, {"note": ""}).content.decode()
    assert client.post(address, {"note": "Read fifty answers."}).status_code == 302
    assert Ramp.objects.get().stage_index == 1
