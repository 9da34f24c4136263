"""Replays: rated answers asked again of a version, and what a blind judge says of then and now."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from feedback import replays
from feedback.models import Replay
from feedback.replays import Found, Replayed
from feedback.services import replaying
from feedback.services.replaying import ReplayPlan
from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, TeamFilter, acting, badge, link, sent
from promptlab.lib.errors import NotFound
from promptlab.lib.formats import fmt_pct, fmt_range
from promptlab.templatetags.promptlab import when
from prompts.admin.run_pages import LOOK_AGAIN_S
from prompts.checks.preferring import IN_BOTH, NOT_BOTH, NOT_READ, SAME_WORDS
from prompts.models import Version

VERDICTS = {
    "waiting": ("info", _("Not all is answered yet")),
    "better": ("ok", _("Better than what was rated")),
    "worse": ("bad", _("Worse than what was rated")),
    "open": ("neutral", _("No difference that chance could not make")),
}
FLIPS = {"mended": ("ok", _("Disliked then, better now")), "broken": ("bad", _("Liked then, worse now"))}
SCORES = {1.0: _("Better"), 0.5: _("Neither is better"), 0.0: _("Worse")}
JUDGED = {
    "": "",
    SAME_WORDS: _("The same words."),
    NOT_BOTH: _("The judge does not say the same in both orders."),
}
UNREADABLE = _("The judge’s answer cannot be read.")
MOST_SHOWN = 100
ASK = "admin/prompts/suite_run_ask.html"
"""The page before a run: what it asks, what it can cost."""


class ReplayForm(HouseForm):
    """How much to replay, and for how much money."""

    downs = forms.IntegerField(
        label=_("So many of the newest thumbs-down"),
        min_value=0,
        max_value=replaying.MOST,
        initial=replaying.DOWNS,
        help_text=_("Addresses and numbers are replaced before anything is sent to a model."),
    )
    ups = forms.IntegerField(
        label=_("So many of the newest thumbs-up"), min_value=0, max_value=replaying.MOST, initial=replaying.UPS
    )
    rubric = forms.CharField(
        label=_("What a good answer is"), required=False, max_length=5000, widget=forms.Textarea(attrs={"rows": 3})
    )
    model = forms.CharField(
        label=_("Model that answers"), required=False, max_length=100, help_text=_("Empty: the version’s own.")
    )
    judge = forms.CharField(
        label=_("Model that judges"),
        required=False,
        max_length=100,
        help_text=_("Empty: the default one. It does not know which answer is which, and is asked in both orders."),
    )
    budget_usd = forms.DecimalField(
        label=_("It may cost at most, in dollars"), min_value=0, max_digits=10, decimal_places=4, initial=1
    )

    def plan(self) -> ReplayPlan:
        """Return what a valid form says."""
        return ReplayPlan(**self.cleaned_data)


@admin.register(Replay)
class ReplayAdmin(HouseAdmin):
    list_title = _("Replays")
    empty_title = _("Nothing was replayed yet")
    empty_text = _("Open a version, and replay the rated answers: it is asked again what people liked and disliked.")
    list_display = ["what", "version", "state", "at"]
    list_display_links = None
    list_filter = [TeamFilter]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).with_names()

    @admin.display(description=_("Prompt"))
    def what(self, replay: Replay) -> SafeString:
        return link(self.url("change", replay.pk), replay.prompt.title)

    @admin.display(description=_("Version"))
    def version(self, replay: Replay) -> str:
        return f"v{replay.run.version.number}"

    @admin.display(description=_("State"))
    def state(self, replay: Replay) -> str:
        return replay.run.get_state_display()

    @admin.display(description=_("When"))
    def at(self, replay: Replay) -> str:
        return when(replay.created_at)

    def own_urls(self) -> list[Any]:
        return [
            self.own("of/<int:version>/", self.begin_page, "begin"),
            self.own("<int:pk>/cases/", self.cases_page, "cases"),
        ]

    def begin_page(self, request: HttpRequest, version: int) -> HttpResponse:
        """Choose how much, and see what it can cost; a POST with `go` begins."""
        actor = acting(request)
        rows = Version.objects.visible_to(actor, replaying.WRITE).select_related("prompt")
        one: Version | None = rows.filter(pk=version).first()
        if one is None:
            raise NotFound("There is nothing at this address.")
        form, shown = ReplayForm(sent(request)), dict[str, Any]()

        def begin(filled: dict[str, Any]) -> HttpResponse:
            if "go" in request.POST:
                made = replaying.request_replay(actor, one, form.plan())
                return self.said(request, gettext("The answers are asked for."), self.url("change", made.pk))
            shown["estimate"] = replaying.estimate_replay(actor, one, form.plan())
            return self.page(request, ASK, form=form, **frame, **shown)

        frame = {
            "title": _("Replay rated answers with %(version)s") % {"version": one},
            "cancel_url": reverse("admin:prompts_version_change", args=[one.pk]),
        }
        return self.form_page(request, form, begin, template=ASK, **frame)

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show the verdict with its range, and the answers, flips first."""
        found = replays.found(thing)
        kind, label = VERDICTS[found.verdict]
        run_url = reverse("admin:prompts_suiterun_change", args=[thing.run_id])
        facts = [
            (_("Verdict"), badge(label, kind)),
            (_("Better, of those that differ"), _share(found)),
            (_("Thumbs-down then"), _side(found, is_up=False)),
            (_("Thumbs-up then"), _side(found, is_up=True)),
            (_("Left out"), gettext("%(count)s that do not fit this version") % {"count": thing.unfit}),
            (_("Progress and cost"), link(run_url, thing.run.get_state_display())),
            (
                _("Version"),
                link(reverse("admin:prompts_version_change", args=[thing.run.version_id]), thing.run.version),
            ),
        ]
        may_write = self.may(request, replaying.WRITE, thing) and any(one.is_disagreement for one in found.items)
        actions = [{"label": _("Make cases of the differences…"), "url": self.url("cases", thing.pk), "kind": ""}]
        return self.page(
            request,
            "admin/feedback/replay.html",
            look_again_s=LOOK_AGAIN_S if thing.run.is_open else 0,
            title=str(thing),
            facts=facts,
            actions=actions if may_write else [],
            rows=[_row(one) for one in found.items[:MOST_SHOWN]],
            more=max(0, len(found.items) - MOST_SHOWN),
        )

    def cases_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say what becomes a case; a POST makes them."""
        replay = self.found(request, pk)
        actor = self.demand(request, replaying.WRITE, replay)

        def save(filled: dict[str, Any]) -> HttpResponse:
            made = len(replaying.save_disagreements(actor, replay))
            told = ngettext("%(count)s case is new.", "%(count)s cases are new.", made) % {"count": made}
            return self.said(request, told, reverse("admin:prompts_suite_change", args=[replay.run.suite_id]))

        return self.confirm(
            request,
            save,
            title=_("Make cases of the differences"),
            consequences=[
                _("Each question of which one answer is better becomes a case of %(suite)s.")
                % {"suite": replay.run.suite},
                _("What is expected is the better answer. Change it there if you know one that is better still."),
            ],
            submit_label=_("Make the cases"),
            cancel_url=self.url("change", replay.pk),
        )


def _share(found: Found) -> str:
    if found.share is None:
        return gettext("None differs.")
    told = {"share": fmt_pct(found.share), "range": fmt_range(found.low, found.high), "chance": fmt_pct(found.p)}
    return gettext("%(share)s (likely %(range)s); chance alone does so in %(chance)s of replays.") % told


def _side(found: Found, *, is_up: bool) -> str:
    side = found.ups if is_up else found.downs
    told = {"better": side.better, "same": side.same, "worse": side.worse, "undecided": side.undecided}
    return gettext("%(better)s better, %(same)s alike, %(worse)s worse, %(undecided)s not known") % told


def _row(one: Replayed) -> dict[str, Any]:
    kind, flip = FLIPS.get(one.flip, ("", ""))
    return {
        "case": one.about or one.result.case_name,
        "url": reverse("admin:feedback_feedback_change", args=[one.item.feedback_id]),
        "was": _("Liked") if one.item.is_up else _("Disliked"),
        "now": SCORES[one.score] if one.score is not None else _("Not known"),
        "kind": kind,
        "flip": flip,
        "reason": _reason(one),
        "before": one.before,
        "after": one.result.text,
    }


def _reason(one: Replayed) -> str:
    """Return what the judge said of it, without what the score says already."""
    known = JUDGED.get(one.reason)
    if known is not None or one.score is None:
        return str(known or (UNREADABLE if one.reason.startswith(NOT_READ) else one.reason))
    return next((one.reason.removeprefix(said) for said in IN_BOTH.values() if one.reason.startswith(said)), one.reason)
