"""The rows of units while something is added to them: read and locked together, and written back together.

Their models' instances cost more than all that is added up, so they are plain here.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cache, reduce
from operator import attrgetter, or_

from django.db import connection
from django.db.models import Q

from experiments.models import ExperimentUnit
from promptlab.lib.prepared import asked

UnitKey = tuple[int, int, str]
"""(experiment id, phase, unit id)"""


@dataclass(slots=True)
class Unit:
    """What stands in a row of `ExperimentUnit`, as far as sums are made of it."""

    pk: int
    experiment_id: int
    phase: int
    unit_id: str
    variant_id: int
    is_multiple: bool
    requests: int
    errors: int
    ratings: int
    ups: int
    waits: int
    ln_ms: float
    ln_ms_events: float
    priced: int
    cost: float
    cost_events: float
    checked: int
    misfits: int

    @property
    def key(self) -> UnitKey:
        return self.experiment_id, self.phase, self.unit_id


COLUMNS = tuple(one.name for one in fields(Unit))
CHANGED = COLUMNS[COLUMNS.index("is_multiple") :]
"""What a row adds up, and whether it counts."""
ON_POSTGRESQL = {"int": "bigint", "float": "double precision", "bool": "boolean", "str": "text"}
_written = attrgetter("pk", *CHANGED)


def locked(keys: Iterable[UnitKey]) -> dict[UnitKey, Unit]:
    """Return the rows there are, locked in one order until the transaction ends."""
    units: dict[tuple[int, int], list[str]] = defaultdict(list)
    for experiment_id, phase, unit_id in keys:
        units[experiment_id, phase].append(unit_id)
    wanted = [Q(experiment_id=key[0], phase=key[1], unit_id__in=ids) for key, ids in units.items()]
    rows = ExperimentUnit.objects.select_for_update(no_key=True).filter(reduce(or_, wanted))
    found = [Unit(*row) for row in rows.order_by("experiment_id", "phase", "unit_id").values_list(*COLUMNS)]
    return {unit.key: unit for unit in found}


def write_back(units: Sequence[Unit]) -> None:
    """Write locked rows in one statement: `bulk_update` would spell out a case for each row and column."""
    if units:
        asked(_update(connection.vendor), [json.dumps([_written(unit) for unit in units])])


@cache
def _update(vendor: str) -> str:
    """Return the statement that writes rows. Its parameter: [id, and what changed] of each, as JSON."""
    places = enumerate(("id", *CHANGED))
    if vendor == "postgresql":
        kinds = {one.name: ON_POSTGRESQL[str(one.type)] for one in fields(Unit)} | {"id": "bigint"}
        picked = [f"(one ->> {place})::{kinds[name]} AS {name}" for place, name in places]
        source = "jsonb_array_elements(%s::jsonb) AS rows(one)"
    else:
        picked = [f"json_extract(value, '$[{place}]') AS {name}" for place, name in places]
        source = "json_each(%s)"
    changes = ", ".join(f"{name} = said.{name}" for name in CHANGED)
    return (
        f"UPDATE {ExperimentUnit._meta.db_table} AS held SET {changes} "
        f"FROM (SELECT {', '.join(picked)} FROM {source}) AS said WHERE held.id = said.id RETURNING 1"
    )
