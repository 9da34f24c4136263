"""What a page of use is asked for, and what all of them show besides: tabs, filters, how far the sums reach."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from feedback.results import READ
from feedback.usage.asking import Asked, Freshness, freshness
from feedback.usage.sums import Row
from promptlab.accounts.access import Principal
from promptlab.lib.formats import fmt_datetime, fmt_day, fmt_name

PERIODS = (1, 7, 30, 90)
TABS = (
    (_("Overview"), "usage:overview"),
    (_("What changed"), "usage:changes"),
    (_("Money"), "usage:money"),
    (_("Live but unused"), "usage:unused"),
)


class AskedForm(forms.Form):
    """Which time, place and team; what is wrong counts as not said."""

    days = forms.TypedChoiceField(choices=[(days, days) for days in PERIODS], coerce=int, required=False)
    environment = forms.CharField(max_length=36, required=False)
    team = forms.IntegerField(min_value=1, max_value=2**63 - 1, required=False)


@dataclass(frozen=True, slots=True)
class Page:
    """What is asked for, by whom."""

    request: HttpRequest
    principal: Principal
    asked: Asked

    @property
    def query(self) -> str:
        """What is asked for, to be put behind the address of another page."""
        asked = self.asked
        said = {"days": asked.days, "environment": asked.environment, "team": asked.team_id or ""}
        return f"?{urlencode({name: value for name, value in said.items() if value})}"

    def answer(self, template: str, **context: Any) -> HttpResponse:
        """Return the page."""
        frame = {**admin.site.each_context(self.request), "query": self.query, "asked": self.asked, "periods": PERIODS}
        return render(self.request, template, {**frame, "tabs": self._tabs(), "notices": self._notices(), **context})

    def _tabs(self) -> list[dict[str, Any]]:
        here = f"usage:{self.request.resolver_match.url_name}" if self.request.resolver_match else ""
        return [{"label": label, "url": reverse(name) + self.query, "is_current": name == here} for label, name in TABS]

    def _notices(self) -> list[dict[str, str]]:
        return notices(freshness(), self.asked)


def notices(fresh: Freshness, asked: Asked) -> list[dict[str, str]]:
    """Return what has to be known of the numbers: that they are behind, or not complete yet."""
    found = []
    if fresh.waiting_since is not None:
        late = _("What came since %(time)s is not counted yet. The workers are behind, or do not run.")
        found.append({"kind": "bad", "text": late % {"time": fmt_datetime(fresh.waiting_since)}})
    if fresh.lacks(asked.since):
        lacking = _("Days before %(day)s are still being added up. Their numbers come within minutes, as a rule.")
        found.append({"kind": "warn", "text": lacking % {"day": fmt_day(fresh.counted_from)}})
    if not found:
        now = _("Counted up to %(time)s. Days are those of UTC.") % {"time": fmt_datetime(timezone.now())}
        found.append({"kind": "", "text": now})
    return found


def page_of(request: HttpRequest, principal: Principal) -> Page:
    """Return what a request asks for; a team or place that one does not see leaves nothing."""
    form = AskedForm(request.GET)
    form.is_valid()
    said = form.cleaned_data
    team_id = said.get("team")
    if team_id is not None and not principal.may(READ, team_id):
        team_id = None
    return Page(request, principal, Asked(said.get("days") or 30, said.get("environment", ""), team_id))


def choices(rows: Iterable[Row], page: Page) -> dict[str, Any]:
    """Return the places and teams to choose from, of rows that are narrowed by neither."""
    known = list(rows)
    teams = {row["prompt__team_id"]: row["prompt__team__name"] for row in known}
    return {
        "environments": places((row["environment__name"] for row in known), page),
        "teams": sorted(teams.items(), key=lambda one: one[1]) if len(teams) > 1 else [],
    }


def places(names: Iterable[str], page: Page) -> list[dict[str, str]]:
    """Return the environments to choose from."""
    known = set(names) | ({page.asked.environment} - {""})
    return [{"name": name, "label": fmt_name(name)} for name in sorted(known)]


def day_before(page: Page) -> date:
    """Return the day before the first one that is asked for."""
    return page.asked.since - timedelta(days=1)


def csv_url(page: Page, by: str) -> str:
    """Return the address of the same numbers as CSV, in these groups."""
    return f"{reverse('usage:csv')}{page.query}&by={by}"
