"""Tables that PostgreSQL keeps in parts, one for each month: old months go as whole files, not row by row.

A month's rows are known by their ids: a table's numbers go on at the month's first id when the month begins (`begin`).
Until somebody does that, rows land in the part of the month before, which harms nothing; and a part is there before an
id can belong to it, so that nothing has to catch what fits nowhere. SQLite keeps plain tables: there nothing is done.

A table that `follows` another one (ratings, by their answers) is parted by the other one's ids, by the same bounds, and
each of its parts refers to that part of the other: to look for a row in all of them would cost as much as writing one.
What is unique in a table without the id that it is parted by, such as a uid, is unique in each part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import OperationalError, connection, transaction

IDS = 40
"""A month has 2 to the power of so many ids: enough for a million a second, and all of them exact in a JSON number."""
SINCE = 2000
AHEAD = 2
"""Parts are made for so many months to come."""
LOCK = "2s"
"""Changing what a table is made of waits so long for those who use it, and everybody waits behind it."""
TRIES = 30
MANY = 5000
HIGH = re.compile(r"TO \('?(\d+)'?\)")


@dataclass(frozen=True, slots=True)
class Monthly:
    """A table kept by months: the id it is parted by, and the columns that are unique in each part by themselves."""

    table: str
    key: str = "id"
    alone: Sequence[str] = ("uid",)
    follows: str = ""

    @property
    def before(self) -> str:
        """The part that holds what was there when the table was divided."""
        return f"{self.table}_before"

    def part(self, month: int) -> str:
        return f"{self.table}_{SINCE + month // 12}_{month % 12 + 1:02}"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a table: it holds the ids below `high` that the part before it does not."""

    name: str
    high: int


def month_of(moment: datetime) -> int:
    """Return the number of a month in UTC, counted from the first of the century."""
    return (moment.year - SINCE) * 12 + moment.month - 1


def first_id(month: int) -> int:
    return month << IDS


def parts(one: Monthly) -> list[Part]:
    """Return the parts of a table, the oldest first; none where it is not divided."""
    if connection.vendor != "postgresql":
        return []
    rows = _asked(
        "SELECT relname, pg_get_expr(relpartbound, c.oid) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid "
        "WHERE inhparent = %s::regclass",
        one.table,
    )
    return sorted((Part(name, int(HIGH.findall(bounds)[0])) for name, bounds in rows), key=lambda part: part.high)


def make_ahead(one: Monthly, now: datetime) -> list[str]:
    """Make the parts that are lacking up to two months from now, and return their names. Again makes nothing."""
    if not _is_divided(one):
        return []
    there = parts(one)
    first = there[-1].high >> IDS if there else month_of(now)
    made = []
    for month in range(first, month_of(now) + AHEAD + 1):
        with brief():
            _make(one, month)
        made.append(one.part(month))
    return made


def begin(one: Monthly, now: datetime) -> None:
    """Have the numbers of a table go on at this month's first id, if they are not there yet and it has the part."""
    month = month_of(now)
    if all(part.high <= first_id(month) for part in parts(one)):
        return
    with transaction.atomic(), connection.cursor() as cursor:
        # Two at once: the second one must see where the first one left the numbers.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [one.table])
        sequence = _asked("SELECT pg_get_serial_sequence(%s, 'id')", one.table)[0][0]
        cursor.execute(
            f"SELECT setval(%s, %s, false) FROM {sequence} WHERE last_value < %s",
            [sequence, first_id(month), first_id(month)],
        )


def divide(one: Monthly, now: datetime, *, free: Sequence[str] = (), followed_by: Sequence[str] = ()) -> None:
    """Divide a table that may hold rows, which become its first part where they are. Again goes on, or does nothing.

    Nothing is copied, and what looks at every row locks out nobody: it comes before and after the moment in which the
    table changes hands. Tables in `free` lose their foreign keys to it: PostgreSQL cannot keep them without the key.
    Those that follow it go on referring to the rows of now; no month may begin before they are divided as well.
    """
    if connection.vendor != "postgresql":
        return
    if not _is_divided(one):
        _divide(one, now, free, followed_by)
    for table, name, _ in _to(one.table, unchecked=True):
        _run(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def _divide(one: Monthly, now: datetime, free: Sequence[str], followed_by: Sequence[str]) -> None:
    bound = first_id(month_of(now))
    name = f"{one.table}_below"
    _run(f"ALTER TABLE {one.table} DROP CONSTRAINT IF EXISTS {name}")
    _run(f"ALTER TABLE {one.table} ADD CONSTRAINT {name} CHECK ({one.key} < {bound}) NOT VALID")
    _run(f"ALTER TABLE {one.table} VALIDATE CONSTRAINT {name}")
    for left in reversed(range(TRIES)):
        try:
            with brief():
                _change_hands(one, name, bound, free, followed_by, now)
            break
        except OperationalError:
            if not left:
                raise


def detach(one: Monthly, part: Part) -> None:
    """Take a part out of a table, at once; its rows stay in a table of their own until somebody drops it."""
    _run(f"ALTER TABLE {one.table} DETACH PARTITION {part.name}")
    for name, _ in _foreign_keys(part.name):
        _run(f"ALTER TABLE {part.name} DROP CONSTRAINT {name}")


def drop_empty(one: Monthly) -> None:
    """Drop the part of what was there when the table was divided, if nothing was."""
    with brief():
        for part in parts(one)[:1]:
            if part.name == one.before and not _asked(f"SELECT EXISTS (SELECT 1 FROM {part.name})")[0][0]:
                detach(one, part)
                drop(part.name)


def detached(one: Monthly) -> list[str]:
    """Return the parts that were taken out of a table and are still there."""
    if connection.vendor != "postgresql":
        return []
    rows = _asked(
        "SELECT relname FROM pg_class WHERE relname ~ %s AND relkind = 'r' AND NOT relispartition "
        "AND pg_table_is_visible(oid) ORDER BY 1",
        rf"^{one.table}_(before|\d{{4}}_\d{{2}})$",
    )
    return [name for (name,) in rows]


def empty_by(part: str, column: str, table: str, refers: str) -> None:
    """Remove the rows of a table that refer to rows of a part, some at a time. Again goes on."""
    last = 0
    while True:
        rows = _asked(f"SELECT id FROM {part} WHERE id > %s ORDER BY id LIMIT {MANY}", last)
        if not rows:
            return
        first, last = last, rows[-1][0]
        said = f"SELECT {column} FROM {part} WHERE id > {first} AND id <= {last}"
        _run(f"DELETE FROM {table} WHERE {refers} IN ({said})")


def drop(part: str) -> None:
    _run(f"DROP TABLE {part}")


@contextmanager
def brief() -> Iterator[None]:
    """A transaction in which nobody waits long for a lock, nor anybody behind us. OperationalError: try it later."""
    with transaction.atomic():
        _run(f"SET LOCAL lock_timeout = '{LOCK}'")
        yield


def _change_hands(
    one: Monthly, check: str, bound: int, free: Sequence[str], followed_by: Sequence[str], now: datetime
) -> None:
    """Put a divided table in the place of a plain one. Foreign keys to it hold from now on, and are not looked through."""
    table, before = one.table, one.before
    _run(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    to_it = [to for to in _to(table) if to[0] not in followed_by]
    own, keys = _foreign_keys(table, besides=one.follows), _keys(one)
    indexes, triggers = _indexes(table), _triggers(table)
    number = _asked("SELECT nextval(pg_get_serial_sequence(%s, 'id'))", table)[0][0]
    for child, name, _ in to_it:
        _run(f"ALTER TABLE {child} DROP CONSTRAINT {name}")
    for name, _ in triggers:
        _run(f"DROP TRIGGER {name} ON {table}")
    for name, _ in keys:
        _run(f"ALTER TABLE {table} RENAME CONSTRAINT {name} TO {name[:56]}_before")
    for name, _ in indexes:
        _run(f"ALTER INDEX {name} RENAME TO {name[:56]}_before")
    _run(f"ALTER TABLE {table} RENAME TO {before}")
    _run(f"ALTER TABLE {before} ALTER id DROP IDENTITY IF EXISTS")
    _run(
        f"CREATE TABLE {table} (LIKE {before} INCLUDING ALL EXCLUDING INDEXES EXCLUDING IDENTITY) "
        f"PARTITION BY RANGE ({one.key})"
    )
    _run(f"ALTER TABLE {table} DROP CONSTRAINT {check}")
    _run(f"CREATE SEQUENCE {table}_id_seq AS bigint START {number} OWNED BY {table}.id")
    _run(f"ALTER TABLE {table} ALTER id SET DEFAULT nextval('{table}_id_seq')")
    for name, definition in [*keys, *own]:
        _run(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    for _, definition in [*indexes, *triggers]:
        _run(definition)
    _run(f"ALTER TABLE {table} ATTACH PARTITION {before} FOR VALUES FROM (MINVALUE) TO ({bound})")
    make_ahead(one, now)
    for child, name, definition in to_it:
        if child not in free:
            _run(f"ALTER TABLE {child} ADD CONSTRAINT {name} {definition} NOT VALID")


def _make(one: Monthly, month: int) -> None:
    """Make the part of a month on the side, then attach it: that locks out nobody who reads or writes rows."""
    part = one.part(month)
    alone = "".join(f", {'PRIMARY KEY' if name == 'id' else 'UNIQUE'} ({name})" for name in one.alone)
    _run(f"CREATE TABLE {part} (LIKE {one.table} INCLUDING ALL{alone})")
    if one.follows:
        other = Monthly(one.follows).part(month)
        _run(f"ALTER TABLE {part} ADD FOREIGN KEY ({one.key}) REFERENCES {other} (id) DEFERRABLE INITIALLY DEFERRED")
    bounds = f"FROM ({first_id(month)}) TO ({first_id(month + 1)})"
    _run(f"ALTER TABLE {one.table} ATTACH PARTITION {part} FOR VALUES {bounds}")


def _is_divided(one: Monthly) -> bool:
    if connection.vendor != "postgresql":
        return False
    return bool(_asked("SELECT relkind = 'p' FROM pg_class WHERE oid = %s::regclass", one.table)[0][0])


def _keys(one: Monthly) -> Sequence[tuple[str, str]]:
    """Return the keys of a table that hold over all of its parts, as (name, definition)."""
    rows = _asked(
        "SELECT conname, pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN pg_attribute a "
        "ON attrelid = conrelid AND attnum = ANY(conkey) WHERE conrelid = %s::regclass AND contype IN ('p', 'u') "
        "AND attname = %s ORDER BY 1",
        one.table,
        one.key,
    )
    return [(name, definition) for name, definition in rows]


def _foreign_keys(table: str, *, besides: str = "") -> Sequence[tuple[str, str]]:
    """Return the foreign keys of a table, but for those to the table `besides` or to its first part."""
    rows = _asked(
        "SELECT conname, pg_get_constraintdef(oid), confrelid::regclass::text FROM pg_constraint "
        "WHERE conrelid = %s::regclass AND contype = 'f' AND conparentid = 0 ORDER BY 1",
        table,
    )
    others = (besides, Monthly(besides).before)
    return [(name, definition) for name, definition, to in rows if to not in others]


def _to(table: str, *, unchecked: bool = False) -> Sequence[tuple[str, str, str]]:
    """Return the foreign keys to a table, as (table, name, definition); those that were not looked through, if asked."""
    rows = _asked(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE confrelid = %s::regclass AND contype = 'f' AND conparentid = 0 AND NOT (convalidated AND %s) ORDER BY 1, 2",
        table,
        unchecked,
    )
    return [(child, name, definition) for child, name, definition in rows]


def _indexes(table: str) -> Sequence[tuple[str, str]]:
    rows = _asked(
        "SELECT relname, pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class c ON c.oid = indexrelid "
        "WHERE indrelid = %s::regclass AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid "
        "AND conrelid = indrelid) ORDER BY 1",
        table,
    )
    return [(name, definition) for name, definition in rows]


def _triggers(table: str) -> Sequence[tuple[str, str]]:
    rows = _asked(
        "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal "
        "ORDER BY 1",
        table,
    )
    return [(name, definition) for name, definition in rows]


def _asked(statement: str, *parameters: Any) -> Sequence[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
