"""Tables of the pages of use: rows of sums put together by what tells them apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from experiments.stats.histogram import Counts, merged
from feedback.dashboards import cells, words
from feedback.dashboards.asking import Page
from feedback.usage.asking import Asked
from feedback.usage.sums import Key, Row, Used, summed, used
from promptlab.lib.formats import fmt_int, fmt_name

PLACES = ("environment__name", "model", "prompt__team__name")
SPLIT = ("prompt__team_id", *PLACES)
Line = dict[str, Any]


def split(page: Page, *more: str) -> list[dict[str, Any]]:
    """Return the sums of all teams and places in these days, which the filters choose from. One query."""
    return summed(Asked(days=page.asked.days).rows(page.principal), *SPLIT, *more)


def narrowed(rows: Iterable[Row], page: Page) -> list[Row]:
    """Return the rows of `split` that are asked for."""
    asked = page.asked
    return [
        row
        for row in rows
        if asked.environment in ("", row["environment__name"]) and asked.team_id in (None, row["prompt__team_id"])
    ]


def by(rows: Iterable[Row], column: str) -> dict[Any, list[Row]]:
    """Return rows by the values of a column, those with the most calls first."""
    found: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[column]].append(row)
    return dict(sorted(found.items(), key=lambda one: -sum(row["requests"] for row in one[1])))


def table(
    title: Any, head: Any, lines: Sequence[Line], *, most: int = 0, heads: Sequence[Any] = cells.HEADS
) -> dict[str, Any]:
    """Return a table: at most so many lines, and how many it leaves out. See usage/_table.html."""
    shown = lines[:most] if most else lines
    rest = len(lines) - len(shown)
    left = gettext("and %(count)s more: see the CSV") % {"count": fmt_int(rest)} if rest else ""
    return {"title": title, "head": head, "heads": heads, "lines": shown, "left": left}


def line(name: str, one: Used, url: str = "") -> Line:
    """Return a line about use."""
    return {"name": name, "url": url, "cells": cells.cells(one)}


def lines(
    groups: Mapping[Any, Sequence[Row]], counts: Mapping[Any, Counts], name_of: Callable[[Any], str]
) -> list[Line]:
    """Return a line about the use of each group, with its waits."""
    return [line(name_of(name), used(rows, [counts.get(name, {})])) for name, rows in groups.items()]


def of_places(rows: Sequence[Row], counts: Mapping[Key, Counts], *, skip: int) -> list[dict[str, Any]]:
    """Return the tables by environment, by model and, where there are several, by team.

    The keys of `counts` have `skip` other parts before those of `PLACES`.
    """
    found = []
    for at, (column, (title, head, name_of)) in enumerate(TABLES.items()):
        groups = by(rows, column)
        if column != "prompt__team__name" or len(groups) > 1:
            found.append(table(title, head, lines(groups, counts_by(counts, skip + at), name_of)))
    return found


def counts_by(counts: Mapping[Key, Counts], at: int) -> dict[Any, Counts]:
    """Return the counts of waits by the part of their keys that stands at a place."""
    found: dict[Any, list[Counts]] = defaultdict(list)
    for key, one in counts.items():
        found[key[at]].append(one)
    return {key: merged(several) for key, several in found.items()}


def sold(name: str, rows: Iterable[Row], total: Used, url: str = "") -> Line:
    """Return a line about money."""
    return {"name": name, "url": url, "cells": cells.costs(used(rows), total)}


def prompts(rows: Iterable[Row], counts: Mapping[Any, Counts], page: Page) -> list[Line]:
    """Return a line about each prompt, those with the most calls first."""
    return [
        line(row["prompt__title"], used([row], [counts.get(row["prompt_id"], {})]), prompt_url(row, page))
        for row in sorted(rows, key=lambda row: (-row["requests"], row["prompt__title"]))
    ]


def prompt_url(row: Row, page: Page) -> str:
    """Return the address of the page of a prompt's use."""
    return words.prompt_url(row["prompt_id"], page.query)


def model_name(name: str) -> str:
    """Return what a model is called; answers may come without saying which gave them."""
    return name or gettext("an unnamed model")


TABLES: dict[str, tuple[Any, Any, Callable[[Any], str]]] = {
    "environment__name": (_("By environment"), _("Environment"), fmt_name),
    "model": (_("By model"), _("Model"), model_name),
    "prompt__team__name": (_("By team"), _("Team"), str),
}


def label(row: Row) -> str:
    """Return what a version is called."""
    return f"v{row['version__number']} {row['version__version_string']}".strip()
