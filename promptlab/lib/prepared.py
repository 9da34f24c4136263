"""Statements that PostgreSQL reads and plans once for each connection, however often they run.

The large ones of the hot routes took as long to be read as to be carried out. Django sends every statement as text, with its
values in it; here the values travel apart from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

from django.conf import settings
from django.db import connection
from django.db.backends.utils import CursorWrapper


def cursor() -> AbstractContextManager[CursorWrapper]:
    """Return a cursor for statements that never change: each is kept with the connection. Values must say their types.

    Anywhere but on PostgreSQL, and where a pooler stands in between that knows no such statements
    (`DATABASE_PREPARES=0`), an ordinary one.
    """
    if connection.vendor != "postgresql" or not settings.DATABASE_PREPARES:
        return cast(AbstractContextManager[CursorWrapper], connection.cursor())
    connection.ensure_connection()
    plain = _kind()(connection.connection)
    return connection.make_debug_cursor(plain) if connection.queries_logged else connection.make_cursor(plain)


def asked(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run such a statement and return its rows."""
    with cursor() as running:
        running.execute(statement, parameters)
        rows: list[tuple[Any, ...]] = running.fetchall()
    return rows


@cache
def _kind() -> Any:
    """Return the kind of cursor. Where there is no PostgreSQL its driver need not be there."""
    import psycopg

    class Preparing(psycopg.Cursor[tuple[Any, ...]]):
        """The connection prepares nothing but what is asked of it here: other statements differ with their values."""

        def execute(self, query: Any, params: Any = None, **_: Any) -> Any:
            self.connection.prepare_threshold = 0
            try:
                return super().execute(query, params, prepare=True)
            finally:
                self.connection.prepare_threshold = None
                # Read by the framework's own log of statements.
                self._query = cast(Any, SimpleNamespace(query=query.encode()))

    return Preparing
