"""A proportion and the range its true value most likely lies in."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z_95 = 1.959963984540054
"""The 97.5 % point of the standard normal distribution: two-sided 95 %."""


@dataclass(frozen=True, slots=True)
class Approval:
    """Thumbs-up among ratings. `rate` and its 95 % range are ratios, None while nobody rated."""

    ratings: int
    ups: int
    rate: float | None
    low: float | None
    high: float | None

    @property
    def downs(self) -> int:
        return self.ratings - self.ups


def approval(ups: int, ratings: int) -> Approval:
    """Return the approval of `ups` thumbs-up among `ratings`. Raises ValueError where `wilson` does."""
    if ratings == 0 and ups == 0:
        return Approval(0, 0, None, None, None)
    low, high = wilson(ups, ratings)
    return Approval(ratings, ups, ups / ratings, low, high)


def wilson(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Return the score interval of a proportion, inside 0..1 (Wilson 1927, J. Am. Stat. Assoc. 22:209).

    It treats trials as independent: several ratings of one unit make it too narrow. Raises ValueError unless
    0 <= successes <= trials and trials > 0.
    """
    if trials <= 0 or not 0 <= successes <= trials:
        raise ValueError(f"Not a proportion: {successes} of {trials}.")
    share = successes / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    # At 0 and at `trials` the bound is exact; the square root leaves it a hair off.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return low, high


def ratio(part: int, whole: int) -> float | None:
    """Return part / whole, None when there is no whole."""
    return part / whole if whole else None
