"""The rehearsal: its ratings are what was asked for, its runs repeat, and the rule errs rarely and is right fast."""

from __future__ import annotations

import io
import random
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command

from experiments.services.rehearsal import Outcome, Scenario, binomial, rehearse, summary


def printed(**options: object) -> list[list[str]]:
    out = io.StringIO()
    call_command("simulate_rollout", stdout=out, verbosity=0, **options)
    return [line.split() for line in out.getvalue().splitlines()[1:]]


def test_the_binomial_has_its_mean_and_variance() -> None:
    chance = random.Random(5)
    drawn = [binomial(chance, 40, 0.8) for _ in range(4000)]
    mean = sum(drawn) / len(drawn)
    assert mean == pytest.approx(32, abs=0.2)
    assert sum((one - mean) ** 2 for one in drawn) / len(drawn) == pytest.approx(6.4, abs=0.7)
    assert (binomial(chance, 7, 1.0), binomial(chance, 7, 0.0), binomial(chance, 0, 0.5)) == (7, 0, 0)


def test_healthy_texts_stay_and_bad_ones_go() -> None:
    healthy = [rehearse(Scenario(rate=200, base=0.8, days=1), run) for run in range(60)]
    assert summary(healthy).paused <= 2
    bad = summary([rehearse(Scenario(rate=200, base=0.8, drop=0.2), run) for run in range(60)])
    assert (bad.share, bad.runs) == (1.0, 60)
    assert bad.median_events is not None and bad.median_events <= 330


def test_users_who_agree_with_themselves_do_not_fool_it() -> None:
    same = Scenario(rate=200, base=0.8, days=1, icc=0.3, ratings_per_user=3)
    assert summary([rehearse(same, run) for run in range(40)]).paused <= 2


def test_after_each_rating_it_is_as_sure_and_faster() -> None:
    each = Scenario(rate=2000, base=0.8, days=0.5, look_minutes=0)
    assert summary([rehearse(each, run) for run in range(12)]).paused <= 1
    bad = summary([rehearse(replace(each, drop=0.2, icc=0.3, ratings_per_user=3), run) for run in range(40)])
    assert bad.share == 1.0
    assert bad.median_events is not None and bad.median_events <= 300


@pytest.mark.parametrize("look_minutes", [5.0, 0.0])
def test_as_many_ratings_come_as_were_asked_for(look_minutes: float) -> None:
    for users in (1, 3):
        scenario = Scenario(300, 0.8, days=2, ratings_per_user=users, icc=0.2, look_minutes=look_minutes)
        whole = [one.events for run in range(10) if not (one := rehearse(scenario, run)).is_paused]
        assert sum(whole) / len(whole) == pytest.approx(300 * 48, rel=0.05)


def test_the_summary_counts_paused_runs_only() -> None:
    outcomes = [Outcome(True, 10, 1.0), Outcome(True, 30, 2.0), Outcome(False, 999, 168.0)]
    found = summary(outcomes)
    assert (found.runs, found.paused, found.median_events, found.p90_events, found.median_hours) == (3, 2, 10, 30, 1.0)
    with pytest.raises(ValueError, match="No run"):
        summary([])


def test_the_table_has_a_line_for_each_combination_and_repeats() -> None:
    asked = {"rate": [100.0, 400.0], "drop": [0.0, 0.3], "runs": 12, "looks": 60, "seed": 3}
    lines = printed(**asked)
    assert [line[:3] for line in lines] == [
        ["0.8", "0", "100"], ["0.8", "0", "400"], ["0.8", "0.3", "100"], ["0.8", "0.3", "400"],
    ]  # fmt: skip
    assert printed(**asked, jobs=2) == lines
    assert lines[0][3] == "0.00%"
    assert lines[3][3] != "0.00%"


@pytest.mark.parametrize(
    "options",
    [
        {"base": [1.5]},
        {"base": [0.2], "drop": [0.3]},
        {"icc": 1.0},
        {"rate": [0.0]},
        {"runs": 0},
        {"looks": -1},
        {"look_minutes": -1.0},
        {"look_minutes": 0.0, "looks": 5},
    ],
)
def test_what_cannot_be_simulated_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(CommandError):
        printed(**options)
