"""Twenty people at once, over the whole way from the request to PostgreSQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Barrier
from typing import Any, TypeVar

import pytest
from django.db import connections

from promptlab.accounts import services as accounts
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.errors import LastAdministrator
from promptlab.accounts.models import Membership, Team
from promptlab.audit.models import AuditEntry
from prompts.models import Comment, Deployment, DeploymentEvent, Environment, Prompt, Tag, Version
from prompts.services import environments
from tests.support.api import Api
from tests.support.make import make_admin, make_experiment, make_key, make_prompt, make_team, make_version

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]
T = TypeVar("T")
MANY = 20


def at_once(act: Callable[[int], T], times: int = MANY) -> list[T]:
    """Do it so many times, all beginning together, each in a thread with a connection of its own."""
    ready = Barrier(times)

    def one(number: int) -> T:
        ready.wait(timeout=20)
        try:
            return act(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))


@pytest.fixture
def team() -> Team:
    return make_team()


@pytest.fixture
def prompt(team: Team) -> Prompt:
    return make_prompt(team, title="Greeting")


def statuses(answers: list[Any]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def test_version_numbers_have_no_gap_and_no_duplicate(team: Team, prompt: Prompt) -> None:
    secret = make_key(team)[1]
    path = f"/prompts/{prompt.pk}/versions"
    answers = at_once(lambda n: Api(secret).post(path, {"content": f"Take {n} {{{{name}}}}."}))
    assert statuses(answers) == {201: MANY}
    assert sorted(answer.json()["number"] for answer in answers) == list(range(2, MANY + 2))
    prompt.refresh_from_db()
    assert prompt.newest is not None
    assert (prompt.newest.number, prompt.row_version) == (MANY + 1, MANY + 1)


def test_the_same_comment_sent_at_once_is_one(team: Team, prompt: Prompt) -> None:
    secret = make_key(team)[1]
    answers = at_once(lambda _: Api(secret).post(f"/prompts/{prompt.pk}/comments", {"text": "Why so cold?"}))
    assert statuses(answers) == {201: MANY}
    assert Comment.objects.count() == 1


def test_an_environment_renamed_at_once_is_renamed_once(team: Team) -> None:
    one = environments.create_environment(SYSTEM, team.pk, name="preview")
    at_once(lambda _: environments.rename_environment(SYSTEM, one, "trial"), 6)
    assert Environment.objects.get(pk=one.pk).name == "trial"
    assert AuditEntry.objects.filter(verb="environment.renamed").count() == 1


def test_the_same_content_is_saved_once(team: Team, prompt: Prompt) -> None:
    secret = make_key(team)[1]
    path = f"/prompts/{prompt.pk}/versions"
    answers = at_once(lambda _: Api(secret).post(path, {"content": "The same {{name}}."}))
    assert statuses(answers) == {201: 1, 200: MANY - 1}
    assert {answer.json()["number"] for answer in answers} == {2}


def test_a_version_string_is_given_once(team: Team, prompt: Prompt) -> None:
    secret = make_key(team)[1]
    path = f"/prompts/{prompt.pk}/versions"
    answers = at_once(lambda n: Api(secret).post(path, {"content": f"{n} {{{{name}}}}", "version_string": "v1"}))
    assert statuses(answers) == {201: 1, 409: MANY - 1}
    assert sorted(Version.objects.filter(prompt=prompt).values_list("number", flat=True)) == [1, 2]


def test_one_title_gives_every_prompt_a_name_of_its_own(team: Team) -> None:
    secret = make_key(team)[1]
    answers = at_once(lambda _: Api(secret).post("/prompts", {"title": "Email", "content": "x", "tags": ["a", "b"]}))
    assert statuses(answers) == {201: MANY}
    assert {answer.json()["name"] for answer in answers} == {"email", *(f"email-{n}" for n in range(2, MANY + 1))}
    assert Tag.objects.count() == 2


def test_of_twenty_changes_to_one_state_one_goes_through(team: Team, prompt: Prompt) -> None:
    secret = make_key(team)[1]
    answers = at_once(
        lambda n: Api(secret).patch(f"/prompts/{prompt.pk}", {"title": f"T{n}"}, **{"If-Match": prompt.etag})
    )
    assert statuses(answers) == {200: 1, 412: MANY - 1}


def test_moves_leave_one_live_and_revisions_without_a_gap(team: Team, prompt: Prompt) -> None:
    for _ in range(4):
        make_version(prompt)
    secret = make_key(team)[1]
    body = {"prompt_name": prompt.name, "environment": "production"}

    def move(number: int) -> Any:
        if number % 5 == 4:
            return Api(secret).post("/deployments/rollback", body)
        return Api(secret).post("/deployments", {**body, "version": number % 5 + 1})

    assert set(statuses(at_once(move))) <= {200, 201, 404, 409}
    events = list(DeploymentEvent.objects.order_by("id"))
    assert [event.revision for event in events] == list(range(1, len(events) + 1))
    pointer = Deployment.objects.get(prompt=prompt)
    assert (pointer.event, pointer.version) == (events[-1], events[-1].to_version)
    assert Environment.objects.get(team=team, name="production").revision == len(events)
    for earlier, later in pairwise(events):
        assert later.from_version == earlier.to_version


def test_moves_of_many_prompts_in_many_environments_do_not_block_each_other_for_ever(team: Team) -> None:
    prompts = [make_prompt(team) for _ in range(4)]
    secret = make_key(team)[1]
    where = ("development", "staging", "production")

    def move(number: int) -> Any:
        body = {"prompt_name": prompts[number % 4].name, "environment": where[number % 3], "version": 1}
        return Api(secret).post("/deployments", body)

    found = statuses(at_once(move, 12))
    assert found == {201: 12}
    for environment in Environment.objects.filter(team=team):
        revisions = DeploymentEvent.objects.filter(environment=environment).values_list("revision", flat=True)
        assert sorted(revisions) == list(range(1, environment.revision + 1)) == [1, 2, 3, 4]


def test_of_two_experiments_on_one_prompt_one_starts(team: Team, prompt: Prompt) -> None:
    titles = [make_experiment(prompt, title=f"Try {n}").title for n in range(8)]
    secret = make_key(team)[1]
    answers = at_once(lambda n: Api(secret).post(f"/experiments/try-{n}/start"), 8)
    assert statuses(answers) == {200: 1, 409: 7}
    winner = next(answer.json()["title"] for answer in answers if answer.status_code == 200)
    assert winner in titles
    for answer in answers:
        assert answer.status_code == 200 or (answer.json()["code"], winner in answer.json()["detail"]) == (
            "already_running",
            True,
        )
    assert Environment.objects.get(team=team, name="production").revision == 2


def test_killing_many_times_at_once_takes_one_revision(team: Team, prompt: Prompt) -> None:
    make_experiment(prompt, title="Try", running=True)
    secret = make_key(team)[1]
    assert statuses(at_once(lambda _: Api(secret).post("/experiments/try/kill"), 8)) == {200: 8}
    assert Environment.objects.get(team=team, name="production").revision == 3


def test_a_new_team_gets_its_environments_once(team: Team) -> None:
    secret = make_key(team)[1]
    answers = at_once(lambda n: Api(secret).post("/prompts", {"title": f"Prompt {n}", "content": "x"}))
    assert statuses(answers) == {201: MANY}
    assert [one["name"] for one in Api(secret).get("/environments").json()] == ["development", "staging", "production"]
    assert Environment.objects.filter(team=team).count() == 3


def test_two_administrators_cannot_both_take_the_other_s_role(team: Team) -> None:
    make_admin(team)
    make_admin(team)
    memberships = list(Membership.objects.filter(team=team))

    def remove(number: int) -> bool:
        try:
            accounts.remove_role(SYSTEM, memberships[number])
        except LastAdministrator:
            return False
        return True

    assert sorted(at_once(remove, 2)) == [False, True]
    assert Membership.objects.filter(team=team).count() == 1
