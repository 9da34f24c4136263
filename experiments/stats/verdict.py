"""What may be said of an experiment now: one state, decided by its facts alone, the first rule that fits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

EMPTY_AFTER = timedelta(hours=24)
ENOUGH_TIME = timedelta(days=2)
ENOUGH_RATINGS = 100
"""Of each text. With less of either it is too early."""
FULL_WEEK = timedelta(days=7)
LEADS_FROM = 0.95
LEADS_UNTIL = 0.90
"""A text that is ahead stays so until its chance falls under this: a verdict does not flip with every count."""
NO_LOSS = 0.005
"""Half a point: where picking either text costs at most this, they are the same."""


class Verdict(StrEnum):
    """What the page says, in the order of its rules."""

    ENDED = "ended"
    NOT_STARTED = "not_started"
    NO_DATA = "no_data"
    DO_NOT_TRUST = "do_not_trust"
    WORSE = "worse"
    TOO_EARLY = "too_early"
    AHEAD = "ahead"
    NO_DIFFERENCE = "no_difference"
    OVERDUE = "overdue"
    KEEP_GOING = "keep_going"


@dataclass(frozen=True, slots=True)
class Rival:
    """One treatment against the control. `low`, `high`: always-valid range of the change in approval, in shares.

    `chance`: to be better than the control, 0..1. `led_yesterday`: `leads` held at the daily count before this one.
    """

    key: str
    low: float
    high: float
    chance: float
    breaks_guardrail: bool = False
    led_yesterday: bool = False

    @property
    def is_worse(self) -> bool:
        return self.high < 0 or self.breaks_guardrail

    @property
    def leads(self) -> bool:
        """Whether it would be ahead if it had been so yesterday."""
        return self.chance >= LEADS_FROM and self.low > 0 and not self.breaks_guardrail


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a verdict depends on. `ran_for` None: not started. `rivals`: those with ratings, as the control has.

    `planned_ratings`: of each text, 0 without a plan. `is_past_end`: the planned end has passed.
    """

    ran_for: timedelta | None
    shown: int
    fewest_ratings: int
    rivals: tuple[Rival, ...]
    is_ended: bool = False
    is_split_wrong: bool = False
    has_errors_in_one_text: bool = False
    planned_ratings: int = 0
    is_past_end: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """A verdict, and which text it is about; "" where it is about none."""

    verdict: Verdict
    about: str = ""


NOTHING_SAID = Said(Verdict.NOT_STARTED)


def verdict(facts: Facts, before: Said = NOTHING_SAID) -> Said:
    """Return what may be said now, given what was said last."""
    if facts.is_ended:
        return Said(Verdict.ENDED)
    if facts.ran_for is None:
        return Said(Verdict.NOT_STARTED)
    if facts.ran_for > EMPTY_AFTER and not facts.shown:
        return Said(Verdict.NO_DATA)
    if facts.is_split_wrong or facts.has_errors_in_one_text:
        return Said(Verdict.DO_NOT_TRUST)
    worst = min((one for one in facts.rivals if one.is_worse), key=lambda one: one.high, default=None)
    if worst:
        return Said(Verdict.WORSE, worst.key)
    if _is_early(facts):
        return Said(Verdict.TOO_EARLY)
    return _of_enough(facts, before)


def _is_early(facts: Facts) -> bool:
    assert facts.ran_for is not None
    wanted = max(ENOUGH_RATINGS, facts.planned_ratings)
    return facts.ran_for < ENOUGH_TIME or (facts.fewest_ratings < wanted and not facts.is_past_end)


def _of_enough(facts: Facts, before: Said) -> Said:
    """Return what enough data say."""
    assert facts.ran_for is not None
    ahead = [one for one in facts.rivals if _is_ahead(one, facts.ran_for, before)]
    if ahead:
        return Said(Verdict.AHEAD, max(ahead, key=lambda one: one.chance).key)
    if facts.is_past_end and any(one.leads for one in facts.rivals):
        return Said(Verdict.OVERDUE)
    if facts.is_past_end or _is_same(facts.rivals):
        return Said(Verdict.NO_DIFFERENCE)
    return Said(Verdict.KEEP_GOING)


def _is_ahead(rival: Rival, ran_for: timedelta, before: Said) -> bool:
    if before == Said(Verdict.AHEAD, rival.key):
        return rival.chance >= LEADS_UNTIL and not rival.breaks_guardrail
    return ran_for >= FULL_WEEK and rival.leads and rival.led_yesterday


def _is_same(rivals: tuple[Rival, ...]) -> bool:
    """Whether the most one can lose by picking any text is too little to matter."""
    return bool(rivals) and all(max(-one.low, one.high) < NO_LOSS for one in rivals)
