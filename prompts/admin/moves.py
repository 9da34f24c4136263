"""Moving what is live: the page before each move. The prompt's admin has their addresses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseAdmin, acting, link, sent
from promptlab.lib.errors import DomainError
from prompts import diff, resolve, snippets
from prompts.admin.contracting import contract_shown
from prompts.admin.move_forms import BackForm, DeployForm, MoveForm, PromoteForm
from prompts.admin.shown import (
    PRODUCTION,
    crumbs,
    deploy_capability,
    difference,
    page_of,
    version_label,
)
from prompts.admin.technical import also_changed
from prompts.errors import DeploymentNotFound, LiveAlready, NeverLive, NotDeployed, NothingToGoBackTo
from prompts.models import Deployment, DeploymentEvent, Environment, Prompt, Version
from prompts.services import deploying, policies, scheduling, suite_gate
from prompts.services.environments import named
from prompts.services.suite_gate import Verdict


class MovePages(HouseAdmin):
    """The pages that move a pointer; part of the prompt's admin, which has their addresses."""

    def move_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/deploy/<str:environment>/", self.deploy_page, "deploy"),
            self.own("<int:pk>/rollback/<str:environment>/", self.rollback_page, "rollback"),
            self.own("<int:pk>/undeploy/<str:environment>/", self.undeploy_page, "undeploy"),
            self.own("<int:pk>/promote/<str:source>/<str:environment>/", self.promote_page, "promote"),
            self.own("<int:pk>/return/<int:event>/", self.return_page, "return"),
            self.own("<int:pk>/try/<str:environment>/", self.try_page, "try"),
        ]

    def deploy_page(self, request: HttpRequest, pk: int, environment: str) -> HttpResponse:
        """Say what putting a version live would change there; a POST does it."""
        prompt = self._moved_one(request, pk)
        where, pointer = _at(prompt, environment)
        self._demand_move(request, prompt, where)
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
            return self._moved(request, prompt, where, event)

        return self.confirm(
            request,
            put_live,
            form=form,
            title=_("Put %(prompt)s live in %(environment)s") % {"prompt": prompt.title, "environment": where},
            cancel_url=self.url("moves", prompt.pk),
            breadcrumbs=crumbs(prompt),
            versions=_choices(prompt),
            **shown,
        )

    def promote_page(self, request: HttpRequest, pk: int, source: str, environment: str) -> HttpResponse:
        """Say what making live here what is live there would change; a POST does it."""
        prompt = self._moved_one(request, pk)
        where, pointer = _at(prompt, environment)
        self._demand_move(request, prompt, where)
        origin, there = _at(prompt, source)
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
            return self._moved(request, prompt, where, event)

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
        prompt = self._moved_one(request, pk)
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
        changed, of_texts = _foreseen(wanted, where, live, users)
        form = form_class(
            sent(request),
            version=wanted,
            ticks=_ticks(live, wanted, where, changed),
            seen=pointer.event_id if pointer else 0,
            needs_reason=where.name == PRODUCTION,
            may_break_glass=bool(in_the_way) and acting(request).may("prompt.break_glass", where.team_id),
        )
        shown = {
            "template": "admin/prompts/deploy.html",
            "consequences": _consequences(live, wanted, where, users),
            "warnings": [*(error.told for error in in_the_way), *of_texts],
            "submit_label": _("Put v%(number)s live in %(environment)s")
            % {"number": wanted.number, "environment": where},
            "contract": contract_shown(live, wanted, where),
            "verdicts": _verdicts(verdicts),
            "try_url": self.url("try", wanted.prompt_id, where.name) if may_try else "",
            "wanted": wanted,
            "live": live,
            "is_live_already": is_live_already,
            **(difference(live, wanted) if live and not is_live_already else {}),
        }
        return form, shown

    def rollback_page(self, request: HttpRequest, pk: int, environment: str) -> HttpResponse:
        """Name the version that returns; a POST goes back to it."""
        prompt = self._moved_one(request, pk)
        where, pointer = _at(prompt, environment)
        self._demand_move(request, prompt, where)
        if pointer is None or pointer.version is None:
            raise NotDeployed(prompt=prompt.title, environment=str(where))
        earlier = deploying.previous_version(pointer)
        if earlier is None:
            raise NothingToGoBackTo(prompt=prompt.title, environment=str(where))
        return self._back_page(request, prompt, where, pointer, earlier, to=None)

    def return_page(self, request: HttpRequest, pk: int, event: int) -> HttpResponse:
        """Name the version that an earlier move put live; a POST makes it live again."""
        prompt = self._moved_one(request, pk)
        moves = DeploymentEvent.objects.filter(prompt=prompt, pk=event)
        move = moves.select_related("environment", "to_version__prompt").first()
        if move is None:
            raise DeploymentNotFound
        where = move.environment
        pointer = _pointer(prompt, where)
        self._demand_move(request, prompt, where)
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
            return self._moved(request, prompt, where, event)

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
            consequences=[lead % names, _pace(where)],
            submit_label=_("Go back to v%(number)s") % {"number": earlier.number},
            is_danger=True,
            cancel_url=self.url("moves", prompt.pk),
            breadcrumbs=crumbs(prompt),
            **(difference(live, earlier) if live else {}),
        )

    def undeploy_page(self, request: HttpRequest, pk: int, environment: str) -> HttpResponse:
        """Say what stopping means; a POST takes the prompt off."""
        prompt = self._moved_one(request, pk)
        where, pointer = _at(prompt, environment)
        self._demand_move(request, prompt, where)
        if pointer is None or pointer.version is None:
            raise NotDeployed(prompt=prompt.title, environment=str(where))
        form = MoveForm(sent(request), seen=pointer.event_id, needs_reason=where.name == PRODUCTION)

        def stop(filled: dict[str, Any]) -> HttpResponse:
            event = deploying.undeploy(acting(request), prompt, where, note=filled["note"])
            return self._moved(request, prompt, where, event)

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

    def _moved_one(self, request: HttpRequest, pk: int) -> Prompt:
        """Return the prompt whose pointer moves, bare."""
        found: Prompt = self.one_of(self.visible(request), pk)
        return found

    def _demand_move(self, request: HttpRequest, prompt: Prompt, where: Environment) -> None:
        self.demand(request, deploy_capability(where), prompt)

    def _moved(self, request: HttpRequest, prompt: Prompt, where: Environment, event: DeploymentEvent) -> HttpResponse:
        """Say what is live now, with the way back."""
        names = {"environment": where, "number": event.to_version.number if event.to_version else ""}
        if event.to_version is None:
            sentence = gettext("%(environment)s no longer serves this prompt.") % names
        elif event.kind == DeploymentEvent.Kind.ROLLBACK:
            sentence = gettext("v%(number)s is live again in %(environment)s.") % names
        else:
            sentence = gettext("v%(number)s is live in %(environment)s.") % names
        undo = _undo(self, prompt, where, event)
        message = format_html("{} {}", sentence, undo) if undo else sentence
        return self.said(request, message, self.url("moves", prompt.pk))


def _at(prompt: Prompt, environment: str) -> tuple[Environment, Deployment | None]:
    """Return an environment of the prompt's team, and what points to it there. Raises EnvironmentNotFound."""
    where = named(prompt.team_id, environment)
    return where, _pointer(prompt, where)


def _pointer(prompt: Prompt, where: Environment) -> Deployment | None:
    pointers = Deployment.objects.filter(prompt=prompt, environment=where)
    whole = ["version__prompt", "event__before__to_version__prompt", "event__restores__before__to_version__prompt"]
    found: Deployment | None = pointers.select_related(*whole).first()
    return found


def _verdicts(found: Iterable[Verdict]) -> list[dict[str, Any]]:
    """Return what each test suite that is asked for says: its name, whether it is green, and the runs it looked at."""
    return [
        {
            "suite": one.suite.name,
            "label": gettext("green") if one.is_green else gettext("not green"),
            "kind": "ok" if one.is_green else "bad",
            "url": page_of("suiterun_change", one.run.pk) if one.run else page_of("suite_change", one.suite.pk),
        }
        for one in found
    ]


def _undo(pages: MovePages, prompt: Prompt, where: Environment, event: DeploymentEvent) -> SafeString | None:
    """Return the link that takes a move back: by going back, or by no longer serving what was not served before."""
    before, restored = event.from_version, event.before
    if before is None:
        is_live = event.to_version is not None
        url = pages.url("undeploy", prompt.pk, where.name)
        return link(url, gettext("Undo (stop serving it)")) if is_live else None
    if event.kind == DeploymentEvent.Kind.DEPLOY:
        url = pages.url("rollback", prompt.pk, where.name)
    elif restored and restored.to_version_id == before.pk:
        url = pages.url("return", prompt.pk, restored.pk)
    else:
        url = f"{pages.url('deploy', prompt.pk, where.name)}?version={before.number}"
    return link(url, gettext("Undo (back to v%(number)s)") % {"number": before.number})


def _wanted(request: HttpRequest, prompt: Prompt) -> Version:
    """Return the version that is asked for; the newest without a question. Raises VersionNotFound."""
    asked = request.POST.get("version") or request.GET.get("version") or "latest"
    return resolve.version_of(prompt, asked)


def _foreseen(
    wanted: Version, where: Environment, live: Version | None, users: Sequence[Version]
) -> tuple[bool, list[str]]:
    """Return whether callers meet other blanks, and what to warn of: what is included, and what includes it."""
    try:
        changes = deploying.changed_variables(wanted, where, live, users)
    except DomainError as error:
        return False, [error.told]
    rows = diff.variables(live, wanted) if live else None
    seen = {wanted.prompt.name} if changes.get(wanted.prompt.name) == rows else set()
    return bool(changes), [f"{name}: {change}" for name, change in changes.items() if name not in seen]


def _ticks(live: Version | None, wanted: Version, where: Environment, changed: bool) -> dict[str, Any]:
    """Return what has to be ticked: that apps know of other blanks; before customers see it, that it was compared."""
    ticks: dict[str, Any] = {}
    if live is None or live.pk == wanted.pk:
        return ticks
    if changed:
        ticks["apps_know"] = _("The applications know about the blanks")
    if where.name == PRODUCTION:
        ticks["compared"] = _("I compared the two versions")
    return ticks


def _consequences(live: Version | None, wanted: Version, where: Environment, users: Sequence[Version]) -> list[Any]:
    names = {"number": wanted.number, "environment": where, "live": live.number if live else ""}
    if live is None:
        first = _("Apps that ask for this prompt in %(environment)s get v%(number)s. Until now they got an error.")
    else:
        first = _("Apps in %(environment)s get v%(number)s instead of v%(live)s.")
    titles = also_changed(users)
    also = [_("It also changes: %(titles)s.") % {"titles": titles}] if titles else []
    return [first % names, *also, _pace(where)]


def _pace(where: Environment) -> Any:
    if where.name == PRODUCTION:
        return _("Customers see this within a minute. You can undo it with one click.")
    return _("Apps pick it up within a minute. Production stays as it is.")


def _choices(prompt: Prompt) -> list[dict[str, Any]]:
    versions = Version.objects.filter(prompt=prompt).newest_first().only("number", "version_string", "message")
    return [
        {"number": one.number, "label": f"{version_label(one)} – {one.message}" if one.message else version_label(one)}
        for one in versions
    ]
