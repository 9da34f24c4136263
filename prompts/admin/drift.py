"""Nightly runs on what is live: the list of what they found, each leading to its run."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseAdmin, TeamFilter, badge, link
from promptlab.lib.errors import NotFound
from promptlab.lib.formats import fmt_pct
from prompts.admin.deployment import EnvironmentFilter
from prompts.admin.shown import page_of
from prompts.models import GoldenRun

KINDS = {"open": "info", "first": "neutral", "steady": "ok", "drift": "bad", "unknown": "warn"}


@admin.register(GoldenRun)
class GoldenRunAdmin(HouseAdmin):
    team_path = "suite__team_id"
    list_title = _("Nightly runs")
    empty_title = _("Nothing was run at night yet")
    empty_text = _(
        "Give an environment test suites, and money for a night: then what is live is asked them every night."
    )
    list_display = ["what", "environment", "night", "shown_verdict", "passed", "problem"]
    list_display_links = None
    list_filter = [EnvironmentFilter, ("verdict", admin.ChoicesFieldListFilter), TeamFilter]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).with_names()

    @admin.display(description=_("Run"))
    def what(self, found: GoldenRun) -> SafeString | str:
        label = f"{found.suite}: {found.version}"
        return link(page_of("suiterun_change", found.run_id), label) if found.run_id else label

    @admin.display(description=_("Verdict"))
    def shown_verdict(self, found: GoldenRun) -> SafeString:
        return badge(found.get_verdict_display(), KINDS[found.verdict])

    @admin.display(description=_("Passed"))
    def passed(self, found: GoldenRun) -> str:
        if found.rate_after is None:
            return "–"
        return f"{fmt_pct(found.rate_before)} → {fmt_pct(found.rate_after)}"

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Lead to the run."""
        if thing.run_id is None:
            raise NotFound("There is nothing at this address.")
        return HttpResponseRedirect(page_of("suiterun_change", thing.run_id))
