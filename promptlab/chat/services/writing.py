"""Writing the rows of a turn, with as few statements as the database can do with.

A turn that begins a conversation is what most calls are, and its rows are what they wait for: with PostgreSQL it is one
way there and back, not six. The statements are put together once, not for every call: that was most of what a call took.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from django.db import connection, models, transaction

from promptlab.chat.models import Conversation, Message


def write_first(conversation: Conversation, told: Sequence[Message], answer: Message) -> None:
    """Write a new conversation, what was said in it, and the answer to come, and give all of them their ids.

    Where the caller tells the whole talk the answer gets the id of the first of `told` as well. All or nothing.
    """
    if connection.vendor == "postgresql":
        _write_together(conversation, told, answer)
        return
    with transaction.atomic():
        conversation.save(force_insert=True)
        for message in told:
            message.conversation = conversation
            message.save(force_insert=True)
        answer.conversation = conversation
        answer.sent_from = _sent_from(told)
        answer.save(force_insert=True)


def _write_together(conversation: Conversation, told: Sequence[Message], answer: Message) -> None:
    messages = [*told, answer]
    rows = [_row(conversation), [_row(message) for message in messages]]
    is_told = bool(told) and told[0].is_sent
    with connection.cursor() as cursor:
        cursor.execute(_statement(), [*(json.dumps(one, default=str) for one in rows), is_told])
        written = cursor.fetchall()
    conversation.pk = written[0][1]
    for message, (pk, _) in zip(messages, written, strict=True):
        message.pk = pk
        message.conversation = conversation
        message._state.adding = False
    conversation._state.adding = False
    answer.sent_from = _sent_from(told)


def _sent_from(told: Sequence[Message]) -> int | None:
    return told[0].pk if told and told[0].is_sent else None


def _row(row: models.Model) -> Mapping[str, Any]:
    """Return what stands in the columns of a row that is to be inserted."""
    return {name: field.pre_save(row, True) for name, field in _columns(type(row))}


@cache
def _columns(model: type[models.Model]) -> Sequence[tuple[str, models.Field[Any, Any]]]:
    return [(field.column or "", field) for field in model._meta.concrete_fields if not field.primary_key]


@cache
def _field(name: str) -> models.Field[Any, Any]:
    return next(field for _, field in _columns(Message) if field.name == name)


@cache
def _statement() -> str:
    """Return the statement for PostgreSQL: it takes the conversation and the messages as JSON, and whether these are told.

    The ids of the messages are taken in their order, so that what was said stands before its answer.
    """
    talk, message = Conversation._meta.db_table, Message._meta.db_table
    own = ", ".join(f'"{name}"' for name, _ in _columns(Conversation))
    names = [name for name, _ in _columns(Message) if name not in ("conversation_id", "sent_from")]
    columns = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(f'row_."{name}"' for name in names)
    return f"""
        WITH begun AS (
            INSERT INTO "{talk}" ({own})
            SELECT {own} FROM json_populate_record(NULL::"{talk}", %s::json) RETURNING id
        ), given AS MATERIALIZED (
            SELECT nextval(pg_get_serial_sequence('{message}', 'id')) AS id, place, told
            FROM (
                SELECT place, told FROM json_array_elements(%s::json) WITH ORDINALITY AS one(told, place) ORDER BY place
            ) AS in_order
        ), first AS (SELECT min(id) AS id FROM given WHERE %s)
        INSERT INTO "{message}" (id, conversation_id, sent_from, {columns})
        SELECT given.id, begun.id, CASE WHEN row_.role = 'assistant' AND NOT row_.is_sent THEN first.id END, {values}
        FROM begun, first, given, json_populate_record(NULL::"{message}", given.told) AS row_
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


def hold(conversation_id: int) -> None:
    """Hold the conversation until the transaction ends; look at the clock only after.

    What an answer was sent is rebuilt from times: questions and answers of one conversation are written one after the
    other, so that none is older than a turn that could not see it yet. SQLite lets one transaction write at a time.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                f'SELECT 1 FROM "{Conversation._meta.db_table}" WHERE id = %s FOR NO KEY UPDATE', [conversation_id]
            )
