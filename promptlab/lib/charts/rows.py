"""Charts with one row per text: likely ranges, traffic split, bars. Name left, drawing, number right."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from promptlab.lib.charts.figure import Format, Row, Size, Words, figure, most, spoken
from promptlab.lib.charts.shapes import (
    NOTHING,
    Scale,
    bar,
    domain,
    join,
    mark,
    scale,
    stroke,
    text,
    ticks,
    tint,
)
from promptlab.lib.formats import fmt_int, fmt_ms, fmt_pct, fmt_range

Draw = Callable[[int, float], SafeString]
WIDEST = 0.64
"""How wide a letter of a number may be, in parts of the font's size."""


@dataclass(frozen=True)
class Interval:
    """A value and the range the true one most likely lies in; None where nothing is known yet."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Bar:
    """A bar from 0 to `value` and, where given, a line on to `upto` (half under, 95 % under)."""

    name: str
    value: float | None
    upto: float | None = None


def interval(
    rows: Sequence[Interval],
    zero: float | None = None,
    *,
    limit: float | None = None,
    title: str = "",
    finding: str = "",
    caption: str = "",
    heading: str = "",
    fmt: Format = fmt_pct,
    fmt_tick: Format | None = None,
    fmt_bounds: Callable[[float | None, float | None], str] = fmt_range,
) -> SafeString:
    """Draw a mark with its likely range per row. Empty without values.

    With `zero` it is a chart of changes: a dashed line stands there, and the rows are the alternatives, whose
    marks start at the second (the current text is always the first, and has no change). `limit`: a whole line.
    `fmt_tick`: shorter, for the axis.
    """
    known = [number for row in rows for number in (row.value, row.low, row.high) if number is not None]
    if not known:
        return NOTHING
    low, high = domain([*known, *(at for at in (zero, limit) if at is not None)])
    first = 0 if zero is None else 1
    table: list[Row] = [(row.name, fmt(row.value), fmt_bounds(row.low, row.high)) for row in rows]

    def draw(size: Size) -> SafeString:
        x = scale(low, high, size.label + 8, size.width - size.value - 16)
        uprights = [("zero", zero), ("goal", limit)]
        lines = join(_upright(size, css, x(at), len(rows)) for css, at in uprights if at is not None)
        marks = _lines(size, [row[:2] for row in table], lambda i, y: _whisker(first + i, rows[i], x, y))
        return join([_grid(size, x, ticks(low, high), len(rows), fmt_tick or fmt), lines, marks])

    words = Words(
        title or _("Thumbs-up rate with its likely range"),
        finding or spoken((name, f"{value} ({reach})") for name, value, reach in table),
        caption or _("Mark: the value so far. Line: where the true value most likely is (%(share)s).") % most(),
    )
    heads = (_("Text"), heading or _("Thumbs-up rate"), _("Likely range"))
    return figure(words, heads, table, draw, lambda size: len(rows) * size.row + 28)


def split(
    expected: Mapping[str, float],
    got: Mapping[str, int],
    *,
    title: str = "",
    finding: str = "",
    caption: str = "",
    counted: str = "",
) -> SafeString:
    """Draw the share each text got (`got`: counts) against the one it should get (`expected`: ratios).

    Empty until something was shown. Rows stand in the order of `expected`. `counted`: what `got` are.
    """
    names, total = list(expected), sum(got.values())
    if not names or not total:
        return NOTHING
    shares = [got.get(name, 0) / total for name in names]
    high = max(*shares, *expected.values())
    table: list[Row] = [
        (name, fmt_pct(expected[name]), fmt_pct(share), fmt_int(got.get(name, 0)))
        for name, share in zip(names, shares, strict=True)
    ]

    def draw(size: Size) -> SafeString:
        x = scale(0, high, size.label, size.width - size.value - 16)

        def row(i: int, y: float) -> SafeString:
            goal = x(expected[names[i]])
            return join([bar(i, x(0), x(shares[i]), y), stroke("goal", goal, y - 13, goal, y + 13)])

        return _lines(size, [(name, share) for name, _goal, share, _count in table], row)

    words = Words(
        title or _("Traffic split: expected and seen"),
        finding or spoken((row[0], f"{row[2]} / {row[1]}") for row in table),
        caption or _("Bar: the share it got. Upright line: the share it should get."),
    )
    heads = (_("Text"), _("Expected"), _("Seen"), counted or _("Shown"))
    return figure(words, heads, table, draw, lambda size: len(names) * size.row + 4)


def bars(
    rows: Sequence[Bar],
    *,
    title: str = "",
    finding: str = "",
    caption: str = "",
    headings: tuple[str, str] = ("", ""),
    fmt: Format = fmt_ms,
) -> SafeString:
    """Draw a bar per row, always from 0, and a line on to its `upto`. Empty without values."""
    known = [number for row in rows for number in (row.value, row.upto) if number is not None]
    if not known:
        return NOTHING
    has_upto = any(row.upto is not None for row in rows)
    table: list[Row] = [(row.name, fmt(row.value), *([fmt(row.upto)] if has_upto else [])) for row in rows]

    def draw(size: Size) -> SafeString:
        labels = [(row[0], " / ".join(row[1:])) for row in table]
        longest = max(len(value) for _name, value in labels) * size.font * WIDEST
        x = scale(0, max(*known, 1e-9), size.label, size.width - (max(size.value, longest) if size.value else 0) - 22)
        return _lines(size, labels, lambda i, y: _reach(i, rows[i], x, y))

    words = Words(
        title or _("Waiting time"),
        finding or spoken((row[0], " / ".join(row[1:])) for row in table),
        caption or (_("Bar: half of the answers are faster. Mark: %(share)s are.") % most() if has_upto else ""),
    )
    heads = (_("Text"), headings[0] or _("Half under"), headings[1] or _("%(share)s under") % most())
    return figure(words, heads[: len(table[0])], table, draw, lambda size: len(rows) * size.row + 4)


def _lines(size: Size, labels: Sequence[Row], draw: Draw) -> SafeString:
    return join(_line(size, i, name, value, draw) for i, (name, value) in enumerate(labels))


def _line(size: Size, index: int, name: str, value: str, draw: Draw) -> SafeString:
    """Put name and value beside the drawing or, on a phone, above it."""
    top = index * size.row
    middle = top + (size.row / 2 if size.label else size.row - 18)
    y = middle + size.font / 3 if size.label else top + size.font + 2
    name_x, anchor, limit = (size.label - 12, "end", 18) if size.label else (0, "start", 26)
    label = text("name", name_x, y, name, anchor, limit)
    return join([label, draw(index, middle), text("value", size.width, y, value, "end")])


def _whisker(index: int, row: Interval, x: Scale, y: float) -> SafeString:
    if row.value is None:
        return NOTHING
    parts = [mark(index, x(row.value), y)]
    if row.low is not None and row.high is not None:
        ends = [stroke(tint(index), x(edge), y - 6, x(edge), y + 6) for edge in (row.low, row.high)]
        parts = [stroke(tint(index), x(row.low), y, x(row.high), y), *ends, *parts]
    return join(parts)


def _reach(index: int, row: Bar, x: Scale, y: float) -> SafeString:
    value = row.value or 0
    parts = [bar(index, x(0), x(value), y)]
    if row.upto is not None:
        parts += [stroke(tint(index), x(value), y, x(row.upto), y), mark(index, x(row.upto), y)]
    return join(parts)


def _upright(size: Size, css: str, x: float, rows: int) -> SafeString:
    """Draw a line through all rows; on a phone only where the drawing is, because names and numbers stand above it."""
    if size.label:
        return stroke(css, x, 0, x, rows * size.row + 4)
    return join(stroke(css, x, (row + 1) * size.row - 30, x, (row + 1) * size.row - 2) for row in range(rows))


def _grid(size: Size, x: Scale, steps: Sequence[float], rows: int, fmt: Format) -> SafeString:
    """Draw the upright lines and name as many as fit side by side."""
    below = rows * size.row + size.font + 8
    room = x(steps[1]) - x(steps[0]) if len(steps) > 1 else size.width
    widest = max((len(fmt(step)) for step in steps), default=0) * size.font * 0.58
    every = max(1, math.ceil(widest / room))
    lines = [_upright(size, "grid", x(step), rows) for step in steps]
    return join([*lines, *(text("tick", x(step), below, fmt(step), "middle") for step in steps[::every])])
