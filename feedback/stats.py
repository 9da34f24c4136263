"""How far raters agree. Plain numbers; no table is known here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

Z_95 = 1.959963984540054
"""The 97.5 % point of the standard normal distribution: two-sided 95 %."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two say the same of the same things. `kappa` is agreement beyond chance: 1 all of it, 0 none.

    `kappa` and its 95 % range are None where chance alone would have them agree, and where there is nothing in common.
    """

    both: int
    share: float | None
    kappa: float | None
    low: float | None
    high: float | None


def agreement(one: Mapping[int, Hashable], other: Mapping[int, Hashable]) -> Agreement:
    """Return how far two raters agree, each given as what they said by thing.

    Cohen's kappa, (p_o - p_e) / (1 - p_e), with his large-sample error sqrt(p_o (1 - p_o) / n) / (1 - p_e)
    (Cohen 1960, Educ. Psychol. Meas. 20:37).
    """
    pairs = [(said, other[thing]) for thing, said in one.items() if thing in other]
    n = len(pairs)
    if not n:
        return Agreement(0, None, None, None, None)
    observed = sum(a == b for a, b in pairs) / n
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    expected = sum(first[said] * second[said] for said in first) / (n * n)
    if expected >= 1:
        return Agreement(n, observed, None, None, None)
    kappa = (observed - expected) / (1 - expected)
    half = Z_95 * math.sqrt(observed * (1 - observed) / n) / (1 - expected)
    return Agreement(n, observed, kappa, max(kappa - half, -1.0), min(kappa + half, 1.0))


def p_of_even(one: int, other: int) -> float:
    """Return how often a fair coin lands at least as unevenly as this: two-sided and exact (the sign test, Dixon and Mood 1946)."""
    total = one + other
    ways = sum(math.comb(total, k) for k in range(min(one, other) + 1))
    return min(1.0, 2 * ways / 2**total) if total else 1.0


def pairwise(said: Sequence[Mapping[int, Hashable]]) -> float | None:
    """Return the mean kappa over all pairs of raters that have one, weighted by what they both rated; None of none.

    Light's generalisation to several raters (Light 1971, Psychol. Bull. 76:365), with weights.
    """
    found = [agreement(one, other) for one, other in combinations(said, 2)]
    known = [(one.kappa, one.both) for one in found if one.kappa is not None]
    total = sum(both for _, both in known)
    return sum(kappa * both for kappa, both in known) / total if total else None
