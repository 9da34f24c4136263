"""Answers and ratings by months: what is unique stays so, old months go when nothing in them has to stay."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone

from experiments import receipts
from experiments.models import HourRollup
from feedback.attribution import answers_of
from feedback.models import Feedback, FeedbackReceipt, Note
from feedback.services import inbox, months
from feedback.services.batch import roll_up_feedback
from feedback.services.erasing import erase_unit
from feedback.services.ingest import NewRating, accept
from feedback.services.months import MESSAGES, RATINGS, keep_months
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.chat.models import Message
from promptlab.chat.services.external import ExternalAnswer, receipt_of, record_external
from promptlab.chat.services.metering import roll_up_messages
from promptlab.lib import monthly
from tests.support.cast import Cast
from tests.support.make import make_live, make_message, make_prompt, newest

OLD = datetime(2024, 3, 10, tzinfo=UTC)
on_postgresql = pytest.mark.postgres


def answer(team: Team, *, at: datetime = OLD, is_purged: bool = True, said: str = "Wrong.") -> Message:
    """Return a rated, counted answer of a month of long ago."""
    version = newest(make_prompt(team))
    fields: dict[str, Any] = {"unit_id": "customer-7", "content": "" if is_purged else "An answer."}
    if connection.vendor == "postgresql":
        fields["pk"] = (
            monthly.first_id(monthly.month_of(at)) + Message.objects.filter(created_at__lt=timezone.now()).count()
        )
    made = make_message(version, make_live(version), ended_at=at, **fields)
    Message.objects.filter(pk=made.pk).update(created_at=at, purged_at=at if is_purged else None)
    roll_up_messages()
    kept = accept(SYSTEM, NewRating(str(made.uid), 1, comment=said, key=f"k-{made.uid}"))
    inbox.add_note(SYSTEM, Feedback.objects.get(uid=kept.feedback_id), "Called.")
    roll_up_feedback()
    return made


@pytest.fixture
def old_months() -> Iterator[None]:
    """Have parts for the spring of 2024; afterwards they are gone."""
    if connection.vendor != "postgresql":
        yield
        return
    for one in (RATINGS, MESSAGES):
        monthly.drop_empty(one)
    for month in range(monthly.month_of(OLD) - 1, monthly.month_of(OLD) + 2):
        for one in (MESSAGES, RATINGS):
            monthly._make(one, month)
    yield
    Feedback.objects.all().delete()
    Message.objects.all().delete()
    for one in (RATINGS, MESSAGES):
        for part in monthly.parts(one):
            if part.high <= monthly.first_id(monthly.month_of(OLD) + 3):
                monthly.detach(one, part)
        for name in monthly.detached(one):
            monthly.drop(name)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("stays", [False, True])
def test_old_months_go_and_sums_stay(cast: Cast, old_months: None, settings: Any, stays: bool) -> None:
    """Where one answer has to stay its month does, and the others go row by row; SQLite has no other way."""
    first, second = answer(cast.team), answer(cast.team, is_purged=not stays)
    today = make_message(first.version)
    before = list(HourRollup.objects.order_by("pk").values())
    assert keep_months() == 0
    settings.MONTHS_KEPT = 12
    assert keep_months() > 0
    assert set(Message.objects.values_list("pk", flat=True)) == ({today.pk, second.pk} if stays else {today.pk})
    assert Feedback.objects.count() == FeedbackReceipt.objects.count() == Note.objects.count() == int(stays)
    assert list(HourRollup.objects.order_by("pk").values()) == before
    assert keep_months() == 0
    if connection.vendor == "postgresql":
        parts = [part.name for part in monthly.parts(MESSAGES)]
        assert ("chat_message_2024_03" in parts) is stays and "chat_message_2024_02" not in parts
        assert not monthly.detached(MESSAGES) and not monthly.detached(RATINGS)
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM chat_messagekey")
            assert cursor.fetchone()[0] == Message.objects.count()


@pytest.mark.django_db(transaction=True)
def test_what_is_not_counted_stays(cast: Cast, old_months: None, settings: Any) -> None:
    settings.MONTHS_KEPT = 12
    late = answer(cast.team)
    accept(SYSTEM, NewRating(str(late.uid), -1, user="customer-8"))
    assert keep_months() == 0 or Message.objects.filter(pk=late.pk).exists()
    assert Feedback.objects.filter(message=late).count() == 2
    roll_up_feedback()
    keep_months()
    assert not Message.objects.filter(pk=late.pk).exists()


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_late_rating_lies_with_its_answer_and_is_erased_there(cast: Cast, old_months: None) -> None:
    made = answer(cast.team, is_purged=False)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM feedback_feedback_2024_03")
        assert cursor.fetchone()[0] == 1
    assert erase_unit(SYSTEM, cast.team, "customer-7").ratings == 1
    assert Feedback.objects.filter(rater="customer-7").count() == 0
    assert Message.objects.get(pk=made.pk).content == ""


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_one_external_answer_however_often_it_is_told_at_once(cast: Cast) -> None:
    """Its uid is made of what the caller sent: the table of uids holds it to be one, over all months."""
    version = newest(make_prompt(cast.team))
    shown = make_message(version, make_live(version), unit_id="u")
    shown.revision = 1
    told_with = receipt_of(shown, cast.team.pk)
    assert told_with is not None
    receipt = receipts.write(replace(receipts.read(told_with), answer="", unit=""))
    told = [ExternalAnswer(receipt, unit_id=f"u-{n}", id=f"id-{n}") for n in range(5)]
    found: list[Any] = []

    def tell() -> None:
        try:
            found.append(record_external(SYSTEM, told))
        finally:
            connection.close()

    threads = [threading.Thread(target=tell) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(found) == 6 and all(one == found[0] for one in found)
    assert Message.objects.filter(is_external=True).count() == len(set(found[0])) == 5


@on_postgresql
@pytest.mark.django_db
def test_hot_queries_read_the_months_they_are_about(cast: Cast) -> None:
    rated = make_message(newest(make_prompt(cast.team)))
    assert set(answers_of([rated.uid])) == {rated.uid}
    month = monthly.month_of(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(
            "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
        )
        rows = Message.objects.with_uids([rated.uid]).order_by()
        plan = rows.explain(analyze=True)
        read = [line for line in plan.splitlines() if "chat_message_2" in line and "never executed" not in line]
        assert all(MESSAGES.part(month) in line for line in read) and read, plan
        stamped = Feedback.objects.filter(pk__in=[1], message__gte=rated.pk, message__lte=rated.pk).order_by().explain()
        assert RATINGS.part(month) in stamped and RATINGS.part(month + 1) not in stamped, stamped


def test_whatever_hangs_on_a_rating_goes_with_its_month() -> None:
    """And what came after ratings were divided has no foreign key in the database: PostgreSQL would refuse to make it."""
    to_it = {
        model: field
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if field.concrete and field.is_relation and field.related_model is Feedback
    }
    assert set(to_it) == set(months.ABOUT)
    with_key = {model.__name__.lower() for model, field in to_it.items() if field.db_constraint}
    divided = import_module("feedback.migrations.0012_ratings_by_month")
    assert with_key <= set(divided.ABOUT)


@pytest.mark.django_db
def test_the_job_makes_the_months_to_come_and_again_nothing(cast: Cast) -> None:
    before = monthly.parts(MESSAGES)
    assert keep_months() == 0 and monthly.parts(MESSAGES) == before
    assert make_message(newest(make_prompt(cast.team))).pk > 0
