"""What a gradual launch does next: a pure function of its stage, its time and the sums of both texts.

The order is fixed: proven harm takes it back, doubt about the numbers holds it, the least time passes, the gate of the
stage lets it on, the longest time makes it wait for a person. What the numbers mean: docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from experiments.models import Ramp, Stage
from experiments.services import analysis, guardrails, measures
from experiments.services.guardrails import Arm, Decision, Metric
from experiments.stats import health, sequential
from experiments.stats.moments import Moments

CODE_VERSION = "2"
"""Grows whenever the same facts would lead to another step."""
LEAST_REQUESTS = 200
"""Of each text, before a stage that is too small to judge approval may end."""
SMALL_SHARE_BP = 1000
"""Below a tenth of all units approval cannot judge in time: errors and waits do."""
LOSS_BEFORE_LAST = 0.10
LOSS_AT_LAST = 0.05
"""By so much approval may at most be lower, with 95 % certainty at every look, for the next stage and for everyone."""
MULTIPLE_HOLD = 0.01
QUIET = timedelta(minutes=60)
"""So long without a request, and nobody knows what would happen."""

Json = dict[str, Any]
Reason = Ramp.Reason


class Act(StrEnum):
    """What there is to do."""

    WAIT = "wait"
    ADVANCE = "advance"
    HOLD = "hold"
    ROLL_BACK = "roll_back"


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a step depends on. `control`, `treatment`: as `analysis.phase_sums` gives them, over all stages.

    `in_stage`: time in this stage. `quiet_for`: time without a request. `accepted`: reasons a person has set aside.
    """

    stage: Stage
    is_last: bool
    is_held: bool
    in_stage: timedelta
    quiet_for: timedelta
    control: Json
    treatment: Json
    accepted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Step:
    """What to do, by which rule, and every number that decided. `rule` of HOLD: one of `Ramp.Reason`."""

    act: Act
    rule: str
    numbers: Json


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether a stage has shown enough, by which rule."""

    rule: str
    is_open: bool
    numbers: Json


def next_step(facts: Facts, speed: float = 1.0) -> Step:
    """Return what to do now. `speed`: dwell times pass so many times as fast.

    A ramp that is held is still taken back when harm is proven, and does nothing else.
    """
    found = guardrails.decide(measures.arm(facts.control), {"treatment": measures.arm(facts.treatment)})
    gate = _gate(facts)
    doubts = _doubts(facts)
    numbers = _numbers(facts, found, gate)
    if found.is_harmful:
        return Step(Act.ROLL_BACK, f"guard_{found.harms[0].metric.value}", numbers)
    if facts.is_held:
        return Step(Act.WAIT, "held", numbers)
    if doubts:
        return Step(Act.HOLD, doubts[0], numbers)
    if facts.in_stage * speed < timedelta(seconds=facts.stage.min_dwell_s):
        return Step(Act.WAIT, "min_dwell", numbers)
    if gate.is_open:
        return Step(Act.ADVANCE, gate.rule, numbers)
    if facts.in_stage * speed >= timedelta(seconds=facts.stage.max_dwell_s):
        return Step(Act.HOLD, Reason.INCONCLUSIVE, numbers)
    return Step(Act.WAIT, gate.rule, numbers)


def _doubts(facts: Facts) -> list[str]:
    """Return why the numbers cannot be trusted, without what a person has set aside."""
    variants = [facts.control, facts.treatment]
    split = measures.split(variants)
    units = sum(one["sums"]["units"] for one in variants)
    rates = measures.rating_rate(facts.control, facts.treatment)
    found = {
        Reason.SPLIT: split.p_value is not None and split.p_value < health.SPLIT_HOLD,
        Reason.MULTIPLE: units >= health.LEAST_UNITS and measures.multiple_share(variants) > MULTIPLE_HOLD,
        # A tenth more or less at p < .05 is for people to see: looked at every half minute it would stop healthy ones.
        Reason.RATING_RATE: rates is not None and rates["p_value"] < health.RATING_ALARM,
        Reason.NO_TRAFFIC: facts.quiet_for >= QUIET,
    }
    return [reason.value for reason, holds in found.items() if holds and reason.value not in facts.accepted]


def _gate(facts: Facts) -> Gate:
    """Return the gate of the stage: enough clean requests while it is small, then approval that is not much lower."""
    control, treatment = measures.arm(facts.control), measures.arm(facts.treatment)
    if facts.is_last:
        return _not_worse(control, treatment, LOSS_AT_LAST)
    if facts.stage.share_bp >= SMALL_SHARE_BP:
        return _not_worse(control, treatment, LOSS_BEFORE_LAST)
    return _clean(control, treatment)


def _not_worse(control: Arm, treatment: Arm, loss: float) -> Gate:
    """Open when the lower limit of the change of approval, valid at every look, is above -`loss`."""
    base, other, rule = control[Metric.APPROVAL], treatment[Metric.APPROVAL], guardrails.APPROVAL
    limits = list(sequential.interval(base, other, analysis.PLANNED)) if base.events and other.events else None
    is_enough = min(base.events, other.events) >= rule.least_events and min(base.units, other.units) >= rule.least_units
    numbers = {"range": limits, "above": -loss, "least_ratings": rule.least_events, "least_users": rule.least_units}
    return Gate("not_worse", bool(limits) and is_enough and limits[0] > -loss, numbers)  # type: ignore[index]


def _clean(control: Arm, treatment: Arm) -> Gate:
    """Open after enough requests of both, none of whose measures lies with its 95 % range on the bad side."""
    requests = min(control[Metric.SUCCESS].events, treatment[Metric.SUCCESS].events)
    suspects = [
        metric.value
        for metric, is_bad in ((Metric.SUCCESS, _is_lower), (Metric.FORMAT, _is_lower), (Metric.LATENCY, _is_higher))
        if _is_suspect(control[metric], treatment[metric], is_bad)
    ]
    numbers = {"requests": requests, "least_requests": LEAST_REQUESTS, "suspects": suspects}
    return Gate("clean_requests", requests >= LEAST_REQUESTS and not suspects, numbers)


def _is_suspect(base: Moments, other: Moments, is_bad: Callable[[float, float], bool]) -> bool:
    if not (base.events and other.events):
        return False
    return is_bad(*sequential.interval(base, other, guardrails.SUCCESS.planned))


def _is_lower(low: float, high: float) -> bool:
    return high < 0


def _is_higher(low: float, high: float) -> bool:
    return low > 0


def _numbers(facts: Facts, found: Decision, gate: Gate) -> Json:
    """Return everything that decided, as JSON keeps it."""
    split = measures.split([facts.control, facts.treatment])
    return {
        "control": facts.control["sums"],
        "treatment": facts.treatment["sums"],
        "guard": [{**asdict(one), "upper": measures.finite(one.upper)} for one in found.findings],
        "split_p_value": split.p_value,
        "split_below": health.SPLIT_HOLD,
        "multiple_share": measures.multiple_share([facts.control, facts.treatment]),
        "multiple_above": MULTIPLE_HOLD,
        "rating_rate": measures.rating_rate(facts.control, facts.treatment),
        "quiet_for_s": facts.quiet_for.total_seconds(),
        "in_stage_s": facts.in_stage.total_seconds(),
        "min_dwell_s": facts.stage.min_dwell_s,
        "max_dwell_s": facts.stage.max_dwell_s,
        "gate": {"rule": gate.rule, "is_open": gate.is_open, **_finite_range(gate.numbers)},
    }


def _finite_range(numbers: Json) -> Json:
    limits = numbers.get("range")
    return {**numbers, "range": [measures.finite(one) for one in limits]} if limits else numbers
