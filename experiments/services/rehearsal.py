"""Simulated feedback through the rule that decides in production: how often it errs, and how fast it is right.

One run is one phase: ratings arrive at random over both variants, somebody looks every few minutes or after each rating,
and the first look at which `guardrails.decide` proves harm ends it. Seeded: the same scenario and run give the same
ratings anywhere.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from experiments.services.guardrails import APPROVAL, Metric, Rule, decide
from experiments.stats.moments import Moments

GAP_MINUTES = 60
"""Somebody who rates again does so after an hour on average."""
_SHARE_BITS = 53
Kind = tuple[int, int]
"""(ratings, thumbs-up) of one user so far."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is simulated. `rate`: ratings an hour over both variants. `base`: approval of the control, 0..1.

    `drop`: by how much the treatment's is lower. `icc`: how alike ratings of one unit are, 0..1. `look_minutes`: time
    between two looks; 0 is a look after each rating.
    """

    rate: float
    base: float
    drop: float = 0.0
    icc: float = 0.0
    ratings_per_user: int = 1
    days: float = 7.0
    look_minutes: float = 5.0
    seed: int = 0
    rule: Rule = APPROVAL

    @property
    def looks(self) -> int:
        return round(self.days * 24 * 60 / self.look_minutes)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one run ended. `events`: ratings of both variants until then. `hours`: until then, or the whole phase."""

    is_paused: bool
    events: int
    hours: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of all runs of a scenario. Events and hours are those of paused runs, None without one."""

    runs: int
    paused: int
    median_events: int | None
    p90_events: int | None
    median_hours: float | None

    @property
    def share(self) -> float:
        return self.paused / self.runs


def rehearse(scenario: Scenario, run: int) -> Outcome:
    """Return the outcome of one run; runs of one scenario are independent of each other."""
    rng = Random(f"{scenario.seed}/{scenario.rate}/{scenario.base}/{scenario.drop}/{run}")
    return _at_looks(scenario, rng) if scenario.look_minutes else _after_each(scenario, rng)


def _at_looks(scenario: Scenario, rng: Random) -> Outcome:
    control, treatment = (
        _feedback(scenario, scenario.base, rng),
        _feedback(scenario, scenario.base - scenario.drop, rng),
    )
    events = 0
    for look in range(1, scenario.looks + 1):
        one, other = next(control), next(treatment)
        if one.events + other.events == events:
            continue  # The same sums decide the same.
        events = one.events + other.events
        if _is_harmful(scenario, one, other):
            return Outcome(True, events, look * scenario.look_minutes / 60)
    return Outcome(False, events, scenario.days * 24)


def _after_each(scenario: Scenario, rng: Random) -> Outcome:
    """Let ratings come one by one: of newcomers at an even rate, and of each who has some left an hour later on average.

    The rule is asked only where the drop is as large as its margin, without which it never acts: ratings of a week
    otherwise take too long.
    """
    arms = (_Crowd(scenario.base, scenario.icc), _Crowd(scenario.base - scenario.drop, scenario.icc))
    newcomers, most = scenario.rate / scenario.ratings_per_user, scenario.ratings_per_user
    again = 60 / GAP_MINUTES
    waiting: list[tuple[_Crowd, Kind]] = []
    hours, end, events = 0.0, scenario.days * 24, 0
    chance, closest = rng.random, scenario.rule.margin - 1e-9
    control, treatment = arms
    while True:
        pace = newcomers + again * len(waiting)
        hours -= math.log(1.0 - chance()) / pace
        if hours > end:
            return Outcome(False, events, end)
        crowd, kind = arms[chance() < 0.5], (0, 0)
        if waiting and chance() * pace > newcomers:
            at = int(chance() * len(waiting))
            waiting[at], waiting[-1] = waiting[-1], waiting[at]
            crowd, kind = waiting.pop()
        is_up = chance() < crowd.next_is_up(*kind)
        crowd.book(kind, int(is_up), int(not is_up))
        events += 1
        if kind[0] + 1 < most:
            waiting.append((crowd, (kind[0] + 1, kind[1] + is_up)))
        both = control.events * treatment.events
        if (
            both
            and control.total * treatment.events - treatment.total * control.events >= closest * both
            and _is_harmful(scenario, control.moments(), treatment.moments())
        ):
            return Outcome(True, events, hours)


def _is_harmful(scenario: Scenario, one: Moments, other: Moments) -> bool:
    return decide({Metric.APPROVAL: one}, {"treatment": {Metric.APPROVAL: other}}, (scenario.rule,)).is_harmful


def summary(outcomes: Sequence[Outcome]) -> Summary:
    """Return how many runs were paused, and after what. Raises ValueError without runs."""
    if not outcomes:
        raise ValueError("No run, no summary.")
    paused = [one for one in outcomes if one.is_paused]
    events, hours = sorted(one.events for one in paused), sorted(one.hours for one in paused)
    return Summary(
        runs=len(outcomes),
        paused=len(paused),
        median_events=int(_quantile(events, 0.5)) if events else None,
        p90_events=int(_quantile(events, 0.9)) if events else None,
        median_hours=_quantile(hours, 0.5) if hours else None,
    )


def _quantile(ranked: Sequence[float], share: float) -> float:
    return ranked[math.ceil(share * len(ranked)) - 1]


def _feedback(scenario: Scenario, approval: float, rng: Random) -> Iterator[Moments]:
    """Yield one variant's sums at each look, forever."""
    newcomers = scenario.rate / 2 / scenario.ratings_per_user * scenario.look_minutes / 60
    # Independent counts of the happy and the unhappy are the same as a count that is then divided.
    happy, unhappy = _Poisson(newcomers * approval), _Poisson(newcomers * (1 - approval))
    again = min(1.0, scenario.look_minutes / GAP_MINUTES)
    crowd = _Crowd(approval, scenario.icc)
    going: dict[Kind, int] = {}
    while True:
        for kind, users in list(going.items()):
            raters = binomial(rng, users, again)
            ups = binomial(rng, raters, crowd.next_is_up(*kind))
            going[kind] -= raters
            _come_again(going, scenario, kind, crowd.book(kind, ups, raters - ups))
        _come_again(going, scenario, (0, 0), crowd.book((0, 0), happy.draw(rng), unhappy.draw(rng)))
        yield crowd.moments()


def _come_again(going: dict[Kind, int], scenario: Scenario, kind: Kind, booked: tuple[int, int]) -> None:
    """Keep those who rated once more and have ratings left, by what they said so far."""
    ratings, ups = kind
    if ratings + 1 < scenario.ratings_per_user:
        happy, unhappy = booked
        going[ratings + 1, ups + 1] = going.get((ratings + 1, ups + 1), 0) + happy
        going[ratings + 1, ups] = going.get((ratings + 1, ups), 0) + unhappy


@dataclass(slots=True)
class _Crowd:
    """The users of one variant, counted by (ratings, thumbs-up) so far: users of one kind are interchangeable.

    A user's approval is drawn from a beta distribution whose intra-class correlation is `icc`; the next rating of one
    with s thumbs-up of j is then up with probability (a + s) / (a + b + j) (Skellam 1948, J. R. Stat. Soc. B 10:257).
    """

    approval: float
    icc: float
    units: int = 0
    events: int = 0
    total: int = 0
    events_sq: int = 0
    total_sq: int = 0
    events_total: int = 0

    def book(self, kind: Kind, happy: int, unhappy: int) -> tuple[int, int]:
        """Let so many users of one kind rate once more: the sums grow by differences, as the roll-ups do."""
        ratings, ups = kind
        users = happy + unhappy
        self.units += users if ratings == 0 else 0
        self.events += users
        self.total += happy
        self.events_sq += users * (2 * ratings + 1)
        self.total_sq += happy * (2 * ups + 1)
        self.events_total += users * ups + happy * (ratings + 1)
        return happy, unhappy

    def moments(self) -> Moments:
        """Return the sums over users."""
        return Moments(self.units, self.events, self.total, self.events_sq, self.total_sq, self.events_total)

    def next_is_up(self, ratings: int, ups: int) -> float:
        if not self.icc:
            return self.approval
        prior = 1 / self.icc - 1
        return (prior * self.approval + ups) / (prior + ratings)


class _Poisson:
    """Counts with this mean, by looking up the inverse of their distribution."""

    def __init__(self, mean: float) -> None:
        if mean == 0:
            self.first, self.cumulative = 0, [1.0]
            return
        self.first = max(0, int(mean - 12 * math.sqrt(mean) - 12))
        last = int(mean + 12 * math.sqrt(mean) + 24)
        steps = (math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(self.first, last))
        self.cumulative = list(accumulate(steps))

    def draw(self, rng: Random) -> int:
        return self.first + bisect_left(self.cumulative, rng.random() * self.cumulative[-1])


def binomial(rng: Random, trials: int, share: float) -> int:
    """Return how many of `trials` succeed, each with probability `share` to 53 bits.

    All trials compare one uniform number each with `share`, bit by bit from the highest; half are decided at each.
    """
    wanted = int(share * (1 << _SHARE_BITS))
    if wanted >= 1 << _SHARE_BITS:
        return trials
    successes, undecided = 0, (1 << trials) - 1
    for place in range(_SHARE_BITS - 1, -1, -1):
        if not undecided:
            break
        drawn = rng.getrandbits(trials)
        if wanted >> place & 1:
            successes += (undecided & ~drawn).bit_count()
            undecided &= drawn
        else:
            undecided &= ~drawn
    return successes
