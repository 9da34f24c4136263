"""Ratings become sums. Each row remembers what of it is counted, so a changed mind adds the difference."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from experiments.services.rollups import add_observations
from feedback.attribution import observation_of
from feedback.models import Feedback
from promptlab.chat.services import metering
from promptlab.lib.batches import in_batches
from promptlab.lib.errors import Conflict
from promptlab.lib.logs import get_logger

log = get_logger(__name__)
NEEDED = ["value", "counted_value", "updated_at", *(f"message__{name}" for name in (*metering.SERVED, "unit_id"))]
"""Rows of answers are wide, and most of what a rating costs is reading them."""
READY = Q(message__rolled_up_at__isnull=False) | Q(message__version=None)
"""Ratings whose answer is in the sums, or never will be. A rating must not be the first that is known of a unit."""


def roll_up_feedback(limit: int = 500) -> int:
    """Add new and changed ratings to the sums, `limit` in a transaction, and return how many. Again adds nothing.

    A rating that came before its answer was rolled up waits for the next sweep.
    """
    total = in_batches(_roll_up_batch, limit)
    if total:
        log.info("feedback_rolled_up", ratings=total)
    return total


@transaction.atomic
def _roll_up_batch(limit: int) -> int:
    waiting = Feedback.objects.not_rolled_up().filter(READY)
    waiting = waiting.select_for_update(skip_locked=True, of=("self",), no_key=True)
    waiting = waiting.select_related("message__version").only(*NEEDED)
    ratings: list[Feedback] = list(waiting[:limit])
    if ratings:
        add_observations([one for one in map(observation_of, ratings) if one])
        _stamp(ratings)
    return len(ratings)


def _stamp(ratings: Sequence[Feedback]) -> None:
    """Note what is counted now. Only rows that still say what was added: a mind changed meanwhile undoes all of it."""
    now = timezone.now()
    stamped = 0
    for value in (1, -1, None):
        of_value = [rating.pk for rating in ratings if rating.value == value]
        unchanged = Feedback.objects.filter(pk__in=of_value, value=value, rolled_up_at=None)
        stamped += unchanged.update(counted_value=value, rolled_up_at=now)
    if stamped != len(ratings):
        raise Conflict("Ratings changed while they were counted. The next sweep counts them.")
