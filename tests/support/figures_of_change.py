"""What changed, what coincided, what the API says and what is left of budgets, beside what answers and ratings say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Sum
from django.test import Client
from django.utils import timezone

from experiments.models import AnalysisSnapshot, Experiment
from experiments.services import analysis
from experiments.stats.proportion import approval
from promptlab import llm
from promptlab.accounts.access import SYSTEM
from promptlab.chat.models import Message
from promptlab.chat.services import reserving
from promptlab.chat.services.budgeting import set_budget
from promptlab.lib.formats import fmt_day, fmt_int, fmt_money, fmt_ms, fmt_name, fmt_pct
from promptlab.llm.keeping import forget
from prompts.models import Prompt
from tests.support import recount
from tests.support.api import Api
from tests.support.eventful import World
from tests.support.figures import USE, Figures, Page, Row
from tests.support.make import make_key
from tests.support.recount import Answer, by, under

Answers = Sequence[Answer]
ENOUGH, CHANGED, MOST, WEEK = 30, 0.25, 5, 7
SURE, DEARER, MOVED = 3.5, 1.2, 0.2
UNNAMED = "an unnamed model"
PAID = 60
"""So many answers are paid for out of a budget."""


def compare_changes(client: Client, to: Figures) -> None:
    """Compare the page of what changed, for each of its periods."""
    found = recount.answers()
    for days in (1, 7, 30):
        page = Page(client, f"{USE}changes/?days={days}")
        wanted = list(_movers(found, days))
        shown = page.table("What changed most") or []
        to.rows(f"movers of {days} days", shown, wanted)
        told = [*_falls(found, days), *_rises(found, days)]
        to.same(f"coincidences of {days} days", [str(page.words.count("Within a day of it:"))], [str(len(told))])
        for sentences in told:
            to.told(f"coincidences of {days} days", page.words, *sentences)


def _today() -> date:
    return timezone.now().date()


def _movers(found: Answers, days: int) -> Iterable[Row]:
    """Yield the rows of what changed most: so many whole days, up to yesterday, against those before."""
    first, middle = _today() - timedelta(days=2 * days), _today() - timedelta(days=days)
    halves = {
        name: (
            [one for one in several if first <= one.day < middle],
            [one for one in several if middle <= one.day < _today()],
        )
        for name, several in by(found, lambda one: one.prompt).items()
    }
    for label, (measure, write, has_sides) in MEASURES.items():
        sizes = [(measure(*both), name) for name, both in halves.items()]
        for size, name in sorted((one for one in sizes if one[0]), key=lambda one: -abs(one[0]))[:MOST]:
            judged = ("Worse" if size > 0 else "Better") if has_sides else "Changed"
            yield [name, label, *map(write, halves[name]), judged]


def _calls(before: Answers, now: Answers) -> float:
    change = len(now) - len(before)
    most = max(len(now), len(before))
    return change if most >= ENOUGH and abs(change) >= CHANGED * most else 0


def _spent(before: Answers, now: Answers) -> float:
    was, spent = _cost(before), _cost(now)
    is_much = abs(spent - was) >= Decimal("0.01") and abs(spent - was) >= Decimal(CHANGED) * max(was, spent)
    return float(spent - was) if is_much else 0


def _liked(before: Answers, now: Answers) -> float:
    was, said = _said(before), _said(now)
    if min(was.ratings, said.ratings) < ENOUGH:
        return 0
    are_apart = said.low > was.high or was.low > said.high
    return was.rate - said.rate if are_apart else 0


def _failed(before: Answers, now: Answers) -> float:
    calls = len(before), len(now)
    if min(calls) < ENOUGH:
        return 0
    failed = [sum(one.is_failed for one in half) for half in (before, now)]
    share = sum(failed) / sum(calls)
    error = math.sqrt(share * (1 - share) * (1 / calls[0] + 1 / calls[1]))
    change = failed[1] / calls[1] - failed[0] / calls[0]
    return change if error and abs(change) >= 3 * error else 0


def _slow(before: Answers, now: Answers) -> float:
    was, waits = under(before, 0.95), under(now, 0.95)
    if min(len(before), len(now)) < ENOUGH or was is None or waits is None:
        return 0
    return waits - was if abs(waits - was) >= CHANGED * max(waits, was) else 0


def _cost(found: Answers) -> Decimal:
    return sum((one.cost for one in found if one.cost is not None), Decimal(0))


def _known(found: Answers) -> str:
    return fmt_money(_cost(found) if any(one.cost is not None for one in found) else None)


def _said(found: Answers) -> Any:
    return approval(sum(one.ups for one in found), sum(one.ratings for one in found))


def _error_share(found: Answers) -> str:
    return fmt_pct(sum(one.is_failed for one in found) / len(found) if found else None)


MEASURES: dict[str, tuple[Callable[[Answers, Answers], float], Callable[[Answers], str], bool]] = {
    "Calls": (_calls, lambda found: fmt_int(len(found)), False),
    "Cost": (_spent, _known, True),
    "Thumbs-up rate": (_liked, lambda found: fmt_pct(_said(found).rate), True),
    "Failed": (_failed, _error_share, True),
    "19 of 20 within": (_slow, lambda found: fmt_ms(under(found, 0.95)), True),
}


def _sides(found: Answers, days: int) -> Iterable[tuple[str, str, list[tuple[date, Answers, Answers]]]]:
    """Yield prompts and places with, for each day asked for, the answers of the week before it and of that from it on."""
    since = _today() - timedelta(days=days - 1)
    for (prompt, place), several in by(found, lambda one: (one.prompt, one.place)).items():
        if any(one.day >= since - timedelta(days=WEEK) for one in several):
            cuts = [since + timedelta(days=n) for n in range(days)]
            start = since - timedelta(days=WEEK)
            parts = [
                (
                    day,
                    [one for one in several if max(start, day - timedelta(days=WEEK)) <= one.day < day],
                    [one for one in several if day <= one.day < day + timedelta(days=WEEK)],
                )
                for day in cuts
            ]
            yield prompt, fmt_name(place), parts


def _falls(found: Answers, days: int) -> Iterable[Sequence[str]]:
    """Yield what is told of each fall of approval: its sentence, and those about models."""
    for prompt, place, parts in _sides(found, days):
        best: tuple[float, date, Answers, Answers] | None = None
        for day, before, after in parts:
            n = sum(one.ratings for one in before), sum(one.ratings for one in after)
            if min(n) < ENOUGH:
                continue
            ups = sum(one.ups for one in before), sum(one.ups for one in after)
            share = sum(ups) / sum(n)
            error = math.sqrt(share * (1 - share) * (1 / n[0] + 1 / n[1]))
            z = (ups[0] / n[0] - ups[1] / n[1]) / error if error else 0
            if z >= max(SURE, best[0] if best else 0):
                best = (z, day, before, after)
        if best:
            _z, day, before, after = best
            rates = [fmt_pct(_said(half).rate) for half in (before, after)]
            sentence = f"{prompt} in {place}: thumbs-up fell from {rates[0]} to {rates[1]} from {fmt_day(day)} on."
            yield [sentence, *_models(before, after)]


def _rises(found: Answers, days: int) -> Iterable[Sequence[str]]:
    """Yield what is told of each rise of what a call costs."""
    for prompt, place, parts in _sides(found, days):
        best: tuple[Decimal, date, Answers, Answers] | None = None
        for day, before, after in parts:
            if min(sum(one.cost is not None for one in half) for half in (before, after)) < ENOUGH:
                continue
            was, now = (_each(half) for half in (before, after))
            if now >= was * Decimal(DEARER) and now - was > (best[0] if best else 0):
                best = (now - was, day, before, after)
        if best:
            _more, day, before, after = best
            was, now = (fmt_money(float(_each(half))) for half in (before, after))
            sentence = f"{prompt} in {place}: a call costs {now} from {fmt_day(day)} on, {was} before."
            yield [sentence, *_models(before, after)]


def _each(found: Answers) -> Decimal:
    return _cost(found) / sum(one.cost is not None for one in found)


def _models(before: Answers, after: Answers) -> list[str]:
    """Return the sentences about models whose share of the calls changed much."""
    if not before or not after:
        return []
    told = []
    for name in sorted({one.model for one in (*before, *after)}):
        was, now = (sum(one.model == name for one in half) / len(half) for half in (before, after))
        if abs(now - was) >= MOVED:
            told.append(f"{name or UNNAMED} gave {fmt_pct(now, 0)} of the answers, {fmt_pct(was, 0)} before")
    return told


def compare_api(world: World, to: Figures) -> None:
    """Compare `GET /usage` in all its groups, and every number of `GET /experiments/{key}/results`."""
    api, found = Api(make_key(world.team, "read")[1]), recount.answers()
    since = _today() - timedelta(days=29)
    lately = [one for one in found if one.day >= since]
    names = dict(Prompt.objects.filter(team=world.team).values_list("title", "name"))
    keys: Mapping[str, Callable[[Answer], Any]] = {
        "prompt": lambda one: names[one.prompt],
        "version": lambda one: one.version,
        "environment": lambda one: one.place,
        "model": lambda one: one.model,
        "day": lambda one: one.day.isoformat(),
    }
    for asked in ("prompt", "prompt,version", "environment", "model", "day", "prompt,environment,day"):
        parts = asked.split(",")
        groups = by(lately, lambda one, parts=parts: tuple(keys[part](one) for part in parts))  # type: ignore[misc]
        rows = _pages(api, f"/api/v1/usage?days=30&by={asked}&page_size=100")
        to.same(f"usage by {asked}", [str(len(rows))], [str(len(groups))])
        for row in rows:
            _compare_used(f"usage by {asked}", row, groups.get(tuple(row[part] for part in parts), []), to)
    _compare_used("usage", api.get("/api/v1/usage?days=30").json()["totals"], lately, to)
    _compare_results(world, api, to)


def _pages(api: Api, address: str) -> list[dict[str, Any]]:
    rows, at = [], address
    while at:
        answer = api.get(at).json()
        rows += answer["results"]
        at = answer["next"] or ""
    return rows


def _compare_used(where: str, row: Mapping[str, Any], found: Answers, to: Figures) -> None:
    said, shown = _said(found), sum(one.is_shown for one in found)
    wanted = {
        "calls": len(found),
        "shown": shown,
        "errors": sum(one.is_failed for one in found),
        "rated": said.ratings,
        "up": said.ups,
        "approval": said.rate,
        "approval_low": said.low,
        "approval_high": said.high,
        "coverage": said.ratings / shown if shown else None,
        "median_ms": under(found, 0.5),
        "p95_ms": under(found, 0.95),
        "input_tokens": sum(one.input_tokens for one in found),
        "output_tokens": sum(one.output_tokens for one in found),
        "cost_usd": f"{_cost(found):.9f}",
        "unpriced": sum(one.cost is None and not one.is_external for one in found),
    }
    to.same(where, [str(row[name]) for name in wanted], [str(one) for one in wanted.values()])


def _compare_results(world: World, api: Api, to: Figures) -> None:
    experiment = Experiment.objects.get(pk=world.experiment.pk)
    told = api.get(f"/api/v1/experiments/{experiment.key}/results").json()
    found = recount.answers(experiment=experiment)
    kept = AnalysisSnapshot.objects.newest_of(experiment.pk, 1)[0]
    for row, variant in zip(told["variants"], experiment.variants.all(), strict=True):
        own = [one for one in found if one.variant_id == variant.pk]
        said, shown = _said(own), sum(one.is_shown for one in own)
        wanted = {
            "variant": variant.key,
            "units": recount.counted(found, variant.pk)["sums"]["units"],
            "requests": len(own),
            "shown": shown,
            "errors": sum(one.is_failed for one in own),
            "rated": said.ratings,
            "up": said.ups,
            "down": said.ratings - said.ups,
            "approval": said.rate,
            "approval_low": said.low,
            "approval_high": said.high,
            "coverage": said.ratings / shown,
        }
        to.same("results", [str(row[name]) for name in wanted], [str(one) for one in wanted.values()])
    wanted_results = analysis.computed(recount.inputs(experiment, kept.inputs, found))
    shown_results = {name: told["analysis"][name] for name in wanted_results}
    _compare_leaves("results", shown_results, wanted_results, to)


def _compare_leaves(where: str, shown: Any, wanted: Any, to: Figures) -> None:
    """Compare every number and word of a document; sums of fractions may differ in the order they were added in."""
    if isinstance(wanted, Mapping):
        to.same(where, map(str, sorted(shown)), map(str, sorted(wanted)))
        for name in wanted:
            _compare_leaves(f"{where}.{name}", shown[name], wanted[name], to)
    elif isinstance(wanted, list | tuple):
        to.same(where, [str(len(shown))], [str(len(wanted))])
        for index, one in enumerate(wanted):
            _compare_leaves(f"{where}.{index}", shown[index], one, to)
    elif isinstance(wanted, float) and isinstance(shown, int | float):
        to.same(where, [str(math.isclose(shown, wanted, rel_tol=1e-9, abs_tol=1e-12))], ["True"])
    else:
        to.same(where, [str(shown)], [str(wanted)])


def compare_budgets(world: World, client: Client, to: Figures) -> None:
    """Compare what is left of a budget out of which the newest answers were paid, as they are when they end."""
    limit = Decimal("0.5")
    set_budget(SYSTEM, world.team, period="month", limit_usd=limit, takes_unpriced=True)
    forget()
    paid = list(Message.objects.filter(conversation__team=world.team, is_external=False).order_by("-pk")[:PAID])
    rules = reserving.paying(world.team.pk, None, None, None)
    for one in paid:
        with transaction.atomic():
            reserving.reserve(one, llm.CompletionRequest(messages=[], model=one.model), world.team.pk, rules)
            reserving.settle(one.pk, one.cost_usd)
    spent = Message.objects.filter(pk__in=[one.pk for one in paid]).aggregate(spent=Sum("cost_usd"))["spent"]
    used_up = min(spent / limit, Decimal(1))
    state = "Used up" if spent >= limit else "Nearly used up" if used_up >= Decimal("0.8") else "Fine"
    rows = Page(client, f"{USE}money/").table("Budgets") or []
    wanted = [
        f"Team: {world.team.name}", state, "Month", fmt_money(limit), f"{fmt_money(spent)} ({fmt_pct(used_up, 0)})",
        fmt_money(Decimal(0)), fmt_money(max(Decimal(0), limit - spent)),
    ]  # fmt: skip
    to.rows("budgets", [row[:-1] for row in rows], [wanted])
