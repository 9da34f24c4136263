"""What people think, summed per variant and version: the roll-ups, and what is not in them yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from django.db.models import Avg, Case, Count, F, IntegerField, Q, QuerySet, Sum, TextField, Value, When

from experiments.errors import ExperimentNotFound
from experiments.models import Experiment, HourRollup, Variant
from experiments.stats.proportion import Approval, approval, ratio
from feedback.models import BESIDE_APPROVAL, Feedback, Metric
from promptlab.accounts.access import Principal
from promptlab.chat.models import Message
from prompts.errors import PromptNotFound
from prompts.models import Prompt, Version

READ = "feedback.read"


@dataclass(frozen=True, slots=True)
class Counts:
    """How often something was shown and what was said of it. Ratios are None while there is nothing to divide by."""

    shown: int
    said: Approval

    @property
    def rated(self) -> int:
        return self.said.ratings

    @property
    def up(self) -> int:
        return self.said.ups

    @property
    def down(self) -> int:
        return self.said.downs

    @property
    def approval(self) -> float | None:
        return self.said.rate

    @property
    def approval_low(self) -> float | None:
        return self.said.low

    @property
    def approval_high(self) -> float | None:
        return self.said.high

    @property
    def coverage(self) -> float | None:
        """Ratings per answer shown; above 1 when several people rate the same answers."""
        return ratio(self.rated, self.shown)


@dataclass(frozen=True, slots=True)
class VersionCounts(Counts):
    """The counts of one version, in experiments and outside of them."""

    prompt: str
    version: int
    version_string: str


@dataclass(frozen=True, slots=True)
class VariantCounts(VersionCounts):
    """The counts of one variant in one phase of its experiment."""

    experiment: str
    phase: int
    variant: str
    is_control: bool


@dataclass(frozen=True, slots=True)
class MetricCounts:
    """What was said of one text in one metric by one kind of rater. `choice`: of a category which; else "".

    `mean` of scores; of yes and no the share of yes; None of words.
    """

    metric: str
    source: str
    prompt: str
    version: int
    experiment: str | None
    variant: str | None
    choice: str
    ratings: int
    mean: float | None

    def order(self) -> tuple[object, ...]:
        """The order in which they are told."""
        place = (self.prompt, self.version, self.experiment or "", self.variant or "")
        return (self.metric, self.source, *place, self.choice)


@dataclass(frozen=True, slots=True)
class FeedbackStats:
    """All counts from `since` on (a full hour; None: from the beginning). Lists are in the order of names."""

    since: datetime | None
    totals: Counts
    variants: tuple[VariantCounts, ...]
    versions: tuple[VersionCounts, ...]
    metrics: tuple[MetricCounts, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """Which rows are asked for; None does not narrow."""

    principal: Principal
    experiment_ids: list[int] | None
    prompt_ids: list[int] | None
    since: datetime | None

    def narrowed(self, rows: QuerySet[Any], experiment: str, prompt: str, at: str) -> QuerySet[Any]:
        """Return the rows in this scope; the names are the columns that say which experiment, prompt and moment."""
        if self.experiment_ids is not None:
            rows = rows.filter(**{f"{experiment}__in": self.experiment_ids})
        if self.prompt_ids is not None:
            rows = rows.filter(**{f"{prompt}__in": self.prompt_ids})
        if self.since is not None:
            rows = rows.filter(**{f"{at}__gte": self.since})
        return rows.order_by()


@dataclass(frozen=True, slots=True)
class Subject:
    """What counts belong to: a version, as a variant of an experiment or on its own."""

    variant_id: int | None
    phase: int
    version_id: int


@dataclass(slots=True)
class Sums:
    shown: int = 0
    ratings: int = 0
    ups: int = 0

    def add(self, shown: int, ratings: int, ups: int) -> None:
        self.shown += shown
        self.ratings += ratings
        self.ups += ups

    @property
    def counts(self) -> tuple[int, Approval]:
        """Shown, and the approval.

        A mind that changed after `since` about what it said before is known by its difference alone, so the sums of a
        window can leave what is possible; they are brought back to it.
        """
        ratings = max(self.ratings, 0)
        return self.shown, approval(min(max(self.ups, 0), ratings), ratings)


def feedback_stats(
    principal: Principal, *, experiment: str = "", prompt: str = "", since: datetime | None = None
) -> FeedbackStats:
    """Return the counts the principal may see: of one experiment, of one prompt (name or id), or of everything.

    What is acknowledged is counted, rolled up or not. Six queries at most. Raises ExperimentNotFound, PromptNotFound.
    """
    variants = _variants_of(principal, experiment) if experiment else []
    experiment_ids = list({variant.experiment_id for variant in variants}) if experiment else None
    scope = Scope(principal, experiment_ids, _prompt_ids(principal, prompt) if prompt else None, _hour(since))
    sums = _sums(scope)
    for variant in variants:
        sums[Subject(variant.pk, variant.experiment.phase, variant.version_id)].add(0, 0, 0)
    return replace(_named(sums, scope.since), metrics=tuple(_metrics(scope)))


def _hour(since: datetime | None) -> datetime | None:
    return since.astimezone(UTC).replace(minute=0, second=0, microsecond=0) if since else None


def _metrics(scope: Scope) -> list[MetricCounts]:
    """Return what was said in declared metrics, and by annotators and judges: one statement over those rows alone."""
    rows = Feedback.objects.visible_to(scope.principal, READ).standing().filter(BESIDE_APPROVAL)
    rows = rows.filter(message__version__isnull=False).without_private(scope.principal, "message__version__prompt__")
    rows = scope.narrowed(rows, "message__experiment_id", "message__version__prompt_id", "updated_at")
    categories = Metric.objects.filter(kind=Metric.Kind.CATEGORY).values("key")
    said = rows.values(
        "metric",
        "source",
        prompt=F("message__version__prompt__name"),
        version=F("message__version__number"),
        experiment=F("message__experiment__key"),
        variant=F("message__served_variant__key"),
        choice=Case(When(metric__in=categories, then=F("text")), default=Value(""), output_field=TextField()),
    )
    found = said.annotate(ratings=Count("id"), mean=Avg("score"))
    return sorted((MetricCounts(**one) for one in found), key=MetricCounts.order)


def _variants_of(principal: Principal, key: str) -> list[Variant]:
    """Return the variants of the experiment, so that one nobody met yet is listed too."""
    mine = Experiment.objects.visible_to(principal, READ).filter(key=key)
    found = list(Variant.objects.filter(experiment__in=mine).select_related("experiment"))
    if not found:
        raise ExperimentNotFound(key=key[:100])
    return found


def _prompt_ids(principal: Principal, reference: str) -> list[int]:
    prompts = Prompt.objects.visible_to(principal, READ)
    found = list(prompts.filter(of_prompt(reference)).values_list("pk", flat=True))
    if not found:
        raise PromptNotFound(name=reference[:100])
    return found


def of_prompt(reference: str, path: str = "") -> Q:
    """Return the condition that a row's prompt (at `path`) has this id or short name."""
    if reference.isdecimal() and int(reference) < 2**63:
        return Q(**{f"{path}pk": int(reference)})
    return Q(**{f"{path}name": reference})


def _sums(scope: Scope) -> dict[Subject, Sums]:
    """Return the sums of every subject, read by one statement.

    A roll-up that commits meanwhile moves rows from one part of it to another: two statements would see a rating twice,
    or not at all.
    """
    parts = _rolled_up(scope).union(_answers_waiting(scope), _ratings_waiting(scope), all=True)
    sums: dict[Subject, Sums] = defaultdict(Sums)
    for row in parts:
        variant_id = row["of_variant"]
        subject = Subject(variant_id, row["of_phase"] if variant_id else 0, row["of_version"])
        sums[subject].add(int(row["n_shown"]), int(row["n_ratings"]), int(row["n_ups"]))
    return sums


def _rolled_up(scope: Scope) -> QuerySet[Any]:
    rows = scope.narrowed(HourRollup.objects.visible_to(scope.principal, READ), "experiment_id", "prompt_id", "hour")
    subjects = rows.values(of_variant=F("variant_id"), of_phase=F("phase"), of_version=F("version_id"))
    return subjects.annotate(n_shown=Sum("shown"), n_ratings=Sum("ratings"), n_ups=Sum("ups"))


def _answers_waiting(scope: Scope) -> QuerySet[Any]:
    rows = Message.objects.visible_to(scope.principal, READ).not_rolled_up().filter(environment__isnull=False)
    rows = rows.without_private(scope.principal, "version__prompt__")
    narrowed = scope.narrowed(rows, "experiment_id", "version__prompt_id", "ended_at")
    is_shown = Q(is_external=True) | Q(first_token_ms__isnull=False)
    return _by_subject(narrowed).annotate(n_shown=Count("id", filter=is_shown), n_ratings=_ZERO, n_ups=_ZERO)


def _ratings_waiting(scope: Scope) -> QuerySet[Any]:
    rows = Feedback.objects.visible_to(scope.principal, READ).not_rolled_up()
    rows = rows.filter(message__version__isnull=False, message__environment__isnull=False)
    rows = rows.exclude(message__purpose=Message.Purpose.TRY)
    rows = rows.without_private(scope.principal, "message__version__prompt__")
    narrowed = scope.narrowed(rows, "message__experiment_id", "message__version__prompt_id", "updated_at")
    return _by_subject(narrowed, "message__").annotate(
        n_shown=_ZERO,
        n_ratings=Sum(_one_if(value__isnull=False) - _one_if(counted_value__isnull=False)),
        n_ups=Sum(_one_if(value=1) - _one_if(counted_value=1)),
    )


_ZERO = Sum(Value(0), output_field=IntegerField())


def _one_if(**condition: object) -> Case:
    return Case(When(**condition, then=1), default=0, output_field=IntegerField())


def _by_subject(rows: QuerySet[Any], path: str = "") -> QuerySet[Any]:
    return rows.values(
        of_variant=F(f"{path}served_variant_id"), of_phase=F(f"{path}phase"), of_version=F(f"{path}version_id")
    )


def _named(sums: Mapping[Subject, Sums], since: datetime | None) -> FeedbackStats:
    """Put names to the sums: two queries."""
    variants = Variant.objects.select_related("experiment").in_bulk({s.variant_id for s in sums if s.variant_id})
    versions: dict[int, Version] = (
        Version.objects.select_related("prompt")
        .only("number", "version_string", "prompt__name")
        .in_bulk({subject.version_id for subject in sums})
    )
    of_variants = [
        _of_variant(variants[subject.variant_id], subject, versions[subject.version_id], one)
        for subject, one in sums.items()
        if subject.variant_id
    ]
    position = {(v.experiment.key, v.key): v.position for v in variants.values()}
    of_variants.sort(key=lambda one: (one.experiment, one.phase, position[one.experiment, one.variant], one.version))
    of_versions = [_of_version(versions[pk], one) for pk, one in _by_version(sums).items()]
    of_versions.sort(key=lambda one: (one.prompt, one.version))
    totals = Counts(*_total(sums.values()).counts)
    return FeedbackStats(since, totals, tuple(of_variants), tuple(of_versions))


def _by_version(sums: Mapping[Subject, Sums]) -> dict[int, Sums]:
    found: dict[int, Sums] = defaultdict(Sums)
    for subject, one in sums.items():
        found[subject.version_id].add(one.shown, one.ratings, one.ups)
    return found


def _total(sums: Iterable[Sums]) -> Sums:
    total = Sums()
    for one in sums:
        total.add(one.shown, one.ratings, one.ups)
    return total


def _of_version(version: Version, sums: Sums) -> VersionCounts:
    return VersionCounts(*sums.counts, version.prompt.name, version.number, version.version_string)


def _of_variant(variant: Variant, subject: Subject, version: Version, sums: Sums) -> VariantCounts:
    return VariantCounts(
        *sums.counts,
        version.prompt.name,
        version.number,
        version.version_string,
        variant.experiment.key,
        subject.phase,
        variant.key,
        variant.is_control,
    )
