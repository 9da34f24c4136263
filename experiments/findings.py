"""What the guard found, as people read it: the change, how sure, the limit, and one word for all of it. No queries."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from promptlab.lib.charts import Interval, interval
from promptlab.lib.formats import DASH, MINUS, NO_BREAK, fmt_chance, fmt_int, fmt_pct, fmt_points, fmt_range

METRICS: Mapping[str, Any] = {
    "approval": gettext_lazy("Thumbs-up rate"),
    "success": gettext_lazy("Answers without an error"),
    "latency": gettext_lazy("Wait"),
    "format": gettext_lazy("Answers in the right format"),
}


Numbers = tuple[float | None, float | None, float | None, float | None]
"""Change, low, high, limit."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One metric of one text against the current one. `kind`: ok, warn, bad, or neutral while there is too little.

    `span` is where the true change most likely lies; `counted` says what it rests on.
    """

    metric: str
    label: str
    text: str
    change: str
    span: str
    limit: str
    counted: str
    kind: str
    words: str
    numbers: Numbers

    @property
    def chart(self) -> SafeString:
        """The change with its range between no change and the limit, as a drawing."""
        return _drawn(self)


def shown(finding: Mapping[str, Any], text: str) -> Shown:
    """Return a finding of the guard (`guardrails.Finding` as JSON) about the text that people call so."""
    metric = finding["metric"]
    value, low, high, limit = (_towards_more(metric, number) for number in _numbers(finding))
    if low is not None and high is not None and low > high:
        low, high = high, low
    label = str(METRICS[metric])
    kind, words = _judged(finding)
    write = _write(metric)
    return Shown(
        metric=metric,
        label=label,
        text=text,
        change=write(value),
        span=_span(metric)(low, high),
        limit=write(limit),
        counted=_("%(new)s against %(current)s")
        % {"new": fmt_int(finding["treatment_events"]), "current": fmt_int(finding["control_events"])},
        kind=kind,
        words=words,
        numbers=(value, low, high, limit),
    )


def _drawn(one: Shown) -> SafeString:
    value, low, high, limit = one.numbers
    caption = _("Dashed: no change. Upright line: the limit (%(limit)s). Mark and line: the change and its range.")
    return interval(
        [Interval(one.text, value, low, high)],
        zero=0.0,
        limit=limit,
        title=_("%(metric)s of %(text)s: change against the current text") % {"metric": one.label, "text": one.text},
        caption=caption % {"limit": one.limit},
        heading=_("Change"),
        fmt=_write(one.metric),
        fmt_tick=lambda change: _write(one.metric)(change).split(NO_BREAK)[0],
        fmt_bounds=_span(one.metric),
    )


def line(finding: Mapping[str, Any], text: str) -> str:
    """Return a finding as one sentence, without a drawing."""
    one = shown(finding, text)
    return _("%(metric)s: %(change)s (%(span)s), limit %(limit)s, %(counted)s. %(words)s.") % {
        "metric": one.label,
        "change": one.change,
        "span": one.span,
        "limit": one.limit,
        "counted": one.counted,
        "words": one.words,
    }


def changes(names: Mapping[str, str], results: Mapping[str, Any]) -> str:
    """Return each alternative of a kept analysis with its change, its range and how sure that is; "" before there is one.

    `Thumbs-up rate against the current text: Shorter: −2.1 points (−5.4 to +1.2 points), chance to be better 12 %.`
    """
    parts = [
        f"{names.get(key, key)}: {fmt_points(one['change'])} ({fmt_range(*one['range'], unit='points')}), {_sure(one)}"
        for key, one in results["changes"].items()
        if one["change"] is not None
    ]
    return _("Thumbs-up rate against the current text: %(changes)s.") % {"changes": "; ".join(parts)} if parts else ""


def _sure(change: Mapping[str, Any]) -> str:
    return _("chance to be better %(chance)s") % {"chance": fmt_chance(change["chance_to_win"])}


def _numbers(finding: Mapping[str, Any]) -> Numbers:
    """Return change, low, high and limit, all towards better, as the guard keeps them."""
    change, upper = finding["change"], finding["upper"]
    low = None if upper is None else 2 * change - upper
    return change, low, upper, -finding["margin"]


def _towards_more(metric: str, number: float | None) -> float | None:
    """Return a change as readers think of it: a wait is longer by so much of itself, all else is in shares."""
    if number is None or metric != "latency":
        return number
    return math.expm1(min(-number, 50.0))


def _judged(finding: Mapping[str, Any]) -> tuple[str, str]:
    upper = finding["upper"]
    if finding["is_harmful"]:
        return "bad", _("Over the limit, proven")
    if not finding["has_enough"]:
        return "neutral", _("Too little to judge")
    if finding["change"] <= -finding["margin"]:
        return "warn", _("Watch: over the limit, not proven")
    if upper is not None and upper < 0:
        return "warn", _("Watch: worse, within the limit")
    return "ok", _("Fine")


def _write(metric: str) -> Callable[[float | None], str]:
    return _percent_more if metric == "latency" else fmt_points


def _span(metric: str) -> Callable[[float | None, float | None], str]:
    if metric != "latency":
        return lambda low, high: fmt_range(low, high, unit="points")
    return _percents


def _percents(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return DASH
    return _("%(low)s to %(high)s") % {"low": _percent_more(low), "high": _percent_more(high)}


def _percent_more(change: float | None) -> str:
    """Write a relative change, always signed: `+12.5 %`."""
    text = fmt_pct(change)
    is_signed = change is None or text.startswith(MINUS) or not any(digit in text for digit in "123456789")
    return text if is_signed else f"+{text}"
