"""Intervals that hold at every look, however often somebody looks and whenever they stop.

Both are the asymptotic confidence sequences of Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024, Annals of Statistics
52:2613 (arXiv 2103.06476): two-sided after eq. 13, one-sided after eq. 134. They are tightest near `planned` events.
"""

from __future__ import annotations

import math

from experiments.stats.moments import Moments, effective_events, spread


def difference(control: Moments, treatment: Moments) -> float:
    """Return mean of the treatment minus mean of the control, in the unit of an event."""
    return treatment.mean - control.mean


def two_sided_half_width(variance: float, events: float, planned: float, alpha: float = 0.05) -> float:
    """Return half the width of the (1 - `alpha`) interval about a difference with this `variance`.

    `events`: effective events so far. inf while there are none.
    """
    if events <= 0:
        return math.inf
    x = events * _tuning(alpha, planned)
    return math.sqrt(variance * 2 * (x + 1) / x * math.log(math.sqrt(x + 1) / alpha))


def one_sided_half_width(variance: float, events: float, planned: float, alpha: float) -> float:
    """Return how far the (1 - `alpha`) upper limit lies above a difference with this `variance`; inf without events."""
    if events <= 0:
        return math.inf
    x = events * _tuning(2 * alpha, planned)
    return math.sqrt(variance * 2 * (x + 1) / x * math.log1p(math.sqrt(x + 1) / (2 * alpha)))


def interval(control: Moments, treatment: Moments, planned: float, alpha: float = 0.05) -> tuple[float, float]:
    """Return the always-valid two-sided interval of `difference`. Raises ValueError where one of them has no event."""
    of_control, of_treatment = spread(control), spread(treatment)
    events = effective_events(of_control, of_treatment)
    half = two_sided_half_width(of_control.mean + of_treatment.mean, events, planned, alpha)
    centre = difference(control, treatment)
    return centre - half, centre + half


def upper_limit(control: Moments, treatment: Moments, planned: float, alpha: float) -> float:
    """Return the always-valid one-sided upper limit of `difference`. Raises ValueError like `interval`."""
    of_control, of_treatment = spread(control), spread(treatment)
    events = effective_events(of_control, of_treatment)
    half = one_sided_half_width(of_control.mean + of_treatment.mean, events, planned, alpha)
    return difference(control, treatment) + half


def _tuning(alpha: float, planned: float) -> float:
    """Return the square of the parameter that makes the interval tightest at `planned` events (there, appendix B.1)."""
    return (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / planned
