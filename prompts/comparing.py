"""Reads: what runs of a test suite came to, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, Literal

from django.db.models import Avg, Count, Q, Sum

from prompts.checks.statistics import Stratum, p_of_drop, wilson
from prompts.errors import NotComparable
from prompts.models import SuiteResult, SuiteRun

State = SuiteResult.State
Flip = Literal["", "pass_to_fail", "fail_to_pass"]
NOISE: Final = 0.05
"""A drop is more than noise when chance alone would make one like it less often than this."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a case came to with one model: how many of its answers passed, failed, or could not be had or decided."""

    case: str
    model: str
    is_required: bool
    passed: int
    failed: int
    undecided: int

    @property
    def decided(self) -> int:
        return self.passed + self.failed

    @property
    def is_passed(self) -> bool:
        """More than half of all its answers passed."""
        return 2 * self.passed > self.decided + self.undecided


@dataclass(frozen=True, slots=True)
class Share:
    """How many answers of a model passed, of those that were decided, with the 95 % interval of the share."""

    model: str
    passed: int
    decided: int
    undecided: int
    low: float
    high: float
    latency_ms: float | None
    cost_usd: Decimal | None

    @property
    def rate(self) -> float | None:
        return self.passed / self.decided if self.decided else None


@dataclass(frozen=True, slots=True)
class Change:
    """A case in two runs. `before` or `after` is None where it was in one of them only."""

    case: str
    model: str
    is_required: bool
    before: Tally | None
    after: Tally | None

    @property
    def flip(self) -> Flip:
        if self.before is None or self.after is None or self.before.is_passed == self.after.is_passed:
            return ""
        return "pass_to_fail" if self.before.is_passed else "fail_to_pass"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs, case by case. `p_of_drop`: how often chance alone would make a drop like this one, or a larger one."""

    changes: Sequence[Change]
    rate_before: float | None
    rate_after: float | None
    p_of_drop: float

    @property
    def is_drop(self) -> bool:
        return self.p_of_drop < NOISE

    def flips(self, way: Flip, *, required: bool = False) -> list[Change]:
        """Return the cases that flipped this way; `required`: those alone that have to pass."""
        return [one for one in self.changes if one.flip == way and (one.is_required or not required)]


def tallies(run: SuiteRun, model: str = "") -> list[Tally]:
    """Return what every case came to with every model, or with one of them, in the order of the suite: one query."""
    rows = SuiteResult.objects.filter(run=run, **({"model": model} if model else {}))
    counted = (
        rows.order_by("place", "model")
        .values_list("place", "case_name", "model", "is_required")
        .annotate(passed=Count("pk", Q(state=State.PASSED)), failed=Count("pk", Q(state=State.FAILED)), of=Count("pk"))
    )
    return [
        Tally(case, name, is_required, passed, failed, of - passed - failed)
        for _place, case, name, is_required, passed, failed, of in counted
    ]


def shares(run: SuiteRun) -> list[Share]:
    """Return how many answers passed, by model, with what they took: one query."""
    rows = SuiteResult.objects.filter(run=run).order_by("model").values("model")
    counted = rows.annotate(
        passed=Count("pk", Q(state=State.PASSED)),
        failed=Count("pk", Q(state=State.FAILED)),
        of=Count("pk"),
        latency=Avg("latency_ms"),
        cost=Sum("cost_usd"),
    )
    return [
        Share(
            one["model"],
            one["passed"],
            one["passed"] + one["failed"],
            one["of"] - one["passed"] - one["failed"],
            *wilson(one["passed"], one["passed"] + one["failed"]),
            one["latency"],
            one["cost"],
        )
        for one in counted
    ]


def compare(before: SuiteRun, after: SuiteRun) -> Comparison:
    """Return what differs between two runs of a suite, at whichever revisions: two queries. Raises NotComparable.

    Runs of the same models are compared model by model; two runs of one model each, whatever their models are.
    """
    if before.suite_id != after.suite_id:
        raise NotComparable(problem="they are of different suites.")
    models = set(before.asked_models), set(after.asked_models)
    if models[0] != models[1] and max(map(len, models)) > 1:
        raise NotComparable(problem="they asked different models.")
    return of_tallies(tallies(before), tallies(after))


def of_tallies(before: Iterable[Tally], after: Iterable[Tally]) -> Comparison:
    """Return what differs between the tallies of two runs."""
    left, right = list(before), list(after)
    by_model = {one.model for one in left} == {one.model for one in right}
    then, now = (_keyed(one, by_model) for one in (left, right))
    changes = []
    for key in dict.fromkeys([*now, *then]):
        was, is_now = then.get(key), now.get(key)
        shown = is_now or was
        assert shown is not None
        changes.append(Change(shown.case, shown.model, shown.is_required, was, is_now))
    both = [(one.before, one.after) for one in changes if one.before and one.after]
    strata = [Stratum(b.passed, b.decided, a.passed, a.decided) for b, a in both]
    return Comparison(changes, _rate(b for b, _ in both), _rate(a for _, a in both), p_of_drop(strata))


def since(before: Iterable[Iterable[Tally]], after: Iterable[Tally]) -> Comparison:
    """Return what differs between some runs of one question, taken together, and a later one."""
    pooled: dict[tuple[str, str], Tally] = {}
    for one in (tally for found in before for tally in found):
        was = pooled.get((one.case, one.model))
        if was is not None:
            one = replace(
                one,
                passed=one.passed + was.passed,
                failed=one.failed + was.failed,
                undecided=one.undecided + was.undecided,
            )
        pooled[one.case, one.model] = one
    return of_tallies(pooled.values(), after)


def noise_of(run: SuiteRun) -> Comparison | None:
    """Return what differed when the same version was asked the same before; None when it never was. Three queries.

    Whatever flips there flips by itself: it is the noise that other comparisons stand on.
    """
    rows = SuiteRun.objects.defer("plan").filter(state=SuiteRun.State.FINISHED, pk__lt=run.pk, **sameness(run))
    earlier = next((one for one in rows.order_by("-pk")[:20] if set(one.asked_models) == set(run.asked_models)), None)
    return compare(earlier, run) if earlier else None


def sameness(run: SuiteRun) -> dict[str, object]:
    """Return by which columns another run is of the very same question."""
    same = ("suite_id", "suite_checksum", "version_id", "version_checksum", "snippets", "judges")
    return {name: getattr(run, name) for name in same}


def _keyed(found: Iterable[Tally], by_model: bool) -> Mapping[tuple[str, str], Tally]:
    return {(one.case, one.model if by_model else ""): one for one in found}


def _rate(found: Iterable[Tally]) -> float | None:
    passed = decided = 0
    for one in found:
        passed += one.passed
        decided += one.decided
    return passed / decided if decided else None
