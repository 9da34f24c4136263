"""The administrators' pages of pricing again: what answers cost by the prices that are known now, and what that changed."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseAdmin, TeamFilter, TeamForm, acting, badge, link, sent
from promptlab.chat.models import Repricing
from promptlab.chat.services import repricing
from promptlab.chat.services.repricing import CAPABILITY
from promptlab.lib.formats import fmt_datetime, fmt_int, fmt_money


class NewRepricingForm(TeamForm):
    """Which answers, and whether to write what they cost."""

    since = forms.DateTimeField(label=_("Answers since"), required=False, help_text=_("2026-11-01 or 2026-11-01 09:00"))
    until = forms.DateTimeField(label=_("Answers before"), required=False, help_text=_("Empty: until now."))
    is_written = forms.BooleanField(
        label=_("Write the new costs"),
        required=False,
        help_text=_("Otherwise it is only reported what would change. Budgets that were spent stay spent."),
    )


@admin.register(Repricing)
class RepricingAdmin(HouseAdmin):
    view_capability = write_capability = CAPABILITY
    list_title = _("Pricing again")
    add_label = _("Price answers again")
    empty_title = _("Nothing was priced again")
    empty_text = _("When a price was missing or wrong, answers can be priced again with those of their day.")
    list_display = ["when_link", "team", "state", "answers", "changed", "difference"]
    list_display_links = None
    list_filter = [TeamFilter]
    list_select_related = ["team"]
    sortable_by = ()

    @admin.display(description=_("Asked at"))
    def when_link(self, job: Repricing) -> SafeString:
        return link(self.url("change", job.pk), fmt_datetime(job.created_at))

    @admin.display(description=_("State"))
    def state(self, job: Repricing) -> SafeString:
        return _state(job)

    @admin.display(description=_("Difference"))
    def difference(self, job: Repricing) -> str:
        return fmt_money(job.new_usd - job.old_usd)

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Have answers priced again."""
        actor = acting(request)
        form = NewRepricingForm(sent(request), actor=actor, capability=self.write_capability)

        def ask(filled: dict[str, Any]) -> HttpResponse:
            said = {name: filled[name] for name in ("since", "until")}
            is_trial = not filled["is_written"]
            job = repricing.ask_repricing(actor, form.chosen_team(), is_trial=is_trial, **said)
            return self.said(request, gettext("A worker prices them again."), self.url("change", job.pk))

        title, cancel_url = self.add_label, self.url("changelist")
        return self.form_page(request, form, ask, title=title, submit_label=_("Price again"), cancel_url=cancel_url)

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show what came of it so far."""
        facts = [
            (_("State"), _state(thing)),
            (_("Asked by"), thing.asked_by),
            (_("Answers since"), fmt_datetime(thing.since) if thing.since else _("The first one")),
            (_("Answers before"), fmt_datetime(thing.until) if thing.until else _("All of them")),
            (_("Answers looked at"), fmt_int(thing.answers)),
            (_("Cost changed"), fmt_int(thing.changed)),
            (_("Found where it was unknown"), fmt_int(thing.found)),
            (_("Cost still unknown"), fmt_int(thing.unknown)),
            (_("Sum before"), fmt_money(thing.old_usd)),
            (_("Sum after"), fmt_money(thing.new_usd)),
            (_("Written"), _("Nothing: only a report") if thing.is_trial else _("The new costs, and the sums of them")),
            (_("Team"), thing.team),
        ]
        title = _("Priced again at %(time)s") % {"time": fmt_datetime(thing.created_at)}
        return self.page(request, "admin/accounts/facts.html", title=title, facts=facts, actions=[])


def _state(job: Repricing) -> SafeString:
    if job.ended_at is not None:
        return badge(_("Done"), "ok")
    return badge(_("Under way"), "warn") if job.done_to else badge(_("Waiting for a worker"), "warn")
