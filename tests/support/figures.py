"""Every figure of the pages about experiments, launches and use, beside what `recount` says it has to be."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import patch

from django.test import Client
from django.utils import timezone

from experiments import findings
from experiments.admin import ramp_page
from experiments.models import AnalysisSnapshot, Experiment
from experiments.results import VariantResult
from experiments.services import analysis, ramping
from experiments.stats.proportion import approval
from promptlab.lib.formats import (
    fmt_chance,
    fmt_day,
    fmt_int,
    fmt_money,
    fmt_ms,
    fmt_name,
    fmt_pct,
    fmt_points,
    fmt_range,
)
from tests.support import recount
from tests.support.eventful import World
from tests.support.recount import Answer, by, under

USE = "/dashboards/usage/"
Row = Sequence[str]


@dataclass(slots=True)
class Figures:
    """How many figures were compared, and which differed."""

    compared: int = 0
    differences: list[str] = field(default_factory=list)

    def same(self, where: str, shown: Iterable[str], wanted: Iterable[str]) -> None:
        """Compare a row with what it has to be."""
        said, told = [plain(one) for one in shown], [plain(one) for one in wanted]
        self.compared += len(told)
        if said != told:
            self.differences.append(f"{where}: {said} instead of {told}")

    def rows(self, where: str, shown: Sequence[Row] | None, wanted: Sequence[Row]) -> None:
        """Compare a table, row by row."""
        if shown is None or len(shown) != len(wanted):
            self.differences.append(f"{where}: {shown} instead of {wanted}")
            return
        for said, told in zip(shown, wanted, strict=True):
            self.same(where, said, told)

    def told(self, where: str, words: str, *wanted: str) -> None:
        """Compare what has to stand somewhere in the words of a page."""
        for one in wanted:
            self.compared += 1
            if plain(one) not in words:
                self.differences.append(f"{where}: {plain(one)!r} is not told")


def plain(text: str) -> str:
    """Return a text without tags, with plain spaces."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text))).strip()


class Page:
    """A page as it is read: its words, and its tables by their names."""

    def __init__(self, client: Client, address: str) -> None:
        answer = client.get(address)
        assert answer.status_code == 200, (address, answer.status_code)
        self.address, self.html = address, answer.content.decode()
        self.words = plain(self.html)

    def table(self, name: str) -> list[list[str]] | None:
        """Return the rows of a table without its head; None where it is not there."""
        found = re.search(rf'aria-label(?:ledby)?="{re.escape(name)}"[^>]*>\s*<table.*?</table>', self.html, re.S)
        if found is None:
            return None
        rows = [re.findall(r"<t[hd].*?</t[hd]>", row, re.S) for row in re.findall(r"<tr.*?</tr>", found[0], re.S)]
        return [[plain(cell) for cell in row] for row in rows[1:]]

    def tiles(self) -> list[list[str]]:
        """Return the value of each tile, and what is noted below it."""
        shown = re.findall(r'<div class="stat.*?</div>', self.html, re.S)
        tiles = [re.findall(r"<p.*?</p>", one, re.S)[1:] for one in shown if '"stat-value"' in one]
        return [[plain(part) for part in one] for one in tiles]

    def numbers(self, title: str) -> list[list[str]] | None:
        """Return the rows of a chart's table."""
        return self.table(html.escape(f"Numbers: {title}"))


def compare_charts(page: Page, to: Figures) -> None:
    """Compare what stands in drawings, and in the sentence that tells of them, with the tables below."""
    for figure in re.findall(r'<figure class="chart">.*?</figure>', page.html, re.S):
        drawn, below = re.split(r'<(?:figcaption|div class="scroll")', figure, maxsplit=1)
        cells = {plain(cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", below, re.S)}
        values = re.findall(r'class="value"[^>]*>(?:<title>.*?</title>)?([^<]+)<', drawn)
        if not values:
            continue
        for value in values:
            for part in plain(value).split(" / "):
                to.same(f"{page.address} chart", [part if part in cells else "not in its table"], [part])
        numbers = {number for cell in cells for number in re.findall(r"[\d.,]*\d", cell)}
        for told in re.findall(r"<desc[^>]*>(.*?)</desc>", drawn):
            for number in re.findall(r"[\d.,]*\d", plain(told)):
                to.same(f"{page.address} sentence", [number if number in numbers else "not in its table"], [number])


def changes_now(world: World) -> dict[str, Any]:
    """Return how each alternative compares at this moment, from what is in the tables of events."""
    kept = AnalysisSnapshot.objects.newest_of(world.experiment.pk, 1)[0]
    found = recount.answers(experiment=world.experiment)
    changes: dict[str, Any] = analysis.computed(recount.inputs(world.experiment, kept.inputs, found))["changes"]
    return changes


def compare_experiment(world: World, client: Client, days: Sequence[tuple[date, Any]], to: Figures) -> None:
    """Compare the page of the experiment. `days`: what `changes_now` was on each day."""
    experiment = Experiment.objects.get(pk=world.experiment.pk)
    page = Page(client, f"/dashboards/experiments/{experiment.key}/")
    found = recount.answers(experiment=experiment)
    kept = AnalysisSnapshot.objects.newest_of(experiment.pk, 1)[0]
    results = analysis.computed(recount.inputs(experiment, kept.inputs, found))
    variants = list(experiment.variants.select_related("version"))
    names = {one.key: str(one) for one in variants}
    sums = {one.key: recount.counted(found, one.pk)["sums"] for one in variants}
    own = {one.key: [each for each in found if each.variant_id == one.pk] for one in variants}
    assert results["verdict"] not in ("too_early", "do_not_trust"), results["verdict"]
    to.rows(
        "results", page.table("Results as a table"), [_result(one, own[one.key], sums[one.key]) for one in variants]
    )
    compared = [_compared(names[key], key, own[key], sums[key], results) for key in names]
    to.rows("comparison", page.table("Comparison as a table"), compared)
    guards = [findings.shown(one, names[one["treatment"]]) for one in results["guardrails"]]
    told = [[one.label, one.text, one.change, one.span, one.limit, one.counted, one.words] for one in guards]
    to.rows("guards", page.table("guards"), told)
    _compare_drawings(page, results, names, own, sums, to)
    daily = [[fmt_day(at), *(cell for one in changes.values() for cell in _with_range(one))] for at, changes in days]
    to.rows("days", page.numbers("Change against the current text, day by day"), daily)
    _compare_trust(page, results, names, own, sums, to)
    compare_charts(page, to)
    _compare_sheet(client, experiment, own, sums, to)


def _with_range(change: Any) -> Row:
    return fmt_points(change["change"]), fmt_range(*(change["range"] or (None, None)), unit="points")


def _result(variant: Any, own: list[Answer], sums: recount.Sums) -> Row:
    ratings, ups = sum(one.ratings for one in own), sum(one.ups for one in own)
    said, shown = approval(ups, ratings), sum(one.is_shown for one in own)
    role = " · current text" if variant.is_control and str(variant) != "Current text" else ""
    return [
        f"{variant} v{variant.version.number}{role}", fmt_pct(variant.weight_bp / 10_000), fmt_int(sums["units"]),
        fmt_int(shown), fmt_int(ratings), fmt_int(ups), fmt_int(ratings - ups), fmt_pct(ups / ratings),
        fmt_range(said.low, said.high), fmt_pct(ratings / shown), fmt_int(sum(one.is_failed for one in own)),
    ]  # fmt: skip


def _compared(name: str, key: str, own: list[Answer], sums: recount.Sums, results: Any) -> Row:
    change = results["changes"].get(key, {})
    downs = 1000 * (sums["unit_ratings"] - sums["unit_ups"]) / sums["unit_requests"]
    return [
        name, fmt_points(change.get("change")), fmt_range(*(change.get("range") or (None, None)), unit="points"),
        fmt_chance(change.get("chance_to_win")), fmt_chance(results["variants"][key]["chance_to_be_best"]),
        fmt_ms(under(own, 0.5)), fmt_ms(under(own, 0.95)), fmt_money(1000 * sums["unit_cost"] / sums["priced"]),
        fmt_int(downs), fmt_pct(sums["unit_errors"] / sums["unit_requests"]),
    ]  # fmt: skip


def _compare_drawings(page: Page, results: Any, names: Any, own: Any, sums: Any, to: Figures) -> None:
    """Compare the tables below the charts."""
    rates = []
    for key, name in names.items():
        ratings, ups = sum(one.ratings for one in own[key]), sum(one.ups for one in own[key])
        said = approval(ups, ratings)
        rates.append([name, fmt_pct(said.rate), fmt_range(said.low, said.high)])
    to.rows("rates", page.numbers("Thumbs-up rate with its likely range"), rates)
    found = results["changes"].items()
    changes = [[names[key], fmt_points(one["change"]), fmt_range(*one["range"], unit="points")] for key, one in found]
    to.rows("changes", page.numbers("Change of the thumbs-up rate against the current text"), changes)
    whole = sum(one["units"] for one in sums.values())
    people = [
        [name, fmt_pct(0.5), fmt_pct(sums[key]["units"] / whole), fmt_int(sums[key]["units"])]
        for key, name in names.items()
    ]
    to.rows("people", page.numbers("People per text: expected and seen"), people)
    waits = [[name, fmt_ms(under(own[key], 0.5)), fmt_ms(under(own[key], 0.95))] for key, name in names.items()]
    to.rows("waits", page.numbers("Waiting time"), waits)


def _compare_trust(page: Page, results: Any, names: Any, own: Any, sums: Any, to: Figures) -> None:
    """Compare what the page says in sentences."""
    every = [one for several in own.values() for one in several]
    whole, failed = sum(one["units"] for one in sums.values()), sum(one.is_failed for one in every)
    shares = [f"{names[key]} {fmt_pct(one['units'] / whole)} (planned {fmt_pct(0.5)})" for key, one in sums.items()]
    met = sum(one["multiple_units"] for one in sums.values()) / whole
    asked = sum(one["unit_requests"] for one in sums.values())
    waits, priced = (sum(one[name] for one in sums.values()) / asked for name in ("waits", "priced"))
    rated = {key: one["unit_ratings"] / one["unit_requests"] for key, one in sums.items()}
    control, other = names
    change = results["changes"][other]
    to.told(
        "trust",
        page.words,
        ", ".join(shares),
        f"{fmt_pct(met, 2)} of people met more than one text",
        f"{names[other]} is rated {fmt_pct(rated[other])} of the time, the current text {fmt_pct(rated[control])}",
        f"{fmt_int(failed)} of {fmt_int(len(every))} answers failed ({fmt_pct(failed / len(every))}).",
        f"The wait is known of {fmt_pct(waits, 0)} of the answers, the cost of {fmt_pct(priced, 0)}.",
        f"{fmt_int(sum(one['unit_ratings'] for one in sums.values()))} of {fmt_int(100_000)} ratings.",
        f"{names[other]}: {fmt_points(change['change'])} ({fmt_range(*change['range'], unit='points')})",
    )


def _compare_sheet(client: Client, experiment: Experiment, own: Any, sums: Any, to: Figures) -> None:
    """Compare the numbers of the file, to the last digit."""
    lines = client.get(f"/dashboards/experiments/{experiment.key}/export.csv").content.decode().splitlines()
    heads = list(VariantResult.__dataclass_fields__)
    for line, (key, several) in zip(lines[1:], own.items(), strict=True):
        row = dict(zip(heads, line.split(","), strict=True))
        ratings, ups = sum(one.ratings for one in several), sum(one.ups for one in several)
        said = approval(ups, ratings)
        wanted = {"key": key, "units": sums[key]["units"], "requests": len(several), "ratings": ratings, "ups": ups}
        wanted |= {"approval": said.rate, "low": said.low, "high": said.high}
        to.same("sheet", [row[name] for name in wanted], [str(one) for one in wanted.values()])


def compare_launch(world: World, client: Client, to: Figures) -> None:
    """Compare the page of the launch: its tiles, and what the next step lacks."""
    ramp = world.ramp
    page = Page(client, f"/admin/experiments/ramp/{ramp.pk}/change/")
    found = recount.answers(experiment=ramp.experiment)
    counted = [
        {**one, **recount.counted(found, variant.pk)}
        for one, variant in zip(analysis.phase_sums(ramp.experiment), ramp.experiment.variants.all(), strict=True)
    ]
    with patch.object(analysis, "phase_sums", lambda _experiment: counted):
        step = ramping.standing(ramp)
    tiles = ramp_page.tiles(step)
    assert len(tiles) == 3
    for tile in tiles:
        told = f"{tile.label} {tile.words} {tile.change} {tile.span} · limit {tile.limit} · {tile.counted}"
        to.told("launch", page.words, told)
        title = f"{tile.label} of New text: change against the current text"
        to.rows("launch", page.numbers(title), [[tile.text, tile.change, tile.span]])
    to.told("launch", page.words, *ramp_page.missing(step))
    compare_charts(page, to)


def compare_use(world: World, client: Client, to: Figures) -> None:
    """Compare the pages of use and money, of everything and of the prompt that changed."""
    found = recount.answers()
    page = Page(client, USE)
    _compare_tiles(page, found, to)
    groups = {"By prompt": _prompt, "By environment": _place, "By model": _model}
    for title, key in groups.items():
        to.rows(title, page.table(title), [_used(name, several) for name, several in by(found, key).items()])
    _compare_over_time(page, found, to)
    compare_charts(page, to)
    _compare_prompt(world, client, [one for one in found if one.prompt == world.changing.title], to)
    _compare_money(client, found, to)


def _compare_prompt(world: World, client: Client, found: list[Answer], to: Figures) -> None:
    page = Page(client, f"{USE}prompts/{world.changing.pk}/")
    _compare_tiles(page, found, to)
    versions = sorted(by(found, lambda one: one.version).items(), reverse=True)
    to.rows("By version", page.table("By version"), [_used(f"v{name}", several) for name, several in versions])
    for title, key in (("By environment", _place), ("By model", _model)):
        to.rows(title, page.table(title), [_used(name, several) for name, several in by(found, key).items()])
    said = [(f"v{name}", _said(several)) for name, several in versions]
    rates = [[name, fmt_pct(one.rate), fmt_range(one.low, one.high)] for name, one in said]
    to.rows("versions", page.numbers("Thumbs-up rate with its likely range"), rates)
    waits = [[f"v{name}", fmt_ms(under(several, 0.5)), fmt_ms(under(several, 0.95))] for name, several in versions]
    to.rows("versions", page.numbers("Waiting time"), waits)
    by_calls = sorted(versions, key=lambda one: -len(one[1]))
    calls = [[sum(each.day == day for each in several) for _, several in by_calls] for day in _month()]
    shown = [row[: 1 + len(versions)] for row in page.numbers("Calls over time, by version") or []]
    wanted = [[fmt_day(day), *map(fmt_int, numbers)] for day, numbers in zip(_month(), calls, strict=True)]
    to.rows("calls of versions", shown, wanted)
    compare_charts(page, to)


def _compare_money(client: Client, found: list[Answer], to: Figures) -> None:
    page = Page(client, f"{USE}money/")
    for title, key in (("By prompt", _prompt), ("By model", _model)):
        groups = by(found, key)
        lines = [_sold(name, several, found) for name, several in groups.items()]
        shown = sorted(page.table(title) or [])
        to.rows(f"money {title}", shown, sorted([plain(cell) for cell in line] for line in lines))
    spent = _cost(found)
    tokens = sum(one.input_tokens + one.output_tokens for one in found)
    thousand = spent * 1000 / len(_priced(found))
    wanted = [fmt_money(spent), fmt_money(spent / 30), fmt_money(thousand), fmt_int(len(found)), fmt_int(tokens)]
    to.same("money", [value for value, *_note in page.tiles()], wanted)


def _compare_tiles(page: Page, found: list[Answer], to: Figures) -> None:
    said, failed = _said(found), sum(one.is_failed for one in found)
    tokens = sum(one.input_tokens + one.output_tokens for one in found)
    wanted = [
        (fmt_int(len(found)), f"{fmt_int(tokens)} tokens"),
        (fmt_pct(said.rate), fmt_range(said.low, said.high)),
        (fmt_pct(said.ratings / sum(one.is_shown for one in found)), f"{fmt_int(said.ratings)} ratings"),
        (fmt_ms(under(found, 0.5)), f"19 of 20 within {fmt_ms(under(found, 0.95))}"),
        (fmt_int(failed), f"{fmt_pct(failed / len(found))} of the calls"),
        (fmt_money(_cost(found)), _unknown(found)),
    ]
    parts = page.tiles()
    to.rows(f"{page.address} tiles", parts, [[one for one in tile if one] for tile in wanted])


def _compare_over_time(page: Page, found: list[Answer], to: Figures) -> None:
    """Compare the days of the month: calls, approval with its range, cost."""
    days = by(found, lambda one: one.day)
    for title, cells in (
        ("Calls over time", lambda several: [fmt_int(len(several))]),
        ("Thumbs-up rate over time", lambda several: [fmt_pct(_said(several).rate), _span(several)]),
        ("Cost over time", lambda several: [fmt_money(_cost(several))]),
    ):
        wanted = [[fmt_day(day), *cells(days.get(day, []))] for day in _month()]
        shown = [row[: len(wanted[0])] for row in page.numbers(title) or []]
        to.rows(title, shown, wanted)


def _used(name: str, found: list[Answer]) -> Row:
    said, failed = _said(found), sum(one.is_failed for one in found)
    tokens = sum(one.input_tokens + one.output_tokens for one in found)
    unknown = _unknown(found)
    return [
        name, fmt_int(len(found)), fmt_int(failed) + (f" ({fmt_pct(failed / len(found))})" if failed else ""),
        fmt_int(said.ratings), f"{fmt_pct(said.rate)} ({_span(found)})" if said.ratings else fmt_pct(None),
        fmt_pct(said.ratings / sum(one.is_shown for one in found)), fmt_ms(under(found, 0.5)), fmt_ms(under(found, 0.95)),
        fmt_int(tokens), f"{fmt_money(_cost(found))} ({unknown})" if unknown else fmt_money(_cost(found)),
    ]  # fmt: skip


def _sold(name: str, found: list[Answer], every: list[Answer]) -> Row:
    tokens = [sum(one.input_tokens for one in found), sum(one.output_tokens for one in found)]
    unknown, cost = _unknown(found), _cost(found)
    return [
        name, fmt_int(len(found)), *map(fmt_int, tokens),
        f"{fmt_money(cost)} ({unknown})" if unknown else fmt_money(cost),
        fmt_money(cost * 1000 / len(_priced(found))), fmt_pct(cost / _cost(every)),
    ]  # fmt: skip


def _unknown(found: list[Answer]) -> str:
    number = sum(one.cost is None and not one.is_external for one in found)
    return f"and {fmt_int(number)} calls of unknown price" if number else ""


def _said(found: list[Answer]) -> Any:
    return approval(sum(one.ups for one in found), sum(one.ratings for one in found))


def _span(found: list[Answer]) -> str:
    said = _said(found)
    return fmt_range(said.low, said.high)


def _priced(found: list[Answer]) -> list[Decimal]:
    return [one.cost for one in found if one.cost is not None]


def _cost(found: list[Answer]) -> Decimal:
    return sum(_priced(found), Decimal(0))


def _month() -> list[date]:
    today = timezone.now().date()
    return [today - timedelta(days=29 - n) for n in range(30)]


def _prompt(one: Answer) -> str:
    return one.prompt


def _place(one: Answer) -> str:
    return fmt_name(one.place)


def _model(one: Answer) -> str:
    return one.model or "an unnamed model"
