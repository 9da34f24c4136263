"""What the pages of all runs have in common: looking again by themselves, cancelling, going on, and what was spent."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, sent
from promptlab.lib.formats import fmt_money
from promptlab.templatetags.promptlab import when
from prompts.admin.suites import state_badge
from prompts.models.running import Run, RunState

WRITE: Final = "prompt.write"
LOOK_AGAIN_S: Final = 3
"""A page looks again this often while a run is under way; 0 for one that is over."""


class GoOnForm(HouseForm):
    """What the run may cost from now on."""

    named = {"budget_usd": "budget"}
    budget = forms.DecimalField(
        label=_("It may cost at most, in dollars"), min_value=0, max_value=1_000_000, max_digits=12, decimal_places=4
    )


class RunPages(HouseAdmin):
    """The part of a run's admin that does not depend on what is run. Its own: `cancel`, `go_on`, `asked_again`."""

    def cancel(self, actor: Principal, run: Any) -> None:
        """End a run."""
        raise NotImplementedError

    def go_on(self, actor: Principal, run: Any, budget: Any) -> None:
        """Go on with a run, for so much money in all."""
        raise NotImplementedError

    def asked_again(self, run: Any) -> Any:
        """Return the sentence about what going on asks."""
        raise NotImplementedError

    def may_go_on(self, run: Any) -> bool:
        """Tell whether something is left to ask of a run that is over."""
        return bool(run.state == RunState.STOPPED)

    def run_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/cancel/", self.cancel_page, "cancel"),
            self.own("<int:pk>/go-on/", self.go_on_page, "go_on"),
        ]

    def run_page(self, request: HttpRequest, template: str, run: Any, **context: Any) -> TemplateResponse:
        """Return the page of a run: it looks again by itself until the run is over, with scripts or without."""
        return self.page(request, template, look_again_s=LOOK_AGAIN_S if run.is_open else 0, **context)

    @property
    def again_label(self) -> Any:
        return _("Go on…")

    def run_actions(self, request: HttpRequest, run: Any) -> list[dict[str, Any]]:
        """Return the buttons of whoever may write: cancelling a run that is open, or going on with one that stopped."""
        if not self.may(request, WRITE, run):
            return []
        if run.is_open:
            return [{"label": _("Cancel…"), "url": self.url("cancel", run.pk), "kind": ""}]
        if not self.may_go_on(run):
            return []
        return [{"label": self.again_label, "url": self.url("go_on", run.pk), "kind": ""}]

    @admin.display(description=_("State"))
    def shown_state(self, run: Any) -> SafeString:
        return state_badge(run.state, run.get_state_display())

    @admin.display(description=_("When"))
    def at(self, run: Any) -> str:
        return when(run.created_at)

    def cancel_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say what cancelling means; a POST cancels."""
        run = self.found(request, pk)
        actor = self.demand(request, WRITE, run)

        def cancel(filled: dict[str, Any]) -> HttpResponse:
            self.cancel(actor, run)
            return self.said(request, gettext("It is cancelled."), self.url("change", run.pk))

        return self.confirm(
            request,
            cancel,
            title=_("Cancel %(run)s") % {"run": run},
            consequences=[
                _("What is being asked is broken off. What it cost until then counts."),
                _("It does not go on afterwards. Ask again."),
            ],
            is_danger=True,
            submit_label=_("Cancel the work"),
            cancel_url=self.url("change", run.pk),
        )

    def go_on_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say what is asked again; a POST goes on."""
        run = self.found(request, pk)
        actor = self.demand(request, WRITE, run)
        form = GoOnForm(sent(request), initial={"budget": f"{run.budget_usd.normalize():f}"})

        def go_on(filled: dict[str, Any]) -> HttpResponse:
            self.go_on(actor, run, filled["budget"])
            return self.said(request, gettext("It goes on."), self.url("change", run.pk))

        return self.confirm(
            request,
            go_on,
            form=form,
            title=_("Go on with %(run)s") % {"run": run},
            consequences=[self.asked_again(run), _("What was lost is paid for twice.")],
            submit_label=_("Go on"),
            cancel_url=self.url("change", run.pk),
        )


def spent_of(run: Run) -> str:
    """Return what a run cost, of what it may cost."""
    said = ngettext(
        "%(spent)s of %(budget)s, %(calls)s call", "%(spent)s of %(budget)s, %(calls)s calls", run.calls
    ) % {
        "spent": fmt_money(run.spent_usd),
        "budget": fmt_money(run.budget_usd),
        "calls": run.calls,
    }
    without = gettext("%(calls)s of unknown price") % {"calls": run.unpriced_calls}
    return f"{said}, {without}" if run.unpriced_calls else said
