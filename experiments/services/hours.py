"""The hourly sums' rows: what names one, and adding to many of them in a statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Field, JSONField

from experiments.models import HourRollup

Number = Any
"""An integer, a float or a Decimal, or counts by bucket: whichever the column holds."""
KEYS = ("prompt", "environment", "version", "experiment", "phase", "variant", "hour")
VALUES = 900
"""In one statement; SQLite takes few at once."""


@dataclass(frozen=True, slots=True)
class Served:
    """What was shown, and where. `variant_id`: the variant that was served, None outside of experiments."""

    prompt_id: int
    environment_id: int
    version_id: int
    experiment_id: int | None = None
    phase: int = 0
    variant_id: int | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """The key of one row of sums."""

    served: Served
    hour: datetime

    @property
    def order(self) -> tuple[int, int, int, int, datetime]:
        """The order in which every transaction takes its locks, so that two never wait for each other.

        Cells outside of experiments come first: the two kinds are unique by other columns, so each has a statement.
        """
        served = self.served
        return (served.variant_id or 0, served.phase, served.version_id, served.environment_id, self.hour)

    @property
    def key(self) -> tuple[object, ...]:
        """The values of `KEYS`."""
        one = self.served
        where = (one.prompt_id, one.environment_id, one.version_id, one.experiment_id, one.phase, one.variant_id)
        return (*where, self.hour)


Sums = dict[Cell, dict[str, Number]]


def add_to_hours(sums: Mapping[Cell, Mapping[str, Number]]) -> None:
    """Add to the rows, of which the first to come makes each. Waits for whoever is adding to the same ones.

    Of each cell exactly what is named grows, by exactly that much, whatever others add meanwhile.
    """
    cells = sorted((cell for cell in sums if any(sums[cell].values())), key=lambda one: one.order)
    plain = [cell for cell in cells if cell.served.variant_id is None]
    tested = [cell for cell in cells if cell.served.variant_id is not None]
    _add(plain, sums, "(version_id, environment_id, hour) WHERE variant_id IS NULL")
    _add(tested, sums, "(variant_id, phase, hour) WHERE variant_id IS NOT NULL")


def _add(cells: Sequence[Cell], sums: Mapping[Cell, Mapping[str, Number]], once: str) -> None:
    names = [name for name in NUMBERS if any(sums[cell].get(name) for cell in cells)]
    if not names:
        return
    rows = VALUES // (len(KEYS) + len(NUMBERS))
    for start in range(0, len(cells), rows):
        _upsert(cells[start : start + rows], sums, names, once)


def _upsert(cells: Sequence[Cell], sums: Mapping[Cell, Mapping[str, Number]], names: Sequence[str], once: str) -> None:
    """Insert or add: one spelling that PostgreSQL and SQLite share, and that no queryset has."""
    table = connection.ops.quote_name(HourRollup._meta.db_table)
    fields = [*(_field(name) for name in KEYS), *(_field(name) for name in NUMBERS)]
    columns = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
    row = f"({', '.join(['%s'] * len(fields))})"
    adds = ", ".join(f"{name} = {_added(table, name)}" for name in names)
    values = [(*cell.key, *(sums[cell].get(name) or NOTHING.get(name, 0) for name in NUMBERS)) for cell in cells]
    statement = f"INSERT INTO {table} ({columns}) VALUES {', '.join([row] * len(cells))}"
    with connection.cursor() as cursor:
        cursor.execute(
            f"{statement} ON CONFLICT {once} DO UPDATE SET {adds}",
            [_stored(field, one) for value in values for field, one in zip(fields, value, strict=True)],
        )


def _added(table: str, name: str) -> str:
    """Return how the numbers of a column are added up."""
    if name not in NOTHING:
        return f"{table}.{name} + excluded.{name}"
    adds_up, each, number = COUNTS_SQL[connection.vendor]
    both = " UNION ALL ".join(f"SELECT key, value FROM {each}({row}.{name})" for row in (table, "excluded"))
    added = f"SELECT key, SUM({number}) AS number FROM ({both}) AS parts GROUP BY key"
    return f"(SELECT COALESCE({adds_up}(key, number), '{{}}') FROM ({added}) AS added)"


def _field(name: str) -> Field[Any, Any]:
    found = HourRollup._meta.get_field(name)
    assert isinstance(found, Field)
    return found


def _stored(field: Field[Any, Any], value: object) -> Number:
    """Return a value as the database's driver takes it."""
    return value if field.is_relation else field.get_db_prep_save(value, connection)


NUMBERS = tuple(
    field.name for field in HourRollup._meta.concrete_fields if not field.primary_key and field.name not in KEYS
)
"""The columns that add up."""
NOTHING: Mapping[str, Any] = {
    field.name: {} for field in HourRollup._meta.concrete_fields if isinstance(field, JSONField)
}
"""What columns of counts by bucket hold while there are none."""
COUNTS_SQL = {
    "postgresql": ("jsonb_object_agg", "jsonb_each_text", "value::bigint"),
    "sqlite": ("json_group_object", "json_each", "value"),
}
"""Database -> what makes an object of keys and numbers, what takes one apart, and what reads a number of it."""
