"""Two variants beside each other: published intervals, mpmath at 30 digits, and closed forms."""

from __future__ import annotations

import pytest

from experiments.stats.comparison import chance_to_win, chances_to_be_best, fixed_horizon, newcombe, relative_lift
from experiments.stats.moments import Moments, independent


@pytest.mark.parametrize(
    ("treatment", "control", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_newcombe_equals_the_published_table(
    treatment: tuple[int, int], control: tuple[int, int], low: float, high: float
) -> None:
    """Newcombe 1998, Statistics in Medicine 17:873, table II, method 10."""
    assert newcombe(control, treatment) == pytest.approx((low, high), abs=0.00006)


@pytest.mark.parametrize(
    ("control", "treatment", "expected"),
    [
        ((300, 240), (300, 210), (-0.1, -0.1691497268187626, -0.03085027318123744, 0.004664291404096338, 587.58402124)),
        ((50, 45), (80, 60), (-0.15, -0.2816229893957583, -0.01837701060424168, 0.02584491020289828, 124.7259088607)),
        (
            (1000, 700),
            (900, 640),
            (0.0111111111111111, -0.02996812046407642, 0.05219034268629864, 0.5958470588501781, 1881.18842521),
        ),
    ],
)
def test_fixed_horizon(
    control: tuple[int, int], treatment: tuple[int, int], expected: tuple[float, float, float, float, float]
) -> None:
    """Welch's test with the variances of `spread`, by mpmath at 30 digits."""
    found = fixed_horizon(independent(*control), independent(*treatment))
    assert (found.change, found.low, found.high, found.p_value, found.degrees) == pytest.approx(expected, rel=1e-9)


def test_a_test_needs_two_units_of_each() -> None:
    with pytest.raises(ValueError, match="Two units"):
        fixed_horizon(independent(1, 1), independent(9, 5))


def test_what_does_not_vary_is_the_same_or_is_not() -> None:
    still = Moments(50, 50, 100.0, 50, 200.0, 100.0, squares=200.0)
    more = Moments(50, 50, 150.0, 50, 450.0, 150.0, squares=450.0)
    assert (fixed_horizon(still, still).p_value, fixed_horizon(still, more).p_value) == (1.0, 0.0)
    assert (chance_to_win(still, still), chance_to_win(still, more), chance_to_win(more, still)) == (0.5, 1.0, 0.0)
    with pytest.raises(ValueError, match="does not vary"):
        chances_to_be_best([still, more])


@pytest.mark.parametrize(
    ("variants", "chances"),
    [
        ([(1000, 800), (1000, 820)], [0.127366829022856, 0.872633170977144]),
        ([(400, 300), (300, 240), (500, 350)], [0.057535929116935, 0.942177806538872, 0.000286264344192705]),
        (
            [(100, 90), (100, 80), (100, 85), (50, 45)],
            [0.456362618101128, 0.00648073337462119, 0.0652682199068812, 0.47188842861737],
        ),
    ],
)
def test_chances_to_be_best(variants: list[tuple[int, int]], chances: list[float]) -> None:
    """By mpmath's adaptive quadrature at 30 digits."""
    assert chances_to_be_best([independent(*one) for one in variants]) == pytest.approx(chances, abs=1e-9)


def test_of_two_the_best_is_the_winner() -> None:
    pair = independent(1000, 800), independent(1000, 820)
    assert chances_to_be_best(pair)[1] == pytest.approx(chance_to_win(*pair), abs=1e-12)


def test_relative_lift() -> None:
    lift, variance = relative_lift(independent(1000, 500), independent(1000, 600))
    assert lift == pytest.approx(0.2)
    # V_t / p_c² + V_c p_t² / p_c⁴ with V = p q / (n - 1), which is the larger of the two that `spread` knows.
    assert variance == pytest.approx(0.24 / 999 / 0.25 + 0.25 / 999 * 0.36 / 0.0625, rel=1e-9)
