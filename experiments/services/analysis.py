"""The analysis of an experiment: from its sums to a verdict, kept with everything it was computed from.

Workers run it; pages and the API read what was kept and compute nothing. What the numbers mean: docs/statistics.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, Sum
from django.utils import timezone

from experiments.models import AnalysisSnapshot, Experiment, HourRollup, Variant
from experiments.querysets import SERVING
from experiments.services import comparing, extremes, guardrails
from experiments.services.measures import COLUMNS, Json, arm, fewest_ratings, finite, multiple_share, split
from experiments.stats import health
from experiments.stats.histogram import merged
from experiments.stats.verdict import Facts, Rival, Said, Verdict, verdict
from promptlab.lib.logs import get_logger

log = get_logger(__name__)
ANALYSE_TASK = "experiments.analyse"
CODE_VERSION = "2"
"""Grows whenever the same inputs would give other results."""
PLANNED = 1000
"""Ratings at which ranges are tightest where nobody planned a number: narrow ones early, little lost late."""
LATE = timedelta(hours=72)
"""So long after the end ratings still count."""
DAY = timedelta(days=1)
FAILING = 0.5
LEAST_REQUESTS = 20
"""From so many requests of a text, half of them failed, numbers say more about errors than about texts."""


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
    variants = _with_waits(experiment, phase_sums(experiment))
    planned, began_at = experiment.planned_size, _began_at(experiment)
    return {
        "ran_for_s": (until - began_at).total_seconds() if began_at else None,
        "is_ended": experiment.ended_at is not None,
        "planned": planned or PLANNED,
        "planned_ratings": planned,
        "primary_metric": experiment.primary_metric,
        "guardrails": experiment.guardrails,
        "said_before": asdict(_said(last)) if last else asdict(Said(Verdict.NOT_STARTED)),
        "led_yesterday": yesterday.results["leaders"] if yesterday else [],
        "at_end_before": last.results.get("at_end") if last else None,
        "costs": extremes.costs(experiment, variants, now, last.inputs.get("costs") if last else None),
        "variants": variants,
    }


def _began_at(experiment: Experiment) -> datetime | None:
    """Return when the phase began; None before the experiment was started."""
    later = experiment.phases.filter(number=experiment.phase).first() if experiment.phase > 1 else None
    return later.began_at if later else experiment.started_at


def phase_sums(experiment: Experiment) -> list[Json]:
    """Return the variants that take part with their sums over the phase, the control first: two queries."""
    sums = _sums(experiment)
    taking_part = [one for one in experiment.variants.all() if one.weight_bp or one.is_control]
    return [_variant(one, sums.get(one.pk, {})) for one in taking_part]


def _sums(experiment: Experiment) -> Mapping[int, Mapping[str, Any]]:
    """Return the sums of the phase by variant id: one query."""
    cells = HourRollup.objects.filter(experiment=experiment, phase=experiment.phase, variant__isnull=False)
    totals = {f"all_{name}": Sum(name) for name in COLUMNS}
    return {row["variant_id"]: row for row in cells.values("variant_id").order_by().annotate(**totals)}


def _with_waits(experiment: Experiment, variants: list[Json]) -> list[Json]:
    """Return the variants with their waits by length: one query, of as many rows as hours and variants."""
    cells = HourRollup.objects.filter(experiment=experiment, phase=experiment.phase, variant__isnull=False)
    counts: dict[str, list[dict[str, int]]] = defaultdict(list)
    for key, of_hour in cells.exclude(wait_counts={}).values_list("variant__key", "wait_counts"):
        counts[key].append(of_hour)
    return [{**one, "wait_counts": merged(counts[one["key"]])} for one in variants]


def _variant(variant: Variant, sums: Mapping[str, Any]) -> Json:
    """Return one variant and its sums. Counts are integers also where the database adds them up as decimals."""
    added = {name: sums.get(f"all_{name}") or 0 for name in COLUMNS}
    counts = {name: much if isinstance(much, float) else int(much) for name, much in added.items()}
    return {"key": variant.key, "is_control": variant.is_control, "weight_bp": variant.weight_bp, "sums": counts}


def computed(inputs: Json) -> Json:
    """Return the results that follow from `inputs`: the same ones at any time. Rates are shares of 1, costs USD."""
    variants = inputs["variants"]
    control = next(one for one in variants if one["is_control"])
    treatments = [one for one in variants if not one["is_control"]]
    rules = guardrails.family(inputs.get("guardrails", ()), inputs.get("primary_metric", "approval"))
    found = guardrails.decide(arm(control), {one["key"]: arm(one) for one in treatments}, rules)
    broken = {one.treatment for one in found.harms}
    compared = {one["key"]: comparing.compared(control, one, inputs, len(treatments)) for one in treatments}
    rivals = tuple(
        Rival(
            key, one["range"][0], one["range"][1], one["chance_to_win"], key in broken, key in inputs["led_yesterday"]
        )
        for key, one in compared.items()
        if one["range"] is not None
    )
    found_split = split(variants)
    said = verdict(_facts(inputs, rivals, found_split), _before(inputs))
    plan = comparing.plan(control, inputs)
    at_end = comparing.at_end(control, treatments, inputs) if plan["is_reached"] else None
    return {
        "verdict": said.verdict.value,
        "about": said.about,
        "leaders": [one.key for one in rivals if one.leads],
        "split": {"p_value": found_split.p_value, "is_wrong": found_split.is_wrong, **_shares(variants)},
        "multiple_share": multiple_share(variants),
        "variants": comparing.shown(variants),
        "changes": compared,
        # Valid once: what was found when the planned number was reached stays.
        "at_end": inputs.get("at_end_before") or at_end,
        "guardrails": [{**asdict(one), "upper": finite(one.upper)} for one in found.findings],
        "plan": plan,
        "days_to_decision": plan["days_to_decision"],
    }


def _shares(variants: list[Json]) -> Json:
    """Return which share of units met each text, and which should have; None without units."""
    units, weights = (
        sum(number) for number in zip(*((one["sums"]["units"], one["weight_bp"]) for one in variants), strict=True)
    )
    return {
        "shares": {one["key"]: one["sums"]["units"] / units if units else None for one in variants},
        "expected": {one["key"]: one["weight_bp"] / weights for one in variants},
    }


def _facts(inputs: Json, rivals: tuple[Rival, ...], split: health.Split) -> Facts:
    variants = inputs["variants"]
    ran_for = inputs["ran_for_s"]
    return Facts(
        ran_for=None if ran_for is None else timedelta(seconds=ran_for),
        shown=sum(one["sums"]["shown"] for one in variants),
        fewest_ratings=fewest_ratings(variants),
        rivals=rivals,
        is_ended=inputs["is_ended"],
        is_split_wrong=split.is_wrong,
        has_errors_in_one_text=any(_is_failing(one["sums"]) for one in variants),
        is_past_end=comparing.is_reached(inputs),
    )


def _before(inputs: Json) -> Said:
    before = inputs["said_before"]
    return Said(Verdict(before["verdict"]), before["about"])


def _is_failing(sums: Json) -> bool:
    return sums["unit_requests"] >= LEAST_REQUESTS and sums["unit_errors"] >= FAILING * sums["unit_requests"]
