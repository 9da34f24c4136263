"""What may be said: every state, what comes before what, and that a lead does not flip."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from experiments.stats.verdict import Facts, Rival, Said, Verdict, verdict

DRAW = Rival("b", low=-0.02, high=0.03, chance=0.7)
LEADS = Rival("b", low=0.01, high=0.05, chance=0.99, led_yesterday=True)
WORSE = Rival("b", low=-0.09, high=-0.01, chance=0.01)
ENOUGH = Facts(ran_for=timedelta(days=8), shown=9000, fewest_ratings=2000, rivals=(DRAW,))


def facts(rival: Rival = DRAW, **changes: object) -> Facts:
    return replace(ENOUGH, rivals=(rival,), **changes)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (facts(is_ended=True, ran_for=None), Said(Verdict.ENDED)),
        (facts(ran_for=None), Said(Verdict.NOT_STARTED)),
        (facts(ran_for=timedelta(hours=25), shown=0), Said(Verdict.NO_DATA)),
        (facts(ran_for=timedelta(hours=23), shown=0, fewest_ratings=0), Said(Verdict.TOO_EARLY)),
        (facts(is_split_wrong=True), Said(Verdict.DO_NOT_TRUST)),
        (facts(has_errors_in_one_text=True), Said(Verdict.DO_NOT_TRUST)),
        (facts(WORSE), Said(Verdict.WORSE, "b")),
        (facts(replace(LEADS, breaks_guardrail=True)), Said(Verdict.WORSE, "b")),
        (facts(ran_for=timedelta(hours=47)), Said(Verdict.TOO_EARLY)),
        (facts(fewest_ratings=99), Said(Verdict.TOO_EARLY)),
        (facts(fewest_ratings=999, planned_ratings=1000), Said(Verdict.TOO_EARLY)),
        (facts(LEADS), Said(Verdict.AHEAD, "b")),
        (facts(LEADS, ran_for=timedelta(days=6)), Said(Verdict.KEEP_GOING)),
        (facts(replace(LEADS, led_yesterday=False)), Said(Verdict.KEEP_GOING)),
        (facts(replace(LEADS, low=-0.001)), Said(Verdict.KEEP_GOING)),
        (facts(replace(LEADS, chance=0.94)), Said(Verdict.KEEP_GOING)),
        (facts(is_past_end=True), Said(Verdict.NO_DIFFERENCE)),
        (facts(Rival("b", -0.004, 0.0049, 0.6)), Said(Verdict.NO_DIFFERENCE)),
        (facts(Rival("b", -0.004, 0.0051, 0.6)), Said(Verdict.KEEP_GOING)),
        (facts(replace(LEADS, led_yesterday=False), is_past_end=True), Said(Verdict.OVERDUE)),
        (facts(), Said(Verdict.KEEP_GOING)),
    ],
)
def test_the_first_rule_that_fits_decides(found: Facts, said: Said) -> None:
    assert verdict(found) == said


def test_distrust_comes_before_a_loser_and_a_loser_before_too_early() -> None:
    assert verdict(facts(WORSE, is_split_wrong=True)).verdict == Verdict.DO_NOT_TRUST
    assert verdict(facts(WORSE, ran_for=timedelta(hours=3), fewest_ratings=40)).verdict == Verdict.WORSE


@pytest.mark.parametrize(("chance", "stays"), [(0.93, True), (0.90, True), (0.899, False)])
def test_a_lead_is_taken_back_under_ninety_percent_only(chance: float, stays: bool) -> None:
    weaker = facts(Rival("b", -0.01, 0.05, chance))
    assert (verdict(weaker, Said(Verdict.AHEAD, "b")).verdict == Verdict.AHEAD) == stays
    assert verdict(weaker).verdict == Verdict.KEEP_GOING
    assert verdict(weaker, Said(Verdict.AHEAD, "c")).verdict == Verdict.KEEP_GOING


def test_of_several_the_worst_and_the_best_are_named() -> None:
    worst = replace(WORSE, key="c", high=-0.02)
    assert verdict(replace(ENOUGH, rivals=(WORSE, worst))).about == "c"
    best = replace(LEADS, key="c", chance=0.999)
    assert verdict(replace(ENOUGH, rivals=(LEADS, best))).about == "c"
