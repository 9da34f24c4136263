"""Answers are priced again: what is stored beside them, the sums, and the report agree."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Sum
from django.test import Client
from django.utils import timezone

from experiments.models import HourRollup
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.auth import principal_of_user
from promptlab.accounts.models import Team
from promptlab.audit.models import AuditEntry
from promptlab.chat.models import Message, Repricing
from promptlab.chat.services import metering, repricing
from promptlab.chat.services.repricing import Report, reprice
from promptlab.lib.errors import Forbidden, NotFound
from promptlab.llm.services import price_list
from tests.support.cast import Cast
from tests.support.make import make_live, make_message, make_prompt, make_provider

pytestmark = pytest.mark.django_db


@pytest.fixture
def answers(team: Team) -> list[Message]:
    """Three answers of a server: of unknown cost, of a wrong one, and one from the cache; in the sums already."""
    make_provider(team, name="House", kind="server", address="https://models.example.com/v1")
    version = make_prompt(team).newest
    where = make_live(version)
    told: dict[str, Any] = {"provider": "House", "model": "llama"}
    found = [
        make_message(version, where, cost_usd=None, **told),
        make_message(version, where, cost_usd=Decimal("0.5"), cached_tokens=4, reasoning_tokens=2, **told),
        make_message(version, where, cost_usd=Decimal(0), is_cached=True, **told),
    ]
    metering.roll_up_messages()
    return found


def set_price(team: Team, token: str, usd: str) -> None:
    from promptlab.llm.models import Provider

    one = Provider.objects.get(team=team)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    price_list.set_price(SYSTEM, one, model="llama", token=token, usd_per_million=Decimal(usd), valid_from=start)


def price_all(team: Team) -> None:
    for token, usd in (("input", "1"), ("output", "10"), ("cached", "0.5"), ("reasoning", "20")):
        set_price(team, token, usd)


def sums() -> dict[str, Any]:
    found = HourRollup.objects.aggregate(cost=Sum("cost_usd"), unpriced=Sum("unpriced"), requests=Sum("requests"))
    return {**found, "cost": found["cost"].quantize(Decimal("1e-9"))}  # SQLite adds in binary


def test_costs_sums_and_report_agree(team: Team, answers: list[Message]) -> None:
    assert sums() == {"cost": Decimal("0.5"), "unpriced": 1, "requests": 3}
    price_all(team)
    report = reprice(SYSTEM, team)
    first, second, third = (Message.objects.get(pk=one.pk) for one in answers)
    assert first.cost_usd == Decimal("0.000060")  # 10 in at 1, 5 out at 10 dollars a million
    assert second.cost_usd == Decimal("0.000078")  # 6 at 1, 4 at 0.50, 3 at 10, 2 at 20
    assert (third.cost_usd, third.prices) == (0, None)
    assert first.prices["source"] == "own" and first.prices["usd_per_million"]["output"] == "10"
    assert report == Report(2, 2, 0, 1, Decimal("0.5"), Decimal("0.000138"))
    assert sums() == {"cost": Decimal("0.000138"), "unpriced": 0, "requests": 3}
    entry = AuditEntry.objects.get(verb="messages.repriced")
    assert (entry.target_id, entry.after["new_usd"]) == (str(team.pk), "0.000138000")


def test_again_changes_nothing(team: Team, answers: list[Message]) -> None:
    price_all(team)
    reprice(SYSTEM, team)
    before = sums()
    assert reprice(SYSTEM, team).changed == 0
    assert sums() == before and AuditEntry.objects.filter(verb="messages.repriced").count() == 1


def test_a_cost_that_is_known_no_more_is_unknown_not_nothing(team: Team, answers: list[Message]) -> None:
    report = reprice(SYSTEM, team)
    assert (report.changed, report.unknown) == (1, 2)
    assert Message.objects.get(pk=answers[1].pk).cost_usd is None
    assert sums() == {"cost": 0, "unpriced": 2, "requests": 3}


def test_what_is_not_in_the_sums_yet_is_added_once(team: Team, answers: list[Message]) -> None:
    late = make_message(answers[0].version, answers[0].environment, cost_usd=None, provider="House", model="llama")
    price_all(team)
    reprice(SYSTEM, team)
    metering.roll_up_messages()
    assert Message.objects.get(pk=late.pk).cost_usd == Decimal("0.000060")
    assert sums() == {"cost": Decimal("0.000198"), "unpriced": 0, "requests": 4}


def test_only_the_time_that_was_named(team: Team, answers: list[Message]) -> None:
    Message.objects.filter(pk=answers[0].pk).update(ended_at=timezone.now() - timedelta(days=3))
    price_all(team)
    day_ago = timezone.now() - timedelta(days=1)
    assert reprice(SYSTEM, team, since=day_ago).changed == 1
    assert Message.objects.get(pk=answers[0].pk).cost_usd is None
    assert reprice(SYSTEM, team, until=day_ago).changed == 1


def test_many_are_done_in_batches(team: Team, answers: list[Message], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repricing, "BATCH", 1)
    price_all(team)
    assert reprice(SYSTEM, team).changed == 2


def test_only_administrators(cast: Cast) -> None:
    with pytest.raises(Forbidden):
        reprice(principal_of_user(cast.ann), cast.team)
    with pytest.raises(NotFound):
        reprice(principal_of_user(cast.zoe), cast.team)


def test_the_command_reports_first_and_writes_when_told(team: Team, answers: list[Message]) -> None:
    price_all(team)
    out = StringIO()
    call_command("reprice", team=team.name, since="2026-01-01", stdout=out)
    assert "Cost changed: 2, found where it was unknown: 1." in out.getvalue()
    assert "Sum before: $0.5" in out.getvalue() and "Nothing was changed." in out.getvalue()
    assert Message.objects.get(pk=answers[0].pk).cost_usd is None
    call_command("reprice", team=team.name, apply=True, stdout=out)
    assert Message.objects.get(pk=answers[0].pk).cost_usd is not None
    with pytest.raises(CommandError, match="no team"):
        call_command("reprice", team="Nobody")
    with pytest.raises(CommandError, match="neither"):
        call_command("reprice", team=team.name, since="2026-99-99")


# The job


def test_a_job_writes_what_the_report_says_and_counts_nothing_twice(
    team: Team, answers: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    price_all(team)
    monkeypatch.setattr(repricing, "BATCH", 1)
    trial = repricing.ask_repricing(SYSTEM, team)
    job = repricing.ask_repricing(SYSTEM, team, is_trial=False)
    assert repricing.run_repricings() == 6
    for one in (trial, job):
        one.refresh_from_db()
        assert one.ended_at is not None
        assert (one.answers, one.changed, one.found, one.unknown) == (2, 2, 1, 0)
        assert one.old_usd == Decimal("0.5")
    assert trial.new_usd == job.new_usd
    assert repricing.run_repricings() == 0
    again = reprice(SYSTEM, team)
    assert (again.answers, again.changed, again.new_usd) == (2, 0, job.new_usd)
    assert AuditEntry.objects.filter(verb="messages.repriced").count() == 1


def test_a_job_that_was_cut_off_goes_on_where_it_was(
    team: Team, answers: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    price_all(team)
    monkeypatch.setattr(repricing, "BATCH", 1)
    job = repricing.ask_repricing(SYSTEM, team, is_trial=False)
    assert repricing._run_batch()
    job.refresh_from_db()
    assert (job.answers, job.ended_at) == (1, None)
    repricing.run_repricings()
    job.refresh_from_db()
    assert (job.answers, job.changed) == (2, 2)


def test_administrators_ask_for_it_on_its_page_and_nobody_else(cast: Cast, client: Client) -> None:
    path = "/admin/chat/repricing/"
    client.force_login(cast.cleo)
    asked = client.post(f"{path}add/", {"since": "2026-11-01", "is_written": "on"}, follow=True)
    job = Repricing.objects.get()
    assert (job.is_trial, job.team, job.since is not None) == (False, cast.team, True)
    assert b"Waiting for a worker" in asked.content
    repricing.run_repricings()
    assert b"Done" in client.get(f"{path}{job.pk}/change/").content
    assert b"Done" in client.get(path).content
    for person in (cast.ben, cast.zoe):
        client.force_login(person)
        assert client.get(f"{path}{job.pk}/change/").status_code in (403, 404)
        client.post(f"{path}add/", {})
    assert Repricing.objects.filter(team=cast.team).count() == 1
