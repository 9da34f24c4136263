"""Tails and quantiles, against mpmath 1.3 at 30 digits (gammainc, betainc, ncdf, findroot)."""

from __future__ import annotations

import pytest

from experiments.stats.distributions import (
    chi_square_tail,
    incomplete_beta,
    normal_cdf,
    normal_quantile,
    student_quantile,
    student_tail,
)


@pytest.mark.parametrize(
    ("statistic", "degrees", "tail"),
    [
        (0.5, 1, 0.47950012218695346),
        (3.841, 1, 0.050013683763956705),
        (10.83, 1, 0.00099868637918025878),
        (25, 1, 5.7330314375838782e-7),
        (60, 1, 9.4857375710738484e-15),
        (0.1, 2, 0.95122942450071401),
        (5.99, 2, 0.050036627086586288),
        (20, 2, 4.5399929762484852e-5),
        (1, 3, 0.8012519569012008),
        (7.81, 3, 0.050106056350005933),
        (16.27, 3, 0.00099822323990541828),
        (4, 4, 0.40600584970983808),
        (18.47, 4, 0.0009985695222055112),
        (100, 4, 9.8366242246159807e-21),
        (30, 20, 0.069853660699409768),
        (5, 20, 0.99972264790537916),
        (150, 100, 0.00090393204235400909),
    ],
)
def test_chi_square(statistic: float, degrees: int, tail: float) -> None:
    assert chi_square_tail(statistic, degrees) == pytest.approx(tail, rel=1e-10)


@pytest.mark.parametrize(
    ("t", "degrees", "tail"),
    [
        (0.5, 1, 0.35241638234956673),
        (12.706, 1, 0.025000401179066593),
        (2, 2, 0.091751709536136984),
        (2.5, 3.5, 0.03784732190474504),
        (1.96, 10, 0.039218120123849854),
        (2.228, 10, 0.025005885908555691),
        (3, 25.7, 0.0029649151582240367),
        (1.96, 100, 0.026389450683114831),
        (4, 39, 0.00013692868973695011),
        (6, 500, 1.8952211692396462e-9),
        (1, 20_000, 0.15866130312395355),
        (-1.5, 8, 0.91399835402404436),
    ],
)
def test_student(t: float, degrees: float, tail: float) -> None:
    assert student_tail(t, degrees) == pytest.approx(tail, rel=1e-9)


@pytest.mark.parametrize(
    ("share", "degrees", "quantile"),
    [
        (0.975, 1, 12.706204736174705),
        (0.975, 5, 2.5705818356363155),
        (0.975, 30, 2.0422724563012383),
        (0.975, 123.4, 1.9793749463174202),
        (0.995, 10, 3.1692726726169512),
        (0.9, 4, 1.5332062740589439),
        (0.9995, 58, 3.4663287949310111),
        (0.975, 100_000, 1.9599877075346096),
    ],
)
def test_student_quantile(share: float, degrees: float, quantile: float) -> None:
    assert student_quantile(share, degrees) == pytest.approx(quantile, rel=1e-9)


@pytest.mark.parametrize(
    ("z", "below"),
    [
        (-8, 6.2209605742717841e-16),
        (-3, 0.0013498980316300945),
        (-1.5, 0.066807201268858066),
        (0.3, 0.61791142218895264),
        (2, 0.97724986805182079),
    ],
)
def test_normal(z: float, below: float) -> None:
    assert normal_cdf(z) == pytest.approx(below, rel=1e-12)


def test_ends_are_exact() -> None:
    assert normal_quantile(0.8) == pytest.approx(0.84162123357291421, abs=1e-12)
    assert (chi_square_tail(0, 3), incomplete_beta(2, 3, 0), incomplete_beta(2, 3, 1)) == (1.0, 0.0, 1.0)
    assert (student_tail(float("inf"), 4), student_tail(float("-inf"), 4)) == (0.0, 1.0)


def test_scipy_agrees_where_there_is_one() -> None:
    stats = pytest.importorskip("scipy.stats")
    for degrees in (1, 2, 5, 17.5, 300):
        for value in (0.01, 0.7, 2.0, 5.5, 40.0):
            assert student_tail(value, degrees) == pytest.approx(stats.t.sf(value, degrees), rel=1e-9)
            assert chi_square_tail(value, int(degrees)) == pytest.approx(stats.chi2.sf(value, int(degrees)), rel=1e-9)
