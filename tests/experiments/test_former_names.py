"""What is live, asked for under a name that the prompt had before."""

from __future__ import annotations

from typing import Any

import pytest

from experiments import delivery
from promptlab.accounts.access import SYSTEM
from promptlab.lib.asgi import HotRoutes
from prompts.models import Prompt, PromptAlias
from prompts.services import naming
from tests.support.asgi import call
from tests.support.make import make_experiment, make_key, make_live, make_prompt, make_team, make_version

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def live() -> Prompt:
    prompt = make_prompt(make_team(), "Hello {{name}}.", title="Greeting")
    make_live(prompt.newest)  # type: ignore[arg-type]
    return prompt


def test_an_old_name_is_served_and_says_since_when_and_where_to_ask(application: HotRoutes, live: Prompt) -> None:
    key = make_key(live.team, "read")[1]
    naming.rename_prompt(SYSTEM, live, "welcome")
    fresh = call(application, "GET", "/prompts/welcome/deployed", key=key)
    former = call(application, "GET", "/api/v1/prompts/greeting/deployed/?environment=production", key=key)
    assert (fresh.status, former.status) == (200, 200)
    assert former.body == fresh.body
    assert former.json()["name"] == "welcome"
    since = int(PromptAlias.objects.get().created_at.timestamp())
    assert former.headers["deprecation"] == f"@{since}"
    successor = "/api/v1/prompts/welcome/deployed/?environment=production"
    assert former.headers["link"] == f'<{successor}>; rel="successor-version"'
    assert call(application, "GET", successor, key=key).body == former.body
    assert "deprecation" not in fresh.headers and "link" not in fresh.headers
    seen = {"If-None-Match": former.headers["etag"]}
    again = call(application, "GET", "/prompts/greeting/deployed", key=key, headers=seen)
    assert (again.status, again.headers["deprecation"]) == (304, f"@{since}")


def test_processes_that_served_the_old_name_notice(application: HotRoutes, live: Prompt, settings: Any) -> None:
    settings.REVISION_CHECK_S = 0
    key = make_key(live.team, "read")[1]
    assert call(application, "GET", "/prompts/greeting/deployed", key=key).json()["name"] == "greeting"
    naming.rename_prompt(SYSTEM, live, "welcome")
    answer = call(application, "GET", "/prompts/greeting/deployed", key=key)
    assert (answer.json()["name"], "deprecation" in answer.headers) == ("welcome", True)
    naming.rename_prompt(SYSTEM, live, "greeting")
    back = call(application, "GET", "/prompts/greeting/deployed", key=key)
    assert (back.json()["name"], "deprecation" in back.headers) == ("greeting", False)


def test_a_name_that_exists_costs_what_it_did_and_an_old_one_nothing_once_known(
    application: HotRoutes, live: Prompt, statements: list[str], settings: Any
) -> None:
    settings.REVISION_CHECK_S = 3600
    key = make_key(live.team, "read")[1]
    naming.rename_prompt(SYSTEM, live, "welcome")
    call(application, "GET", "/prompts/nothing/deployed", key=key)
    for name, cost in (("welcome", 2), ("greeting", 5)):
        statements.clear()
        assert call(application, "GET", f"/prompts/{name}/deployed", key=key).status == 200
        assert len(statements) == cost, statements
        statements.clear()
        assert call(application, "GET", f"/prompts/{name}/deployed", key=key).status == 200
        assert statements == []


def test_an_experiment_is_served_under_both_names(live: Prompt) -> None:
    make_version(live)
    make_experiment(live, running=True)
    naming.rename_prompt(SYSTEM, live, "welcome")
    former, fresh = (delivery.deliver(live.team_id, "production", name) for name in ("greeting", "welcome"))
    assert former.delivery == fresh.delivery
    assert fresh.delivery.experiment is not None
    assert former.variant_ids == fresh.variant_ids


@pytest.mark.parametrize("reference", ["greeting", "greeting@1", "greeting@production", "welcome"])
def test_chat_finds_a_prompt_under_an_old_name(application: HotRoutes, live: Prompt, reference: str) -> None:
    naming.rename_prompt(SYSTEM, live, "welcome")
    key = make_key(live.team)[1]
    said = {"message": "Hi", "prompt": reference, "variables": {"name": "Ann"}, "model": "echo"}
    answer = call(application, "POST", "/chat", key=key, body=said)
    assert answer.status == 200, answer.body
    assert answer.events()[-1]["done"] is True
    assert "error" not in answer.events()[-1]
