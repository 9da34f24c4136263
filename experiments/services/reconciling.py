"""Do hourly sums still say what the units' rows say? Looked at every night: told loudly, and repaired.

The rows of units are the truth: both are written in one transaction, so a difference means that somebody wrote by hand,
or a fault of ours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import BigIntegerField, Count, F, Field, FloatField, Q, QuerySet, Sum, Value
from django.db.models.functions import Cast, Coalesce
from django.utils import timezone

from experiments.models import Experiment, ExperimentUnit, HourRollup, Variant
from experiments.querysets import SERVING
from experiments.services.cells import Number
from experiments.services.hours import Cell, Served, add_to_hours
from promptlab.accounts.access import SYSTEM
from promptlab.audit.recorder import record
from promptlab.lib.logs import get_logger
from promptlab.lib.metrics import Counter

log = get_logger(__name__)
RECONCILE_TASK = "experiments.reconcile"
ENDED_FOR = timedelta(days=4)
"""So long after its end an experiment is looked at: its last ratings come within three days."""
ROUNDING = 1e-6
"""Sums of logarithms and costs are added in another order: by such a share they may differ."""
differences_found = Counter(
    "promptlab_rollup_differences_total", "Sums that differed from the units' rows.", ("repaired",)
)

Where = tuple[int, int]
"""(variant id, phase)"""
ONE = {
    "raters": "ratings", "users": "requests", "waiters": "waits", "payers": "priced", "checked_units": "checked",
}  # fmt: skip
"""Sums that count units which have any."""
PLAIN = {
    "unit_ratings": "ratings", "unit_ups": "ups", "unit_requests": "requests", "unit_errors": "errors", "waits": "waits",
    "ln_ms": "ln_ms", "ln_ms_events": "ln_ms_events", "priced": "priced", "unit_cost": "cost", "cost_events": "cost_events",
    "unit_checked": "checked", "unit_misfits": "misfits",
}  # fmt: skip
PRODUCTS = {
    "ratings_sq": ("ratings", "ratings"), "ups_sq": ("ups", "ups"), "ratings_ups": ("ratings", "ups"),
    "requests_sq": ("requests", "requests"), "errors_sq": ("errors", "errors"), "requests_errors": ("requests", "errors"),
    "requests_ratings": ("requests", "ratings"), "waits_sq": ("waits", "waits"), "ln_ms_sq": ("ln_ms", "ln_ms"),
    "waits_ln_ms": ("waits", "ln_ms"), "priced_sq": ("priced", "priced"), "cost_sq": ("cost", "cost"),
    "priced_cost": ("priced", "cost"), "checked_sq": ("checked", "checked"), "misfits_sq": ("misfits", "misfits"),
    "checked_misfits": ("checked", "misfits"),
}  # fmt: skip
NAMES = ("units", "multiple_units", *ONE, *PLAIN, *PRODUCTS)
WIDE = ("ratings", "ups", "requests", "errors", "waits", "priced", "checked", "misfits")
"""Columns whose products may not fit where they do."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One sum of one variant and phase. `held`: by the hours. `counted`: over the units."""

    variant: str
    phase: int
    name: str
    held: float
    counted: float

    def __str__(self) -> str:
        return f"{self.variant}, phase {self.phase}, {self.name}: {self.held:g} instead of {self.counted:g}"


def reconcile_all(now: datetime | None = None, *, repair: bool = True) -> dict[Experiment, list[Difference]]:
    """Look at every experiment that serves or ended lately, and return what differed in which."""
    now = now or timezone.now()
    lately = Q(state__in=SERVING) | Q(ended_at__gt=now - ENDED_FOR)
    looked_at = ((one, reconcile(one, repair=repair)) for one in Experiment.objects.filter(lately).order_by("pk"))
    return {experiment: found for experiment, found in looked_at if found}


@transaction.atomic
def reconcile(experiment: Experiment, *, repair: bool = True) -> list[Difference]:
    """Return which sums differ from the units' rows, and add what they lack to this hour: three queries when all is well.

    Workers go on meanwhile: both are read by one statement, and what it finds stays missing until it is added.
    """
    list(Experiment.objects.select_for_update(no_key=True).filter(pk=experiment.pk))
    lacking = _lacking(experiment)
    variants = {one.pk: one for one in experiment.variants.all()}
    found = [
        Difference(variants[variant_id].key, phase, name, held, counted)
        for (variant_id, phase), sums in lacking.items()
        for name, (held, counted) in sums.items()
    ]
    if found:
        log.error("rollups_differ", experiment=experiment.pk, differences=[str(one) for one in found][:20])
        differences_found.add("yes" if repair else "no", by=len(found))
    if found and repair:
        _repair(experiment, variants, lacking)
        told = {f"{one.variant} {one.phase} {one.name}": one for one in found}
        before = {name: one.held for name, one in told.items()}
        after = {name: one.counted for name, one in told.items()}
        record(SYSTEM, "rollups.repaired", experiment, team_id=experiment.team_id, before=before, after=after)
    return found


def _repair(
    experiment: Experiment, variants: Mapping[int, Variant], lacking: Mapping[Where, dict[str, tuple[Number, Number]]]
) -> None:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    sums = {}
    for (variant_id, phase), names in lacking.items():
        version_id = variants[variant_id].version_id
        where = Served(experiment.prompt_id, experiment.environment_id, version_id, experiment.pk, phase, variant_id)
        sums[Cell(where, hour)] = {name: counted - held for name, (held, counted) in names.items()}
    add_to_hours(sums)


def _lacking(experiment: Experiment) -> dict[Where, dict[str, tuple[Number, Number]]]:
    """Return what is held and what is counted, of each sum that differs: one statement."""
    sums: dict[Where, dict[str, dict[str, Number]]] = defaultdict(dict)
    for row in _held(experiment).union(_counted(experiment), all=True):
        sums[row["of_variant"], row["of_phase"]][row["source"]] = row
    found: dict[Where, dict[str, tuple[Number, Number]]] = {}
    for where, sides in sums.items():
        pairs = {name: _pair(name, sides) for name in NAMES}
        differing = {name: pair for name, pair in pairs.items() if _differ(*pair)}
        if differing:
            found[where] = differing
    return found


def _pair(name: str, sides: Mapping[str, Mapping[str, Number]]) -> tuple[Number, Number]:
    """Return a sum as held and as counted, as whole numbers where they are; a database may add up in decimals."""
    held, counted = (sides.get(source, {}).get(f"n_{name}") or 0 for source in ("hours", "units"))
    if isinstance(HourRollup._meta.get_field(name), BigIntegerField):
        return int(held), int(counted)
    return float(held), float(counted)


def _differ(held: Number, counted: Number) -> bool:
    if isinstance(counted, int):
        return held != counted
    return abs(held - counted) > ROUNDING * (1 + abs(counted))


def _held(experiment: Experiment) -> QuerySet[Any]:
    cells = HourRollup.objects.filter(experiment=experiment, variant__isnull=False).order_by()
    named = cells.values(of_variant=F("variant_id"), of_phase=F("phase"), source=Value("hours"))
    return named.annotate(**{f"n_{name}": Sum(name) for name in NAMES})


def _counted(experiment: Experiment) -> QuerySet[Any]:
    """Return the sums over the units' rows; those that met two texts count as that alone."""
    rows = ExperimentUnit.objects.filter(experiment=experiment).order_by()
    named = rows.values(of_variant=F("variant_id"), of_phase=F("phase"), source=Value("units"))
    one = Q(is_multiple=False)
    sums: dict[str, Any] = {
        "units": Count("pk"),
        "multiple_units": Count("pk", filter=~one),
        **{name: Count("pk", filter=one & Q(**{f"{column}__gt": 0})) for name, column in ONE.items()},
        **{name: Coalesce(Sum(column, filter=one), 0, output_field=_kind(name)) for name, column in PLAIN.items()},
        **{
            name: Coalesce(Sum(_wide(a) * _wide(b), filter=one, output_field=_kind(name)), 0, output_field=_kind(name))
            for name, (a, b) in PRODUCTS.items()
        },
    }
    return named.annotate(**{f"n_{name}": sums[name] for name in NAMES})


def _kind(name: str) -> Field[Any, Any]:
    """Return the kind of number that a sum is."""
    return FloatField() if isinstance(HourRollup._meta.get_field(name), FloatField) else BigIntegerField()


def _wide(column: str) -> Cast | F:
    return Cast(column, BigIntegerField()) if column in WIDE else F(column)
