"""The hourly sums' rows: what names one, and adding to many of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from experiments.models import HourRollup
from experiments.services.cells import Number, Rows

ROWS = Rows(HourRollup, ("prompt", "environment", "version", "experiment", "phase", "variant", "hour"))


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
        """The values of the columns that name a row."""
        one = self.served
        where = (one.prompt_id, one.environment_id, one.version_id, one.experiment_id, one.phase, one.variant_id)
        return (*where, self.hour)


Sums = dict[Cell, dict[str, Number]]


def add_to_hours(sums: Mapping[Cell, Mapping[str, Number]]) -> None:
    """Add to the rows, of which the first to come makes each. Waits for whoever is adding to the same ones.

    Of each cell exactly what is named grows, by exactly that much, whatever others add meanwhile.
    """
    cells = sorted((cell for cell in sums if any(sums[cell].values())), key=lambda one: one.order)
    plain = [(cell.key, sums[cell]) for cell in cells if cell.served.variant_id is None]
    tested = [(cell.key, sums[cell]) for cell in cells if cell.served.variant_id is not None]
    ROWS.add(plain, "(version_id, environment_id, hour) WHERE variant_id IS NULL")
    ROWS.add(tested, "(variant_id, phase, hour) WHERE variant_id IS NOT NULL")
