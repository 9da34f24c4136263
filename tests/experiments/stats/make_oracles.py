"""Write oracles.json, what other people's packages say of our statistics: `python -m tests.experiments.stats.make_oracles`.

They weigh more than PromptLab itself (numpy, pandas), and gbstats wants older ones than statsmodels, so they are no
requirement: run this with scipy and statsmodels installed, and again where gbstats is. Each run replaces the cases of
the packages it finds and keeps the others. `test_oracles.py` holds our functions against the file.
"""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Iterator
from importlib.metadata import version
from math import sqrt
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("oracles.json")
Case = dict[str, Any]
Unit = tuple[int, float]
"""(events, their total)"""


def case(function: str, arguments: list[Any], value: Any, oracle: str) -> Case:
    """Return one case; numbers are plain floats, so that JSON keeps every digit."""
    plain = [float(one) for one in value] if hasattr(value, "__len__") else float(value)
    return {"function": function, "arguments": arguments, "value": plain, "oracle": oracle}


def units(seed: int, count: int, most: int, share: float) -> list[Unit]:
    """Return units with 1 to `most` events of 0 or 1 each; people differ."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        events, own = 1 + int(chance.random() * most), min(1.0, max(0.0, share + chance.gauss(0, 0.2)))
        found.append((events, float(sum(chance.random() < own for _ in range(events)))))
    return found


def moments(rows: list[Unit], squares: float | None = None) -> list[float | None]:
    """Return the arguments of `Moments`."""
    return [
        len(rows),
        sum(n for n, _ in rows),
        sum(s for _, s in rows),
        sum(n * n for n, _ in rows),
        sum(s * s for _, s in rows),
        sum(n * s for n, s in rows),
        squares,
    ]


def of_scipy() -> Iterator[Case]:
    """Yield tails, quantiles, Pearson's chi-square, Welch's t test, and an integral."""
    from scipy import stats
    from scipy.special import betainc

    for z in (-30.0, -8.5, -1.959964, -0.1, 0.0, 0.7, 6.0):
        yield case("normal_cdf", [z], stats.norm.cdf(z), "scipy.stats.norm.cdf")
    for share in (1e-9, 0.025, 0.5, 0.8, 0.975, 1 - 1e-6):
        yield case("normal_quantile", [share], stats.norm.ppf(share), "scipy.stats.norm.ppf")
    for x, degrees in ((0.02, 1), (3.84, 1), (15.1, 1), (40.0, 1), (2.5, 2), (9.2, 4), (0.3, 4), (55.0, 9)):
        yield case("chi_square_tail", [x, degrees], stats.chi2.sf(x, degrees), "scipy.stats.chi2.sf")
    for t, degrees in ((0.0, 3), (-1.2, 5.5), (2.1, 19.3), (4.7, 120.0), (12.0, 40.2), (1.96, 9999.5), (30.0, 2.0)):
        yield case("student_tail", [t, degrees], stats.t.sf(t, degrees), "scipy.stats.t.sf")
    for share, degrees in ((0.975, 1.7), (0.975, 38.4), (0.995, 12.0), (0.9, 250.5), (0.9995, 6.0)):
        yield case("student_quantile", [share, degrees], stats.t.ppf(share, degrees), "scipy.stats.t.ppf")
    for a, b, x in ((0.5, 0.5, 0.3), (2.5, 0.5, 0.9), (19.5, 0.5, 0.98), (70.0, 31.0, 0.7), (1.0, 3.0, 0.01)):
        yield case("incomplete_beta", [a, b, x], betainc(a, b, x), "scipy.special.betainc")
    for seen, weights in (
        ([5000, 5100], [5000, 5000]),
        ([900, 111], [9000, 1000]),
        ([330, 331, 339], [3333, 3333, 3334]),
        ([120, 0], [5000, 5000]),
        ([2510, 2400, 2600, 2490], [2500, 2500, 2500, 2500]),
    ):
        expected = [sum(seen) * one / sum(weights) for one in weights]
        found = stats.chisquare(seen, expected)
        yield case("sample_ratio", [seen, weights], [found.statistic, found.pvalue], "scipy.stats.chisquare")
    yield from _welch()
    yield from _best()
    yield from _long_tails()


def _welch() -> Iterator[Case]:
    from scipy import stats

    for seed, (size, other, shift) in enumerate(((30, 40, 0.4), (200, 80, 0.0), (12, 500, -0.7), (1000, 1000, 0.05))):
        chance = random.Random(seed)
        one = [chance.gauss(6, 1) for _ in range(size)]
        two = [chance.gauss(6 + shift, 1.8) for _ in range(other)]
        found = stats.ttest_ind(two, one, equal_var=False)
        low, high = found.confidence_interval(0.95)
        change = sum(two) / other - sum(one) / size
        given = [moments([(1, x) for x in rows], sum(x * x for x in rows)) for rows in (one, two)]
        yield case("fixed_horizon", given, [change, low, high, found.pvalue, found.df], "scipy.stats.ttest_ind")


def _best() -> Iterator[Case]:
    import numpy
    from scipy import integrate, stats

    for ups, ratings in (((80, 85, 79), (100, 100, 100)), ((30, 41), (60, 70)), ((700, 720, 690, 735), (1000,) * 4)):
        shares = [(up + 1) / (n + 2) for up, n in zip(ups, ratings, strict=True)]
        beliefs = [
            (up / n, sqrt(max(up / n * (1 - up / n) / (n - 1), p * (1 - p) / n)))
            for up, n, p in zip(ups, ratings, shares, strict=True)
        ]
        chances = []
        for index, (mean, error) in enumerate(beliefs):
            others = [one for at, one in enumerate(beliefs) if at != index]

            def density(x: float, mean: float = mean, error: float = error, others: Any = others) -> float:
                below = numpy.prod([stats.norm.cdf(x, m, e) for m, e in others])
                return float(stats.norm.pdf(x, mean, error) * below)

            ends = mean - 9 * error, mean + 9 * error
            chances.append(integrate.quad(density, *ends, epsabs=1e-13, epsrel=1e-12, limit=500)[0])
        yield case("chances_to_be_best", [list(ups), list(ratings)], chances, "scipy.integrate.quad")


def _long_tails() -> Iterator[Case]:
    """Yield sums of units whose largest are held down, and quantiles of waits that are known by bucket alone."""
    import numpy
    from scipy.stats.mstats import winsorize

    for seed, (size, kept) in enumerate(((1000, 0.999), (40, 0.95), (300, 0.99))):
        chance = random.Random(seed)
        rows = [(1 + int(3 * chance.random()), round(chance.lognormvariate(-6, 1.5), 9)) for _ in range(size)]
        held = numpy.asarray(winsorize(numpy.array([total for _, total in rows]), limits=(0, 1 - kept)))
        events = numpy.array([number for number, _ in rows])
        sums = [held.sum(), (held**2).sum(), (events * held).sum(), (held**2 / events).sum()]
        yield case("winsorised", [rows, kept], sums, "scipy.stats.mstats.winsorize")
    for seed, size in enumerate((7, 200, 5000)):
        chance = random.Random(seed)
        buckets = [min(111, max(0, int(chance.gauss(45, 9)))) for _ in range(size)]
        middles = numpy.array([16 * 2 ** ((one + 0.5) / 8) for one in buckets])
        counts = {str(one): buckets.count(one) for one in sorted(set(buckets))}
        for share in (0.5, 0.95, 0.99):
            found = numpy.quantile(middles, share, method="inverted_cdf")
            yield case("quantile_ms", [counts, share], found, "numpy.quantile inverted_cdf")


def of_statsmodels() -> Iterator[Case]:
    """Yield intervals of shares, adjusted p-values, power, and the cluster-robust variance of a mean from raw events."""
    import numpy
    from statsmodels.api import OLS
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.power import normal_power_het
    from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

    for ups, ratings in ((0, 10), (5, 9), (30, 30), (240, 300), (9999, 10000), (1, 1)):
        found = proportion_confint(ups, ratings, method="wilson")
        yield case("wilson", [ups, ratings], found, "statsmodels proportion_confint wilson")
    for one, other in (
        ((56, 70), (48, 80)),
        ((18, 30), (30, 30)),
        ((5, 29), (29, 29)),
        ((740, 1000), (800, 1000)),
        ((1, 9), (0, 9)),
    ):
        found = confint_proportions_2indep(*one, *other, method="newcomb", compare="diff")
        yield case("newcombe", [list(other), list(one)], found, "statsmodels confint_proportions_2indep newcomb")
    for seed, size in enumerate((2, 3, 5, 9)):
        chance = random.Random(seed)
        given = [round(chance.random() ** 3, 6) for _ in range(size)]
        for name, method in (("holm", "holm"), ("benjamini_hochberg", "fdr_bh")):
            yield case(name, [given], multipletests(given, method=method)[1], f"statsmodels multipletests {method}")
    for base, change, size in ((0.8, -0.05, 1091), (0.8, -0.05, 90), (0.7, 0.02, 4000), (0.95, -0.2, 60)):
        spread = sqrt(base * (1 - base) + (base + change) * (1 - base - change))
        # The other tail of a two-sided test is no power: it would find the opposite.
        found = normal_power_het(abs(change), size, 0.025, spread, spread, alternative="larger")
        yield case("power_of", [base, change, size], found, "statsmodels normal_power_het")
    for seed, (count, most) in enumerate(((20, 1), (35, 4), (300, 7), (2, 3), (150, 12))):
        rows = units(seed, count, most, 0.7)
        events = [float(at < total) for number, total in rows for at in range(number)]
        groups = [index for index, (number, _) in enumerate(rows) for _ in range(number)]
        fit = OLS(events, numpy.ones(len(events))).fit(cov_type="cluster", cov_kwds={"groups": numpy.array(groups)})
        yield case("clustered_variance", [moments(rows)], fit.cov_params()[0][0], "statsmodels OLS cov_type=cluster")


def of_gbstats() -> Iterator[Case]:
    """Yield what is sound in gbstats 0.8.0: the variance of a ratio and its two-sided sequential interval."""
    from gbstats.frequentist.tests import SequentialConfig, SequentialTwoSidedTTest
    from gbstats.models.statistics import RatioStatistic, SampleMeanStatistic

    def ratio(rows: list[Unit]) -> Any:
        k, n, s, nn, ss, ns, _ = moments(rows)
        return RatioStatistic(
            n=k,
            m_statistic=SampleMeanStatistic(n=k, sum=s, sum_squares=ss),
            d_statistic=SampleMeanStatistic(n=k, sum=n, sum_squares=nn),
            m_d_sum_of_products=ns,
        )

    for seed, (count, most) in enumerate(((25, 1), (40, 3), (500, 6), (90, 20), (3, 2), (1000, 2))):
        rows = units(100 + seed, count, most, 0.8)
        found = ratio(rows)
        yield case("clustered_variance", [moments(rows)], found.variance / found.n, "gbstats RatioStatistic")
    for seed, (count, planned, alpha) in enumerate(
        ((40, 300.0, 0.05), (200, 1000.0, 0.05), (800, 2000.0, 0.01), (90, 5000.0, 0.05))
    ):
        one, two = ratio(units(seed, count, 4, 0.8)), ratio(units(50 + seed, count, 4, 0.7))
        config = SequentialConfig(alpha=alpha, sequential_tuning_parameter=planned, difference_type="absolute")
        test = SequentialTwoSidedTTest(one, two, config)
        low, high = test.confidence_interval
        given = [test.variance, one.n + two.n, planned, alpha]
        yield case("two_sided_half_width", given, (high - low) / 2, "gbstats SequentialTwoSidedTTest")


ORACLES = {"scipy": of_scipy, "statsmodels": of_statsmodels, "gbstats": of_gbstats}


def found_here() -> dict[str, list[Case]]:
    """Return the cases of every package that is installed, under its name and version."""
    return {
        f"{name} {version(name)}": list(made())
        for name, made in ORACLES.items()
        if importlib.util.find_spec(name) is not None
        and (name != "scipy" or importlib.util.find_spec("gbstats") is None)
    }


def main() -> None:
    """Replace the cases of the packages that are here, keep the others'."""
    kept: dict[str, list[Case]] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    new = found_here()
    names = {one.split()[0] for one in new}
    whole = {**{name: cases for name, cases in kept.items() if name.split()[0] not in names}, **new}
    lines = [
        f"  {json.dumps(name)}: [\n" + ",\n".join(f"    {json.dumps(one)}" for one in cases) + "\n  ]"
        for name, cases in sorted(whole.items())
    ]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
