"""Ratings into rows, however many at once: one statement on PostgreSQL, one a table on SQLite.

Rows travel as one JSON text: a parameter for each value costs more than all the rest.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from feedback.models import Feedback, FeedbackReceipt
from promptlab.lib.prepared import asked

Once = tuple[int, str, str]
"""(message id, rater, metric): what there is one rating of."""
Held = dict[Once, tuple[int, str]]
"""The id and the uid of the row that holds a rating."""
SAID = {
    "message_id": "bigint", "rater": "text", "metric": "text", "team_id": "bigint", "value": "smallint",
    "comment": "text", "score": "double precision", "text": "text", "source": "text",
}  # fmt: skip
_values = attrgetter(*SAID)
UNIQUE_VIOLATION = "23505"


class KeyTaken(Exception):
    """Another process kept a key of ours since we looked. Nothing was written."""


@dataclass(slots=True)
class Key:
    """An idempotency key, the digest of what came with it, and which rating that was."""

    team_id: int
    key: str
    digest: str
    once: Once


@dataclass(slots=True)
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


def kept(keys: Collection[tuple[int, str]]) -> dict[tuple[int, str], tuple[str, str]]:
    """Return the digest and the rating's uid for every (team id, key) that came before."""
    if not keys:
        return {}
    found = asked(_by_key(connection.vendor), [json.dumps(sorted(keys))])
    return {(team_id, key): (digest, _text_of(uid)) for team_id, key, digest, uid in found}


def write(rows: Sequence[Row], keys: Sequence[Key]) -> Held:
    """Write ratings and the keys that stand for them, all or nothing, and return what holds each.

    Of two about the same the later one stays. Raises KeyTaken.
    """
    if not keys:
        return upsert(rows)
    if connection.vendor != "postgresql":
        return _one_after_the_other(rows, keys)
    try:
        # A statement is a transaction by itself; within another one it has to be taken back by itself.
        with transaction.atomic() if connection.in_atomic_block else nullcontext():
            return _held(asked(_with_keys(), [_now(), _said(rows), _now(), json.dumps(_named(keys))]))
    except IntegrityError as error:
        if getattr(error.__cause__, "sqlstate", "") == UNIQUE_VIOLATION:
            raise KeyTaken from error
        raise


def upsert(rows: Sequence[Row]) -> Held:
    """Write each rating, or change the one its rater gave before; return what holds it.

    Of two about the same the later one stays. `rolled_up_at` null has the difference to `counted_value` counted. Rows
    are taken in one order, so that two groups at once wait for each other and never both.
    """
    return _held(asked(_upsert(connection.vendor), [_now(), _said(rows)]))


def _one_after_the_other(rows: Sequence[Row], keys: Sequence[Key]) -> Held:
    """Do what `write` does, where a statement cannot write to two tables."""
    with transaction.atomic():
        held = upsert(rows)
        wanted = [[*one[:3], held[one[3], one[4], one[5]][0]] for one in _named(keys)]
        if len(asked(_keep_keys(), [_now(), json.dumps(wanted)])) < len(wanted):
            raise KeyTaken
    return held


def _said(rows: Sequence[Row]) -> str:
    last = {row.once: row for row in rows}
    said = [[*_values(last[once]), uuid.uuid4().hex] for once in sorted(last)]
    return json.dumps(said, ensure_ascii=False)


def _named(keys: Sequence[Key]) -> list[list[Any]]:
    """Return keys in one order."""
    return sorted([one.team_id, one.key, one.digest, *one.once] for one in keys)


def _held(found: Sequence[tuple[Any, ...]]) -> Held:
    return {(message_id, rater, metric): (pk, _text_of(uid)) for message_id, rater, metric, pk, uid in found}


def _text_of(uid: str) -> str:
    """Return a uid as callers know it, from what the database returns: SQLite knows no such type."""
    return uid if "-" in uid else str(uuid.UUID(uid))


def _now() -> Any:
    return connection.ops.adapt_datetimefield_value(timezone.now())


@lru_cache
def _upsert(vendor: str) -> str:
    """Return the statement that writes ratings. Its parameters: now, and the rows as JSON."""
    kinds = {**SAID, "uid": "uuid"}
    if vendor == "postgresql":
        picked = ", ".join(f"(said ->> {place})::{kind}" for place, kind in enumerate(kinds.values()))
        source, uid = "jsonb_array_elements(%s::jsonb) AS rows(said)", "uid::text"
    else:
        picked = ", ".join(f"json_extract(value, '$[{place}]')" for place in range(len(kinds)))
        source, uid = "json_each(%s)", "uid"
    changed = ("value", "comment", "score", "text", "source", "updated_at")
    changes = ", ".join(["rolled_up_at = NULL", *(f"{name} = excluded.{name}" for name in changed)])
    return (
        f"INSERT INTO {Feedback._meta.db_table} ({', '.join(kinds)}, created_at, updated_at) "
        f"SELECT {picked}, at, at FROM (SELECT %s AS at) AS time, {source} WHERE true "
        f"ON CONFLICT (message_id, rater, metric) DO UPDATE SET {changes} RETURNING message_id, rater, metric, id, {uid}"
    )


@lru_cache
def _by_key(vendor: str) -> str:
    """Return the statement that finds keys. Its parameter: pairs of team and key, as JSON."""
    uid = "said.uid::text" if vendor == "postgresql" else "said.uid"
    if vendor == "postgresql":
        wanted = "SELECT (one ->> 0)::bigint, one ->> 1 FROM jsonb_array_elements(%s::jsonb) AS pairs(one)"
    else:
        wanted = "SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(%s)"
    return (
        f"SELECT kept.team_id, kept.key, kept.body_sha256, {uid} FROM {FeedbackReceipt._meta.db_table} AS kept "
        f"JOIN {Feedback._meta.db_table} AS said ON said.id = kept.feedback_id WHERE (kept.team_id, kept.key) IN ({wanted})"
    )


@lru_cache
def _with_keys() -> str:
    """Return PostgreSQL's statement that writes ratings and keys. A key that is there refuses all of it.

    Parameters: now, the rows, now, the keys. Sorting the keys has every rating written before the first of them: two
    groups wait for each other in one order.
    """
    return (
        f"WITH written AS ({_upsert('postgresql')}), kept AS ("
        f"INSERT INTO {FeedbackReceipt._meta.db_table} (team_id, key, body_sha256, feedback_id, created_at) "
        "SELECT (said ->> 0)::bigint, said ->> 1, said ->> 2, written.id, %s "
        "FROM jsonb_array_elements(%s::jsonb) AS rows(said) JOIN written ON written.message_id = (said ->> 3)::bigint "
        "AND written.rater = said ->> 4 AND written.metric = said ->> 5 ORDER BY 1, 2) SELECT * FROM written"
    )


@lru_cache
def _keep_keys() -> str:
    """Return SQLite's statement that keeps keys. Its parameters: now, and the keys as JSON, with their ratings' ids."""
    picked = ", ".join(f"json_extract(value, '$[{place}]')" for place in range(4))
    return (
        f"INSERT INTO {FeedbackReceipt._meta.db_table} (team_id, key, body_sha256, feedback_id, created_at) "
        f"SELECT {picked}, at FROM (SELECT %s AS at) AS time, json_each(%s) WHERE true "
        "ON CONFLICT (team_id, key) DO NOTHING RETURNING id"
    )
