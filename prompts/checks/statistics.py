"""The two numbers behind a verdict: how sure a pass rate is, and whether a drop of it is more than noise."""

from __future__ import annotations

from collections.abc import Iterable
from math import comb, sqrt
from typing import Final, NamedTuple

Z_95: Final = 1.959963984540054


class Stratum(NamedTuple):
    """One case in two runs: how many of its answers passed, and how many there were."""

    passed_before: int
    of_before: int
    passed_after: int
    of_after: int


def wilson(passed: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927, score interval); (0, 1) when there is nothing to count.

    Answers to one case are not independent of each other, so with repeats it is somewhat too narrow.
    """
    if total == 0:
        return 0.0, 1.0
    share, square = passed / total, Z_95**2
    centre = share + square / (2 * total)
    half = Z_95 * sqrt(share * (1 - share) / total + square / (4 * total**2))
    below, above = (centre - half) / (1 + square / total), (centre + half) / (1 + square / total)
    # Where all or nothing passed, the border is exact and rounding would miss it.
    return (0.0 if passed == 0 else below), (1.0 if passed == total else above)


def p_of_drop(strata: Iterable[Stratum]) -> float:
    """Return how probable so few passes after are, or fewer, if nothing changed: one-sided and exact.

    Case by case, which of its answers passed before and which after is then mere chance, whatever the case's own
    difficulty: the passes after are hypergeometric, and their sum over all cases is compared. This is the exact
    conditional test of a common odds ratio in a series of 2x2 tables (Mehta, Patel and Gray 1985, Journal of the American
    Statistical Association 80, 969-973); with one answer a case it is McNemar's exact test, one-sided.
    At 5 % it is wrong about two runs of the same version in at most 5 of 100.
    """
    sums, seen = [1.0], 0
    for one in strata:
        passed, total = one.passed_before + one.passed_after, one.of_before + one.of_after
        if not 0 < passed < total or not one.of_before or not one.of_after:
            continue  # It says nothing: whatever is exchanged, it stays the same.
        least, most = max(0, passed - one.of_before), min(passed, one.of_after)
        ways = comb(total, passed)
        chances = [comb(one.of_after, k) * comb(one.of_before, passed - k) / ways for k in range(least, most + 1)]
        sums = _added(sums, chances)
        seen += one.passed_after - least
    return min(1.0, sum(sums[: seen + 1]))


def _added(left: list[float], right: list[float]) -> list[float]:
    """Return the chances of the sum of two independent counts."""
    found = [0.0] * (len(left) + len(right) - 1)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            found[i + j] += a * b
    return found
