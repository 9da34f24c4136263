"""Texts that a team does not keep: removed, or without what they must not hold. What was counted stays."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import CharField, F, Value
from django.db.models.functions import Cast, Concat
from django.utils import timezone

from feedback.models import Feedback, FeedbackChange, FeedbackReceipt, Label, Metric, Note, Privacy
from feedback.services import replaying
from promptlab import llm
from promptlab.chat.models import Retention
from promptlab.chat.services import purging
from promptlab.lib.logs import get_logger

log = get_logger(__name__)
TIDY_TASK = "feedback.tidy_texts"
BATCH = 500
GOES_ON = timedelta(minutes=10)
"""How long texts that are not kept are there after an answer ended: so long a conversation can go on."""
NOBODY = "purged-"
"""What raters are called of whom nothing is known any more, with the id of the row: one rating each, as before."""


def tidy_texts(now: datetime | None = None) -> int:
    """Do for every team what it says of texts, and return how many rows changed. Safe to repeat and to break off."""
    moment = now or timezone.now()
    changed = 0
    for row in Privacy.objects.select_related("team").exclude(keeps_text=True, masked=""):
        if not row.keeps_text:
            changed += purging.purge_team(row.team, moment - GOES_ON)
        else:
            changed += _mask_messages(row)
    for retention in Retention.objects.all():
        changed += _purge_ratings(retention.team_id, moment - timedelta(days=retention.days))
    changed += replaying.forget_purged()
    if changed:
        log.info("texts_tidied", rows=changed)
    return changed


def _mask_messages(row: Privacy) -> int:
    """Replace what the team's messages must not hold, in those that came since the last time."""
    masks, total = llm.Masks(tuple(row.masked.split())), 0
    while True:
        with transaction.atomic():
            held = Privacy.objects.select_for_update(of=("self",)).get(pk=row.pk)
            last, masked = purging.mask_messages(held.team_id, masks, held.messages_to, BATCH)
            if last == held.messages_to:
                return total
            held.messages_to = last
            held.save(update_fields=["messages_to"])
        total += masked


def _purge_ratings(team_id: int, before: datetime) -> int:
    """Take words and raters off ratings that were first given before, in the order of their ids."""
    Privacy.objects.get_or_create(team_id=team_id)
    total = 0
    while True:
        with transaction.atomic():
            held = Privacy.objects.select_for_update(of=("self",)).get(team_id=team_id)
            rows = Feedback.objects.filter(team_id=team_id, pk__gt=held.ratings_to, created_at__lt=before)
            ids = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
            if not ids:
                return total
            purged = Feedback.objects.filter(pk__in=ids)
            named = Concat(Value(NOBODY), Cast(F("pk"), CharField()))
            # Of what is said in words alone nothing is left, as if it had been taken back.
            purged.update(comment="", rater=named)
            purged.exclude(text="").exclude(metric__in=categories_of(team_id)).update(text="")
            FeedbackReceipt.objects.filter(feedback__in=ids).delete()
            FeedbackChange.objects.filter(feedback__in=ids).delete()
            Note.objects.filter(feedback__in=ids).delete()
            Label.objects.filter(feedback__in=ids).delete()
            held.ratings_to = ids[-1]
            held.save(update_fields=["ratings_to"])
        total += len(ids)


def categories_of(team_id: int) -> list[str]:
    """Return the metrics in which one of a list is said: no words of anybody's own."""
    metrics = Metric.objects.filter(team_id=team_id, kind=Metric.Kind.CATEGORY)
    return list(metrics.values_list("key", flat=True))
