"""The <figure> around a chart: two renderings, how to read it, and the numbers as a table."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from promptlab.lib.charts.shapes import NOTHING, join
from promptlab.lib.formats import fmt_pct

VISIBLE_ROWS = 5

Format = Callable[[float | None], str]
Row = tuple[str, ...]


@dataclass(frozen=True)
class Size:
    """One rendering, in SVG units; `label` and `value` are columns beside the plot, or 0 for above it."""

    css: str
    width: int
    font: int
    label: int
    value: int
    row: int


WIDE = Size("wide", 640, 16, label=168, value=134, row=40)
NARROW = Size("narrow", 340, 15, label=0, value=0, row=54)


@dataclass(frozen=True)
class Words:
    """What a chart says besides its drawing: what it is, the numbers in a sentence, how to read it."""

    title: str
    finding: str
    caption: str = ""


def figure(
    words: Words,
    heads: Row,
    rows: Sequence[Row],
    draw: Callable[[Size], SafeString],
    height: Callable[[Size], float],
) -> SafeString:
    """Return the chart drawn at both sizes with its caption and its table (first column: row headings)."""
    # Named after what it shows: two charts of a page share no id, and the same chart is the same bytes.
    key = f"chart-{zlib.crc32(repr((words, rows)).encode()):08x}"
    drawings = join(_svg(key, size, words, height(size), draw(size)) for size in (WIDE, NARROW))
    caption = format_html("<figcaption>{}</figcaption>", words.caption) if words.caption else NOTHING
    table = _table(words.title, heads, rows)
    return format_html('<figure class="chart">{}{}{}</figure>', drawings, caption, table)


def most() -> dict[str, str]:
    """Return the share that a likely range covers, for the sentences that name it: 95 %."""
    return {"share": fmt_pct(0.95, 0)}


def spoken(parts: Iterable[tuple[str, str]]) -> str:
    """Return names and numbers as one sentence."""
    return "; ".join(f"{name}: {number}" for name, number in parts) + "."


def _svg(key: str, size: Size, words: Words, height: float, drawing: SafeString) -> SafeString:
    return format_html(
        '<svg class="{css}" role="img" aria-labelledby="{key}-t {key}-d" viewBox="0 0 {width} {height}"'
        ' font-size="{font}"><title id="{key}-t">{title}</title><desc id="{key}-d">{finding}</desc>'
        "{drawing}</svg>",
        css=size.css,
        key=f"{key}-{size.css}",
        width=size.width,
        height=f"{height:g}",
        font=size.font,
        title=words.title,
        finding=words.finding,
        drawing=drawing,
    )


def _table(title: str, heads: Row, rows: Sequence[Row]) -> SafeString:
    table = format_html(
        '<div class="scroll" role="region" tabindex="0" aria-label="{}"><table class="numbers">'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>",
        _("Numbers: %(title)s") % {"title": title},
        format_html_join("", '<th scope="col">{}</th>', ((head,) for head in heads)),
        join(_table_row(row) for row in rows),
    )
    if len(rows) <= VISIBLE_ROWS:
        return table
    return format_html("<details><summary>{}</summary>{}</details>", _("Show the numbers"), table)


def _table_row(row: Row) -> SafeString:
    cells = format_html_join("", "<td>{}</td>", ((cell,) for cell in row[1:]))
    return format_html('<tr><th scope="row">{}</th>{}</tr>', row[0], cells)
