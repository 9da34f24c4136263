"""What was told long ago is forgotten; what waits to be told is not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from promptlab.accounts.access import SYSTEM, Role
from promptlab.accounts.models import Team
from promptlab.hooks.models import Delivery, Endpoint, Mail, MailKind, OutboxEvent
from promptlab.hooks.services import endpoints, mailing, pruning, sending
from promptlab.hooks.services.mailing import Page
from promptlab.hooks.services.outbox import emit
from promptlab.hooks.tasks import prune
from tests.support.make import make_team, make_user

pytestmark = pytest.mark.django_db
State = Delivery.State


@pytest.fixture
def endpoint(team: Team) -> Endpoint:
    return endpoints.create_endpoint(SYSTEM, team.pk, url="https://hooks.example.com/in")[0]


def happen(team: Team, state: str, *, days: int, is_told: bool = True) -> OutboxEvent:
    """Return an event of so many days ago, with its deliveries in a state."""
    with transaction.atomic():
        event = emit(team.pk, "prompt.created", {"prompt": "greeting"}, about="prompts/greeting")
    if is_told:
        sending.fan_out()
    then = timezone.now() - timedelta(days=days, minutes=1)
    OutboxEvent.objects.filter(pk=event.pk).update(created_at=then)
    Delivery.objects.filter(event=event).update(state=state, created_at=then)
    return event


def write(team: Team, state: str, *, days: int) -> Mail:
    dora = make_user("", team, Role.WRITER, email="dora@example.com")
    with transaction.atomic():
        mailing.tell(SYSTEM, MailKind.MENTION, [dora.pk], team.pk, Page("prompts_prompt_change", 1))
    then = timezone.now() - timedelta(days=days, minutes=1)
    Mail.objects.filter(user=dora).update(state=state, created_at=then)
    found: Mail = Mail.objects.get(user=dora)
    return found


@pytest.mark.parametrize(
    ("state", "days", "is_kept"),
    [
        (State.DELIVERED, 29, True),
        (State.DELIVERED, 30, False),
        (State.DEAD, 30, False),
        (State.WAITING, 300, True),
        (State.FAILED, 300, True),
    ],
)
def test_the_old_goes_and_the_waiting_stays(
    team: Team, endpoint: Endpoint, state: str, days: int, is_kept: bool
) -> None:
    happen(team, state, days=days)
    write(team, state, days=days)
    prune()
    kept = [model.objects.exists() for model in (OutboxEvent, Delivery, Mail)]
    assert kept == [is_kept] * 3


def test_an_event_that_nobody_wanted_goes_and_one_not_fanned_out_stays(team: Team) -> None:
    happen(team, State.DELIVERED, days=40)
    waiting = happen(team, State.DELIVERED, days=40, is_told=False)
    prune()
    assert list(OutboxEvent.objects.all()) == [waiting]


def test_an_event_stays_while_one_of_its_receivers_waits(team: Team, endpoint: Endpoint) -> None:
    endpoints.create_endpoint(SYSTEM, team.pk, url="https://other.example.com/in")
    event = happen(team, State.DELIVERED, days=40)
    Delivery.objects.filter(event=event, endpoint=endpoint).update(state=State.FAILED)
    prune()
    assert (OutboxEvent.objects.count(), [one.endpoint for one in Delivery.objects.all()]) == (1, [endpoint])


def test_how_long_it_is_kept_is_a_setting(team: Team, endpoint: Endpoint, settings: Any) -> None:
    happen(team, State.DELIVERED, days=3)
    prune()
    assert Delivery.objects.count() == 1
    settings.OUTBOX_KEEP_DAYS = 2
    prune()
    assert Delivery.objects.count() == OutboxEvent.objects.count() == 0


def test_it_works_in_batches(team: Team, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "AT_ONCE", 2)
    for _ in range(5):
        happen(team, State.DELIVERED, days=40)
    assert pruning.prune() == 10
    assert pruning.prune() == 0


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_delivery_that_is_sent_again_in_this_moment_is_not_removed() -> None:
    """It is locked by whoever sends it again, so it is passed over; and afterwards it waits."""
    team = make_team()
    endpoints.create_endpoint(SYSTEM, team.pk, url="https://hooks.example.com/in")
    happen(team, State.DELIVERED, days=40)

    def prune_elsewhere() -> int:
        try:
            return pruning.prune()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        endpoints.replay(SYSTEM, Delivery.objects.get())
        assert pool.submit(prune_elsewhere).result(timeout=30) == 0
    assert pruning.prune() == 0
    assert Delivery.objects.get().state == State.WAITING
