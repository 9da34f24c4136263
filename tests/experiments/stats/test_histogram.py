"""Waits by length: the same buckets everywhere, added up by adding, and shares of waits to 4.5 %."""

from __future__ import annotations

import random

import pytest

from experiments.stats.histogram import BUCKETS, bucket, merged, quantile_ms


@pytest.mark.parametrize(
    ("ms", "expected"),
    [
        (1, 0),
        (15, 0),
        (16, 0),
        (17, 0),
        (18, 1),
        (31, 7),
        (32, 8),
        (1024, 48),
        (240_000, 110),
        (262_144, 111),
        (1e9, 111),
    ],
)
def test_each_length_has_its_bucket(ms: float, expected: int) -> None:
    assert bucket(ms) == expected < BUCKETS


def test_what_takes_no_time_is_no_wait() -> None:
    with pytest.raises(ValueError, match="math domain"):
        bucket(0)


def test_shares_are_right_to_the_width_of_a_bucket() -> None:
    chance = random.Random(3)
    waits = sorted(chance.lognormvariate(6.5, 0.8) for _ in range(5000))
    counts: dict[str, int] = {}
    for one in waits:
        counts[str(bucket(one))] = counts.get(str(bucket(one)), 0) + 1
    for share in (0.5, 0.95, 0.99):
        assert quantile_ms(counts, share) == pytest.approx(waits[round(share * 5000) - 1], rel=0.045)


def test_hours_are_added_up() -> None:
    assert merged([{"9": 2, "48": 1}, {}, {"48": 3, "100": 1}]) == {"9": 2, "48": 4, "100": 1}
    assert quantile_ms({}, 0.5) is None
    assert quantile_ms({"48": 1}, 0.5) == quantile_ms({"48": 1}, 0.99) == pytest.approx(1024, rel=0.045)
