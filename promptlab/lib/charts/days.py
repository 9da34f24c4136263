"""Days or weeks side by side: stacked columns of counts, or rates with their likely ranges, and marks for what happened."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from promptlab.lib.charts.figure import WIDE, Format, Row, Size, Words, figure, most, spoken
from promptlab.lib.charts.shapes import NOTHING, Scale, coord, domain, join, mark, scale, stroke, text, ticks, tint
from promptlab.lib.charts.timeline import BOTTOM, HEIGHT, LEFT, Series
from promptlab.lib.formats import fmt_day, fmt_int, fmt_pct, fmt_range

TOP = 22
LETTER, APART = 0.6, 4
"""How wide a digit is in parts of the font's size, and how far numbers stay from each other."""
Marks = Mapping[int, str]
"""Place of a day -> what happened on it, in words."""


def columns(
    days: Sequence[date],
    series: Sequence[Series],
    marks: Marks | None = None,
    *,
    title: str,
    heading: str = "",
    caption: str = "",
    fmt: Format = fmt_int,
) -> SafeString:
    """Draw a column per day, of one part per series, always from 0. Empty without values; None counts as nothing."""
    totals = [math.fsum(one.values[at] or 0 for one in series) for at in range(len(days))]
    if not any(totals):
        return NOTHING
    marks, top = marks or {}, max(totals) * 1.04
    names = tuple(one.name for one in series)
    table = _table(days, [tuple(fmt(one.values[at]) for one in series) for at in range(len(days))], marks)

    def draw(size: Size) -> SafeString:
        x, y = _places(size, len(days), len(series) > 1), scale(0, top, BOTTOM, TOP)
        wide = max(1.0, (x(1) - x(0)) * 0.7)
        parts = [_column(at, series, x(at), wide, y) for at in range(len(days))]
        return join([_frame(size, days, x, y, 0, top, fmt), *parts, _marks(size, marks, x), _legend(size, series)])

    words = Words(title, _finding(days, totals, fmt), caption)
    return figure(words, (heading or _("Day"), *names, *_last_head(marks)), table, draw, lambda size: HEIGHT)


def rates(
    days: Sequence[date],
    series: Series,
    marks: Marks | None = None,
    *,
    title: str,
    heading: str = "",
    caption: str = "",
    fmt: Format = fmt_pct,
) -> SafeString:
    """Draw a mark per day with its likely range. Empty without values; days without one have no mark."""
    known = [one for row in (series.values, series.lows, series.highs) for one in row if one is not None]
    if not known:
        return NOTHING
    marks, (low, high) = marks or {}, domain(known)
    ranges = [fmt_range(*both) for both in zip(series.lows, series.highs, strict=True)]
    table = _table(days, [(fmt(value), ranges[at]) for at, value in enumerate(series.values)], marks)

    def draw(size: Size) -> SafeString:
        x, y = _places(size, len(days), False), scale(low, high, BOTTOM, TOP)
        parts = [_rate(series, at, x(at), y) for at in range(len(days))]
        return join([_frame(size, days, x, y, low, high, fmt), *parts, _marks(size, marks, x)])

    explained = (
        caption or _("Mark: the value of the day. Line: where the true value most likely is (%(share)s).") % most()
    )
    words = Words(title, _finding(days, series.values, fmt), explained)
    heads = (heading or _("Day"), series.name, _("Likely range"), *_last_head(marks))
    return figure(words, heads, table, draw, lambda size: HEIGHT)


def _table(days: Sequence[date], cells: Sequence[Row], marks: Marks) -> list[Row]:
    numbers = _numbers(marks)
    told = [((f"{numbers[at]}: {marks[at]}" if at in marks else "",) if marks else ()) for at in range(len(days))]
    return [(fmt_day(day), *cells[at], *told[at]) for at, day in enumerate(days)]


def _last_head(marks: Marks) -> Row:
    return (_("What happened"),) if marks else ()


def _numbers(marks: Marks) -> dict[int, int]:
    """Return what marks are called: 1, 2, ... in the order of time."""
    return {at: number for number, at in enumerate(sorted(marks), 1)}


def _finding(days: Sequence[date], values: Sequence[float | None], fmt: Format) -> str:
    """Return the lowest, the highest and the newest value in a sentence."""
    known = [(value, day) for value, day in zip(values, days, strict=True) if value is not None]
    told = ((_("Lowest"), min(known)), (_("Highest"), max(known)), (_("Newest"), known[-1]))
    return spoken((name, f"{fmt(value)} ({fmt_day(day)})") for name, (value, day) in told)


def _places(size: Size, number: int, has_names: bool) -> Scale:
    """Return where the middle of each day is; with room on the right for names where there are any."""
    right = size.width - ((130 if size is WIDE else 92) if has_names else 12)
    half = (right - LEFT) / number / 2
    return scale(0, max(1, number - 1), LEFT + half, right - half) if number > 1 else lambda at: LEFT + half + at * half


def _frame(size: Size, days: Sequence[date], x: Scale, y: Scale, low: float, high: float, fmt: Format) -> SafeString:
    """Draw the level lines with their numbers, and the days below."""
    right = x(len(days) - 1) + (x(1) - x(0)) / 2
    levels = [
        join([stroke("grid", LEFT, y(step), right, y(step)), text("tick", LEFT - 8, y(step) + 4, fmt(step), "end")])
        for step in ticks(low, high)
    ]
    newest = len(days) - 1
    step = max(1, math.ceil(newest / (6 if size is WIDE else 2)))
    named = [at for at in range(len(days)) if (newest - at) % step == 0]
    return join([*levels, *(text("tick", x(at), BOTTOM + 24, fmt_day(days[at]), "middle") for at in named)])


def _column(at: int, series: Sequence[Series], x: float, wide: float, y: Scale) -> SafeString:
    parts, below = [], 0.0
    for index, one in enumerate(series):
        value = one.values[at] or 0
        if value:
            parts.append(_part(index, x, wide, y(below + value), y(below)))
        below += value
    return join(parts)


def _part(index: int, x: float, wide: float, top: float, bottom: float) -> SafeString:
    return format_html(
        '<rect class="bar {}" x="{}" y="{}" width="{}" height="{}"/>',
        tint(index),
        coord(x - wide / 2),
        coord(top),
        coord(wide),
        # A hair of the ground between two parts, so that they can be told apart without colour.
        coord(max(bottom - top - 1, 0.5)),
    )


def _rate(series: Series, at: int, x: float, y: Scale) -> SafeString:
    value, low, high = series.values[at], series.lows[at], series.highs[at]
    if value is None:
        return NOTHING
    reach = NOTHING if low is None or high is None else stroke(tint(0), x, y(low), x, y(high))
    return join([reach, mark(0, x, y(value), 4)])


@dataclass(frozen=True, slots=True)
class Group:
    """Marks so close that their numbers would lie on each other: the places of the first and last, and their numbers."""

    left: float
    right: float
    first: int
    last: int

    @property
    def words(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"

    def reach(self, size: Size) -> tuple[float, float]:
        """Return where its words begin and end."""
        middle, half = (self.left + self.right) / 2, len(self.words) * size.font * LETTER / 2
        return middle - half, middle + half


def _grouped(size: Size, places: Sequence[float]) -> list[Group]:
    """Return the marks at these places, from left to right, those too close to each other as one."""
    found: list[Group] = []
    for number, at in enumerate(places, 1):
        group = Group(at, at, number, number)
        while found and found[-1].reach(size)[1] + APART > group.reach(size)[0]:
            before = found.pop()
            group = Group(before.left, group.right, before.first, group.last)
        found.append(group)
    return found


def _marks(size: Size, marks: Marks, x: Scale) -> SafeString:
    """Draw a thin dashed line for each day on which something happened, with its number above.

    Where they are crowded: a short line for each, whole ones for the first and last, and one number for all of them.
    """
    places = [x(at) for at in sorted(marks)]
    return join(_group(size, one, places[one.first - 1 : one.last]) for one in _grouped(size, places))


def _group(size: Size, group: Group, places: Sequence[float]) -> SafeString:
    head = TOP - 6
    whole = [stroke("zero then", at, head, at, BOTTOM) for at in {group.left: None, group.right: None}]
    short = [stroke("then", at, head, at, TOP) for at in places[1:-1]]
    across = [stroke("then", group.left, head, group.right, head)] if group.left != group.right else []
    # Words at an edge are pushed onto the sheet.
    left, right = group.reach(size)
    middle = (left + right) / 2 + max(0.0, -left) - max(0.0, right - size.width)
    return join([*whole, *short, *across, text("tick", middle, TOP - 10, group.words, "middle")])


def _legend(size: Size, series: Sequence[Series]) -> SafeString:
    """Name the parts in the order in which they lie on each other, each with its mark."""
    if len(series) < 2:
        return NOTHING
    left, gap, limit = size.width - (116 if size is WIDE else 84), size.font + 8, 12 if size is WIDE else 8
    upmost = len(series) - 1
    return join(
        join(
            [
                mark(index, left, TOP + 4 + (upmost - index) * gap, 4),
                text(f"name {tint(index)}", left + 10, TOP + 9 + (upmost - index) * gap, one.name, limit=limit),
            ]
        )
        for index, one in enumerate(series)
    )
