"""Holm and Benjamini-Hochberg, against statsmodels.stats.multitest's documented definitions and published examples."""

from __future__ import annotations

import pytest

from experiments.stats.multiplicity import benjamini_hochberg, holm

PUBLISHED = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0,
]  # fmt: skip
"""Benjamini, Hochberg 1995, section 4.1: four are found at 5 %, three by Bonferroni."""


def test_the_published_example_finds_four() -> None:
    assert [p <= 0.05 for p in benjamini_hochberg(PUBLISHED)] == [True] * 4 + [False] * 11
    assert [p <= 0.05 for p in holm(PUBLISHED)] == [True] * 3 + [False] * 12


@pytest.mark.parametrize(
    ("raw", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5, 0.5], [1.0, 1.0]),
        ([0.02], [0.02]),
        ([], []),
    ],
)
def test_holm(raw: list[float], adjusted: list[float]) -> None:
    """The first is Wikipedia's worked example of the Holm-Bonferroni method."""
    assert holm(raw) == pytest.approx(adjusted)


@pytest.mark.parametrize(
    ("raw", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.02, 0.04, 0.04, 0.02]),
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05] * 5),
        ([0.9, 0.001], [0.9, 0.002]),
    ],
)
def test_benjamini_hochberg(raw: list[float], adjusted: list[float]) -> None:
    assert benjamini_hochberg(raw) == pytest.approx(adjusted)


def test_what_is_no_p_value_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.2, 1.2])


def test_statsmodels_agrees_where_there_is_one() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    assert holm(PUBLISHED) == pytest.approx(list(multitest.multipletests(PUBLISHED, method="holm")[1]), rel=1e-9)
    found = list(multitest.multipletests(PUBLISHED, method="fdr_bh")[1])
    assert benjamini_hochberg(PUBLISHED) == pytest.approx(found, rel=1e-9)
