"""Emptying tables between tests, although the database keeps some rows for ever.

Nothing in the house can do this. A test's flush takes the triggers away for as long as it lasts, and puts back what it found.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from promptlab.lib.frozen import PREFIX


@contextmanager
def thawed() -> Iterator[None]:
    """Let rows be changed and removed inside the block."""
    take_away, put_back = _postgresql() if connection.vendor == "postgresql" else _sqlite()
    _run(take_away)
    try:
        yield
    finally:
        _run(put_back)


def frozen_tables() -> set[str]:
    """Return the tables that have our triggers, as the database says."""
    if connection.vendor == "postgresql":
        return {table for table, _ in _asked("SELECT tgrelid::regclass::text, tgname FROM pg_trigger", "tgname")}
    return {table for table, _ in _asked("SELECT tbl_name, sql FROM sqlite_master", "name")}


def _postgresql() -> tuple[list[str], list[str]]:
    found = _asked("SELECT tgrelid::regclass::text, tgname FROM pg_trigger", "tgname")
    return tuple(  # type: ignore[return-value]
        [f'ALTER TABLE {table} {verb} TRIGGER "{name}"' for table, name in found] for verb in ("DISABLE", "ENABLE")
    )


def _sqlite() -> tuple[list[str], list[str]]:
    found = _asked("SELECT name, sql FROM sqlite_master", "name")
    return [f'DROP TRIGGER "{name}"' for name, _ in found], [sql for _, sql in found]


def _asked(select: str, column: str) -> list[tuple[str, str]]:
    only = " AND type = 'trigger'" if connection.vendor == "sqlite" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"{select} WHERE {column} LIKE %s{only}", [f"{PREFIX}%"])
        return list(cursor.fetchall())


def _run(statements: list[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
