"""Links to results for people without an account: who made them, until when they hold, and how to end one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from experiments.models import Experiment, SharedResults
from experiments.services import sharing
from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, TeamFilter, acting, badge, link, sent
from promptlab.lib.errors import NotFound
from promptlab.templatetags.promptlab import when

DAYS = (7, 1, 30, 90)


class ShareForm(HouseForm):
    """For how long."""

    days = forms.TypedChoiceField(label=_("How many days it works"), choices=[(n, n) for n in DAYS], coerce=int)


@admin.register(SharedResults)
class SharedResultsAdmin(HouseAdmin):
    view_capability = sharing.CAPABILITY
    write_capability = sharing.CAPABILITY
    team_path = "experiment__team_id"
    list_title = _("Shared results")
    empty_title = _("No results are shared")
    empty_text = _("The page of an experiment has a button that makes a link for people without an account.")
    list_display = ["name_link", "state_badge", "maker_label", "made", "ends"]
    list_display_links = None
    list_filter = [TeamFilter]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).select_related("experiment")

    @admin.display(description=_("Experiment"))
    def name_link(self, shared: SharedResults) -> SafeString:
        return link(self.url("change", shared.pk), shared)

    @admin.display(description=_("State"))
    def state_badge(self, shared: SharedResults) -> SafeString:
        return badge(_("Works"), "ok") if shared.holds(timezone.now()) else badge(_("Ended"))

    @admin.display(description=_("Made"))
    def made(self, shared: SharedResults) -> str:
        return when(shared.made_at)

    @admin.display(description=_("Ends"))
    def ends(self, shared: SharedResults) -> str:
        return when(shared.revoked_at or shared.ends_at)

    def own_urls(self) -> list[Any]:
        return [self.own("<int:pk>/end/", self.end_page, "end")]

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Make a link to the results of the experiment that the address names."""
        actor = acting(request)
        pk = request.GET.get("experiment", "")
        rows = Experiment.objects.visible_to(actor, sharing.CAPABILITY)
        experiment = rows.filter(pk=int(pk)).first() if pk.isdecimal() and len(pk) < 19 else None
        if experiment is None:
            raise NotFound("There is nothing at this address.")

        def make(filled: dict[str, Any]) -> HttpResponse:
            made = sharing.share(actor, experiment, days=filled["days"])
            return self.said(request, gettext("The link works now."), self.url("change", made.pk))

        return self.form_page(
            request,
            ShareForm(sent(request)),
            make,
            title=gettext("Share the results of %(title)s") % {"title": experiment.title},
            lead=_(
                "Whoever has the link sees the numbers, without signing in. "
                "They see no text of a prompt or an answer, and no names of people. You can end the link at any time."
            ),
            submit_label=_("Make the link"),
            cancel_url=reverse("dashboards:experiment", args=[experiment.key]),
        )

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show a link, as long as it works, and the button that ends it."""
        holds = thing.holds(timezone.now())
        address = reverse("dashboards:shared", args=[sharing.token_of(thing)])
        results = reverse("dashboards:experiment", args=[thing.experiment.key])
        actions = [{"label": _("Results"), "url": results, "kind": ""}]
        if holds:
            actions.append({"label": _("End the link"), "url": self.url("end", thing.pk), "kind": "danger"})
        return self.page(
            request,
            "admin/experiments/shared.html",
            title=gettext("Results of %(title)s, shared") % {"title": thing.experiment.title},
            shared=thing,
            address=request.build_absolute_uri(address) if holds else "",
            actions=actions,
        )

    def end_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask before a link is ended; a POST ends it."""
        shared = self.found(request, pk)
        actor = self.demand(request, sharing.CAPABILITY, shared)
        there = self.url("change", shared.pk)

        def end(_filled: dict[str, Any]) -> HttpResponse:
            sharing.unshare(actor, shared)
            return self.said(request, gettext("The link does not work any more."), there)

        return self.confirm(
            request,
            end,
            title=gettext("End the link to %(title)s") % {"title": shared.experiment.title},
            consequences=[_("Whoever opens it sees that it has ended."), _("The experiment goes on as it is.")],
            submit_label=_("End the link"),
            is_danger=True,
            cancel_url=there,
            breadcrumbs=[self.list_crumb(), {"label": str(shared), "url": there}],
        )
