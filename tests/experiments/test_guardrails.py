"""The rule that takes a text back: its edge cases, its budget, its three metrics."""

from __future__ import annotations

import math

import pytest

from experiments.services.guardrails import APPROVAL, FAMILY, Decision, Metric, decide
from experiments.stats.moments import Moments, independent


def approvals(control: tuple[int, int], treatment: tuple[int, int]) -> Decision:
    """Decide over (thumbs-up, ratings) of each, every rating from another user."""
    arms = [{Metric.APPROVAL: independent(n, up)} for up, n in (control, treatment)]
    return decide(arms[0], {"b": arms[1]})


@pytest.mark.parametrize(
    ("control", "treatment", "is_harmful"),
    [
        ((30, 30), (18, 30), True),
        ((29, 29), (5, 29), False),
        ((4000, 5000), (3700, 5000), True),
        ((4000, 5000), (3850, 5000), False),
        ((24, 30), (24, 30), False),
        ((18, 30), (30, 30), False),
        ((0, 40), (0, 40), False),
        ((40, 40), (40, 40), False),
    ],
)
def test_edge_cases(control: tuple[int, int], treatment: tuple[int, int], is_harmful: bool) -> None:
    assert approvals(control, treatment).is_harmful == is_harmful


def test_harm_below_the_margin_is_not_acted_on_however_certain() -> None:
    (found,) = approvals((800_000, 1_000_000), (755_000, 1_000_000)).findings
    assert found.upper < 0
    assert not found.is_harmful


def test_ratings_of_nineteen_users_are_not_enough() -> None:
    few = Moments(19, 190, 190, 1900, 1900, 1900)
    none = Moments(19, 190, 0, 1900, 0, 0)
    (found,) = decide({Metric.APPROVAL: few}, {"b": {Metric.APPROVAL: none}}).findings
    assert (found.has_enough, found.is_harmful) == (False, False)


def test_the_same_ratings_of_few_users_prove_less() -> None:
    def arm(users: int, ratings: int, share: float) -> dict[Metric, Moments]:
        happy = round(users * share)
        return {
            Metric.APPROVAL: Moments(
                users, users * ratings, happy * ratings, users * ratings**2, happy * ratings**2, happy * ratings**2
            )
        }

    many = decide(arm(300, 1, 0.8), {"b": arm(300, 1, 0.6)})
    few = decide(arm(30, 10, 0.8), {"b": arm(30, 10, 0.6)})
    assert many.is_harmful
    assert not few.is_harmful
    assert few.findings[0].change == pytest.approx(many.findings[0].change)


def test_the_numbers_are_those_of_the_published_rule() -> None:
    """EXPERIMENTS 3.2 written out once more for 240/300 against 195/300."""
    (found,) = approvals((240, 300), (195, 300)).findings
    shares = [241 / 302, 196 / 302]
    floor = [p * (1 - p) / 300 for p in shares]
    means = [0.8, 0.65]
    clustered = [
        (n_up - 2 * r * n_up + r * r * 300) / 300**2 * 300 / 299 for n_up, r in zip((240, 195), means, strict=True)
    ]
    variance = sum(map(max, floor, clustered))
    events = 2 * sum(p * (1 - p) for p in shares) / variance
    x = events * (-2 * math.log(0.01) + math.log(-2 * math.log(0.01) + 1)) / 300
    half = math.sqrt(variance) * math.sqrt(2 * (x + 1) / x * math.log1p(math.sqrt(x + 1) / 0.01))
    assert (found.change, found.upper) == pytest.approx((-0.15, -0.15 + half), rel=1e-12)


def test_a_phase_has_one_percent_over_all_metrics_and_treatments() -> None:
    assert sum(rule.alpha for rule in FAMILY) == pytest.approx(0.01)
    one = {Metric.APPROVAL: independent(100, 80)}
    found = decide(one, {"b": one, "c": one}).findings
    assert [finding.alpha for finding in found] == [APPROVAL.alpha / 2] * 2


def test_errors_are_found() -> None:
    control, failing = independent(1000, 990), independent(1000, 890)
    found = decide({Metric.SUCCESS: control}, {"b": {Metric.SUCCESS: failing}})
    assert [one.metric for one in found.harms] == [Metric.SUCCESS]
    assert not decide({Metric.SUCCESS: control}, {"b": {Metric.SUCCESS: independent(199, 100)}}).is_harmful


@pytest.mark.parametrize(("factor", "is_harmful"), [(1.5, True), (1.05, False), (0.5, False)])
def test_waiting_longer_is_harm(factor: float, is_harmful: bool) -> None:
    def waits(factor: float) -> dict[Metric, Moments]:
        logs = [math.log(factor * (200 + 7 * (i % 100))) for i in range(1000)]
        squares = sum(one * one for one in logs)
        return {Metric.LATENCY: Moments(1000, 1000, sum(logs), 1000, squares, sum(logs), squares=squares)}

    found = decide(waits(1), {"b": waits(factor)})
    assert found.is_harmful == is_harmful
    assert found.findings[0].change == pytest.approx(-math.log(factor))


def test_a_metric_without_events_is_left_out() -> None:
    nothing = {Metric.APPROVAL: Moments(0, 0, 0, 0, 0, 0)}
    assert decide(nothing, {"b": nothing}).findings == ()
    assert decide(nothing, {}).findings == ()
