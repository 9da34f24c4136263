"""Statements that are kept with a connection: their rows, their errors and their place in the log of statements."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DataError, connection, transaction
from django.test.utils import CaptureQueriesContext

from promptlab.lib import prepared

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL keeps statements"),
]
HALF = "SELECT 84 / %s::integer"


def known() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE %s", ["SELECT 84 / $1%"])
        return int(cursor.fetchone()[0])


def test_a_statement_is_read_once_and_its_values_travel_apart() -> None:
    assert [prepared.asked(HALF, [number]) for number in (1, 2, 4)] == [[(84,)], [(42,)], [(21,)]]
    assert known() == 1


def test_other_statements_are_not_kept() -> None:
    prepared.asked(HALF, [2])
    for _ in range(10):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 84 / %s", [2])
    assert known() == 1


def test_an_error_is_the_frameworks_and_the_statement_works_on() -> None:
    with pytest.raises(DataError, match="zero"), transaction.atomic():
        prepared.asked(HALF, [0])
    assert prepared.asked(HALF, [2]) == [(42,)]


def test_they_are_counted_like_any_other() -> None:
    with CaptureQueriesContext(connection) as queries:
        prepared.asked(HALF, [2])
    assert [one["sql"] for one in queries.captured_queries] == [HALF]


def test_a_pooler_that_knows_no_such_statements_gets_none(settings: Any) -> None:
    settings.DATABASE_PREPARES = False
    assert prepared.asked("SELECT 84 / %s::integer + 1", [2]) == [(43,)]
    assert known() == 0
