"""Putting live later: once, however many clocks tick, and with the rights and rules of that moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
import time_machine
from django.db import OperationalError, connections
from django.utils import timezone

from promptlab.accounts import services as accounts
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Membership
from promptlab.audit.models import AuditEntry
from promptlab.lib import logs
from prompts.models import DeploymentEvent, Prompt, ScheduledDeployment
from prompts.services import deploying, scheduling
from prompts.services.environments import Rules, change_environment, named
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_key, make_prompt, make_team

MOVE = {"prompt_name": "greeting", "environment": "production", "version": 1}


def person(user: Any) -> Api:
    api = Api()
    api.client.force_login(user)
    return api


def soon(minutes: int = 5) -> str:
    return (timezone.now() + timedelta(minutes=minutes)).isoformat()


def _raise(error: Exception) -> Any:
    def raising(*args: object) -> None:
        raise error

    return raising


def after(minutes: int = 6) -> Any:
    return time_machine.travel(timezone.now() + timedelta(minutes=minutes))


@pytest.fixture
def greeting(cast: Cast) -> None:
    make_prompt(cast.team, title="Greeting")


@pytest.mark.django_db
@pytest.mark.usefixtures("greeting")
class TestPlans:
    def test_it_goes_live_when_it_is_due_and_once(self, cast: Cast) -> None:
        ben = person(cast.ben)
        made = ben.post("/schedules/", {**MOVE, "due_at": soon(), "note": "Launch"})
        assert (made.status_code, made.json()["state"]) == (201, "waiting")
        assert scheduling.run_due() == 0
        with after():
            assert (scheduling.run_due(), scheduling.run_due()) == (1, 0)
        event = DeploymentEvent.objects.get()
        assert (event.actor_id, event.note) == (cast.ben.pk, "Launch")
        done = ben.get(f"/schedules/{made.json()['id']}").json()
        assert (done["state"], done["deployment_id"]) == ("done", event.pk)

    def test_times_say_their_zone_and_lie_ahead(self, cast: Cast) -> None:
        ben = person(cast.ben)
        for due in ("2099-01-01T09:00:00", "2001-01-01T09:00:00Z", "tomorrow", None):
            answer = ben.post("/schedules", {**MOVE, "due_at": due})
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "due_at"), due

    def test_any_zone_means_the_same_moment(self, cast: Cast) -> None:
        made = person(cast.ben).post("/schedules", {**MOVE, "due_at": "2099-06-01T09:00:00+02:00"}).json()
        plan = ScheduledDeployment.objects.get(pk=made["id"])
        assert plan.due_at.astimezone(timezone.get_default_timezone()).isoformat() == "2099-06-01T07:00:00+00:00"

    def test_cancelled_it_stays_to_be_seen_and_does_not_happen(self, cast: Cast) -> None:
        ben = person(cast.ben)
        pk = ben.post("/schedules", {**MOVE, "due_at": soon()}).json()["id"]
        assert ben.delete(f"/schedules/{pk}").json()["state"] == "cancelled"
        assert ben.delete(f"/schedules/{pk}").status_code == 200
        with after():
            assert scheduling.run_due() == 0
        assert ben.get("/schedules?state=cancelled").json()["count"] == 1
        assert AuditEntry.objects.filter(verb="deployment.cancelled").count() == 1

    def test_what_was_carried_out_cannot_be_cancelled(self, cast: Cast) -> None:
        ben = person(cast.ben)
        pk = ben.post("/schedules", {**MOVE, "due_at": soon()}).json()["id"]
        with after():
            scheduling.run_due()
        answer = ben.delete(f"/schedules/{pk}")
        assert (answer.status_code, answer.json()["code"]) == (409, "not_waiting")

    def test_rights_are_asked_again(self, cast: Cast) -> None:
        ben = person(cast.ben)
        pk = ben.post("/schedules", {**MOVE, "due_at": soon()}).json()["id"]
        Membership.objects.filter(user=cast.ben, role="publisher").delete()
        with after():
            assert scheduling.run_due() == 1
        plan = ScheduledDeployment.objects.get(pk=pk)
        assert plan.state == "failed" and "publisher" in plan.failure
        assert not DeploymentEvent.objects.exists()
        assert AuditEntry.objects.filter(verb="deployment.refused").count() == 1

    def test_rules_are_asked_again(self, cast: Cast) -> None:
        pk = person(cast.ben).post("/schedules", {**MOVE, "due_at": soon()}).json()["id"]
        change_environment(cast.principal(cast.cleo), named(cast.team.pk, "production"), Rules(is_protected=True))
        with after():
            scheduling.run_due()
        plan = ScheduledDeployment.objects.get(pk=pk)
        assert plan.state == "failed" and "1 more approval" in plan.failure

    def test_a_key_that_was_revoked_puts_nothing_live(self, cast: Cast) -> None:
        key, secret = make_key(cast.team, "deploy")
        pk = Api(secret).post("/schedules", {**MOVE, "due_at": soon()}).json()["id"]
        accounts.revoke_key(SYSTEM, key)
        with after():
            scheduling.run_due()
        assert "may not act any more" in ScheduledDeployment.objects.get(pk=pk).failure

    def test_one_refused_plan_is_not_in_the_way_of_the_next(self, cast: Cast) -> None:
        other = make_prompt(cast.team, title="Other")
        ben = person(cast.ben)
        ben.post("/schedules", {**MOVE, "due_at": soon(1)})
        ben.post("/schedules", {**MOVE, "prompt_name": "other", "due_at": soon(2)})
        Api(cast.key).delete("/prompts/greeting")
        with after():
            assert scheduling.run_due() == 2
        assert [event.prompt_id for event in DeploymentEvent.objects.all()] == [other.pk]

    def test_one_that_breaks_is_not_in_the_way_of_the_next(
        self, cast: Cast, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Failed for good, with the number under which the log says why; whoever planned it is told."""
        other, pk = self._two_plans(cast)
        self._breaks(monkeypatch, RuntimeError("a secret detail"))
        logs.begin("req-77")
        with after():
            assert (scheduling.run_due(), scheduling.run_due()) == (2, 0)
        plan = ScheduledDeployment.objects.get(pk=pk)
        assert plan.state == "failed" and plan.ended_at is not None
        assert "req-77" in plan.failure and "secret" not in plan.failure
        assert [event.prompt_id for event in DeploymentEvent.objects.all()] == [other.pk]
        assert "a secret detail" in caplog.text
        assert AuditEntry.objects.filter(verb="deployment.refused", target_id=str(plan.prompt_id)).count() == 1

    def test_a_busy_database_is_asked_again_and_not_for_ever(self, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
        other, pk = self._two_plans(cast)
        with monkeypatch.context() as patch:
            self._breaks(patch, OperationalError("canceling statement due to lock timeout"))
            with after():
                assert scheduling.run_due() == 1
                assert scheduling.run_due() == 0
            assert ScheduledDeployment.objects.get(pk=pk).state == "waiting"
            assert [event.prompt_id for event in DeploymentEvent.objects.all()] == [other.pk]
            with after(90):
                assert (scheduling.run_due(), scheduling.run_due()) == (1, 0)
        assert ScheduledDeployment.objects.get(pk=pk).state == "failed"

    def test_what_was_postponed_goes_live_a_little_later(self, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
        _other, pk = self._two_plans(cast)
        with after():
            with monkeypatch.context() as patch:
                self._breaks(patch, OperationalError("canceling statement due to lock timeout"))
                scheduling.run_due()
            assert scheduling.run_due() == 1
        assert ScheduledDeployment.objects.get(pk=pk).state == "done"

    def test_one_whose_failure_cannot_be_noted_is_not_in_the_way_either(
        self, cast: Cast, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other, pk = self._two_plans(cast)
        self._breaks(monkeypatch, RuntimeError("x"))
        monkeypatch.setattr(scheduling, "_refuse", _raise(RuntimeError("y")))
        with after():
            assert scheduling.run_due() == 1
        assert ScheduledDeployment.objects.get(pk=pk).state == "waiting"
        assert [event.prompt_id for event in DeploymentEvent.objects.all()] == [other.pk]

    def _two_plans(self, cast: Cast) -> tuple[Prompt, int]:
        """Return the prompt of the second plan, and the first plan, which is for Greeting."""
        other = make_prompt(cast.team, title="Other")
        ben = person(cast.ben)
        first: int = ben.post("/schedules", {**MOVE, "due_at": soon(1)}).json()["id"]
        ben.post("/schedules", {**MOVE, "prompt_name": "other", "due_at": soon(2)})
        return other, first

    def _breaks(self, patch: pytest.MonkeyPatch, error: Exception) -> None:
        """Let every move of Greeting raise."""
        deploy = deploying.deploy

        def breaking(actor: Any, version: Any, *args: Any, **kwargs: Any) -> Any:
            if version.prompt.title == "Greeting":
                raise error
            return deploy(actor, version, *args, **kwargs)

        patch.setattr(deploying, "deploy", breaking)

    def test_writers_plan_for_development_only_and_strangers_see_nothing(self, cast: Cast) -> None:
        ann = person(cast.ann)
        assert ann.post("/schedules", {**MOVE, "due_at": soon()}).status_code == 403
        made = ann.post("/schedules", {**MOVE, "environment": "development", "due_at": soon()})
        assert made.status_code == 201
        stranger = Api(cast.stranger_key)
        assert stranger.get("/schedules").json()["count"] == 0
        assert stranger.delete(f"/schedules/{made.json()['id']}").json()["code"] == "schedule_not_found"
        assert Api().get("/schedules").status_code == 401


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_clocks_at_once_carry_it_out_once() -> None:
    team = make_team()
    prompts = [make_prompt(team) for _ in range(8)]
    where = named(team.pk, "production")
    for prompt in prompts:
        assert prompt.newest is not None
        plan = scheduling.schedule(SYSTEM, prompt.newest, where, timezone.now() + timedelta(hours=1))
        ScheduledDeployment.objects.filter(pk=plan.pk).update(due_at=timezone.now() - timedelta(minutes=1))
    ready = Barrier(2)

    def tick(_number: int) -> int:
        ready.wait(timeout=20)
        try:
            return scheduling.run_due()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(tick, range(2))) == len(prompts)
    assert DeploymentEvent.objects.count() == len(prompts)
    assert set(ScheduledDeployment.objects.values_list("state", flat=True)) == {"done"}
