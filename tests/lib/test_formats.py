"""Numbers and times as people read them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.template import Context, Template
from django.template.defaultfilters import floatformat
from django.utils.translation import override

from promptlab.lib import formats
from promptlab.lib.formats import DASH

NOON = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)


def plain(text: str) -> str:
    """Return the text with ordinary spaces, as it is easier to write down."""
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_is_unknown_is_a_dash(value: float | None) -> None:
    writers = [formats.fmt_int, formats.fmt_pct, formats.fmt_points, formats.fmt_ms, formats.fmt_money]
    assert {write(value) for write in [*writers, formats.fmt_chance, formats.fmt_wait]} == {DASH}
    assert formats.fmt_range(0.1, value) == formats.fmt_range(value, 0.1) == DASH


def test_moments_that_are_unknown_are_a_dash() -> None:
    assert formats.fmt_when(None) == formats.fmt_datetime(None) == formats.fmt_day(None) == DASH


def test_thousands_stand_apart() -> None:
    assert formats.fmt_int(8351) == "8,351"
    assert formats.fmt_int(-1200) == "−1,200"


@pytest.mark.parametrize(
    ("ratio", "shown"),
    [(0.7798, "78.0 %"), (0.73249, "73.2 %"), (0.9995, "100.0 %"), (0, "0.0 %"), (1, "100.0 %"), (-0.0001, "0.0 %")],
)
def test_percentages_are_rounded_before_they_are_localised(ratio: float, shown: str) -> None:
    assert plain(formats.fmt_pct(ratio)) == shown


@pytest.mark.parametrize("tenths_of_permille", range(0, 10_000, 37))
def test_a_percentage_reads_like_the_one_a_table_would_show(tenths_of_permille: int) -> None:
    ratio = Decimal(tenths_of_permille) / 10_000
    assert plain(formats.fmt_pct(ratio)) == f"{floatformat(ratio * 100, 1)} %"


def test_halves_are_rounded_as_they_are_printed() -> None:
    assert plain(formats.fmt_pct(0.2855)) == "28.6 %"
    assert plain(formats.fmt_pct(0.285, 0)) == "29 %"


@pytest.mark.parametrize(
    ("probability", "shown"),
    [(1, "> 99 %"), (0.9951, "> 99 %"), (0.99, "99 %"), (0.972, "97 %"), (0.01, "1 %"), (0.009, "< 1 %"), (0, "< 1 %")],
)
def test_no_chance_is_ever_certain(probability: float, shown: str) -> None:
    assert plain(formats.fmt_chance(probability)) == shown


def test_changes_carry_their_sign() -> None:
    shown = [plain(formats.fmt_points(change)) for change in (0.048, -0.0124, 0, 0.0001)]
    assert shown == ["+4.8 points", "−1.2 points", "0.0 points", "0.0 points"]


def test_ranges_name_their_unit_once() -> None:
    assert plain(formats.fmt_range(0.7171, 0.7469)) == "71.7–74.7 %"
    assert plain(formats.fmt_range(-0.0541, 0.0118, unit="points")) == "−5.4 to +1.2 points"


@pytest.mark.parametrize(
    ("milliseconds", "shown"), [(0, "0 ms"), (930.4, "930 ms"), (999.6, "1.0 s"), (2240, "2.2 s"), (75_000, "75.0 s")]
)
def test_waits_turn_to_seconds_from_one_second_on(milliseconds: float, shown: str) -> None:
    assert plain(formats.fmt_ms(milliseconds)) == shown


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        ("1.314", "$1.31"),
        ("1234.5", "$1,234.50"),
        ("0", "$0.00"),
        ("0.05", "$0.05"),
        ("0.0018", "$0.0018"),
        ("0.000123", "$0.00012"),
        ("0.0000004", "< $0.000001"),
        ("-2.5", "−$2.50"),
    ],
)
def test_small_amounts_keep_the_digits_that_tell(usd: str, shown: str) -> None:
    assert plain(formats.fmt_money(Decimal(usd))) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(1, "1 second"), (59.2, "1 minute"), (900, "15 minutes"), (3601, "2 hours"), (86_400, "1 day"), (0, "0 seconds")],
)
def test_stretches_of_time_are_rounded_up(seconds: float, shown: str) -> None:
    assert formats.fmt_wait(seconds) == shown


@pytest.mark.parametrize(
    ("ago", "shown"),
    [
        (timedelta(seconds=20), "just now"),
        (timedelta(minutes=5), "5 minutes ago"),
        (timedelta(minutes=119), "1 hour ago"),
        (timedelta(days=6, hours=23), "6 days ago"),
        (timedelta(days=7), "Nov. 9, 2026"),
        (timedelta(days=-2), "Nov. 18, 2026"),
    ],
)
def test_moments_are_told_by_their_distance_and_old_ones_by_their_date(ago: timedelta, shown: str) -> None:
    assert formats.fmt_when(NOON - ago, now=NOON) == shown


def test_days_on_axes_are_short() -> None:
    assert formats.fmt_day(date(2026, 11, 16)) == formats.fmt_day(NOON) == "16 Nov."


def test_spanish_readers_get_their_own_marks() -> None:
    with override("es"):
        assert plain(formats.fmt_pct(0.7798)) == "78,0 %"
        assert plain(formats.fmt_money(Decimal("1.314"))) == "$1,31"
        assert formats.fmt_day(date(2026, 11, 16)).lower().startswith("16 nov")


def rendered(source: str, **context: object) -> str:
    return Template("{% load promptlab %}" + source).render(Context(context))


def test_a_moment_in_a_page_carries_its_exact_time() -> None:
    page = rendered("{{ at|when }}", at=NOON)
    assert '<time datetime="2026-11-16T12:00:00+00:00" title="Nov. 16, 2026, noon">' in page


def test_filters_leave_finished_text_alone() -> None:
    assert rendered("{{ n|number }} {{ n|pct }} {{ n|when }}", n="81 %") == "81 % 81 % 81 %"
    assert plain(rendered("{{ n|number }} {{ r|pct }} {{ s|wait }}", n=8351, r=0.5, s=timedelta(minutes=15))) == (
        "8,351 50.0 % 15 minutes"
    )


def test_what_people_typed_is_escaped_in_badges_and_times() -> None:
    page = rendered("{% badge label 'ok' %}{{ label|when }}{{ label|number }}", label="<b>")
    assert "<b>" not in page
    assert '<span class="badge ok">&lt;b&gt;</span>' in page
