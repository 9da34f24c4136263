"""Budgets over REST, through the OpenAI-compatible face, and on the administrators' pages."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import openai
import pytest
from django.test import Client

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import ApiKey, Team
from promptlab.audit.models import AuditEntry
from promptlab.chat.models import Budget, BudgetPeriod
from promptlab.chat.services.budgeting import set_budget
from prompts.models import Prompt
from tests.chat.openai_desk import Desk
from tests.chat.test_budgets import limit, price_models
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_key, make_prompt, make_team

DAY = {"period": "day", "limit_usd": "2.5"}


@pytest.fixture
def prompt(team: Team) -> Prompt:
    return make_prompt(team, title="Greeting")


def test_a_budget_says_what_is_spent_reserved_and_left(team: Team, api: Api, prompt: Prompt) -> None:
    made = api.post("/budgets", {**DAY, "prompt": "greeting"})
    assert made.status_code == 201, made.content
    BudgetPeriod.objects.create(
        budget_id=made.json()["id"], starts_at=made.json()["starts_at"], spent_nanousd=10**9, reserved_nanousd=5 * 10**8
    )
    shown = api.get(f"/budgets/{made.json()['id']}").json()
    assert (shown["of"], shown["name"], shown["limit_usd"]) == ("prompt", "greeting", "2.500000")
    sums = [Decimal(shown[name]) for name in ("spent_usd", "reserved_usd", "left_usd")]
    assert sums == [1, Decimal("0.5"), 1]
    assert shown["starts_at"] < shown["resets_at"]
    assert api.get("/budgets").json()["results"] == [shown]


def test_it_can_be_about_a_key_an_experiment_or_the_team(team: Team, api: Api, prompt: Prompt) -> None:
    key, _ = make_key(team, name="App")
    experiment = make_experiment(prompt)
    said: list[dict[str, Any]] = [{}, {"key_id": key.pk}, {"experiment": experiment.key}]
    found = [api.post("/budgets", {**DAY, **one}).json() for one in said]
    assert [(one["of"], one["name"]) for one in found] == [
        ("team", team.name),
        ("key", "App"),
        ("experiment", experiment.key),
    ]


def test_the_same_thing_and_period_have_one_budget(team: Team, api: Api) -> None:
    first = api.post("/budgets", DAY).json()
    again = api.post("/budgets", {**DAY, "limit_usd": "3"}).json()
    assert (again["id"], again["limit_usd"]) == (first["id"], "3.000000")
    assert api.post("/budgets", {**DAY, "period": "month"}).json()["id"] != first["id"]


def test_it_is_changed_and_removed(team: Team, api: Api) -> None:
    path = f"/budgets/{api.post('/budgets', DAY).json()['id']}"
    changed = api.patch(path, {"takes_unpriced": True}).json()
    assert (changed["limit_usd"], changed["takes_unpriced"]) == ("2.500000", True)
    assert api.delete(path).status_code == 204
    assert [api.get(path).status_code, api.delete(path).status_code] == [404, 404]
    assert api.get("/budgets").json()["results"] == []
    assert api.post("/budgets", DAY).status_code == 201
    verbs = list(AuditEntry.objects.filter(verb__startswith="budget").order_by("id").values_list("verb", flat=True))
    assert verbs == ["budget.set", "budget.set", "budget.removed", "budget.set"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"limit_usd": "1"}, "period"),
        ({"period": "week", "limit_usd": "1"}, "period"),
        ({"period": "day", "limit_usd": "0"}, "limit_usd"),
        ({"period": "day", "limit_usd": "-1"}, "limit_usd"),
        ({"period": "day", "limit_usd": "0.0000001"}, "limit_usd"),
        ({"period": "day", "limit_usd": "NaN"}, "limit_usd"),
        ({**DAY, "prompt": "nobody"}, "prompt"),
        ({**DAY, "key_id": 2**40}, "key_id"),
        ({**DAY, "prompt": "greeting", "experiment": "x"}, "experiment"),
    ],
)
def test_what_is_wrong_is_named(team: Team, api: Api, prompt: Prompt, body: dict[str, Any], field: str) -> None:
    answer = api.post("/budgets", body)
    assert answer.status_code == 400
    assert field in [problem["field"] for problem in answer.json()["errors"]]
    assert not Budget.objects.exists()


def test_what_another_team_has_cannot_be_named(team: Team, api: Api) -> None:
    theirs, _ = make_key(make_team())
    assert api.post("/budgets", {**DAY, "key_id": theirs.pk}).status_code == 400
    budget = set_budget(SYSTEM, theirs.team, period="day", limit_usd=Decimal(1))
    assert api.patch(f"/budgets/{budget.pk}", {"limit_usd": "9"}).status_code == 404


def test_the_openai_client_gets_its_own_error_and_does_not_try_again(desk: Desk) -> None:
    price_models(desk.team)
    limit(desk.team, "0.005", of=ApiKey.objects.get(team=desk.team))
    with desk.client_with(desk.key, max_retries=2) as client, pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="house", messages=[{"role": "user", "content": "Hi"}], max_tokens=10)
    assert (caught.value.code, caught.value.type) == ("insufficient_quota", "insufficient_quota")
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert int(caught.value.response.headers["retry-after"]) > 0
    assert "x-stainless-retry-count" not in caught.value.response.headers
    assert BudgetPeriod.objects.get().exceeded_at is not None


@pytest.fixture
def page(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.cleo)
    return client


def test_an_administrator_sets_changes_and_removes_a_budget_on_its_pages(cast: Cast, page: Client) -> None:
    make_prompt(cast.team, title="Greeting")
    said = {"prompt": "greeting", "period": "day", "limit_usd": "2.5"}
    made = page.post("/admin/chat/budget/add/", said, follow=True)
    budget = Budget.objects.get()
    assert b"The budget is set." in made.content and b"Enough left" in made.content
    assert page.get("/admin/chat/budget/").content.count(b"greeting") >= 1
    page.post(f"/admin/chat/budget/{budget.pk}/edit/", {"limit_usd": "7", "takes_unpriced": "on"})
    budget.refresh_from_db()
    assert (budget.limit_usd, budget.takes_unpriced) == (7, True)
    gone = page.post(f"/admin/chat/budget/{budget.pk}/remove/", {}, follow=True)
    assert b"The budget is removed." in gone.content
    assert not Budget.objects.in_force().exists()


def test_the_page_says_what_is_wrong_with_a_new_budget(cast: Cast, page: Client) -> None:
    said = {"prompt": "nobody", "period": "day", "limit_usd": "2.5"}
    assert b"The team has none of this name." in page.post("/admin/chat/budget/add/", said).content
    both = {**said, "experiment": "x"}
    assert b"A budget is about one thing" in page.post("/admin/chat/budget/add/", both).content
    assert not Budget.objects.exists()


def test_nobody_but_administrators_sees_the_pages(cast: Cast) -> None:
    budget = set_budget(SYSTEM, cast.team, period="day", limit_usd=Decimal(1))
    for person, expected in ((cast.ben, 403), (cast.zoe, 404)):
        client = Client()
        client.force_login(person)
        assert client.get(f"/admin/chat/budget/{budget.pk}/change/").status_code in (expected, 403, 404)
        assert client.post(f"/admin/chat/budget/{budget.pk}/remove/", {}).status_code in (403, 404)
    assert Budget.objects.in_force().exists()
