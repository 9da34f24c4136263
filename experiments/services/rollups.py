"""Adding observations to the sums that pages and verdicts read: per hour, and per unit inside experiments.

Callers (chat, feedback) stamp their own rows in the same transaction, so that what is added is added once.

A unit belongs to the variant it met first. When it meets another one it is marked `is_multiple`, and that is counted
once, in the first variant's cells. What it does on either variant stays in the hourly counts, because both were shown,
but leaves every sum over units: those hold units that met one text only, and are what verdicts are computed from.
"""

from __future__ import annotations

import math
from collections import Counter as Counts
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from django.db import connection
from django.db.models import F

from experiments.models import Experiment, ExperimentUnit, Variant
from experiments.services.cells import Number
from experiments.services.days import DayCell, add_to_days, nanousd
from experiments.services.hours import Cell, Served, Sums, add_to_hours
from experiments.services.units import Unit, UnitKey, locked, write_back
from experiments.stats.histogram import bucket
from promptlab.lib.logs import get_logger
from promptlab.lib.queue import enqueue_on_commit

log = get_logger(__name__)
LOOK_TASK = "experiments.look"


@dataclass(frozen=True, slots=True)
class Observation:
    """What one event adds. `at` is when it arrived; `ratings` and `ups` are differences, and may be negative.

    Requests make an exposure; ratings never do. `cost_usd` None adds nothing: `is_unpriced` counts unknown costs. When
    costs become known later, `cost_usd` is the difference and `unpriced` takes the unknown ones back. `checked`: answers
    that had to keep a format, `misfits`: those of them that did not. `model` gave the answer, which ended on `day` (UTC;
    None: that of `at`): ratings may arrive on a later one.
    """

    served: Served
    unit_id: str
    at: datetime
    requests: int = 0
    shown: int = 0
    errors: int = 0
    ratings: int = 0
    ups: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal | None = None
    is_unpriced: bool = False
    unpriced: int = 0
    latency_ms: int = 0
    checked: int = 0
    misfits: int = 0
    model: str = ""
    day: date | None = None


EVENT_COLUMNS = (
    "requests", "shown", "errors", "ratings", "ups", "input_tokens", "output_tokens", "latency_ms", "checked", "misfits",
)  # fmt: skip
"""What hours count by the event."""
DAY_COLUMNS = ("requests", "shown", "errors", "ratings", "ups", "input_tokens", "output_tokens")
"""What days count by the event as well."""


def add_observations(observations: Sequence[Observation]) -> None:
    """Add to the sums, inside the caller's transaction, which stamps the rows that the observations came from.

    Rows are locked in one order everywhere (units, then hours, then days), until the caller commits. One call per transaction:
    a second one would start the order again.
    """
    assert connection.in_atomic_block, "The caller's stamps and these sums belong in one transaction."
    sums: Sums = defaultdict(lambda: defaultdict(int))
    for observation in observations:
        _add_events(sums[_cell(observation)], observation)
    _add_units(sums, [one for one in observations if one.served.variant_id is not None and one.unit_id])
    add_to_hours(sums)
    add_to_days(_of_days(observations))
    _have_looked_at({one.served.experiment_id for one in observations if one.served.experiment_id is not None})


def _have_looked_at(experiment_ids: set[int]) -> None:
    """Have the guard look at those experiments whose sums are other ones now."""
    if experiment_ids:
        running = Experiment.objects.filter(pk__in=experiment_ids, state=Experiment.State.RUNNING)
        for pk in running.values_list("pk", flat=True):
            enqueue_on_commit(LOOK_TASK, pk)


def _cell(observation: Observation) -> Cell:
    served = observation.served
    if served.variant_id is None:
        served = Served(served.prompt_id, served.environment_id, served.version_id)
    return Cell(served, observation.at.astimezone(UTC).replace(minute=0, second=0, microsecond=0))


def _of_days(observations: Sequence[Observation]) -> dict[DayCell, dict[str, Number]]:
    """Return what days count: by model, and all that is ever known of an answer on the day it ended."""
    sums: dict[DayCell, dict[str, Number]] = defaultdict(lambda: defaultdict(int))
    for one in observations:
        served, day = one.served, one.day or one.at.astimezone(UTC).date()
        cell = sums[DayCell(day, served.version_id, served.environment_id, one.model, served.prompt_id)]
        for name in DAY_COLUMNS:
            cell[name] += getattr(one, name)
        if one.latency_ms > 0:
            cell.setdefault("wait_counts", Counts())[str(bucket(one.latency_ms))] += 1
        cell["cost_nanousd"] += nanousd(one.cost_usd)
        cell["unpriced"] += one.is_unpriced + one.unpriced
        cell["priced"] += int(one.requests and one.cost_usd is not None) - one.unpriced
    return sums


def _add_events(sums: dict[str, Number], one: Observation) -> None:
    """Add what counts per event."""
    for name in EVENT_COLUMNS:
        sums[name] += getattr(one, name)
    if one.latency_ms > 0:
        counts = sums.setdefault("wait_counts", Counts())
        counts[str(bucket(one.latency_ms))] += 1
    sums["cost_usd"] += one.cost_usd or Decimal(0)
    sums["unpriced"] += one.is_unpriced + one.unpriced


def _add_units(sums: Sums, observations: Sequence[Observation]) -> None:
    """Add to the units, and to `sums` what follows from how their rows change."""
    by_unit: dict[UnitKey, list[Observation]] = defaultdict(list)
    for one in sorted(observations, key=lambda one: one.at):
        assert one.served.experiment_id is not None
        by_unit[one.served.experiment_id, one.served.phase, one.unit_id].append(one)
    if not by_unit:
        return
    rows = _locked_rows(by_unit)
    new = [row for row in rows.values() if not row.requests and row.phase > 1]
    for key, of_unit in by_unit.items():
        if key in rows:
            _add_unit(sums, rows[key], of_unit)
        else:
            log.warning("rating_without_exposure", experiment=key[0], phase=key[1], ratings=len(of_unit))
    _leave_out_moved(sums, new, by_unit)
    write_back(list(rows.values()))


def _leave_out_moved(sums: Sums, new: Sequence[Unit], by_unit: Mapping[UnitKey, Sequence[Observation]]) -> None:
    """Leave out, of those who are new in a phase, who met another variant in an earlier one: what they say is about both.

    Units that were dealt anew since count as new ones. One query where somebody is new in a later phase.
    """
    met = moved_units(new)
    for row in new:
        key = (row.experiment_id, row.phase, row.unit_id)
        if row.requests and not row.is_multiple and (row.experiment_id, row.unit_id) in met:
            shown = next(one for one in by_unit[key] if one.requests)
            cell = sums[_cell_of_first(row, shown)]
            cell["multiple_units"] += 1
            before = sums_over_units(row)
            row.is_multiple = True
            _add_difference(cell, before, row)


def moved_units(rows: Sequence[Unit]) -> set[tuple[int, str]]:
    """Return (experiment id, unit id) of those whose row in an earlier phase of the same dealing has another variant."""
    if not rows:
        return set()
    variants = {(row.experiment_id, row.unit_id): (row.phase, row.variant_id) for row in rows}
    earlier = ExperimentUnit.objects.filter(
        experiment__in={row.experiment_id for row in rows},
        unit_id__in={row.unit_id for row in rows},
        phase__gte=F("experiment__bucket_phase"),
    ).values_list("experiment_id", "unit_id", "phase", "variant_id")
    found = set()
    for experiment_id, unit_id, phase, variant_id in earlier:
        now = variants.get((experiment_id, unit_id))
        if now is not None and phase < now[0] and variant_id != now[1]:
            found.add((experiment_id, unit_id))
    return found


def _locked_rows(by_unit: dict[UnitKey, list[Observation]]) -> dict[UnitKey, Unit]:
    """Return the units' rows, locked; those exposed for the first time are made. A new row has no request yet."""
    new = [row for key in sorted(by_unit) if (row := _new_row(key, by_unit[key]))]
    if new:
        ExperimentUnit.objects.bulk_create(new, ignore_conflicts=True)
    return locked(by_unit)


def _new_row(key: UnitKey, observations: Sequence[Observation]) -> ExperimentUnit | None:
    first = next((one for one in observations if one.requests), None)
    if first is None:
        return None
    experiment_id, phase, unit_id = key
    assert first.served.variant_id is not None
    return ExperimentUnit(
        experiment_id=experiment_id,
        phase=phase,
        unit_id=unit_id,
        variant_id=first.served.variant_id,
        first_exposed_at=first.at,
    )


def _add_unit(sums: Sums, row: Unit, observations: Sequence[Observation]) -> None:
    """Book the observations of one unit, oldest first: on its row, and how its sums change in the hour of each."""
    for one in observations:
        if one.served.variant_id == row.variant_id:
            _add_own(sums[_cell(one)], row, one)
        elif one.requests and not row.is_multiple:
            cell = sums[_cell_of_first(row, one)]
            cell["multiple_units"] += 1
            before = sums_over_units(row)
            row.is_multiple = True
            _add_difference(cell, before, row)


def _add_own(sums: dict[str, Number], row: Unit, one: Observation) -> None:
    """Move the unit from (n0, s0) to (n1, s1) and add the differences, which stay additive over hours."""
    sums["units"] += row.requests == 0 and one.requests > 0
    before = sums_over_units(row)
    row.requests += one.requests
    row.errors += one.errors
    row.ratings += one.ratings
    row.ups += one.ups
    row.checked += one.checked
    row.misfits += one.misfits
    if one.latency_ms > 0:
        _add_wait(row, math.log(one.latency_ms))
    if one.cost_usd is not None:
        _add_cost(row, float(one.cost_usd))
    _add_difference(sums, before, row)


def _add_wait(row: Unit, ln_ms: float) -> None:
    row.waits += 1
    row.ln_ms += ln_ms
    row.ln_ms_events += ln_ms * ln_ms


def _add_cost(row: Unit, cost: float) -> None:
    row.priced += 1
    row.cost += cost
    row.cost_events += cost * cost


def _add_difference(sums: dict[str, Number], before: dict[str, Number], row: Unit) -> None:
    for name, number in sums_over_units(row).items():
        sums[name] += number - before[name]


def sums_over_units(row: Unit | ExperimentUnit) -> dict[str, Number]:
    """Return what one unit is in the sums over units; nothing but zeros once it met two variants.

    The sum of this over all rows is exactly the sum over all hours, for counts; to rounding for ln(ms) and cost.
    """
    counted = not row.is_multiple
    requests, errors, ratings, ups = (row.requests, row.errors, row.ratings, row.ups) if counted else (0, 0, 0, 0)
    waits, ln_ms, ln_ms_events = (row.waits, row.ln_ms, row.ln_ms_events) if counted else (0, 0.0, 0.0)
    priced, cost, cost_events = (row.priced, row.cost, row.cost_events) if counted else (0, 0.0, 0.0)
    checked, misfits = (row.checked, row.misfits) if counted else (0, 0)
    return {
        "raters": int(ratings > 0),
        "unit_ratings": ratings,
        "unit_ups": ups,
        "ratings_sq": ratings * ratings,
        "ups_sq": ups * ups,
        "ratings_ups": ratings * ups,
        "users": int(requests > 0),
        "unit_requests": requests,
        "unit_errors": errors,
        "requests_sq": requests * requests,
        "errors_sq": errors * errors,
        "requests_errors": requests * errors,
        "requests_ratings": requests * ratings,
        "waiters": int(waits > 0),
        "waits": waits,
        "waits_sq": waits * waits,
        "ln_ms": ln_ms,
        "ln_ms_sq": ln_ms * ln_ms,
        "waits_ln_ms": waits * ln_ms,
        "ln_ms_events": ln_ms_events,
        "payers": int(priced > 0),
        "priced": priced,
        "priced_sq": priced * priced,
        "unit_cost": cost,
        "cost_sq": cost * cost,
        "priced_cost": priced * cost,
        "cost_events": cost_events,
        "checked_units": int(checked > 0),
        "unit_checked": checked,
        "unit_misfits": misfits,
        "checked_sq": checked * checked,
        "misfits_sq": misfits * misfits,
        "checked_misfits": checked * misfits,
    }


def _cell_of_first(row: Unit, one: Observation) -> Cell:
    """Return the cell of the unit's first variant in the hour in which it met another one."""
    version_id = Variant.objects.values_list("version_id", flat=True).get(pk=row.variant_id)
    served = Served(
        one.served.prompt_id, one.served.environment_id, version_id, row.experiment_id, row.phase, row.variant_id
    )
    return _cell(Observation(served, row.unit_id, one.at))
