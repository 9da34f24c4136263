"""What a team lets be said of answers: declaring metrics, changing them, putting them away."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from feedback.errors import MetricTaken
from feedback.models import Metric
from feedback.services.fitting import ALIASES, RATING
from promptlab.accounts.access import Principal, require
from promptlab.audit.recorder import record
from promptlab.lib.errors import Invalid

KEY = re.compile(r"[a-z][a-z0-9_]{0,49}\Z")
RESERVED = frozenset({RATING, *ALIASES, "id", "feedback_id", "message_id", "user", "comment"})
MOST = 50
MOST_CATEGORIES = 50
LONGEST_CATEGORY = 100
ADMIN = "team.admin"


class MetricChanges(TypedDict, total=False):
    """What to change; what is missing stays. The short name and the kind never change: ratings were said in them."""

    title: str
    low: float
    high: float
    is_higher_better: bool
    categories: Sequence[str]
    is_archived: bool


def declare_metric(
    actor: Principal,
    team_id: int,
    *,
    key: str,
    kind: str,
    title: str = "",
    low: float = 0,
    high: float = 1,
    is_higher_better: bool = True,
    categories: Sequence[str] = (),
) -> Metric:
    """Let something be said of a team's answers. Scores lie between `low` and `high`, categories are one of a list.

    Raises MetricTaken, Invalid naming the field.
    """
    require(actor, ADMIN, team_id)
    if not KEY.match(key):
        raise Invalid.field(
            "key", gettext_noop("A short name begins with a small letter and has small letters, digits and _.")
        )
    if key in RESERVED:
        raise Invalid.field("key", f"{key} is built in. Choose another name.", code="name_reserved")
    if kind not in Metric.Kind.values:
        raise Invalid.field("kind", f"One of: {', '.join(Metric.Kind.values)}.", code="invalid_choice")
    if Metric.objects.filter(team_id=team_id).count() >= MOST:
        raise Invalid.field("key", f"A team has at most {MOST} metrics.", code="too_many")
    metric = Metric(team_id=team_id, key=key, kind=kind, title=title.strip()[:100] or key)
    metric.is_higher_better = is_higher_better
    if kind == Metric.Kind.SCORE:
        metric.low, metric.high = low, high
    metric.categories = list(categories) if kind == Metric.Kind.CATEGORY else []
    _check(metric)
    try:
        with transaction.atomic():
            metric.save()
            record(actor, "metric.declared", metric, team_id=team_id, after=_told(metric))
    except IntegrityError as error:
        raise MetricTaken(metric=key) from error
    return metric


def change_metric(actor: Principal, metric: Metric, changes: MetricChanges) -> Metric:
    """Change a metric, put it away, or bring it back. The same again changes nothing. Raises Invalid naming the field.

    What was said before stays as it was said, also outside of a new range.
    """
    require(actor, ADMIN, metric.team_id)
    with transaction.atomic():
        locked: Metric = Metric.objects.select_for_update().get(pk=metric.pk)
        before = _told(locked)
        locked.title = changes.get("title", "").strip()[:100] or locked.title
        locked.is_higher_better = changes.get("is_higher_better", locked.is_higher_better)
        if locked.kind == Metric.Kind.SCORE:
            locked.low, locked.high = changes.get("low", locked.low), changes.get("high", locked.high)
        if locked.kind == Metric.Kind.CATEGORY:
            locked.categories = list(changes.get("categories", locked.categories))
        is_archived = changes.get("is_archived", locked.archived_at is not None)
        locked.archived_at = (locked.archived_at or timezone.now()) if is_archived else None
        _check(locked)
        after = {name: value for name, value in _told(locked).items() if value != before[name]}
        if after:
            locked.save()
            old = {name: before[name] for name in after}
            record(actor, "metric.changed", locked, team_id=locked.team_id, before=old, after=after)
    return locked


def _check(metric: Metric) -> None:
    low, high = metric.low, metric.high
    if low is not None and high is not None and not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise Invalid.field("high", gettext_noop("The highest score is above the lowest one."), code="range")
    if metric.kind != Metric.Kind.CATEGORY:
        return
    words = metric.categories
    if not 2 <= len(words) <= MOST_CATEGORIES or len(set(words)) < len(words):
        raise Invalid.field("categories", f"2 to {MOST_CATEGORIES} different words to choose from.")
    if any(not word.strip() or len(word) > LONGEST_CATEGORY for word in words):
        raise Invalid.field("categories", f"Each has 1 to {LONGEST_CATEGORY} characters.", code="max_length")


def _told(metric: Metric) -> Mapping[str, Any]:
    names = ("key", "kind", "title", "low", "high", "is_higher_better", "categories")
    return {**{name: getattr(metric, name) for name in names}, "is_archived": metric.archived_at is not None}
