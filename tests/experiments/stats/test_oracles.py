"""Our statistics against scipy, statsmodels and gbstats, to nine digits. `make_oracles.py` wrote down what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from experiments.stats import (
    comparison,
    distributions,
    health,
    histogram,
    moments,
    multiplicity,
    power,
    proportion,
    sequential,
    skewed,
)  # fmt: skip
from experiments.stats.moments import Moments, independent
from tests.experiments.stats.make_oracles import FILE, Case, found_here

ORACLES: dict[str, list[Case]] = json.loads(FILE.read_text(encoding="utf-8"))
CASES = [one for cases in ORACLES.values() for one in cases]


def _split(seen: list[int], weights: list[int]) -> tuple[float, float | None]:
    names = [str(index) for index in range(len(seen))]
    found = health.sample_ratio(dict(zip(names, seen, strict=True)), dict(zip(names, weights, strict=True)))
    return found.statistic, found.p_value


def _horizon(one: list[Any], other: list[Any]) -> tuple[float, ...]:
    found = comparison.fixed_horizon(Moments(*one), Moments(*other))
    return found.change, found.low, found.high, found.p_value, found.degrees


def _best(ups: list[int], ratings: list[int]) -> tuple[float, ...]:
    return comparison.chances_to_be_best([independent(n, up) for up, n in zip(ups, ratings, strict=True)])


def _winsorised(rows: list[tuple[int, float]], kept: float) -> tuple[float | None, ...]:
    found = skewed.winsorised(rows, kept)
    return found.total, found.total_sq, found.events_total, found.squares


OURS: dict[str, Callable[..., Any]] = {
    "normal_cdf": distributions.normal_cdf,
    "normal_quantile": distributions.normal_quantile,
    "chi_square_tail": distributions.chi_square_tail,
    "student_tail": distributions.student_tail,
    "student_quantile": distributions.student_quantile,
    "incomplete_beta": distributions.incomplete_beta,
    "sample_ratio": _split,
    "fixed_horizon": _horizon,
    "chances_to_be_best": _best,
    "wilson": proportion.wilson,
    "newcombe": lambda control, treatment: comparison.newcombe(tuple(control), tuple(treatment)),
    "holm": multiplicity.holm,
    "benjamini_hochberg": multiplicity.benjamini_hochberg,
    "clustered_variance": lambda sums: moments.clustered_variance(Moments(*sums)),
    "two_sided_half_width": sequential.two_sided_half_width,
    "power_of": power.power_of,
    "quantile_ms": histogram.quantile_ms,
    "winsorised": _winsorised,
}


def test_three_packages_say_enough() -> None:
    assert {name.split()[0] for name in ORACLES} == {"scipy", "statsmodels", "gbstats"}
    assert len(CASES) >= 60
    assert {one["function"] for one in CASES} == set(OURS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['function']}-{case['oracle']}")
def test_we_say_the_same(case: Case) -> None:
    """Tails to nine of their own digits, however small they are; ends that are exactly 0 to the last bit of a 1."""
    is_tail = case["function"] in ("normal_cdf", "chi_square_tail", "student_tail")
    least = 0.0 if is_tail else 1e-15
    assert OURS[case["function"]](*case["arguments"]) == pytest.approx(case["value"], rel=1e-9, abs=least)


def test_the_file_is_what_they_say_today() -> None:
    """Where one of them is installed: it is asked again."""
    here = found_here()
    if not here:
        pytest.skip("neither scipy with statsmodels nor gbstats is installed")
    for name, cases in here.items():
        written = next(kept for known, kept in ORACLES.items() if known.split()[0] == name.split()[0])
        for said, kept in zip(cases, written, strict=True):
            assert said["value"] == pytest.approx(kept["value"], rel=1e-9, abs=1e-15), kept
