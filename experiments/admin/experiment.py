"""Experiments for editors: the list, the page of one, and the page before each act."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from experiments.admin.deciding import DecidePages, numbers_now
from experiments.admin.forms import ActForm, KillForm
from experiments.admin.of_prompt import OfPromptPages
from experiments.admin.showing import KINDS, results_url, share, variant_rows
from experiments.admin.traffic import TrafficPages
from experiments.admin.traffic_forms import as_text
from experiments.admin.wizard import WizardPages, summary
from experiments.models import Experiment
from experiments.services import lifecycle
from promptlab.accounts.modeladmin import HouseAdmin, TeamFilter, acting, badge, link, sent
from promptlab.accounts.models import User
from promptlab.lib.errors import NotFound
from promptlab.lib.formats import fmt_pct
from promptlab.templatetags.promptlab import when
from prompts.models import Prompt

State = Experiment.State

LABELS: dict[str, Any] = {
    "start": _("Start"),
    "pause": _("Pause"),
    "resume": _("Go on"),
    "stop": _("End"),
    "kill": _("Stop now"),
    "drop": _("Drop the draft"),
}
TITLES: dict[str, Any] = {
    "start": _("Start %(title)s"),
    "pause": _("Pause %(title)s"),
    "resume": _("Go on with %(title)s"),
    "stop": _("End %(title)s"),
    "kill": _("Stop %(title)s now"),
    "drop": _("Drop the draft %(title)s"),
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
    "drop": [_("It was never started, so nothing changes for anybody."), _("A dropped draft cannot be started.")],
}
DONE: dict[str, Any] = {
    "start": _("%(title)s is running."),
    "pause": _("%(title)s is paused. Everybody gets the current text."),
    "resume": _("%(title)s goes on."),
    "stop": _("%(title)s has ended."),
    "kill": _("%(title)s is stopped. Everybody gets the live version."),
    "drop": _("%(title)s is dropped."),
}


class OfVisible(admin.SimpleListFilter):
    """A filter by what the experiments that somebody sees belong to; `of_rows` says to what."""

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        assert isinstance(model_admin, HouseAdmin)
        return self.of_rows(model_admin.visible(request))

    def of_rows(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        """Return what there is to choose from."""
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        return queryset.filter(**{self.parameter_name: int(chosen)}) if chosen and chosen.isdecimal() else queryset


class PromptFilter(OfVisible):
    title = _("Prompt")
    parameter_name = "prompt_id"

    def of_rows(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        found = Prompt.objects.filter(pk__in=rows.order_by().values("prompt_id")).order_by("title")
        return [(str(pk), title) for pk, title in found.values_list("pk", "title")]


class OwnerFilter(OfVisible):
    title = _("Owner")
    parameter_name = "owner_id"

    def of_rows(self, rows: QuerySet[Any]) -> list[tuple[str, str]]:
        return [(str(one.pk), str(one)) for one in User.objects.filter(pk__in=rows.order_by().values("owner_id"))]


@admin.register(Experiment)
class ExperimentAdmin(WizardPages, TrafficPages, DecidePages, OfPromptPages):
    view_capability = "experiment.read"
    write_capability = "experiment.write"
    list_title = _("Experiments")
    add_label = _("New experiment")
    empty_title = _("No experiments yet")
    empty_text = _("Not sure which text is better? Let real users decide: show both and count the thumbs-up.")
    list_display = ["name_link", "state_badge", "prompt_link", "environment", "texts", "owner", "began"]
    list_display_links = None
    list_filter = [("state", admin.ChoicesFieldListFilter), PromptFilter, OwnerFilter, TeamFilter]
    search_fields = ["title", "key", "prompt__title"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).with_names()

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        apart = {"label": _("Experiments that stay apart"), "url": reverse("admin:experiments_namespace_changelist")}
        return super().changelist_view(request, {"more": [apart], **(extra_context or {})})

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
        return [*super().own_urls(), *self.of_prompt_urls(), self.own("<int:pk>/<str:verb>/act/", self.act_page, "act")]

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show what is compared, and what can be done next."""
        verbs = lifecycle.allowed_verbs(thing)
        may_run = self.may(request, "experiment.run", thing)
        actions = [
            {"label": LABELS[_said(thing, verb)], "url": self.url("act", thing.pk, verb), "kind": _look(thing, verb)}
            for verb in verbs
            if verb != "start"
        ]
        if thing.concluded_at is None and thing.state != State.DRAFT:
            actions.insert(0, {"label": _("Decide"), "url": self.url("conclude", thing.pk), "kind": "primary"})
        return self.page(
            request,
            "admin/experiments/experiment.html",
            title=thing.title,
            experiment=thing,
            state_kind=KINDS[State(thing.state)],
            variants=variant_rows(thing),
            coverage=share(thing.coverage_bp),
            condition=as_text(thing.condition),
            facts=summary(thing)[1:],
            waiting=self.waiting(request, thing),
            traffic_actions=self.traffic_actions(request, thing),
            testers=len(thing.overrides),
            prompt_url=reverse("admin:prompts_prompt_change", args=[thing.prompt_id]),
            results_url=results_url(thing, acting(request)),
            history_url=self.url("history", thing.pk) if self.may(request, "audit.read", thing) else "",
            actions=[*(actions if may_run else []), *self.draft_actions(request, thing)],
            is_waiting_for_publisher=bool(verbs) and not may_run,
        )

    def act_page(self, request: HttpRequest, pk: int, verb: str) -> HttpResponse:
        """Say what an act will do to whom; a POST does it."""
        if verb not in lifecycle.VERBS:
            raise NotFound("There is nothing at this address.")
        experiment = self.found(request, pk)
        if verb == "start" and experiment.state == State.DRAFT:
            return self.start_page(request, experiment)
        actor = self.demand(request, "experiment.run", experiment)
        there = self.url("change", experiment.pk)
        if request.GET.get("from") == "results":
            there = results_url(experiment, actor)
        if request.method != "POST" and experiment.state in (State.STOPPED, State.KILLED):
            ended = gettext("%(title)s has ended already. Nothing was changed.") % {"title": experiment.title}
            return self.said(request, ended, there)
        form: Any = KillForm(sent(request)) if verb == "kill" else ActForm(sent(request), is_strict=False)

        def act(filled: dict[str, Any]) -> HttpResponse:
            lifecycle.VERBS[verb](actor, experiment, note=form.why())
            return self.said(request, DONE[said] % {"title": experiment.title}, there)

        said = _said(experiment, verb)
        names = {"title": experiment.title, "environment": experiment.environment}
        return self.confirm(
            request,
            act,
            form=form,
            title=TITLES[said] % names,
            lead=numbers_now(experiment) if experiment.is_serving else "",
            consequences=[sentence % names for sentence in CONSEQUENCES[said]],
            submit_label=LABELS[said],
            is_danger=verb in ("kill", "stop"),
            cancel_url=there,
            breadcrumbs=[self.list_crumb(), {"label": experiment.title, "url": there}],
        )


def _said(experiment: Experiment, verb: str) -> str:
    """Return under which words an act goes: what never ran is not stopped."""
    return "drop" if verb == "kill" and experiment.state == State.DRAFT else verb


def _look(experiment: Experiment, verb: str) -> str:
    return {"start": "primary", "resume": "primary", "kill": "danger"}.get(_said(experiment, verb), "")
