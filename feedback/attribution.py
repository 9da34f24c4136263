"""Which answer a rating is about, what it adds to the sums, and to whose: what its answer was served, never what would be
assigned today."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db import connection

from experiments.services.rollups import Observation
from feedback.models import Feedback
from promptlab.chat.models import Message
from promptlab.chat.services.metering import served_by


@dataclass(slots=True)
class Answer:
    """What has to be known of an answer to rate it."""

    pk: int
    uid: uuid.UUID
    unit_id: str
    team_id: int
    environment: str | None


def answers_of(uids: Collection[uuid.UUID]) -> dict[uuid.UUID, Answer]:
    """Return the answers that there are, by uid: one query."""
    if not uids:
        return {}
    on_postgresql = connection.vendor == "postgresql"
    statement, parameters = _statement(on_postgresql)
    wanted = list(uids) if on_postgresql else json.dumps([uid.hex for uid in uids])
    with connection.cursor() as cursor:
        cursor.execute(statement, [*parameters, wanted])
        rows = cursor.fetchall()
    found = (Answer(*row) if on_postgresql else Answer(row[0], uuid.UUID(row[1]), *row[2:]) for row in rows)
    return {answer.uid: answer for answer in found}


@lru_cache
def _statement(on_postgresql: bool) -> tuple[str, tuple[Any, ...]]:
    """Return the query for answers by uid, whose parameter is the last. Putting it together costs more than asking it."""
    names = ("pk", "uid", "unit_id", "conversation__team_id", "environment__name")
    by_uid = Message.objects.answers().order_by().filter(uid__in=[uuid.UUID(int=0)]).values_list(*names)
    statement, parameters = by_uid.query.sql_with_params()
    one, many = "IN (%s)", "= ANY(%s)" if on_postgresql else "IN (SELECT value FROM json_each(%s))"
    assert statement.endswith(f"{one})"), "the uid is asked for last"
    return statement.replace(one, many), parameters[:-1]


def change_of(rating: Feedback) -> tuple[int, int]:
    """Return by how much ratings and thumbs-up grow when what is counted of this row becomes what it says now.

    A rating that was taken back is worth nothing, so its share goes.
    """
    ratings = int(rating.value is not None) - int(rating.counted_value is not None)
    return ratings, int(rating.value == 1) - int(rating.counted_value == 1)


def observation_of(rating: Feedback) -> Observation | None:
    """Return what a rating adds, in the hour it arrived; None when nothing changes or its answer is counted nowhere."""
    ratings, ups = change_of(rating)
    served = served_by(rating.message)
    if served is None or not (ratings or ups):
        return None
    return Observation(served, rating.message.counted_unit, rating.updated_at, ratings=ratings, ups=ups)
