"""Pages of a search that finds very many: the same prompts in the same order as if all had been put in order."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from promptlab.accounts.models import Team
from prompts import search
from prompts.models import Prompt
from tests.support.api import Api
from tests.support.make import make_prompt


@pytest.fixture
def many(team: Team) -> list[Prompt]:
    """Two dozen prompts with the word in the title, in the short name, in the description or in the text alone."""
    made = []
    for number in range(24):
        place = number % 5
        made.append(
            make_prompt(
                team,
                name=f"{'refund' if place == 1 else 'plain'}-{number}",
                title=f"{'Refund' if place == 0 else 'Plain'} {number}",
                description="About a refund." if place in (2, 3) else "",
                text="Nothing." if place == 4 else "Explain the refund.",
            )
        )
    return made


def listed(api: Api, **asked: Any) -> Any:
    return api.get(f"/prompts?{urlencode(asked)}")


def pages(api: Api, **asked: Any) -> list[list[str]]:
    """Return the names on each page of a search."""
    found, number = [], 1
    while True:
        answer = listed(api, page=number, page_size=5, **asked).json()
        found.append([row["name"] for row in answer["results"]])
        if answer["next"] is None:
            return found
        number += 1


def test_pages_are_the_same_however_many_are_found(many: Any, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = pages(api, search="refund")
    monkeypatch.setattr(search, "FEW", 0)
    assert pages(api, search="refund") == at_once
    assert [len(page) for page in at_once] == [5, 5, 5, 5]
    assert at_once[0][0] == "plain-20"
    assert at_once[1][:1] == ["refund-21"]


def test_another_order_holds(many: Any, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "FEW", 0)
    found = pages(api, search="refund", ordering="created_at")
    assert found[0][:3] == ["plain-0", "refund-1", "plain-2"]


def test_filters_hold(many: list[Prompt], api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "FEW", 0)
    api.patch(f"/prompts/{many[2].name}", {"tags": ["Money"]})
    assert pages(api, search="refund", tags="money") == [[many[2].name]]


def test_counting_ends_somewhere(many: Any, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST_COUNTED", 10)
    answer = listed(api, search="refund", page_size=5)
    assert answer.json()["count"] == 10
    assert listed(api, page_size=5).json()["count"] == 24
    assert len(pages(api, search="refund")) == 2
    assert listed(api, search="refund", page_size=5, page=3).status_code == 404


def test_statements_are_as_many(many: Any, api: Api, statements: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def of_a_search() -> int:
        statements.clear()
        assert listed(api, search="refund").status_code == 200
        # The key is asked for anew every half a second, whatever is listed.
        return sum("accounts_apikey" not in one for one in statements)

    at_once = of_a_search()
    monkeypatch.setattr(search, "FEW", 0)
    assert of_a_search() == at_once > 0
