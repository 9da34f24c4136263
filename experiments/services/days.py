"""The daily sums' rows: what names one, and adding to many of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from experiments.models import DayRollup
from experiments.services.cells import Number, Rows

NANO = 10**9
ROWS = Rows(DayRollup, ("prompt", "environment", "version", "model", "day"))


@dataclass(frozen=True, slots=True, order=True)
class DayCell:
    """The key of one row. In this order every transaction takes its locks, so that two never wait for each other."""

    day: date
    version_id: int
    environment_id: int
    model: str
    prompt_id: int

    @property
    def key(self) -> tuple[object, ...]:
        """The values of the columns that name a row."""
        return (self.prompt_id, self.environment_id, self.version_id, self.model, self.day)


def add_to_days(sums: Mapping[DayCell, Mapping[str, Number]]) -> None:
    """Add to the rows, of which the first to come makes each. Waits for whoever is adding to the same ones."""
    cells = sorted(cell for cell in sums if any(sums[cell].values()))
    ROWS.add([(cell.key, sums[cell]) for cell in cells], "(day, version_id, environment_id, model)")


def nanousd(usd: Decimal | None) -> int:
    """Return an amount in billionths of a dollar; 0 for an unknown one."""
    return 0 if usd is None else int((usd * NANO).to_integral_value())
