"""How long an experiment takes, and what it could show by when, from the ratings of the weeks before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Sum
from django.utils import timezone

from experiments.models import Experiment, HourRollup
from experiments.stats import power
from prompts.models import Environment, Prompt

WATCHED = timedelta(days=14)
"""Ratings of so many days before say what comes in."""
HORIZONS = (7, 14, 28)
"""Days for which it is said what could be seen."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What comes in there: `per_day` ratings of all texts that take part, None while that is unknown.

    `approval`: thumbs-up among them, None without ratings.
    """

    per_day: float | None
    approval: float | None

    def days_to_end(self, planned: int | None) -> int | None:
        """Return in how many whole days `planned` ratings are there; None while that is unknown."""
        if not planned or not self.per_day:
            return None
        return -(-planned // max(1, int(self.per_day)))

    def shows(self, days: int, smallest_share: float) -> float | None:
        """Return the smallest change that can be shown after `days`, 0..1; None where no change is large enough.

        `smallest_share`: of the text with the fewest users. Ranges may be read at any time, which takes more ratings.
        """
        if not self.per_day or self.approval is None:
            return None
        each = int(self.per_day * days * smallest_share)
        return power.detectable_drop(self.approval, each, design_effect=power.ALWAYS_VALID)


def forecast(experiment: Experiment, coverage_bp: int | None = None) -> Forecast:
    """Return what may be expected of an experiment, at its own or another coverage: one query."""
    found = traffic(experiment.prompt, experiment.environment)
    share = (experiment.coverage_bp if coverage_bp is None else coverage_bp) / 10_000
    return Forecast(found.per_day * share if found.per_day is not None else None, found.approval)


def traffic(prompt: Prompt, environment: Environment) -> Forecast:
    """Return what came in lately of everybody: one query. Unknown below 100 ratings."""
    since = timezone.now() - WATCHED
    cells = HourRollup.objects.filter(prompt=prompt, environment=environment, hour__gte=since)
    sums = cells.aggregate(n_ratings=Sum("ratings"), n_ups=Sum("ups"))
    ratings, ups = int(sums["n_ratings"] or 0), int(sums["n_ups"] or 0)
    if power.baseline_lacking(ratings, WATCHED) is not None:
        return Forecast(None, None)
    return Forecast(power.ratings_per_day(ratings, WATCHED), ups / ratings)
