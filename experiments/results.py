"""What came of an experiment so far: one finished dataclass for dashboards and API. Reads sums, never events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db.models import Count, Max, OuterRef, Subquery, Sum, prefetch_related_objects
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import TruncDate
from django.utils import timezone

from experiments.models import AnalysisSnapshot, Experiment, HourRollup, Variant
from experiments.stats.proportion import approval, ratio
from promptlab.accounts.access import Principal

ENOUGH_TIME = timedelta(days=2)
ENOUGH_RATINGS = 100
"""Per variant. With less of either it is too early to compare."""

COUNTS = ("units", "requests", "shown", "errors", "ratings", "ups")
ANALYSED = ("units", "shown", "unit_ratings")
"""What grows whenever anything that an analysis is made of does."""
LATE = timedelta(minutes=30)
"""An analysis is made every 15 minutes: one that is missing for longer has failed, or no worker runs."""


class Status(StrEnum):
    """What can be said of an experiment; the first that fits."""

    NOT_STARTED = "not_started"
    ENDED = "ended"
    PAUSED = "paused"
    NO_DATA = "no_data"
    TOO_EARLY = "too_early"
    COMPARABLE = "comparable"


@dataclass(frozen=True, slots=True)
class VariantResult:
    """The counts of one variant in the current phase. Ratios are None while there is nothing to divide by.

    `low`, `high`: 95 % range of `approval`, as if every rating came from somebody else. `coverage`: ratings per answer.
    """

    key: str
    name: str
    version: int
    is_control: bool
    share_bp: int
    units: int
    requests: int
    shown: int
    errors: int
    ratings: int
    ups: int
    downs: int
    approval: float | None
    low: float | None
    high: float | None
    coverage: float | None


@dataclass(frozen=True, slots=True)
class ExperimentResults:
    """One experiment, control first. `days`: whole days it ran, None before it started; `ran_for` is exact.

    `analysis`: the newest one of the phase, as a worker kept it; None before the first. `is_behind`: there are events
    that it does not know.
    """

    key: str
    title: str
    state: str
    phase: int
    started_at: datetime | None
    ended_at: datetime | None
    ran_for: timedelta | None
    updated_at: datetime
    variants: tuple[VariantResult, ...]
    analysis: AnalysisSnapshot | None = None
    is_behind: bool = False

    @property
    def kept(self) -> Mapping[str, Any] | None:
        """What the analysis found; None before the first, and of one so old that numbers are lacking in it."""
        return self.analysis.results if self.analysis and "plan" in self.analysis.results else None

    @property
    def is_stale(self) -> bool:
        """Whether an analysis should be there by now: the one that is shown is old, or there is none."""
        if self.state != Experiment.State.RUNNING or self.ran_for is None:
            return False
        if self.analysis is None:
            return self.ran_for > LATE
        return self.is_behind and self.updated_at - self.analysis.as_of > LATE

    @property
    def days(self) -> int | None:
        return None if self.ran_for is None else self.ran_for.days

    @property
    def shown(self) -> int:
        return sum(variant.shown for variant in self.variants)

    @property
    def fewest_ratings(self) -> int:
        """Ratings of the variant that has the fewest."""
        return min((variant.ratings for variant in self.variants), default=0)

    @property
    def has_enough(self) -> bool:
        """Whether it ran long enough, with enough ratings of each variant, to be compared."""
        return self.ran_for is not None and self.ran_for >= ENOUGH_TIME and self.fewest_ratings >= ENOUGH_RATINGS

    @property
    def status(self) -> Status:
        """What can be said of it."""
        if self.ended_at is not None:
            return Status.ENDED
        if self.started_at is None:
            return Status.NOT_STARTED
        if self.state == Experiment.State.PAUSED:
            return Status.PAUSED
        if not self.shown:
            return Status.NO_DATA
        return Status.COMPARABLE if self.has_enough else Status.TOO_EARLY


@dataclass(frozen=True, slots=True)
class Overview:
    """One line of the list of experiments. `verdict`: of its newest analysis, "" before the first."""

    experiment: Experiment
    variants: int
    shown: int
    rated: int
    verdict: str = ""


def results(experiment: Experiment) -> ExperimentResults:
    """Return the results of the current phase: two queries, two more unless the variants were fetched along."""
    prefetch_related_objects([experiment], "variants__version")
    now = timezone.now()
    sums = _sums(experiment)
    variants = tuple(_of_variant(variant, sums.get(variant.pk, {})) for variant in experiment.variants.all())
    snapshots = AnalysisSnapshot.objects.newest_of(experiment.pk, experiment.phase).defer("inputs")
    analysis = snapshots.annotate(counted=KeyTransform("variants", "inputs")).first()
    ran_for = (experiment.ended_at or now) - experiment.started_at if experiment.started_at else None
    return ExperimentResults(
        key=experiment.key,
        title=experiment.title,
        state=experiment.state,
        phase=experiment.phase,
        started_at=experiment.started_at,
        ended_at=experiment.ended_at,
        ran_for=ran_for,
        updated_at=now,
        variants=variants,
        analysis=analysis,
        is_behind=analysis is not None and _grew(experiment, sums, analysis.counted),
    )


@dataclass(frozen=True, slots=True)
class Day:
    """What the last analysis of a day said of each alternative, by key: `change`, `range`; None while unknown."""

    at: datetime
    phase: int
    changes: Mapping[str, Mapping[str, Any]]


def history(experiment: Experiment) -> list[Day]:
    """Return the last analysis of each day, of all phases, oldest first: one query."""
    rows = AnalysisSnapshot.objects.filter(experiment=experiment)
    last = rows.annotate(day=TruncDate("as_of")).values("day").annotate(last=Max("pk")).values("last")
    found = rows.filter(pk__in=last).order_by("as_of")
    return [Day(at, phase, changes) for at, phase, changes in found.values_list("as_of", "phase", "results__changes")]


def overview(principal: Principal) -> list[Overview]:
    """Return every experiment the principal may see, newest first, with its counts so far: two queries."""
    rows = Experiment.objects.visible_to(principal, "experiment.read").select_related("prompt", "environment", "owner")
    newest = AnalysisSnapshot.objects.filter(experiment=OuterRef("pk"), phase=OuterRef("phase")).order_by("-as_of")
    counted = rows.annotate(variant_count=Count("variants"), verdict=Subquery(newest.values("verdict")[:1]))
    experiments = list(counted.order_by("-id"))
    cells = HourRollup.objects.filter(experiment__in=[one.pk for one in experiments]).values("experiment_id", "phase")
    found = {(s["experiment_id"], s["phase"]): s for s in cells.annotate(n_shown=Sum("shown"), n_rated=Sum("ratings"))}
    lines = []
    for one in experiments:
        sums = found.get((one.pk, one.phase), {"n_shown": 0, "n_rated": 0})
        lines.append(Overview(one, one.variant_count, int(sums["n_shown"]), int(sums["n_rated"]), one.verdict or ""))
    return lines


def as_json(found: ExperimentResults) -> dict[str, Any]:
    """Return results in the shape of the API. Times are ISO 8601, ratios fractions of 1."""
    return {
        "experiment": found.key,
        "title": found.title,
        "state": found.state,
        "phase": found.phase,
        "status": found.status.value,
        "has_enough_data": found.has_enough,
        "started_at": found.started_at.isoformat() if found.started_at else None,
        "ended_at": found.ended_at.isoformat() if found.ended_at else None,
        "days": found.days,
        "updated_at": found.updated_at.isoformat(),
        "variants": [_variant_as_json(variant) for variant in found.variants],
        "analysis": _analysis_as_json(found.analysis) if found.analysis else None,
    }


def _analysis_as_json(snapshot: AnalysisSnapshot) -> dict[str, Any]:
    """Return a verdict and its numbers, with when and by which method they were computed: docs/statistics.md."""
    return {"as_of": snapshot.as_of.isoformat(), "code_version": snapshot.code_version, **snapshot.results}


def _variant_as_json(variant: VariantResult) -> dict[str, Any]:
    shown = asdict(variant)
    names = {"key": "variant", "share_bp": "weight_bp", "ratings": "rated", "ups": "up", "downs": "down"}
    names |= {"low": "approval_low", "high": "approval_high"}
    return {names.get(name, name): value for name, value in shown.items()}


def _sums(experiment: Experiment) -> Mapping[int, Mapping[str, int]]:
    """Return the counts of the current phase by variant id."""
    cells = HourRollup.objects.filter(experiment=experiment, phase=experiment.phase, variant__isnull=False)
    names = dict.fromkeys((*COUNTS, *ANALYSED))
    totals = {f"n_{name}": Sum(name) for name in names}
    rows: Iterable[Mapping[str, Any]] = cells.values("variant_id").order_by().annotate(**totals)
    return {row["variant_id"]: {name: int(row[f"n_{name}"]) for name in names} for row in rows}


def _grew(experiment: Experiment, sums: Mapping[int, Mapping[str, int]], counted: Any) -> bool:
    """Whether there is more now than what was `counted` in an analysis."""
    known = {one["key"]: one["sums"] for one in counted}
    return any(
        sums.get(one.pk, {}).get(name, 0) != known[one.key].get(name, 0)
        for one in experiment.variants.all()
        if one.key in known
        for name in ANALYSED
    )


def _of_variant(variant: Variant, sums: Mapping[str, int]) -> VariantResult:
    counts = {name: sums.get(name, 0) for name in COUNTS}
    said = approval(counts["ups"], counts["ratings"])
    return VariantResult(
        key=variant.key,
        name=str(variant),
        version=variant.version.number,
        is_control=variant.is_control,
        share_bp=variant.weight_bp,
        **counts,
        downs=said.downs,
        approval=said.rate,
        low=said.low,
        high=said.high,
        coverage=ratio(said.ratings, counts["shown"]),
    )
