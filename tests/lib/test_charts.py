"""Charts say in their drawing, their description and their table the same thing; markup keeps to the strict policy."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from django.conf import settings
from django.utils.safestring import SafeString
from django.utils.translation import override

from promptlab.lib.charts import Bar, Interval, Series, bars, interval, line, split
from promptlab.lib.formats import fmt_money, fmt_points, fmt_range

TEMPLATES = Path(settings.BASE_DIR) / "templates"
STATIC = Path(settings.BASE_DIR) / "promptlab" / "static" / "promptlab"
NAMES = ["Current text", "Warmer tone", "Shorter answer", "Formal", "Playful"]
DAYS: list[str | date] = [date(2026, 11, 8) + timedelta(days=n) for n in range(6)]


def rates(count: int = 3) -> list[Interval]:
    return [Interval(name, 0.7 + n / 50, 0.68 + n / 50, 0.72 + n / 50) for n, name in enumerate(NAMES[:count])]


def courses(count: int = 3) -> list[Series]:
    values = [[0.7 + n / 50 + day / 1000 for day in range(len(DAYS))] for n in range(count)]
    return [
        Series(name, points, [p - 0.02 for p in points], [p + 0.02 for p in points])
        for name, points in zip(NAMES, values, strict=False)
    ]


CHARTS: dict[str, Callable[[], SafeString]] = {
    "interval": lambda: interval(rates()),
    "five": lambda: interval(rates(5)),
    "change": lambda: interval(
        [Interval("Warmer tone", 0.048, 0.024, 0.073)],
        0,
        fmt=fmt_points,
        fmt_bounds=lambda low, high: fmt_range(low, high, unit="points"),
    ),
    "split": lambda: split({"Current text": 0.5, "Warmer tone": 0.5}, {"Current text": 4182, "Warmer tone": 4169}),
    "bars": lambda: bars([Bar("Current text", 930, 2240), Bar("Warmer tone", 980)]),
    "cost": lambda: bars([Bar("Current text", 1.31), Bar("Warmer tone", 0.0018)], fmt=fmt_money),
    "line": lambda: line(DAYS, courses()),
}
every_chart = pytest.mark.parametrize("name", CHARTS)


class Parts(HTMLParser):
    """Collects the texts of a chart by where they stand, and all attributes."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.texts: list[tuple[str, str, str]] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        self.open.append((tag, dict(attrs).get("class") or ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, key, value or "") for key, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        tag, css = self.open[-1] if self.open else ("", "")
        self.texts.append((tag, css, data))

    def of(self, tag: str, css: str = "") -> list[str]:
        return [text for found, has, text in self.texts if found == tag and css in has]

    def values(self, key: str) -> list[str]:
        return [value for _tag, name, value in self.attributes if name == key]


@every_chart
def test_every_drawing_has_a_title_and_a_description_of_its_own(name: str) -> None:
    parts = Parts(CHARTS[name]())
    ids = parts.values("id")
    assert parts.values("role").count("img") == 2
    assert [ref for pair in parts.values("aria-labelledby") for ref in pair.split()] == ids
    assert len(set(ids)) == len(ids) == 4
    assert all(parts.of("title")) and len(parts.of("desc")) == 2


@every_chart
def test_the_numbers_in_the_drawing_are_the_numbers_in_the_table(name: str) -> None:
    parts = Parts(CHARTS[name]())
    cells = set(parts.of("td"))
    drawn = {number for label in parts.of("text", "value") for number in label.split(" / ")}
    assert drawn <= cells
    assert drawn or name == "line"


@every_chart
def test_the_description_says_the_numbers(name: str) -> None:
    parts = Parts(CHARTS[name]())
    newest = [parts.of("td")[-2]] if name == "line" else parts.of("text", "value")
    assert newest and all(number in parts.of("desc")[0] for number in newest)


@every_chart
def test_the_numbers_of_a_chart_follow_the_language(name: str) -> None:
    with override("es"):
        parts = Parts(CHARTS[name]())
    assert not any(re.search(r"\d\.\d(?!\d\d)", text) for text in parts.of("td") + parts.of("text") + parts.of("desc"))
    assert not any("," in value for key in ("x", "y", "cx", "cy", "width") for value in parts.values(key))


@every_chart
def test_a_chart_needs_no_style_and_no_script(name: str) -> None:
    parts = Parts(CHARTS[name]())
    keys = {key for _tag, key, _value in parts.attributes}
    assert not keys & {"style", "fill", "stroke"}
    assert not any(key.startswith("on") for key in keys)


@every_chart
def test_a_chart_is_drawn_for_screens_and_for_phones(name: str) -> None:
    views = Parts(CHARTS[name]()).values("viewbox")
    assert [view.split()[2] for view in views] == ["640", "340"]


@every_chart
def test_nothing_is_drawn_outside_the_sheet(name: str) -> None:
    parts = Parts(CHARTS[name]())
    across = [float(value) for key in ("x", "x1", "x2", "cx") for value in parts.values(key)]
    assert min(across) >= 0 and max(across) <= 640


def test_names_are_escaped_everywhere() -> None:
    evil = '<script>"&'
    charts = [
        interval([Interval(evil, 0.5, 0.4, 0.6)], title=evil, caption=evil, heading=evil),
        split({evil: 1.0}, {evil: 3}),
        bars([Bar(evil, 3)], headings=(evil, evil)),
        line([evil], [Series(evil, [0.5])]),
    ]
    for chart in charts:
        assert isinstance(chart, SafeString)
        assert "<script" not in chart and 'aria-label=""' not in chart
        assert evil in Parts(chart).of("th") + Parts(chart).of("text")


def test_long_names_are_cut_with_the_whole_name_at_hand() -> None:
    name = "A very long name that no label column could ever hold"
    parts = Parts(bars([Bar(name, 3)]))
    assert name in parts.of("title")
    assert parts.of("th")[-1] == name
    assert all(len(label) <= 26 for label in parts.of("text", "name"))


def test_five_series_differ_without_colour() -> None:
    chart = line(DAYS, courses(5))
    dashes = re.findall(r'<path class="line (s\d)" d="[^"]+" stroke-dasharray="([^"]+)"', chart)[:5]
    shapes = {css: shape(chart, css) for css, _dash in dashes}
    assert len({dash for _css, dash in dashes}) == 5
    assert len(set(shapes.values())) == 5


def shape(chart: str, css: str) -> str:
    """Return the first mark of a series, moved to the origin."""
    found = re.search(rf'<(circle|polygon) class="mark {css}"([^>]*)', chart)
    assert found
    if found[1] == "circle":
        return "circle"
    points = [tuple(map(float, pair.split(","))) for pair in found[2].split('"')[1].split()]
    return str([(round(x - points[0][0], 1), round(y - points[0][1], 1)) for x, y in points])


def test_line_names_never_overlap() -> None:
    parts = line(DAYS, [Series(name, [0.7] * len(DAYS)) for name in NAMES])
    for drawing in parts.split("<svg")[1:]:
        heights = sorted(float(y) for y in re.findall(r'<text class="name s\d" x="[\d.]+" y="([\d.]+)"', drawing))
        assert len(heights) == 5
        assert min(b - a for a, b in pairwise(heights)) >= 14


def test_more_than_five_rows_fold_away() -> None:
    assert "<details>" not in line(DAYS[:5], [Series("One", [0.5] * 5)])
    assert "<details>" in line(DAYS, [Series("One", [0.5] * 6)])


def test_long_timelines_keep_every_seventh_day_and_the_newest() -> None:
    days: list[str | date] = [f"day {n}" for n in range(1, 101)]
    parts = Parts(line(days, [Series("One", [n / 1000 for n in range(100)])]))
    rows = [head for head in parts.of("th") if head.startswith("day ")]
    assert rows[-1] == "day 100" and rows[-2] == "day 93" and len(rows) == 15


def test_a_gap_in_the_values_is_a_gap_in_the_line() -> None:
    chart = line(["a", "b", "c", "d"], [Series("One", [0.1, None, 0.3, 0.4])])
    path = re.search(r'<path[^>]* d="([^"]+)"', chart)
    assert path and [step[0] for step in re.findall(r"[ML][\d. ]+", path[1])] == ["M", "M", "L"]


def test_what_is_not_known_yet_is_a_dash_and_no_mark() -> None:
    parts = Parts(interval([Interval("Current text", None), Interval("Warmer tone", 0.5, 0.4, 0.6)]))
    assert "–" in parts.of("text", "value")
    assert not any(css == "mark s0" for css in parts.values("class"))


def test_charts_without_values_are_nothing() -> None:
    assert interval([]) == interval([Interval("One", None)]) == bars([Bar("One", None)]) == ""
    assert (
        split({}, {}) == split({"One": 1.0}, {"One": 0}) == line([], []) == line(["a"], [Series("One", [None])]) == ""
    )


def test_equal_values_still_make_an_axis() -> None:
    for value in (0.0, 0.5, 1.0):
        assert "<figure" in interval([Interval("One", value, value, value)])
    assert "<figure" in bars([Bar("One", 0)])
    assert "<figure" in line(["a"], [Series("One", [0.0])])


def test_changes_start_at_the_second_mark() -> None:
    assert "mark s1" in CHARTS["change"]() and "mark s0" not in CHARTS["change"]()


def test_two_charts_of_one_page_share_no_id() -> None:
    ids = [one for chart in CHARTS.values() for one in Parts(chart()).values("id")]
    assert len(ids) == len(set(ids))


# What every page and style sheet keeps to, so that the content security policy needs no exception.

MARKUP = sorted(TEMPLATES.rglob("*.html"))


@pytest.mark.parametrize("page", MARKUP, ids=lambda page: str(page.relative_to(TEMPLATES)))
def test_no_template_carries_style_handlers_scripts_or_unescaped_text(page: Path) -> None:
    text = page.read_text()
    for forbidden in (r"\sstyle\s*=", r"<style", r"\son[a-z]+\s*=", r"<script(?![^>]*\ssrc=)", r"javascript:"):
        assert not re.search(forbidden, text, re.IGNORECASE), forbidden
    for forbidden in (r"\|\s*safe\b", r"autoescape\s+off", r"mark_safe"):
        assert not re.search(forbidden, text), forbidden
    assert not re.search(r"(src|href|action)=\"(https?:)?//", text)


@pytest.mark.parametrize("page", sorted((TEMPLATES / "components").glob("*.html")), ids=lambda page: page.name)
def test_every_component_names_its_inputs_first(page: Path) -> None:
    assert page.read_text().startswith("{# ")


def test_style_sheets_and_script_keep_their_size() -> None:
    sheets = sorted((STATIC / "css").glob("*.css"))
    size = {sheet.stem: len(sheet.read_bytes()) for sheet in sheets}
    on_every_page = size["tokens"] + size["base"] + size["admin"]
    assert on_every_page + max(size["dashboard"], size["editor"], size["api"]) <= 24 * 1024
    assert on_every_page + size["editor"] + size["talk"] <= 26 * 1024
    scripts = {script.stem: len(script.read_bytes()) for script in (STATIC / "js").glob("*.js")}
    on_every_page = scripts.pop("pl")
    pages = {
        "parts that look again by themselves": ["live"],
        "signing in": ["sign-in"],
        "forms that ask before they are left": ["leave"],
        "where a prompt is written": ["estimate", "draft"],
        "where an answer is shown while it is written": ["estimate", "try"],
    }
    for page, names in pages.items():
        assert on_every_page + sum(scripts[name] for name in names) <= 8 * 1024, page
    assert {name for names in pages.values() for name in names} == scripts.keys()
    assert not any("@import" in sheet.read_text() or "url(" in sheet.read_text() for sheet in sheets)


def test_colours_are_named_in_one_place() -> None:
    for sheet in (STATIC / "css").glob("*.css"):
        if sheet.name != "tokens.css":
            assert not re.search(r"#[0-9a-f]{3,8}\b(?=[^{]*})", sheet.read_text()), sheet.name


def test_the_script_builds_nothing_from_text() -> None:
    for script in (STATIC / "js").glob("*.js"):
        found = re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", script.read_text()
        )
        assert not found, script.name
