"""The page of how one prompt is used: over time, version by version, and what coincided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from experiments.dashboards.views import for_people
from experiments.stats.histogram import Counts
from feedback.dashboards import cells, tables, words
from feedback.dashboards.asking import csv_url, day_before, page_of, places
from feedback.results import READ
from feedback.usage.asking import Asked
from feedback.usage.changes import shifts_of
from feedback.usage.moves import Move, moves
from feedback.usage.shifts import WEEK
from feedback.usage.steps import Step, is_weekly, steps
from feedback.usage.sums import Key, Row, Used, summed, used, waits
from promptlab.accounts.access import Principal
from promptlab.lib.charts import Bar, Interval, bars, columns, interval
from prompts.models import Prompt

NOTHING = SafeString("")
MOST_VERSIONS = 6
"""That are compared in a chart, the newest."""
TOLD_APART = (
    "prompt_id", "prompt__title", "day", "version__number", "version__version_string", *tables.PLACES,
)  # fmt: skip


@for_people
def prompt(request: HttpRequest, principal: Principal, pk: int) -> HttpResponse:
    """One prompt: what it came to, over time, by version, environment and model, and what coincided."""
    thing: Prompt | None = Prompt.objects.visible_to(principal, READ).filter(pk=pk).first()
    if thing is None:
        raise Http404
    page = page_of(request, principal)
    asked = replace(page.asked, prompt_id=thing.pk, team_id=None)
    everywhere = replace(asked, environment="")
    sums = summed(everywhere.rows(principal, before=WEEK), *TOLD_APART)
    happened = moves(principal, everywhere, since=day_before(page))
    counts = waits(asked.rows(principal), "version__number", *tables.PLACES)
    lately = [row for row in sums if _is_there(asked, row)]
    here = [row for row in lately if row["day"] >= asked.since]
    total = used(here, counts.values())
    return page.answer(
        "usage/prompt.html",
        title=gettext("Use of %(prompt)s") % {"prompt": thing.title},
        prompt_title=thing.title,
        prompt_url=reverse("admin:prompts_prompt_change", args=[thing.pk]),
        comments_url=f"{reverse('admin:feedback_comment_changelist')}?prompt={thing.name}",
        calls_url=reverse("usage:calls", args=[thing.pk]) + page.query,
        tiles=cells.tiles(total),
        is_used=bool(total.calls),
        **_shown(asked, here, happened, counts),
        coincidences=[words.coincidence(one, "") for one in shifts_of(lately, asked, happened)],
        csv_url=f"{csv_url(page, 'version,environment,day')}&prompt={thing.pk}",
        environments=places((row["environment__name"] for row in sums), page),
        teams=[],
    )


def _is_there(asked: Asked, row: Row) -> bool:
    return asked.environment in ("", row["environment__name"])


def _shown(asked: Asked, here: Sequence[Row], happened: Sequence[Move], counts: Mapping[Key, Counts]) -> dict[str, Any]:
    """Return the charts and tables."""
    then = [one for one in happened if one.day >= asked.since and asked.environment in ("", one.environment)]
    found = steps(asked, here, then)
    marks = cells.marks(found, is_named=False)
    _calls, *others = cells.charts(found, marks, is_weekly=is_weekly(asked)) or [NOTHING]
    versions = _versions(here, tables.counts_by(counts, 0))
    by_version = [tables.line(name, one) for name, one in versions.items()]
    return {
        "charts": [*_by_version(asked, here, found, marks), *others],
        "comparisons": _comparisons(versions),
        "tables": [tables.table(_("By version"), _("Version"), by_version), *tables.of_places(here, counts, skip=1)],
    }


def _versions(rows: Sequence[Row], counts: Mapping[Any, Counts]) -> dict[str, Used]:
    """Return the use of each version, the newest first."""
    found = sorted(tables.by(rows, "version__number").items(), key=lambda one: -int(one[0]))
    return {tables.label(of_one[0]): used(of_one, [counts.get(number, {})]) for number, of_one in found}


def _by_version(asked: Asked, here: Sequence[Row], found: Sequence[Step], marks: dict[int, str]) -> list[SafeString]:
    """Return the calls over time by version; nothing of a single day."""
    if len(found) < 2 or not here:
        return []
    calls: dict[str, list[float]] = {
        tables.label(of_one[0]): [one.used.calls for one in steps(asked, of_one)]
        for of_one in tables.by(here, "version__number").values()
    }
    heading = cells.head_of_steps(is_weekly(asked))
    title = gettext("Calls over time, by version")
    days = [one.day for one in found]
    return [columns(days, cells.parts(calls), marks, title=title, heading=heading, caption=cells.caption(marks))]


def _comparisons(versions: Mapping[str, Used]) -> list[SafeString]:
    """Return approval and waits of the newest versions side by side; nothing of a single one."""
    newest = list(versions.items())[:MOST_VERSIONS]
    if len(newest) < 2:
        return []
    rates = [Interval(name, one.said.rate, one.said.low, one.said.high) for name, one in newest]
    slow = [Bar(name, one.median_ms, one.p95_ms) for name, one in newest]
    return [one for one in (interval(rates), bars(slow)) if one]
