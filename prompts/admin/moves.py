"""Putting a version live: the page before. The prompt's admin has their addresses."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import acting, sent
from prompts import resolve, snippets
from prompts.admin.contracting import contract_shown
from prompts.admin.move_forms import DeployForm, PromoteForm
from prompts.admin.moving import Moving, at
from prompts.admin.readiness import checks, choices, consequences, foreseen, size_change, ticks, verdicts_shown
from prompts.admin.shown import PRODUCTION, crumbs, difference, page_of
from prompts.errors import NotDeployed
from prompts.models import Deployment, Environment, Prompt, Version
from prompts.services import deploying, policies, scheduling, suite_gate
from prompts.services.environments import named


class MovePages(Moving):
    """Part of the prompt's admin, which has their addresses."""

    def move_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/deploy/<str:environment>/", self.deploy_page, "deploy"),
            self.own("<int:pk>/promote/<str:source>/<str:environment>/", self.promote_page, "promote"),
            self.own("<int:pk>/try/<str:environment>/", self.try_page, "try"),
        ]

    def deploy_page(self, request: HttpRequest, pk: int, environment: str) -> HttpResponse:
        """Say what putting a version live would change there; a POST does it."""
        prompt = self.moved_one(request, pk)
        where, pointer = at(prompt, environment)
        self.demand_move(request, prompt, where)
        wanted = _wanted(request, prompt)
        form, shown = self._before_live(request, pointer, wanted, where, DeployForm)

        def put_live(filled: dict[str, Any]) -> HttpResponse:
            said = {"note": filled["note"], "confirm": filled.get("apps_know", False)}
            if filled["due_at"]:
                plan = scheduling.schedule(acting(request), wanted, where, filled["due_at"], **said)
                sentence = gettext("%(plan)s is planned.") % {"plan": plan}
                return self.said(request, sentence, page_of("scheduleddeployment_change", plan.pk))
            glass = filled.get("break_glass", "")
            event, _is_new = deploying.deploy(acting(request), wanted, where, break_glass=glass, **said)
            return self.moved(request, prompt, where, event)

        return self.confirm(
            request,
            put_live,
            form=form,
            title=_("Put %(prompt)s live in %(environment)s") % {"prompt": prompt.title, "environment": where},
            cancel_url=self.url("moves", prompt.pk),
            breadcrumbs=crumbs(prompt),
            versions=choices(prompt, where, acting(request).may("prompt.break_glass", where.team_id)),
            **shown,
        )

    def promote_page(self, request: HttpRequest, pk: int, source: str, environment: str) -> HttpResponse:
        """Say what making live here what is live there would change; a POST does it."""
        prompt = self.moved_one(request, pk)
        where, pointer = at(prompt, environment)
        self.demand_move(request, prompt, where)
        origin, there = at(prompt, source)
        if there is None or there.version is None:
            raise NotDeployed(prompt=prompt.title, environment=str(origin))
        form, shown = self._before_live(request, pointer, there.version, where, PromoteForm)

        def promote(filled: dict[str, Any]) -> HttpResponse:
            event, _is_new = deploying.promote(
                acting(request),
                prompt,
                origin,
                where,
                note=filled["note"],
                confirm=filled.get("apps_know", False),
                break_glass=filled.get("break_glass", ""),
            )
            return self.moved(request, prompt, where, event)

        names = {"prompt": prompt.title, "origin": origin, "environment": where}
        return self.confirm(
            request,
            promote,
            form=form,
            title=_("%(prompt)s: the same in %(environment)s as in %(origin)s") % names,
            lead=_("v%(number)s is live in %(origin)s.") % {"number": there.version.number, "origin": origin},
            cancel_url=self.url("moves", prompt.pk),
            breadcrumbs=crumbs(prompt),
            versions=[],
            **shown,
        )

    def try_page(self, request: HttpRequest, pk: int, environment: str) -> HttpResponse:
        """Say which test suites a version is asked by; a POST asks, and what is live there as well."""
        prompt = self.moved_one(request, pk)
        where = named(prompt.team_id, environment)
        actor = self.demand(request, "prompt.write", prompt)
        wanted = _wanted(request, prompt)
        back = f"{self.url('deploy', prompt.pk, where.name)}?version={wanted.number}"

        def ask(filled: dict[str, Any]) -> HttpResponse:
            made = suite_gate.request_missing(actor, wanted, where)
            told = ngettext("%(count)s run has begun.", "%(count)s runs have begun.", len(made))
            return self.said(request, told % {"count": len(made)}, page_of("suiterun_changelist"))

        names = {"number": wanted.number, "environment": where}
        suites = ", ".join(suite.name for suite in suite_gate.required(wanted, where))
        return self.confirm(
            request,
            ask,
            title=_("Have v%(number)s tried for %(environment)s") % names,
            consequences=[
                _("It is asked everything of: %(suites)s.") % {"suites": suites or "–"},
                _("What is live there is asked the same, if it was not. Each run keeps to its budget."),
                _("What is live does not change."),
            ],
            submit_label=_("Have it tried"),
            cancel_url=back,
            breadcrumbs=crumbs(prompt),
        )

    def _before_live(
        self,
        request: HttpRequest,
        pointer: Deployment | None,
        wanted: Version,
        where: Environment,
        form_class: type[DeployForm],
    ) -> tuple[DeployForm, dict[str, Any]]:
        """Return the questions before a version goes live, and what the page shows of what changes and what is in the way."""
        live = pointer.version if pointer else None
        is_live_already = live is not None and live.pk == wanted.pk
        verdicts = [] if is_live_already else suite_gate.verdicts(wanted, where)
        in_the_way = [] if is_live_already else policies.obstacles(acting(request), wanted, where, verdicts)
        may_try = self.may(request, "prompt.write", wanted.prompt)
        users = snippets.live_includers(wanted.prompt_id, where)
        changed, of_texts = foreseen(wanted, where, live, users)
        form = form_class(
            sent(request),
            version=wanted,
            ticks=ticks(live, wanted, where, changed),
            seen=pointer.event_id if pointer else 0,
            needs_reason=where.name == PRODUCTION,
            may_break_glass=bool(in_the_way) and acting(request).may("prompt.break_glass", where.team_id),
        )
        shown = {
            "template": "admin/prompts/deploy.html",
            "consequences": consequences(live, wanted, where, users),
            "warnings": [*(error.told for error in in_the_way), *of_texts],
            "submit_label": _("Put v%(number)s live in %(environment)s")
            % {"number": wanted.number, "environment": where},
            "contract": contract_shown(live, wanted, where),
            "verdicts": verdicts_shown(verdicts),
            "checks": [] if is_live_already else checks(acting(request), wanted, where, in_the_way),
            "size": size_change(live, wanted) if live else "",
            "try_url": self.url("try", wanted.prompt_id, where.name) if may_try else "",
            "wanted": wanted,
            "environment": where.name,
            "live": live,
            "may_launch": live is not None and self.may(request, "prompt.deploy", wanted.prompt),
            "is_live_already": is_live_already,
            **(difference(live, wanted) if live and not is_live_already else {}),
        }
        return form, shown


def _wanted(request: HttpRequest, prompt: Prompt) -> Version:
    """Return the version that is asked for; the newest without a question. Raises VersionNotFound."""
    asked = request.POST.get("version") or request.GET.get("version") or "latest"
    return resolve.version_of(prompt, asked)
