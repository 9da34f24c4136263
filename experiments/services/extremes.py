"""What the dearest units cost: a few bills would make any range of costs useless, so ranges hold them down.

It takes reading the units' rows, so it is done once a day, and when half as many more have come.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, FloatField, Sum, Value
from django.db.models.functions import Cast, Least

from experiments.models import Experiment, ExperimentUnit
from experiments.stats.skewed import KEPT

DAY = timedelta(days=1)
GROWTH = 1.5
Json = dict[str, Any]


def costs(experiment: Experiment, variants: list[Json], now: datetime, last: Json | None) -> Json:
    """Return the moments of cost by variant, its largest units held down to the 99.9 % quantile, and as of when.

    What was found `last` is returned while it will do. Otherwise two queries a variant.
    """
    payers = {one["key"]: one["sums"].get("payers", 0) for one in variants}
    if last and datetime.fromisoformat(last["as_of"]) > now - DAY and not _outgrown(last["moments"], payers):
        return last
    ids = {one.key: one.pk for one in experiment.variants.all()}
    found = {key: _winsorised(experiment, ids[key]) for key, number in payers.items() if number}
    return {"as_of": now.isoformat(), "moments": found}


def _outgrown(found: Json, payers: dict[str, int]) -> bool:
    return any(number > GROWTH * found.get(key, {"units": 0})["units"] for key, number in payers.items())


def _winsorised(experiment: Experiment, variant_id: int) -> Json:
    """Return what `skewed.winsorised` does of the variant's units, by the database."""
    rows = ExperimentUnit.objects.filter(
        experiment=experiment, phase=experiment.phase, variant_id=variant_id, is_multiple=False, priced__gt=0
    ).order_by()
    units = rows.aggregate(n=Count("pk"))["n"]
    if not units:
        return {
            "units": 0,
            "events": 0,
            "total": 0.0,
            "events_sq": 0,
            "total_sq": 0.0,
            "events_total": 0.0,
            "squares": 0.0,
        }
    limit = rows.order_by("-cost").values_list("cost", flat=True)[units - math.ceil(KEPT * units)]
    cost, priced = Least(F("cost"), Value(limit, FloatField())), Cast("priced", FloatField())
    sums = rows.annotate(held=cost, wide=priced).aggregate(
        events=Sum("wide"),
        total=Sum("held"),
        events_sq=Sum(F("wide") * F("wide")),
        total_sq=Sum(F("held") * F("held")),
        events_total=Sum(F("wide") * F("held")),
        squares=Sum(F("held") * F("held") / F("wide")),
    )
    counts = {"units": units, "events": int(sums["events"]), "events_sq": int(sums["events_sq"])}
    return {**{name: float(number) for name, number in sums.items()}, **counts}
