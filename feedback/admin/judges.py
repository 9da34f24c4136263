"""Judges: which share of which prompt's answers a model scores, what that may cost, and how far people agree."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from feedback.annotations import judged
from feedback.models import Judge
from feedback.services import judging
from feedback.services.judging import NANO, JudgePlan
from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, TeamFilter, acting, badge, link, sent
from promptlab.lib.formats import DASH, fmt_int, fmt_money, fmt_pct
from prompts.admin.choosing import PromptField, offer
from prompts.models import Prompt


class JudgeForm(HouseForm):
    """What a judge does."""

    named = {"share": "percent"}
    prompt = PromptField(label=_("Whose answers"))
    by = PromptField(
        label=_("Prompt that judges"),
        help_text=_(
            'It asks for {{answer}}, and for {{rubric}} and {{input}} if it likes, and answers {"score": 0 to 1}.'
        ),
    )
    rubric = forms.CharField(
        label=_("What is good"), required=False, max_length=5000, widget=forms.Textarea(attrs={"rows": 4})
    )
    percent = forms.FloatField(label=_("Share of answers, in percent"), initial=5, min_value=0.01, max_value=100)
    least = forms.FloatField(label=_("Good from the score"), initial=0.5, min_value=0.01, max_value=1)
    day_usd = forms.DecimalField(
        label=_("Budget of a day, in US dollars"), initial=Decimal(1), min_value=Decimal("0.0001"), max_digits=10
    )
    is_on = forms.BooleanField(label=_("On"), initial=True, required=False)

    def __init__(self, *args: Any, actor: Principal, judge: Judge | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, Prompt.objects.visible_to(actor, judging.WRITE).active(), "prompt", "by")
        if judge is not None:
            del self.fields["prompt"]

    def plan(self) -> JudgePlan:
        """Return what a valid form says."""
        said = self.cleaned_data
        same = {name: said[name] for name in ("by", "rubric", "least", "day_usd", "is_on")}
        return JudgePlan(share=said["percent"] / 100, **same)


@admin.register(Judge)
class JudgeAdmin(HouseAdmin):
    view_capability = "feedback.read"
    write_capability = judging.WRITE
    list_title = _("Judges")
    add_label = _("New judge")
    empty_title = _("No model judges answers")
    empty_text = _("A judge scores a share of the answers through a prompt of yours, beside what people think.")
    list_display = ["prompt_link", "by", "share", "spent", "state"]
    list_display_links = None
    list_filter = [TeamFilter]
    list_select_related = ["prompt", "by"]
    sortable_by = ()

    @admin.display(description=_("Whose answers"))
    def prompt_link(self, judge: Judge) -> SafeString:
        return link(self.url("change", judge.pk), judge.prompt.title)

    @admin.display(description=_("Share"))
    def share(self, judge: Judge) -> str:
        return fmt_pct(judge.share_bp / 10_000)

    @admin.display(description=_("Spent of a day's budget"))
    def spent(self, judge: Judge) -> str:
        return _money(judge)

    @admin.display(description=_("State"))
    def state(self, judge: Judge) -> SafeString:
        if judge.note:
            return badge(judge.note, "warn")
        return badge(_("On"), "ok") if judge.is_on else badge(_("Off"))

    def own_urls(self) -> list[Any]:
        return [self.own("<int:pk>/edit/", self.edit_page, "edit")]

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Have a prompt's answers judged."""
        actor = acting(request)
        asked = {name: request.GET.get(name, "") for name in ("prompt", "by")}
        form = JudgeForm(sent(request), actor=actor, initial=asked)

        def make(filled: dict[str, Any]) -> HttpResponse:
            made = judging.set_judge(actor, filled["prompt"], form.plan())
            return self.said(request, gettext("Answers are judged from now on."), self.url("change", made.pk))

        title, cancel_url = self.add_label, self.url("changelist")
        return self.form_page(request, form, make, title=title, submit_label=_("Save"), cancel_url=cancel_url)

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show what a judge does, and how far people agree with it."""
        found = judged(thing)
        kappa = DASH if found.kappa is None else f"{found.kappa:.2f} ({found.low:.2f} – {found.high:.2f})"
        facts = [
            (
                _("Whose answers"),
                link(reverse("admin:prompts_prompt_change", args=[thing.prompt_id]), thing.prompt.title),
            ),
            (_("Prompt that judges"), link(reverse("admin:prompts_prompt_change", args=[thing.by_id]), thing.by.title)),
            (_("Share"), self.share(thing)),
            (_("Spent of a day's budget"), self.spent(thing)),
            (_("State"), self.state(thing)),
            (_("Answers that people rated, too"), fmt_int(found.both)),
            (_("The same verdict"), fmt_pct(found.share)),
            (_("Agreement beyond chance (kappa)"), kappa),
        ]
        may_write = self.may(request, self.write_capability, thing)
        actions = [{"label": _("Change…"), "url": self.url("edit", thing.pk), "kind": ""}] if may_write else []
        title = gettext("Judge of %(prompt)s") % {"prompt": thing.prompt.title}
        return self.page(request, "admin/accounts/facts.html", title=title, facts=facts, actions=actions)

    def edit_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Change what a judge does."""
        judge = self.found(request, pk)
        actor = self.demand(request, self.write_capability, judge)
        same = {name: getattr(judge, name) for name in ("by", "rubric", "least", "is_on")}
        initial = {**same, "percent": judge.share_bp / 100, "day_usd": Decimal(judge.day_nanousd) / NANO}
        form = JudgeForm(sent(request), actor=actor, judge=judge, initial=initial)

        def change(_filled: dict[str, Any]) -> HttpResponse:
            judging.set_judge(actor, judge.prompt, form.plan())
            return self.said(request, gettext("Saved."), self.url("change", judge.pk))

        title, cancel_url = _("Change the judge"), self.url("change", pk)
        return self.form_page(request, form, change, title=title, submit_label=_("Save"), cancel_url=cancel_url)


def _money(judge: Judge) -> str:
    spent, most = (Decimal(nano) / NANO for nano in (judge.spent_nanousd, judge.day_nanousd))
    return gettext("%(done)s of %(most)s") % {"done": fmt_money(spent), "most": fmt_money(most)}
