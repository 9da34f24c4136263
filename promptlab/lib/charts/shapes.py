"""SVG shapes and the scales that place them. Coordinates are attributes, colours are classes, no style."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

Scale = Callable[[float], float]
Point = tuple[float, float]

SERIES = 5
DASHES = ("none", "7 4", "2 3", "9 3 2 3", "1 4")
NOTHING = SafeString("")


def tint(index: int) -> str:
    """Return the colour class of series `index`; a sixth series starts over, told apart by its name."""
    return f"s{index % SERIES}"


def join(parts: Iterable[SafeString]) -> SafeString:
    """Put drawings one after the other."""
    return format_html_join("", "{}", ((part,) for part in parts))


def mark(index: int, x: float, y: float, r: float = 5) -> SafeString:
    """Draw the mark of series `index`: square, circle, triangle, diamond or bar."""
    css = f"mark {tint(index)}"
    if index % SERIES == 1:
        return format_html('<circle class="{}" cx="{}" cy="{}" r="{}"/>', css, coord(x), coord(y), coord(r))
    corners: dict[int, list[Point]] = {
        0: [(-r, -r), (r, -r), (r, r), (-r, r)],
        2: [(0, -r * 1.2), (r * 1.2, r), (-r * 1.2, r)],
        3: [(0, -r * 1.4), (r * 1.4, 0), (0, r * 1.4), (-r * 1.4, 0)],
        4: [(-r / 2, -r * 1.6), (r / 2, -r * 1.6), (r / 2, r * 1.6), (-r / 2, r * 1.6)],
    }
    return polygon(css, [(x + dx, y + dy) for dx, dy in corners[index % SERIES]])


def bar(index: int, left: float, right: float, y: float) -> SafeString:
    """Draw a lying bar around `y`, at least a hair wide, so that a zero can be seen."""
    return format_html(
        '<rect class="bar {}" x="{}" y="{}" width="{}" height="16"/>',
        tint(index),
        coord(left),
        coord(y - 8),
        coord(max(right - left, 1)),
    )


def polygon(css: str, points: Sequence[Point]) -> SafeString:
    """Draw a closed shape."""
    corners = " ".join(f"{coord(x)},{coord(y)}" for x, y in points)
    return format_html('<polygon class="{}" points="{}"/>', css, corners)


def stroke(css: str, x1: float, y1: float, x2: float, y2: float) -> SafeString:
    """Draw a straight line."""
    ends = (coord(number) for number in (x1, y1, x2, y2))
    return format_html('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>', css, *ends)


def text(css: str, x: float, y: float, words: str, anchor: str = "start", limit: int = 40) -> SafeString:
    """Write `words`, cut to `limit` characters with the whole in a <title>."""
    is_long = len(words) > limit
    return format_html(
        '<text class="{}" x="{}" y="{}" text-anchor="{}">{}{}</text>',
        css,
        coord(x),
        coord(y),
        anchor,
        format_html("<title>{}</title>", words) if is_long else NOTHING,
        f"{words[: limit - 1].rstrip()}…" if is_long else words,
    )


def scale(low: float, high: float, start: float, end: float) -> Scale:
    """Return the function that maps low..high onto start..end."""
    return lambda value: start + (float(value) - low) / (high - low) * (end - start)


def domain(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis around `values` with some air, past 0 or 1 only where a value is."""
    low, high = min(values), max(values)
    air = (high - low) * 0.08 or abs(high) * 0.05 or 0.05
    floor = 0.0 if low >= 0 else -math.inf
    ceiling = 1.0 if high <= 1 else math.inf
    return max(low - air, floor), min(high + air, ceiling)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers inside the axis, at most `count` steps of them."""
    rough = (high - low) / count
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def coord(number: float) -> str:
    """Write a coordinate: one decimal at most, never localised."""
    return f"{number:.1f}".removesuffix(".0")
