"""Two variants beside each other: at the planned end, for small numbers, and as chances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.stats.distributions import normal_cdf, student_quantile, student_tail
from experiments.stats.moments import Moments, spread
from experiments.stats.proportion import Z_95, wilson
from experiments.stats.sequential import difference

_REACH = 9.0
_STEPS = 3_600


@dataclass(frozen=True, slots=True)
class FixedHorizon:
    """A test that is valid once, at the size that was planned. `low`, `high`, `change` in the unit of an event."""

    change: float
    low: float
    high: float
    p_value: float
    degrees: float


def fixed_horizon(control: Moments, treatment: Moments, alpha: float = 0.05) -> FixedHorizon:
    """Return the two-sided t test of the difference of means, clustered by unit.

    Degrees of freedom after Welch 1947, Biometrika 34:28, with units in the place of observations. Raises ValueError
    below two units in either.
    """
    if min(control.units, treatment.units) < 2:
        raise ValueError("Two units of each variant are the least.")
    variances = spread(control).mean, spread(treatment).mean
    degrees = _welch(variances, (control.units, treatment.units))
    change, error = difference(control, treatment), math.sqrt(sum(variances))
    if error == 0:
        return FixedHorizon(change, change, change, 1.0 if change == 0 else 0.0, degrees)
    half = student_quantile(1 - alpha / 2, degrees) * error
    return FixedHorizon(change, change - half, change + half, 2 * student_tail(abs(change) / error, degrees), degrees)


def _welch(variances: tuple[float, float], units: tuple[int, int]) -> float:
    below = sum(one * one / (count - 1) for one, count in zip(variances, units, strict=True))
    return sum(variances) ** 2 / below if below else float(min(units) - 1)


def relative_lift(control: Moments, treatment: Moments) -> tuple[float, float]:
    """Return (p_t - p_c) / p_c and its variance by the delta method. Raises ZeroDivisionError where p_c is 0.

    V_t / p_c² + V_c · p_t² / p_c⁴ (Deng, Knoblich, Lu 2018, KDD, section 3.1).
    """
    base, mean = control.mean, treatment.mean
    variance = spread(treatment).mean / base**2 + spread(control).mean * mean**2 / base**4
    return (mean - base) / base, variance


def chance_to_win(control: Moments, treatment: Moments) -> float:
    """Return the probability that the treatment's true mean is the larger one, 0..1.

    A flat prior and a normal likelihood (Gelman et al. 2013, Bayesian Data Analysis, 2.5). To be shown, never to stop
    on: read hourly it errs as often as any test without a correction.
    """
    change = difference(control, treatment)
    variance = spread(control).mean + spread(treatment).mean
    if variance == 0:
        return 0.5 if change == 0 else float(change > 0)
    return normal_cdf(change / math.sqrt(variance))


def chances_to_be_best(variants: Sequence[Moments]) -> tuple[float, ...]:
    """Return for each variant the probability that its true mean is the largest of all; together 1.

    As `chance_to_win`, over independent normal posteriors, integrated by the trapezoidal rule.
    """
    beliefs = [(one.mean, math.sqrt(spread(one).mean)) for one in variants]
    if any(error == 0 for _, error in beliefs):
        raise ValueError("A variant that does not vary has no chance, only a mean.")
    chances = [_best(beliefs, index) for index in range(len(beliefs))]
    return tuple(chance / sum(chances) for chance in chances)


def _best(beliefs: Sequence[tuple[float, float]], index: int) -> float:
    """Return ∫ φ(z) · Π Φ of all others at the value z stands for, from -9 to 9."""
    centre, error = beliefs[index]
    others = [belief for at, belief in enumerate(beliefs) if at != index]
    width = 2 * _REACH / _STEPS
    total = 0.0
    for step in range(_STEPS + 1):
        z = -_REACH + step * width
        value = centre + z * error
        below = math.prod(normal_cdf((value - mean) / sd) for mean, sd in others)
        total += math.exp(-z * z / 2) * below
    return total * width / math.sqrt(2 * math.pi)


def newcombe(control: tuple[int, int], treatment: tuple[int, int], z: float = Z_95) -> tuple[float, float]:
    """Return the interval of p_t - p_c for small numbers, each given as (thumbs-up, ratings).

    The hybrid score interval, method 10 of Newcombe 1998, Statistics in Medicine 17:873. It takes ratings as
    independent. Raises ValueError where `wilson` does.
    """
    base, share = control[0] / control[1], treatment[0] / treatment[1]
    base_low, base_high = wilson(*control, z)
    low, high = wilson(*treatment, z)
    change = share - base
    below = math.hypot(share - low, base_high - base)
    above = math.hypot(high - share, base - base_low)
    return change - below, change + above
