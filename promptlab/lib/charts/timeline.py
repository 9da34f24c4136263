"""Lines over time, each named at its end."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from promptlab.lib.charts.figure import WIDE, Format, Row, Size, Words, figure, most, spoken
from promptlab.lib.charts.shapes import (
    DASHES,
    NOTHING,
    SERIES,
    Scale,
    coord,
    domain,
    join,
    mark,
    polygon,
    scale,
    stroke,
    text,
    ticks,
    tint,
)
from promptlab.lib.formats import fmt_day, fmt_pct, fmt_range

MAX_POINTS = 60
Bounds = Callable[[float | None, float | None], str]
LEFT, TOP, BOTTOM, HEIGHT = 62, 10, 220, 252


@dataclass(frozen=True)
class Series:
    """A value per label (None leaves a gap) and, where given, the edges of its band."""

    name: str
    values: Sequence[float | None]
    lows: Sequence[float | None] = ()
    highs: Sequence[float | None] = ()

    def last(self) -> float | None:
        """Return the newest known value."""
        return next((value for value in reversed(self.values) if value is not None), None)

    def told(self, at: int, fmt: Format, fmt_bounds: Bounds) -> Row:
        """Return the value at a position in words and, of a series with a band, its range."""
        return (fmt(self.values[at]), *([fmt_bounds(self.lows[at], self.highs[at])] if self.lows else []))

    def band(self) -> list[tuple[int, float, float]]:
        """Return (position, low, high) wherever both edges are known."""
        edges = enumerate(zip(self.lows, self.highs, strict=True))
        return [(at, low, high) for at, (low, high) in edges if low is not None and high is not None]


@dataclass(frozen=True)
class Moment:
    """What happened between two labels, or at one: `at` is a position, 2.5 lies between the third and the fourth."""

    at: float
    what: str


def line(
    labels: Sequence[str | date],
    series: Sequence[Series],
    band: bool = True,
    *,
    title: str = "",
    finding: str = "",
    caption: str = "",
    fmt: Format = fmt_pct,
    fmt_tick: Format | None = None,
    fmt_bounds: Bounds = fmt_range,
    zero: float | None = None,
    moments: Sequence[Moment] = (),
) -> SafeString:
    """Draw one line per series over `labels`. Empty without values.

    Values are taken as running totals: of more than 60 every seventh is kept, counted back from the newest.
    With `zero` it is a chart of changes: a dashed line lies there, and the series are the alternatives, as in
    `interval`. `moments` are upright lines with numbers, which the caption explains. `fmt_tick`: shorter, for the axis.
    """
    labels, series, moments = _thinned(labels, series, moments)
    values = [value for one in series for value in one.values if value is not None]
    if not values:
        return NOTHING
    edges = [edge for one in series for _at, *both in one.band() for edge in both] if band else []
    low, high = domain([*values, *edges, *([] if zero is None else [zero])])
    first = 0 if zero is None else 1
    days = [label if isinstance(label, str) else fmt_day(label) for label in labels]
    told = [[one.told(i, fmt, fmt_bounds) for one in series] for i in range(len(days))]
    table: list[Row] = [(day, *itertools.chain(*cells)) for day, cells in zip(days, told, strict=True)]

    def draw(size: Size) -> SafeString:
        x = scale(0, max(1, len(days) - 1), LEFT, _right(size))
        y = scale(low, high, BOTTOM, TOP)
        levels = join(_level(size, y(step), (fmt_tick or fmt)(step)) for step in ticks(low, high))
        zero_line = NOTHING if zero is None else stroke("zero", LEFT, y(zero), _right(size), y(zero))
        lines = join(_course(first + i, one, x, y, band) for i, one in enumerate(series))
        happened = join(_moment(number, x(one.at)) for number, one in enumerate(moments, 1))
        return join([levels, zero_line, happened, _days(size, days, x), lines, _names(size, series, y, first)])

    read = caption or (_("Line: the value to that day. Band: its likely range (%(share)s).") % most() if edges else "")
    words = Words(
        title or _("Thumbs-up rate over time"),
        finding or spoken((one.name, fmt(one.last())) for one in series),
        " ".join([read, *(f"{number}: {one.what}." for number, one in enumerate(moments, 1))]).strip(),
    )
    names = ((one.name, *([_("Likely range")] if one.lows else [])) for one in series)
    heads = (_("Day"), *(head for both in names for head in both))
    return figure(words, heads, table, draw, lambda size: HEIGHT)


Labels = Sequence[str | date]


def _thinned(
    labels: Labels, series: Sequence[Series], moments: Sequence[Moment]
) -> tuple[Labels, Sequence[Series], Sequence[Moment]]:
    if len(labels) <= MAX_POINTS:
        return labels, series, moments
    first = (len(labels) - 1) % 7
    keep = slice(first, None, 7)
    kept = [Series(s.name, s.values[keep], s.lows[keep], s.highs[keep]) for s in series]
    return labels[keep], kept, [Moment(max(0.0, (one.at - first) / 7), one.what) for one in moments]


def _moment(number: int, x: float) -> SafeString:
    return join([stroke("zero", x, TOP, x, BOTTOM), text("tick", x, TOP, str(number), "middle")])


def _right(size: Size) -> int:
    """Leave room for the names at the lines' ends."""
    return size.width - (130 if size is WIDE else 92)


def _course(index: int, series: Series, x: Scale, y: Scale, band: bool) -> SafeString:
    """Draw band, line and marks; a gap in the values is a gap in the line."""
    newest = len(series.values) - 1
    every = max(1, newest // 8)
    path, marks, pen_is_down = [], [], False
    for at, value in enumerate(series.values):
        if value is not None:
            path.append(f"{'L' if pen_is_down else 'M'}{coord(x(at))} {coord(y(value))}")
            if (newest - at) % every == 0:
                marks.append(mark(index, x(at), y(value), 4))
        pen_is_down = value is not None
    drawn = format_html(
        '<path class="line {}" d="{}" stroke-dasharray="{}"/>',
        tint(index),
        " ".join(path),
        DASHES[index % SERIES],
    )
    return join([_band(index, series, x, y) if band else NOTHING, drawn, *marks])


def _band(index: int, series: Series, x: Scale, y: Scale) -> SafeString:
    known = series.band()
    upper = [(x(at), y(high)) for at, _low, high in known]
    lower = [(x(at), y(low)) for at, low, _high in reversed(known)]
    return polygon(f"band {tint(index)}", [*upper, *lower]) if known else NOTHING


def _level(size: Size, y: float, words: str) -> SafeString:
    return join([stroke("grid", LEFT, y, _right(size), y), text("tick", LEFT - 8, y + 4, words, "end")])


def _days(size: Size, days: Sequence[str], x: Scale) -> SafeString:
    newest = len(days) - 1
    step = max(1, math.ceil(newest / (6 if size is WIDE else 2)))
    shown = [i for i in range(len(days)) if (newest - i) % step == 0]
    return join(text("tick", x(i), BOTTOM + 24, days[i], "middle") for i in shown)


def _names(size: Size, series: Sequence[Series], y: Scale, first: int) -> SafeString:
    """Name the lines, the names pushed at least one line of text apart, the lowest kept on the sheet."""
    gap = size.font + 3
    wanted = sorted((y(last), i) for i, one in enumerate(series) if (last := one.last()) is not None)
    placed: list[float] = []
    for at, _index in wanted:
        placed.append(max(at, placed[-1] + gap) if placed else at)
    lift = max(0.0, placed[-1] - BOTTOM - 4)
    x, limit = _right(size) + 10, 14 if size is WIDE else 9
    return join(
        text(f"name {tint(first + i)}", x, at - lift + 4, series[i].name, limit=limit)
        for at, (_y, i) in zip(placed, wanted, strict=True)
    )
