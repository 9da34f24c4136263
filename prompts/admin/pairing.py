"""Trying both: the page that asks the text as it is and a suggested one the same, and both answers side by side."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import sent
from promptlab.lib.errors import NotFound
from promptlab.lib.formats import fmt_money, fmt_ms
from prompts.admin.optimise_forms import PairForm
from prompts.admin.run_pages import WRITE, RunPages
from prompts.admin.shown import crumbs, page_of, version_label
from prompts.models import OptimiserRun, Suggestion
from prompts.services import pairing, suggesting
from prompts.services.pairing import PairAnswer


class PairPages(RunPages):
    """Part of the admin of improvements, which has their addresses."""

    def pair_urls(self) -> list[Any]:
        return [self.own("<int:pk>/try/", self.try_page, "try")]

    def try_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Fill in what both are asked; a POST with `go` asks. A POST of the suggestion's page brings its edited text along."""
        run = self.found(request, pk)
        actor = self.demand(request, WRITE, run)
        rows = Suggestion.objects.filter(run=run.pk, state=Suggestion.State.PROPOSED)
        suggestion = (
            rows.filter(pk=request.GET["of"]).first() if request.GET.get("of", "").isdecimal() else rows.first()
        )
        if suggestion is None:
            raise NotFound("There is nothing at this address.")
        suggestion.run = run
        form = PairForm(sent(request) if "go" in request.POST else None, suggestion=suggestion, typed=request.POST)

        def ask(filled: dict[str, Any]) -> HttpResponse:
            made = pairing.request_pair(actor, form.wanted(suggestion))
            return self.said(request, gettext("Both are asked."), self.url("change", made.pk))

        return self.submitted(request, form, ask) or self.page(
            request,
            "admin/prompts/optimiser_try.html",
            title=_("Try both"),
            form=form,
            cancel_url=self.url("change", run.pk),
            breadcrumbs=[*crumbs(run.version.prompt), {"label": str(run), "url": self.url("change", run.pk)}],
        )

    def pair_page(self, request: HttpRequest, run: OptimiserRun, facts: list[tuple[Any, Any]]) -> HttpResponse:
        """Show what both answered, side by side, and what they were asked."""
        suggestion = Suggestion.objects.filter(pk=run.plan["suggestion"]).first()
        back = self.url("change", suggestion.run_id) if suggestion else ""
        actions = self.run_actions(request, run)
        if back:
            actions.append({"label": _("Back to the suggestion"), "url": back, "kind": "primary"})
        labels = [version_label(run.version), gettext("Suggested text")]
        texts = [suggesting.readable(run.version.content), suggesting.readable(pairing.pair_content(run))]
        answers = pairing.pair_answers(run)
        return self.run_page(
            request,
            "admin/prompts/optimiser_pair.html",
            run,
            title=gettext("Both tried"),
            facts=facts,
            actions=actions,
            asked=[
                *run.plan["variables"].items(),
                *([(_("What a user says"), run.plan["said"])] if run.plan["said"] else []),
            ],
            sides=[
                {"label": label, "text": text, **_shown(one)}
                for label, text, one in zip(labels, texts, answers, strict=True)
            ],
            breadcrumbs=[
                *crumbs(run.version.prompt),
                {"label": _("Optimise"), "url": page_of("prompt_optimise", run.version.prompt_id)},
            ],
        )

    def pairs_shown(self, suggestion: Suggestion) -> list[dict[str, Any]]:
        """Return when both were tried, as a list shows it."""
        return [
            {"url": self.url("change", one.pk), "at": one.created_at, "state": one.get_state_display()}
            for one in pairing.pairs_of(suggestion)
        ]


def _shown(one: PairAnswer) -> dict[str, Any]:
    is_known = one.input_tokens is not None and one.output_tokens is not None
    tokens = f"{one.input_tokens} → {one.output_tokens}" if is_known else ""
    facts = [fmt_ms(one.latency_ms), tokens, fmt_money(one.cost_usd)] if one.text or one.problem else []
    return {"answer": one.text, "problem": one.problem, "facts": " · ".join(filter(None, facts))}
