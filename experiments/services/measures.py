"""From the sums of a variant to the moments of its metrics: what every judgement about it begins with. No queries."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from experiments.services.guardrails import Arm, Metric
from experiments.stats import health
from experiments.stats.moments import Moments

MOMENTS = {
    "approval": ("raters", "unit_ratings", "unit_ups", "ratings_sq", "ups_sq", "ratings_ups", None),
    "errors": ("users", "unit_requests", "unit_errors", "requests_sq", "errors_sq", "requests_errors", None),
    "rating_rate": (
        "users", "unit_requests", "unit_ratings", "requests_sq", "ratings_sq", "requests_ratings", "unit_ratings",
    ),
    "latency": ("waiters", "waits", "ln_ms", "waits_sq", "ln_ms_sq", "waits_ln_ms", "ln_ms_events"),
    "cost": ("payers", "priced", "unit_cost", "priced_sq", "cost_sq", "priced_cost", "cost_events"),
    "format": (
        "checked_units", "unit_checked", "unit_misfits", "checked_sq", "misfits_sq", "checked_misfits", None,
    ),
}  # fmt: skip
"""Metric -> the columns of its units, events, total, Σn², Σs², Σns and Σx²."""
COLUMNS = sorted({name for names in MOMENTS.values() for name in names if name} | {"units", "shown", "multiple_units"})

Json = dict[str, Any]
"""A variant: `key`, `is_control`, `weight_bp`, and `sums` by column over a phase."""


def moments(variant: Json, metric: str) -> Moments:
    """Return the moments of one metric of one variant's sums."""
    sums = variant["sums"]
    # What is kept of an older method lacks what was not counted then.
    return Moments(*(None if name is None else sums.get(name, 0) for name in MOMENTS[metric]))  # type: ignore[arg-type]


def arm(variant: Json) -> Arm:
    """Return what is guarded."""
    return {
        Metric.APPROVAL: moments(variant, "approval"),
        Metric.SUCCESS: _without(moments(variant, "errors")),
        Metric.LATENCY: moments(variant, "latency"),
        Metric.FORMAT: _without(moments(variant, "format")),
    }


def _without(failures: Moments) -> Moments:
    """Return the moments of what went well: 1 minus each event."""
    return Moments(
        units=failures.units,
        events=failures.events,
        total=failures.events - failures.total,
        events_sq=failures.events_sq,
        total_sq=failures.events_sq - 2 * failures.events_total + failures.total_sq,
        events_total=failures.events_sq - failures.events_total,
    )


def split(variants: list[Json]) -> health.Split:
    """Return how units were split over the variants."""
    units = {one["key"]: one["sums"]["units"] for one in variants}
    return health.sample_ratio(units, {one["key"]: one["weight_bp"] for one in variants})


def multiple_share(variants: list[Json]) -> float:
    """Return which share of units met more than one text."""
    units = sum(one["sums"]["units"] for one in variants)
    return sum(one["sums"]["multiple_units"] for one in variants) / units if units else 0.0


def rating_rate(control: Json, treatment: Json) -> Json | None:
    """Return how often both are rated; None with too little."""
    found = health.rating_rate(moments(control, "rating_rate"), moments(treatment, "rating_rate"))
    return asdict(found) if found else None


def ratings(variants: list[Json]) -> int:
    """Return the ratings of all variants together."""
    return sum(one["sums"]["unit_ratings"] for one in variants)


def fewest_ratings(variants: list[Json]) -> int:
    """Return the ratings of the variant that has the fewest."""
    return min(int(one["sums"]["unit_ratings"]) for one in variants)


def finite(number: float) -> float | None:
    """Return a number that JSON can hold."""
    return number if abs(number) < float("inf") else None
