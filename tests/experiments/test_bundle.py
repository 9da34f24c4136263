"""`GET /bundle`: everything that is live in an environment, at one revision."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from experiments import bundle, delivery
from promptlab.accounts import services
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.lib.asgi import HotRoutes
from prompts import revisions
from prompts.models import Environment
from prompts.services import deploying, naming
from tests.support.asgi import Answer, acall, call
from tests.support.make import make_experiment, make_key, make_live, make_prompt, make_team, make_version, newest

pytestmark = pytest.mark.django_db(transaction=True)
URL = "/bundle?environment=production"


@dataclass
class Shop:
    """Three prompts, two of them live in Production, one under an experiment; and a caller with a key."""

    application: HotRoutes
    team: Team
    production: Environment
    key: str

    def get(self, target: str = URL, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return call(self.application, "GET", target, key=self.key, headers=sent)


@pytest.fixture
def shop(application: HotRoutes) -> Shop:
    team = make_team()
    greeting = make_prompt(team, "Hello {{name}}.", title="Greeting")
    make_experiment(greeting, running=True, title="Shorter")
    make_prompt(team, title="Nowhere")
    production = make_live(newest(make_prompt(team, "Bye “{{name}}”.", title="Farewell")))
    return Shop(application, team, production, make_key(team, "read")[1])


def test_it_holds_what_single_fetches_hold_sorted_by_name(shop: Shop) -> None:
    answer = shop.get()
    assert answer.status == 200
    found = answer.json()
    assert list(found) == ["environment", "revision", "prompts"]
    assert (found["environment"], found["revision"]) == ("production", shop.production.revision)
    assert [prompt["name"] for prompt in found["prompts"]] == ["farewell", "greeting"]
    delivery.entries.clear()
    for prompt in found["prompts"]:
        assert shop.get(f"/prompts/{prompt['name']}/deployed").json() == prompt
    assert found["prompts"][1]["experiment"]["key"] == "shorter"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-promptlab-revision"] == str(found["revision"])
    assert "private" in answer.headers["cache-control"]


def test_both_addresses_and_head(shop: Shop) -> None:
    get = shop.get()
    for path in ("/bundle/", "/api/v1/bundle", "/api/v1/bundle/"):
        assert shop.get(f"{path}?environment=production").body == get.body
    head = call(shop.application, "HEAD", URL, key=shop.key)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


def test_who_has_it_gets_nothing_until_something_moves(shop: Shop) -> None:
    etag = shop.get().headers["etag"]
    assert (shop.get(If_None_Match=etag).status, shop.get(If_None_Match=etag).body) == (304, b"")
    bundle.forget()
    assert shop.get().headers["etag"] == etag, "another process says the same"
    make_live(newest(make_prompt(shop.team, title="Another")))
    changed = shop.get(If_None_Match=etag)
    assert changed.status == 200
    assert [prompt["name"] for prompt in changed.json()["prompts"]] == ["another", "farewell", "greeting"]


def test_what_is_taken_off_and_renamed_is_gone_from_it(shop: Shop) -> None:
    shop.get()
    from prompts.models import Prompt

    naming.rename_prompt(SYSTEM, Prompt.objects.get(name="farewell"), "bye")
    assert [prompt["name"] for prompt in shop.get().json()["prompts"]] == ["bye", "greeting"]
    deploying.undeploy(SYSTEM, Prompt.objects.get(name="bye"), shop.production)
    assert [prompt["name"] for prompt in shop.get().json()["prompts"]] == ["greeting"]


def test_it_warms_the_single_fetches_and_asks_nobody_when_fresh(
    shop: Shop, settings: Any, statements: list[str]
) -> None:
    settings.REVISION_CHECK_S = 3600
    shop.get()
    statements.clear()
    assert shop.get().status == 200
    assert shop.get("/prompts/greeting/deployed").status == 200
    assert [one for one in statements if "accounts_apikey" not in one] == []


def test_its_cost_does_not_grow_with_the_prompts(shop: Shop, settings: Any, statements: list[str]) -> None:
    settings.REVISION_CHECK_S = 3600
    shop.get()
    spent = []
    for _ in range(2):
        make_live(newest(make_prompt(shop.team)))
        make_experiment(make_prompt(shop.team), running=True)
        statements.clear()
        shop.get()
        spent.append(len([one for one in statements if "SELECT" in one and "accounts_apikey" not in one]))
    assert spent[0] == spent[1] <= 6


def test_callers_at_once_wait_for_one_build(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []
    build = bundle._build

    def counted(environment: Environment) -> bundle.Bundle:
        built.append(1)
        return build(environment)

    monkeypatch.setattr(bundle, "_build", counted)

    async def stampede() -> list[Answer]:
        return await asyncio.gather(*(acall(shop.application, "GET", URL, key=shop.key) for _ in range(30)))

    answers = asyncio.run(stampede())
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert len(built) == 1


def test_a_move_during_the_build_is_not_missed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who asks after a commit is answered with what was before it."""
    build, late = bundle._build, [True]

    def build_and_move(environment: Environment) -> bundle.Bundle:
        made = build(environment)
        if late and late.pop():
            make_live(newest(make_prompt(shop.team, title="Late")))
        return made

    monkeypatch.setattr(bundle, "_build", build_and_move)
    found = shop.get().json()
    assert "late" in [prompt["name"] for prompt in found["prompts"]]
    assert found["revision"] == Environment.objects.get(pk=shop.production.pk).revision


def test_a_big_one_comes_in_parts_that_are_json_together(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "PART", 100)
    whole = shop.get()
    kept = bundle._bundles[shop.team.pk, "production"]
    parts = list(kept.parts())
    assert len(parts) > 2
    assert b"".join(parts) == whole.body
    assert json.loads(whole.body)["revision"] == shop.production.revision


def test_nothing_live_is_an_empty_list_and_no_such_environment_a_404(shop: Shop) -> None:
    empty = shop.get("/bundle?environment=staging").json()
    assert (empty["environment"], empty["prompts"]) == ("staging", [])
    answer = shop.get("/bundle?environment=moon")
    assert (answer.status, answer.json()["code"]) == (404, "environment_not_found")


def test_who_may(shop: Shop) -> None:
    assert call(shop.application, "GET", URL).status == 401
    chat_only = make_key(shop.team, "chat")[1]
    assert call(shop.application, "GET", URL, key=chat_only).status == 403
    elsewhere = make_key(shop.team, "read", environments=["staging"])[1]
    assert call(shop.application, "GET", URL, key=elsewhere).json()["code"] == "environment_not_allowed"
    assert call(shop.application, "GET", "/bundle", key=elsewhere).json()["environment"] == "staging"
    stranger = make_team()
    make_live(newest(make_prompt(stranger, title="Theirs")))
    theirs = call(shop.application, "GET", URL, key=make_key(stranger, "read")[1]).json()
    assert [prompt["name"] for prompt in theirs["prompts"]] == ["theirs"]
    key, secret = make_key(shop.team, "read")
    services.revoke_key(SYSTEM, key)
    assert call(shop.application, "GET", URL, key=secret).status == 401


@pytest.mark.usefixtures("fresh_limits")
def test_it_spends_the_budget_of_fetches(shop: Shop, settings: Any) -> None:
    settings.RATE_LIMIT_DELIVERY_PER_MINUTE = 2
    key = make_key(shop.team, "read")[1]
    assert [call(shop.application, "GET", URL, key=key).status for _ in range(3)] == [200, 200, 429]


def test_memory_is_bounded_over_all_environments(shop: Shop, settings: Any) -> None:
    settings.DELIVERY_MEMORY_MB = 0.3
    text = "x" * 190_000
    for environment in ("staging", "development"):
        make_live(newest(make_prompt(shop.team, text, title=environment)), environment)
        assert shop.get(f"/bundle?environment={environment}").status == 200
    assert [key[1] for key in bundle._bundles] == ["development"]


def test_without_a_database_the_last_one_goes_on(shop: Shop, settings: Any, no_database: Callable[[], None]) -> None:
    settings.REVISION_CHECK_S = 0
    before = shop.get()
    no_database()
    after = shop.get()
    assert (after.status, after.body) == (200, before.body)
    assert shop.get("/bundle?environment=staging").status == 503


def test_a_move_of_another_process_is_noticed(shop: Shop) -> None:
    shop.get()
    make_version(newest(make_prompt(shop.team, title="Other")).prompt)
    revisions._heard(str(shop.production.pk), str(shop.production.revision + 5))
    assert revisions.known(shop.production.pk).revision == shop.production.revision + 5
    assert not bundle._bundles[shop.team.pk, "production"].is_newest()
