"""Tails and quantiles of the normal, Student's and chi-square distributions, from the standard library alone."""

from __future__ import annotations

import math
from statistics import NormalDist

_NORMAL = NormalDist()
_MOST_TERMS = 10_000
_EPSILON = 1e-16
_TINY = 1e-300


def normal_cdf(z: float) -> float:
    """Return the probability of a standard normal value below `z`, exact in the far tails too."""
    return 0.5 * math.erfc(-z / math.sqrt(2))


def normal_quantile(share: float) -> float:
    """Return the value below which `share` of a standard normal lies. Raises StatisticsError outside (0, 1)."""
    return _NORMAL.inv_cdf(share)


def chi_square_tail(statistic: float, degrees: int) -> float:
    """Return the probability of a chi-square value of `degrees` above `statistic`.

    The upper incomplete gamma function: series and continued fraction (Abramowitz, Stegun 1964, 6.5.29 and 6.5.31).
    """
    shape, x = degrees / 2, statistic / 2
    if x <= 0:
        return 1.0
    scale = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1:
        return 1.0 - scale * _gamma_series(shape, x)
    return scale * _gamma_fraction(shape, x)


def student_tail(t: float, degrees: float) -> float:
    """Return the probability of a Student's t value of `degrees` above `t` (Abramowitz, Stegun 1964, 26.7.1).

    To nine digits; at a million degrees to eight.
    """
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    half = 0.5 * incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t))
    return half if t >= 0 else 1.0 - half


def student_quantile(share: float, degrees: float) -> float:
    """Return the value below which `share` (at least 0.5) of Student's t lies, by halving to the last digits."""
    low, high = 0.0, 2.0
    while student_tail(high, degrees) > 1 - share:
        low, high = high, 2 * high
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if student_tail(middle, degrees) > 1 - share else (low, middle)
    return (low + high) / 2


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function, 0 <= x <= 1 (Abramowitz, Stegun 1964, 26.5.8)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    scale = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return scale * _beta_fraction(a, b, x) / a
    return 1.0 - scale * _beta_fraction(b, a, 1 - x) / b


def _gamma_series(shape: float, x: float) -> float:
    term = total = 1 / shape
    for k in range(1, _MOST_TERMS):
        term *= x / (shape + k)
        total += term
        if term < total * _EPSILON:
            break
    return total


def _gamma_fraction(shape: float, x: float) -> float:
    """Return the continued fraction by Lentz's method (Press et al. 2007, Numerical Recipes, 5.2)."""
    b = x + 1 - shape
    c, d = 1 / _TINY, 1 / b
    value = d
    for k in range(1, _MOST_TERMS):
        a = -k * (k - shape)
        b += 2
        d = 1 / _not_zero(a * d + b)
        c = _not_zero(b + a / c)
        value *= d * c
        if abs(d * c - 1) < _EPSILON:
            break
    return value


def _beta_fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _not_zero(1 + term * d)
            c = _not_zero(1 + term / c)
            value *= d * c
        if abs(d * c - 1) < _EPSILON:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
