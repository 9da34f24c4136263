"""Single calls of a prompt as a page and as a file: when, by which version and model, what each took, how it was rated."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from experiments.dashboards.views import for_people
from feedback.dashboards.asking import Page, page_of, places
from feedback.findings import number_of, place_of, shown
from feedback.results import READ
from feedback.usage.asking import Asked
from feedback.usage.calls import Call, calls
from promptlab.accounts.access import Principal
from promptlab.lib.sheets import harmless
from prompts.models import Environment, Prompt, Version

EACH = 50
MOST_ROWS = 10_000
MOST_VERSIONS = 50
"""That can be chosen from, the newest."""
FILE = (
    "ended_at", "id", "version", "environment", "model", "state", "error_code", "latency_ms", "input_tokens",
    "output_tokens", "cost_usd", "up", "down", "request_id",
)  # fmt: skip


class CallsForm(forms.Form):
    """Which version, and before which call; what is wrong counts as not said."""

    version = forms.IntegerField(min_value=1, max_value=2**31 - 1, required=False)
    before = forms.IntegerField(min_value=1, max_value=2**63 - 1, required=False)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A prompt of which single calls are asked for, and which of them."""

    page: Page
    prompt: Prompt
    asked: Asked
    before: int | None

    @property
    def query(self) -> str:
        asked = self.asked
        said = {"days": asked.days, "environment": asked.environment, "version": asked.version or ""}
        return f"?{urlencode({name: value for name, value in said.items() if value})}"


def _wanted(request: HttpRequest, principal: Principal, pk: int) -> Wanted:
    thing: Prompt | None = Prompt.objects.visible_to(principal, READ).filter(pk=pk).first()
    if thing is None:
        raise Http404
    page, form = page_of(request, principal), CallsForm(request.GET)
    form.is_valid()
    version, before = (form.cleaned_data.get(name) for name in ("version", "before"))
    return Wanted(page, thing, replace(page.asked, prompt_id=thing.pk, team_id=None, version=version), before)


@for_people
def table(request: HttpRequest, principal: Principal, pk: int) -> HttpResponse:
    """Single calls of a prompt, fifty at a time."""
    wanted = _wanted(request, principal, pk)
    thing, url = wanted.prompt, reverse("usage:calls", args=[pk])
    found = shown(principal, thing, wanted.asked, number=EACH + 1, before=wanted.before)
    older = f"{url}{wanted.query}&before={found['calls'][EACH - 1]['pk']}" if len(found["calls"]) > EACH else ""
    versions = Version.objects.filter(prompt=thing).order_by("-number").values_list("number", flat=True)
    where = Environment.objects.filter(team=thing.team_id).values_list("name", flat=True)
    return wanted.page.answer(
        "usage/calls.html",
        title=_("Calls of %(prompt)s") % {"prompt": thing.title},
        prompt_title=thing.title,
        prompt_url=reverse("admin:prompts_prompt_change", args=[thing.pk]),
        usage_url=reverse("usage:prompt", args=[pk]) + wanted.page.query,
        csv_url=reverse("usage:calls-csv", args=[pk]) + wanted.query,
        older_url=older,
        newest_url=url + wanted.query if wanted.before else "",
        environments=places(where, wanted.page),
        versions=list(versions[:MOST_VERSIONS]),
        version=wanted.asked.version,
        **{**found, "calls": found["calls"][:EACH]},
    )


@for_people
def sheet(request: HttpRequest, principal: Principal, pk: int) -> HttpResponse:
    """The same as CSV, without texts: the newest 10,000."""
    wanted = _wanted(request, principal, pk)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="calls.csv"'
    response["Cache-Control"] = "no-store"
    writer = csv.writer(response)
    writer.writerow(FILE)
    writer.writerows(_line(one) for one in calls(wanted.asked, number=MOST_ROWS, before=wanted.before))
    return response


def _line(one: Call) -> list[Any]:
    """Return the cells of a row of the file, in the order of `FILE`."""
    answer = one.answer
    assert answer.ended_at is not None
    own = (
        answer.state,
        answer.error_code,
        answer.latency_ms,
        answer.input_tokens,
        answer.output_tokens,
        answer.cost_usd,
    )
    named = (answer.ended_at.isoformat(), answer.uid, number_of(answer), place_of(answer), answer.model)
    said = (one.ups, one.downs, answer.request_id)
    return [harmless("" if cell is None else cell) for cell in (*named, *own, *said)]
