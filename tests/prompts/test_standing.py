"""Favourites, stars and use: people's own, counted without loss, and shown in lists."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import OperationalError, connections
from django.test import Client
from django.utils import timezone

from promptlab.accounts.access import Role
from promptlab.accounts.auth import principal_of_user
from promptlab.accounts.models import Team
from promptlab.chat.services.metering import roll_up_messages
from promptlab.lib.asgi import HotRoutes
from prompts.models import Prompt, PromptUsage, Standing
from prompts.services import counting, favouring, standing, usage
from prompts.services.counting import FetchCounter, fetched
from prompts.tasks import recount_uses
from tests.support.api import Api
from tests.support.asgi import call
from tests.support.cast import Cast
from tests.support.make import make_key, make_live, make_message, make_prompt, make_team, make_user

pytestmark = pytest.mark.django_db


def today() -> date:
    return datetime.now(UTC).date()


def person(user: Any) -> Api:
    api = Api()
    api.client.force_login(user)
    return api


def names(answer: Any) -> list[str]:
    return [one["name"] for one in answer.json()["results"]]


@pytest.fixture
def two(cast: Cast) -> list[Prompt]:
    return [make_prompt(cast.team, title=title) for title in ("One", "Two")]


def test_a_favourite_is_ones_own(cast: Cast, two: list[Prompt]) -> None:
    ann, vic = person(cast.ann), person(cast.vic)
    for _ in range(2):
        assert vic.put("/prompts/one/favourite").status_code == 204
    assert names(vic.get("/prompts?favourite=1")) == ["one"]
    assert names(vic.get("/prompts?favourite=0")) == ["two"]
    assert (ann.get("/prompts?favourite=1").json()["count"], ann.get("/prompts/one").json()["is_favourite"]) == (
        0,
        False,
    )
    assert vic.get("/prompts/one").json()["is_favourite"] is True
    for _ in range(2):
        assert vic.delete("/prompts/one/favourite").status_code == 204
    assert vic.get("/prompts?favourite=1").json()["count"] == 0


def test_a_key_has_neither_favourites_nor_stars(cast: Cast, two: list[Prompt]) -> None:
    api = Api(cast.key)
    for answer in (
        api.put("/prompts/one/favourite"),
        api.delete("/prompts/one/favourite"),
        api.put("/prompts/one/rating", {"stars": 5}),
        api.delete("/prompts/one/rating"),
        api.get("/prompts?favourite=1"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "person_needed")


def test_stars_are_averaged_and_replaced_and_taken_back(cast: Cast, two: list[Prompt]) -> None:
    ann, vic = person(cast.ann), person(cast.vic)
    first = vic.put("/prompts/one/rating", {"stars": 2, "note": "Too long"})
    assert (first.status_code, first.json()["stars"], first.json()["person"]) == (201, 2, "Vic")
    assert ann.put("/prompts/one/rating", {"stars": 5}).status_code == 201
    shown = ann.get("/prompts/one").json()
    assert (shown["stars"], shown["ratings_count"]) == (3.5, 2)
    assert vic.put("/prompts/one/rating", {"stars": 4}).status_code == 200
    assert ann.get("/prompts/one").json()["stars"] == 4.5
    given = ann.get("/prompts/one/ratings").json()
    assert {(one["person"], one["stars"]) for one in given["results"]} == {("Ann", 5), ("Vic", 4)}
    for _ in range(2):
        assert ann.delete("/prompts/one/rating").status_code == 204
    assert vic.delete("/prompts/one/rating").status_code == 204
    shown = ann.get("/prompts/one").json()
    assert (shown["stars"], shown["ratings_count"]) == (None, 0)


@pytest.mark.parametrize("body", [{}, {"stars": 0}, {"stars": 6}, {"stars": "many"}, {"stars": 5, "note": "x" * 1001}])
def test_wrong_stars_are_named(cast: Cast, two: list[Prompt], body: dict[str, Any]) -> None:
    answer = person(cast.vic).put("/prompts/one/rating", body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == ("note" if "note" in body else "stars")


def test_lists_go_by_stars_and_use(cast: Cast, two: list[Prompt]) -> None:
    favouring.rate(principal_of_user(cast.ann), two[0], 5)
    favouring.rate(principal_of_user(cast.ann), two[1], 3)
    usage.count(fetches={(two[1].pk, today()): 9})
    api = Api(cast.key)
    assert names(api.get("/prompts?ordering=-stars")) == ["one", "two"]
    assert names(api.get("/prompts?ordering=-uses_30d")) == ["two", "one"]


def test_strangers_rate_nothing(cast: Cast, two: list[Prompt]) -> None:
    zoe = person(cast.zoe)
    for answer in (zoe.put("/prompts/one/favourite"), zoe.put("/prompts/one/rating", {"stars": 1})):
        assert answer.status_code == 404
    assert zoe.get("/prompts/one/ratings").status_code == 404


def test_the_pages_keep_what_a_person_thinks(cast: Cast, two: list[Prompt]) -> None:
    client = Client()
    client.force_login(cast.vic)
    page = f"/admin/prompts/prompt/{two[0].pk}/standing/"
    html = client.post(page, {"stars": "4", "note": "Clear", "is_favourite": "on"}, follow=True).content.decode()
    assert "Noted." in html and "4.0 ★ (1)" in html and "Favourite" in html
    assert "Clear" in client.get(page).content.decode()
    listed = client.get("/admin/prompts/prompt/?favourite=yes").content.decode()
    assert "One" in listed and "4.0 ★ (1)" in listed and ">Two<" not in listed
    client.post(page, {"stars": "", "note": ""})
    shown = person(cast.vic).get("/prompts/one").json()
    assert (shown["stars"], shown["is_favourite"]) == (None, False)
    other = Client()
    other.force_login(cast.zoe)
    assert other.get(page).status_code == 404


def test_days_add_up(cast: Cast, two: list[Prompt]) -> None:
    one, day = two[0].pk, today()
    usage.count(fetches={(one, day): 2, (one, day - timedelta(days=29)): 3}, answers={(one, day): 1})
    usage.count(fetches={(one, day): 5, (one, day - timedelta(days=30)): 100})
    api = Api(cast.key)
    assert api.get("/prompts/one").json()["uses_30d"] == 11
    shown = api.get("/prompts/one/usage").json()
    assert (shown["fetches"], shown["answers"], len(shown["days"])) == (10, 1, 2)
    assert shown["days"][0] == {"day": day.isoformat(), "fetches": 7, "answers": 1}
    assert api.get("/prompts/one/usage?days=31").json()["fetches"] == 110
    assert api.get("/prompts/one/usage?days=0").json()["errors"][0]["field"] == "days"


def test_lists_put_all_of_them_in_order(cast: Cast, two: list[Prompt]) -> None:
    """Nothing counts as least, and what is equal comes newest first, whichever way."""
    for title in ("Three", "Four"):
        make_prompt(cast.team, title=title)
    person(cast.ann).put("/prompts/one/rating", {"stars": 2})
    person(cast.ann).put("/prompts/three/rating", {"stars": 4})
    usage.count(fetches={(two[0].pk, today()): 3, (two[1].pk, today() - timedelta(days=60)): 9})
    api = Api(cast.key)
    for asked, order in {
        "-stars": ["three", "one", "four", "two"],
        "stars": ["four", "two", "one", "three"],
        "-uses_30d": ["one", "four", "three", "two"],
        "uses_30d": ["four", "three", "two", "one"],
    }.items():
        assert names(api.get(f"/prompts?ordering={asked}")) == order, asked
        pages = [names(api.get(f"/prompts?ordering={asked}&page_size=1&page={number}"))[0] for number in range(1, 5)]
        assert pages == order, asked
    assert [one["stars"] for one in api.get("/prompts?ordering=-stars").json()["results"]] == [4, 2, None, None]


def test_days_go_out_of_the_last_30(cast: Cast, two: list[Prompt]) -> None:
    one, day = two[0].pk, today()
    usage.count(fetches={(one, day): 2, (one, day - timedelta(days=29)): 3})
    with time_machine.travel(datetime.now(UTC) + timedelta(days=1), tick=False):
        recount_uses()
        recount_uses()
        assert Api(cast.key).get("/prompts/one").json()["uses_30d"] == 2
        usage.count(fetches={(one, day + timedelta(days=1)): 5})
        assert standing.recount() == 0
        assert Api(cast.key).get("/prompts/one").json()["uses_30d"] == 7


def test_what_nobody_uses_is_found(cast: Cast, two: list[Prompt]) -> None:
    old = timezone.now() - timedelta(days=40)
    Prompt.objects.update(created_at=old)
    make_prompt(cast.team, title="New")
    usage.count(fetches={(two[0].pk, today() - timedelta(days=5)): 1, (two[1].pk, today() - timedelta(days=35)): 1})
    api = Api(cast.key)
    assert names(api.get("/prompts?unused_days=30")) == ["two"]
    assert names(api.get("/prompts?unused_days=3")) == ["two", "one"]
    assert api.get("/prompts?unused_days=0").status_code == 400
    client = Client()
    client.force_login(cast.vic)
    html = client.get("/admin/prompts/prompt/?unused=30").content.decode()
    assert ">Two<" in html and ">One<" not in html and ">New<" not in html


def test_an_answer_counts_once_when_it_is_rolled_up(team: Team) -> None:
    prompt = make_prompt(team)
    where = make_live(prompt.newest)  # type: ignore[arg-type]
    for state in ("completed", "completed", "failed"):
        make_message(prompt.newest, where, state=state)
    roll_up_messages()
    roll_up_messages()
    row = PromptUsage.objects.get()
    assert (row.prompt, row.day, row.answers, row.fetches) == (prompt, today(), 2, 0)


@pytest.mark.django_db(transaction=True)
def test_a_fetch_is_counted_off_the_requests_path(application: HotRoutes, statements: list[str], settings: Any) -> None:
    settings.REVISION_CHECK_S = 3600
    team = make_team()
    prompt = make_prompt(team, title="Greeting")
    make_live(prompt.newest)  # type: ignore[arg-type]
    key = make_key(team)[1]
    etag = call(application, "GET", "/prompts/greeting/deployed", key=key).headers["etag"]
    statements.clear()
    same = call(application, "GET", "/prompts/greeting/deployed", key=key, headers={"if-none-match": etag})
    assert (same.status, statements) == (304, [])
    call(application, "GET", "/prompts/nobody/deployed", key=key)
    fetched.flush()
    fetched.flush()
    row = PromptUsage.objects.get()
    assert (row.prompt_id, row.fetches, row.answers) == (prompt.pk, 2, 0)


def test_counts_wait_for_a_database_that_is_away(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt, counter = make_prompt(team), FetchCounter()
    counter.add(prompt.pk)

    def away(**counts: object) -> None:
        raise OperationalError("away")

    with monkeypatch.context() as patch:
        patch.setattr(usage, "count", away)
        counter.flush()
    counter.add(prompt.pk)
    counter.add(999_999)  # a prompt that is gone keeps nobody's counts from being written
    counter.flush()
    assert PromptUsage.objects.get().fetches == 2


def test_memory_is_bounded(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST_SUMS", 3)
    counter = FetchCounter()
    for prompt_id in (1, 2, 3, 4, 5, 3):
        counter.add(prompt_id)
    counter._take()
    assert {use[0]: number for use, number in counter._sums.items()} == {1: 1, 2: 1, 3: 2}


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_the_thread_writes_by_itself_and_at_the_end(settings: Any) -> None:
    settings.USAGE_FLUSH_S = 0.05
    prompt, counter = make_prompt(make_team()), FetchCounter()
    counter.add(prompt.pk)
    deadline = threading.Event()
    for _ in range(600):
        if PromptUsage.objects.exists():
            break
        deadline.wait(0.05)
    settings.USAGE_FLUSH_S = 3600
    counter.add(prompt.pk)
    counter.stop()
    assert PromptUsage.objects.get().fetches == 2


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_many_at_once_lose_nothing() -> None:
    team = make_team()
    ids = [make_prompt(team).pk for _ in range(5)]
    failed: list[Exception] = []

    def work(turn: int) -> None:
        try:
            for _ in range(10):
                order = ids[turn % 5 :] + ids[: turn % 5]
                standing.recount()
                usage.count(fetches={(pk, today()): 1 for pk in order}, answers={(ids[0], today()): 1})
        except Exception as error:  # noqa: BLE001  (told below)
            failed.append(error)
        finally:
            connections["default"].close()

    threads = [threading.Thread(target=work, args=(turn,)) for turn in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert set(PromptUsage.objects.values_list("fetches", flat=True)) == {80}
    assert PromptUsage.objects.get(prompt=ids[0]).answers == 80
    assert sorted(Standing.objects.values_list("uses_30d", flat=True)) == [80, 80, 80, 80, 160]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_stars_given_at_once_all_count() -> None:
    team = make_team()
    prompt = make_prompt(team)
    people = [principal_of_user(make_user("", team, Role.VIEWER)) for _ in range(6)]
    failed: list[Exception] = []

    def rate(turn: int) -> None:
        try:
            favouring.rate(people[turn], prompt, turn % 5 + 1)
            if turn == 0:
                favouring.take_back_rating(people[turn], prompt)
        except Exception as error:  # noqa: BLE001  (told below)
            failed.append(error)
        finally:
            connections["default"].close()

    threads = [threading.Thread(target=rate, args=(turn,)) for turn in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    known = Standing.objects.get(prompt=prompt)
    assert (known.stars, known.ratings_count) == (3.0, 5)


def test_writing_what_was_counted_takes_a_fiftieth_of_the_time_at_most(settings: Any) -> None:
    settings.USAGE_FLUSH_S = 5
    assert [counting.pause_s(took) for took in (0, 0.1, 0.2, 0.5, 10)] == [5, 5, 10, 25, 60]
    settings.USAGE_FLUSH_S = 60
    assert counting.pause_s(0.1) == 60
