"""What goes live later: the list of plans, and calling one off."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseAdmin, TeamFilter, badge, link
from promptlab.templatetags.promptlab import when
from prompts.admin.deployment import EnvironmentFilter, PromptFilter
from prompts.admin.shown import crumbs, deploy_capability, page_of
from prompts.errors import NotWaiting
from prompts.models import ScheduledDeployment
from prompts.services import scheduling

State = ScheduledDeployment.State
KINDS = {State.WAITING: "info", State.DONE: "ok", State.FAILED: "bad", State.CANCELLED: "neutral"}


@admin.register(ScheduledDeployment)
class ScheduledDeploymentAdmin(HouseAdmin):
    team_path = "prompt__team_id"
    list_title = _("Planned deployments")
    empty_title = _("Nothing is planned")
    empty_text = _("Give a time on the page “Put live”, and it happens then.")
    list_display = ["due", "what", "shown_state", "failure", "actor_label", "note"]
    list_display_links = None
    list_filter = [("state", admin.ChoicesFieldListFilter), EnvironmentFilter, PromptFilter, TeamFilter]
    search_fields = ["prompt__title", "prompt__name", "note"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).with_names()

    @admin.display(description=_("When"))
    def due(self, plan: ScheduledDeployment) -> str:
        return when(plan.due_at)

    @admin.display(description=_("What"))
    def what(self, plan: ScheduledDeployment) -> SafeString:
        return link(self.url("change", plan.pk), plan)

    @admin.display(description=_("State"))
    def shown_state(self, plan: ScheduledDeployment) -> SafeString:
        return badge(plan.get_state_display(), KINDS[State(plan.state)])

    def own_urls(self) -> list[Any]:
        return [self.own("<int:pk>/cancel/", self.cancel_page, "cancel")]

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show one plan."""
        facts = [
            (_("Prompt"), link(page_of("prompt_change", thing.prompt_id), thing.prompt.title)),
            (_("Version"), f"v{thing.version.number}"),
            (_("Environment"), thing.environment),
            (_("When"), when(thing.due_at)),
            (_("State"), self.shown_state(thing)),
            (_("Why not"), thing.failure or "–"),
            (_("Who"), thing.actor_label),
            (_("Why"), thing.note or "–"),
        ]
        may_cancel = thing.state == State.WAITING and self.may(request, deploy_capability(thing.environment), thing)
        cancel = {"label": _("Cancel it…"), "url": self.url("cancel", thing.pk), "kind": ""}
        actions = [cancel] if may_cancel else []
        return self.page(request, "admin/accounts/facts.html", title=str(thing), facts=facts, actions=actions)

    def cancel_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say what cancelling means; a POST cancels."""
        plan = self.found(request, pk)
        actor = self.demand(request, deploy_capability(plan.environment), plan)
        if plan.state not in (State.WAITING, State.CANCELLED):
            raise NotWaiting(state=plan.get_state_display())

        def cancel(filled: dict[str, Any]) -> HttpResponse:
            scheduling.cancel(actor, plan)
            return self.said(request, gettext("It will not happen."), self.url("changelist"))

        return self.confirm(
            request,
            cancel,
            title=_("Cancel %(plan)s") % {"plan": plan},
            consequences=[_("What is live does not change. The plan stays in the list as cancelled.")],
            submit_label=_("Cancel the plan"),
            cancel_url=self.url("change", plan.pk),
            breadcrumbs=crumbs(plan.prompt),
        )
