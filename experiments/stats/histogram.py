"""Waits by length: counts in 112 buckets that can be added up, and the length that a share of waits stays under."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

BUCKETS = 112
PER_DOUBLING = 8
SHORTEST_MS = 16
"""From 16 ms to 4.4 minutes, each an eighth of a doubling wide; shorter and longer ones are in the first and last."""

Counts = Mapping[str, int]
"""Bucket, as a text, -> waits; those without one are left out."""


def bucket(ms: float) -> int:
    """Return the bucket of a wait: floor(8 · log2(ms / 16)), at least 0 and at most 111. Raises ValueError from 0 down."""
    return min(BUCKETS - 1, max(0, math.floor(PER_DOUBLING * math.log2(ms / SHORTEST_MS))))


def merged(several: Iterable[Counts]) -> dict[str, int]:
    """Return the counts of all of them together, by bucket in rising order."""
    found: dict[str, int] = {}
    for counts in several:
        for key, number in counts.items():
            found[key] = found.get(key, 0) + number
    return dict(sorted(found.items(), key=lambda one: int(one[0])))


def quantile_ms(counts: Counts, share: float) -> float | None:
    """Return the length in ms that `share` of waits do not exceed; None without waits.

    The middle, by ratio, of the bucket in which the wait of that rank lies: off by at most 4.5 % from 16 ms to 4.4 minutes
    (rank: Hyndman, Fan 1996, type 1).
    """
    total = sum(counts.values())
    if not total:
        return None
    rank, below = math.ceil(share * total), 0
    for key in sorted(counts, key=int):
        below += counts[key]
        if below >= rank:
            return float(SHORTEST_MS * 2 ** ((int(key) + 0.5) / PER_DOUBLING))
    raise AssertionError("All ranks lie in some bucket.")
