"""Rounds of annotation: a sample of answers that colleagues rate one after the other, by mouse or by keys."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from feedback.annotations import results_of, waiting_for
from feedback.models import AnnotationItem, AnnotationRound, Metric
from feedback.services import annotating
from feedback.services.annotated import CARE, annotate, name_of
from feedback.services.fitting import RATING, Value
from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, TeamFilter, acting, asks, badge, link, sent
from promptlab.accounts.models import User
from promptlab.chat.transcripts import question_of
from promptlab.lib.errors import Invalid
from promptlab.lib.formats import DASH, fmt_int, fmt_pct
from promptlab.templatetags.promptlab import when
from prompts.admin.choosing import PromptField, offer
from prompts.models import Prompt

MOST_KEYS = 9
THUMBS = (("1", _("Thumbs up")), ("-1", _("Thumbs down")))
YES_NO = (("1", _("Yes")), ("0", _("No")))


class RoundForm(HouseForm):
    """A round to be."""

    named = {"unknown_metric": "metric"}
    title = forms.CharField(label=_("Title"), max_length=100, error_messages=asks(_("Give the round a title.")))
    prompt = PromptField(label=_("Prompt"))
    metric = forms.CharField(
        label=_("Metric"),
        max_length=50,
        initial=RATING,
        help_text=_("rating is thumbs up or down; or one of your own."),
    )
    answers = forms.IntegerField(label=_("Answers"), initial=50, min_value=1, max_value=annotating.MOST)
    days = forms.IntegerField(label=_("Of the last days"), initial=30, min_value=1, max_value=365)

    def __init__(self, *args: Any, actor: Principal, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, Prompt.objects.visible_to(actor, annotating.WRITE).active(), "prompt")


@admin.register(AnnotationRound)
class RoundAdmin(HouseAdmin):
    view_capability = "feedback.read"
    write_capability = annotating.WRITE
    list_title = _("Annotation")
    add_label = _("New round")
    empty_title = _("Nobody rates answers yet")
    empty_text = _("Draw a sample of answers, and have colleagues rate each. You see how far they agree.")
    list_display = ["title_link", "prompt", "metric", "answers", "state", "begun"]
    list_display_links = None
    list_filter = [TeamFilter]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).select_related("prompt").annotate(answer_count=Count("items"))

    def own_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/rate/", self.rate_page, "rate"),
            self.own("<int:pk>/end/", self.end_page, "end"),
        ]

    @admin.display(description=_("Round"))
    def title_link(self, one: AnnotationRound) -> SafeString:
        return link(self.url("change", one.pk), one.title)

    @admin.display(description=_("Answers"))
    def answers(self, one: Any) -> str:
        return fmt_int(one.answer_count)

    @admin.display(description=_("State"))
    def state(self, one: AnnotationRound) -> SafeString:
        return badge(_("Ended")) if one.closed_at else badge(_("Open"), "ok")

    @admin.display(description=_("Begun"))
    def begun(self, one: AnnotationRound) -> str:
        return when(one.created_at)

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Begin a round."""
        actor = acting(request)
        form = RoundForm(sent(request), actor=actor, initial={"prompt": request.GET.get("prompt", "")})

        def make(filled: dict[str, Any]) -> HttpResponse:
            made = annotating.start_round(actor, filled.pop("prompt"), **filled)
            return self.said(request, gettext("The answers are drawn."), self.url("change", made.pk))

        title, label = _("New round"), _("Draw the answers")
        return self.form_page(request, form, make, title=title, submit_label=label, cancel_url=self.url("changelist"))

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show how a round stands."""
        found = results_of(thing)
        ids = [int(rater.partition(":")[2]) for rater in found.done if rater.partition(":")[2].isdecimal()]
        names = {name_of(person.pk): str(person) for person in User.objects.filter(pk__in=ids)}
        both = found.with_users
        facts = [(_("Prompt"), thing.prompt.title), (_("Metric"), thing.metric), (_("Answers"), fmt_int(found.answers))]
        facts += [(names.get(rater, rater), fmt_int(number)) for rater, number in found.done.items()]
        facts.append((_("Agreement among annotators (kappa)"), _two(found.kappa)))
        if both.both:
            said = _("%(kappa)s (%(low)s to %(high)s), the same for %(share)s of %(both)s answers")
            told = {name: _two(getattr(both, name)) for name in ("kappa", "low", "high")}
            facts.append(
                (_("With end users"), said % {**told, "share": fmt_pct(both.share), "both": fmt_int(both.both)})
            )
        actions = []
        if thing.closed_at is None and self.may(request, CARE, thing):
            actions.append({"label": _("Rate the next answer"), "url": self.url("rate", thing.pk), "kind": "primary"})
        if thing.closed_at is None and self.may(request, self.write_capability, thing):
            actions.append({"label": _("End…"), "url": self.url("end", thing.pk), "kind": ""})
        return self.page(request, "admin/accounts/facts.html", title=thing.title, facts=facts, actions=actions)

    def rate_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the next answer that the person did not rate; a POST keeps what they think and goes on."""
        one = self.found(request, pk)
        actor = self.demand(request, CARE, one)
        metric = Metric.objects.filter(team=one.team_id, key=one.metric).first()
        form = HouseForm(sent(request))

        def keep(_filled: dict[str, Any]) -> HttpResponse:
            chosen = request.POST.get("item", "")
            items = AnnotationItem.objects.filter(round=one).select_related("round", "message")
            item = items.filter(pk=int(chosen)).first() if chosen.isdecimal() and len(chosen) < 19 else None
            if item is None:
                raise Invalid(gettext("Choose what you think of the answer."))
            annotate(
                actor, item, _value(metric, request.POST.get("value", "")), comment=request.POST.get("comment", "")
            )
            return self.said(request, gettext("Kept. Here is the next one."), self.url("rate", one.pk))

        done = self.submitted(request, form, keep)
        if done is not None:
            return done
        waiting = waiting_for(one, actor.user_id or 0)
        item = waiting.first()
        if item is None:
            return self.said(request, gettext("You rated every answer. Thank you."), self.url("change", one.pk))
        choices = [
            {"key": number, "value": value, "label": label} for number, (value, label) in enumerate(_choices(metric), 1)
        ]
        return self.page(
            request,
            "admin/feedback/annotate.html",
            title=one.title,
            item=item,
            question=question_of(item.message),
            choices=choices,
            metric=metric,
            left=waiting.count(),
            form=form,
            round_url=self.url("change", one.pk),
        )

    def end_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say what ending means; a POST ends the round."""
        one = self.found(request, pk)
        actor = self.demand(request, self.write_capability, one)

        def end(_filled: dict[str, Any]) -> HttpResponse:
            annotating.close_round(actor, one)
            return self.said(request, gettext("The round ended."), self.url("change", one.pk))

        return self.confirm(
            request,
            end,
            title=gettext("End %(round)s") % {"round": one.title},
            consequences=[_("Nobody rates in it any more. What was said stays.")],
            submit_label=_("End the round"),
            cancel_url=self.url("change", one.pk),
        )


def _choices(metric: Metric | None) -> list[tuple[str, Any]]:
    """Return what can be clicked; nothing for a score, which is written."""
    if metric is None or metric.kind == Metric.Kind.THUMBS:
        return list(THUMBS)
    if metric.kind == Metric.Kind.BOOLEAN:
        return list(YES_NO)
    return [(name, name) for name in metric.categories]


def _value(metric: Metric | None, said: str) -> Value:
    """Return what was chosen as the metric takes it. Raises Invalid."""
    if metric is not None and metric.kind == Metric.Kind.CATEGORY:
        return said
    try:
        number = float(said)
    except ValueError as error:
        raise Invalid(gettext("Choose what you think of the answer.")) from error
    if metric is not None and metric.kind == Metric.Kind.BOOLEAN:
        return number == 1
    return number if metric is not None and metric.kind == Metric.Kind.SCORE else int(number)


def _two(value: float | None) -> str:
    return DASH if value is None else f"{value:.2f}"
