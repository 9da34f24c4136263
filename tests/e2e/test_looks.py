"""A page on paper, in the reader's own colours, and without motion; and texts that would like to break it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.e2e.conftest import House
from tests.e2e.crawling import WHOLE
from tests.e2e.desk import Desk
from tests.e2e.looking import NARROW, PHONE, WIDE, Looker

pytestmark = [pytest.mark.flow, pytest.mark.timeout(300)]
Desks = Callable[..., Desk]
RESULTS = "/dashboards/experiments/short-steps/"
MOST_SHEETS = 4
SHEET = re.compile(rb"/Type\s*/Page\b")
HIDDEN = """() => [...document.querySelectorAll("main details")]
  .filter(one => !one.querySelector(":scope > :not(summary)")?.getClientRects().length).length"""
MOVES = """() => [...document.querySelectorAll("*")].filter(one => {
  const look = getComputedStyle(one);
  return look.animationName !== "none" || look.transitionDuration.split(",").some(time => parseFloat(time) > 0);
}).map(one => one.tagName + "." + one.className)"""
UNMARKED = """() => {
  const edge = one => { const look = getComputedStyle(one); return look.borderStyle !== "none" || look.outlineStyle !== "none"; };
  const boxes = [...document.querySelectorAll(".btn, .badge, .card, .note, a[aria-current]")];
  const drawn = [...document.querySelectorAll(".chart :is(line, path):not(.mark, .band)")];
  const isGone = one => ["none", "rgba(0, 0, 0, 0)"].includes(getComputedStyle(one).stroke);
  const seen = one => one.getClientRects().length;
  return [...boxes.filter(one => seen(one) && !edge(one)), ...drawn.filter(one => seen(one) && isGone(one))]
    .map(one => one.outerHTML.slice(0, 100));
}"""


def test_the_results_fit_on_four_sheets_with_every_number_open(desks: Desks) -> None:
    desk = desks(who="cleo").open(RESULTS)
    assert len(SHEET.findall(desk.page.pdf(format="A4"))) <= MOST_SHEETS
    desk.page.emulate_media(media="print")
    assert desk.page.evaluate(HIDDEN) == 0
    assert not desk.page.locator("header, nav, .btn").locator("visible=true").count()


@pytest.mark.parametrize("url", ["/admin/", "/admin/prompts/prompt/", RESULTS])
def test_in_the_readers_own_colours_everything_keeps_its_edges(desks: Desks, url: str) -> None:
    desk = desks(who="cleo", forced_colors="active").open(url)
    assert desk.page.evaluate(UNMARKED) == []


@pytest.mark.parametrize("url", ["/admin/", "/admin/prompts/prompt/add/", RESULTS])
def test_nothing_moves_for_those_who_asked_for_that(desks: Desks, url: str) -> None:
    desk = desks(who="cleo").open(url)
    assert desk.page.evaluate(MOVES) == []


def test_hostile_texts_break_no_page(house: House, desks: Desks) -> None:
    """Their pages stay as wide as the screen, run nothing, and can be left by their menu."""
    looker = Looker(desks(who="hugo").page, "hostile", is_weighed=False)
    looker.show(PHONE)
    for what, url in house.places["hostile"].items():
        assert looker.open(url), what
        assert looker.page.locator("main").get_by_text("window.pwned=1").count(), what
        for width in (PHONE, NARROW, *([WIDE] if WHOLE else [])):
            looker.fits(width)
        assert looker.page.evaluate("() => window.pwned") is None, what
        looker.leave()
    assert not looker.faults, "\n".join(looker.faults)
