"""Which processes serve which revision, and how long a move took to reach them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from promptlab.accounts.access import SYSTEM, Scope
from promptlab.lib.asgi import HotRoutes, Receive, Send
from promptlab.lib.asgi import Scope as AsgiScope
from promptlab.lib.watch import Watch
from prompts import revisions
from prompts.api.heartbeats import ROUTES
from prompts.models import DeploymentEvent, ServingProcess, ServingStep
from prompts.services import deploying, reporting, serving
from prompts.services.gathering import Gathering, gathering
from tests.support.api import Api
from tests.support.asgi import Answer, call
from tests.support.cast import Cast
from tests.support.make import make_admin, make_key, make_live, make_prompt, make_team, make_version, newest

pytestmark = pytest.mark.django_db(transaction=True)
WORKER = {"host": "web-1", "process": "worker-7", "sdk": "promptlab-sdk", "version": "0.2.0"}


async def nobody(scope: AsgiScope, receive: Receive, send: Send) -> None:
    raise AssertionError("The route did not match.")


app = HotRoutes(ROUTES, fallback=nobody)


def beat(key: str, **said: Any) -> Answer:
    return call(app, "POST", "/api/v1/heartbeats", key=key, body={**WORKER, "environment": "production", **said})


@pytest.fixture
def moves(cast: Cast) -> list[DeploymentEvent]:
    """Two moves, a minute apart."""
    prompt = make_prompt(cast.team, title="Greeting")
    where = make_live(newest(prompt))
    again, _ = deploying.deploy(SYSTEM, make_version(prompt), where)
    return [*DeploymentEvent.objects.exclude(pk=again.pk), again]


def told(cast: Cast, move: DeploymentEvent) -> dict[str, Any]:
    answer = Api(cast.key).get(f"/deployments/{move.pk}/convergence")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def test_nobody_reports_so_nothing_is_known(cast: Cast, moves: list[DeploymentEvent]) -> None:
    found = told(cast, moves[1])
    assert (found["processes"], found["current"], found["last_s"]) == (0, 0, None)
    assert not found["is_complete"]


def test_a_process_behind_is_named_until_it_catches_up(cast: Cast, moves: list[DeploymentEvent]) -> None:
    first, second = moves
    assert beat(cast.key, revision=first.revision).status == 204
    assert beat(cast.key, revision=second.revision, process="worker-8").status == 204
    found = told(cast, second)
    assert (found["processes"], found["current"], found["is_complete"]) == (2, 1, False)
    assert [(row["process"], row["revision"]) for row in found["stragglers"]] == [("worker-7", first.revision)]
    assert told(cast, first)["is_complete"]
    beat(cast.key, revision=second.revision)
    found = told(cast, second)
    assert (found["current"], found["stragglers"], found["is_complete"]) == (2, [], True)


def test_the_time_is_from_the_move_to_the_last_process_that_was_there(cast: Cast) -> None:
    prompt = make_prompt(cast.team, title="Greeting")
    start = timezone.now()
    with time_machine.travel(start, tick=False):
        where = make_live(newest(prompt))
        for process in ("worker-7", "worker-8"):
            beat(cast.key, revision=1, process=process)
    with time_machine.travel(start + timedelta(seconds=60), tick=False):
        move, _ = deploying.deploy(SYSTEM, make_version(prompt), where)
    with time_machine.travel(start + timedelta(seconds=62), tick=False):
        beat(cast.key, revision=2, age_ms=1750)
        beat(cast.key, revision=2, process="worker-9")  # new: it did not have to be waited for
    with time_machine.travel(start + timedelta(seconds=70), tick=False):
        beat(cast.key, revision=2, process="worker-8", age_ms=8200)
        found = told(cast, move)
    assert (found["processes"], found["waited_for"], found["is_complete"]) == (3, 2, True)
    assert (found["median_s"], found["last_s"]) == (1.8, 1.8)


def test_who_is_silent_is_told_then_not_waited_for_then_forgotten(cast: Cast, moves: list[DeploymentEvent]) -> None:
    beat(cast.key, revision=1)
    now = timezone.now()
    with time_machine.travel(now + timedelta(seconds=40), tick=False):
        row = told(cast, moves[1])["stragglers"][0]
        assert row["is_quiet"] and 39 < row["seen_s"] < 60
    with time_machine.travel(now + timedelta(minutes=6), tick=False):
        assert told(cast, moves[1])["processes"] == 0
        assert serving.forget_old() == 0
    with time_machine.travel(now + timedelta(minutes=11), tick=False):
        assert serving.forget_old() == 1


def test_who_leaves_is_not_waited_for(cast: Cast, moves: list[DeploymentEvent]) -> None:
    beat(cast.key, revision=1)
    assert beat(cast.key, leaving=True).status == 204
    assert beat(cast.key, leaving=True).status == 204
    assert not ServingProcess.objects.exists()


def test_the_same_again_writes_no_step(cast: Cast, moves: list[DeploymentEvent]) -> None:
    for _ in range(3):
        beat(cast.key, revision=1)
    assert ServingStep.objects.count() == 1
    beat(cast.key, revision=2)
    assert list(ServingStep.objects.values_list("revision", flat=True)) == [1, 2]


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"revision": 99}, "revision"),
        ({"revision": -1}, "revision"),
        ({"revision": True}, "revision"),
        ({"revision": "1"}, "revision"),
        ({}, "revision"),
        ({"revision": 1, "host": ""}, "host"),
        ({"revision": 1, "process": None}, "process"),
        ({"revision": 1, "process": 7}, "process"),
        ({"revision": 1, "host": "x" * 101}, "host"),
        ({"revision": 1, "age_ms": -5}, "age_ms"),
        ({"revision": 1, "age_ms": 10**12}, "age_ms"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    cast: Cast, moves: list[DeploymentEvent], said: dict[str, Any], field: str
) -> None:
    answer = beat(cast.key, **said)
    assert answer.status == 400
    assert [problem["field"] for problem in answer.json()["errors"]] == [field]
    assert not ServingProcess.objects.exists()


def test_who_may_report(cast: Cast, moves: list[DeploymentEvent]) -> None:
    assert beat("", revision=1).status == 401
    assert beat(make_key(cast.team, Scope.FEEDBACK)[1], revision=1).status == 403
    assert beat(make_key(cast.team, Scope.READ, environments=["staging"])[1], revision=1).status == 403
    assert beat(make_key(cast.team, Scope.READ)[1], revision=1).status == 204
    assert beat(cast.key, revision=1, environment="nowhere").json()["code"] == "environment_not_found"


def test_names_made_up_by_a_client_fill_no_table(
    cast: Cast, moves: list[DeploymentEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "MAX_PROCESSES", 3)
    answers = [beat(cast.key, revision=1, process=f"p{number}") for number in range(5)]
    assert [answer.status for answer in answers] == [204, 204, 204, 409, 409]
    assert answers[3].json()["code"] == "too_many_processes"


@pytest.mark.skipif(connection.vendor == "sqlite", reason="one writer at a time")
def test_threads_of_one_process_report_at_once(cast: Cast, moves: list[DeploymentEvent]) -> None:
    where = moves[0].environment

    def say(number: int) -> None:
        try:
            serving.note(where, serving.Heartbeat("production", 1 + number % 2, "web-1", "worker-7"))
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(say, range(40)))
    assert ServingProcess.objects.count() == 1


# Gathered


@pytest.fixture
def gathered(cast: Cast, moves: list[DeploymentEvent], monkeypatch: pytest.MonkeyPatch) -> Gathering:
    """Two processes are listed at the first revision, and what they say now waits for the watch."""
    monkeypatch.setattr(Watch, "is_running", True)
    monkeypatch.setattr(Watch, "ensure", lambda self: None)
    revisions.check(moves[0].environment_id)
    for process in ("worker-7", "worker-8"):
        beat(cast.key, revision=1, process=process)
    return gathering


def test_what_listed_processes_say_is_written_together(
    cast: Cast, moves: list[DeploymentEvent], gathered: Gathering, statements: list[str]
) -> None:
    assert beat(cast.key, revision=2, age_ms=700).status == 204
    statements.clear()
    assert beat(cast.key, revision=2, process="worker-8", version="0.3.0").status == 204
    assert beat(cast.key, revision=2, age_ms=900).status == 204
    assert (statements, len(gathered)) == ([], 2)
    gathered.write()
    found = told(cast, moves[1])
    assert (found["processes"], found["current"], len(gathered)) == (2, 2, 0)
    assert ServingStep.objects.filter(revision=2).count() == 2
    assert ServingProcess.objects.get(process="worker-8").client_version == "0.3.0"


def test_writing_together_costs_the_same_for_many(
    cast: Cast, moves: list[DeploymentEvent], gathered: Gathering, statements: list[str]
) -> None:
    for number in range(5):
        beat(cast.key, revision=1, process=f"p{number}")
    spent = []
    for processes in (["worker-7"], [f"p{number}" for number in range(5)]):
        for process in processes:
            beat(cast.key, revision=2, process=process)
        statements.clear()
        gathered.write()
        spent.append(len([one for one in statements if "serving" in one]))
    assert spent == [3, 3]


def test_a_process_that_is_gone_meanwhile_is_met_again(
    cast: Cast, moves: list[DeploymentEvent], gathered: Gathering
) -> None:
    beat(cast.key, revision=2)
    ServingProcess.objects.filter(process="worker-7").delete()
    gathered.write()
    assert [row.process for row in ServingProcess.objects.all()] == ["worker-8"]
    beat(cast.key, revision=2)
    assert ServingProcess.objects.get(process="worker-7").revision == 2


def test_who_leaves_says_nothing_afterwards(cast: Cast, moves: list[DeploymentEvent], gathered: Gathering) -> None:
    beat(cast.key, revision=2)
    beat(cast.key, leaving=True)
    gathered.write()
    assert [row.process for row in ServingProcess.objects.all()] == ["worker-8"]


def test_without_a_database_what_was_said_is_kept(
    cast: Cast, gathered: Gathering, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat(cast.key, revision=2)
    with monkeypatch.context() as away:
        away.setattr(ServingStep.objects, "bulk_create", _fail)
        with pytest.raises(OperationalError):
            gathered.write()
    assert len(gathered) == 1
    gathered.write()
    assert ServingProcess.objects.get(process="worker-7").revision == 2


def _fail(rows: object) -> None:
    raise OperationalError


def test_what_is_gathered_is_checked_as_ever(cast: Cast, gathered: Gathering) -> None:
    assert beat(cast.key, revision=99).status == 400
    assert beat(make_key(cast.team, Scope.FEEDBACK)[1], revision=2).status == 403
    assert beat(make_key(cast.team, Scope.READ, environments=["staging"])[1], revision=2).status == 403
    stranger = make_key(make_team(), Scope.READ)[1]
    assert beat(stranger, revision=2).status == 400  # Its own team's environment has not been there yet.
    assert len(gathered) == 0


def test_an_environment_tells_its_newest_revision(cast: Cast, moves: list[DeploymentEvent]) -> None:
    beat(cast.key, revision=2)
    found = Api(cast.key).get("/environments/production/convergence").json()
    assert (found["revision"], found["is_complete"]) == (2, True)


def test_our_own_processes_report_what_they_serve(cast: Cast, moves: list[DeploymentEvent]) -> None:
    where = moves[0].environment
    own = reporting.OwnReports()
    revisions.forget()
    revisions.check(where.pk)
    own.tell()
    row = ServingProcess.objects.get()
    assert (row.client, row.revision) == ("promptlab", 2)
    own.tell()
    assert ServingStep.objects.count() == 1
    revisions.touch(where.pk, 3)
    own.tell()
    assert list(ServingStep.objects.values_list("revision", flat=True)) == [2, 3]
    own.leave()
    assert not ServingProcess.objects.exists()


def test_the_page_of_moves_says_who_is_behind(cast: Cast, moves: list[DeploymentEvent]) -> None:
    beat(cast.key, revision=1)
    client = Client()
    client.force_login(make_admin(cast.team))
    page = client.get(f"/admin/prompts/prompt/{moves[0].prompt_id}/moves/").content.decode()
    assert "0 of 1 processes serve revision 2" in page
    assert "worker-7 on web-1" in page
