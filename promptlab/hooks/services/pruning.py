"""Forgetting what was told long ago, so that the tables stay small."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from promptlab.hooks.models import Delivery, Mail, OutboxEvent
from promptlab.lib.batches import in_batches

PRUNE_TASK = "hooks.prune"
AT_ONCE = 1000


def prune() -> int:
    """Remove mails, deliveries and events that are older than `OUTBOX_KEEP_DAYS`; return how many.

    What still waits to be sent stays however old it is, with its event; what was given up goes like what was delivered.
    """
    before = timezone.now() - timedelta(days=settings.OUTBOX_KEEP_DAYS)
    forgotten = (_old(Mail.objects.settled(), before), _old(Delivery.objects.settled(), before), _told(before))
    return sum(in_batches(partial(_remove, rows), AT_ONCE) for rows in forgotten)


def _old(rows: QuerySet[Any], before: datetime) -> QuerySet[Any]:
    return rows.filter(created_at__lt=before)


def _told(before: datetime) -> QuerySet[Any]:
    """Return old events that wait for nothing any more."""
    kept = Delivery.objects.filter(event=OuterRef("pk"))
    return _old(OutboxEvent.objects.exclude(fanned_out_at=None), before).filter(~Exists(kept))


@transaction.atomic
def _remove(rows: QuerySet[Any], limit: int) -> int:
    """Remove up to `limit` rows, in an order that no index has to be read twice for; return how many.

    They are locked first: a delivery that somebody sends again in this moment is not one of them any more.
    """
    locked = rows.order_by("pk").select_for_update(skip_locked=True, of=("self",))
    found = [row.pk for row in locked.only("pk")[:limit]]
    rows.model._default_manager.filter(pk__in=found).delete()
    return len(found)
