"""Setting an experiment up in four pages. Each is kept when it is sent, in the draft itself: whoever comes back goes on there."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from experiments.admin.forms import PRODUCTION, ActForm
from experiments.admin.showing import share, variant_rows
from experiments.admin.wizard_forms import PeopleForm, QuestionForm, TextsForm, of_question
from experiments.errors import NothingLive
from experiments.models import Experiment
from experiments.services import checklist, drafting, forecasting, lifecycle
from experiments.services.drafting import DraftChanges, live_version
from experiments.services.targeting import Setup
from promptlab.accounts.modeladmin import Act, AnyForm, HouseAdmin, acting, sent
from promptlab.lib.formats import fmt_int, fmt_pct, fmt_points

State = Experiment.State
STEPS: list[tuple[str, Any]] = [
    ("question", _("1 What do you want to find out?")),
    ("texts", _("2 Which texts?")),
    ("people", _("3 Who and how long?")),
    ("start", _("4 Check and start")),
]
LATER = "later"


class WizardPages(HouseAdmin):
    """Part of the admin of experiments, which has their addresses. Writers set up; publishers start."""

    def own_urls(self) -> list[Any]:
        return [
            *super().own_urls(),
            self.own("<int:pk>/question/", self.question_page, "question"),
            self.own("<int:pk>/texts/", self.texts_page, "texts"),
            self.own("<int:pk>/people/", self.people_page, "people"),
        ]

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Ask what is to be found out, of which prompt and where; that makes the draft."""
        actor = acting(request)
        wanted = {name: request.GET[name] for name in ("prompt", "environment") if name in request.GET}
        form = QuestionForm(sent(request), actor=actor, initial=wanted)

        def begin(filled: dict[str, Any]) -> HttpResponse:
            assert form.live is not None
            setup = Setup(primary_metric=filled["primary_metric"], guardrails=filled["guardrails"])
            made = drafting.begin_draft(
                actor,
                form.live.prompt,
                form.live.environment,
                title=filled["title"],
                hypothesis=filled["hypothesis"],
                setup=setup,
            )
            return self._next(request, made, "texts")

        title, template = _("New experiment"), "admin/experiments/step.html"
        return self._step_page(request, form, begin, title=title, template=template, steps=[])

    def question_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The first page of a draft."""
        draft = self._draft(request, pk)
        actor = self.demand(request, self.write_capability, draft)
        form = QuestionForm(sent(request), actor=actor, draft=draft, initial=of_question(draft))

        def keep(filled: dict[str, Any]) -> HttpResponse:
            assert form.live is not None
            setup = {"primary_metric": filled["primary_metric"], "guardrails": filled["guardrails"]}
            changes = DraftChanges(filled["title"], filled["hypothesis"], form.live.environment, setup=setup)
            drafting.edit_draft(actor, draft, changes)
            return self._next(request, draft, "texts")

        return self._step_page(
            request, form, keep, draft=draft, step="question", template="admin/experiments/step.html"
        )

    def texts_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The second page: what the live text is compared with."""
        draft = self._draft(request, pk)
        actor = self.demand(request, self.write_capability, draft)
        control = self._control(draft)
        form = TextsForm(sent(request), control=control, draft=draft)

        def keep(filled: dict[str, Any]) -> HttpResponse:
            drafting.edit_draft(actor, draft, DraftChanges(variants=form.variants()))
            return self._next(request, draft, "people")

        return self._step_page(
            request, form, keep, draft=draft, step="texts", template="admin/experiments/texts.html", control=control
        )

    def people_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The third page: shares, how many of all users, and until when. What could be seen by when stands beside it."""
        draft = self._draft(request, pk)
        actor = self.demand(request, self.write_capability, draft)
        form = PeopleForm(sent(request), experiment=draft)

        def keep(filled: dict[str, Any]) -> HttpResponse:
            variants = form.new_variants() if len(form.variants) > 1 else None
            coverage, size = int(filled["coverage"] * 100), {"planned_size": filled["planned_size"]}
            drafting.edit_draft(actor, draft, DraftChanges(coverage_bp=coverage, variants=variants, setup=size))
            return self._next(request, draft, "start")

        return self._step_page(
            request,
            form,
            keep,
            draft=draft,
            step="people",
            template="admin/experiments/people.html",
            **_expected(draft),
            who_url=self.url("who", draft.pk),
        )

    def start_page(self, request: HttpRequest, experiment: Experiment) -> HttpResponse:
        """The fourth page: everything in plain words, what is in the way, what may disappoint; a POST starts it."""
        actor = acting(request)
        may_run = self.may(request, "experiment.run", experiment)
        if not may_run:
            self.demand(request, self.write_capability, experiment)
        if request.method == "POST":
            self.demand(request, "experiment.run", experiment)
        points = checklist.checklist(experiment, by=actor)
        unmet = [one for one in points if not one.is_met]
        blanks = next((one.told for one in unmet if one.point == "variables"), "")
        blocking = [one.told for one in unmet if one.is_blocking and one.point != "variables"]
        advice = [one.told for one in unmet if not one.is_blocking]
        is_strict = experiment.environment.name == PRODUCTION
        form = ActForm(sent(request), is_strict=is_strict, blanks=blanks)
        names = {"title": experiment.title, "environment": experiment.environment}

        def start(filled: dict[str, Any]) -> HttpResponse:
            confirmed = {"confirm": True} if filled.get("confirm") else {}
            lifecycle.start(actor, experiment, note=form.why(), **confirmed)
            running = gettext("%(title)s is running.") % names
            return self.said(request, running, self.url("change", experiment.pk))

        is_draft = experiment.state == State.DRAFT
        return self.confirm(
            request,
            start,
            form=form,
            template="admin/experiments/start.html",
            title=gettext("Start %(title)s") % names,
            tabs=self._steps(experiment, "start") if is_draft and self._may_edit(request, experiment) else [],
            consequences=[
                gettext(
                    "From now on, users in %(environment)s get one of the texts, always the same one for the same user."
                )
                % names,
                gettext(
                    "Texts cannot be changed any more, and other shares begin a count of their own: "
                    "that keeps the result true."
                ),
            ],
            warnings=blocking,
            advice=advice,
            is_blocked=bool(blocking) and is_draft,
            may_run=may_run,
            points=[one for one in points if one.is_met],
            summary=summary(experiment),
            variants=variant_rows(experiment),
            submit_label=_("Start anyway") if advice else _("Start now"),
            cancel_url=self.url("change", experiment.pk),
            breadcrumbs=[self.list_crumb(), {"label": experiment.title, "url": self.url("change", experiment.pk)}],
        )

    def draft_actions(self, request: HttpRequest, draft: Experiment) -> list[dict[str, Any]]:
        """Return what writers and publishers do with a draft, for its page."""
        may_edit = self._may_edit(request, draft)
        if draft.state != State.DRAFT or not (may_edit or self.may(request, "experiment.run", draft)):
            return []
        first = "texts" if len(draft.variants.all()) < 2 else "question"
        start = {"label": _("Check and start"), "url": self.url("act", draft.pk, "start"), "kind": "primary"}
        edit = {"label": _("Go on setting it up"), "url": self.url(first, draft.pk), "kind": ""}
        return [edit, start] if may_edit else [start]

    def _may_edit(self, request: HttpRequest, draft: Experiment) -> bool:
        return self.may(request, self.write_capability, draft)

    def _draft(self, request: HttpRequest, pk: int) -> Experiment:
        found: Experiment = self.found(request, pk)
        return found

    def _control(self, draft: Experiment) -> Any:
        """Return the live text; the one that the draft begins with where nothing is live any more."""
        try:
            return live_version(draft.prompt, draft.environment)
        except NothingLive:
            return next(one.version for one in draft.variants.all() if one.is_control)

    def _next(self, request: HttpRequest, draft: Experiment, step: str) -> HttpResponse:
        """Go on to the next page; to the draft's own where it is to be gone on with later."""
        if request.POST.get("act") == LATER:
            kept = gettext("%(title)s is kept. Nobody sees it until it is started.") % {"title": draft.title}
            return self.said(request, kept, self.url("change", draft.pk))
        url = self.url("act", draft.pk, "start") if step == "start" else self.url(step, draft.pk)
        return self.said(request, gettext("Kept."), url)

    def _steps(self, draft: Experiment, current: str) -> list[dict[str, Any]]:
        urls = {step: self.url(step, draft.pk) for step in ("question", "texts", "people")}
        urls["start"] = self.url("act", draft.pk, "start")
        return [{"label": label, "url": urls[step], "is_current": step == current} for step, label in STEPS]

    def _step_page(
        self,
        request: HttpRequest,
        form: AnyForm,
        act: Act,
        *,
        draft: Experiment | None = None,
        step: str = "question",
        **context: Any,
    ) -> HttpResponse:
        """Answer one page of the four. One that was started meanwhile is led to its own page."""
        if draft is not None:
            if draft.state != State.DRAFT and request.method != "POST":
                started = gettext("%(title)s was started already: its setup stays.") % {"title": draft.title}
                return self.said(request, started, self.url("change", draft.pk))
            here = {"label": draft.title, "url": self.url("change", draft.pk)}
            context = {
                "title": draft.title,
                "crumb": dict(STEPS)[step],
                "steps": self._steps(draft, step),
                "breadcrumbs": [self.list_crumb(), here],
                **context,
            }
        names = [name for name, _label in STEPS]
        back = names[names.index(step) - 1] if draft is not None and step != "question" else ""
        return self.form_page(
            request,
            form,
            act,
            tabs=context.pop("steps"),
            draft=draft,
            heading=dict(STEPS)[step],
            back_url=self.url(back, draft.pk) if draft is not None and back else "",
            submit_label=_("Go on"),
            cancel_url=self.url("change", draft.pk) if draft is not None else self.url("changelist"),
            **context,
        )


def summary(experiment: Experiment) -> list[str]:
    """Return an experiment in plain words."""
    facts = {
        "prompt": experiment.prompt.title,
        "environment": experiment.environment,
        "share": share(experiment.coverage_bp),
        "metric": experiment.get_primary_metric_display(),
    }
    said = [gettext("It compares texts of %(prompt)s in %(environment)s, for %(share)s of all users.") % facts]
    said.append(gettext("It is decided by: %(metric)s.") % facts)
    if experiment.planned_size:
        size = {"size": fmt_int(experiment.planned_size)}
        said.append(gettext("It is decided when all texts together have %(size)s ratings.") % size)
    if experiment.unit_attribute:
        dealt = {"name": experiment.unit_attribute}
        said.append(gettext("Who has the same %(name)s gets the same text.") % dealt)
    return said


def _expected(draft: Experiment) -> dict[str, Any]:
    """Return what comes in there, and what could be seen by when, in words."""
    expects = forecasting.forecast(draft)
    weights = [one.weight_bp for one in draft.variants.all()]
    smallest = min(weights) / 10_000 if len(weights) > 1 else 0.5
    rows = [(days, expects.shows(days, smallest)) for days in forecasting.HORIZONS]
    return {
        "per_day": fmt_int(round(expects.per_day)) if expects.per_day is not None else "",
        "approval": fmt_pct(expects.approval) if expects.approval is not None else "",
        "horizons": [{"days": days, "points": fmt_points(shown)} for days, shown in rows if shown is not None],
        "days_to_end": expects.days_to_end(draft.planned_size),
        "prompt_url": reverse("admin:prompts_prompt_change", args=[draft.prompt_id]),
    }
