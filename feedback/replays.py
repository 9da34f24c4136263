"""Reads: what a replay came to. How the new answers compare with those that were rated, and which of them flipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from feedback.models import Replay, ReplayItem
from feedback.stats import p_of_even
from prompts.checks import PREFERRED, wilson
from prompts.checks.preferring import BETTER, NEITHER, WORSE
from prompts.models import SuiteResult, SuiteRun

SURE: Final = 0.05
Verdict = Literal["waiting", "better", "worse", "open"]
State = SuiteResult.State


@dataclass(frozen=True, slots=True)
class Replayed:
    """One rated answer to what it was `about`, as it was kept, and what the version says now.

    `score`: 1 better, 0 worse, 0.5 neither; None: not known.
    """

    item: ReplayItem
    result: SuiteResult
    about: str
    before: str
    score: float | None
    reason: str

    @property
    def flip(self) -> Literal["", "mended", "broken"]:
        """`mended`: disliked then, better now. `broken`: liked then, worse now."""
        if self.score == BETTER and not self.item.is_up:
            return "mended"
        return "broken" if self.score == WORSE and self.item.is_up else ""

    @property
    def is_disagreement(self) -> bool:
        """Whether the judge finds one of the two answers better."""
        return self.score in (BETTER, WORSE)


@dataclass(frozen=True, slots=True)
class Side:
    """The answers that were liked, or those that were not."""

    asked: int
    better: int
    same: int
    worse: int
    undecided: int


@dataclass(frozen=True, slots=True)
class Found:
    """What it came to. `share`: better among those that differ, with its 95 % range (Wilson); `p`: of chance alone.

    Shares are of this sample, which holds more dislikes than traffic does.
    """

    downs: Side
    ups: Side
    verdict: Verdict
    share: float | None
    low: float
    high: float
    p: float
    items: Sequence[Replayed]

    @property
    def mended(self) -> int:
        return sum(one.flip == "mended" for one in self.items)

    @property
    def broken(self) -> int:
        return sum(one.flip == "broken" for one in self.items)


def found(replay: Replay) -> Found:
    """Return what a replay came to so far, flips first: three queries."""
    results = {row.place: row for row in SuiteResult.objects.filter(run=replay.run_id)}
    rows = ReplayItem.objects.filter(replay=replay).select_related("feedback")
    plan = SuiteRun.objects.values_list("plan", flat=True).get(pk=replay.run_id)
    items = [_replayed(item, results[item.place], plan[item.place]) for item in rows]
    better = sum(one.score == BETTER for one in items)
    worse = sum(one.score == WORSE for one in items)
    share, p = better / (better + worse) if better + worse else None, p_of_even(better, worse)
    verdict: Verdict = "open"
    if replay.run.is_open:
        verdict = "waiting"
    elif p < SURE:
        verdict = "better" if better > worse else "worse"
    order = {"broken": 0, "mended": 1, "": 2}
    shown = sorted(items, key=lambda one: (order[one.flip], not one.is_disagreement, one.item.place))
    downs, ups = (_side([one for one in items if one.item.is_up is is_up]) for is_up in (False, True))
    return Found(downs, ups, verdict, share, *wilson(better, better + worse), p, shown)


def _replayed(item: ReplayItem, result: SuiteResult, case: Mapping[str, Any]) -> Replayed:
    said = next((one for one in result.outcomes if one["check"] == PREFERRED), None)
    is_judged = said is not None and result.state in (State.PASSED, State.FAILED)
    score = said["score"] if said is not None and is_judged else None
    reason = said["detail"] if said is not None else result.problem
    return Replayed(item, result, _about(case), case["expected"], score, reason)


def _about(case: Mapping[str, Any]) -> str:
    """Return what was asked: the last that a user said, else what stood in the blanks."""
    said = [message["content"] for message in case["messages"] if message["role"] == "user"]
    return said[-1] if said else ", ".join(str(value) for value in case["variables"].values())


def _side(items: Sequence[Replayed]) -> Side:
    better, alike, worse = (sum(one.score == score for one in items) for score in (BETTER, NEITHER, WORSE))
    return Side(len(items), better, alike, worse, undecided=len(items) - better - alike - worse)
