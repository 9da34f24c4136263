"""The charts of an experiment. Numbers come finished; what each one means stands in docs/statistics.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from experiments.dashboards import words
from experiments.results import Day, VariantResult
from promptlab.audit.models import AuditEntry
from promptlab.lib.charts import Bar, Interval, Moment, Series, bars, interval, line, split
from promptlab.lib.charts.figure import most
from promptlab.lib.formats import NO_BREAK, fmt_day, fmt_points, fmt_range

Named = Mapping[str, VariantResult]
"""The variants by what charts call them, the control first."""


def approval(named: Named) -> SafeString:
    """Draw the rate of each text with its likely range."""
    return interval([Interval(name, one.approval, one.low, one.high) for name, one in named.items()])


def people(named: Named) -> SafeString:
    """Draw which share of people met each text, and which should have."""
    whole = sum(one.share_bp for one in named.values())
    return split(
        {name: one.share_bp / whole for name, one in named.items() if whole},
        {name: one.units for name, one in named.items()},
        title=_("People per text: expected and seen"),
        counted=_("People"),
    )


def changes(named: Named, found: Mapping[str, Any]) -> SafeString:
    """Draw how much better or worse each alternative is than the current text."""
    rows = [
        Interval(name, found[one.key]["change"], *(found[one.key]["range"] or (None, None)))
        for name, one in named.items()
        if one.key in found
    ]
    return interval(
        rows,
        zero=0.0,
        title=_("Change of the thumbs-up rate against the current text"),
        heading=_("Change"),
        caption=_("Mark: the change so far. Line: where the true one most likely is, whenever you look (%(share)s).")
        % most(),
        fmt=fmt_points,
        fmt_tick=_in_points,
        fmt_bounds=partial(fmt_range, unit="points"),
    )


def _in_points(change: float | None) -> str:
    """Write a change on an axis: without its unit, which would not fit on a phone."""
    return fmt_points(change).split(NO_BREAK)[0]


def over_time(named: Named, days: Sequence[Day], log: Sequence[AuditEntry]) -> SafeString:
    """Draw the change day by day with its range, and what happened meanwhile. Empty below two days."""
    names = {one.key: name for name, one in named.items() if not one.is_control}
    rows = _with_gaps(days)
    if sum(day is not None for _label, day in rows) < 2:
        return SafeString("")
    series = [
        _series(name, [day.changes.get(key) if day else None for _label, day in rows]) for key, name in names.items()
    ]
    return line(
        [label for label, _day in rows],
        series,
        title=_("Change against the current text, day by day"),
        fmt=fmt_points,
        caption=_("Line: the change up to that day, in points. Band: its likely range (%(share)s). Dashed: no change.")
        % most(),
        fmt_tick=_in_points,
        fmt_bounds=partial(fmt_range, unit="points"),
        zero=0.0,
        moments=_moments([day for _label, day in rows], log),
    )


def _series(name: str, found: Sequence[Mapping[str, Any] | None]) -> Series:
    ranges = [(one and one.get("range")) or (None, None) for one in found]
    values = [one["change"] if one else None for one in found]
    return Series(name, values, [low for low, _high in ranges], [high for _low, high in ranges])


def _with_gaps(days: Sequence[Day]) -> list[tuple[str, Day | None]]:
    """Return the days with their labels; where a phase begins, counting began anew, and there is a gap."""
    rows: list[tuple[str, Day | None]] = []
    for before, day in zip([None, *days], days, strict=False):
        if before is not None and before.phase != day.phase:
            rows.append((_("Phase %(number)s") % {"number": day.phase}, None))
        rows.append((fmt_day(day.at), day))
    return rows


def _moments(days: Sequence[Day | None], log: Sequence[AuditEntry]) -> list[Moment]:
    """Return what happened, oldest first, between the days it happened between."""
    found = []
    for entry in sorted((one for one in log if one.verb in words.MARKED), key=lambda one: one.at):
        first_after = next((i for i, day in enumerate(days) if day is not None and day.at >= entry.at), len(days))
        at = min(max(first_after - 0.5, 0.0), len(days) - 1.0)
        found.append(Moment(at, f"{fmt_day(entry.at)} {words.HAPPENED[entry.verb]}"))
    return found


def waits(named: Named, found: Mapping[str, Any]) -> SafeString:
    """Draw how long answers take: half, and 95 of 100."""
    rows = [
        Bar(name, found[one.key]["wait_ms"]["p50"], found[one.key]["wait_ms"]["p95"])
        for name, one in named.items()
        if one.key in found
    ]
    return bars(rows)
