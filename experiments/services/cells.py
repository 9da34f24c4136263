"""Adding to many rows of sums in a statement, whatever others add meanwhile. Which rows, `hours` and `days` say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection
from django.db.models import Field, JSONField, Model

Number = Any
"""An integer, a float or a Decimal, or counts by bucket: whichever the column holds."""
VALUES = 900
"""In one statement; SQLite takes few at once."""
COUNTS_SQL = {
    "postgresql": ("jsonb_object_agg", "jsonb_each_text", "value::bigint"),
    "sqlite": ("json_group_object", "json_each", "value"),
}
"""Database -> what makes an object of keys and numbers, what takes one apart, and what reads a number of it."""


class Rows:
    """The rows of a table of sums: `keys` name one, all other columns add up."""

    def __init__(self, model: type[Model], keys: Sequence[str]) -> None:
        self.table = model._meta.db_table
        self.keys = [_field(model, name) for name in keys]
        self.numbers = {
            one.name: one for one in model._meta.concrete_fields if not one.primary_key and one.name not in keys
        }

    def add(self, rows: Sequence[tuple[tuple[object, ...], Mapping[str, Number]]], once: str) -> None:
        """Insert (key, sums), or add to the row that there is, which `once` tells; in the order of the rows."""
        names = [name for name in self.numbers if any(sums.get(name) for _key, sums in rows)]
        if not names:
            return
        size = VALUES // (len(self.keys) + len(self.numbers))
        for start in range(0, len(rows), size):
            self._upsert(rows[start : start + size], names, once)

    def _upsert(
        self, rows: Sequence[tuple[tuple[object, ...], Mapping[str, Number]]], names: Sequence[str], once: str
    ) -> None:
        """Insert or add: one spelling that PostgreSQL and SQLite share, and that no queryset has."""
        table = connection.ops.quote_name(self.table)
        fields = [*self.keys, *self.numbers.values()]
        columns = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
        row = f"({', '.join(['%s'] * len(fields))})"
        adds = ", ".join(f"{name} = {self._added(table, name)}" for name in names)
        values = [
            (*key, *(sums.get(name) or _nothing(field) for name, field in self.numbers.items())) for key, sums in rows
        ]
        statement = f"INSERT INTO {table} ({columns}) VALUES {', '.join([row] * len(rows))}"
        with connection.cursor() as cursor:
            cursor.execute(
                f"{statement} ON CONFLICT {once} DO UPDATE SET {adds}",
                [_stored(field, one) for value in values for field, one in zip(fields, value, strict=True)],
            )

    def _added(self, table: str, name: str) -> str:
        """Return how the numbers of a column are added up."""
        if not isinstance(self.numbers[name], JSONField):
            return f"{table}.{name} + excluded.{name}"
        adds_up, each, number = COUNTS_SQL[connection.vendor]
        both = " UNION ALL ".join(f"SELECT key, value FROM {each}({row}.{name})" for row in (table, "excluded"))
        added = f"SELECT key, SUM({number}) AS number FROM ({both}) AS parts GROUP BY key"
        return f"(SELECT COALESCE({adds_up}(key, number), '{{}}') FROM ({added}) AS added)"


def _field(model: type[Model], name: str) -> Field[Any, Any]:
    found = model._meta.get_field(name)
    assert isinstance(found, Field)
    return found


def _nothing(field: Field[Any, Any]) -> Number:
    """Return what a column holds while there is nothing."""
    return {} if isinstance(field, JSONField) else 0


def _stored(field: Field[Any, Any], value: object) -> Number:
    """Return a value as the database's driver takes it."""
    return value if field.is_relation else field.get_db_prep_save(value, connection)
