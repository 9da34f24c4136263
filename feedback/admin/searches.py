"""Searches: a prompt evolves against a test suite; what was found, what it is worth, and taking one of the texts."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from feedback.services import evolving
from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseForm, TeamFilter, acting, link, sent
from promptlab.lib.errors import NotFound
from promptlab.lib.formats import DASH, fmt_money, fmt_pct, fmt_range
from prompts.admin.run_pages import WRITE, RunPages
from prompts.models import OptimiserRun, Search, Suggestion, Suite, Version
from prompts.services import optimising, suggesting
from prompts.services.searching import MOST_CALLS, SearchWanted
from prompts.services.suite_runs import USUAL_ENVIRONMENT

ENDED = {
    "perfect": _("All cases that were searched pass."),
    "idle": _("Nothing got better any more."),
    "proposals": _("As many texts were tried as it may."),
    "budget": _("The rest of the budget went into the cases that were held out."),
}


class SearchForm(HouseForm):
    """What to search, and for how much."""

    suite = forms.ModelChoiceField(Suite.objects.none(), label=_("Test suite"), empty_label=None)
    percent = forms.IntegerField(
        label=_("Cases held out, in percent"),
        initial=34,
        min_value=10,
        max_value=90,
        help_text=_("They are not searched. They say what the winner is worth."),
    )
    by = forms.CharField(
        label=_("Model that proposes texts"),
        required=False,
        max_length=100,
        help_text=_("Empty: the one that answers."),
    )
    max_calls = forms.IntegerField(label=_("Calls at most"), initial=400, min_value=1, max_value=MOST_CALLS)
    budget_usd = forms.DecimalField(
        label=_("It may cost at most, in dollars"), min_value=0, max_digits=10, decimal_places=4, initial=1
    )
    with_comments = forms.BooleanField(
        label=_("Tell the model what people said of answers they disliked"),
        required=False,
        initial=True,
        help_text=_("Without addresses, numbers and names of end users."),
    )


class SaveForm(HouseForm):
    """Where the text goes on from here."""

    then = forms.ChoiceField(
        label=_("And then"),
        choices=[
            ("", _("Look at the new version")),
            ("review", _("Ask for a review")),
            ("launch", _("Launch it gradually in Production")),
        ],
        required=False,
        widget=forms.RadioSelect,
        initial="",
    )


@admin.register(Search)
class SearchAdmin(RunPages):
    team_path = "version__prompt__team_id"
    list_title = _("Searches")
    empty_title = _("Nothing was searched yet")
    empty_text = _("Open a version, and have it evolve against a test suite.")
    list_display = ["what", "shown_state", "spent", "at"]
    list_display_links = None
    list_filter = [TeamFilter]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).filter(kind=OptimiserRun.Kind.SEARCH).with_names()

    @admin.display(description=_("Version"))
    def what(self, run: Search) -> SafeString:
        return link(self.url("change", run.pk), run.version)

    @admin.display(description=_("Spent"))
    def spent(self, run: Search) -> str:
        return _of(fmt_money(run.spent_usd), fmt_money(run.budget_usd))

    def own_urls(self) -> list[Any]:
        return [
            self.own("of/<int:version>/", self.begin_page, "begin"),
            *self.run_urls(),
            self.own("<int:pk>/save/<int:suggestion>/", self.save_page, "save"),
        ]

    def begin_page(self, request: HttpRequest, version: int) -> HttpResponse:
        """Choose suite and budget; a POST begins."""
        actor = acting(request)
        one: Version | None = (
            Version.objects.visible_to(actor, WRITE).select_related("prompt").filter(pk=version).first()
        )
        if one is None:
            raise NotFound("There is nothing at this address.")
        form = SearchForm(sent(request))
        form.fields["suite"].queryset = Suite.objects.visible_to(actor).for_prompt(one.prompt)  # type: ignore[attr-defined]

        def begin(filled: dict[str, Any]) -> HttpResponse:
            wanted = SearchWanted(
                one,
                filled["suite"],
                by=filled["by"],
                held_out=filled["percent"] / 100,
                max_calls=filled["max_calls"],
                budget_usd=filled["budget_usd"],
            )
            made = evolving.request_evolution(actor, wanted, with_comments=filled["with_comments"])
            return self.said(request, gettext("The search has begun."), self.url("change", made.pk))

        return self.confirm(
            request,
            begin,
            form=form,
            title=_("Search a better text than %(version)s") % {"version": one},
            consequences=[
                _("A model proposes texts from what failing checks say; the suite says what each is worth."),
                _("Nothing is saved until you take one of the texts."),
            ],
            submit_label=_("Search"),
            cancel_url=reverse("admin:prompts_version_change", args=[one.pk]),
        )

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show how far a search is, what its start is worth, and the texts that were found."""
        found, may_write = thing.found, self.may(request, WRITE, thing)
        facts = [
            (_("Version"), link(reverse("admin:prompts_version_change", args=[thing.version_id]), thing.version)),
            (_("Test suite"), thing.plan["suite"]),
            (_("State"), self.shown_state(thing)),
            (_("Texts proposed"), _of(thing.done, thing.total)),
            (_("Spent"), self.spent(thing)),
            (_("Calls"), _of(thing.calls, thing.max_calls)),
        ]
        if thing.reason:
            facts.insert(3, (_("Why it stopped"), thing.reason))
        if "start" in found:
            facts += [
                (_("How it ended"), ENDED.get(found["ended"], DASH)),
                (_("What the version is worth"), _worth(found["start"])),
            ]
            if found["is_start_best"]:
                facts.append((_("Result"), gettext("Nothing better was found.")))
        rows = list(Suggestion.objects.filter(run=thing.pk).select_related("saved_version"))
        for one in rows:
            one.run = thing
        return self.run_page(
            request,
            "admin/feedback/search.html",
            thing,
            title=gettext("Search from %(version)s") % {"version": thing.version},
            facts=facts,
            actions=self.run_actions(request, thing),
            texts=[
                {
                    "text": suggesting.readable(suggesting.content_from(one)),
                    "worth": _worth(one.facts),
                    "saved": one.saved_version,
                    "save_url": self.url("save", thing.pk, one.pk) if may_write and one.state == "proposed" else "",
                }
                for one in rows
            ],
        )

    def cancel(self, actor: Principal, run: Any) -> None:
        optimising.cancel_improvement(actor, run)

    def go_on(self, actor: Principal, run: Any, budget: Any) -> None:
        optimising.resume_improvement(actor, run, budget_usd=budget)

    def asked_again(self, run: Any) -> Any:
        return _("What got no answer is asked again.")

    def save_page(self, request: HttpRequest, pk: int, suggestion: int) -> HttpResponse:
        """Say what saving means; a POST saves the text as the next version, where review and launches go on from."""
        run = self.found(request, pk)
        actor = self.demand(request, WRITE, run)
        one = Suggestion.objects.filter(run=run.pk, pk=suggestion).select_related("run__version__prompt").first()
        if one is None:
            raise NotFound("There is nothing at this address.")

        form = SaveForm(sent(request))

        def save(filled: dict[str, Any]) -> HttpResponse:
            made = suggesting.accept_suggestion(actor, one)
            told = gettext("It is saved as v%(number)s.") % {"number": made.number}
            return self.said(request, told, _next(filled["then"], made))

        return self.confirm(
            request,
            save,
            form=form,
            title=_("Save this text as the next version"),
            lead=suggesting.readable(suggesting.content_from(one)),
            consequences=[_("Nothing goes live before somebody confirms it on the next page.")],
            submit_label=_("Save the text"),
            cancel_url=self.url("change", run.pk),
        )


def _of(done: int | str, most: int | str) -> str:
    return gettext("%(done)s of %(most)s") % {"done": done, "most": most}


def _next(then: str, version: Version) -> str:
    """Return the page where a text that was saved goes on: it asks before anything happens."""
    if then == "review":
        return reverse("admin:prompts_version_submit", args=[version.pk])
    if then == "launch":
        asked = urlencode({"prompt": version.prompt_id, "environment": USUAL_ENVIRONMENT})
        return f"{reverse('admin:experiments_ramp_add')}?{asked}"
    return reverse("admin:prompts_version_change", args=[version.pk])


def _worth(facts: dict[str, Any]) -> str:
    told = {"passed": facts["passed"], "of": facts["of"], "score": fmt_pct(facts["score"])}
    searched = gettext("searched: %(passed)s of %(of)s pass, %(score)s of the checks") % told
    if "held_out_of" not in facts:
        return f"{searched}; {DASH}"
    told = {
        "passed": facts["held_out_passed"],
        "of": facts["held_out_of"],
        "range": fmt_range(facts["low"], facts["high"]),
    }
    return f"{gettext('held out: %(passed)s of %(of)s pass (likely %(range)s)') % told}; {searched}"
