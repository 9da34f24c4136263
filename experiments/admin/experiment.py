"""Experiments for editors: the list, setting one up in two pages, its page, and the page before each act."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from experiments.admin.forms import (
    PRODUCTION,
    ActForm,
    ConclusionForm,
    KillForm,
    PutLiveForm,
    SetUpForm,
    WhereForm,
    basis_points,
)
from experiments.models import Experiment, Variant
from experiments.services import checklist, concluding, lifecycle
from experiments.services.concluding import Conclusion, PutLive
from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin, TeamFilter, acting, badge, link, sent
from promptlab.lib.errors import NotFound
from promptlab.lib.formats import fmt_pct
from promptlab.templatetags.promptlab import when
from prompts.models import Deployment

State = Experiment.State

KINDS = {
    State.DRAFT: "neutral",
    State.RUNNING: "info",
    State.PAUSED: "warn",
    State.STOPPED: "neutral",
    State.KILLED: "bad",
}
LABELS: dict[str, Any] = {
    "start": _("Start"),
    "pause": _("Pause"),
    "resume": _("Go on"),
    "stop": _("End"),
    "kill": _("Stop now"),
}
TITLES: dict[str, Any] = {
    "start": _("Start %(title)s"),
    "pause": _("Pause %(title)s"),
    "resume": _("Go on with %(title)s"),
    "stop": _("End %(title)s"),
    "kill": _("Stop %(title)s now"),
}
CONSEQUENCES: dict[str, list[Any]] = {
    "start": [
        _("From now on, users in %(environment)s get one of the texts, always the same one for the same user."),
        _("Texts cannot be changed any more, and other shares begin a count of their own: that keeps the result true."),
    ],
    "pause": [_("Everybody gets the current text, and nothing is counted."), _("You can go on at any time.")],
    "resume": [_("The split goes on. Every user gets the same text as before the pause.")],
    "stop": [
        _("Everybody gets the version that is live. The result stays."),
        _("An ended experiment cannot go on. You can set up another one."),
    ],
    "kill": [_("Everybody gets the version that is live again, at once."), _("The result so far stays.")],
}
DONE: dict[str, Any] = {
    "start": _("%(title)s is running."),
    "pause": _("%(title)s is paused. Everybody gets the current text."),
    "resume": _("%(title)s goes on."),
    "stop": _("%(title)s has ended."),
    "kill": _("%(title)s is stopped. Everybody gets the live version."),
}


@admin.register(Experiment)
class ExperimentAdmin(HouseAdmin):
    view_capability = "experiment.read"
    write_capability = "experiment.write"
    list_title = _("Experiments")
    add_label = _("New experiment")
    empty_title = _("No experiments yet")
    empty_text = _("Not sure which text is better? Let real users decide: show both and count the thumbs-up.")
    list_display = ["name_link", "state_badge", "prompt_link", "environment", "texts", "owner", "began"]
    list_display_links = None
    list_filter = [("state", admin.ChoicesFieldListFilter), TeamFilter]
    search_fields = ["title", "key", "prompt__title"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).with_names()

    @admin.display(description=_("Experiment"))
    def name_link(self, experiment: Experiment) -> SafeString:
        return format_html(
            "{}<div><code>{}</code></div>", link(self.url("change", experiment.pk), experiment.title), experiment.key
        )

    @admin.display(description=_("State"))
    def state_badge(self, experiment: Experiment) -> SafeString:
        return badge(experiment.get_state_display(), KINDS[State(experiment.state)])

    @admin.display(description=_("Prompt"))
    def prompt_link(self, experiment: Experiment) -> SafeString:
        return link(reverse("admin:prompts_prompt_change", args=[experiment.prompt_id]), experiment.prompt.title)

    @admin.display(description=_("Texts"))
    def texts(self, experiment: Experiment) -> SafeString:
        rows = (
            (variant, variant.version.number, fmt_pct(variant.weight_bp / 10_000, 0))
            for variant in experiment.variants.all()
        )
        return format_html_join("", '<div>{} <span class="quiet">v{}, {}</span></div>', rows)

    @admin.display(description=_("Started"))
    def began(self, experiment: Experiment) -> str:
        return when(experiment.started_at)

    def own_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/<str:verb>/act/", self.act_page, "act"),
            self.own("<int:pk>/conclude/", self.conclude_page, "conclude"),
        ]

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Ask where first, then which texts. Nothing is written before the second page is sent."""
        actor = acting(request)
        asked = request.GET if "prompt" in request.GET else None
        where = WhereForm(asked, actor=actor)
        if asked is None or not where.is_valid():
            return self._where_page(request, where)
        pointer = where.pointer()
        return self._where_page(request, where) if pointer is None else self._texts_page(request, pointer)

    def _where_page(self, request: HttpRequest, form: WhereForm) -> HttpResponse:
        return self.page(
            request,
            "admin/experiments/where.html",
            title=_("New experiment"),
            lead=_("An experiment shows several versions of a prompt to different users and counts the thumbs-up."),
            submit_label=_("Choose the texts"),
            form=form,
            cancel_url=self.url("changelist"),
        )

    def _texts_page(self, request: HttpRequest, pointer: Deployment) -> HttpResponse:
        assert pointer.version is not None
        form = SetUpForm(sent(request), control=pointer.version)

        def set_up(filled: dict[str, Any]) -> HttpResponse:
            made = lifecycle.create_experiment(
                acting(request),
                pointer.prompt,
                pointer.environment,
                title=filled["title"],
                variants=form.variants(),
                key=filled["key"],
                hypothesis=filled["hypothesis"],
                coverage_bp=basis_points(filled["coverage"]),
            )
            message = gettext("%(title)s is set up. Nobody sees it until it is started.") % {"title": made.title}
            return self.said(request, message, self.url("change", made.pk))

        return self.form_page(
            request,
            form,
            set_up,
            template="admin/experiments/set_up.html",
            title=_("New experiment on %(prompt)s") % {"prompt": pointer.prompt.title},
            control=pointer.version,
            environment=pointer.environment,
            submit_label=_("Set it up"),
            cancel_url=self.url("add"),
        )

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show what is compared, and what can be done next."""
        verbs = lifecycle.allowed_verbs(thing)
        may_run = self.may(request, "experiment.run", thing)
        actions = [
            {"label": LABELS[verb], "url": self.url("act", thing.pk, verb), "kind": _look(verb)} for verb in verbs
        ]
        if thing.concluded_at is None and thing.state != State.DRAFT:
            actions.insert(0, {"label": _("Decide"), "url": self.url("conclude", thing.pk), "kind": "primary"})
        return self.page(
            request,
            "admin/experiments/experiment.html",
            title=thing.title,
            experiment=thing,
            state_kind=KINDS[State(thing.state)],
            variants=[_variant_row(variant) for variant in thing.variants.all()],
            coverage=fmt_pct(thing.coverage_bp / 10_000, 2 if thing.coverage_bp % 100 else 0),
            condition=json.dumps(thing.condition, ensure_ascii=False) if thing.condition else "",
            testers=len(thing.overrides),
            prompt_url=reverse("admin:prompts_prompt_change", args=[thing.prompt_id]),
            results_url=results_url(thing, acting(request)),
            history_url=self.url("history", thing.pk) if self.may(request, "audit.read", thing) else "",
            actions=actions if may_run else [],
            is_waiting_for_publisher=bool(verbs) and not may_run,
        )

    def conclude_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask first what came of it, then what goes live. Nothing is written before the second page is sent."""
        experiment = self.found(request, pk)
        actor = self.demand(request, "experiment.run", experiment)
        url = self.url("change", experiment.pk)
        names = {"title": experiment.title, "environment": experiment.environment}
        if request.method != "POST" and experiment.concluded_at is not None:
            return self.said(request, gettext("%(title)s is concluded already. Nothing was changed.") % names, url)
        asked = request.GET if "outcome" in request.GET else None
        conclusion = ConclusionForm(asked, experiment=experiment)
        shared = {
            "title": _("Decide: %(title)s") % names,
            "cancel_url": url,
            "breadcrumbs": [self.list_crumb(), {"label": experiment.title, "url": url}],
        }
        if asked is None or not conclusion.is_valid():
            lead = _("Three questions. On the next page you see what changes, before anything does.")
            label = _("See what changes")
            template = "admin/experiments/where.html"
            return self.page(request, template, form=conclusion, lead=lead, submit_label=label, **shared)
        said = conclusion.cleaned_data
        kept = next(one for one in experiment.variants.all() if one.key == said["keep"])
        form = None if kept.is_control else PutLiveForm(sent(request))

        def act(filled: dict[str, Any]) -> HttpResponse:
            put_live = filled.get("put_live", PutLive.NO)
            # What applications send was looked at before it was started.
            confirm = experiment.started_at is not None
            decided = Conclusion(said["outcome"], said["lesson"], kept.key, put_live, confirm)
            concluding.conclude(actor, experiment, decided)
            return self.said(request, gettext("%(title)s is concluded.") % names, url)

        return self.confirm(
            request,
            act,
            form=form,
            consequences=_consequences(experiment, kept, said),
            submit_label=_("Conclude"),
            **shared,
        )

    def act_page(self, request: HttpRequest, pk: int, verb: str) -> HttpResponse:
        """Say what an act will do to whom; a POST does it."""
        if verb not in lifecycle.VERBS:
            raise NotFound("There is nothing at this address.")
        experiment = self.found(request, pk)
        actor = self.demand(request, "experiment.run", experiment)
        there = self.url("change", experiment.pk)
        if request.GET.get("from") == "results":
            there = results_url(experiment, actor)
        if request.method != "POST" and experiment.state in (State.STOPPED, State.KILLED):
            ended = gettext("%(title)s has ended already. Nothing was changed.") % {"title": experiment.title}
            return self.said(request, ended, there)
        points = checklist.checklist(experiment, by=actor) if verb == "start" else []
        unmet = {one.point: one.detail for one in points if not one.is_met}
        if verb == "kill":
            form: Any = KillForm(sent(request))
        else:
            is_strict = verb == "start" and experiment.environment.name == PRODUCTION
            form = ActForm(sent(request), is_strict=is_strict, blanks=unmet.get("variables", ""))

        def act(filled: dict[str, Any]) -> HttpResponse:
            confirmed = {"confirm": True} if filled.get("confirm") else {}
            lifecycle.VERBS[verb](actor, experiment, note=form.why(), **confirmed)
            return self.said(request, DONE[verb] % {"title": experiment.title}, there)

        names = {"title": experiment.title, "environment": experiment.environment}
        return self.confirm(
            request,
            act,
            form=form,
            template="admin/experiments/act.html",
            title=TITLES[verb] % names,
            consequences=[sentence % names for sentence in CONSEQUENCES[verb]],
            warnings=[detail for point, detail in unmet.items() if point != "variables"],
            submit_label=LABELS[verb],
            is_danger=verb in ("kill", "stop"),
            cancel_url=there,
            breadcrumbs=[self.list_crumb(), {"label": experiment.title, "url": there}],
            variants=[_variant_row(variant) for variant in experiment.variants.all()] if verb == "start" else [],
        )


def _consequences(experiment: Experiment, kept: Variant, said: dict[str, Any]) -> list[Any]:
    """Return what a conclusion means, in sentences."""
    facts = {
        "outcome": Experiment.Outcome(said["outcome"]).label,
        "text": str(kept),
        "number": kept.version.number,
        "environment": experiment.environment,
        "lesson": said["lesson"],
    }
    sentences = [_("Outcome: %(outcome)s."), _("What we learned: %(lesson)s")]
    if experiment.is_serving:
        sentences.append(_("The experiment ends: everybody gets one text again."))
    if kept.is_control:
        sentences.append(_("%(text)s (v%(number)s) stays live in %(environment)s."))
    else:
        sentences.append(
            _("%(text)s (v%(number)s) is the text that stays. Say below when it goes live in %(environment)s.")
        )
    return [sentence % facts for sentence in sentences]


def _look(verb: str) -> str:
    return {"start": "primary", "resume": "primary", "kill": "danger"}.get(verb, "")


def results_url(experiment: Experiment, actor: Principal) -> str:
    """Return the address of the numbers; people in several teams say which one, because keys are a team's own."""
    url = reverse("dashboards:experiment", args=[experiment.key])
    return f"{url}?team={experiment.team_id}" if len(actor.grants) > 1 else url


def _variant_row(variant: Variant) -> dict[str, Any]:
    return {
        "name": str(variant),
        "key": variant.key,
        "is_control": variant.is_control,
        "share": fmt_pct(variant.weight_bp / 10_000, 2 if variant.weight_bp % 100 else 0),
        "version": f"v{variant.version.number}",
        "note": variant.version.message,
        "url": reverse("admin:prompts_version_change", args=[variant.version_id]),
    }
