"""From the outbox to the receivers. Rows are claimed with a lease; nobody talks to the network inside a transaction."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from promptlab.accounts.access import SYSTEM
from promptlab.audit.recorder import record
from promptlab.hooks.models import Delivery, Endpoint, MailKind, OutboxEvent
from promptlab.hooks.services import leasing, mailing
from promptlab.hooks.services.mailing import Page
from promptlab.hooks.services.posting import Outcome, parcel, post_all
from promptlab.lib.logs import get_logger

log = get_logger(__name__)
LONGEST_WAIT_S = 86_400.0
PATIENCE = timedelta(days=5)
"""An endpoint that fails for so long, without one success, is switched off."""


def sweep() -> int:
    """Write the deliveries of new events and send what is due; return how many were sent."""
    while fan_out():
        pass
    return leasing.send_all(send_due)


@transaction.atomic
def fan_out(limit: int = 200) -> int:
    """Write a delivery of each new event for every endpoint that wants it; return how many events that were."""
    waiting = OutboxEvent.objects.not_fanned_out().select_for_update(skip_locked=True, no_key=True)
    events: list[OutboxEvent] = list(waiting[:limit])
    if not events:
        return 0
    endpoints = defaultdict(list)
    for endpoint in Endpoint.objects.filter(team_id__in={event.team_id for event in events}, is_active=True):
        endpoints[endpoint.team_id].append(endpoint)
    Delivery.objects.bulk_create(
        Delivery(endpoint=endpoint, event=event)
        for event in events
        for endpoint in endpoints[event.team_id]
        if endpoint.wants(event)
    )
    OutboxEvent.objects.filter(pk__in=[event.pk for event in events]).update(fanned_out_at=timezone.now())
    return len(events)


def send_due(limit: int = leasing.AT_ONCE) -> int:
    """Send up to `limit` deliveries that are due, all at once, and note how each went; return how many."""
    claimed = _claim(limit)
    if not claimed:
        return 0
    outcomes = post_all([parcel(delivery) for delivery in claimed])
    for delivery, outcome in zip(claimed, outcomes, strict=True):
        _settle(delivery, outcome)
    return len(claimed)


def _claim(limit: int) -> list[Delivery]:
    return leasing.claim(Delivery.objects.due().select_related("endpoint", "event"), limit)


@transaction.atomic
def _settle(delivery: Delivery, outcome: Outcome) -> None:
    """Note how an attempt went."""
    log.info("webhook_sent", delivery=delivery.pk, status=outcome.status, error=outcome.error)
    if outcome.is_success:
        leasing.delivered(delivery, last_status=outcome.status)
        Endpoint.objects.filter(pk=delivery.endpoint_id, failing_since__isnull=False).update(failing_since=None)
        return
    least_s = min(outcome.retry_after_s, LONGEST_WAIT_S)
    leasing.failed(delivery, outcome.error, is_over=outcome.is_gone, least_s=least_s, last_status=outcome.status)
    _note_failure(delivery.endpoint_id, outcome)


def _note_failure(endpoint_id: int, outcome: Outcome) -> None:
    """Remember since when an endpoint fails; switch it off when it says so, or after days without one success."""
    endpoint = Endpoint.objects.select_for_update(no_key=True).filter(pk=endpoint_id, is_active=True).first()
    if endpoint is None:
        return
    now = timezone.now()
    if outcome.is_gone:
        _switch_off(endpoint, "The receiver answered 410: it wants to hear nothing more.", now)
    elif endpoint.failing_since is None:
        endpoint.failing_since = now
        endpoint.save(update_fields=["failing_since"])
    elif now - endpoint.failing_since > PATIENCE:
        _switch_off(endpoint, f"Nothing could be delivered for {PATIENCE.days} days.", now)


def _switch_off(endpoint: Endpoint, reason: str, now: datetime) -> None:
    endpoint.is_active, endpoint.disabled_at, endpoint.disabled_reason = False, now, reason
    endpoint.save(update_fields=["is_active", "disabled_at", "disabled_reason"])
    log.warning("webhook_switched_off", endpoint=endpoint.pk, reason=reason)
    after = {"is_active": False}
    record(SYSTEM, "webhook.disabled", endpoint, team_id=endpoint.team_id, after=after, note=reason)
    people = mailing.holders("webhook.admin", endpoint.team_id)
    where = Page("hooks_endpoint_change", endpoint.pk)
    mailing.tell(SYSTEM, MailKind.WEBHOOK_OFF, people, endpoint.team_id, where, webhook=endpoint.host, reason=reason)
