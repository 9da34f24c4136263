"""What of the use is asked for: which days, whose, where."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import DateTimeField, QuerySet, Subquery
from django.utils import timezone

from experiments.models import DayMark, DayRollup
from feedback.models import Feedback
from feedback.results import READ, of_prompt
from promptlab.accounts.access import Principal
from promptlab.chat.models import Message
from prompts.errors import PromptNotFound
from prompts.models import Prompt

LATE = timedelta(minutes=2)
"""What waits longer to be added to the sums is said on the pages."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The last `days` days of UTC, of which the one that is running is the last. What is empty does not narrow."""

    days: int = 30
    environment: str = ""
    team_id: int | None = None
    prompt_id: int | None = None
    version: int | None = None
    model: str = ""

    @property
    def since(self) -> date:
        """The first day."""
        return today() - timedelta(days=self.days - 1)

    def rows(self, principal: Principal, *, before: int = 0) -> QuerySet[Any]:
        """Return the daily sums of these days, and of so many before them, that the principal may see.

        A prompt that is private to others is in none of them.
        """
        wanted = {
            "environment__name": self.environment,
            "prompt__team": self.team_id,
            "prompt": self.prompt_id,
            "version__number": self.version,
            "model": self.model,
        }
        given = {name: value for name, value in wanted.items() if value not in ("", None)}
        rows: QuerySet[Any] = DayRollup.objects.visible_to(principal, READ)
        return rows.filter(day__gte=self.since - timedelta(days=before), **given)


@dataclass(frozen=True, slots=True)
class Freshness:
    """How far the sums reach. `waiting_since`: what came then is not in them yet, and should be; None as a rule.

    `counted_from`: what was answered before that day is still being added; None when all is.
    """

    waiting_since: datetime | None
    counted_from: date | None

    def lacks(self, since: date) -> bool:
        """Tell whether days from `since` on are still to be added."""
        return self.counted_from is not None and self.counted_from > since


def today() -> date:
    """Return the day of UTC that is running."""
    return timezone.now().astimezone(UTC).date()


def freshness() -> Freshness:
    """Return how far the sums reach. One query."""
    answers = Message.objects.not_rolled_up().values("ended_at")[:1]
    ratings = Feedback.objects.not_rolled_up().filter(dead_letter=None).values("updated_at")[:1]
    mark = DayMark.objects.annotate(
        answer_at=Subquery(answers, output_field=DateTimeField()),
        rating_at=Subquery(ratings, output_field=DateTimeField()),
    ).first()
    if mark is None:
        return Freshness(None, None)
    waiting = min((one for one in (mark.answer_at, mark.rating_at) if one is not None), default=None)
    is_late = waiting is not None and waiting < timezone.now() - LATE
    return Freshness(waiting if is_late else None, mark.counted_from)


def prompt_of(principal: Principal, reference: str) -> Prompt:
    """Return the prompt of this id or short name whose use the principal may see. Raises PromptNotFound."""
    found: Prompt | None = Prompt.objects.visible_to(principal, READ).filter(of_prompt(reference)).first()
    if found is None:
        raise PromptNotFound(name=reference[:100])
    return found
