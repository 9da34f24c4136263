"""`GET /usage`: everything one may see, in groups, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
from copy import deepcopy
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from experiments.models import DayMark
from feedback.services.batch import roll_up_feedback
from feedback.services.ingest import NewRating, accept
from promptlab.accounts import auth
from promptlab.accounts.access import SYSTEM
from promptlab.chat.services.metering import roll_up_messages
from prompts.models import Prompt
from prompts.services import collecting
from prompts.services.collecting import Place
from tests.support.api import Api
from tests.support.cast import Cast, make_cast
from tests.support.make import (
    make_key,
    make_live,
    make_message,
    make_prompt,
    make_team,
    make_user,
    make_version,
    newest,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def acme(kept_for_the_file: None) -> tuple[Cast, list[Prompt]]:
    """The cast, and two prompts, each with two versions, used today and twenty days ago by way of two models."""
    cast = make_cast()
    made = [make_prompt(cast.team, title="Support reply"), make_prompt(cast.team, title="=Greeting")]
    for prompt in made:
        use(prompt)
    DayMark.objects.update(counted_from=None)
    return cast, made


@pytest.fixture
def cast(acme: tuple[Cast, list[Prompt]], db: None) -> Cast:
    return deepcopy(acme[0])


@pytest.fixture
def prompts(acme: tuple[Cast, list[Prompt]], db: None) -> list[Prompt]:
    return deepcopy(acme[1])


def use(prompt: Prompt) -> None:
    for version in (newest(prompt), make_version(prompt)):
        where = make_live(version)
        for days in (0, 20):
            at = timezone.now() - timedelta(days=days)
            for n, model in enumerate(("small", "large", "large")):
                answer = make_message(version, where, ended_at=at, model=model, cost_usd=Decimal(n), latency_ms=100)
                accept(SYSTEM, NewRating(str(answer.uid), 1 if n else -1))
    roll_up_messages()
    roll_up_feedback()


def ask(key: str, query: str = "", status: int = 200) -> Any:
    answer = Api(key).get(f"/api/v1/usage{query}")
    assert answer.status_code == status, answer.content
    return answer.json()


def test_it_is_told_in_the_groups_that_are_asked_for(cast: Cast, prompts: list[Prompt]) -> None:
    told = ask(cast.key)
    assert [(one["prompt"], one["calls"], one["up"], one["cost_usd"]) for one in told["results"]] == [
        ("greeting", 12, 8, "12.000000000"),
        ("support-reply", 12, 8, "12.000000000"),
    ]
    assert (told["totals"]["calls"], told["totals"]["rated"], told["totals"]["coverage"]) == (24, 24, 1.0)
    assert (told["waiting_since"], told["counted_from"], told["count"]) == (None, None, 2)
    one = told["results"][0]
    assert one["approval_low"] < one["approval"] < one["approval_high"]
    assert one["median_ms"] == pytest.approx(100, rel=0.045) and (one["model"], one["day"]) == (None, None)
    by_model = ask(cast.key, "?by=model,day&days=21&prompt=support-reply")["results"]
    assert [(one["model"], one["calls"]) for one in by_model] == [
        ("large", 4),
        ("large", 4),
        ("small", 2),
        ("small", 2),
    ]
    assert by_model[0]["day"] < by_model[1]["day"]
    assert [one["version"] for one in ask(cast.key, "?by=version&prompt=support-reply")["results"]] == [1, 2]
    assert ask(cast.key, "?by=team")["results"][0]["team"] == "Acme"
    assert ask(cast.key, "?by=environment&days=1")["results"][0]["calls"] == 12


@pytest.mark.parametrize(
    ("query", "calls"),
    [("?days=20", 12), ("?days=21", 24), ("?model=small", 8), ("?version=2", 12), ("?environment=staging", 0)],
)
def test_it_can_be_narrowed(cast: Cast, prompts: list[Prompt], query: str, calls: int) -> None:
    told = ask(cast.read_key, query)
    assert (told["totals"]["calls"], sum(one["calls"] for one in told["results"])) == (calls, calls)


def test_groups_come_in_pages(cast: Cast, prompts: list[Prompt]) -> None:
    first = ask(cast.key, "?by=prompt,day&page_size=3")
    second = ask(cast.key, "?by=prompt,day&page_size=3&page=2")
    assert (first["count"], len(first["results"]), len(second["results"])) == (4, 3, 1)
    assert all(one["calls"] == 6 and one["median_ms"] for one in first["results"] + second["results"])
    assert ask(cast.key, "?by=prompt,day") == ask(cast.key, "?by=day,prompt") | {
        "results": ask(cast.key, "?by=prompt,day")["results"]
    }
    ask(cast.key, "?page=9", status=404)


def test_the_file_holds_all_groups_and_no_formula(cast: Cast, prompts: list[Prompt]) -> None:
    Prompt.objects.filter(pk=prompts[1].pk).update(name="=greeting")
    answer = Api(cast.key).get("/api/v1/usage?by=version,day&format=csv")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "usage.csv" in answer["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [(row["prompt"], row["version"], row["calls"], row["cost_usd"]) for row in rows[:2]] == [
        ("'=greeting", "1", "3", "3.000000000")
    ] * 2
    assert len(rows) == 8
    assert Api(cast.key).get("/api/v1/usage?by=nothing&format=csv").status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        "?days=0",
        "?days=91",
        "?days=x",
        "?by=user",
        "?by=day,",
        "?by=day,model,team,prompt",
        "?team_id=0",
        "?prompt=%00",
    ],
)
def test_what_cannot_be_asked_for_is_refused(cast: Cast, query: str) -> None:
    assert ask(cast.key, query, status=400)["code"]


def test_nobody_sees_what_is_not_theirs(cast: Cast, prompts: list[Prompt]) -> None:
    ask("", status=401)
    assert ask(cast.stranger_key)["results"] == []
    assert ask(cast.stranger_key)["totals"]["calls"] == 0
    ask(cast.stranger_key, "?prompt=support-reply", status=404)
    ask(cast.stranger_key, f"?team_id={cast.team.pk}", status=404)
    ask(make_key(cast.team, "chat")[1], status=403)


def test_a_private_prompt_is_in_nobody_else_s_numbers(cast: Cast, prompts: list[Prompt]) -> None:
    owner = make_user("", cast.team, "writer")
    place = Place(visibility="private", owner_id=owner.pk, has_owner=True)
    mine = collecting.create_collection(SYSTEM, cast.team.pk, name="Mine", place=place)
    use(make_prompt(cast.team, title="Hidden", collection=mine))
    told = ask(cast.read_key)
    assert [one["prompt"] for one in told["results"]] == ["greeting", "support-reply"]
    assert told["totals"]["calls"] == 24
    ask(cast.read_key, "?prompt=hidden", status=404)
    assert "hidden" not in Api(cast.read_key).get("/api/v1/usage?format=csv").content.decode()
    assert ask(cast.key)["totals"]["calls"] == 36, "administrators see everything"


def test_it_says_what_is_not_counted_yet(cast: Cast, prompts: list[Prompt]) -> None:
    at = timezone.now() - timedelta(minutes=3)
    make_message(newest(prompts[0]), make_live(newest(prompts[0])), ended_at=at)
    DayMark.objects.update_or_create(pk=1, defaults={"counted_from": timezone.now().date()})
    told = ask(cast.key)
    assert told["waiting_since"].startswith(f"{at:%Y-%m-%dT%H:%M}") and told["counted_from"] is not None
    assert ask(cast.key, "?days=1")["counted_from"] is None


def test_a_reading_costs_the_same_however_many_rows_there_are(
    cast: Cast, prompts: list[Prompt], django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "CACHE_S", 3600)  # or a slow machine asks for the key again, now and then
    ask(cast.read_key)
    with django_assert_num_queries(6):
        ask(cast.read_key, "?by=version,environment,day")
    use(make_prompt(make_team()))
    use(make_prompt(cast.team))
    with django_assert_num_queries(6):
        ask(cast.read_key, "?by=version,environment,day")
