"""Taking back what is live: one step, to an earlier move, or off. The prompt's admin has the addresses."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import acting, sent
from prompts.admin.move_forms import BackForm, MoveForm
from prompts.admin.moving import Moving, at, pace, pointer_of
from prompts.admin.shown import PRODUCTION, crumbs, difference
from prompts.errors import DeploymentNotFound, LiveAlready, NeverLive, NotDeployed, NothingToGoBackTo
from prompts.models import Deployment, DeploymentEvent, Environment, Prompt, Version
from prompts.services import deploying


class BackPages(Moving):
    """Part of the prompt's admin, which has their addresses."""

    def back_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/rollback/<str:environment>/", self.rollback_page, "rollback"),
            self.own("<int:pk>/undeploy/<str:environment>/", self.undeploy_page, "undeploy"),
            self.own("<int:pk>/return/<int:event>/", self.return_page, "return"),
        ]

    def rollback_page(self, request: HttpRequest, pk: int, environment: str) -> HttpResponse:
        """Name the version that returns; a POST goes back to it."""
        prompt = self.moved_one(request, pk)
        where, pointer = at(prompt, environment)
        self.demand_move(request, prompt, where)
        if pointer is None or pointer.version is None:
            raise NotDeployed(prompt=prompt.title, environment=str(where))
        earlier = deploying.previous_version(pointer)
        if earlier is None:
            raise NothingToGoBackTo(prompt=prompt.title, environment=str(where))
        return self._back_page(request, prompt, where, pointer, earlier, to=None)

    def return_page(self, request: HttpRequest, pk: int, event: int) -> HttpResponse:
        """Name the version that an earlier move put live; a POST makes it live again."""
        prompt = self.moved_one(request, pk)
        moves = DeploymentEvent.objects.filter(prompt=prompt, pk=event)
        move = moves.select_related("environment", "to_version__prompt").first()
        if move is None:
            raise DeploymentNotFound
        where = move.environment
        pointer = pointer_of(prompt, where)
        self.demand_move(request, prompt, where)
        if pointer is None or move.to_version is None:
            raise NeverLive(prompt=prompt.title, target=gettext("by that move"), environment=str(where))
        if request.method != "POST" and pointer.version_id == move.to_version_id:
            raise LiveAlready(prompt=prompt.title, version=move.to_version.number, environment=str(where))
        return self._back_page(request, prompt, where, pointer, move.to_version, to=move)

    def _back_page(
        self,
        request: HttpRequest,
        prompt: Prompt,
        where: Environment,
        pointer: Deployment,
        earlier: Version,
        *,
        to: DeploymentEvent | None,
    ) -> HttpResponse:
        """Answer the page before going back to `earlier`: one step, or to the move `to`."""
        form = BackForm(sent(request), seen=pointer.event_id)

        def go_back(filled: dict[str, Any]) -> HttpResponse:
            event = deploying.rollback(acting(request), prompt, where, note=form.why(), to=to)
            return self.moved(request, prompt, where, event)

        live = pointer.version
        names = {"earlier": earlier.number, "environment": where, "live": live.number if live else ""}
        if live:
            lead = _("v%(earlier)s is live again in %(environment)s, v%(live)s stays in the list of versions.")
        else:
            lead = _("v%(earlier)s is live again in %(environment)s. Now nothing is live there.")
        return self.confirm(
            request,
            go_back,
            form=form,
            template="admin/prompts/move.html",
            title=_("Go back to %(prompt)s v%(number)s") % {"prompt": prompt.title, "number": earlier.number},
            consequences=[lead % names, pace(where)],
            submit_label=_("Go back to v%(number)s") % {"number": earlier.number},
            is_danger=True,
            cancel_url=self.url("moves", prompt.pk),
            breadcrumbs=crumbs(prompt),
            **(difference(live, earlier) if live else {}),
        )

    def undeploy_page(self, request: HttpRequest, pk: int, environment: str) -> HttpResponse:
        """Say what stopping means; a POST takes the prompt off."""
        prompt = self.moved_one(request, pk)
        where, pointer = at(prompt, environment)
        self.demand_move(request, prompt, where)
        if pointer is None or pointer.version is None:
            raise NotDeployed(prompt=prompt.title, environment=str(where))
        form = MoveForm(sent(request), seen=pointer.event_id, needs_reason=where.name == PRODUCTION)

        def stop(filled: dict[str, Any]) -> HttpResponse:
            event = deploying.undeploy(acting(request), prompt, where, note=filled["note"])
            return self.moved(request, prompt, where, event)

        names = {"prompt": prompt.title, "environment": where, "name": prompt.name}
        return self.confirm(
            request,
            stop,
            form=form,
            template="admin/prompts/move.html",
            title=_("Stop serving %(prompt)s in %(environment)s") % names,
            consequences=[
                _("Apps that ask for %(name)s in %(environment)s get an error, unless they kept a copy.") % names,
                _("Nothing is deleted. You can put any version live again."),
            ],
            submit_label=_("Stop serving in %(environment)s") % names,
            is_danger=True,
            cancel_url=self.url("moves", prompt.pk),
            breadcrumbs=crumbs(prompt),
        )
