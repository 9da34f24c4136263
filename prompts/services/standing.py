"""A prompt's stars and uses added up, so that a list by them need not add up every prompt's.

Whoever changes a rating or a day's sum brings them up to date in the same transaction; `recount` forgets the days that
are over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.db import connection, transaction
from django.db.models import Avg, Count, F, OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce

from prompts.models import PromptUsage, Rating, Standing
from prompts.querysets import USE_DAYS, day_ago

RECOUNT_TASK = "prompts.recount_uses"
BATCH = 300
"""Rows in one statement; SQLite takes few values at once."""


def begin(prompt_id: int) -> None:
    """Give a new prompt its row: without one it is in no list by stars or uses."""
    Standing.objects.create(prompt_id=prompt_id)


def lock(prompt_id: int) -> None:
    """Keep others from changing a prompt's stars until the transaction is over: who adds up sees what they wrote."""
    Standing.objects.bulk_create([Standing(prompt_id=prompt_id)], ignore_conflicts=True)
    list(Standing.objects.select_for_update(no_key=True).filter(pk=prompt_id).values_list("pk"))


def add_up_stars(prompt_id: int) -> None:
    """Write the average and number of a prompt's ratings. The caller holds the `lock`."""
    given = Rating.objects.filter(prompt=prompt_id).aggregate(average=Avg("stars"), number=Count("pk"))
    Standing.objects.filter(pk=prompt_id).update(stars=given["average"] or 0, ratings_count=given["number"])


def add_uses(uses: Mapping[int, int]) -> None:
    """Add to the uses of prompts, by id, whatever other processes add meanwhile; in one order, as `usage.count`."""
    table = connection.ops.quote_name(Standing._meta.db_table)
    rows = sorted(uses.items())
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        values = ", ".join(["(%s, 0, 0, %s)"] * len(part))
        insert = f"INSERT INTO {table} (prompt_id, stars, ratings_count, uses_30d) VALUES {values}"
        adds = f"ON CONFLICT (prompt_id) DO UPDATE SET uses_30d = {table}.uses_30d + excluded.uses_30d"
        with connection.cursor() as cursor:
            cursor.execute(f"{insert} {adds}", [value for row in part for value in row])


def recount() -> int:
    """Bring the uses up to date where days have gone out of the last 30; return of how many prompts.

    May run while uses are counted: a row is locked before its days are read, so that nothing counted meanwhile is lost.
    """
    days = PromptUsage.objects.filter(day__gt=day_ago(USE_DAYS)).order_by()
    sums = dict(days.values_list("prompt").annotate(n=Sum(F("fetches") + F("answers"))))
    kept = Standing.objects.values_list("pk", "uses_30d").order_by("pk")
    stale = [pk for pk, uses in kept.iterator() if uses != sums.get(pk, 0)]
    for start in range(0, len(stale), BATCH):
        _recount(stale[start : start + BATCH])
    return len(stale)


@transaction.atomic
def _recount(prompt_ids: Iterable[int]) -> None:
    rows = Standing.objects.filter(pk__in=prompt_ids)
    list(rows.select_for_update(no_key=True).order_by("pk").values_list("pk"))
    used = PromptUsage.objects.filter(prompt=OuterRef("pk"), day__gt=day_ago(USE_DAYS)).order_by().values("prompt")
    rows.update(uses_30d=Coalesce(Subquery(used.annotate(n=Sum(F("fetches") + F("answers"))).values("n")), 0))
