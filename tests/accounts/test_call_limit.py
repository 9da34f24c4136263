"""The hourly budget of a key, on the routes that DRF serves."""

from __future__ import annotations

import re

import pytest
from django.conf import settings as django_settings

from promptlab.accounts.models import Team
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_key

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_limits")]


def test_a_key_without_a_budget_of_its_own_has_exactly_the_installation_s(team: Team) -> None:
    api = Api(make_key(team, calls_per_hour=None)[1])
    assert django_settings.RATE_LIMIT_PER_HOUR == 100
    assert [api.get("/me").status_code for _ in range(100)] == [200] * 100
    refused = api.get("/prompts")
    assert refused.status_code == 429
    assert refused.json()["code"] == "rate_limited"
    assert 1 <= int(refused.headers["Retry-After"]) <= 3601
    assert refused.headers["RateLimit-Policy"] == '"calls";q=100;w=3600'
    assert re.fullmatch(r'"calls";r=0;t=\d+', refused.headers["RateLimit"])


def test_every_answer_says_what_is_left(team: Team) -> None:
    api = Api(make_key(team, calls_per_hour=3)[1])
    for path, status, left in (("/me", 200, 2), ("/prompts/nobody", 404, 1), ("/prompts", 200, 0)):
        answer = api.get(path)
        assert answer.status_code == status
        assert answer.headers["RateLimit-Policy"] == '"calls";q=3;w=3600'
        assert answer.headers["RateLimit"].startswith(f'"calls";r={left};t=')


def test_a_refused_call_changes_nothing(team: Team) -> None:
    api = Api(make_key(team, calls_per_hour=1)[1])
    assert api.post("/collections", {"name": "One"}).status_code == 201
    assert api.post("/collections", {"name": "Two"}).status_code == 429
    assert Api(make_key(team)[1]).get("/collections").json()["count"] == 1


def test_keys_have_budgets_of_their_own(team: Team) -> None:
    first, second = (Api(make_key(team, calls_per_hour=1)[1]) for _ in range(2))
    assert first.get("/me").status_code == 200
    assert first.get("/me").status_code == 429
    assert second.get("/me").status_code == 200


def test_all_spellings_of_a_key_spend_one_budget(team: Team) -> None:
    secret = make_key(team, calls_per_hour=2)[1]
    assert Api(secret).get("/me").status_code == 200
    assert Api().get("/api/v1/me/", Authorization=f"Bearer {secret}").status_code == 200
    assert Api(secret, **{"X-Forwarded-For": "10.9.8.7"}).get("/me").status_code == 429


def test_people_in_a_browser_are_not_counted(cast: Cast) -> None:
    api = Api()
    api.client.force_login(cast.ann)
    assert {api.get("/me").status_code for _ in range(120)} == {200}


def test_without_redis_the_process_counts_by_itself(team: Team, no_redis: None) -> None:
    api = Api(make_key(team, calls_per_hour=2)[1])
    assert [api.get("/me").status_code for _ in range(3)] == [200, 200, 429]
