"""What goes live has what it includes, and those that include it go on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from django.db import connections

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.lib.errors import DomainError
from prompts import snippets
from prompts.errors import SnippetCycle, SnippetNotLive, VariablesChanged
from prompts.models import DeploymentEvent
from prompts.services import deploying
from tests.support.api import Api
from tests.support.make import make_team
from tests.support.snippets import Shelf

pytestmark = pytest.mark.django_db


@pytest.fixture
def shelf(team: Team) -> Shelf:
    return Shelf(team)


def deploy(api: Api, name: str, **told: Any) -> Any:
    return api.post("/deployments", {"prompt_name": name, "environment": "production", **told})


def test_a_version_goes_live_once_its_snippets_are(shelf: Shelf, api: Api) -> None:
    tone, rules = shelf.put("tone", "Be kind."), shelf.put("rules", "{{> tone}}")
    shelf.put("support", "{{> rules}}")
    answer = deploy(api, "support", version=1)
    assert (answer.status_code, answer.json()["code"]) == (409, "snippet_not_live")
    assert answer.json()["data"]["names"] == ["rules"]
    assert deploy(api, "rules", version=1).json()["data"]["names"] == ["tone"]
    shelf.live(tone)
    shelf.live(rules)
    assert deploy(api, "support", version=1).status_code == 201


def test_live_in_another_environment_does_not_help(shelf: Shelf) -> None:
    Shelf(shelf.team, "staging", shelf.prompts).put("tone", "Be kind.", live=True)
    with pytest.raises(SnippetNotLive):
        shelf.put("support", "{{> tone}}", live=True)


def test_a_circle_over_what_is_live_is_refused(shelf: Shelf) -> None:
    shelf.put("a", "End.", live=True)
    shelf.put("b", "{{> a}}", live=True)
    shelf.put("b", "No more.")  # the newest, not live
    closing = shelf.put("a", "{{> b}}")
    with pytest.raises(SnippetCycle, match="a -> b -> a"):
        shelf.live(closing)
    assert snippets.resolve(shelf.put("c", "{{> b}}"), shelf.environment).content.text == "End."


def test_going_back_to_a_circle_is_refused(shelf: Shelf) -> None:
    shelf.put("a", "End.", live=True)
    shelf.put("b", "{{> a}}", live=True)
    shelf.put("b", "No more.", live=True)
    shelf.put("a", "{{> b}}", live=True)
    with pytest.raises(SnippetCycle):
        deploying.rollback(SYSTEM, shelf.prompts["b"], shelf.environment)
    assert deploying.rollback(SYSTEM, shelf.prompts["a"], shelf.environment).to_version.number == 1


def test_going_back_to_what_includes_something_gone_is_refused(shelf: Shelf) -> None:
    shelf.put("tone", "Be kind.", live=True)
    shelf.put("support", "{{> tone}}", live=True)
    shelf.put("support", "Plain.", live=True)
    shelf.undeploy("tone")
    with pytest.raises(SnippetNotLive):
        deploying.rollback(SYSTEM, shelf.prompts["support"], shelf.environment)


def test_other_variables_name_the_prompts_that_include_it(shelf: Shelf, api: Api) -> None:
    shelf.put("tone", "Be kind.", live=True)
    shelf.put("rules", "{{> tone}}", live=True)
    shelf.put("support", "{{> rules}} {{mood}}", live=True)
    shelf.put("sales", "{{> tone}}", live=True)
    shelf.put("sales", "Plain.", live=True)
    shelf.put("tone", "Be {{mood}}.")
    answer = deploy(api, "tone", version=2)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (409, "variables_changed")
    assert told["data"]["prompts"] == ["rules"]  # support has the blank already, sales includes it no more
    assert (told["data"]["added"], told["data"]["removed"]) == (["mood"], [])
    assert "in rules new: mood" in told["detail"]
    assert deploy(api, "tone", version=2, confirm=True).status_code == 201


def test_blanks_of_a_snippet_count_as_the_includers_own(shelf: Shelf) -> None:
    shelf.put("tone", "Be {{mood}}.", live=True)
    shelf.put("support", "{{mood}}, {{name}}", live=True)
    same = shelf.put("support", "{{> tone}} {{name}}")
    shelf.live(same, confirm=False)
    with pytest.raises(VariablesChanged, match="gone: mood"):
        shelf.live(shelf.put("support", "{{name}}"), confirm=False)


def test_serving_does_not_stop_under_those_that_include_it(shelf: Shelf, api: Api) -> None:
    shelf.put("tone", "Be kind.", live=True)
    shelf.put("support", "{{> tone}}", live=True)
    shelf.put("sales", "{{> tone}}")
    answer = api.post("/deployments/undeploy", {"prompt_name": "tone", "environment": "production"})
    assert (answer.status_code, answer.json()["code"]) == (409, "snippet_in_use")
    assert answer.json()["data"]["names"] == ["support"]
    shelf.put("support", "Plain.", live=True)
    assert shelf.undeploy("tone").to_version is None


def test_promoting_asks_the_environment_it_goes_to(shelf: Shelf) -> None:
    staging = Shelf(shelf.team, "staging", shelf.prompts)
    staging.put("tone", "Be kind.", live=True)
    staging.put("support", "{{> tone}}", live=True)
    support, tone = shelf.prompts["support"], shelf.prompts["tone"]
    with pytest.raises(SnippetNotLive, match="production"):
        deploying.promote(SYSTEM, support, staging.environment, shelf.environment)
    for prompt in (tone, support):
        deploying.promote(SYSTEM, prompt, staging.environment, shelf.environment)


Act = Callable[[], object]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_deployments_that_close_a_circle_do_not_both_happen() -> None:
    for _ in range(5):
        shelf = Shelf(make_team())
        shelf.put("a", "End.", live=True)
        shelf.put("b", "End.", live=True)
        to_b = shelf.put("a", "{{> b}}")
        shelf.put("a", "Plain.")
        to_a = shelf.put("b", "{{> a}}")
        outcomes = together(partial(shelf.live, to_b), partial(shelf.live, to_a))
        assert sorted(outcomes) == ["live", "snippet_cycle"]
        assert DeploymentEvent.objects.filter(to_version__in=[to_a, to_b]).count() == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_snippet_does_not_go_while_somebody_begins_to_include_it() -> None:
    for _ in range(5):
        shelf = Shelf(make_team())
        shelf.put("tone", "Be kind.", live=True)
        support = shelf.put("support", "{{> tone}}")
        outcomes = together(partial(shelf.live, support), partial(shelf.undeploy, "tone"))
        assert outcomes in (["live", "snippet_in_use"], ["snippet_not_live", "live"])


def together(*acts: Act) -> list[str]:
    """Do all of it at the same time, each in a thread; return what became of each."""
    ready = Barrier(len(acts))

    def one(act: Act) -> str:
        ready.wait(timeout=20)
        try:
            act()
        except DomainError as error:
            return error.code
        finally:
            connections.close_all()
        return "live"

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(one, acts))
