"""Ratings into rows, however many at once: one statement a table, the same on PostgreSQL and SQLite."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.utils import timezone

from feedback.models import Feedback, FeedbackReceipt

Once = tuple[int, str, str]
"""(message id, rater, metric): what there is one rating of."""


@dataclass(frozen=True, slots=True)
class Row:
    """A rating to write. With no value, score or text it takes back what this rater said before."""

    team_id: int
    message_id: int
    rater: str
    metric: str
    value: int | None
    comment: str
    score: float | None = None
    text: str = ""
    source: str = "end_user"

    @property
    def once(self) -> Once:
        return self.message_id, self.rater, self.metric


def upsert(rows: Sequence[Row]) -> dict[Once, tuple[int, str]]:
    """Write each rating, or change the one its rater gave before; return the id and the uid of the row that holds it.

    Of two about the same the later one stays. `rolled_up_at` null has the difference to `counted_value` counted. Rows
    are taken in one order, so that two groups at once wait for each other and never both.
    """
    last = {row.once: row for row in rows}
    kinds = {
        "message_id": "bigint",
        "rater": "text",
        "metric": "text",
        "team_id": "bigint",
        "value": "smallint",
        "comment": "text",
        "score": "double precision",
        "text": "text",
        "source": "text",
    }
    said = [[*(getattr(last[once], name) for name in kinds), uuid.uuid4().hex] for once in sorted(last)]
    changed = ("value", "comment", "score", "text", "source", "updated_at")
    changes = ", ".join(["rolled_up_at = NULL", *(f"{name} = excluded.{name}" for name in changed)])
    found = _insert(
        Feedback._meta.db_table,
        {**kinds, "uid": "uuid"},
        said,
        ("created_at", "updated_at"),
        f"(message_id, rater, metric) DO UPDATE SET {changes} RETURNING message_id, rater, metric, id, uid",
    )
    return {(message_id, rater, metric): (pk, str(uuid.UUID(str(uid)))) for message_id, rater, metric, pk, uid in found}


def remember_keys(said: Sequence[tuple[int, str, str, int]]) -> int:
    """Keep what idempotency keys stand for, as (team id, key, digest, feedback id); return how many were new."""
    found = _insert(
        FeedbackReceipt._meta.db_table,
        {"team_id": "bigint", "key": "text", "body_sha256": "text", "feedback_id": "bigint"},
        [list(one) for one in sorted(said)],
        ("created_at",),
        "(team_id, key) DO NOTHING RETURNING id",
    )
    return len(found)


def _insert(
    table: str, columns: dict[str, str], values: Sequence[Sequence[Any]], times: Sequence[str], on_conflict: str
) -> list[tuple[Any, ...]]:
    """Insert rows that travel as one JSON text: a parameter for each value costs more than all the rest."""
    quote = connection.ops.quote_name
    names = ", ".join(map(quote, (*columns, *times)))
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    if connection.vendor == "postgresql":
        picked = ", ".join(f"(said ->> {place})::{kind}" for place, kind in enumerate(columns.values()))
        source = "json_array_elements(%s::json) AS rows(said)"
    else:
        picked = ", ".join(f"json_extract(value, '$[{place}]')" for place in range(len(columns)))
        source = "json_each(%s)"
    picked = ", ".join([picked, *["%s"] * len(times)])
    statement = (
        f"INSERT INTO {quote(table)} ({names}) SELECT {picked} FROM {source} WHERE true ON CONFLICT {on_conflict}"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [*[now] * len(times), json.dumps(values, ensure_ascii=False)])
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
