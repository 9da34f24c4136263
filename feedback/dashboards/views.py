"""The pages of use and money of everything one may see. Input, few reads, shape."""

from __future__ import annotations

import csv
from dataclasses import replace

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from experiments.dashboards.views import for_people
from feedback.dashboards import bills, cells, tables, words
from feedback.dashboards.asking import choices, csv_url, day_before, page_of
from feedback.usage.changes import coincidences, movers
from feedback.usage.groups import BY, Groups
from feedback.usage.idle import DAYS, live_but_unused
from feedback.usage.moves import moves
from feedback.usage.sheets import lines
from feedback.usage.steps import is_weekly, steps
from feedback.usage.sums import summed, used, waits
from promptlab.accounts.access import Principal
from promptlab.chat.services.budgeting import CAPABILITY
from promptlab.lib.errors import Invalid

MOST_PROMPTS = 25
MOST_UNUSED = 100


@for_people
def overview(request: HttpRequest, principal: Principal) -> HttpResponse:
    """What everything came to, over time, by prompt, environment, model and team."""
    page = page_of(request, principal)
    rows = page.asked.rows(principal)
    of_prompts = summed(rows, "prompt_id", "prompt__title")
    counts = waits(rows, "prompt_id", *tables.PLACES)
    everywhere = tables.split(page)
    here = tables.narrowed(everywhere, page)
    found = steps(page.asked, summed(rows, "day"), moves(principal, page.asked))
    total = used(of_prompts, counts.values())
    of_prompt = tables.prompts(of_prompts, tables.counts_by(counts, 0), page)
    return page.answer(
        "usage/overview.html",
        title=gettext("Use"),
        tiles=cells.tiles(total),
        is_used=bool(total.calls),
        charts=cells.charts(found, cells.marks(found), is_weekly=is_weekly(page.asked)),
        tables=[
            tables.table(_("By prompt"), _("Prompt"), of_prompt, most=MOST_PROMPTS),
            *tables.of_places(here, counts, skip=1),
        ],
        csv_url=csv_url(page, "prompt"),
        csv_days_url=csv_url(page, "day"),
        **choices(everywhere, page),
    )


@for_people
def changes(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Whose numbers changed most, and what else happened when approval fell or calls became dearer."""
    page = page_of(request, principal)
    near = moves(principal, page.asked, since=day_before(page))
    found = movers(principal, page.asked)
    return page.answer(
        "usage/changes.html",
        title=gettext("What changed"),
        movers=[words.mover(name, one, page.query) for name, several in found.items() for one in several],
        coincidences=[words.coincidence(one, page.query) for one in coincidences(principal, page.asked, near)],
        **choices(tables.split(page), page),
    )


@for_people
def money(request: HttpRequest, principal: Principal) -> HttpResponse:
    """What it cost, by prompt, model and over time; budgets and what is left of them."""
    page = page_of(request, principal)
    everywhere = tables.split(page, "prompt_id", "prompt__title")
    here = tables.narrowed(everywhere, page)
    total = used(here)
    of_prompts = sorted(
        tables.by(here, "prompt_id").values(), key=lambda rows: -sum(row["cost_nanousd"] for row in rows)
    )
    prompts = [
        tables.sold(rows[0]["prompt__title"], rows, total, tables.prompt_url(rows[0], page)) for rows in of_prompts
    ]
    by_model = tables.by(here, "model")
    models = [tables.sold(tables.model_name(name), rows, total) for name, rows in by_model.items()]
    return page.answer(
        "usage/money.html",
        title=gettext("Money"),
        tiles=bills.tiles(total, page),
        is_used=bool(total.calls),
        charts=bills.spending(page, summed(page.asked.rows(principal), "day", "model")),
        tables=[
            tables.table(_("By prompt"), _("Prompt"), prompts, most=MOST_PROMPTS, heads=cells.SOLD),
            tables.table(_("By model"), _("Model"), models, heads=cells.SOLD),
        ],
        budgets=bills.budgets(page) if principal.may_anywhere(CAPABILITY) else None,
        budgets_url=reverse("admin:chat_budget_changelist"),
        csv_url=csv_url(page, "prompt,model"),
        **choices(everywhere, page),
    )


@for_people
def unused(request: HttpRequest, principal: Principal) -> HttpResponse:
    """What is live although nobody has asked for it in a month."""
    page = page_of(request, principal)
    found = list(live_but_unused(principal, page.asked.team_id)[: MOST_UNUSED + 1])
    return page.answer(
        "usage/unused.html",
        title=gettext("Live but unused"),
        idle_days=DAYS,
        most=MOST_UNUSED if len(found) > MOST_UNUSED else 0,
        rows=[
            {
                "title": one.prompt.title,
                "url": reverse("admin:prompts_prompt_change", args=[one.prompt_id]),
                "version": f"v{one.version.number}",
                "environment": str(one.environment),
                "since": one.event.at,
            }
            for one in found[:MOST_UNUSED]
        ],
    )


@for_people
def export(request: HttpRequest, principal: Principal) -> HttpResponse:
    """The numbers as CSV, in the groups that `by` names."""
    asked, prompt = page_of(request, principal).asked, request.GET.get("prompt", "")
    by = [one for one in request.GET.get("by", "").split(",") if one in BY][:3] or ["prompt"]
    if prompt:
        asked = replace(asked, prompt_id=int(prompt) if prompt.isdecimal() and len(prompt) < 19 else 0)
    try:
        written = lines(Groups(asked.rows(principal), list(dict.fromkeys(by))))
    except Invalid as error:
        return HttpResponse(error.told, status=error.status, content_type="text/plain; charset=utf-8")
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="usage.csv"'
    response["Cache-Control"] = "no-store"
    csv.writer(response).writerows(written)
    return response
