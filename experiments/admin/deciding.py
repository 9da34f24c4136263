"""The end of an experiment for editors: what came of it, what goes live, and the second person where the numbers say otherwise."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from experiments import findings
from experiments.admin.forms import ActForm, ConclusionForm, HouseForm, PutLiveForm
from experiments.models import AnalysisSnapshot, ConclusionRequest, Experiment, Variant
from experiments.services import against, approving, concluding
from experiments.services.concluding import Conclusion, PutLive
from experiments.stats.verdict import Said, Verdict
from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin, acting, sent
from promptlab.lib.errors import NotFound

VERDICTS: dict[Verdict, Any] = {
    Verdict.AHEAD: _("“%(text)s” is better."),
    Verdict.WORSE: _("“%(text)s” is worse."),
    Verdict.NO_DIFFERENCE: _("There is no real difference."),
    Verdict.TOO_EARLY: _("It is too early to say."),
    Verdict.KEEP_GOING: _("Nothing is proven yet."),
    Verdict.NO_DATA: _("Nobody has seen it."),
    Verdict.DO_NOT_TRUST: _("The numbers cannot be trusted."),
}
PUT_LIVE: dict[str, Any] = {
    PutLive.NOW: _("It goes live at once, for everybody."),
    PutLive.GRADUALLY: _("It goes live gradually, as far as the numbers allow."),
}
LABELS: dict[str, Any] = {"approve": _("Approve"), "refuse": _("Refuse"), "withdraw": _("Withdraw")}
TITLES: dict[str, Any] = {
    "approve": _("Approve the conclusion of %(title)s"),
    "refuse": _("Refuse to conclude %(title)s like this"),
    "withdraw": _("Ask no more for the conclusion of %(title)s"),
}
CONSEQUENCES: dict[str, list[Any]] = {
    "refuse": [_("The experiment stays as it is."), _("Whoever asked reads why.")],
    "withdraw": [_("Nobody has to decide about it any more. The experiment stays as it is.")],
}
DONE: dict[str, Any] = {
    "approve": _("%(title)s is concluded."),
    "refuse": _("The conclusion of %(title)s is refused."),
    "withdraw": _("Nobody is asked any more about %(title)s."),
}
ACTS: dict[str, Any] = {
    "approve": approving.approve_conclusion,
    "refuse": approving.refuse_conclusion,
    "withdraw": approving.withdraw_conclusion,
}


class DecidePages(HouseAdmin):
    """Part of the admin of experiments, which has their addresses."""

    def own_urls(self) -> list[Any]:
        return [
            *super().own_urls(),
            self.own("<int:pk>/conclude/", self.conclude_page, "conclude"),
            self.own("<int:pk>/conclusions/<int:request_pk>/<str:verb>/", self.request_page, "request"),
        ]

    def conclude_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask first what came of it, then what goes live. Nothing is written before the second page is sent."""
        experiment = self.found(request, pk)
        actor = self.demand(request, "experiment.run", experiment)
        url = self.url("change", experiment.pk)
        if request.method != "POST" and experiment.concluded_at is not None:
            already = gettext("%(title)s is concluded already. Nothing was changed.") % {"title": experiment.title}
            return self.said(request, already, url)
        asked = request.GET if "outcome" in request.GET else None
        conclusion = ConclusionForm(asked, experiment=experiment)
        if asked is not None and conclusion.is_valid():
            return self._carry_out_page(request, actor, experiment, conclusion.cleaned_data)
        lead = _("Three questions. On the next page you see what changes, before anything does.")
        return self.page(
            request,
            "admin/experiments/where.html",
            form=conclusion,
            lead=lead,
            submit_label=_("See what changes"),
            **self._frame(experiment),
        )

    def _carry_out_page(
        self, request: HttpRequest, actor: Principal, experiment: Experiment, said: dict[str, Any]
    ) -> HttpResponse:
        """Say what the conclusion changes; a POST concludes, or asks another person."""
        kept = next(one for one in experiment.variants.all() if one.key == said["keep"])
        asks = concluding.needs_second_person(actor, experiment, Conclusion(said["outcome"], "", kept.key), kept)
        form = None if kept.is_control else PutLiveForm(sent(request))

        def act(filled: dict[str, Any]) -> HttpResponse:
            put_live = filled.get("put_live", PutLive.NO)
            # What applications send was looked at before it was started.
            confirm = experiment.started_at is not None
            decided = Conclusion(said["outcome"], said["lesson"], kept.key, put_live, confirm)
            if asks:
                approving.ask_conclusion(actor, experiment, decided)
                done = gettext("Another person has to approve this. The experiment goes on until then.")
            else:
                concluding.conclude(actor, experiment, decided)
                done = DONE["approve"] % {"title": experiment.title}
            return self.said(request, done, self.url("change", experiment.pk))

        return self.confirm(
            request,
            act,
            form=form,
            lead=numbers_now(experiment),
            consequences=_consequences(experiment, said["outcome"], said["lesson"], kept),
            warnings=_warnings(experiment) if asks else [],
            submit_label=_("Ask another person to approve it") if asks else _("Conclude"),
            **self._frame(experiment),
        )

    def request_page(self, request: HttpRequest, pk: int, request_pk: int, verb: str) -> HttpResponse:
        """Say what it is to approve, refuse or withdraw a conclusion; a POST does it."""
        experiment = self.found(request, pk)
        rows = ConclusionRequest.objects.filter(experiment=experiment, pk=request_pk)
        asked = rows.with_names().first()
        if verb not in ACTS or asked is None:
            raise NotFound("There is nothing at this address.")
        actor = self.demand(request, "experiment.run", experiment)
        url = self.url("change", experiment.pk)
        if request.method != "POST" and verb not in verbs_for(actor, asked):
            moved = gettext("It was decided already, or takes another person. Nothing was changed.")
            return self.said(request, moved, url)
        names = {"title": experiment.title}
        form: HouseForm = ActForm(sent(request), is_strict=False, must_say_why=verb == "refuse")

        def act(filled: dict[str, Any]) -> HttpResponse:
            ACTS[verb](actor, asked, note=filled["note"])
            return self.said(request, DONE[verb] % names, url)

        return self.confirm(
            request,
            act,
            form=form,
            consequences=_asked_for(asked) if verb == "approve" else CONSEQUENCES[verb],
            warnings=[numbers_said(experiment, Said(Verdict(asked.verdict), asked.about))] if verb == "approve" else [],
            submit_label=LABELS[verb],
            **{**self._frame(experiment), "title": TITLES[verb] % names},
        )

    def _frame(self, experiment: Experiment) -> dict[str, Any]:
        url = self.url("change", experiment.pk)
        return {
            "title": _("Decide: %(title)s") % {"title": experiment.title},
            "cancel_url": url,
            "breadcrumbs": [self.list_crumb(), {"label": experiment.title, "url": url}],
        }

    def waiting(self, request: HttpRequest, experiment: Experiment) -> dict[str, Any] | None:
        """Return the conclusion that waits for another person, with what this one may do about it; None for none."""
        asked = experiment.conclusion_requests.select_related("keep").filter(state="open").first()
        if asked is None:
            return None
        return {
            "asker": asked.asker_label,
            "at": asked.asked_at,
            "outcome": asked.get_outcome_display(),
            "lesson": asked.lesson,
            "keep": asked.keep,
            "numbers": numbers_said(experiment, Said(Verdict(asked.verdict), asked.about)),
            "actions": [
                {"label": LABELS[verb], "url": self.url("request", experiment.pk, asked.pk, verb)}
                for verb in verbs_for(acting(request), asked)
                if self.may(request, "experiment.run", experiment)
            ],
        }


def verbs_for(actor: Principal, asked: ConclusionRequest) -> list[str]:
    """Return what somebody may do about a conclusion that was asked for."""
    if asked.state != ConclusionRequest.State.OPEN:
        return []
    return ["withdraw"] if actor.user_id == asked.asker_id else ["approve", "refuse"]


def numbers_said(experiment: Experiment, said: Said) -> str:
    """Return the verdict in a sentence, with the name of the text it is about."""
    names = {one.key: str(one) for one in experiment.variants.all()}
    sentence = VERDICTS[said.verdict] % {"text": names.get(said.about, said.about)}
    return gettext("The numbers say otherwise: %(sentence)s") % {"sentence": sentence}


def numbers_now(experiment: Experiment) -> str:
    """Return the newest verdict with the changes that it rests on, in sentences; "" before the first analysis."""
    kept = AnalysisSnapshot.objects.newest_of(experiment.pk, experiment.phase).exclude(verdict=Verdict.ENDED)
    results = kept.values_list("results", flat=True).first()
    if results is None or Verdict(results["verdict"]) not in VERDICTS:
        return ""
    names = {one.key: str(one) for one in experiment.variants.all()}
    said = VERDICTS[Verdict(results["verdict"])] % {"text": names.get(results["about"], results["about"])}
    is_trusted = results["verdict"] not in (Verdict.DO_NOT_TRUST, Verdict.TOO_EARLY)
    return " ".join(filter(None, [str(said), findings.changes(names, results) if is_trusted else ""]))


def _asked_for(asked: ConclusionRequest) -> list[Any]:
    """Return what approving changes, in sentences."""
    *rest, stays = _consequences(asked.experiment, asked.outcome, asked.lesson, asked.keep)
    if asked.keep.is_control:
        return [*rest, stays]
    facts = {"text": str(asked.keep), "number": asked.keep.version.number}
    stays = _("%(text)s (v%(number)s) is the text that stays.") % facts
    return [*rest, stays, PUT_LIVE.get(asked.put_live, _("Everybody gets the version that is live."))]


def _warnings(experiment: Experiment) -> list[Any]:
    said = against.said_last(experiment)
    more = _("A second person has to approve it. Nothing changes until then.")
    return [numbers_said(experiment, said), more] if said else [more]


def _consequences(experiment: Experiment, outcome: str, lesson: str, kept: Variant) -> list[Any]:
    """Return what a conclusion means, in sentences."""
    facts = {
        "outcome": Experiment.Outcome(outcome).label,
        "text": str(kept),
        "number": kept.version.number,
        "environment": experiment.environment,
        "lesson": lesson,
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
