"""Rows that the database itself keeps: triggers, in the words of PostgreSQL and SQLite, that refuse to change or remove them.

A migration freezes a table with `Freeze`. On SQLite every later migration that rebuilds the table loses its triggers:
it has to freeze the table again, at its end, with `before` saying what was frozen until then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

PREFIX = "frozen_"
"""Every trigger's name begins with it."""


class Freeze(migrations.RunPython):
    """Refuse, in a table, every DELETE and every UPDATE of the named columns with an IntegrityError.

    `erasable`: columns that may become null and nothing else, so that a person can be removed.
    `keys`: columns by which a row is the same row; SQLite's INSERT OR REPLACE removes it without asking a trigger.
    `before`: the columns that were frozen until now, for going back.
    """

    def __init__(
        self,
        table: str,
        columns: Sequence[str],
        *,
        erasable: Sequence[str] = (),
        keys: Sequence[Sequence[str]] = (("id",),),
        before: Sequence[str] = (),
    ) -> None:
        def forwards(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
            _run(schema_editor, thaw_sql(table, schema_editor.connection.vendor))
            _run(schema_editor, freeze_sql(table, columns, erasable, keys, schema_editor.connection.vendor))

        def backwards(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
            _run(schema_editor, thaw_sql(table, schema_editor.connection.vendor))
            if before:
                _run(schema_editor, freeze_sql(table, before, erasable, keys, schema_editor.connection.vendor))

        super().__init__(forwards, backwards)

    def deconstruct(self) -> Any:
        """Refuse to be squashed: what it says is not in its arguments."""
        raise TypeError("Write Freeze into a squashed migration by hand.")


def freeze_sql(
    table: str, columns: Sequence[str], erasable: Sequence[str], keys: Sequence[Sequence[str]], vendor: str
) -> list[str]:
    """Return the statements that freeze a table."""
    if vendor == "postgresql":
        return _postgresql(table, columns, erasable)
    return _sqlite(table, columns, erasable, keys)


def thaw_sql(table: str, vendor: str) -> list[str]:
    """Return the statements that take the triggers of a table away."""
    if vendor == "postgresql":
        names = [f"{PREFIX}{table}", f"{PREFIX}{table}_whole"]
        dropped = [f'DROP TRIGGER IF EXISTS "{name}" ON "{table}"' for name in names]
        return [*dropped, f'DROP FUNCTION IF EXISTS "{PREFIX}{table}"()']
    return [f'DROP TRIGGER IF EXISTS "{PREFIX}{table}_{act}"' for act in ("update", "delete", "insert")]


def _postgresql(table: str, columns: Sequence[str], erasable: Sequence[str]) -> list[str]:
    """Return one function and two triggers: each row, and TRUNCATE."""
    changed = [f'NEW."{name}" IS DISTINCT FROM OLD."{name}"' for name in columns]
    changed += [f'(NEW."{name}" IS NOT NULL AND NEW."{name}" IS DISTINCT FROM OLD."{name}")' for name in erasable]
    function = f"""
        CREATE FUNCTION "{PREFIX}{table}"() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'UPDATE' THEN
                IF NOT ({" OR ".join(changed)}) THEN
                    RETURN NEW;
                END IF;
            END IF;
            RAISE EXCEPTION '{table} is frozen: % refused', TG_OP USING ERRCODE = '23000';
        END $$"""
    runs = f'EXECUTE FUNCTION "{PREFIX}{table}"()'
    return [
        function,
        f'CREATE TRIGGER "{PREFIX}{table}" BEFORE UPDATE OR DELETE ON "{table}" FOR EACH ROW {runs}',
        f'CREATE TRIGGER "{PREFIX}{table}_whole" BEFORE TRUNCATE ON "{table}" FOR EACH STATEMENT {runs}',
    ]


def _sqlite(table: str, columns: Sequence[str], erasable: Sequence[str], keys: Sequence[Sequence[str]]) -> list[str]:
    """Return three triggers: UPDATE, DELETE, and an INSERT that would replace a row."""
    changed = [f'NEW."{name}" IS NOT OLD."{name}"' for name in columns]
    changed += [f'(NEW."{name}" IS NOT NULL AND NEW."{name}" IS NOT OLD."{name}")' for name in erasable]
    same = [" AND ".join(f'"{name}" = NEW."{name}"' for name in key) for key in keys]
    there = " OR ".join(f'EXISTS (SELECT 1 FROM "{table}" WHERE {one})' for one in same)

    def trigger(act: str, when: str) -> str:
        refused = f"SELECT RAISE(ABORT, '{table} is frozen: {act.upper()} refused');"
        return (
            f'CREATE TRIGGER "{PREFIX}{table}_{act}" BEFORE {act.upper()} ON "{table}" FOR EACH ROW{when} '
            f"BEGIN {refused} END"
        )

    return [
        trigger("update", f" WHEN {' OR '.join(changed)}"),
        trigger("delete", ""),
        trigger("insert", f" WHEN {there}"),
    ]


def _run(schema_editor: BaseDatabaseSchemaEditor, statements: list[str]) -> None:
    for statement in statements:
        schema_editor.execute(statement, params=None)
