"""Emptying tables between tests, although the database keeps some rows for ever.

Nothing in the house can do this. A test's flush takes the triggers away for as long as it lasts, and puts back what it found.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from promptlab.lib.frozen import PREFIX

KEPT = frozenset({"django_content_type", "auth_permission"})
"""What `migrate` writes after the tables are made: every test finds the same."""


def empty_tables() -> None:
    """Remove what a test committed. Every foreign key is checked at the commit only, so the order is free."""
    filled = filled_tables()
    with thawed(filled), transaction.atomic(), connection.cursor() as cursor:
        for table in filled:
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")


def filled_tables() -> list[str]:
    """Return the tables that have rows, with one question: most have none."""
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    asked = [
        f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {connection.ops.quote_name(table)})"
        for table in sorted(set(tables) - KEPT)
    ]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(asked))
        return [name for (name,) in cursor.fetchall()]


@contextmanager
def thawed(tables: list[str]) -> Iterator[None]:
    """Let rows of these tables be changed and removed inside the block."""
    take_away, put_back = _postgresql(tables) if connection.vendor == "postgresql" else _sqlite(tables)
    _run(take_away)
    try:
        yield
    finally:
        _run(put_back)


def frozen_tables() -> set[str]:
    """Return the tables that have our triggers, as the database says."""
    return {table for table, _, _ in _triggers()}


def _postgresql(tables: list[str]) -> tuple[list[str], list[str]]:
    found = [(table, name) for table, name, _ in _triggers() if table in tables]
    return tuple(  # type: ignore[return-value]
        [f'ALTER TABLE {table} {verb} TRIGGER "{name}"' for table, name in found] for verb in ("DISABLE", "ENABLE")
    )


def _sqlite(tables: list[str]) -> tuple[list[str], list[str]]:
    found = [(name, made) for table, name, made in _triggers() if table in tables]
    return [f'DROP TRIGGER "{name}"' for name, _ in found], [made for _, made in found]


def _triggers() -> list[tuple[str, str, str]]:
    """Return the table, the name and, on SQLite, the statement of each of our triggers."""
    select = "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE %s"
    if connection.vendor == "postgresql":
        select = "SELECT tgrelid::regclass::text, tgname, '' FROM pg_trigger WHERE tgname LIKE %s"
    with connection.cursor() as cursor:
        cursor.execute(select, [f"{PREFIX}%"])
        return list(cursor.fetchall())


def _run(statements: list[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
