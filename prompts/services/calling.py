"""Counting who asks with which variables: sums of days, added up where answers become sums. Names, never values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

from django.db import connection, transaction
from django.db.models import Count

from prompts.models import CallerDay
from prompts.querysets import day_ago

FORGET_TASK: Final = "prompts.forget_callers"
KEPT_DAYS: Final = 8
MOST_NAMES: Final = 100
"""Of one caller on one day: above it new names are not counted, so that nobody fills the table."""
LONGEST_NAME: Final = 100
ROWS: Final = 100
COLUMNS: Final = ("prompt_id", "environment_id", "day", "caller", "name")
SUMS: Final = ("seen", "calls", "input_tokens", "output_tokens")
Who = tuple[int, int, date, int]
"""(prompt id, environment id, day in UTC, id of the key or 0)"""


@dataclass(frozen=True, slots=True)
class Call:
    """One answered call. `names`: the variables that were sent; None when nobody looked."""

    who: Who
    input_tokens: int
    output_tokens: int
    names: tuple[str, ...] | None = None


@transaction.atomic(savepoint=False)
def count(calls: Iterable[Call]) -> None:
    """Add calls to the sums of their days, whatever other processes add meanwhile: two queries, one without names.

    Every caller takes the rows in one order, so that two never wait for each other.
    """
    sums: dict[tuple[Who, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for call in calls:
        total = sums[call.who, ""]
        for place, number in enumerate((int(call.names is not None), 1, call.input_tokens, call.output_tokens)):
            total[place] += number
        for name in _countable(call.names or ()):
            sums[call.who, name][0] += 1
    rows = sorted(_with_room(sums).items())
    for start in range(0, len(rows), ROWS):
        _add([(*who, name, *numbers) for (who, name), numbers in rows[start : start + ROWS]])


def forget_old() -> int:
    """Forget the days that no contract looks at any more; return how many rows that were."""
    return CallerDay.objects.filter(day__lt=day_ago(KEPT_DAYS)).delete()[0]


def _countable(names: Iterable[str]) -> list[str]:
    found = sorted({name for name in names if name and len(name) <= LONGEST_NAME and name.isprintable()})
    return found[:MOST_NAMES]


def _with_room(sums: dict[tuple[Who, str], list[int]]) -> dict[tuple[Who, str], list[int]]:
    """Leave out names of callers that have been counted with very many already."""
    named = {who for who, name in sums if name}
    if not named:
        return sums
    days = CallerDay.objects.filter(
        prompt__in={who[0] for who in named},
        day__in={who[2] for who in named},
        caller__in={who[3] for who in named},
    ).exclude(name="")
    groups = days.order_by().values_list("prompt_id", "environment_id", "day", "caller").annotate(rows=Count("id"))
    full = {tuple(row[:4]) for row in groups if row[4] >= MOST_NAMES}
    return {key: numbers for key, numbers in sums.items() if not key[1] or key[0] not in full}


def _add(rows: list[tuple[int | date | str, ...]]) -> None:
    """Insert or add: one spelling that PostgreSQL and SQLite share, and that no queryset has."""
    table = connection.ops.quote_name(CallerDay._meta.db_table)
    places = ", ".join(["(" + ", ".join(["%s"] * (len(COLUMNS) + len(SUMS))) + ")"] * len(rows))
    adds = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in SUMS)
    insert = f"INSERT INTO {table} ({', '.join(COLUMNS + SUMS)}) VALUES {places}"
    told = [connection.ops.adapt_datefield_value(one) if isinstance(one, date) else one for row in rows for one in row]
    with connection.cursor() as cursor:
        cursor.execute(f"{insert} ON CONFLICT ({', '.join(COLUMNS)}) DO UPDATE SET {adds}", told)
