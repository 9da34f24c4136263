"""Several comparisons at once: p-values, adjusted so that each may be held against the level as it is."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return p-values, in their order, that keep the chance of any false finding (Holm 1979, Scand. J. Stat. 6:65)."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(_ascending(p_values)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return tuple(adjusted)


def benjamini_hochberg(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return p-values, in their order, that keep the share of false ones among findings.

    Benjamini, Hochberg 1995, J. R. Stat. Soc. B 57:289. For secondary metrics, which explore and do not decide.
    """
    adjusted = [0.0] * len(p_values)
    smallest = 1.0
    order = _ascending(p_values)
    for rank in range(len(order), 0, -1):
        index = order[rank - 1]
        smallest = min(smallest, p_values[index] * len(order) / rank)
        adjusted[index] = smallest
    return tuple(adjusted)


def _ascending(p_values: Sequence[float]) -> list[int]:
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError("A p-value lies between 0 and 1.")
    return sorted(range(len(p_values)), key=p_values.__getitem__)
