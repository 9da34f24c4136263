"""What is delivered has everything in it that it includes, and follows when that moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from experiments import delivery
from experiments.delivery import deliver
from experiments.services import lifecycle
from promptlab.accounts.access import SYSTEM
from promptlab.lib.asgi import HotRoutes
from prompts.errors import SnippetNotLive
from prompts.services import deploying
from tests.support.asgi import Answer, call
from tests.support.make import make_experiment, make_key, make_team
from tests.support.snippets import Shelf

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Shop:
    """A shelf in Production, and a caller with a key."""

    application: HotRoutes
    shelf: Shelf
    key: str

    def get(self, name: str, **headers: str) -> Answer:
        target = f"/prompts/{name}/deployed/?environment=production"
        return call(self.application, "GET", target, key=self.key, headers=headers)


@pytest.fixture
def shop(application: HotRoutes) -> Shop:
    team = make_team()
    return Shop(application, Shelf(team), make_key(team, "read")[1])


def test_a_redeployed_snippet_changes_what_includes_it(shop: Shop) -> None:
    shop.shelf.put("tone", "Be kind to {{name}}.", live=True)
    support = shop.shelf.put("support", "{{> tone}} Help.", live=True)
    first = shop.get("support")
    told = first.json()
    assert (told["prompt_text"], told["snippets"], told["sha256"]) == (
        "Be kind to {{name}}. Help.",
        {"tone": 1},
        support.checksum,
    )
    assert list(told["variables"]) == ["name"]
    tag = first.headers["etag"]
    assert shop.get("support", **{"if-none-match": tag}).status == 304
    shop.shelf.put("tone", "Be brief, {{name}}.", live=True)
    second = shop.get("support", **{"if-none-match": tag})
    assert (second.status, second.json()["prompt_text"]) == (200, "Be brief, {{name}}. Help.")
    assert second.json()["snippets"] == {"tone": 2}
    assert second.json()["revision"] > told["revision"]
    deploying.rollback(SYSTEM, shop.shelf.prompts["tone"], shop.shelf.environment)
    assert shop.get("support").json()["prompt_text"] == told["prompt_text"]


def test_what_includes_nothing_says_nothing_of_it(shop: Shop) -> None:
    shop.shelf.put("plain", "Text.", live=True)
    assert "snippets" not in shop.get("plain").json()


def test_variants_include_what_is_live(shop: Shop) -> None:
    shop.shelf.put("tone", "Be kind.", live=True)
    shop.shelf.put("support", "Old.", live=True)
    shop.shelf.put("support", "{{> tone}} New.")
    make_experiment(shop.shelf.prompts["support"], running=True)
    variants = shop.get("support").json()["experiment"]["variants"]
    assert [one["prompt"]["prompt_text"] for one in variants] == ["Old.", "Be kind. New."]
    assert variants[1]["prompt"]["snippets"] == {"tone": 1}


def test_an_experiment_does_not_start_without_its_snippets(shop: Shop) -> None:
    shop.shelf.put("tone", "Be kind.")
    shop.shelf.put("support", "Old.", live=True)
    shop.shelf.put("support", "{{> tone}} New.")
    experiment = make_experiment(shop.shelf.prompts["support"])
    with pytest.raises(SnippetNotLive, match="tone"):
        lifecycle.start(SYSTEM, experiment)


def test_everybody_gets_what_is_live_when_a_variants_snippet_is_gone(shop: Shop) -> None:
    shop.shelf.put("tone", "Be kind.", live=True)
    shop.shelf.put("support", "Old.", live=True)
    shop.shelf.put("support", "{{> tone}} New.")
    make_experiment(shop.shelf.prompts["support"], running=True)
    shop.shelf.undeploy("tone")
    told = shop.get("support").json()
    assert (told["prompt_text"], told["experiment"]) == ("Old.", None)
    shop.shelf.live(shop.shelf.put("tone", "Be kind again."))
    assert shop.get("support").json()["experiment"] is not None


def test_loading_costs_one_query_more_for_each_level(shop: Shop, django_assert_num_queries: Any) -> None:
    shop.shelf.put("a", "A.", live=True)
    shop.shelf.put("b", "{{> a}}", live=True)
    shop.shelf.put("support", "{{> b}}!", live=True)
    shop.shelf.put("plain", "Text.", live=True)
    team_id = shop.shelf.team.pk
    delivery.entries.clear()
    with django_assert_num_queries(2):
        deliver(team_id, "production", "plain")
    with django_assert_num_queries(4):
        assert deliver(team_id, "production", "support").delivery.prompt.content.text == "A.!"
