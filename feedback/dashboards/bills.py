"""What the page of money shows: what it came to, over time, and budgets with what is left of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from feedback.dashboards import cells
from feedback.dashboards.asking import Page
from feedback.dashboards.tables import model_name
from feedback.usage.moves import moves
from feedback.usage.steps import is_weekly, steps
from feedback.usage.sums import Row, Used
from promptlab.chat.allowances import Standing, running, standing
from promptlab.chat.models import Budget
from promptlab.chat.services.budgeting import CAPABILITY
from promptlab.lib.charts import columns
from promptlab.lib.formats import fmt_datetime, fmt_int, fmt_money, fmt_pct

NEAR = Decimal("0.8")
"""The share of a budget from which on it warns."""
MOST_BUDGETS = 100
KINDS = {"team": _("Team"), "key": _("API key"), "prompt": _("Prompt"), "experiment": _("Variants of the experiment")}


def tiles(total: Used, page: Page) -> list[dict[str, Any]]:
    """Return the tiles above the page of money."""
    tokens = {"input": fmt_int(total.input_tokens), "output": fmt_int(total.output_tokens)}
    daily = total.cost_usd / page.asked.days if total.priced else None
    return [
        {"label": _("Cost"), "value": fmt_money(total.known_usd), "note": cells.unpriced(total)},
        {"label": _("A day, on average"), "value": fmt_money(daily)},
        {"label": _("A thousand calls"), "value": fmt_money(total.thousand_usd)},
        {"label": _("Calls"), "value": fmt_int(total.calls)},
        {
            "label": _("Tokens"),
            "value": fmt_int(total.input_tokens + total.output_tokens),
            "note": gettext("%(input)s in, %(output)s out") % tokens,
        },
    ]


def spending(page: Page, rows: Sequence[Row]) -> list[SafeString]:
    """Return the cost over time by model, from sums by day and model. One query."""
    by_model: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_model[row["model"]].append(row)
    whole = steps(page.asked, (), moves(page.principal, page.asked))
    if len(whole) < 2:
        return []
    spent = {
        model_name(name): [float(one.used.cost_usd) for one in steps(page.asked, of_one)]
        for name, of_one in by_model.items()
    }
    series = cells.parts(spent)
    happened = cells.marks(whole)
    weekly = is_weekly(page.asked)
    drawn = columns(
        [one.day for one in whole],
        series,
        happened,
        title=gettext("Cost over time, by model"),
        heading=cells.head_of_steps(weekly),
        caption=cells.caption(happened),
        fmt=fmt_money,
    )
    return [drawn] if drawn else []


def budgets(page: Page) -> list[dict[str, Any]]:
    """Return the budgets of the teams one administers, and how they stand, those with the least left first. Two queries."""
    rows = Budget.objects.visible_to(page.principal, CAPABILITY).in_force()
    if page.asked.team_id is not None:
        rows = rows.filter(team=page.asked.team_id)
    now = timezone.now()
    found = [standing(one, now) for one in rows.prefetch_related(running(now)).order_by("id")[:MOST_BUDGETS]]
    return [_budget(one) for one in sorted(found, key=lambda one: one.left_usd / one.budget.limit_usd)]


def _budget(one: Standing) -> dict[str, Any]:
    budget = one.budget
    used_up = 1 - one.left_usd / budget.limit_usd
    kind, label = ("bad", _("Used up")) if not one.left_usd else ("warn", _("Nearly used up"))
    if used_up < NEAR:
        kind, label = "ok", _("Fine")
    return {
        "of": f"{KINDS[budget.kind]}: {budget.about}",
        "period": budget.get_period_display(),
        "limit": fmt_money(budget.limit_usd),
        "spent": fmt_money(one.spent_usd),
        "reserved": fmt_money(one.reserved_usd),
        "left": fmt_money(one.left_usd),
        "share": fmt_pct(used_up, 0),
        "resets": fmt_datetime(one.resets_at),
        "label": label,
        "kind": kind,
    }
