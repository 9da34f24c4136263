"""Daily sums against the answers and ratings: the same whatever happened, counted as it came or afterwards."""

from __future__ import annotations

import io
import random
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.db import close_old_connections, connection
from django.db.models import F
from django.utils import timezone

from experiments.models import DayMark, DayRollup
from experiments.services.days import DayCell
from experiments.stats.histogram import bucket
from feedback import tasks
from feedback.models import Feedback
from feedback.services import recounting
from feedback.services.batch import roll_up_feedback
from feedback.services.ingest import NewRating, accept
from feedback.services.recounting import counted_sums, differences_found, fill, reconcile_days
from promptlab.accounts.access import SYSTEM
from promptlab.audit.admin import sentence
from promptlab.audit.models import AuditEntry
from promptlab.chat.models import Message
from promptlab.chat.services.metering import roll_up_messages
from promptlab.chat.services.repricing import reprice
from promptlab.llm.services import price_list
from promptlab.management.demo import demo_team
from tests.support.cast import Cast
from tests.support.make import (
    make_experiment,
    make_live,
    make_message,
    make_model,
    make_prompt,
    make_provider,
    make_version,
    newest,
)

DAYS = 40


def generate(cast: Cast, number: int, seed: int = 5) -> list[Message]:
    """Return answers of many kinds, over forty days; some inside an experiment, tried, of no version, failed or external."""
    chance = random.Random(seed)
    prompts = [make_prompt(cast.team) for _ in range(3)]
    versions = [version for prompt in prompts for version in (newest(prompt), make_version(prompt))]
    places = {version.pk: make_live(version, chance.choice(("production", "staging"))) for version in versions}
    variant = make_experiment(make_prompt(cast.team), running=True).variants.select_related("version", "experiment")[0]
    found = []
    for n in range(number):
        at = timezone.now() - timedelta(days=chance.uniform(0, DAYS))
        cost = None if chance.random() < 0.2 else Decimal(chance.randrange(1, 10**9)) / 10**9
        more: dict[str, Any] = {
            "ended_at": at,
            "model": chance.choice(("small", "large", "")),
            "cost_usd": cost,
            "latency_ms": chance.choice((None, 0, 5, 16, 32, 1024, chance.randrange(1, 400_000))),
            "first_token_ms": chance.choice((None, 40)),
            "is_external": chance.random() < 0.1,
            "input_tokens": chance.choice((None, chance.randrange(5000))),
            "purpose": Message.Purpose.TRY if chance.random() < 0.05 else Message.Purpose.CHAT,
            "state": Message.State.FAILED if chance.random() < 0.1 else Message.State.COMPLETED,
        }
        if chance.random() < 0.05:
            found.append(make_message(None, team=cast.team, **more))
        elif chance.random() < 0.2:
            where = variant.experiment.environment
            found.append(make_message(variant.version, where, variant=variant, unit_id=f"u{n % 30}", **more))
        else:
            version = chance.choice(versions)
            found.append(make_message(version, places[version.pk], unit_id=f"u{n % 30}", **more))
    return found


def rate(answers: list[Message], seed: int = 6) -> None:
    """Have some answers rated by several people, who change their minds and take it back, between the sweeps of workers."""
    chance = random.Random(seed)
    for _ in range(3):
        for answer in chance.sample(answers, len(answers) // 3):
            value = chance.choice((1, 1, -1, None))
            accept(SYSTEM, NewRating(str(answer.uid), value, user=f"rater-{chance.randrange(2)}"))
        roll_up_messages()
        roll_up_feedback()


def recounted() -> dict[DayCell, Counter[str]]:
    """Return what daily sums have to be, row by row and in Python: nothing of the product adds up here."""
    sums: dict[DayCell, Counter[str]] = {}
    cells: dict[int, DayCell] = {}
    for one in Message.objects.filter(role="assistant", is_sent=False).select_related("version"):
        if one.version is None or one.environment_id is None or one.purpose == "try" or one.rolled_up_at is None:
            continue
        assert one.ended_at is not None
        day = one.ended_at.astimezone(UTC).date()
        cell = cells[one.pk] = DayCell(day, one.version_id, one.environment_id, one.model, one.version.prompt_id)
        sum_ = sums.setdefault(cell, Counter())
        sum_["requests"] += 1
        sum_["shown"] += one.is_external or one.first_token_ms is not None
        sum_["errors"] += one.state == "failed"
        sum_["input_tokens"] += one.input_tokens or 0
        sum_["output_tokens"] += one.output_tokens or 0
        sum_["cost_nanousd"] += int((one.cost_usd or Decimal(0)) * 10**9)
        sum_["priced"] += one.cost_usd is not None
        sum_["unpriced"] += one.cost_usd is None and not one.is_external
        if one.latency_ms:
            sum_[f"wait {bucket(one.latency_ms)}"] += 1
    for rating in Feedback.objects.filter(value__isnull=False):
        if rating.message_id in cells:
            sums[cells[rating.message_id]]["ratings"] += 1
            sums[cells[rating.message_id]]["ups"] += rating.value == 1
    return {cell: +sum_ for cell, sum_ in sums.items()}


def held() -> dict[DayCell, Counter[str]]:
    """Return the daily sums in the same shape."""
    found = {}
    for one in DayRollup.objects.all():
        counts = Counter({f"wait {key}": number for key, number in one.wait_counts.items()})
        counts.update({name: getattr(one, name) for name in recounting.COLUMNS})
        found[DayCell(one.day, one.version_id, one.environment_id, one.model, one.prompt_id)] = +counts
    return {cell: counts for cell, counts in found.items() if counts}


def span() -> tuple[Any, Any]:
    today = timezone.now().astimezone(UTC).date()
    return today - timedelta(days=DAYS + 1), today + timedelta(days=1)


@pytest.fixture
def counted(cast: Cast) -> list[Message]:
    """Answers and ratings, counted as they came, with nothing left to fill."""
    answers = generate(cast, 240)
    roll_up_messages()
    rate(answers)
    DayMark.objects.update(counted_from=None)
    return answers


@pytest.mark.django_db
def test_every_sum_is_what_the_answers_and_ratings_say(counted: list[Message]) -> None:
    wanted = recounted()
    assert held() == wanted and len(wanted) > 100
    for name in ("requests", "errors", "ratings", "ups", "unpriced", "cost_nanousd"):
        assert sum(one[name] for one in wanted.values()) > 10, name
    assert reconcile_days(span()[0]) == []


@pytest.mark.django_db
def test_the_demo_s_sums_are_what_its_answers_say() -> None:
    call_command("seed_demo", verbosity=0)
    assert demo_team() is not None
    assert held() == recounted() and sum(one["ratings"] for one in held().values()) > 30


@pytest.mark.django_db
def test_other_prices_change_the_day_of_the_answer(cast: Cast) -> None:
    provider = make_provider(cast.team, name="acme", kind="openai")
    make_model(provider, "large")
    version = newest(make_prompt(cast.team))
    where, at = make_live(version), timezone.now() - timedelta(days=3)
    for cost in (None, Decimal("0.5")):
        make_message(version, where, provider="acme", model="large", ended_at=at, cost_usd=cost)
    roll_up_messages()
    for token in ("input", "output"):
        price_list.set_price(
            SYSTEM, provider, model="large", token=token, usd_per_million=Decimal(3), valid_from=at - timedelta(days=9)
        )
    reprice(SYSTEM, cast.team)
    day = DayRollup.objects.get()
    assert (day.priced, day.unpriced, day.cost_nanousd) == (2, 0, 90_000)
    assert held() == recounted()


@pytest.mark.django_db
def test_days_before_the_sums_are_filled_part_by_part(counted: list[Message]) -> None:
    before = held()
    DayRollup.objects.all().delete()
    tomorrow = timezone.now().astimezone(UTC).date() + timedelta(days=1)
    DayMark.objects.update_or_create(pk=1, defaults={"counted_from": tomorrow})
    assert reconcile_days() == [], "what is still to be filled differs from nothing"
    late = make_message(counted[0].version or newest(make_prompt()), counted[0].environment)
    steps = 0
    while fill(timedelta(days=9)):
        steps += 1
        mark = DayMark.objects.get()
        assert mark.counted_from == tomorrow - timedelta(days=9 * steps)
        if steps == 2:  # workers go on meanwhile
            roll_up_messages()
            accept(SYSTEM, NewRating(str(late.uid), 1))
            roll_up_feedback()
    assert steps == 4 and DayMark.objects.get().counted_from is None
    assert held() == recounted() and held().keys() >= before.keys()
    tasks.fill_days()
    assert held() == recounted()


@pytest.mark.django_db
def test_what_differs_is_told_and_repaired_once(counted: list[Message]) -> None:
    wrong = DayRollup.objects.filter(requests__gt=0).order_by("-day")[0]
    DayRollup.objects.filter(pk=wrong.pk).update(requests=F("requests") + 3, wait_counts={"1": 5})
    before = differences_found.value("yes")
    with pytest.raises(SystemExit):
        call_command("recount_usage", stdout=(told := io.StringIO()))
    assert "Nothing was changed" in told.getvalue() and "requests" in told.getvalue()
    tasks.reconcile_days()
    assert differences_found.value("yes") == before + 2
    assert "repaired the daily sums" in str(sentence(AuditEntry.objects.get(verb="days.repaired")))
    call_command("recount_usage", "--repair", stdout=(told := io.StringIO()))
    assert "Every sum is what the answers say." in told.getvalue()
    assert held() == recounted()


@pytest.mark.django_db(transaction=True)
def test_of_two_recounts_at_once_one_is_thrown_away(counted: list[Message], monkeypatch: pytest.MonkeyPatch) -> None:
    DayRollup.objects.filter(requests__gt=0).update(requests=F("requests") + 1)
    differences = recounting._differences

    def overtaken(*days: Any) -> Any:
        found = differences(*days)
        monkeypatch.setattr(recounting, "_differences", differences)
        threads = [threading.Thread(target=_in_thread, args=(work,)) for work in (_count_one_more, reconcile_all)]
        for thread in threads:
            thread.start()
            thread.join()
        return found

    def reconcile_all() -> None:
        reconcile_days(span()[0])

    def _count_one_more() -> None:
        make_message(counted[0].version or newest(make_prompt()), counted[0].environment)
        roll_up_messages()

    monkeypatch.setattr(recounting, "_differences", overtaken)
    if connection.vendor == "sqlite":
        pytest.skip("one connection writes while another one reads")
    assert reconcile_days(span()[0]) == []
    assert held() == recounted()


@pytest.mark.django_db(transaction=True)
def test_recounts_disturb_no_worker_and_no_worker_disturbs_them(cast: Cast) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("has one writer at a time")
    answers = generate(cast, 120)
    DayMark.objects.update_or_create(pk=1, defaults={"counted_from": None})
    over = threading.Event()

    def recount() -> None:
        while not over.is_set():
            assert reconcile_days(span()[0]) == []

    threads = [threading.Thread(target=_in_thread, args=(recount,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    roll_up_messages(limit=7)
    rate(answers)
    over.set()
    for thread in threads:
        thread.join()
    assert held() == recounted() and reconcile_days(span()[0]) == []
    assert not AuditEntry.objects.filter(verb="days.repaired").exists()


def _in_thread(work: Any) -> None:
    try:
        work()
    finally:
        close_old_connections()
        connection.close()


@pytest.mark.django_db
def test_waits_fall_into_the_same_buckets_in_the_database(cast: Cast) -> None:
    version = newest(make_prompt(cast.team))
    where = make_live(version)
    lengths = [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 1023, 1024, 1025, 8192, 262_143, 262_144, 900_000]
    for ms in lengths:
        make_message(version, where, latency_ms=ms)
    roll_up_messages()
    [sums] = counted_sums(*span()).values()
    assert sums["wait_counts"] == Counter(str(bucket(ms)) for ms in lengths)


@pytest.mark.django_db
def test_a_fresh_installation_has_nothing_to_fill(cast: Cast) -> None:
    DayMark.objects.update_or_create(pk=1, defaults={"counted_from": datetime(2026, 1, 1, tzinfo=UTC).date()})
    assert fill() is False and DayMark.objects.get().counted_from is None
