"""Which answer a rating is about, what it adds to the sums, and to whose: what its answer was served, never what would be
assigned today."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.db import connection
from django.utils import timezone

from experiments.services.rollups import Observation
from promptlab.chat.models import Message
from promptlab.chat.services.metering import served_as
from promptlab.lib import prepared
from promptlab.lib.monthly import first_id, month_of


@dataclass(slots=True)
class Answer:
    """What has to be known of an answer to rate it."""

    pk: int
    uid: uuid.UUID
    unit_id: str
    team_id: int
    environment: str | None


def answers_of(uids: Collection[uuid.UUID]) -> dict[uuid.UUID, Answer]:
    """Return the answers that there are, by uid: one query. On PostgreSQL another one for those that are not of this month.

    Most are rated soon: to look where they lie takes half as long as to ask first where that is.
    """
    if not uids:
        return {}
    if connection.vendor != "postgresql":
        rows = _asked(_by_uid(False), [json.dumps([uid.hex for uid in uids])])
        return {uuid.UUID(row[1]): Answer(row[0], uuid.UUID(row[1]), *row[2:]) for row in rows}
    month = month_of(timezone.now())
    rows = _asked(_by_uid(True), [first_id(month), first_id(month + 1), list(uids)])
    found = {row[1]: Answer(*row) for row in rows}
    if older := [uid for uid in uids if uid not in found]:
        found.update({row[1]: Answer(*row) for row in _asked(_by_key(), [older])})
    return found


Asking = tuple[str, tuple[Any, ...]]
"""A query, and what comes before what is asked for. Putting it together costs more than asking it."""
NAMES = ("pk", "uid", "unit_id", "conversation__team_id", "environment__name")


def _asked(asking: Asking, wanted: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
    statement, first = asking
    return prepared.asked(statement, [*first, *wanted])


@lru_cache
def _by_uid(on_postgresql: bool) -> Asking:
    """Return the query for answers by uid; on PostgreSQL, from one id on and below another one."""
    rows = Message.objects.answers().order_by()
    rows = rows.filter(pk__gte=0, pk__lt=0) if on_postgresql else rows
    statement, parameters = rows.filter(uid__in=[uuid.UUID(int=0)]).values_list(*NAMES).query.sql_with_params()
    one, many = "IN (%s)", "= ANY(%s::uuid[])" if on_postgresql else "IN (SELECT value FROM json_each(%s))"
    assert statement.endswith(f"{one})"), "the uid is asked for last"
    return statement.replace(one, many), parameters[: -3 if on_postgresql else -1]


@lru_cache
def _by_key() -> Asking:
    """Return PostgreSQL's query for answers by uid, of whatever month."""
    rows = Message.objects.answers().order_by().with_uids([uuid.UUID(int=0)])
    statement, parameters = rows.values_list(*NAMES).query.sql_with_params()
    return statement, parameters[:-1]


@dataclass(slots=True)
class Uncounted:
    """A rating that is to be added to the sums, and what its answer was served: values in the order of `COLUMNS`.

    Rows are many and wide, and most of what a rating costs is reading it.
    """

    pk: int
    message_id: int
    value: int | None
    counted_value: int | None
    updated_at: datetime
    model: str
    ended_at: datetime | None
    unit_id: str
    dealt_unit: str
    purpose: str
    prompt_id: int | None
    environment_id: int | None
    version_id: int | None
    experiment_id: int | None
    phase: int
    variant_id: int | None

    @property
    def change(self) -> tuple[int, int]:
        """By how much ratings and thumbs-up grow when what is counted of this row becomes what it says now.

        A rating that was taken back is worth nothing, so its share goes.
        """
        ratings = int(self.value is not None) - int(self.counted_value is not None)
        return ratings, int(self.value == 1) - int(self.counted_value == 1)


COLUMNS = (
    "pk", "message_id", "value", "counted_value", "updated_at", "message__model", "message__ended_at",
    "message__unit_id", "message__dealt_unit", "message__purpose", "message__version__prompt_id",
    "message__environment_id", "message__version_id", "message__experiment_id", "message__phase",
    "message__served_variant_id",
)  # fmt: skip


def observation_of(rating: Uncounted) -> Observation | None:
    """Return what a rating adds: in the hour it arrived, and on the day of its answer.

    None when nothing changes or its answer is counted nowhere.
    """
    ratings, ups = rating.change
    served = served_as(
        rating.purpose,
        rating.prompt_id,
        rating.environment_id,
        rating.version_id,
        rating.experiment_id,
        rating.phase,
        rating.variant_id,
    )
    if served is None or not (ratings or ups):
        return None
    day = rating.ended_at.astimezone(UTC).date() if rating.ended_at else None
    unit = rating.dealt_unit or rating.unit_id
    return Observation(served, unit, rating.updated_at, ratings=ratings, ups=ups, model=rating.model, day=day)
