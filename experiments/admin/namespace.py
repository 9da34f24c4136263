"""Namespaces for editors: which experiments stay apart from each other, and how much room is left."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from experiments.admin.showing import KINDS, share
from experiments.admin.traffic_forms import NamespaceForm
from experiments.models import Experiment, Namespace
from experiments.services import targeting
from promptlab.accounts.modeladmin import HouseAdmin, TeamFilter, acting, link, sent


@admin.register(Namespace)
class NamespaceAdmin(HouseAdmin):
    view_capability = "experiment.read"
    write_capability = "experiment.write"
    list_title = _("Experiments that stay apart")
    add_label = _("New namespace")
    empty_title = _("No namespaces yet")
    empty_text = _("Two experiments in one namespace never have the same user: neither disturbs the other.")
    list_display = ["key_link", "free"]
    list_display_links = None
    list_filter = [TeamFilter]
    search_fields = ["key"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return Namespace.objects.filter(team__in=acting(request).teams_with(self.view_capability)).order_by("key")

    @admin.display(description=_("Namespace"))
    def key_link(self, namespace: Namespace) -> SafeString:
        return link(self.url("change", namespace.pk), namespace.key)

    @admin.display(description=_("Free"))
    def free(self, namespace: Namespace) -> str:
        return _free(namespace)

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Ask for its short name."""
        actor = acting(request)
        form = NamespaceForm(sent(request), actor=actor, capability=self.write_capability)

        def make(filled: dict[str, Any]) -> HttpResponse:
            made = targeting.create_namespace(actor, form.chosen_team(), filled["key"])
            done = gettext("%(key)s is there. Experiments take a part of it while they are set up.") % {"key": made.key}
            return self.said(request, done, self.url("change", made.pk))

        return self.form_page(
            request,
            form,
            make,
            title=_("New namespace"),
            lead=_("Experiments in it share its users out among themselves: nobody is in two of them."),
            submit_label=_("Make it"),
            cancel_url=self.url("changelist"),
        )

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show which experiments have which part of it."""
        rows = Experiment.objects.visible_to(acting(request), self.view_capability).filter(namespace=thing)
        return self.page(
            request,
            "admin/experiments/namespace.html",
            title=thing.key,
            free=_free(thing),
            experiments=[_row(one) for one in rows.select_related("prompt").order_by("-id")],
        )


def _free(namespace: Namespace) -> str:
    """Return how much of it no experiment has which is not over."""
    return share(sum(hi - lo for lo, hi in targeting.free_ranges(namespace)))


def _row(experiment: Experiment) -> dict[str, Any]:
    return {
        "title": experiment.title,
        "url": reverse("admin:experiments_experiment_change", args=[experiment.pk]),
        "prompt": experiment.prompt.title,
        "state": experiment.get_state_display(),
        "kind": KINDS[Experiment.State(experiment.state)],
        "part": share(sum(hi - lo for lo, hi in experiment.namespace_ranges)),
    }
