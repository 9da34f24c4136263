"""Rounds of annotation: beginning one with a sample of answers, and ending it."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from feedback.models import AnnotationItem, AnnotationRound, Metric
from feedback.services.fitting import RATING, unknown
from promptlab.accounts.access import Principal, require
from promptlab.audit.recorder import record
from promptlab.chat.models import Message
from promptlab.lib.errors import Invalid
from prompts.models import Prompt

WRITE = "prompt.write"
MOST = 500
POOL = 5_000
"""The newest answers that a sample is drawn from."""
RATEABLE = (Metric.Kind.THUMBS, Metric.Kind.BOOLEAN, Metric.Kind.CATEGORY, Metric.Kind.SCORE)


def start_round(
    actor: Principal, prompt: Prompt, *, title: str, metric: str = RATING, answers: int = 50, days: int = 30
) -> AnnotationRound:
    """Draw so many answers of the last days at random for colleagues to rate. Raises Invalid, UnknownMetric."""
    require(actor, WRITE, prompt.team_id)
    if not title.strip():
        raise Invalid.field("title", "Give the round a title.", code="required")
    if not 1 <= answers <= MOST:
        raise Invalid.field("answers", f"From 1 to {MOST} answers.", code="out_of_range")
    known = Metric.objects.active().filter(team=prompt.team_id, key=metric).first()
    if metric != RATING and known is None:
        raise unknown(prompt.team_id, metric)
    if known is not None and known.kind not in RATEABLE:
        raise Invalid.field(
            "metric", gettext_noop("Words cannot be compared: choose thumbs, yes or no, a category or a score.")
        )
    since = timezone.now() - timedelta(days=days)
    rows = Message.objects.answers().filter(version__prompt=prompt, created_at__gte=since, purged_at=None)
    pool = list(rows.exclude(content="").order_by("-pk").values_list("pk", flat=True)[:POOL])
    if not pool:
        raise Invalid.field("days", gettext_noop("There is no answer of this prompt in that time."))
    drawn = secrets.SystemRandom().sample(pool, min(answers, len(pool)))
    with transaction.atomic():
        made = AnnotationRound.objects.create(
            team_id=prompt.team_id, prompt=prompt, title=title.strip()[:100], metric=metric
        )
        AnnotationItem.objects.bulk_create(AnnotationItem(round=made, message_id=pk) for pk in drawn)
        after = {"metric": metric, "answers": len(drawn)}
        record(actor, "annotation.started", made, team_id=made.team_id, after=after)
    return made


def close_round(actor: Principal, annotation: AnnotationRound) -> None:
    """End a round: nobody rates in it any more. Again changes nothing."""
    require(actor, WRITE, annotation.team_id)
    with transaction.atomic():
        locked = AnnotationRound.objects.select_for_update(of=("self",)).get(pk=annotation.pk)
        if locked.closed_at is None:
            locked.closed_at = timezone.now()
            locked.save(update_fields=["closed_at"])
            record(actor, "annotation.ended", locked, team_id=locked.team_id)
