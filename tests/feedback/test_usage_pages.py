"""The pages of use and money, as people see them: their numbers are what the answers say."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from experiments.models import DayMark
from feedback.models import Feedback
from feedback.services.batch import roll_up_feedback
from feedback.services.ingest import NewRating, accept
from promptlab.accounts import services
from promptlab.accounts.access import SYSTEM, Role
from promptlab.accounts.models import User
from promptlab.chat.models import Message
from promptlab.chat.services.budgeting import set_budget
from promptlab.chat.services.metering import roll_up_messages
from promptlab.lib.formats import fmt_int, fmt_money, fmt_pct
from promptlab.management.demo import demo_team, seeding
from promptlab.management.demo.clock import clock_at
from prompts.models import Prompt
from prompts.services import collecting, usage
from prompts.services.collecting import Place
from tests.support.cast import Cast, make_cast
from tests.support.make import make_live, make_message, make_prompt, make_team, make_user, make_version, newest

pytestmark = pytest.mark.django_db
HOME = "/dashboards/usage/"
PAGES = (HOME, f"{HOME}changes/", f"{HOME}money/", f"{HOME}unused/", f"{HOME}export.csv")


def browser(user: User | None) -> Client:
    client = Client()
    if user:
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def see(user: User, path: str = HOME) -> str:
    """Return the words of a page, with plain spaces between them."""
    answer = browser(user).get(path)
    assert answer.status_code == 200, answer.content
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())))


def answers(prompt: Prompt, days_ago: int, number: int, *, ups: int = 0, version: Any = None, **more: Any) -> None:
    """Have a prompt answer on a day, all of it rated."""
    where = make_live(newest(prompt)) if version is None else more.pop("where")
    at = (timezone.now() - timedelta(days=days_ago)).replace(hour=0, minute=0, second=1)
    for n in range(number):
        answer = make_message(version or newest(prompt), where, ended_at=at, **more)
        accept(SYSTEM, NewRating(str(answer.uid), 1 if n < ups else -1))


def count() -> None:
    roll_up_messages()
    roll_up_feedback()
    DayMark.objects.update(counted_from=None)


@pytest.fixture(scope="module")
def acme(kept_for_the_file: None) -> tuple[Cast, Prompt]:
    """The cast, and a prompt whose second version went live ten days ago: liked less, by a dearer model."""
    cast = make_cast()
    made = make_prompt(cast.team, title="Support reply")
    where = make_live(newest(made))
    for day in range(20, 9, -1):
        answers(made, day, 12, ups=11, version=newest(made), where=where, model="small", cost_usd=Decimal("0.001"))
    with clock_at(timezone.now() - timedelta(days=10)):
        where = make_live(make_version(made))
    for day in range(9, -1, -1):
        answers(made, day, 12, ups=6, version=newest(made), where=where, model="large", cost_usd=Decimal("0.004"))
    count()
    return cast, made


@pytest.fixture
def cast(acme: tuple[Cast, Prompt], db: None) -> Cast:
    return deepcopy(acme[0])


@pytest.fixture
def prompt(acme: tuple[Cast, Prompt], db: None) -> Prompt:
    return deepcopy(acme[1])


def test_the_overview_tells_what_everything_came_to(cast: Cast, prompt: Prompt) -> None:
    words = see(cast.vic)
    for told in ("Support reply", "252", "$0.61", "Production", "small", "large", "71.8 %", "100.0 %", "Counted up to"):
        assert told in words, told
    assert f"{HOME}prompts/{prompt.pk}/?days=30" in browser(cast.vic).get(HOME).content.decode()
    assert "12" in see(cast.vic, f"{HOME}?days=1") and "252" not in see(cast.vic, f"{HOME}?days=1")
    assert "No calls in this time" in see(cast.vic, f"{HOME}?environment=staging")
    assert "252" in see(cast.vic, f"{HOME}?days=ninety&team=x")


def test_charts_mark_what_went_live(cast: Cast, prompt: Prompt) -> None:
    for days, heading in ((30, "Day"), (90, "Week from")):
        words = see(cast.vic, f"{HOME}prompts/{prompt.pk}/?days={days}")
        assert heading in words and "v2 went live in Production (PromptLab)" in words
        assert "Calls over time, by version" in words and "Cost over time" in words
    assert "Support reply: v2 went live" in see(cast.vic)


def test_a_fall_and_a_rise_are_told_with_what_happened_then(cast: Cast, prompt: Prompt) -> None:
    for path in (f"{HOME}changes/", f"{HOME}prompts/{prompt.pk}/"):
        words = see(cast.vic, path)
        assert "Support reply in Production: thumbs-up fell from 91.7 % to 50.0 % from" in words
        assert "Support reply in Production: a call costs $0.0040 from" in words
        assert "v2 went live in Production (PromptLab)" in words
        assert "large gave 100 % of the answers, 0 % before" in words
        assert "need not have to do with each other" in words
    steady = make_prompt(cast.team, title="Steady")
    for day in range(20):
        answers(steady, day, 10, ups=7)
    count()
    assert "Steady in" not in see(cast.vic, f"{HOME}changes/")


def test_what_changed_most_is_told_by_measure(cast: Cast, prompt: Prompt) -> None:
    rows = browser(cast.vic).get(f"{HOME}changes/?days=1").context["movers"]
    assert rows == [], "yesterday was as the day before"
    rows = browser(cast.vic).get(f"{HOME}changes/?days=30").context["movers"]
    assert [(str(one["measure"]), one["before"], one["now"], one["kind"]) for one in rows] == [
        ("Calls", "0", "240", "neutral"),
        ("Cost", "–", "$0.56", "bad"),
    ]


def test_money_and_budgets(cast: Cast, prompt: Prompt) -> None:
    set_budget(SYSTEM, cast.team, of=prompt, period="month", limit_usd=Decimal("12.5"))
    words = see(cast.cleo, f"{HOME}money/")
    for told in ("Prompt: support-reply", "$12.50", "Fine", "$0.61", "$2.43", "Cost over time, by model", "78.4 %"):
        assert told in words, told
    assert "support-reply" not in see(cast.vic, f"{HOME}money/"), "budgets are for administrators"
    assert "There is no budget" in see(cast.zoe, f"{HOME}money/")


def test_what_is_live_but_unused(cast: Cast) -> None:
    with clock_at(timezone.now() - timedelta(days=40)):
        idle, fetched, included = (make_prompt(cast.team, title=name) for name in ("Idle", "Fetched", "Included"))
        for one in (idle, fetched, included):
            make_live(newest(one))
        make_live(newest(make_prompt(cast.team, "{{> included}} Hi.", title="Including")))
    make_live(newest(make_prompt(cast.team, title="Fresh")))
    usage.count(fetches={(fetched.pk, timezone.now().date()): 1})
    words = see(cast.vic, f"{HOME}unused/")
    assert "Idle v1 Production" in words and "Including v1" in words
    assert "Fetched" not in words and "Fresh" not in words and "Included v1" not in words
    assert "Nothing: whatever is live is in use." in see(cast.zoe, f"{HOME}unused/")


def test_pages_say_when_they_are_behind(cast: Cast, prompt: Prompt) -> None:
    make_message(newest(prompt), make_live(newest(prompt)), ended_at=timezone.now() - timedelta(minutes=5))
    DayMark.objects.update_or_create(pk=1, defaults={"counted_from": timezone.now().date()})
    words = see(cast.vic)
    assert "is not counted yet. The workers are behind" in words and "are still being added up" in words
    assert "still being added up" not in see(cast.vic, f"{HOME}?days=1")


def test_the_file_is_the_page_s(cast: Cast, prompt: Prompt) -> None:
    url = browser(cast.vic).get(f"{HOME}prompts/{prompt.pk}/").context["csv_url"]
    answer = browser(cast.vic).get(url)
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert answer["Content-Type"] == "text/csv; charset=utf-8" and len(rows) == 21
    assert {(row["prompt"], row["version"], row["environment"]) for row in rows} == {
        ("support-reply", "1", "production"),
        ("support-reply", "2", "production"),
    }
    assert sum(int(row["calls"]) for row in rows) == 252
    assert browser(cast.vic).get(f"{HOME}export.csv?by=nothing&prompt=x").status_code == 200


def test_a_private_prompt_is_in_nobody_else_s_numbers(cast: Cast, prompt: Prompt) -> None:
    owner = make_user("", cast.team, "writer")
    place = Place(visibility="private", owner_id=owner.pk, has_owner=True)
    mine = collecting.create_collection(SYSTEM, cast.team.pk, name="Mine", place=place)
    hidden = make_prompt(cast.team, title="Hidden", collection=mine)
    answers(hidden, 0, 5)
    count()
    for path in PAGES:
        assert "Hidden" not in browser(cast.vic).get(path).content.decode()
    assert "Hidden" in see(owner) and "257" in see(owner) and "252" in see(cast.vic)
    assert browser(cast.vic).get(f"{HOME}prompts/{hidden.pk}/").status_code == 404


@pytest.mark.parametrize("path", PAGES)
def test_whoever_is_not_signed_in_is_sent_to_sign_in(cast: Cast, path: str) -> None:
    answer = browser(None).get(path)
    assert (answer.status_code, answer.url) == (302, f"/admin/login/?next={path}")
    assert browser(cast.vic).post(path).status_code == 405


def test_a_stranger_sees_nothing(cast: Cast, prompt: Prompt) -> None:
    for path in PAGES:
        assert "Support reply" not in browser(cast.zoe).get(f"{path}?team={cast.team.pk}").content.decode()
    assert browser(cast.zoe).get(f"{HOME}prompts/{prompt.pk}/").status_code == 404
    assert "No calls in this time" in see(cast.zoe)


@pytest.mark.parametrize("path", [*PAGES, "prompt"])
def test_a_page_takes_twelve_statements_at_most(cast: Cast, prompt: Prompt, path: str, statements: list[str]) -> None:
    set_budget(SYSTEM, cast.team, period="day", limit_usd=Decimal(1))
    page = f"{HOME}prompts/{prompt.pk}/" if path == "prompt" else path
    client = browser(cast.cleo)
    client.get(page)
    statements.clear()
    client.get(page)
    few = len(statements)
    for team in (cast.team, make_team()):
        for _ in range(3):
            other = make_prompt(team)
            set_budget(SYSTEM, team, of=other, period="day", limit_usd=Decimal(1))
            answers(other, 3, 3, ups=2, model="other")
    make_live(make_version(prompt), "staging")
    answers(prompt, 1, 3, model="third")
    count()
    services.add_member(SYSTEM, other.team, cast.cleo, Role.ADMINISTRATOR)
    statements.clear()
    client.get(page)
    assert few == len(statements) <= 12, "\n".join(statements)


def test_the_tab_of_a_prompt_takes_fourteen_statements_at_most(
    cast: Cast, prompt: Prompt, statements: list[str]
) -> None:
    client, tab = browser(cast.cleo), reverse("admin:feedback_feedback_usage", args=[prompt.pk])
    client.get(tab)
    statements.clear()
    assert client.get(tab).status_code == 200
    few = len(statements)
    for environment in ("staging", "development"):
        make_live(make_version(prompt), environment)
    answers(prompt, 1, 3, model="third")
    count()
    statements.clear()
    client.get(tab)
    assert few == len(statements) <= 14, "\n".join(statements)


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Iterator[User]:
    monkeypatch.setattr(seeding, "CONVERSATIONS", {"support": 90, "greeting": 24, "triage": 12})
    call_command("seed_demo", verbosity=0)
    DayMark.objects.update(counted_from=None)
    yield make_user("vera", demo_team(), Role.ADMINISTRATOR)


def test_every_number_of_the_demo_s_pages_is_recounted_from_its_answers(demo: User) -> None:
    first = timezone.now().astimezone(UTC).date() - timedelta(days=29)
    ours = Message.objects.answers().filter(conversation__team=demo_team(), ended_at__isnull=False)
    rows = ours.select_related("version__prompt", "environment")
    told = browser(demo).get(HOME).context
    seen = [
        one
        for one in rows
        if one.version and one.environment and one.ended_at.astimezone(UTC).date() >= first  # type: ignore[union-attr]
    ]
    for table, name in zip(told["tables"], (_prompt_of, _place_of, _model_of), strict=True):
        groups: dict[str, list[Message]] = {}
        for one in seen:
            groups.setdefault(name(one), []).append(one)
        assert {line["name"] for line in table["lines"]} == set(groups)
        for line in table["lines"]:
            assert cells_of(groups[line["name"]]) == [line["cells"][at]["text"] for at in (0, 1, 2, 3, 7, 8)]
    assert str(told["tiles"][0]["value"]) == fmt_int(len(seen))
    assert str(told["tiles"][5]["value"]) == cells_of(seen)[5]
    html = browser(demo).get(HOME).content.decode()
    drawn = re.findall(r"<h2>|<td>([\d,]+)</td>", html.partition("Calls over time")[2].partition("</figure>")[0])
    assert sum(int(number.replace(",", "")) for number in drawn if number) == len(seen)


def cells_of(found: list[Message]) -> list[str]:
    """Return calls, failures, ratings, approval, tokens and cost of answers, as a page writes them."""
    ratings = Feedback.objects.filter(message__in=found, value__isnull=False)
    ups, rated = ratings.filter(value=1).count(), ratings.count()
    known = [one.cost_usd for one in found if one.cost_usd is not None]
    return [
        fmt_int(len(found)),
        fmt_int(sum(one.state == "failed" for one in found)),
        fmt_int(rated),
        fmt_pct(ups / rated if rated else None),
        fmt_int(sum((one.input_tokens or 0) + (one.output_tokens or 0) for one in found)),
        fmt_money(sum(known) if known else None),
    ]


def _prompt_of(one: Message) -> str:
    assert one.version is not None
    return one.version.prompt.title


def _place_of(one: Message) -> str:
    return str(one.environment)


def _model_of(one: Message) -> str:
    return one.model or "an unnamed model"
