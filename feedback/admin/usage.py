"""The page of how a prompt is used: what it costs, how long people wait, what they think, version by version."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from feedback import findings
from feedback.results import READ
from feedback.usage.asking import Asked
from feedback.usage.prompt import prompt_usage
from feedback.usage.sums import Used
from promptlab.accounts.modeladmin import HouseAdmin, acting
from promptlab.lib.errors import NotFound
from promptlab.lib.formats import DASH, fmt_int, fmt_money, fmt_ms, fmt_pct, fmt_range
from prompts.admin.section import section
from prompts.models import Environment, Prompt

PERIODS = (7, 30, 90)
NEWEST = 10
"""So many single calls are shown; the page of all of them has the others."""


class PeriodForm(forms.Form):
    """Which time and place; what is wrong counts as not said."""

    days = forms.TypedChoiceField(choices=[(days, days) for days in PERIODS], coerce=int, required=False)
    environment = forms.CharField(max_length=36, required=False)


class UsagePages(HouseAdmin):
    """Part of the ratings' admin, which has their address."""

    def usage_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show how a prompt was used in the last days."""
        actor = acting(request)
        prompt = Prompt.objects.visible_to(actor, READ).for_section().filter(pk=pk).first()
        if prompt is None:
            raise NotFound("There is nothing at this address.")
        asked = PeriodForm(request.GET)
        asked.is_valid()
        days = asked.cleaned_data.get("days") or 30
        places = list(Environment.objects.filter(team=prompt.team_id).values_list("name", flat=True))
        environment = asked.cleaned_data.get("environment", "")
        environment = environment if environment in places else ""
        found = prompt_usage(actor, prompt, days=days, environment=environment)
        comments = reverse("admin:feedback_comment_changelist")
        return self.page(
            request,
            "admin/feedback/usage.html",
            days=days,
            calls_url=f"{reverse('usage:calls', args=[prompt.pk])}?{urlencode({'days': days, 'environment': environment})}",
            **findings.shown(actor, prompt, Asked(days, environment, prompt_id=prompt.pk), number=NEWEST),
            over_time_url=reverse("usage:prompt", args=[prompt.pk]),
            periods=PERIODS,
            environment=environment,
            environments=places,
            tiles=_tiles(found.totals),
            versions=[
                {"label": f"v{one.number} {one.version_string}".strip(), **_cells(one.used)} for one in found.versions
            ],
            is_used=bool(found.totals.calls or found.totals.said.ratings),
            comments_url=f"{comments}?prompt={prompt.name}",
            **section(actor, prompt, "usage"),
        )


def _cells(used: Used) -> dict[str, str]:
    said = used.said
    span = fmt_range(said.low, said.high) if said.rate is not None else ""
    return {
        "calls": fmt_int(used.calls),
        "errors": fmt_int(used.errors),
        "ratings": fmt_int(said.ratings),
        "approval": fmt_pct(said.rate),
        "span": span,
        "coverage": fmt_pct(used.coverage),
        "median": fmt_ms(used.median_ms),
        "p95": fmt_ms(used.p95_ms),
        "cost": fmt_money(used.cost_usd) if used.calls > used.unpriced else DASH,
        "unpriced": fmt_int(used.unpriced) if used.unpriced else "",
    }


def _tiles(used: Used) -> list[dict[str, Any]]:
    cells = _cells(used)
    rated = _("%(ratings)s ratings, for %(coverage)s of the answers") % cells
    slow = _("19 of 20 within %(p95)s") % cells
    unpriced = _("and %(unpriced)s calls of unknown price") % cells if used.unpriced else ""
    return [
        {"label": _("Calls"), "value": cells["calls"], "note": _("%(errors)s failed") % cells},
        {"label": _("Thumbs-up rate"), "value": cells["approval"], "note": cells["span"]},
        {"label": _("Rated"), "value": cells["coverage"], "note": rated},
        {"label": _("Wait"), "value": cells["median"], "note": slow if used.p95_ms is not None else ""},
        {"label": _("Cost"), "value": cells["cost"], "note": unpriced},
    ]
