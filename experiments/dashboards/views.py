"""The experiment pages: list, one experiment, the part that refreshes, its inputs, CSV. Input, one read, shape."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.db.models import OuterRef, Prefetch, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from promptlab_sdk.kernel.spec import messages_from

from experiments.dashboards import answers, words
from experiments.dashboards.numbers import numbers
from experiments.models import AnalysisSnapshot, Experiment, Ramp, SharedResults, Variant
from experiments.results import Overview, VariantResult, overview, results
from experiments.services import sharing
from experiments.services.lifecycle import allowed_verbs
from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import acting
from promptlab.audit.models import AuditEntry
from promptlab.lib.sheets import harmless

LOG_ENTRIES = 50
Page = Callable[..., HttpResponse]


def for_people(view: Callable[..., HttpResponse]) -> Page:
    """Let people with a role in, as `principal`; send everybody else to sign in and back."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not admin.site.has_permission(request):
            return redirect_to_login(request.get_full_path(), reverse("admin:login"))
        return view(request, acting(request), *args, **kwargs)

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
    log = _log(experiment)
    context = numbers(experiment, log, answers.waiting_s())
    query = f"?{request.GET.urlencode()}" if request.GET else ""
    is_moving = experiment.is_serving or context["arrival"] is not None
    may_run = principal.may("experiment.run", experiment.team_id)
    return _page(
        request,
        "experiments/detail.html",
        **context,
        actions=_actions(experiment) if may_run else [],
        is_for_publishers=not may_run and bool(allowed_verbs(experiment)),
        ramp_url=reverse("admin:experiments_ramp_change", args=[experiment.ramp_id]) if experiment.ramp_id else "",
        share_url=_share_url(experiment) if may_run else "",
        setup_url=reverse("admin:experiments_experiment_change", args=[experiment.pk]),
        disliked=_disliked(principal, experiment),
        log=[{"when": one.at, "who": one.actor_label, "sentence": words.log_sentence(one)} for one in log],
        texts=[_text(variant) for variant in experiment.variants.all()],
        how_computed=words.how_computed(),
        list_url=reverse("dashboards:experiments"),
        csv_url=reverse("dashboards:experiment-csv", args=[key]) + query,
        inputs_url=reverse("dashboards:experiment-inputs", args=[key]) + query,
        sums_url=reverse("dashboards:experiment-sums", args=[key]) + query,
        fragment_url=reverse("dashboards:experiment-live", args=[key]) + query if is_moving else "",
    )


@for_people
def live(request: HttpRequest, principal: Principal, key: str) -> HttpResponse:
    """The numbers alone, to be put in place of the older ones."""
    experiment = _found(request, principal, key)
    context = numbers(experiment, _log(experiment), answers.waiting_s())
    return render(request, "experiments/_results.html", context)


@require_safe
def shared(request: HttpRequest, token: str) -> HttpResponse:
    """The numbers of one experiment, for whoever has the link while it holds. No texts, no names of people."""
    link: SharedResults | None = sharing.opened(token)
    if link is None:
        answer = render(request, "experiments/shared_over.html", status=404)
    else:
        experiment = _with_parts(Experiment.objects.filter(pk=link.experiment_id)).get()
        context = numbers(experiment, _log(experiment))
        context["experiment"] |= {"owner": "", "prompt_url": ""}
        answer = render(request, "experiments/shared.html", {**context, "ends_at": link.ends_at})
    answer["Cache-Control"] = "no-store"
    answer["Referrer-Policy"] = "no-referrer"
    return answer


@for_people
def export(request: HttpRequest, principal: Principal, key: str) -> HttpResponse:
    """The numbers as CSV: one line per variant, ratios as fractions of 1."""
    experiment = _found(request, principal, key)
    names = tuple(VariantResult.__dataclass_fields__)
    rows = [[getattr(variant, name) for name in names] for variant in results(experiment).variants]
    return _sheet(f"{experiment.key}.csv", names, rows)


@for_people
def inputs(request: HttpRequest, principal: Principal, key: str) -> HttpResponse:
    """The newest analysis with everything it was computed from, as JSON."""
    experiment = _found(request, principal, key)
    kept = _newest(experiment)
    said = {"as_of": kept.as_of.isoformat(), "code_version": kept.code_version, "phase": kept.phase}
    body = json.dumps({**said, "inputs": kept.inputs, "results": kept.results}, ensure_ascii=False, indent=1)
    return _download(f"{experiment.key}-inputs.json", "application/json", body)


@for_people
def sums(request: HttpRequest, principal: Principal, key: str) -> HttpResponse:
    """The sums that the newest analysis was computed from, as CSV: one line per variant."""
    experiment = _found(request, principal, key)
    kept = _newest(experiment).inputs["variants"]
    names = sorted({name for one in kept for name in one["sums"]})
    rows = [[one["key"], one["weight_bp"], *(one["sums"].get(name, 0) for name in names)] for one in kept]
    return _sheet(f"{experiment.key}-sums.csv", ["variant", "weight_bp", *names], rows)


def _page(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    return render(request, template, {**admin.site.each_context(request), **context})


def _download(name: str, content_type: str, body: str = "") -> HttpResponse:
    response = HttpResponse(body, content_type=f"{content_type}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


def _sheet(name: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> HttpResponse:
    response = _download(name, "text/csv")
    writer = csv.writer(response)
    writer.writerow(heads)
    writer.writerows([harmless(cell) for cell in row] for row in rows)
    return response


def _found(request: HttpRequest, principal: Principal, key: str) -> Any:
    """Return the experiment of one's team with this key; `?team=` tells those of several teams apart."""
    rows = Experiment.objects.visible_to(principal, "experiment.read").filter(key=key)
    team = request.GET.get("team", "")
    if team.isdecimal() and int(team) < 2**63:
        rows = rows.filter(team_id=int(team))
    found: Experiment | None = _with_parts(rows).order_by("-id").first()
    if found is None:
        raise Http404
    return found


def _with_parts(rows: Any) -> Any:
    """Return experiments with what their page shows of each: two queries."""
    texts = Prefetch("variants", Variant.objects.select_related("version"))
    ramp = Ramp.objects.order_by().filter(experiment=OuterRef("pk")).values("pk")
    named = rows.select_related("prompt", "environment", "owner").prefetch_related(texts)
    return named.annotate(ramp_id=Subquery(ramp))


def _newest(experiment: Experiment) -> AnalysisSnapshot:
    """Return the newest analysis. Raises Http404 before the first."""
    found: AnalysisSnapshot | None = AnalysisSnapshot.objects.newest_of(experiment.pk, experiment.phase).first()
    if found is None:
        raise Http404
    return found


def _line(one: Overview, principal: Principal) -> dict[str, Any]:
    experiment = one.experiment
    url = reverse("dashboards:experiment", args=[experiment.key])
    said = words.in_short(experiment, one.verdict)
    return {
        "title": experiment.title,
        "key": experiment.key,
        "url": f"{url}?team={experiment.team_id}" if len(principal.grants) > 1 else url,
        "state_label": experiment.get_state_display(),
        "state_kind": words.KINDS[Experiment.State(experiment.state)],
        "prompt": experiment.prompt.title,
        "environment": str(experiment.environment),
        "variants": one.variants,
        "verdict_kind": said[0],
        "verdict": said[1],
        "owner": str(experiment.owner or ""),
        "shown": one.shown,
        "rated": one.rated,
        "started_at": experiment.started_at,
    }


def _actions(experiment: Experiment) -> list[dict[str, str]]:
    """Return what can be done to the experiment now, as links to the pages that ask first and lead back."""
    acts = [
        {
            "label": str(words.LABELS[verb]),
            "url": reverse("admin:experiments_experiment_act", args=[experiment.pk, verb]) + "?from=results",
            "kind": words.LOOKS[verb],
        }
        for verb in allowed_verbs(experiment)
    ]
    if experiment.concluded_at is None and experiment.started_at is not None:
        url = reverse("admin:experiments_experiment_conclude", args=[experiment.pk])
        acts.insert(0, {"label": _("Decide"), "url": url, "kind": "primary"})
    return acts


def _share_url(experiment: Experiment) -> str:
    return f"{reverse('admin:experiments_sharedresults_add')}?experiment={experiment.pk}"


def _disliked(principal: Principal, experiment: Experiment) -> list[dict[str, Any]]:
    """Return the newest answers that somebody did not like, per text, the current one first."""
    found = answers.disliked_of(principal, experiment)
    texts = [(variant, [one for one in found if one.variant_id == variant.pk]) for variant in experiment.variants.all()]
    return [
        {"name": str(variant), "version": variant.version.number, "answers": said} for variant, said in texts if said
    ]


def _log(experiment: Experiment) -> list[AuditEntry]:
    """Return what happened to it, newest first."""
    return list(AuditEntry.objects.about("experiments.experiment", experiment.pk)[:LOG_ENTRIES])


def _text(variant: Variant) -> dict[str, Any]:
    version = variant.version
    parts = [
        f"[{part.placeholder}]" if part.placeholder else f"{part.role}: {part.content}"
        for part in messages_from(version.messages)
    ]
    return {"name": str(variant), "version": version.number, "text": "\n\n".join(parts) or version.text}
