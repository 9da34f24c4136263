"""Whether what somebody says fits the metric they say it in, and which columns hold it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from feedback.errors import UnknownMetric
from feedback.models import Feedback, Metric
from promptlab.lib.errors import FieldProblem, Invalid

RATING = "rating"
ALIASES = {"approval": RATING, "thumbs": RATING}
"""Other names of the metric that is always there."""
COUNTED = (Feedback.Source.END_USER, Feedback.Source.API)
"""Whose thumbs count in approval: what annotators and judges think is compared with it, not added to it."""
MAX_TEXT = 20_000
Kind = Metric.Kind
Value = bool | int | float | str
Metrics = Mapping[tuple[int, str], Metric]
"""Metrics by team id and short name."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What the columns of a row hold."""

    value: int | None = None
    score: float | None = None
    text: str = ""
    comment: str = ""


def declared(named: Iterable[tuple[int, str]]) -> Metrics:
    """Return the metrics of these teams and names, also those put away: one query, none for ratings alone."""
    wanted = {one for one in named if one[1] != RATING}
    if not wanted:
        return {}
    rows = Metric.objects.filter(team__in={team for team, _ in wanted}, key__in={key for _, key in wanted})
    return {(row.team_id, row.key): row for row in rows}


def fitted(team_id: int, key: str, value: Value | None, source: str, metrics: Metrics) -> Fitted:
    """Return the columns for what is said in the metric; None takes back. Raises UnknownMetric, Invalid for `value`."""
    metric = metrics.get((team_id, key))
    if key != RATING and (metric is None or (metric.archived_at is not None and value is not None)):
        raise unknown(team_id, key)
    if value is None:
        return Fitted()
    if metric is not None:
        return _in(metric, value)
    _check_thumb(value, "rating")
    assert isinstance(value, int)
    return Fitted(value=value) if source in COUNTED else Fitted(score=float(value))


def unknown(team_id: int, key: str) -> UnknownMetric:
    """Return the error that names the metrics a team has."""
    keys = [RATING, *Metric.objects.filter(team_id=team_id).active().values_list("key", flat=True)]
    error = UnknownMetric(metric=key[:50], known=", ".join(keys))
    error.problems = (FieldProblem("metric", error.detail, error.code),)
    return error


def _in(metric: Metric, value: Value) -> Fitted:
    """Return the columns for a value of a declared metric. Raises Invalid saying what the metric takes."""
    if metric.kind == Kind.THUMBS:
        _check_thumb(value, "value")
        return Fitted(score=float(value))
    if metric.kind == Kind.BOOLEAN:
        if not isinstance(value, bool):
            raise Invalid.field("value", f"{metric.key} is true or false.")
        return Fitted(score=float(value))
    if metric.kind == Kind.SCORE:
        return Fitted(score=_number(metric, value))
    if not isinstance(value, str) or not value.strip():
        raise Invalid.field("value", f"{metric.key} is told in words.")
    if metric.kind == Kind.CATEGORY and value not in metric.categories:
        raise Invalid.field("value", f"{metric.key} is one of: {', '.join(metric.categories)}.", code="invalid_choice")
    if len(value) > MAX_TEXT:
        raise Invalid.field("value", f"At most {MAX_TEXT} characters; this has {len(value)}.", code="max_length")
    return Fitted(text=value)


def _check_thumb(value: Value, field: str) -> None:
    # True is an int to Python, and 1.0 equals 1: neither is what somebody meant to send.
    if type(value) is not int or value not in (1, -1):
        raise Invalid.field(field, "A rating is 1 (thumbs-up) or -1 (thumbs-down).")


def _number(metric: Metric, value: Value) -> float:
    if isinstance(value, bool | str) or not math.isfinite(value):
        raise Invalid.field("value", f"{metric.key} is a number.")
    assert metric.low is not None and metric.high is not None
    if not metric.low <= value <= metric.high:
        raise Invalid.field("value", f"{metric.key} lies between {metric.low:g} and {metric.high:g}.", code="range")
    return float(value)
