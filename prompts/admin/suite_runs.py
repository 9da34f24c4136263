"""Runs of test suites: how far one is, what every case came to, and what differs between two."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import TeamFilter, acting, link
from promptlab.lib.formats import fmt_money, fmt_ms, fmt_pct, fmt_range
from promptlab.templatetags.promptlab import when
from prompts import comparing
from prompts.admin.run_pages import RunPages, spent_of
from prompts.admin.shown import page_of, version_label
from prompts.admin.suites import state_badge
from prompts.comparing import Change, Comparison, Tally
from prompts.models import SuiteResult, SuiteRun
from prompts.services import suite_runs

RESULTS_ON_A_PAGE = 50
MOST_OTHERS = 50
State = SuiteRun.State
FLIPS = {"pass_to_fail": ("bad", _("Passed until now")), "fail_to_pass": ("ok", _("Passes now"))}


@admin.register(SuiteRun)
class SuiteRunAdmin(RunPages):
    team_path = "suite__team_id"
    list_title = _("Runs of test suites")
    empty_title = _("Nothing was run yet")
    empty_text = _("Open a test suite, and run it on a version.")
    list_display = ["what", "shown_state", "came_to", "models", "requested_label", "at"]
    list_display_links = None
    list_filter = [("state", admin.ChoicesFieldListFilter), TeamFilter]
    search_fields = ["suite__name", "version__prompt__title", "version__prompt__name", "note"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).with_names().with_counts()

    @admin.display(description=_("Run"))
    def what(self, run: SuiteRun) -> SafeString:
        return link(self.url("change", run.pk), run)

    @admin.display(description=_("Passed"))
    def came_to(self, run: Any) -> str:
        return f"{run.passed}/{run.total}"

    @admin.display(description=_("Models"))
    def models(self, run: SuiteRun) -> str:
        return ", ".join(run.asked_models)

    def own_urls(self) -> list[Any]:
        return [
            *self.run_urls(),
            self.own("<int:pk>/compare/<int:other>/", self.compare_page, "compare"),
        ]

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show how far a run is, the share that passed, and every answer."""
        shown = Paginator(SuiteResult.objects.filter(run=thing).order_by("place", "model", "repeat"), RESULTS_ON_A_PAGE)
        page = shown.get_page(request.GET.get("page"))
        noise = comparing.noise_of(thing) if thing.state == State.FINISHED else None
        others = SuiteRun.objects.filter(suite=thing.suite_id, state=State.FINISHED).exclude(pk=thing.pk)
        others = others.visible_to(acting(request)).with_names()[:MOST_OTHERS]
        facts = [
            (_("Test suite"), link(page_of("suite_change", thing.suite_id), f"{thing.suite} ({thing.suite_revision})")),
            (_("Version"), link(page_of("version_change", thing.version_id), str(thing.version))),
            (_("State"), self.shown_state(thing)),
            (_("Progress"), gettext("%(done)s of %(total)s answers") % {"done": thing.done, "total": thing.total}),
            (_("Spent"), spent_of(thing)),
            (_("Who"), thing.requested_label),
            (_("When"), when(thing.created_at)),
        ]
        if thing.reason:
            facts.insert(3, (_("Why it stopped"), thing.reason))
        if noise is not None:
            facts.append((_("Noise"), _noise(noise)))
        return self.run_page(
            request,
            "admin/prompts/suite_run.html",
            thing,
            title=str(thing),
            facts=facts,
            actions=self.run_actions(request, thing),
            shares=[_share(one) for one in comparing.shares(thing)],
            rows=[_result(one) for one in page],
            page=page,
            others=[
                {"label": str(one), "at": one.created_at, "url": self.url("compare", thing.pk, one.pk)}
                for one in others
            ],
        )

    def compare_page(self, request: HttpRequest, pk: int, other: int) -> HttpResponse:
        """Show what differs from an earlier run, flips first."""
        run, before = self.found(request, pk), self.found(request, other)
        self.demand(request, self.view_capability, run)
        found = comparing.compare(before, run)
        changes = sorted(found.changes, key=lambda one: (not one.flip, one.flip != "pass_to_fail"))
        facts = [
            (_("Before"), link(self.url("change", before.pk), _run_label(before))),
            (_("After"), link(self.url("change", run.pk), _run_label(run))),
            (_("Passed before"), fmt_pct(found.rate_before)),
            (_("Passed after"), fmt_pct(found.rate_after)),
            (_("Is it worse"), _verdict(found)),
        ]
        return self.page(
            request,
            "admin/prompts/suite_compare.html",
            title=_("What differs"),
            facts=facts,
            changes=[_change(one) for one in changes],
            breadcrumbs=[self.list_crumb(), {"label": str(run), "url": self.url("change", run.pk)}],
        )

    def cancel(self, actor: Principal, run: Any) -> None:
        suite_runs.cancel_run(actor, run)

    def go_on(self, actor: Principal, run: Any, budget: Any) -> None:
        suite_runs.resume_run(actor, run, budget_usd=budget)

    def asked_again(self, run: Any) -> str:
        left = run.errors + run.lost + run.total - run.done
        return ngettext("%(count)s answer is asked for.", "%(count)s answers are asked for.", left) % {"count": left}

    def may_go_on(self, run: Any) -> bool:
        return run.state != State.CANCELLED and bool(run.errors or run.lost or run.done < run.total)

    @property
    def again_label(self) -> Any:
        return _("Ask again…")


def _run_label(run: SuiteRun) -> str:
    return f"{version_label(run.version)}, {', '.join(run.asked_models)}"


def _noise(noise: Comparison) -> str:
    flips = len(noise.flips("pass_to_fail")) + len(noise.flips("fail_to_pass"))
    told = ngettext(
        "%(flips)s case of %(cases)s flipped by itself since the same was asked before.",
        "%(flips)s cases of %(cases)s flipped by themselves since the same was asked before.",
        flips,
    )
    return told % {"flips": flips, "cases": len(noise.changes)}


def _verdict(found: Comparison) -> str:
    chance = fmt_pct(found.p_of_drop)
    if found.is_drop:
        return gettext("Yes: chance alone makes such a drop in %(chance)s of runs.") % {"chance": chance}
    return gettext("Not beyond noise: chance alone makes such a drop in %(chance)s of runs.") % {"chance": chance}


def _share(one: comparing.Share) -> dict[str, Any]:
    return {
        "model": one.model,
        "passed": f"{one.passed}/{one.decided}",
        "rate": fmt_pct(one.rate),
        "range": fmt_range(one.low, one.high),
        "undecided": one.undecided,
        "latency": fmt_ms(one.latency_ms),
        "cost": fmt_money(one.cost_usd),
    }


def _result(row: SuiteResult) -> dict[str, Any]:
    said = [f"{one['check']}: {one['detail']}" for one in row.outcomes if one["passed"] is not True and one["detail"]]
    return {
        "case": row.case_name,
        "is_required": row.is_required,
        "model": row.model,
        "repeat": row.repeat,
        "state": state_badge(row.state, row.get_state_display()),
        "said": said or ([row.problem] if row.problem else []),
        "text": row.text,
        "latency": fmt_ms(row.latency_ms),
    }


def _change(one: Change) -> dict[str, Any]:
    kind, label = FLIPS.get(one.flip, ("", ""))
    return {
        "case": one.case,
        "is_required": one.is_required,
        "model": one.model,
        "before": _count(one.before),
        "after": _count(one.after),
        "kind": kind,
        "label": label,
    }


def _count(tally: Tally | None) -> str:
    return f"{tally.passed}/{tally.decided + tally.undecided}" if tally else "–"
