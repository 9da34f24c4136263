"""What protected environments and freezes forbid, and how administrators pass in an emergency."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from promptlab.audit.models import AuditEntry
from prompts.models import Environment, Version
from prompts.services import authoring, deploying, reviewing
from prompts.services.contents import content_of
from prompts.services.environments import Rules, change_environment, freeze, named, thaw
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_key, make_live, make_prompt

pytestmark = pytest.mark.django_db
MOVE = {"prompt_name": "greeting", "environment": "production", "confirm": True}


def person(user: Any) -> Api:
    api = Api()
    api.client.force_login(user)
    return api


@pytest.fixture
def version(cast: Cast) -> Version:
    prompt = make_prompt(cast.team, title="Greeting")
    make_live(prompt.newest)  # type: ignore[arg-type]
    made, _ = authoring.create_version(cast.principal(cast.ann), prompt, content_of(text="Hi {{name}}."))
    return made


@pytest.fixture
def production(cast: Cast, version: Version) -> Environment:
    where = named(cast.team.pk, "production")
    return change_environment(cast.principal(cast.cleo), where, Rules(is_protected=True))


def frozen(cast: Cast, where: Environment, **minutes: int) -> Any:
    now = timezone.now()
    ends = now + timedelta(minutes=minutes.get("ends", 60))
    starts = now + timedelta(minutes=minutes.get("starts", -1))
    return freeze(cast.principal(cast.cleo), where, starts_at=starts, ends_at=ends, reason="Black Friday")


def approve(cast: Cast, version: Version) -> None:
    reviewing.submit_for_review(cast.principal(cast.ann), version)
    reviewing.approve(cast.principal(cast.ben), version)


def test_without_a_review_nothing_goes_live_there(cast: Cast, version: Version, production: Environment) -> None:
    answer = person(cast.ben).post("/deployments", {**MOVE, "version": 2})
    assert (answer.status_code, answer.json()["code"]) == (409, "review_required")
    detail = answer.json()["detail"]
    assert "1 more" in detail and "Ben" in detail and "Cleo" in detail and "Ann" not in detail
    assert person(cast.ben).post("/deployments", {**MOVE, "version": 2, "environment": "staging"}).status_code == 201


def test_approved_it_goes_live_and_edited_it_does_not(cast: Cast, version: Version, production: Environment) -> None:
    approve(cast, version)
    ben = person(cast.ben)
    assert ben.post("/deployments", {**MOVE, "version": 2}).status_code == 201
    person(cast.ann).post("/prompts/greeting/versions", {"content": "Edited {{name}}."})
    assert ben.post("/deployments", {**MOVE, "version": 3}).json()["code"] == "review_required"


def test_without_four_eyes_a_reviewer_who_puts_it_live_counts(cast: Cast, version: Version) -> None:
    where = named(cast.team.pk, "production")
    change_environment(cast.principal(cast.cleo), where, Rules(is_protected=True, four_eyes=False))
    assert Api(cast.key).post("/deployments", {**MOVE, "version": 2}).json()["code"] == "review_required"
    assert person(cast.cleo).post("/deployments", {**MOVE, "version": 2}).status_code == 201


def test_a_freeze_says_until_when_and_never_stops_going_back(
    cast: Cast, version: Version, production: Environment
) -> None:
    approve(cast, version)
    deploying.deploy(cast.principal(cast.ben), version, production, confirm=True)
    window = frozen(cast, production)
    ben = person(cast.ben)
    assert ben.post("/deployments/rollback", {**MOVE}).status_code == 201
    refused = ben.post("/deployments", {**MOVE, "version": 2}).json()
    assert refused["code"] == "environment_frozen" and "Black Friday" in refused["detail"]
    assert refused["data"]["until"][:13] in refused["detail"]
    thaw(cast.principal(cast.cleo), window)
    assert ben.post("/deployments", {**MOVE, "version": 2}).status_code == 201


def test_a_freeze_to_come_forbids_nothing_yet(cast: Cast, version: Version) -> None:
    frozen(cast, named(cast.team.pk, "production"), starts=30)
    assert person(cast.ben).post("/deployments", {**MOVE, "version": 2}).status_code == 201


def test_breaking_the_glass_takes_an_administrator_and_a_reason(
    cast: Cast, version: Version, production: Environment
) -> None:
    frozen(cast, production)
    move = {**MOVE, "version": 2, "break_glass": "Customers see wrong prices."}
    assert person(cast.ben).post("/deployments", move).status_code == 403
    cleo = person(cast.cleo)
    short = cleo.post("/deployments", {**move, "break_glass": "now"})
    assert (short.status_code, short.json()["errors"][0]["field"]) == (400, "break_glass")
    assert cleo.post("/deployments", move).status_code == 201
    entry = AuditEntry.objects.get(verb="deployment.break_glass")
    assert (entry.actor_id, entry.note) == (cast.cleo.pk, "Customers see wrong prices.")
    assert entry.after["passed"] == ["environment_frozen", "review_required"]


def test_a_key_breaks_the_glass_with_the_scope_admin(cast: Cast, version: Version, production: Environment) -> None:
    move = {**MOVE, "version": 2, "break_glass": "Customers see wrong prices."}
    refused = Api(make_key(cast.team, "deploy")[1]).post("/deployments", move)
    assert refused.status_code == 403 and "scope admin" in refused.json()["detail"]
    assert Api(make_key(cast.team, "admin")[1]).post("/deployments", move).status_code == 201


def test_a_reason_where_nothing_is_in_the_way_is_not_recorded(cast: Cast, version: Version) -> None:
    assert (
        person(cast.ben).post("/deployments", {**MOVE, "version": 2, "break_glass": "just in case"}).status_code == 201
    )
    assert not AuditEntry.objects.filter(verb="deployment.break_glass").exists()


def test_a_key_without_the_deploy_scope_hears_its_name(cast: Cast, version: Version) -> None:
    answer = Api(make_key(cast.team, "write", "read")[1]).post("/deployments", {**MOVE, "version": 2})
    assert answer.status_code == 403 and "scope deploy" in answer.json()["detail"]


def test_what_is_live_in_a_protected_environment_is_not_archived(
    cast: Cast, version: Version, production: Environment
) -> None:
    api = Api(cast.key)
    collection = api.post("/collections", {"name": "Emails"}).json()["id"]
    api.patch("/prompts/greeting", {"collection_id": collection})
    for path in ("/prompts/greeting", f"/collections/{collection}"):
        refused = api.delete(path)
        assert (refused.status_code, refused.json()["code"]) == (409, "live_in_protected")
        assert "Greeting" in refused.json()["detail"]
    assert api.post("/deployments/undeploy", {**MOVE}).status_code == 201
    assert api.delete(f"/collections/{collection}").status_code == 204


def test_administrators_change_the_rules_over_rest(cast: Cast) -> None:
    cleo, ben = person(cast.cleo), person(cast.ben)
    changed = cleo.patch("/environments/production/", {"is_protected": True, "approvals_needed": 2})
    assert (changed.status_code, changed.json()["approvals_needed"]) == (200, 2)
    assert cleo.get("/environments/production").json()["is_protected"] is True
    assert ben.patch("/environments/production", {"is_protected": False}).status_code == 403
    wrong = cleo.patch("/environments/production", {"approvals_needed": 99})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "approvals_needed")
    assert cleo.patch("/environments/nowhere", {}).json()["code"] == "environment_not_found"
    assert cleo.post("/environments", {"name": "preview"}).status_code == 201
    assert cleo.post("/environments", {"name": "preview"}).json()["code"] == "environment_taken"
    assert ben.post("/environments", {"name": "other"}).status_code == 403


def test_freezes_over_rest(cast: Cast) -> None:
    cleo = person(cast.cleo)
    path = "/environments/production/freezes"
    ends = (timezone.now() + timedelta(hours=1)).isoformat()
    made = cleo.post(f"{path}/", {"ends_at": ends, "reason": "Holidays"})
    assert made.status_code == 201, made.content
    assert [one["reason"] for one in cleo.get(path).json()] == ["Holidays"]
    for wrong, field in (
        ({"ends_at": "2099-01-01T09:00:00", "reason": "x"}, "ends_at"),
        ({"ends_at": "2001-01-01T09:00:00Z", "reason": "x"}, "ends_at"),
        ({"ends_at": ends}, "reason"),
    ):
        answer = cleo.post(path, wrong)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)
    assert person(cast.ben).post(path, {"ends_at": ends, "reason": "x"}).status_code == 403
    assert person(cast.ben).delete(f"{path}/{made.json()['id']}").status_code == 403
    assert Api(cast.stranger_key).delete(f"{path}/{made.json()['id']}").status_code == 404
    assert cleo.delete(f"{path}/{made.json()['id']}").status_code == 204
    assert cleo.delete(f"{path}/{made.json()['id']}").json()["code"] == "freeze_not_found"
