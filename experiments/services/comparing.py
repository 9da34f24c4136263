"""One variant beside the control, now and at the planned end, and how long that takes. Pure: sums in, JSON out.

What the numbers mean: docs/statistics.md.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from experiments.services import guardrails
from experiments.services.guardrails import Metric
from experiments.services.measures import MOMENTS, arm, fewest_ratings, moments, rating_rate, ratings
from experiments.stats import comparison, multiplicity, power, sequential, skewed
from experiments.stats.histogram import quantile_ms
from experiments.stats.moments import Moments, design_effect, effective_events, spread

ALPHA = 0.05
METRICS = ("approval", "success", "latency", "format", "cost")
"""What is compared at the planned end: one of them decides, the others explore."""
LEAST_UNITS = 20
Json = dict[str, Any]


def shown(variants: list[Json]) -> Json:
    """Return each variant's own numbers by key; None while there is nothing to divide by."""
    found = {one["key"]: {name: moments(one, name) for name in MOMENTS} for one in variants}
    waits = {one["key"]: one.get("wait_counts", {}) for one in variants}
    best = _chances({key: one["approval"] for key, one in found.items()})
    return {
        key: {
            "raters": one["approval"].units,
            "ratings": one["approval"].events,
            "approval": _mean(one["approval"]),
            "chance_to_be_best": best.get(key),
            "downs_per_1000": _downs_per_1000(one["rating_rate"], one["approval"]),
            "error_rate": _mean(one["errors"]),
            "misfit_rate": _mean(one["format"]),
            "rating_rate": _mean(one["rating_rate"]),
            "ln_latency": _mean(one["latency"]),
            "wait_ms": {f"p{share}": quantile_ms(waits[key], share / 100) for share in (50, 95, 99)},
            "cost_per_request": _mean(one["cost"]),
            "cost_per_unit": one["cost"].total / one["cost"].units if one["cost"].units else None,
        }
        for key, one in found.items()
    }


def _chances(approvals: dict[str, Moments]) -> dict[str, float]:
    if not all(one.events for one in approvals.values()):
        return {}
    return dict(zip(approvals, comparison.chances_to_be_best(list(approvals.values())), strict=True))


def _mean(of: Moments) -> float | None:
    return of.mean if of.events else None


def _downs_per_1000(requests: Moments, approval: Moments) -> float | None:
    return 1000 * (approval.events - approval.total) / requests.events if requests.events else None


def compared(control: Json, treatment: Json, inputs: Json, treatments: int) -> Json:
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
        "cost_range": _cost_range(control, treatment, inputs, level),
    }


def _newcombe(base: Moments, other: Moments) -> tuple[float, float]:
    return comparison.newcombe((int(base.total), base.events), (int(other.total), other.events))


def _latency_ratio(control: Json, treatment: Json, level: float) -> list[float] | None:
    base, other = moments(control, "latency"), moments(treatment, "latency")
    if not _can_vary(base, other):
        return None
    return list(skewed.latency_ratio(base, other, guardrails.LATENCY.planned, level))


def _cost_range(control: Json, treatment: Json, inputs: Json, level: float) -> list[float] | None:
    """Return the range of the change of cost per request, in USD, with the dearest units held down."""
    base, other = (_costs(one, inputs) for one in (control, treatment))
    return list(sequential.interval(base, other, guardrails.LATENCY.planned, level)) if _can_vary(base, other) else None


def _costs(variant: Json, inputs: Json) -> Moments:
    held_down = inputs.get("costs", {}).get("moments", {})
    return Moments(**held_down[variant["key"]]) if variant["key"] in held_down else moments(variant, "cost")


def _can_vary(base: Moments, other: Moments) -> bool:
    """Whether both have enough single events for a range, and these are not all alike."""
    is_enough = min(base.events, other.events) >= guardrails.LATENCY.least_events
    return is_enough and effective_events(spread(base), spread(other)) > 0


def at_end(control: Json, treatments: list[Json], inputs: Json) -> Json:
    """Return the tests that are valid once, at the size that was planned: clustered t tests of each treatment and metric.

    `primary`: the metric that decides, adjusted after Holm over all treatments. `secondary`: the others, after Benjamini
    and Hochberg over all of them; they explore and decide nothing.
    """
    deciding = inputs.get("primary_metric", "approval")
    tests = [
        {"variant": one["key"], "metric": metric, **found}
        for metric in METRICS
        for one in treatments
        if (found := _tested(_of_metric(control, metric, inputs), _of_metric(one, metric, inputs))) is not None
    ]
    primary = [one for one in tests if one["metric"] == deciding]
    secondary = [one for one in tests if one["metric"] != deciding]
    return {
        "ratings": ratings([control, *treatments]),
        "primary": _adjusted(primary, multiplicity.holm([one["p_value"] for one in primary])),
        "secondary": _adjusted(secondary, multiplicity.benjamini_hochberg([one["p_value"] for one in secondary])),
    }


def _of_metric(variant: Json, metric: str, inputs: Json) -> Moments:
    return _costs(variant, inputs) if metric == "cost" else arm(variant)[Metric(metric)]


def _tested(base: Moments, other: Moments) -> Json | None:
    if not (base.events and other.events) or min(base.units, other.units) < LEAST_UNITS:
        return None
    found = comparison.fixed_horizon(base, other, ALPHA)
    return {"change": found.change, "range": [found.low, found.high], "p_value": found.p_value}


def _adjusted(tests: list[Json], p_values: tuple[float, ...]) -> list[Json]:
    return [{**one, "adjusted_p_value": p_value} for one, p_value in zip(tests, p_values, strict=True)]


def plan(control: Json, inputs: Json) -> Json:
    """Return how far it is and how long it takes: all of it None where it is unknown.

    `unknown_until`: the hours and ratings that are lacking before traffic says anything about the days to come.
    """
    variants, base = inputs["variants"], moments(control, "approval")
    watched, there = timedelta(seconds=inputs["ran_for_s"] or 0), ratings(variants)
    planned = inputs.get("planned_ratings")
    lacking = power.baseline_lacking(there, watched)
    effect = design_effect(base) if base.events else 1.0
    is_known = lacking is None and guardrails.APPROVAL.margin < (_mean(base) or 0) < 1
    each = planned / len(variants) if planned else None
    return {
        "planned_ratings": planned,
        "ratings": there,
        "is_reached": is_reached(inputs),
        "ratings_per_day": power.ratings_per_day(there, watched) if lacking is None else None,
        "days_to_end": power.days_left(planned, there, watched) if planned else None,
        "unknown_until": None if lacking is None else {"hours": lacking[0], "ratings": lacking[1]},
        "shows_now": _shows(base, fewest_ratings(variants), effect) if is_known else None,
        "shows_at_end": _shows(base, each, effect) if is_known and each else None,
        "power_at_end": _power(base, each, effect) if is_known and each else None,
        "days_to_decision": _days(inputs, base, effect),
    }


def is_reached(inputs: Json) -> bool:
    """Whether there are as many ratings as were planned."""
    planned: int | None = inputs.get("planned_ratings")
    return planned is not None and ratings(inputs["variants"]) >= planned


def _shows(base: Moments, each: float, effect: float) -> float | None:
    """Return the smallest drop that so many ratings of each text show, as a share."""
    return power.detectable_drop(base.mean, int(each), design_effect=effect)


def _power(base: Moments, each: float, effect: float) -> float:
    return power.power_of(base.mean, -guardrails.APPROVAL.margin, each, design_effect=effect)


def _days(inputs: Json, base: Moments, effect: float) -> int | None:
    """Return in how many days a change of 5 points could be shown; None while that is unknown."""
    if not base.events or inputs["ran_for_s"] is None or base.mean <= guardrails.APPROVAL.margin:
        return None
    needed = power.ratings_per_variant(base.mean, -guardrails.APPROVAL.margin, design_effect=effect)
    variants = inputs["variants"]
    return power.days_to_decision(
        round(needed * power.ALWAYS_VALID),
        len(variants),
        ratings(variants),
        timedelta(seconds=inputs["ran_for_s"]),
        already=fewest_ratings(variants),
    )
