"""The interval of a proportion, against published numbers and its own rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.stats.proportion import approval, ratio, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_equals_the_published_table(successes: int, trials: int, low: float, high: float) -> None:
    """Newcombe 1998, Statistics in Medicine 17:857, table I, method 3."""
    assert wilson(successes, trials) == pytest.approx((low, high), abs=0.00005)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_range_holds_the_share_and_mirrors(pair: tuple[int, int]) -> None:
    successes, trials = pair
    low, high = wilson(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    mirrored = wilson(trials - successes, trials)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (0, 0), (-1, 3), (4, 3)])
def test_wilson_refuses_what_is_no_proportion(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="Not a proportion"):
        wilson(successes, trials)


def test_nobody_rated_is_unknown_and_not_zero() -> None:
    nothing = approval(0, 0)
    assert (nothing.rate, nothing.low, nothing.high, nothing.downs) == (None, None, None, 0)


def test_all_up_has_a_range_below_one() -> None:
    everybody = approval(20, 20)
    assert (everybody.rate, everybody.high, everybody.downs) == (1.0, 1.0, 0)
    assert everybody.low == pytest.approx(1 - 0.1611, abs=0.00005)


def test_a_ratio_without_a_whole_is_unknown() -> None:
    assert ratio(0, 0) is None
    assert ratio(1, 4) == 0.25
