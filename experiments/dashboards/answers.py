"""What is said of single answers, which this floor knows nothing of: higher ones add how to find it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from experiments.models import Experiment
from promptlab.accounts.access import Principal


@dataclass(frozen=True, slots=True)
class Disliked:
    """An answer that somebody did not like, in their words. `answer` is "" where its text is not kept."""

    variant_id: int
    at: datetime
    comment: str
    answer: str
    url: str


disliked: list[Callable[[Principal, Experiment], list[Disliked]]] = []
"""Each returns the newest ones of an experiment, as far as somebody may read them: one query at most."""
waiting: list[Callable[[], float]] = []
"""Each returns for how many seconds the oldest event has waited to be counted: one query."""


def disliked_of(principal: Principal, experiment: Experiment) -> list[Disliked]:
    """Return the newest answers that somebody did not like."""
    return [one for found in disliked for one in found(principal, experiment)]


def waiting_s() -> float:
    """Return for how many seconds the oldest event has waited to be counted."""
    return max((found() for found in waiting), default=0.0)
