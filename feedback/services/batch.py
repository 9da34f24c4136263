"""Ratings become sums. Each row remembers what of it is counted, so a changed mind adds the difference."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from experiments.services.rollups import add_observations
from feedback.attribution import COLUMNS, Uncounted, observation_of
from feedback.models import DeadLetter, Feedback
from promptlab.lib.batches import in_batches
from promptlab.lib.errors import Conflict
from promptlab.lib.logs import get_logger
from promptlab.lib.metrics import Counter
from promptlab.lib.prepared import asked

log = get_logger(__name__)
set_aside = Counter("promptlab_ratings_set_aside_total", "Ratings that could not be added to the sums.")
LATE_S = 60.0
"""How long a rating may wait before a worker says so: they are too few then, or something holds it up."""
PASSING = (OperationalError, InterfaceError, Conflict)
"""What the next sweep may not meet any more."""
READY = Q(message__rolled_up_at__isnull=False) | Q(message__version=None)
"""Ratings whose answer is in the sums, or never will be. A rating must not be the first that is known of a unit."""


def roll_up_feedback(limit: int = 500) -> int:
    """Add new and changed ratings to the sums, `limit` in a transaction, and return how many. Again adds nothing.

    A rating that came before its answer was rolled up waits for the next sweep. One that cannot be added is set aside and
    holds up no other.
    """
    total = in_batches(_roll_up_batch, limit)
    if total:
        log.info("feedback_rolled_up", ratings=total)
    oldest_s = oldest_waiting_s()
    if oldest_s > LATE_S:
        log.warning("ratings_late", oldest_s=round(oldest_s))
    return total


def oldest_waiting_s() -> float:
    """Return how long the rating at the front has waited to be added, in seconds; 0.0 when none waits."""
    at = Feedback.objects.not_rolled_up().filter(dead_letter=None).values_list("updated_at", flat=True).first()
    return max(0.0, (timezone.now() - at).total_seconds()) if at is not None else 0.0


def _roll_up_batch(limit: int) -> int:
    try:
        return _add(_waiting()[:limit])
    except PASSING:
        raise
    except Exception:
        log.exception("ratings_not_added")
        return _roll_up_singly(list(_waiting().values_list("pk", flat=True)[:limit]))


def _roll_up_singly(ids: Sequence[int]) -> int:
    """Add ratings one by one, set aside those that cannot be, and return how many were looked at."""
    for pk in ids:
        try:
            _add(_waiting().filter(pk=pk))
        except PASSING:
            raise
        except Exception as error:
            log.exception("rating_set_aside", feedback=pk)
            _set_aside(pk, type(error).__name__)
    return len(ids)


def _waiting() -> QuerySet[Feedback]:
    return Feedback.objects.not_rolled_up().filter(READY, dead_letter=None)


@transaction.atomic
def _add(waiting: QuerySet[Feedback]) -> int:
    """Add ratings to the sums and stamp them; return how many."""
    rows = waiting.select_for_update(skip_locked=True, of=("self",), no_key=True).values_list(*COLUMNS)
    ratings = [Uncounted(*row) for row in rows]
    if ratings:
        add_observations([one for one in map(observation_of, ratings) if one])
        _stamp(ratings)
    return len(ratings)


def _set_aside(pk: int, reason: str) -> None:
    """Keep a rating out of the way. Of the error only its kind: what it says may hold what somebody wrote."""
    set_aside.add()
    tried, is_new = DeadLetter.objects.get_or_create(feedback_id=pk, defaults={"reason": reason[:100]})
    if not is_new:
        DeadLetter.objects.filter(pk=tried.pk).update(tries=F("tries") + 1)


def try_again() -> int:
    """Have the ratings that were set aside added with the next ones; return how many."""
    number, _ = DeadLetter.objects.all().delete()
    return number


def _stamp(ratings: Sequence[Uncounted]) -> None:
    """Note what is counted now. Only rows that still say what was added: a mind changed meanwhile undoes all of it."""
    about = [rating.message_id for rating in ratings]
    counted = json.dumps([(rating.pk, rating.value) for rating in ratings])
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    stamped = asked(_stamping(connection.vendor), [now, counted, min(about), max(about)])
    if len(stamped) != len(ratings):
        raise Conflict("Ratings changed while they were counted. The next sweep counts them.")


@cache
def _stamping(vendor: str) -> str:
    """Return the statement that stamps ratings. Its parameters: now, [id, value] as JSON, and between which answers.

    The answers' ids are what tells PostgreSQL in which months to look.
    """
    if vendor == "postgresql":
        said = "SELECT (one ->> 0)::bigint AS id, (one ->> 1)::smallint AS value FROM jsonb_array_elements(%s::jsonb) AS rows(one)"
        time, number, same = "%s::timestamptz", "%s::bigint", "IS NOT DISTINCT FROM"
    else:
        said = "SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS value FROM json_each(%s)"
        time, number, same = "%s", "%s", "IS"
    return (
        f"UPDATE {Feedback._meta.db_table} AS held SET counted_value = held.value, rolled_up_at = {time} "
        f"FROM ({said}) AS said WHERE held.id = said.id AND held.value {same} said.value "
        f"AND held.rolled_up_at IS NULL AND held.message_id BETWEEN {number} AND {number} RETURNING 1"
    )
