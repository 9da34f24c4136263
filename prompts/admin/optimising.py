"""Better texts: the page that asks a model for one, and the page of a run with what it suggested, to take or to leave."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin, TeamFilter, acting, badge, link, sent
from promptlab.lib.formats import fmt_money, fmt_pct
from promptlab.templatetags.promptlab import when
from prompts import diff
from prompts.admin.optimise_forms import DecideForm, OptimiseForm
from prompts.admin.pairing import PairPages
from prompts.admin.run_pages import RunPages, spent_of
from prompts.admin.shown import crumbs, page_of, version_label
from prompts.admin.suites import KINDS
from prompts.errors import PlaceholdersDiffer
from prompts.meta_prompts import GOALS
from prompts.models import OptimiserRun, Suggestion, Version
from prompts.services import goals, optimising, suggesting
from prompts.services.suggesting import braced, content_from, readable
from prompts.services.suite_calls import provider_of

MOST_RUNS = 20
State = OptimiserRun.State
BADGES = {"proposed": "info", "rejected": "bad", "accepted": "ok"}


class OptimisePages(HouseAdmin):
    """Part of the prompt's admin, which has their addresses."""

    def optimise_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/optimise/", self.optimise_page, "optimise"),
            self.own("<int:pk>/optimise/goals/", self.goals_page, "optimise_goals"),
        ]

    def optimise_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Choose in which way the newest text should become better, and see what it can cost; a POST with `go` asks."""
        prompt = self.found(request, pk)
        self.demand(request, self.view_capability, prompt)
        if request.method == "POST":
            self.demand(request, self.write_capability, prompt)
        newest = prompt.newest
        newest.prompt = prompt
        may_write = self.has_change_permission(request, prompt) and prompt.archived_at is None
        form = OptimiseForm(sent(request), version=newest)

        def go(filled: dict[str, Any]) -> HttpResponse:
            wanted = form.wanted()
            if "go" in request.POST:
                run = suggesting.request_suggestion(acting(request), wanted)
                return self.said(request, gettext("The model is asked."), page_of("optimiserrun_change", run.pk))
            estimate = suggesting.estimate_suggestion(acting(request), wanted)
            provider = provider_of(prompt.team_id, wanted.model)
            return self.page(request, template, form=form, estimate=estimate, provider=provider, **frame)

        runs = OptimiserRun.objects.filter(version__prompt=prompt).with_names()[:MOST_RUNS]
        template = "admin/prompts/optimise.html"
        frame = {
            "title": _("Optimise %(prompt)s") % {"prompt": prompt.title},
            "breadcrumbs": crumbs(prompt),
            "may_write": may_write,
            "newest_label": version_label(newest),
            "newest_text": diff.readable(newest),
            "runs": [_run_row(run) for run in runs],
            "goals_url": self.url("optimise_goals", prompt.pk),
        }
        return self.form_page(request, form, go, template=template, **frame)

    def goals_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show what is asked of models for each goal; a POST makes prompts of them, or brings a shipped text back."""
        prompt = self.found(request, pk)
        self.demand(request, self.view_capability, prompt)
        team_id = prompt.team_id
        if request.method == "POST":
            actor = self.demand(request, self.write_capability, prompt)
            here = self.url("optimise_goals", prompt.pk)
            if key := request.POST.get("restore", ""):
                made, is_new = goals.restore_goal(actor, team_id, key)
                names = {"number": made.number}
                saved = gettext("The shipped text is saved as v%(number)s. Put it live when you want it to count.")
                same = gettext("v%(number)s says that already.")
                return self.said(request, (saved if is_new else same) % names, here)
            goals.bring_goals(actor, team_id)
            return self.said(request, gettext("The goals are prompts now. Change them as any prompt."), here)
        known = goals.prompts_of(team_id)
        rows = [
            {
                "goal": one,
                "url": page_of("prompt_change", known[one.prompt]) if one.prompt in known else "",
                "counts": gettext("v%(number)s, live in Production") % {"number": one.live_version}
                if one.live_version
                else gettext("The shipped text"),
            }
            for one in goals.goals_of(team_id)
        ]
        return self.page(
            request,
            "admin/prompts/optimise_goals.html",
            title=_("What models are asked for"),
            rows=rows,
            are_prompts=bool(known),
            may_write=self.has_change_permission(request, prompt),
            breadcrumbs=[*crumbs(prompt), {"label": _("Optimise"), "url": self.url("optimise", prompt.pk)}],
        )


@admin.register(OptimiserRun)
class OptimiserRunAdmin(PairPages, RunPages):
    team_path = "version__prompt__team_id"
    list_title = _("Suggested texts")
    empty_title = _("No model was asked for a better text yet")
    empty_text = _("Open a prompt, and choose Optimise.")
    list_display = ["what", "shown_goal", "shown_state", "model", "requested_label", "at"]
    list_display_links = None
    list_filter = [("state", admin.ChoicesFieldListFilter), TeamFilter]
    search_fields = ["version__prompt__title", "version__prompt__name"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).with_names()

    @admin.display(description=_("Prompt"))
    def what(self, run: OptimiserRun) -> SafeString:
        return link(self.url("change", run.pk), run.version)

    @admin.display(description=_("Goal"))
    def shown_goal(self, run: OptimiserRun) -> str:
        return goal_title(run)

    def own_urls(self) -> list[Any]:
        return [*self.run_urls(), *self.pair_urls()]

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show how far a run is, and what it suggested beside the text; a POST takes, keeps or leaves the suggestion."""
        if thing.kind == OptimiserRun.Kind.PAIR:
            return self.pair_page(request, thing, self._facts(thing))
        made = list(Suggestion.objects.filter(run=thing).select_related("saved_version"))
        for one in made:
            one.run = thing
        open_one = next((one for one in made if one.state == Suggestion.State.PROPOSED), None)
        may_write = self.may(request, "prompt.write", thing)
        form = None
        if request.method == "POST":
            actor = self.demand(request, "prompt.write", thing)
            if open_one is not None and "discard" in request.POST:
                suggesting.discard_suggestion(actor, open_one)
                here = page_of("prompt_optimise", thing.version.prompt_id)
                return self.said(request, gettext("The suggestion is discarded. It stays in the list."), here)
        if open_one is not None and may_write:
            form = DecideForm(sent(request), suggestion=open_one)
            act = self._kept if "keep" in request.POST else self._saved
            saved = act(request, open_one, form)
            if saved is not None:
                return saved
        return self.run_page(
            request,
            "admin/prompts/optimiser_run.html",
            thing,
            title=str(thing),
            facts=self._facts(thing),
            actions=self._actions(request, thing, may_write),
            is_open=thing.is_open,
            try_url=self.url("try", thing.pk),
            pairs=self.pairs_shown(open_one) if open_one else [],
            suggestions=[self._shown(one, form if one is open_one else None) for one in made],
            source_label=version_label(thing.version),
            source_text=diff.readable(thing.version),
            breadcrumbs=[
                *crumbs(thing.version.prompt),
                {"label": _("Optimise"), "url": page_of("prompt_optimise", thing.version.prompt_id)},
            ],
        )

    def _saved(self, request: HttpRequest, suggestion: Suggestion, form: DecideForm) -> HttpResponse | None:
        """Save what was sent as the next version; None shows the form, with what is wrong with it."""

        def save(filled: dict[str, Any]) -> HttpResponse:
            try:
                version = suggesting.accept_suggestion(acting(request), suggestion, **form.said())
            except PlaceholdersDiffer:
                form.ask_whether_they_may()
                raise
            sentence = gettext("v%(number)s is saved. What is live did not change.") % {"number": version.number}
            return self.said(request, sentence, page_of("version_change", version.pk))

        return self.submitted(request, form, save)

    def _kept(self, request: HttpRequest, suggestion: Suggestion, form: DecideForm) -> HttpResponse | None:
        """Keep what was sent as the person's draft; None shows the form, with what is wrong with it."""

        def keep(filled: dict[str, Any]) -> HttpResponse:
            suggesting.keep_suggestion(acting(request), suggestion, **form.edited())
            sentence = gettext("It is kept as your draft. Only you see it; the suggestion stays, too.")
            return self.said(request, sentence, page_of("prompt_change", suggestion.run.version.prompt_id))

        return self.submitted(request, form, keep)

    def cancel(self, actor: Principal, run: Any) -> None:
        optimising.cancel_improvement(actor, run)

    def go_on(self, actor: Principal, run: Any, budget: Any) -> None:
        optimising.resume_improvement(actor, run, budget_usd=budget)

    def asked_again(self, run: Any) -> Any:
        return _("What got no answer is asked again.")

    def _facts(self, run: OptimiserRun) -> list[tuple[Any, Any]]:
        facts = [
            (_("Goal"), goal_title(run)),
            (_("Version"), link(page_of("version_change", run.version_id), str(run.version))),
            (_("Model"), run.model),
            (_("State"), self.shown_state(run)),
            (_("Spent"), spent_of(run)),
            (_("Who"), run.requested_label),
            (_("When"), when(run.created_at)),
        ]
        if run.plan.get("said") and run.kind != OptimiserRun.Kind.PAIR:
            facts.insert(1, (_("Said with it"), run.plan["said"]))
        if run.reason:
            facts.append((_("Why it stopped"), run.reason))
        return facts

    def _actions(self, request: HttpRequest, run: OptimiserRun, may_write: bool) -> list[dict[str, Any]]:
        actions = self.run_actions(request, run)
        if run.is_open or not may_write:
            return actions
        return [
            *actions,
            {"label": _("Ask again"), "url": page_of("prompt_optimise", run.version.prompt_id), "kind": ""},
        ]

    def _shown(self, one: Suggestion, form: DecideForm | None) -> dict[str, Any]:
        text = readable(content_from(one)) if one.text or one.messages else ""
        share = one.edited_share
        return {
            "one": one,
            "badge": badge_of(one),
            "missing": [braced(name) for name in one.missing],
            "invented": [braced(name) for name in one.invented],
            "text": text,
            "form": form,
            "diff": diff.lines(readable(one.run.version.content), text) if text else [],
            "new_label": gettext("Suggested text"),
            "edited": fmt_pct(float(share)) if share is not None else "",
            "saved_url": page_of("version_change", one.saved_version_id) if one.saved_version_id else "",
        }


def goal_title(run: OptimiserRun) -> str:
    """Return in which way the text should become better; of other work, what kind it is."""
    return str(GOALS[run.goal].title) if run.goal in GOALS else str(run.get_kind_display())


def origin_shown(version: Version) -> dict[str, Any] | None:
    """Return {"sentence", "url"} of the suggestion that a version was saved from, if it was."""
    found = suggesting.origin_of(version)
    if found is None:
        return None
    names = {
        "model": found.model,
        "goal": goal_title(found.run),
        "number": found.run.version.number,
        "who": found.decided_label,
        "edited": fmt_pct(float(found.edited_share or 0)),
    }
    told = gettext("%(model)s suggested it from v%(number)s (%(goal)s). %(who)s edited %(edited)s of it and saved it.")
    return {"sentence": told % names, "url": page_of("optimiserrun_change", found.run_id)}


def badge_of(one: Suggestion) -> SafeString:
    """Return what became of a suggestion."""
    return badge(one.get_state_display(), BADGES.get(one.state, "neutral"))


def _run_row(run: OptimiserRun) -> dict[str, Any]:
    return {
        "label": goal_title(run),
        "url": page_of("optimiserrun_change", run.pk),
        "version": version_label(run.version),
        "model": run.model,
        "state": run.get_state_display(),
        "kind": KINDS[run.state],
        "spent": fmt_money(run.spent_usd),
        "who": run.requested_label,
        "at": run.created_at,
    }
