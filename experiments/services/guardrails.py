"""The rule that takes a text back: one function for experiments, gradual launches and their rehearsal.

Harm must be proven at every look (a one-sided limit that holds whenever one stops), be as large as the margin, and rest
on enough people. False alarms of a phase share one budget of 1 %, divided over metrics and treatments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from experiments.stats.moments import Moments, effective_events, spread
from experiments.stats.sequential import one_sided_half_width


class Metric(StrEnum):
    """What is guarded.

    Events: ratings (1 is thumbs-up), requests (1 is without error), waits in ln(ms), answers that had to keep a format
    (1 is kept).
    """

    APPROVAL = "approval"
    SUCCESS = "success"
    LATENCY = "latency"
    FORMAT = "format"


@dataclass(frozen=True, slots=True)
class Rule:
    """When one metric proves harm. `margin`: the least harm worth acting on, in the unit of an event.

    `alpha`: chance of a false alarm over all looks of a phase. `planned`: events at which it is sharpest.
    """

    metric: Metric
    alpha: float
    margin: float
    planned: float
    least_events: int
    least_units: int = 20
    more_is_worse: bool = False


APPROVAL = Rule(Metric.APPROVAL, alpha=0.005, margin=0.05, planned=300, least_events=30)
ALPHA_OF_OTHERS = 0.005 / 3
SUCCESS = Rule(Metric.SUCCESS, ALPHA_OF_OTHERS, margin=0.01, planned=2000, least_events=200)
LATENCY = Rule(
    Metric.LATENCY, ALPHA_OF_OTHERS, margin=math.log(1.1), planned=2000, least_events=200, more_is_worse=True
)
FORMAT = Rule(Metric.FORMAT, ALPHA_OF_OTHERS, margin=0.01, planned=2000, least_events=200)
FAMILY = (APPROVAL, SUCCESS, LATENCY, FORMAT)
"""Together 1 % of healthy phases: half for approval, the other half divided over the rest (Bonferroni)."""

Arm = Mapping[Metric, Moments]


@dataclass(frozen=True, slots=True)
class Finding:
    """One metric of one treatment with every number that decided.

    `change` and `upper`, its highest believable value, are towards better: negative is harm, whatever the metric.
    """

    treatment: str
    metric: Metric
    control_events: int
    treatment_events: int
    control_units: int
    treatment_units: int
    change: float
    upper: float
    error: float
    effective_events: float
    alpha: float
    margin: float
    has_enough: bool
    is_harmful: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """What all metrics of all treatments said. `harms` is empty while nothing is to be done."""

    findings: tuple[Finding, ...]

    @property
    def harms(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.is_harmful)

    @property
    def is_harmful(self) -> bool:
        return bool(self.harms)


def family(chosen: Sequence[str], deciding: str = Metric.APPROVAL) -> tuple[Rule, ...]:
    """Return the rules for what was chosen not to get worse, and for what decides; all where nothing was chosen."""
    return tuple(rule for rule in FAMILY if not chosen or rule.metric in (*chosen, deciding))


def decide(control: Arm, treatments: Mapping[str, Arm], rules: Sequence[Rule] = FAMILY) -> Decision:
    """Return what is proven about each treatment, all in one phase with equal slices side by side.

    Each rule's `alpha` is divided by the number of treatments (Bonferroni). Metrics without events are left out.
    """
    findings = [
        _judge(rule, rule.alpha / len(treatments), control[rule.metric], name, arm[rule.metric])
        for name, arm in treatments.items()
        for rule in rules
        if _has_events(control, rule) and _has_events(arm, rule)
    ]
    return Decision(tuple(findings))


def _has_events(arm: Arm, rule: Rule) -> bool:
    return rule.metric in arm and arm[rule.metric].events > 0


def _judge(rule: Rule, alpha: float, control: Moments, name: str, treatment: Moments) -> Finding:
    of_control, of_treatment = spread(control), spread(treatment)
    variance = of_control.mean + of_treatment.mean
    events = effective_events(of_control, of_treatment)
    change = treatment.mean - control.mean
    if rule.more_is_worse:
        change = -change
    upper = change + one_sided_half_width(variance, events, rule.planned, alpha)
    has_enough = (
        min(control.events, treatment.events) >= rule.least_events
        and min(control.units, treatment.units) >= rule.least_units
    )
    return Finding(
        treatment=name,
        metric=rule.metric,
        control_events=control.events,
        treatment_events=treatment.events,
        control_units=control.units,
        treatment_units=treatment.units,
        change=change,
        upper=upper,
        error=math.sqrt(variance),
        effective_events=events,
        alpha=alpha,
        margin=rule.margin,
        has_enough=has_enough,
        is_harmful=has_enough and upper < 0 and change <= -rule.margin,
    )
