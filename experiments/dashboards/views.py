"""The experiment pages: list, one experiment, the part that refreshes, CSV. Input, one read, shape."""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe
from promptlab_sdk.kernel.spec import messages_from

from experiments.dashboards import words
from experiments.models import Experiment, Variant
from experiments.results import ExperimentResults, Overview, Status, VariantResult, overview, results
from experiments.services.lifecycle import allowed_verbs
from promptlab.accounts.access import Principal
from promptlab.accounts.auth import principal_of_user
from promptlab.accounts.models import User
from promptlab.audit.models import AuditEntry
from promptlab.lib.charts import Interval, interval, split
from promptlab.lib.sheets import harmless

LOG_ENTRIES = 50
Page = Callable[..., HttpResponse]


def for_people(view: Callable[..., HttpResponse]) -> Page:
    """Let people with a role in, as `principal`; send everybody else to sign in and back."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not admin.site.has_permission(request):
            return redirect_to_login(request.get_full_path(), reverse("admin:login"))
        assert isinstance(request.user, User)
        return view(request, principal_of_user(request.user), *args, **kwargs)

    return require_safe(guarded)


def home(request: HttpRequest) -> HttpResponse:
    """`/dashboards/` leads to the list."""
    return redirect("dashboards:experiments")


@for_people
def experiment_list(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Every experiment of one's teams, newest first."""
    lines = [_line(one, principal) for one in overview(principal)]
    return _page(
        request,
        "experiments/list.html",
        experiments=lines,
        is_filtered=False,
        can_write=principal.may_anywhere("experiment.write"),
        new_url=reverse("admin:experiments_experiment_add"),
    )


@for_people
def detail(request: HttpRequest, principal: Principal, key: str) -> HttpResponse:
    """One experiment: where it stands, its numbers, its texts, what happened."""
    experiment = _found(request, principal, key)
    query = f"?{request.GET.urlencode()}" if request.GET else ""
    return _page(
        request,
        "experiments/detail.html",
        **_numbers(experiment),
        actions=_actions(experiment, principal),
        log=_log(experiment),
        texts=[_text(variant) for variant in experiment.variants.all()],
        how_computed=words.how_computed(),
        list_url=reverse("dashboards:experiments"),
        csv_url=reverse("dashboards:experiment-csv", args=[key]) + query,
        fragment_url=reverse("dashboards:experiment-live", args=[key]) + query if experiment.is_serving else "",
    )


@for_people
def live(request: HttpRequest, principal: Principal, key: str) -> HttpResponse:
    """The numbers alone, to be put in place of the older ones."""
    return render(request, "experiments/_results.html", _numbers(_found(request, principal, key)))


@for_people
def export(request: HttpRequest, principal: Principal, key: str) -> HttpResponse:
    """The numbers as CSV: one line per variant, ratios as fractions of 1."""
    experiment = _found(request, principal, key)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{experiment.key}.csv"'
    response["Cache-Control"] = "no-store"
    writer = csv.writer(response)
    writer.writerow(VariantResult.__dataclass_fields__)
    for variant in results(experiment).variants:
        writer.writerow(harmless(getattr(variant, name)) for name in VariantResult.__dataclass_fields__)
    return response


def _page(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    return render(request, template, {**admin.site.each_context(request), **context})


def _found(request: HttpRequest, principal: Principal, key: str) -> Experiment:
    """Return the experiment of one's team with this key; `?team=` tells those of several teams apart."""
    rows = Experiment.objects.visible_to(principal, "experiment.read").with_names().filter(key=key)
    team = request.GET.get("team", "")
    if team.isdecimal() and int(team) < 2**63:
        rows = rows.filter(team_id=int(team))
    found: Experiment | None = rows.order_by("-id").first()
    if found is None:
        raise Http404
    return found


def _line(one: Overview, principal: Principal) -> dict[str, Any]:
    experiment = one.experiment
    url = reverse("dashboards:experiment", args=[experiment.key])
    return {
        "title": experiment.title,
        "key": experiment.key,
        "url": f"{url}?team={experiment.team_id}" if len(principal.grants) > 1 else url,
        "state_label": experiment.get_state_display(),
        "state_kind": words.KINDS[Experiment.State(experiment.state)],
        "prompt": experiment.prompt.title,
        "environment": str(experiment.environment),
        "variants": one.variants,
        "shown": one.shown,
        "rated": one.rated,
        "started_at": experiment.started_at,
    }


def _numbers(experiment: Experiment) -> dict[str, Any]:
    """Return what `_results.html` shows, and the facts above it."""
    found = results(experiment)
    named = _named(found)
    rates = [Interval(name, one.approval, one.low, one.high) for name, one in named.items()]
    return {
        "experiment": _facts(experiment, found),
        "status_sentence": words.status_sentence(found, experiment.end_note),
        "is_too_early": found.status == Status.TOO_EARLY,
        "updated_at": found.updated_at,
        "rows": [_row(variant) for variant in found.variants],
        "approval_chart": interval(rates),
        "split_chart": split(
            {name: one.share_bp / 10_000 for name, one in named.items()},
            {name: one.shown for name, one in named.items()},
        ),
    }


def _named(found: ExperimentResults) -> dict[str, VariantResult]:
    """Return the variants by what charts call them: their names, or their keys when two have the same name."""
    by_name = {variant.name: variant for variant in found.variants}
    if len(by_name) == len(found.variants):
        return by_name
    return {variant.key: variant for variant in found.variants}


def _facts(experiment: Experiment, found: ExperimentResults) -> dict[str, Any]:
    return {
        "title": experiment.title,
        "key": experiment.key,
        "state_label": experiment.get_state_display(),
        "state_kind": words.KINDS[Experiment.State(experiment.state)],
        "prompt_name": experiment.prompt.title,
        "prompt_url": reverse("admin:prompts_prompt_change", args=[experiment.prompt_id]),
        "environment": str(experiment.environment),
        "hypothesis": experiment.hypothesis,
        "started_at": found.started_at,
        "ended_at": found.ended_at,
        "days": found.days,
        "owner": str(experiment.owner) if experiment.owner else "",
    }


def _row(variant: VariantResult) -> dict[str, Any]:
    return {
        "name": variant.name,
        "key": variant.key,
        "version": variant.version,
        "is_control": variant.is_control,
        "share": variant.share_bp / 10_000,
        "units": variant.units,
        "shown": variant.shown,
        "errors": variant.errors,
        "rated": variant.ratings,
        "up": variant.ups,
        "down": variant.downs,
        "approval": words.percent(variant.approval),
        "low": words.percent(variant.low) if variant.low is not None else "",
        "high": words.percent(variant.high) if variant.high is not None else "",
        "coverage": variant.coverage,
    }


def _actions(experiment: Experiment, principal: Principal) -> list[dict[str, str]]:
    """Return what this person may do to the experiment now, as links to the pages that ask first."""
    if not principal.may("experiment.run", experiment.team_id):
        return []
    return [
        {
            "label": str(words.LABELS[verb]),
            "url": reverse("admin:experiments_experiment_act", args=[experiment.pk, verb]),
            "kind": words.LOOKS[verb],
        }
        for verb in allowed_verbs(experiment)
    ]


def _log(experiment: Experiment) -> list[dict[str, Any]]:
    entries = AuditEntry.objects.about("experiments.experiment", experiment.pk)[:LOG_ENTRIES]
    return [{"when": one.at, "who": one.actor_label, "sentence": words.log_sentence(one)} for one in entries]


def _text(variant: Variant) -> dict[str, Any]:
    version = variant.version
    parts = [
        f"[{part.placeholder}]" if part.placeholder else f"{part.role}: {part.content}"
        for part in messages_from(version.messages)
    ]
    return {"name": str(variant), "version": version.number, "text": "\n\n".join(parts) or version.text}
