"""Writing the rows of a turn, with as few statements as the database can do with.

A turn that begins a conversation is what most calls are, and its rows are what they wait for: with PostgreSQL it is one
way there and back, not six. The statements are put together once, not for every call: that was most of what a call took.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from django.db import connection, models, transaction

from promptlab.chat.models import Conversation, Message
from promptlab.lib import prepared

Row = TypeVar("Row", bound=models.Model)


@dataclass(frozen=True, slots=True)
class First:
    """The rows of a conversation that begins: what was said in it, and the answer to come."""

    conversation: Conversation
    told: Sequence[Message]
    answer: Message

    @property
    def is_told(self) -> bool:
        """Whether the caller tells the whole talk."""
        return bool(self.told) and self.told[0].is_sent


def write_first(begun: Sequence[First]) -> None:
    """Write conversations that begin and what belongs to them, and give all of it their ids. All or nothing.

    Where a caller tells the whole talk its answer gets the id of the first of `told` as well.
    """
    if connection.vendor == "postgresql":
        _write_together(begun)
        return
    with transaction.atomic():
        for one in begun:
            one.conversation.save(force_insert=True)
            for message in one.told:
                message.conversation = one.conversation
                message.save(force_insert=True)
            one.answer.conversation = one.conversation
            one.answer.sent_from = _sent_from(one.told)
            one.answer.save(force_insert=True)


def _write_together(begun: Sequence[First]) -> None:
    talks = [_row(one.conversation) for one in begun]
    messages = [(number, one, row) for number, one in enumerate(begun, 1) for row in (*one.told, one.answer)]
    rows = [[number, one.is_told, _row(row)] for number, one, row in messages]
    written = prepared.asked(_statement(), [json.dumps(said, default=str) for said in (talks, rows)])
    for (_, one, row), (pk, conversation_id) in zip(messages, written, strict=True):
        one.conversation.pk, row.pk = conversation_id, pk
        row.conversation = one.conversation
        row._state.adding = one.conversation._state.adding = False
    for one in begun:
        one.answer.sent_from = _sent_from(one.told)


def _sent_from(told: Sequence[Message]) -> int | None:
    return told[0].pk if told and told[0].is_sent else None


def new_row(kind: type[Row], /, **said: Any) -> Row:
    """Return what `kind(**said)` returns, in half the time: most of a message's many columns are left as they are."""
    blanks = _blanks(kind)
    values = [said.pop(name) if name in said else (blank() if callable(blank) else blank) for name, blank in blanks]
    row = kind(*values)
    for name, value in said.items():
        setattr(row, name, value)
    return row


@cache
def _blanks(model: type[models.Model]) -> Sequence[tuple[str, Any]]:
    """Return what stands in each column of a new row where nothing is said: a value, or what makes one."""
    fields = model._meta.concrete_fields
    makes = [one.has_default() and callable(one.default) for one in fields]
    return [
        (one.attname, one.default if is_made else one.get_default()) for one, is_made in zip(fields, makes, strict=True)
    ]


def _row(row: models.Model) -> Mapping[str, Any]:
    """Return what stands in the columns of a row that is to be inserted, where anything does."""
    there = row.__dict__
    said = {column: there[name] for column, name in _plain_columns(type(row)) if there[name] is not None}
    return said | {field.column or "": field.pre_save(row, True) for field in _own_way(type(row))}


@cache
def _plain_columns(model: type[models.Model]) -> Sequence[tuple[str, str]]:
    own_way = {field.column for field in _own_way(model)}
    return [(column, field.attname) for column, field in _columns(model) if column not in own_way]


@cache
def _own_way(model: type[models.Model]) -> Sequence[models.Field[Any, Any]]:
    """Return the fields that have a say in what is inserted, such as the time."""
    return [field for _, field in _columns(model) if type(field).pre_save is not models.Field.pre_save]


@cache
def _columns(model: type[models.Model]) -> Sequence[tuple[str, models.Field[Any, Any]]]:
    return [(field.column or "", field) for field in model._meta.concrete_fields if not field.primary_key]


@cache
def _field(name: str) -> models.Field[Any, Any]:
    return next(field for _, field in _columns(Message) if field.name == name)


@cache
def _statement() -> str:
    """Return the statement for PostgreSQL: it takes conversations, and messages as [which of them, whether told, row].

    The ids of the messages are taken in their order, so that what was said stands before its answer.
    """
    talk, message = Conversation._meta.db_table, Message._meta.db_table
    own = ", ".join(f'"{name}"' for name, _ in _columns(Conversation))
    own_values = ", ".join(f'row_."{name}"' for name, _ in _columns(Conversation))
    names = [name for name, _ in _columns(Message) if name not in ("conversation_id", "sent_from")]
    columns = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(f'row_."{name}"' for name in names)
    return f"""
        WITH talks AS MATERIALIZED (
            SELECT nextval(pg_get_serial_sequence('{talk}', 'id')) AS id, place, said
            FROM json_array_elements(%s::json) WITH ORDINALITY AS one(said, place)
        ), begun AS (
            INSERT INTO "{talk}" (id, {own})
            SELECT talks.id, {own_values} FROM talks, json_populate_record(NULL::"{talk}", talks.said) AS row_
        ), given AS MATERIALIZED (
            SELECT nextval(pg_get_serial_sequence('{message}', 'id')) AS id, place,
                (said ->> 0)::int AS talk, (said ->> 1)::boolean AS is_told, said -> 2 AS said
            FROM (
                SELECT place, said FROM json_array_elements(%s::json) WITH ORDINALITY AS one(said, place) ORDER BY place
            ) AS in_order
        ), firsts AS (SELECT talk, min(id) AS id FROM given WHERE is_told GROUP BY talk)
        INSERT INTO "{message}" (id, conversation_id, sent_from, {columns})
        SELECT given.id, talks.id, CASE WHEN row_.role = 'assistant' AND NOT row_.is_sent THEN firsts.id END, {values}
        FROM given
        JOIN talks ON talks.place = given.talk
        LEFT JOIN firsts ON firsts.talk = given.talk
        CROSS JOIN LATERAL json_populate_record(NULL::"{message}", given.said) AS row_
        ORDER BY given.place
        RETURNING id, conversation_id
    """


def write_end(answer_id: int, fields: Mapping[str, Any]) -> bool:
    """Write how an answer that is being written ended; return whether it had not ended before.

    Belongs into the transaction that holds its conversation.
    """
    values = [_field(name).get_db_prep_save(value, connection) for name, value in fields.items()]
    with connection.cursor() as cursor:
        cursor.execute(_ending(tuple(fields)), [*values, answer_id, Message.State.STREAMING.value])
        return bool(cursor.rowcount)


@cache
def _ending(names: tuple[str, ...]) -> str:
    table, columns = Message._meta.db_table, [_field(name).column for name in names]
    changes = ", ".join(f'"{column}" = %s' for column in columns)
    return f'UPDATE "{table}" SET {changes} WHERE "id" = %s AND "state" = %s'


def write_ends(ends: Mapping[int, Mapping[str, Any]]) -> set[int]:
    """Write how answers that are being written ended, by their ids; return those that had not ended before.

    Belongs into the transaction that holds their conversations.
    """
    if connection.vendor != "postgresql":
        return {answer_id for answer_id, fields in ends.items() if write_end(answer_id, fields)}
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for answer_id, fields in ends.items():
        alike.setdefault(tuple(fields), []).append({"id": answer_id, **_by_column(fields)})
    ended: set[int] = set()
    for names, rows in alike.items():
        said = [json.dumps(rows, default=str), Message.State.STREAMING.value]
        ended.update(pk for (pk,) in prepared.asked(_endings(names), said))
    return ended


def _by_column(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {_field(name).column or "": value for name, value in fields.items()}


@cache
def _endings(names: tuple[str, ...]) -> str:
    table, columns = Message._meta.db_table, [_field(name).column for name in names]
    changes = ", ".join(f'"{column}" = said."{column}"' for column in columns)
    return f"""
        UPDATE "{table}" SET {changes}
        FROM json_populate_recordset(NULL::"{table}", %s::json) AS said
        WHERE "{table}"."id" = said."id" AND "{table}"."state" = %s
        RETURNING "{table}"."id"
    """


def hold(*conversation_ids: int) -> None:
    """Hold conversations until the transaction ends; look at the clock only after.

    What an answer was sent is rebuilt from times: questions and answers of one conversation are written one after the
    other, so that none is older than a turn that could not see it yet. Several are taken in the order of their ids.
    SQLite lets one transaction write at a time.
    """
    if connection.vendor == "postgresql":
        table = Conversation._meta.db_table
        wanted = f'SELECT 1 FROM "{table}" WHERE id = ANY(%s::bigint[]) ORDER BY id FOR NO KEY UPDATE'
        prepared.asked(wanted, [list(conversation_ids)])
