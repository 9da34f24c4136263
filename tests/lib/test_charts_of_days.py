"""Charts of days: what is drawn is in the table, marks are said in words, and nothing depends on colour or scripts."""

from __future__ import annotations

import itertools
import re
from datetime import date, timedelta

import pytest
from django.utils.safestring import SafeString
from django.utils.translation import override

from promptlab.lib.charts import Series, columns, rates
from promptlab.lib.formats import fmt_money
from tests.lib.test_charts import Parts

DAYS = [date(2026, 11, 8) + timedelta(days=n) for n in range(6)]
MARKS = {1: "v2 went live", 4: "v3 went live <b>"}
CALLS = [Series("v1", [1200, 800, 0, 0, 0, 0]), Series("v2", [0, 400, 1100, 900, None, 1000])]
RATED = Series(
    "Approval", [0.7, None, 0.8, 0.75, 0.9, 0.85], [0.6, None, 0.7, 0.7, 0.8, 0.8], [0.8, None, 0.9, 0.8, 1.0, 0.9]
)


def drawn() -> dict[str, SafeString]:
    return {
        "columns": columns(DAYS, CALLS, MARKS, title="Calls"),
        "cost": columns(DAYS, CALLS[:1], title="Cost", fmt=fmt_money),
        "one": columns(DAYS[:1], CALLS[:1], title="One day"),
        "rates": rates(DAYS, RATED, MARKS, title="Approval"),
    }


@pytest.mark.parametrize("name", drawn())
def test_it_is_whole_stays_on_the_sheet_and_needs_no_style(name: str) -> None:
    parts = Parts(drawn()[name])
    assert len(set(parts.values("id"))) == 4 and len(parts.of("desc")) == 2
    keys = {key for _tag, key, _value in parts.attributes}
    assert not keys & {"style", "fill", "stroke"} and not any(key.startswith("on") for key in keys)
    for view, drawing in zip((640, 340), drawn()[name].split("</svg>")[:2], strict=True):
        found = Parts(f"{drawing}</svg></figure>" if view == 640 else f"<figure>{drawing}</svg></figure>")
        across = [float(value) for key in ("x", "x1", "x2", "cx") for value in found.values(key)]
        assert min(across) >= 0 and max(across) <= view
        tall = [float(value) for value in found.values("height")]
        assert all(one > 0 for one in tall)


def test_the_table_says_every_number_and_what_happened() -> None:
    cells = Parts(drawn()["columns"]).of("td")
    assert cells[:6] == ["1,200", "0", "", "800", "400", "1: v2 went live"] or cells[:5] == [
        "1,200",
        "0",
        "800",
        "400",
        "1: v2 went live",
    ]
    assert "2: v3 went live <b>" in cells and "<b>" not in drawn()["columns"]
    assert {"1", "2"} <= set(Parts(drawn()["columns"]).of("text", "tick"))
    assert Parts(drawn()["columns"]).values("class").count("zero then") == 4, "a thin line each, in both views"
    rated = Parts(drawn()["rates"])
    assert {"70.0\u00a0%", "60.0–80.0\u00a0%"} <= set(rated.of("td"))
    assert "Lowest: 70.0\u00a0% (8 Nov.); Highest: 90.0\u00a0% (12 Nov.); Newest: 85.0\u00a0% (13 Nov.)." in rated.of(
        "desc"
    )


@pytest.mark.parametrize("number", [2, 7, 30, 60])
def test_numbers_of_crowded_marks_never_lie_on_each_other(number: int) -> None:
    days = [DAYS[0] + timedelta(days=n) for n in range(60)]
    marks = {60 * n // number: f"v{n}" for n in range(number)}
    chart = columns(days, [Series("v1", [5.0] * 60)], marks, title="Calls")
    for width, font, drawing in zip((640, 340), (16, 15), str(chart).split("</svg>")[:2], strict=True):
        words = re.findall(r'<text class="tick" x="([\d.]+)" y="12" text-anchor="middle">([\d–]+)</text>', drawing)
        edges = [(float(x) - len(said) * font * 0.3, float(x) + len(said) * font * 0.3) for x, said in words]
        assert all(right <= left for (_left, right), (left, _right) in itertools.pairwise(edges))
        assert all(left >= 0 and right <= width for left, right in edges)
        named = [int(one) for _x, said in words for one in (said.split("–")[0], said.split("–")[-1])]
        assert named == sorted(named) and (named[0], named[-1]) == (1, number)
    cells = Parts(chart).of("td")
    assert [one for one in cells if ": v" in one] == [f"{n + 1}: v{n}" for n in range(number)]


def test_nothing_is_drawn_of_nothing() -> None:
    assert columns(DAYS, [Series("v1", [0, None, 0, 0, 0, 0])], title="Calls") == ""
    assert rates(DAYS, Series("a", [None] * 6, [None] * 6, [None] * 6), title="Approval") == ""


def test_numbers_follow_the_language() -> None:
    with override("es"):
        cells = Parts(drawn()["rates"]).of("td")
    assert "70,0\u00a0%" in cells and not any(re.search(r"\d\.\d(?!\d\d)", cell) for cell in cells)
