"""Nights that ask what is live what it was asked before: what is drift, who hears of it, what it may cost."""

from __future__ import annotations

import random
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team, User
from promptlab.hooks.models import Mail, OutboxEvent
from promptlab.lib.errors import Invalid
from promptlab.lib.formats import fmt_pct
from prompts import comparing
from prompts.comparing import Tally
from prompts.models import Environment, GoldenRun, Prompt, SuiteRun, Version
from prompts.services import deploying, drift, testing
from prompts.services.environments import Rules, change_environment, named
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_live, make_prompt, make_version, newest
from tests.support.suites import MODEL, answering, make_nights, make_suite

pytestmark = pytest.mark.django_db
NIGHT = date(2026, 1, 1)
NAMES: list[dict[str, Any]] = [{"variables": {"name": f"Fay {n}"}} for n in range(20)]


def make_watched(team: Team, budget: str = "1", *cases: dict[str, Any]) -> tuple[Environment, Prompt]:
    """Return Production, that asks for a suite every night, and a prompt that is live there."""
    suite, prompt = make_suite(team, *cases), make_prompt(team, model=MODEL)
    rules = Rules(suites=[suite.name], drift_budget_usd=Decimal(budget))
    return change_environment(SYSTEM, make_live(newest(prompt)), rules), prompt


def put_live(version: Version) -> None:
    """Put a version live past what the environment asks for."""
    deploying.deploy(
        SYSTEM, version, named(version.prompt.team_id, "production"), confirm=True, break_glass="For a test."
    )


def failing(*numbers: int) -> Any:
    bad = tuple(f"Fay {n}" for n in numbers)
    return lambda request: "bad" if request.messages[-1].content.rstrip(".!").endswith(bad) else "good"


def test_nothing_is_asked_without_money(team: Team) -> None:
    where, _ = make_watched(team, "0")
    assert where.drift_budget_usd == 0
    assert drift.begin(NIGHT) == 0 and not SuiteRun.objects.exists()


def test_a_night_asks_once_whatever_runs_twice(team: Team) -> None:
    make_watched(team)
    assert (drift.begin(NIGHT), drift.begin(NIGHT)) == (1, 0)
    assert SuiteRun.objects.get().requested_label == "PromptLab"


def test_what_became_worse_is_drift_and_told_once(team: Team, cast: Cast) -> None:
    prompt = make_prompt(cast.team, model=MODEL)
    User.objects.filter(pk=cast.ann.pk).update(email="ann@example.com")
    Prompt.objects.filter(pk=prompt.pk).update(owner=cast.ann)
    nights = make_nights(make_suite(cast.team, *NAMES), prompt, "good", failing(3), "bad", "bad", "good", "bad")
    assert [one.verdict for one in nights] == ["first", "steady", "drift", "drift", "steady", "drift"]
    assert (nights[2].rate_before, nights[2].rate_after) == (0.975, 0.0)
    events = OutboxEvent.objects.filter(type="suite.drifted").order_by("pk")
    assert [one.data["run"] for one in events] == [nights[2].run_id, nights[5].run_id]
    mail = Mail.objects.filter(kind="drifted", user=cast.ann).first()
    assert mail is not None and mail.facts["before"] == 98 and mail.facts["after"] == 0


def test_another_text_is_another_question(team: Team) -> None:
    suite, prompt = make_suite(team, *NAMES), make_prompt(team, model=MODEL)
    make_nights(suite, prompt, "good")
    put_live(make_version(prompt, "New {{name}}.", model=MODEL))
    with answering("bad"):
        drift.begin(date(2026, 1, 2))
        golden = GoldenRun.objects.get(night=date(2026, 1, 2))
        testing.work_on(golden.run_id or 0)
    drift.settle()
    golden.refresh_from_db()
    assert golden.verdict == "first"


def test_noise_alone_is_rarely_drift() -> None:
    """Measured: 1,000 nights of a model that passes 85 % of 40 cases, each against five nights of the same."""
    dice = random.Random(7)

    def night() -> list[Tally]:
        passes = [dice.random() < 0.85 for _ in range(40)]
        return [Tally(f"case {n}", MODEL, False, int(ok), int(not ok), 0) for n, ok in enumerate(passes)]

    found = [comparing.since([night() for _ in range(5)], night()).p_of_drop for _ in range(1000)]
    assert sum(p < drift.BEYOND_NOISE for p in found) <= 20


def test_a_night_costs_no_more_than_it_may(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    make_live(newest(make_prompt(team, title="Second", model=MODEL)))
    make_watched(team, "1", *NAMES[:2])
    monkeypatch.setattr("prompts.services.suite_runs.worst_case", lambda request, team_id: 300_000_000)
    assert drift.begin(NIGHT) == 1, "Two answers of 0.30 dollars each: the second prompt has no room."
    run = SuiteRun.objects.get()
    assert run.budget_usd == Decimal("0.6")
    run.state, run.spent_nanousd = "finished", 100_000_000
    run.save()
    assert drift.begin(NIGHT) == 1, "It cost less, and there is room again."


def test_what_cannot_be_asked_says_why(team: Team) -> None:
    make_watched(team, "1", {"variables": {"other": "x"}})
    assert drift.begin(NIGHT) == 1
    golden = GoldenRun.objects.get()
    assert golden.verdict == "unknown" and golden.run is None and "case 1" in golden.problem


def test_home_and_the_lists_show_it_while_it_is_live(cast: Cast) -> None:
    prompt = make_prompt(cast.team, title="Greeting", model=MODEL)
    nights = make_nights(make_suite(cast.team, *NAMES), prompt, "good", "bad")
    GoldenRun.objects.filter(pk=nights[1].pk).update(night=timezone.now().date())
    person = Client()
    person.force_login(cast.vic)
    rates = {"before": fmt_pct(1), "after": fmt_pct(0)}
    said = "Greeting in Production answers worse than before: {after} passed, not {before}.".format(**rates)
    assert said in person.get("/admin/").content.decode()
    shown = person.get("/admin/prompts/goldenrun/?environment=production").content.decode()
    assert "Worse than before" in shown and "Nothing to compare with yet" in shown
    found = Api(cast.key).get("/drift?verdict=drift").json()["results"]
    assert [(one["prompt"], one["run"], one["rate_after"]) for one in found] == [("greeting", nights[1].run_id, 0.0)]
    put_live(make_version(prompt, "New {{name}}.", model=MODEL))
    assert said not in person.get("/admin/").content.decode()


def test_administrators_alone_give_money(cast: Cast) -> None:
    named(cast.team.pk, "production")
    said = Api(cast.key).patch("/environments/production", {"drift_budget_usd": "2.5"})
    assert said.status_code in (200, 403)
    with pytest.raises(Invalid, match="number of dollars"):
        change_environment(SYSTEM, named(cast.team.pk, "production"), Rules(drift_budget_usd=Decimal(-1)))
