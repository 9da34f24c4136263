"""The administrators' pages of budgets: what may be spent in a day or a month, and how much of it is left."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from experiments.models import Experiment
from promptlab.accounts.modeladmin import HouseAdmin, HouseForm, TeamFilter, TeamForm, acting, badge, link, sent
from promptlab.accounts.models import ApiKey
from promptlab.chat.allowances import Standing, running, standing
from promptlab.chat.models import Budget
from promptlab.chat.services import budgeting
from promptlab.chat.services.budgeting import CAPABILITY
from promptlab.lib.errors import Invalid
from promptlab.lib.formats import fmt_datetime, fmt_int, fmt_money
from prompts.models import Prompt

KINDS: dict[str, str | Promise] = {
    "team": _("The whole team"),
    "key": _("API key"),
    "prompt": _("Prompt"),
    "experiment": _("Variants of the experiment"),
}
NEAR = 8
"""Tenths of the limit from which on the list warns."""


def _fields() -> dict[str, forms.Field]:
    """Return what can be changed of a budget."""
    return {
        "limit_usd": forms.DecimalField(label=_("Limit in US dollars"), max_digits=14, decimal_places=6),
        "takes_unpriced": forms.BooleanField(
            label=_("Let calls through whose price is unknown"),
            required=False,
            help_text=_("They are counted, but not what they cost. Otherwise they are refused."),
        ),
    }


class BudgetForm(HouseForm):
    """A budget that is there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.update(_fields())


class NewBudgetForm(TeamForm):
    """A budget to be. What is left empty leaves the whole team."""

    named = {"key_id": "key"}
    key = forms.ModelChoiceField(
        ApiKey.objects.none(), label=_("Only for this API key"), required=False, empty_label=_("All of them")
    )
    prompt = forms.CharField(label=_("Or only for this prompt"), max_length=200, required=False)
    experiment = forms.CharField(
        label=_("Or only for the variants of this experiment"),
        max_length=100,
        required=False,
        help_text=_("Its key. When its budget is used up, everybody gets the current text."),
    )
    period = forms.ChoiceField(label=_("For each"), choices=Budget.Period.choices)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.update(_fields())
        keys = ApiKey.objects.filter(team_id__in=self.team_ids, revoked_at=None)
        self.fields["key"].queryset = keys  # type: ignore[attr-defined]

    def chosen_of(self) -> ApiKey | Prompt | Experiment | None:
        """Return what a valid form is about. Raises Invalid when it is two things, or none of the team's."""
        said = self.cleaned_data
        given = [name for name in ("key", "prompt", "experiment") if said.get(name)]
        if len(given) > 1:
            raise Invalid.field(given[-1], gettext("A budget is about one thing: empty the other fields."))
        if not given:
            return None
        team_id = self.chosen_team().pk
        found: ApiKey | Prompt | Experiment | None = said["key"]
        if said["prompt"]:
            found = Prompt.objects.filter(team_id=team_id, name=said["prompt"]).first()
        elif said["experiment"]:
            found = Experiment.objects.filter(team_id=team_id, key=said["experiment"]).first()
        if found is None or found.team_id != team_id:
            raise Invalid.field(given[0], gettext("The team has none of this name."))
        return found


@admin.register(Budget)
class BudgetAdmin(HouseAdmin):
    view_capability = write_capability = CAPABILITY
    list_title = _("Budgets")
    add_label = _("New budget")
    empty_title = _("No budgets yet")
    empty_text = _("A budget is a limit in US dollars for a day or a month. Calls that could go beyond it are refused.")
    list_display = ["name_link", "of", "period", "limit", "spent", "state"]
    list_display_links = None
    list_filter = ["period", TeamFilter]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.visible(request).in_force().prefetch_related(running(timezone.now()))
        return rows

    @admin.display(description=_("Budget"))
    def name_link(self, budget: Budget) -> SafeString:
        return link(self.url("change", budget.pk), budget.about)

    @admin.display(description=_("For"))
    def of(self, budget: Budget) -> str | Promise:
        return KINDS[budget.kind]

    @admin.display(description=_("Limit"))
    def limit(self, budget: Budget) -> str:
        return fmt_money(budget.limit_usd)

    @admin.display(description=_("Spent"))
    def spent(self, budget: Budget) -> str:
        return fmt_money(standing(budget, timezone.now()).spent_usd)

    @admin.display(description=_("State"))
    def state(self, budget: Budget) -> SafeString:
        return _state(standing(budget, timezone.now()))

    def own_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/edit/", self.edit_page, "edit"),
            self.own("<int:pk>/remove/", self.remove_page, "remove"),
        ]

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Set a budget."""
        actor = acting(request)
        form = NewBudgetForm(sent(request), actor=actor, capability=self.write_capability)

        def make(filled: dict[str, Any]) -> HttpResponse:
            said = {name: filled[name] for name in ("period", "limit_usd", "takes_unpriced")}
            made = budgeting.set_budget(actor, form.chosen_team(), of=form.chosen_of(), **said)
            return self.said(request, gettext("The budget is set."), self.url("change", made.pk))

        title, label = _("New budget"), _("Set the budget")
        return self.form_page(request, form, make, title=title, submit_label=label, cancel_url=self.url("changelist"))

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show a budget and what is left of it."""
        now = standing(thing, timezone.now())
        unpriced = _("Let through") if thing.takes_unpriced else _("Refused")
        facts = [
            (_("State"), _state(now)),
            (_("For"), f"{KINDS[thing.kind]}: {thing.about}"),
            (_("Limit"), f"{fmt_money(thing.limit_usd)} / {thing.get_period_display()}"),
            (_("Spent"), fmt_money(now.spent_usd)),
            (_("Reserved for answers under way"), fmt_money(now.reserved_usd)),
            (_("Left"), fmt_money(now.left_usd)),
            (_("Whole again"), fmt_datetime(now.resets_at)),
            (_("Calls of unknown price"), unpriced),
            (_("Answers of unknown cost"), fmt_int(now.unpriced_answers)),
            (_("Team"), thing.team),
        ]
        named = [(_("Change…"), "edit", ""), (_("Remove…"), "remove", "danger")]
        actions = [{"label": label, "url": self.url(name, thing.pk), "kind": kind} for label, name, kind in named]
        title = _("Budget of %(name)s") % {"name": thing.about}
        return self.page(request, "admin/accounts/facts.html", title=title, facts=facts, actions=actions)

    def edit_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Change a budget's limit."""
        budget = self.found(request, pk)
        actor = self.demand(request, self.write_capability, budget)
        known = {"limit_usd": budget.limit_usd, "takes_unpriced": budget.takes_unpriced}
        form = BudgetForm(sent(request), initial=known)

        def change(filled: dict[str, Any]) -> HttpResponse:
            of = budget.key or budget.prompt or budget.experiment
            budgeting.set_budget(actor, budget.team, of=of, period=budget.period, **filled)
            return self.said(request, gettext("Saved."), self.url("change", budget.pk))

        title, cancel_url = _("Change the budget of %(name)s") % {"name": budget.about}, self.url("change", pk)
        return self.form_page(request, form, change, title=title, submit_label=_("Save"), cancel_url=cancel_url)

    def remove_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Remove a budget."""
        budget = self.found(request, pk)
        actor = self.demand(request, self.write_capability, budget)

        def remove(filled: dict[str, Any]) -> HttpResponse:
            budgeting.remove_budget(actor, budget)
            return self.said(request, gettext("The budget is removed."), self.url("changelist"))

        return self.confirm(
            request,
            remove,
            title=_("Remove the budget of %(name)s") % {"name": budget.about},
            consequences=[
                _("Nothing is refused for it any more."),
                _("What was spent is counted from 0 by a new one."),
            ],
            submit_label=_("Remove the budget"),
            is_danger=True,
            cancel_url=self.url("change", budget.pk),
        )


def _state(now: Standing) -> SafeString:
    if not now.left_usd:
        return badge(_("Used up"), "bad")
    if now.spent_usd * 10 >= now.budget.limit_usd * NEAR:
        return badge(_("Nearly used up"), "warn")
    return badge(_("Enough left"), "ok")
