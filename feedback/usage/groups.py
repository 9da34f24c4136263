"""The use of everything one may see, in groups: by prompt, version, environment, team, model or day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Q, QuerySet

from feedback.usage.sums import Row, Used, grouped, plain, used, waits

BY = {
    "team": ("prompt__team_id", "prompt__team__name"),
    "prompt": ("prompt_id", "prompt__name"),
    "version": ("prompt_id", "prompt__name", "version__number", "version__version_string"),
    "environment": ("environment__name",),
    "model": ("model",),
    "day": ("day",),
}
"""What can be asked for -> the columns that tell it."""
NAMES = {
    "prompt__team_id": "team_id",
    "prompt__team__name": "team",
    "prompt_id": "prompt_id",
    "prompt__name": "prompt",
    "version__number": "version",
    "version__version_string": "version_string",
    "environment__name": "environment",
    "model": "model",
    "day": "day",
}
"""Columns, as they are called in answers."""


class Groups:
    """The groups of some rows of daily sums, in the order of their names; cut like a list, by one query and one for waits."""

    def __init__(self, rows: QuerySet[Any], by: Sequence[str]) -> None:
        self.rows = rows
        self.columns = list(dict.fromkeys(column for one in by for column in BY[one]))
        self.names = [NAMES[column] for column in self.columns]
        named = [column for column in self.columns if column not in ("prompt_id", "prompt__team_id")]
        self._sums = grouped(rows, self.columns).order_by(*named, *self.columns)

    def count(self) -> int:
        """Return how many there are. One query."""
        number: int = self._sums.count()
        return number

    def __len__(self) -> int:
        return self.count()

    def __getitem__(self, part: slice) -> list[tuple[Row, Used]]:
        """Return the names of each group, and what came of its calls. Two queries."""
        found = [plain(row) for row in self._sums[part]]
        if not found:
            return []
        counts = waits(self.rows.filter(self._of(found)), *self.columns)
        return [
            ({NAMES[column]: row[column] for column in self.columns}, used([row], [counts.get(self._key(row), {})]))
            for row in found
        ]

    def _of(self, found: Sequence[Row]) -> Q:
        """Return a condition that holds for the rows of these groups, and for few others."""
        return Q(**{f"{column}__in": {row[column] for row in found} for column in self.columns})

    def _key(self, row: Row) -> tuple[Any, ...]:
        return tuple(row[column] for column in self.columns)


def totals(rows: QuerySet[Any]) -> Used:
    """Return what came of all calls of some rows. Two queries."""
    return used([plain(one) for one in grouped(rows, ["prompt__team_id"])], waits(rows).values())
