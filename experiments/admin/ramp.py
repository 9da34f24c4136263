"""Gradual launches for editors: the list, the page of one with every decision, and the page before each act."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from experiments.admin import ramp_page
from experiments.admin.forms import LaunchForm, WhereForm
from experiments.admin.showing import results_url
from experiments.arriving import Arrival, arrival
from experiments.models import Ramp, RampDecision
from experiments.services import ramping
from experiments.services.ramp_rules import Reason
from experiments.services.ramp_stages import DEFAULT_STAGES
from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, TeamFilter, acting, asks, badge, link, sent
from promptlab.lib.errors import NotFound
from promptlab.templatetags.promptlab import when
from prompts.models import Deployment, Version

State = Ramp.State
KINDS = {
    State.RUNNING: "info",
    State.HELD: "warn",
    State.ROLLED_BACK: "bad",
    State.COMPLETED: "ok",
    State.ABORTED: "neutral",
}
ACTS = {
    "hold": ramping.hold,
    "go-on": ramping.go_on,
    "go-earlier": ramping.go_earlier,
    "send-back": ramping.send_back,
}
LABELS: dict[str, Any] = {
    "hold": _("Hold it here"),
    "go-on": _("Let it go on"),
    "go-earlier": _("Next step now"),
    "send-back": _("Send everyone back"),
}
CONSEQUENCES: dict[str, list[Any]] = {
    "hold": [
        _("As many users as now keep the new text, until somebody lets it go on."),
        _("If the numbers prove harm, everyone is sent back all the same."),
    ],
    "go-on": [_("It runs again at this step, and what it was held for is set aside until the next one.")],
    "send-back": [
        _("Everybody gets the version that was live before, at once."),
        _("This launch has ended then. You can start another one."),
    ],
}
UNDECIDED = (Reason.INCONCLUSIVE, Reason.REFUSED)
DECIDED = [_("You decide in place of the numbers: the next step, or everyone after the last one.")]
DONE: dict[str, Any] = {
    "hold": _("%(title)s is held."),
    "go-on": _("%(title)s goes on."),
    "go-earlier": _("%(title)s took the next step."),
    "send-back": _("%(title)s: everybody gets the version from before."),
}


class WhyForm(HouseForm):
    """Why, before an act. Where the numbers did not decide it takes a reason. `step`: which one the reader saw."""

    step = forms.IntegerField(widget=forms.HiddenInput, required=False)
    note = forms.CharField(label=_("Why"), max_length=500, required=False, error_messages=asks(_("Say why.")))

    def __init__(self, *args: Any, is_strict: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["note"].required = is_strict


@admin.register(Ramp)
class RampAdmin(HouseAdmin):
    view_capability = "experiment.read"
    write_capability = "prompt.deploy"
    add_label = _("New gradual launch")
    team_path = "experiment__team_id"
    list_title = _("Gradual launches")
    empty_title = _("No gradual launches yet")
    empty_text = _("A version goes live step by step, and is taken back by itself when it does harm.")
    list_display = ["name_link", "state_badge", "step", "environment", "since"]
    list_display_links = None
    list_filter = [("state", admin.ChoicesFieldListFilter), TeamFilter]
    search_fields = ["experiment__title", "experiment__prompt__title"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).with_names()

    @admin.display(description=_("Launch"))
    def name_link(self, ramp: Ramp) -> SafeString:
        return link(self.url("change", ramp.pk), ramp.experiment.title)

    @admin.display(description=_("State"))
    def state_badge(self, ramp: Ramp) -> SafeString:
        return badge(ramp.get_state_display(), KINDS[State(ramp.state)])

    @admin.display(description=_("Step"))
    def step(self, ramp: Ramp) -> str:
        return _step(ramp)

    @admin.display(description=_("Environment"))
    def environment(self, ramp: Ramp) -> str:
        return str(ramp.experiment.environment)

    @admin.display(description=_("Started"))
    def since(self, ramp: Ramp) -> str:
        return when(ramp.started_at)

    def own_urls(self) -> list[Any]:
        return [self.own("<int:pk>/<str:verb>/act/", self.act_page, "act")]

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Ask where first, then which version. Nothing is written before the second page is sent."""
        asked = request.GET if "prompt" in request.GET else None
        where = WhereForm(asked, actor=acting(request), capability="prompt.deploy")
        pointer = where.pointer() if asked is not None and where.is_valid() else None
        if pointer is not None:
            return self._launch_page(request, pointer)
        return self.page(
            request,
            "admin/experiments/where.html",
            title=_("New gradual launch"),
            lead=_("A version takes the place of the live one step by step, as far as the numbers allow."),
            submit_label=_("Choose the version"),
            form=where,
            cancel_url=self.url("changelist"),
        )

    def _launch_page(self, request: HttpRequest, pointer: Deployment) -> HttpResponse:
        assert pointer.version is not None
        form = LaunchForm(sent(request), live=pointer.version)

        def launch(filled: dict[str, Any]) -> HttpResponse:
            made = ramping.start_ramp(
                acting(request),
                form.versions[filled["version"]],
                pointer.environment,
                note=filled["note"],
                confirm=filled["apps_know"],
            )
            message = gettext("%(title)s has begun.") % {"title": made.experiment.title}
            return self.said(request, message, self.url("change", made.pk))

        steps = ", ".join(ramp_page.share(stage.share_bp) for stage in DEFAULT_STAGES)
        names = {"live": pointer.version.number, "steps": steps}
        return self.confirm(
            request,
            launch,
            form=form,
            title=_("Launch %(prompt)s step by step in %(environment)s")
            % {"prompt": pointer.prompt.title, "environment": str(pointer.environment)},
            consequences=[
                _("v%(live)s stays live. The new version gets %(steps)s of all users, one step after the other.")
                % names,
                _("After the last step, everyone: as soon as a loss that matters is ruled out."),
                _("If users like it less, answers fail or they wait longer, everyone is sent back at once, by itself."),
            ],
            submit_label=_("Begin with the first step"),
            cancel_url=self.url("add"),
        )

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show where it stands, why it waits, and every decision with what decided."""
        may_move = self.may(request, _capability(thing), thing)
        acts = _acts(thing) if may_move else []
        decisions = list(thing.decisions.order_by("-id"))
        stands = ramping.standing(thing) if thing.is_open else None
        return self.page(
            request,
            "admin/experiments/ramp.html",
            title=thing.experiment.title,
            ramp=thing,
            state_kind=KINDS[State(thing.state)],
            step=_step(thing),
            versions=[_version_row(one.version, one.is_control) for one in thing.experiment.variants.all()],
            prompt_url=reverse("admin:prompts_prompt_change", args=[thing.experiment.prompt_id]),
            experiment_url=reverse("admin:experiments_experiment_change", args=[thing.experiment_id]),
            actions=[{"label": LABELS[one], "url": self.url("act", thing.pk, one), "kind": _look(one)} for one in acts],
            is_for_publishers=thing.is_open and not may_move,
            steps=ramp_page.steps(thing),
            missing=ramp_page.missing(stands) if stands else [],
            tiles=ramp_page.tiles(stands) if stands else [],
            sent_back=ramp_page.sent_back(decisions[0] if decisions else None),
            arrival=_last_change(thing, decisions),
            method_url=reverse("dashboards:method"),
            results_url=results_url(thing.experiment, acting(request)),
            decisions=[ramp_page.decision_row(one) for one in decisions],
        )

    def act_page(self, request: HttpRequest, pk: int, verb: str) -> HttpResponse:
        """Say what an act will do to whom; a POST does it."""
        if verb not in ACTS:
            raise NotFound("There is nothing at this address.")
        ramp = self.found(request, pk)
        actor = self.demand(request, _capability(ramp), ramp)
        there = self.url("change", ramp.pk)
        if request.method != "POST" and verb not in _acts(ramp):
            return self.said(request, gettext("It moved on meanwhile. Nothing was changed."), there)
        is_decision = verb == "go-earlier" or (verb == "go-on" and ramp.hold_reason in UNDECIDED)
        names = {"title": ramp.experiment.title}

        def act(filled: dict[str, Any]) -> HttpResponse:
            if verb == "go-earlier" and filled["step"] != ramp.stage_version:
                return self.said(request, gettext("It moved on meanwhile. Nothing was changed."), there)
            ACTS[verb](actor, ramp, note=filled["note"])
            return self.said(request, DONE[verb] % names, there)

        stands = ramping.standing(ramp)
        return self.confirm(
            request,
            act,
            template="admin/experiments/ramp_act.html",
            step=_step(ramp),
            lines=ramp_page.lines(stands),
            missing=ramp_page.missing(stands) if verb in ("go-earlier", "go-on") else [],
            form=WhyForm(sent(request), is_strict=is_decision, initial={"step": ramp.stage_version}),
            title=f"{LABELS[verb]}: {ramp.experiment.title}",
            consequences=DECIDED if is_decision else CONSEQUENCES[verb],
            submit_label=LABELS[verb],
            is_danger=verb == "send-back",
            cancel_url=there,
            breadcrumbs=[self.list_crumb(), {"label": ramp.experiment.title, "url": there}],
        )


def _last_change(ramp: Ramp, decisions: list[RampDecision]) -> Arrival | None:
    """Return how far the last step that serves other people otherwise has come, for some minutes."""
    last = next((one for one in decisions if one.revision is not None), None)
    return arrival(ramp.experiment.environment, last.revision, last.at) if last and last.revision else None


def _acts(ramp: Ramp) -> list[str]:
    """Return what can be done to it now."""
    if not ramp.is_open:
        return []
    return ["go-on", "send-back"] if ramp.state == State.HELD else ["hold", "go-earlier", "send-back"]


def _capability(ramp: Ramp) -> str:
    return "prompt.deploy_development" if ramp.experiment.environment.name == "development" else "prompt.deploy"


def _look(verb: str) -> str:
    return {"go-on": "primary", "send-back": "danger"}.get(verb, "")


def _step(ramp: Ramp) -> str:
    if ramp.state == State.COMPLETED:
        return gettext("Everyone")
    facts = {"step": ramp.stage_index + 1, "steps": len(ramp.stages), "share": ramp_page.share(ramp.stage.share_bp)}
    return gettext("%(step)s of %(steps)s: %(share)s of all users") % facts


def _version_row(version: Version, is_live: bool) -> dict[str, Any]:
    role = gettext("Live") if is_live else gettext("New")
    return {
        "role": role,
        "label": f"v{version.number}",
        "url": reverse("admin:prompts_version_change", args=[version.pk]),
    }
