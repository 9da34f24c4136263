"""Adding up daily sums: by whatever is asked for, with waits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import F, QuerySet, Sum

from experiments.services.cells import COUNTS_SQL
from experiments.services.days import NANO
from experiments.stats.histogram import Counts, merged, quantile_ms
from experiments.stats.proportion import Approval, approval, ratio

Key = tuple[Any, ...]
Row = Mapping[str, Any]
SUMMED = (
    "requests", "shown", "errors", "ratings", "ups", "input_tokens", "output_tokens", "cost_nanousd", "unpriced", "priced",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Used:
    """What came of some calls. `cost_usd` is of those whose price is known (`priced`); `unpriced` counts the others.

    Waits are those under which half of the answers were, and 95 in 100: off by at most 4.5 %, None where none is known.
    """

    calls: int
    shown: int
    errors: int
    said: Approval
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    priced: int
    unpriced: int
    median_ms: int | None
    p95_ms: int | None

    @property
    def coverage(self) -> float | None:
        """Ratings per answer shown."""
        return ratio(self.said.ratings, self.shown)

    @property
    def error_share(self) -> float | None:
        """Failed answers per call."""
        return ratio(self.errors, self.calls)

    @property
    def thousand_usd(self) -> Decimal | None:
        """What a thousand calls of known price cost."""
        return self.cost_usd * 1000 / self.priced if self.priced else None

    @property
    def known_usd(self) -> Decimal | None:
        """What it cost; None where no price is known."""
        return self.cost_usd if self.priced else None


def used(rows: Iterable[Row], waits: Iterable[Counts] = ()) -> Used:
    """Return what rows of sums come to, with the waits of their answers."""
    total: dict[str, int] = defaultdict(int)
    for row in rows:
        for name in SUMMED:
            total[name] += row[name]
    counts = merged(waits)
    return Used(
        calls=total["requests"],
        shown=total["shown"],
        errors=total["errors"],
        said=approval(total["ups"], total["ratings"]),
        input_tokens=total["input_tokens"],
        output_tokens=total["output_tokens"],
        cost_usd=Decimal(total["cost_nanousd"]) / NANO,
        priced=total["priced"],
        unpriced=total["unpriced"],
        median_ms=_whole(quantile_ms(counts, 0.5)),
        p95_ms=_whole(quantile_ms(counts, 0.95)),
    )


def grouped(rows: QuerySet[Any], by: Sequence[str], **sums: Any) -> QuerySet[Any]:
    """Return the sums of rows for each value of `by`, named `n_...`: one query. `sums` in place of all of them."""
    wanted = sums or {name: Sum(name) for name in SUMMED}
    return rows.order_by().values(*by).annotate(**{f"n_{name}": one for name, one in wanted.items()})


def plain(row: Row) -> dict[str, Any]:
    """Return a row of `grouped` with sums by their own names, as whole numbers: a database may add up in decimals."""
    return {name.removeprefix("n_"): int(value or 0) if name.startswith("n_") else value for name, value in row.items()}


def summed(rows: QuerySet[Any], *by: str) -> list[dict[str, Any]]:
    """Return the sums of rows for each value of `by`. One query."""
    return [plain(row) for row in grouped(rows, by)]


def waits(rows: QuerySet[Any], *by: str) -> dict[Key, dict[str, int]]:
    """Return the counts of waits of rows by the values of `by`. One query, that no queryset has."""
    keys = [f"k{index}" for index in range(len(by))]
    told = rows.order_by().annotate(**{key: F(name) for key, name in zip(keys, by, strict=True)})
    try:
        inner, parameters = told.values(*keys, "wait_counts").query.sql_with_params()
    except EmptyResultSet:
        return {}
    _, each, number = COUNTS_SQL[connection.vendor]
    columns = "".join(f"{key}, " for key in keys)
    statement = (
        f"SELECT {columns}key, SUM({number}) FROM ({inner}) AS cells, {each}(cells.wait_counts) AS counts"
        f" GROUP BY {columns}key"
    )
    found: dict[Key, dict[str, int]] = defaultdict(dict)
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        for *key, bucket, count in cursor.fetchall():
            if count:
                found[tuple(_read(name, value) for name, value in zip(by, key, strict=True))][bucket] = int(count)
    return found


def _read(name: str, value: Any) -> Any:
    """Return a value as the column holds it: SQLite writes days as text."""
    return date.fromisoformat(value) if name == "day" and isinstance(value, str) else value


def _whole(ms: float | None) -> int | None:
    return None if ms is None else round(ms)
