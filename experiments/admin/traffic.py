"""Who takes part in an experiment: conditions of a draft, testers, and other shares while it runs, with what moves said before."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from experiments.admin.forms import ActForm
from experiments.admin.showing import share
from experiments.admin.traffic_forms import ReasonForm, TestersForm, WhoForm
from experiments.admin.wizard_forms import SharesForm
from experiments.models import Experiment, Ramp
from experiments.services import drafting, phasing, targeting
from experiments.services.drafting import DraftChanges
from promptlab.accounts.modeladmin import HouseAdmin, sent

State = Experiment.State


class TrafficPages(HouseAdmin):
    """Part of the admin of experiments, which has their addresses."""

    def own_urls(self) -> list[Any]:
        return [
            *super().own_urls(),
            self.own("<int:pk>/who/", self.who_page, "who"),
            self.own("<int:pk>/testers/", self.testers_page, "testers"),
            self.own("<int:pk>/shares/", self.shares_page, "shares"),
            self.own("<int:pk>/deal-anew/", self.deal_anew_page, "deal_anew"),
        ]

    def who_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Whom a draft is for, what is dealt, apart from which others it stays."""
        draft = self.found(request, pk)
        actor = self.demand(request, self.write_capability, draft)
        url = self.url("change", draft.pk)
        if draft.state != State.DRAFT and request.method != "POST":
            sentence = gettext("%(title)s was started already: whom it is for stays.") % {"title": draft.title}
            return self.said(request, sentence, url)
        form = WhoForm(sent(request), draft=draft)

        def keep(filled: dict[str, Any]) -> HttpResponse:
            drafting.edit_draft(actor, draft, DraftChanges(setup=form.setup()))
            back = self.url("people", draft.pk) if request.POST.get("act") == "back" else url
            return self.said(request, gettext("Kept."), back)

        return self.form_page(
            request,
            form,
            keep,
            template="admin/experiments/who.html",
            title=_("Who takes part in %(title)s") % {"title": draft.title},
            submit_label=_("Save"),
            cancel_url=url,
            **self._crumbs(draft),
        )

    def testers_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say who tries which text out, now and while it runs."""
        experiment = self.found(request, pk)
        actor = self.demand(request, "experiment.run", experiment)
        url = self.url("change", experiment.pk)
        form = TestersForm(sent(request), experiment=experiment)

        def keep(filled: dict[str, Any]) -> HttpResponse:
            targeting.set_overrides(actor, experiment, form.overrides())
            return self.said(request, gettext("Kept. It is so everywhere within a second."), url)

        return self.form_page(
            request,
            form,
            keep,
            title=_("Who tries out %(title)s") % {"title": experiment.title},
            lead=_("They always get the text that is chosen here, and are left out of every count. One id a line."),
            submit_label=_("Save"),
            cancel_url=url,
            **self._crumbs(experiment),
        )

    def shares_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask for the shares first, then say who gets another text. Nothing is written before the second page is sent."""
        experiment = self.found(request, pk)
        actor = self.demand(request, "experiment.run", experiment)
        url = self.url("change", experiment.pk)
        frame = {"title": _("Shares of %(title)s") % {"title": experiment.title}, "cancel_url": url}
        asked = request.GET if "split" in request.GET else None
        form = SharesForm(asked, experiment=experiment)
        if asked is None or not form.is_valid():
            return self.page(
                request,
                "admin/experiments/shares.html",
                form=form,
                deal_anew_url=self.url("deal_anew", experiment.pk),
                **frame,
                **self._crumbs(experiment),
            )
        weights, coverage_bp = form.weights(), int(form.cleaned_data["coverage"] * 100)
        changes = _changes(experiment, weights, coverage_bp)

        def act(filled: dict[str, Any]) -> HttpResponse:
            with transaction.atomic():
                phasing.change_coverage(actor, experiment, coverage_bp, note=filled["note"])
                phasing.change_shares(actor, experiment, _taking_part(weights), note=filled["note"])
            return self.said(request, gettext("Changed. It is so everywhere within a second."), url)

        if not changes:
            return self.said(request, gettext("These are the shares already. Nothing was changed."), url)
        return self.confirm(
            request,
            act,
            form=ReasonForm(sent(request)),
            consequences=changes,
            submit_label=_("Change the shares"),
            **frame,
            **self._crumbs(experiment),
        )

    def deal_anew_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say what it is to deal everybody anew; a POST does it."""
        experiment = self.found(request, pk)
        actor = self.demand(request, "experiment.run", experiment)
        url = self.url("change", experiment.pk)

        def act(filled: dict[str, Any]) -> HttpResponse:
            phasing.deal_anew(actor, experiment, note=filled["note"])
            return self.said(request, gettext("Everybody is dealt anew."), url)

        return self.confirm(
            request,
            act,
            form=ActForm(sent(request), is_strict=False, must_say_why=True),
            title=_("Deal the users of %(title)s anew") % {"title": experiment.title},
            consequences=[
                _("About as many users as share a text get another one, as if they had met none before."),
                _("The count begins anew. What was counted until now is kept with the phase before."),
                _("It is for after a mistake that users have met, such as a broken text."),
            ],
            submit_label=_("Deal anew"),
            is_danger=True,
            cancel_url=url,
            **self._crumbs(experiment),
        )

    def traffic_actions(self, request: HttpRequest, experiment: Experiment) -> list[dict[str, Any]]:
        """Return what may be changed about who takes part, for the experiment's page."""
        found = []
        is_draft, is_ramp = experiment.state == State.DRAFT, Ramp.objects.filter(experiment=experiment).exists()
        if is_draft and self.may(request, self.write_capability, experiment):
            found.append({"label": _("For whom…"), "url": self.url("who", experiment.pk)})
        if not self.may(request, "experiment.run", experiment) or is_ramp:
            return found
        if is_draft or experiment.is_serving:
            found.append({"label": _("Testers…"), "url": self.url("testers", experiment.pk)})
        if experiment.is_serving:
            found.append({"label": _("Other shares…"), "url": self.url("shares", experiment.pk)})
        return found

    def _crumbs(self, experiment: Experiment) -> dict[str, Any]:
        here = {"label": experiment.title, "url": self.url("change", experiment.pk)}
        return {"breadcrumbs": [self.list_crumb(), here]}


def _changes(experiment: Experiment, weights: dict[str, int], coverage_bp: int) -> list[str]:
    """Return what other shares mean, in sentences; nothing where they are the same."""
    said: list[str] = []
    if coverage_bp != experiment.coverage_bp:
        shares = {"before": share(experiment.coverage_bp), "after": share(coverage_bp)}
        said.append(gettext("%(after)s of all users take part, not %(before)s.") % shares)
        said.append(gettext("Nobody who takes part before and after gets another text."))
    for one in experiment.variants.all():
        after = weights.get(one.key, 0)
        if after != one.weight_bp:
            facts = {"text": str(one), "before": share(one.weight_bp), "after": share(after)}
            said.append(gettext("“%(text)s” gets %(after)s, not %(before)s.") % facts)
    moved = phasing.moved_by(experiment, weights)
    if moved:
        facts = {"share": share(moved)}
        said.append(gettext("%(share)s of those who take part get another text, as few as can be.") % facts)
        said.append(gettext("A new count begins: numbers are of the time since, and those of before are kept."))
    return said


def _taking_part(weights: dict[str, int]) -> dict[str, int]:
    """Return the shares of those that have any; who has none takes no part any more."""
    return {key: weight for key, weight in weights.items() if weight}
