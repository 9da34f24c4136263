"""The analysis of an experiment: from its sums to a verdict, kept with everything it was computed from.

Workers run it; pages and the API read what was kept and compute nothing. What the numbers mean: docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, Sum
from django.utils import timezone

from experiments.models import AnalysisSnapshot, Experiment, HourRollup, Variant
from experiments.querysets import SERVING
from experiments.services import guardrails
from experiments.services.guardrails import Metric
from experiments.stats import comparison, health, power, sequential, skewed
from experiments.stats.moments import Moments, design_effect, effective_events, spread
from experiments.stats.verdict import Facts, Rival, Said, Verdict, verdict
from promptlab.lib.logs import get_logger

log = get_logger(__name__)
ANALYSE_TASK = "experiments.analyse"
CODE_VERSION = "1"
"""Grows whenever the same inputs would give other results."""
PLANNED = 1000
"""Ratings at which ranges are tightest where nobody planned a number: narrow ones early, little lost late."""
ALPHA = 0.05
LATE = timedelta(hours=72)
"""So long after the end ratings still count."""
DAY = timedelta(days=1)
FAILING = 0.5
LEAST_REQUESTS = 20
"""From so many requests of a text, half of them failed, numbers say more about errors than about texts."""

MOMENTS = {
    "approval": ("raters", "unit_ratings", "unit_ups", "ratings_sq", "ups_sq", "ratings_ups", None),
    "errors": ("users", "unit_requests", "unit_errors", "requests_sq", "errors_sq", "requests_errors", None),
    "rating_rate": (
        "users", "unit_requests", "unit_ratings", "requests_sq", "ratings_sq", "requests_ratings", "unit_ratings",
    ),
    "latency": ("waiters", "waits", "ln_ms", "waits_sq", "ln_ms_sq", "waits_ln_ms", "ln_ms_events"),
    "cost": ("payers", "priced", "unit_cost", "priced_sq", "cost_sq", "priced_cost", "cost_events"),
}  # fmt: skip
"""Metric -> the columns of its units, events, total, Σn², Σs², Σns and Σx²."""
COLUMNS = sorted({name for names in MOMENTS.values() for name in names if name} | {"units", "shown", "multiple_units"})

Json = dict[str, Any]


def analyse_all(now: datetime | None = None) -> int:
    """Analyse every experiment that runs or has just ended, and return how many snapshots that made."""
    now = now or timezone.now()
    wanted = Experiment.objects.filter(Q(state__in=SERVING) | Q(ended_at__gt=now - LATE), started_at__isnull=False)
    return sum(analyse(experiment, now) is not None for experiment in wanted.order_by("pk"))


def analyse(experiment: Experiment, now: datetime) -> AnalysisSnapshot | None:
    """Keep what may be said of the experiment's phase now; None where that is what was said last, of the same sums.

    Four queries, one more to keep it. At least one snapshot is kept a day, for the daily count.
    """
    snapshots = AnalysisSnapshot.objects.newest_of(experiment.pk, experiment.phase)
    last: AnalysisSnapshot | None = snapshots.first()
    yesterday: AnalysisSnapshot | None = snapshots.filter(as_of__lte=now - DAY).first()
    inputs = _inputs(experiment, now, last, yesterday)
    results = computed(inputs)
    said = Said(Verdict(results["verdict"]), results["about"])
    if last and last.as_of > now - DAY and last.inputs["variants"] == inputs["variants"] and _said(last) == said:
        return None
    log.info("experiment_analysed", experiment=experiment.pk, phase=experiment.phase, verdict=said.verdict.value)
    return AnalysisSnapshot.objects.create(
        experiment=experiment,
        phase=experiment.phase,
        as_of=now,
        verdict=said.verdict,
        inputs=inputs,
        results=results,
        code_version=CODE_VERSION,
    )


def _said(snapshot: AnalysisSnapshot) -> Said:
    return Said(Verdict(snapshot.results["verdict"]), snapshot.results["about"])


def _inputs(
    experiment: Experiment, now: datetime, last: AnalysisSnapshot | None, yesterday: AnalysisSnapshot | None
) -> Json:
    """Return everything the results follow from, as JSON keeps it."""
    until = min(now, experiment.ended_at) if experiment.ended_at else now
    return {
        "ran_for_s": (until - experiment.started_at).total_seconds() if experiment.started_at else None,
        "is_ended": experiment.ended_at is not None,
        "planned": PLANNED,
        "said_before": asdict(_said(last)) if last else asdict(Said(Verdict.NOT_STARTED)),
        "led_yesterday": yesterday.results["leaders"] if yesterday else [],
        "variants": phase_sums(experiment),
    }


def phase_sums(experiment: Experiment) -> list[Json]:
    """Return the variants with their sums over the phase, the control first: two queries."""
    sums = _sums(experiment)
    return [_variant(one, sums.get(one.pk, {})) for one in experiment.variants.all()]


def _sums(experiment: Experiment) -> Mapping[int, Mapping[str, Any]]:
    """Return the sums of the phase by variant id: one query."""
    cells = HourRollup.objects.filter(experiment=experiment, phase=experiment.phase, variant__isnull=False)
    totals = {f"all_{name}": Sum(name) for name in COLUMNS}
    return {row["variant_id"]: row for row in cells.values("variant_id").order_by().annotate(**totals)}


def _variant(variant: Variant, sums: Mapping[str, Any]) -> Json:
    """Return one variant and its sums. Counts are integers also where the database adds them up as decimals."""
    added = {name: sums.get(f"all_{name}") or 0 for name in COLUMNS}
    counts = {name: much if isinstance(much, float) else int(much) for name, much in added.items()}
    return {"key": variant.key, "is_control": variant.is_control, "weight_bp": variant.weight_bp, "sums": counts}


def computed(inputs: Json) -> Json:
    """Return the results that follow from `inputs`: the same ones at any time. Rates are shares of 1, costs USD."""
    control = next(one for one in inputs["variants"] if one["is_control"])
    treatments = [one for one in inputs["variants"] if not one["is_control"]]
    found = guardrails.decide(arm(control), {one["key"]: arm(one) for one in treatments})
    broken = {one.treatment for one in found.harms}
    compared = {one["key"]: _compared(control, one, inputs, len(treatments)) for one in treatments}
    rivals = tuple(
        Rival(
            key, one["range"][0], one["range"][1], one["chance_to_win"], key in broken, key in inputs["led_yesterday"]
        )
        for key, one in compared.items()
        if one["range"] is not None
    )
    found_split = split(inputs["variants"])
    said = verdict(_facts(inputs, rivals, found_split), _before(inputs))
    return {
        "verdict": said.verdict.value,
        "about": said.about,
        "leaders": [one.key for one in rivals if one.leads],
        "split": {"p_value": found_split.p_value, "is_wrong": found_split.is_wrong},
        "multiple_share": multiple_share(inputs["variants"]),
        "variants": _shown(inputs["variants"]),
        "changes": compared,
        "guardrails": [{**asdict(one), "upper": finite(one.upper)} for one in found.findings],
        "days_to_decision": _days(inputs, control),
    }


def moments(variant: Json, metric: str) -> Moments:
    """Return the moments of one metric of one variant's sums."""
    sums = variant["sums"]
    return Moments(*(None if name is None else sums[name] for name in MOMENTS[metric]))  # type: ignore[arg-type]


def arm(variant: Json) -> guardrails.Arm:
    """Return what is guarded. Success is what is left of requests when errors are taken away."""
    errors = moments(variant, "errors")
    success = Moments(
        units=errors.units,
        events=errors.events,
        total=errors.events - errors.total,
        events_sq=errors.events_sq,
        total_sq=errors.events_sq - 2 * errors.events_total + errors.total_sq,
        events_total=errors.events_sq - errors.events_total,
    )
    return {
        Metric.APPROVAL: moments(variant, "approval"),
        Metric.SUCCESS: success,
        Metric.LATENCY: moments(variant, "latency"),
    }


def _facts(inputs: Json, rivals: tuple[Rival, ...], split: health.Split) -> Facts:
    variants = inputs["variants"]
    ran_for = inputs["ran_for_s"]
    return Facts(
        ran_for=None if ran_for is None else timedelta(seconds=ran_for),
        shown=sum(one["sums"]["shown"] for one in variants),
        fewest_ratings=_fewest(variants),
        rivals=rivals,
        is_ended=inputs["is_ended"],
        is_split_wrong=split.is_wrong,
        has_errors_in_one_text=any(_is_failing(one["sums"]) for one in variants),
    )


def _before(inputs: Json) -> Said:
    before = inputs["said_before"]
    return Said(Verdict(before["verdict"]), before["about"])


def _fewest(variants: list[Json]) -> int:
    return min(one["sums"]["unit_ratings"] for one in variants)


def _is_failing(sums: Json) -> bool:
    return sums["unit_requests"] >= LEAST_REQUESTS and sums["unit_errors"] >= FAILING * sums["unit_requests"]


def split(variants: list[Json]) -> health.Split:
    """Return how units were split over the variants."""
    units = {one["key"]: one["sums"]["units"] for one in variants}
    return health.sample_ratio(units, {one["key"]: one["weight_bp"] for one in variants})


def multiple_share(variants: list[Json]) -> float:
    """Return which share of units met more than one text."""
    units = sum(one["sums"]["units"] for one in variants)
    return sum(one["sums"]["multiple_units"] for one in variants) / units if units else 0.0


def _shown(variants: list[Json]) -> Json:
    """Return each variant's own numbers by key; None while there is nothing to divide by."""
    found = {one["key"]: {name: moments(one, name) for name in MOMENTS} for one in variants}
    best = _chances({key: one["approval"] for key, one in found.items()})
    return {
        key: {
            "raters": one["approval"].units,
            "ratings": one["approval"].events,
            "approval": _mean(one["approval"]),
            "chance_to_be_best": best.get(key),
            "error_rate": _mean(one["errors"]),
            "rating_rate": _mean(one["rating_rate"]),
            "ln_latency": _mean(one["latency"]),
            "cost_per_request": _mean(one["cost"]),
        }
        for key, one in found.items()
    }


def _chances(approvals: Mapping[str, Moments]) -> Mapping[str, float]:
    if not all(one.events for one in approvals.values()):
        return {}
    return dict(zip(approvals, comparison.chances_to_be_best(list(approvals.values())), strict=True))


def _mean(of: Moments) -> float | None:
    return of.mean if of.events else None


def _compared(control: Json, treatment: Json, inputs: Json, treatments: int) -> Json:
    """Return one treatment against the control: change of approval with its always-valid range, and the rest.

    Ranges hold for all treatments together: each at 1 - 0.05 / treatments (Bonferroni).
    """
    base, other = moments(control, "approval"), moments(treatment, "approval")
    level = ALPHA / treatments
    has_both = bool(base.events and other.events)
    return {
        "change": sequential.difference(base, other) if has_both else None,
        "range": list(sequential.interval(base, other, inputs["planned"], level)) if has_both else None,
        "small_range": list(_newcombe(base, other)) if has_both else None,
        "chance_to_win": comparison.chance_to_win(base, other) if has_both else None,
        "rating_rate": rating_rate(control, treatment),
        "latency_ratio": _latency_ratio(control, treatment, level),
        "cost_range": _cost_range(control, treatment, level),
    }


def _newcombe(base: Moments, other: Moments) -> tuple[float, float]:
    return comparison.newcombe((int(base.total), base.events), (int(other.total), other.events))


def rating_rate(control: Json, treatment: Json) -> Json | None:
    """Return how often both are rated; None with too little."""
    found = health.rating_rate(moments(control, "rating_rate"), moments(treatment, "rating_rate"))
    return asdict(found) if found else None


def _latency_ratio(control: Json, treatment: Json, level: float) -> list[float] | None:
    base, other = moments(control, "latency"), moments(treatment, "latency")
    if not _can_vary(base, other):
        return None
    return list(skewed.latency_ratio(base, other, guardrails.LATENCY.planned, level))


def _cost_range(control: Json, treatment: Json, level: float) -> list[float] | None:
    """Return the range of the change of cost per request, in USD."""
    base, other = moments(control, "cost"), moments(treatment, "cost")
    return list(sequential.interval(base, other, guardrails.LATENCY.planned, level)) if _can_vary(base, other) else None


def _can_vary(base: Moments, other: Moments) -> bool:
    """Whether both have enough single events for a range, and these are not all alike."""
    is_enough = min(base.events, other.events) >= guardrails.LATENCY.least_events
    return is_enough and effective_events(spread(base), spread(other)) > 0


def _days(inputs: Json, control: Json) -> int | None:
    """Return in how many days a change of 5 points could be shown; None while that is unknown."""
    base = moments(control, "approval")
    if not base.events or inputs["ran_for_s"] is None or base.mean <= guardrails.APPROVAL.margin:
        return None
    needed = power.ratings_per_variant(base.mean, -guardrails.APPROVAL.margin, design_effect=design_effect(base))
    variants = inputs["variants"]
    return power.days_to_decision(
        round(needed * power.ALWAYS_VALID),
        len(variants),
        sum(one["sums"]["unit_ratings"] for one in variants),
        timedelta(seconds=inputs["ran_for_s"]),
        already=_fewest(variants),
    )


def finite(number: float) -> float | None:
    """Return a number that JSON can hold."""
    return number if abs(number) < float("inf") else None
