"""What `_results.html` shows, from the counts of this moment and the analysis that a worker kept. Computes no statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, ngettext
from django.utils.translation import gettext as _

from experiments import findings
from experiments.arriving import Arrival, arrival
from experiments.dashboards import drawings, trust, words
from experiments.models import Experiment
from experiments.results import ExperimentResults, VariantResult, history, results
from experiments.stats.verdict import Verdict
from promptlab.audit.models import AuditEntry
from promptlab.lib.formats import fmt_chance, fmt_int, fmt_money, fmt_ms, fmt_pct, fmt_points, fmt_range

ALPHA = 0.05
PROVEN = gettext_lazy(
    "%(name)s at the planned end (%(ratings)s ratings): %(metric)s, a difference is proven (p = %(p)s)."
)
UNPROVEN = gettext_lazy(
    "%(name)s at the planned end (%(ratings)s ratings): %(metric)s, no difference is proven (p = %(p)s)."
)
SERVES = ("experiment.start", "experiment.pause", "experiment.resume", "experiment.stop", "experiment.kill")
"""What changes who gets which text, and tells of which revision."""


def numbers(experiment: Experiment, log: Sequence[AuditEntry], waiting_s: float = 0.0) -> dict[str, Any]:
    """Return the context of `_results.html`: four queries, one more while a change is on its way to applications."""
    found = results(experiment)
    named = by_name(found)
    return {
        "experiment": facts(experiment, found),
        "standing": words.standing(found, experiment),
        "arrival": last_change(experiment, log),
        "updated_at": found.updated_at,
        "as_of": found.analysis.as_of if found.analysis else None,
        "checks": (checks := trust.checks(found, waiting_s)),
        "trusted": trust.summary(checks),
        "doubt": words.doubt(found),
        "rows": [_row(variant) for variant in found.variants],
        "method_url": reverse("dashboards:method"),
        "most": fmt_pct(0.95, 0),
        "approval_chart": drawings.approval(named),
        "split_chart": drawings.people(named),
        **_analysed(experiment, found, named, log),
    }


def _analysed(
    experiment: Experiment, found: ExperimentResults, named: drawings.Named, log: Sequence[AuditEntry]
) -> dict[str, Any]:
    """Return what comes from the stored analysis; nothing before the first one."""
    kept = found.kept
    if kept is None:
        return {}
    names = {one.key: name for name, one in named.items()}
    guarded = kept["guardrails"] if kept["verdict"] != Verdict.DO_NOT_TRUST else []
    shown = {
        "progress": _progress(kept["plan"], can_be_trusted=kept["verdict"] != Verdict.DO_NOT_TRUST),
        "guards": [findings.shown(one, names.get(one["treatment"], one["treatment"])) for one in guarded],
        "waits_chart": drawings.waits(named, kept["variants"]),
    }
    if not is_compared(kept["verdict"]):
        return {**shown, "is_uncompared": True}
    return {
        **shown,
        "comparison": [_compared(name, one, kept) for name, one in named.items() if one.key in kept["variants"]],
        "changes_chart": drawings.changes(named, kept["changes"]),
        "days_chart": drawings.over_time(named, history(experiment), log),
        "at_end": _at_end(kept["at_end"], names),
    }


def is_compared(verdict: str) -> bool:
    """Whether changes and chances are shown: not while it is too early, nor where the numbers cannot be trusted."""
    return verdict == Verdict.ENDED or verdict in words.SPOKEN_OF


def by_name(found: ExperimentResults) -> dict[str, VariantResult]:
    """Return the variants by what charts call them: their names, or their keys when two have the same name."""
    by_name = {variant.name: variant for variant in found.variants}
    if len(by_name) == len(found.variants):
        return by_name
    return {variant.key: variant for variant in found.variants}


def last_change(experiment: Experiment, log: Sequence[AuditEntry]) -> Arrival | None:
    """Return how far the last change of who gets which text has come, for some minutes: one query then."""
    last = next((one for one in log if one.verb in SERVES and "revision" in one.after), None)
    return arrival(experiment.environment, last.after["revision"], last.at) if last else None


def facts(experiment: Experiment, found: ExperimentResults) -> dict[str, Any]:
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
        "phase": found.phase,
        "owner": str(experiment.owner) if experiment.owner else "",
    }


def _row(variant: VariantResult) -> dict[str, Any]:
    return {
        "name": variant.name,
        "key": variant.key,
        "version": variant.version,
        "is_control": variant.is_control,
        "is_named_so": variant.name == gettext("Current text"),
        "share": variant.share_bp / 10_000,
        "units": variant.units,
        "shown": variant.shown,
        "errors": variant.errors,
        "rated": variant.ratings,
        "up": variant.ups,
        "down": variant.downs,
        "approval": fmt_pct(variant.approval),
        "span": fmt_range(variant.low, variant.high),
        "coverage": variant.coverage,
    }


def _progress(plan: Mapping[str, Any], *, can_be_trusted: bool) -> dict[str, Any]:
    """Return how far it is: ratings of those planned, the days left, and what so many ratings can show."""
    planned, there = plan["planned_ratings"], plan["ratings"]
    said = []
    if planned:
        said.append(_("%(there)s of %(planned)s ratings.") % {"there": fmt_int(there), "planned": fmt_int(planned)})
    else:
        said.append(_("%(there)s ratings. No number was planned.") % {"there": fmt_int(there)})
    if plan["days_to_end"]:
        days = plan["days_to_end"]
        left = ngettext("%(days)s more day at this pace.", "%(days)s more days at this pace.", days)
        said.append(left % {"days": fmt_int(days)})
    if plan["unknown_until"]:
        said.append(_("How long it takes is known after a day and 100 ratings."))
    if plan["shows_now"] is not None and can_be_trusted:
        said.append(
            _("A fall of %(points)s would be seen by now.") % {"points": fmt_points(plan["shows_now"]).lstrip("+")}
        )
    if plan["shows_at_end"] is not None and can_be_trusted and there < planned:
        said.append(_("At the end: %(points)s.") % {"points": fmt_points(plan["shows_at_end"]).lstrip("+")})
    return {"planned": planned, "there": min(there, planned) if planned else there, "words": " ".join(said)}


def _compared(name: str, variant: VariantResult, kept: Mapping[str, Any]) -> dict[str, str | bool]:
    own, change = kept["variants"][variant.key], kept["changes"].get(variant.key, {})
    span = change.get("range") or (None, None)
    cost = own["cost_per_request"]
    return {
        "name": name,
        "is_control": variant.is_control,
        "change": fmt_points(change.get("change")),
        "span": fmt_range(*span, unit="points"),
        "chance_to_win": fmt_chance(change.get("chance_to_win")),
        "chance_to_be_best": fmt_chance(own["chance_to_be_best"]),
        "half": fmt_ms(own["wait_ms"]["p50"]),
        "most": fmt_ms(own["wait_ms"]["p95"]),
        "cost": fmt_money(None if cost is None else 1000 * cost),
        "downs": fmt_int(own["downs_per_1000"]),
        "errors": fmt_pct(own["error_rate"]),
    }


def _at_end(found: Mapping[str, Any] | None, names: Mapping[str, str]) -> list[str]:
    """Return what the test at the planned end said of what decides, one sentence per text."""
    if found is None:
        return []
    return [
        (PROVEN if one["adjusted_p_value"] < ALPHA else UNPROVEN)
        % {
            "name": names.get(one["variant"], one["variant"]),
            "ratings": fmt_int(found["ratings"]),
            "metric": Experiment.Metric(one["metric"]).label,
            "p": f"{one['adjusted_p_value']:.3f}",
        }
        for one in found["primary"]
    ]
