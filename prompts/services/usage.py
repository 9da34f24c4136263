"""How much prompts are used: sums per day, of fetches by applications and of answers by the gateway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date

from django.db import connection, transaction

from prompts.models import Prompt, PromptUsage
from prompts.querysets import USE_DAYS, day_ago
from prompts.services import standing

Use = tuple[int, date]
"""(prompt id, day in UTC)"""
ROWS = 300
"""In one statement; SQLite takes few values at once."""


@transaction.atomic(savepoint=False)
def count(*, fetches: Mapping[Use, int] | None = None, answers: Mapping[Use, int] | None = None) -> None:
    """Add to the sums of days, whatever other processes add meanwhile.

    One statement for some hundred rows. Every caller takes the rows in one order, so that two never wait for each other.
    """
    fetches, answers = fetches or {}, answers or {}
    uses = sorted(fetches.keys() | answers.keys())
    rows = [(*use, fetches.get(use, 0), answers.get(use, 0)) for use in uses]
    for start in range(0, len(rows), ROWS):
        _add(rows[start : start + ROWS])
    recent: Counter[int] = Counter()
    first_day = day_ago(USE_DAYS - 1)
    for prompt_id, day, fetched, answered in rows:
        if day >= first_day:
            recent[prompt_id] += fetched + answered
    standing.add_uses(+recent)


def _add(rows: list[tuple[int, date, int, int]]) -> None:
    """Insert or add: one spelling that PostgreSQL and SQLite share, and that no queryset has."""
    table = connection.ops.quote_name(PromptUsage._meta.db_table)
    values = ", ".join(["(%s, %s, %s, %s)"] * len(rows))
    adds = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in ("fetches", "answers"))
    insert = f"INSERT INTO {table} (prompt_id, day, fetches, answers) VALUES {values}"
    days = {day: connection.ops.adapt_datefield_value(day) for day in {row[1] for row in rows}}
    told = [one for prompt_id, day, *numbers in rows for one in (prompt_id, days[day], *numbers)]
    with connection.cursor() as cursor:
        cursor.execute(f"{insert} ON CONFLICT (prompt_id, day) DO UPDATE SET {adds}", told)


def of_days(prompt: Prompt, since: date) -> list[PromptUsage]:
    """Return the sums of a prompt's days, the newest first; days without use have none."""
    return list(PromptUsage.objects.filter(prompt=prompt, day__gte=since).order_by("-day"))
