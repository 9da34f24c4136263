"""`Idempotency-Key` on REST: the same call again changes nothing and is answered the same, for a day."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from promptlab.accounts import idempotency
from promptlab.accounts.models import IdempotentCall, Team
from prompts.models import DeploymentEvent, Prompt, Version
from tests.support.api import Api
from tests.support.make import make_key, make_prompt, make_team, make_version

KEY = {"Idempotency-Key": '"k-1"'}
NEW = {"content": "New {{name}}."}
MOVE = {"prompt_name": "greeting", "environment": "production", "version": 1}


@pytest.fixture
def greeting(team: Team) -> Prompt:
    return make_prompt(team, title="Greeting")


def test_a_version_is_made_once(api: Api, greeting: Prompt) -> None:
    first = api.post("/prompts/greeting/versions", NEW, **KEY)
    make_version(greeting)
    again = api.post("/prompts/greeting/versions/", NEW, **KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert ("Idempotent-Replayed" in first, again["Idempotent-Replayed"]) == (False, "true")
    assert Version.objects.filter(prompt=greeting).count() == 3


def test_a_deployment_is_made_once(api: Api, greeting: Prompt) -> None:
    first = api.post("/deployments", MOVE, **KEY)
    make_version(greeting)
    assert api.post("/deployments", {**MOVE, "version": 2, "confirm": True}).status_code == 201
    again = api.post("/deployments", MOVE, **KEY)
    assert again.json() == first.json()
    assert (first.status_code, again.status_code) == (201, 201)
    assert DeploymentEvent.objects.count() == 2


def test_another_body_is_refused(api: Api, greeting: Prompt) -> None:
    api.post("/prompts/greeting/versions", NEW, **KEY)
    answer = api.post("/prompts/greeting/versions", {"content": "Other."}, **KEY)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


def test_a_key_is_its_caller_s_and_its_address_s(team: Team, api: Api, greeting: Prompt) -> None:
    make_prompt(team, title="Other")
    api.post("/prompts/greeting/versions", NEW, **KEY)
    assert "Idempotent-Replayed" not in api.post("/prompts/other/versions", NEW, **KEY)
    colleague = Api(make_key(team)[1])
    assert "Idempotent-Replayed" not in colleague.post("/prompts/greeting/versions", NEW, **KEY)


def test_a_malformed_key_is_refused(api: Api, greeting: Prompt) -> None:
    for key in ('"half', "x" * 256):
        answer = api.post("/prompts/greeting/versions", NEW, **{"Idempotency-Key": key})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "Idempotency-Key")


def test_what_was_refused_leaves_the_key_free(api: Api, greeting: Prompt) -> None:
    assert api.post("/prompts/greeting/versions", {"content": ""}, **KEY).status_code == 400
    assert IdempotentCall.objects.count() == 0
    assert api.post("/prompts/greeting/versions", NEW, **KEY).status_code == 201
    stranger = Api(make_key(make_team())[1])
    assert stranger.post("/prompts/greeting/versions", NEW, **KEY).status_code == 404


def test_after_a_day_a_key_is_a_new_one(api: Api, greeting: Prompt) -> None:
    api.post("/prompts/greeting/versions", NEW, **KEY)
    IdempotentCall.objects.update(created_at=timezone.now() - timedelta(hours=25))
    answer = api.post("/prompts/greeting/versions", {"content": "Other."}, **KEY)
    assert (answer.status_code, "Idempotent-Replayed" in answer) == (201, False)


def test_what_is_older_than_a_day_is_swept(api: Api, greeting: Prompt) -> None:
    for number in range(3):
        api.post("/prompts/greeting/versions", NEW, **{"Idempotency-Key": f"k-{number}"})
    later = timezone.now() + timedelta(hours=25)
    assert (idempotency.sweep(), idempotency.sweep(later, limit=2)) == (0, 3)
    assert IdempotentCall.objects.count() == 0


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_sent_at_once_it_happens_once() -> None:
    from django.db import connection

    team = make_team()
    make_prompt(team, title="Greeting")
    secret = make_key(team)[1]
    answers: list[Any] = []

    def send() -> None:
        try:
            answers.append(Api(secret).post("/prompts/greeting/versions", NEW, **KEY))
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [one.status_code for one in answers] == [201] * 6
    assert len({one.content for one in answers}) == 1
    assert sum("Idempotent-Replayed" in one for one in answers) == 5
    assert Version.objects.count() == 2
