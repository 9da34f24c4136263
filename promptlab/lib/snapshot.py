"""Many reads that see one state of the database, whatever is written meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def reading_snapshot() -> Iterator[None]:
    """Let all reads inside see what the first one saw. Inside a transaction of the caller's it is the caller's state."""
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "postgresql":
        with transaction.atomic():
            _execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
    else:
        # Not `atomic`: it would take SQLite's one write lock.
        _execute("BEGIN DEFERRED")
        try:
            yield
        finally:
            _execute("COMMIT")


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
