"""Named questions about prompts. Doors start with `visible_to`: a stranger finds nothing."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, Self

from django.apps import apps
from django.db import models
from django.db.models import Case, Count, Exists, F, IntegerField, OuterRef, Prefetch, Q, Subquery, Value, When
from django.db.models.functions import Coalesce, Lower
from django.utils import timezone

from promptlab.accounts.access import Principal
from prompts.errors import VersionFrozen

PRIVATE = "private"
EVERYONE = "everyone"
DEEPEST = 8
"""How many collections may stand inside each other."""
USE_DAYS = 30
STANDING = ("stars", "ratings_count", "uses_30d")
"""What `with_standing` annotates of the table that the sums are kept in."""


class OfTeam(models.QuerySet[Any]):
    """Rows that belong to a team. `path` leads from the row to the team's id.

    `seen_with` leads to the prompt a row is about ("" for the prompt itself): in a private collection the row is private, too.
    """

    path = "team_id"
    seen_with: str | None = None

    def visible_to(self, principal: Principal, capability: str = "prompt.read") -> Self:
        """Return what the principal may see of its own teams' rows."""
        if principal.is_system:
            return self
        rows = self.filter(**{f"{self.path}__in": principal.teams_with(capability)})
        return rows if self.seen_with is None else rows.without_private(principal, self.seen_with)

    def without_private(self, principal: Principal, seen_with: str) -> Self:
        """Return the rows whose prompts are not private to others; `seen_with` leads to the prompt."""
        closed = None if principal.is_system else closed_to(principal)
        if closed is None:
            return self
        hidden = _model("Collection").objects.filter(closed).values("pk")
        return self.filter(~Q(**{f"{seen_with}collection__in": hidden}))

    def with_hidden(self, principal: Principal, *seen_with: str) -> Self:
        """Annotate `is_hidden`: the row is the team's, a prompt it is about is private to others and stays unnamed."""
        closed = None if principal.is_system else closed_to(principal)
        if closed is None:
            return self.annotate(is_hidden=Value(False))
        private = _model("Collection").objects.filter(closed).values("pk")
        about = reduce(or_, [Q(**{f"{path}collection__in": private}) for path in seen_with])
        return self.annotate(is_hidden=Case(When(about, then=Value(True)), default=Value(False)))


def _model(name: str) -> Any:
    """Return a model of this app; they import this module."""
    return apps.get_model("prompts", name)


def closed_to(principal: Principal) -> Q | None:
    """Return which collections of its teams are private to others; None for who administers all of its teams.

    A private collection is its owner's and the administrators'. A key owns nothing.
    """
    teams = [team_id for team_id in principal.grants if not principal.may("team.admin", team_id)]
    if not teams:
        return None
    closed = Q(team__in=teams, visibility=PRIVATE)
    if principal.user_id is not None:
        closed &= Q(owner=None) | ~Q(owner=principal.user_id)
    return closed


def counted(rows: models.QuerySet[Any], by: str) -> Coalesce:
    """Return how many rows point to the outer row by column `by`; no join, so that counts do not multiply."""
    counted = rows.order_by().filter(**{by: OuterRef("pk")}).values(by).annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


class CollectionQuerySet(OfTeam):
    def visible_to(self, principal: Principal, capability: str = "prompt.read") -> Self:
        """Return the collections of the principal's teams, without those that are private to others."""
        rows = super().visible_to(principal, capability)
        closed = None if principal.is_system else closed_to(principal)
        return rows if closed is None else rows.filter(~closed)

    def readable_by(self, principal: Principal) -> Self:
        """Return what is visible to the principal, and the library."""
        if principal.is_system:
            return self
        return self.visible_to(principal) | self.in_library(principal)

    def in_library(self, principal: Principal) -> Self:
        """Return the collections that people and keys of all teams may read."""
        return self.filter(visibility=EVERYONE) if principal.may_anywhere("prompt.read") else self.none()

    def active(self) -> Self:
        """Return what is not archived."""
        return self.filter(archived_at=None)

    def below(self, *ids: int) -> Self:
        """Return these collections and everything inside of them."""
        steps = ["__".join(["parent"] * depth) or "pk" for depth in range(DEEPEST)]
        return self.filter(reduce(or_, [Q(**{f"{step}__in": ids}) for step in steps]))

    def with_path(self) -> Self:
        """Return collections with their owners and everything they are inside of, in one query."""
        return self.select_related("team", "owner", "__".join(["parent"] * (DEEPEST - 1)))

    def with_counts(self) -> Self:
        """Annotate `prompt_count`: the prompts right in it, archived ones left out."""
        return self.annotate(prompt_count=counted(_model("Prompt").objects.active(), "collection"))


class TagQuerySet(OfTeam):
    """Tags of a team."""

    def called(self, *names: str) -> Self:
        """Return the tags of these names, whatever letters are big or small.

        SQLite folds the letters of English only; others have to be written as they are.
        """
        return self.annotate(folded=Lower("name")).filter(
            Q(folded__in=[one.lower() for one in names]) | Q(name__in=names)
        )

    def with_counts(self, principal: Principal) -> Self:
        """Annotate `prompt_count`: the prompts that carry it, as far as the principal sees them, archived ones left out."""
        prompts = _model("Prompt")
        seen = prompts.objects.visible_to(principal).active()
        carried = prompts.tags.through.objects.filter(prompt__in=seen.values("pk"))
        return self.annotate(prompt_count=counted(carried, "tag"))


class EnvironmentQuerySet(OfTeam):
    """Environments of a team."""


class PromptQuerySet(OfTeam):
    seen_with = ""
    ranks: tuple[Q, ...] = ()
    """What a search asked for: found like the first of these is best, like none of them worst. Kept by what follows."""

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]
        clone.ranks = self.ranks
        return clone

    def readable_by(self, principal: Principal) -> Self:
        """Return what is visible to the principal, and the library: to read and to copy, never to change."""
        if principal.is_system:
            return self
        return self.visible_to(principal) | self.in_library(principal)

    def in_library(self, principal: Principal) -> Self:
        """Return the prompts that people and keys of all teams may read."""
        if not principal.may_anywhere("prompt.read"):
            return self.none()
        return self.filter(collection__visibility=EVERYONE, collection__archived_at=None)

    def active(self) -> Self:
        """Return what is not archived."""
        return self.filter(archived_at=None)

    def tagged(self, names: list[str]) -> Self:
        """Return the prompts that carry all of these tags, whatever letters are big or small. One query, for the tags' ids."""
        wanted = [name.lower() for name in names]
        ids: dict[str, list[int]] = {name: [] for name in wanted}
        for pk, name in _model("Tag").objects.called(*names).values_list("pk", "name"):
            ids.setdefault(name.lower(), []).append(pk)
        found = self
        for name in wanted:
            carried = self.model.tags.through.objects.filter(tag__in=ids[name])
            found = found.filter(pk__in=carried.values("prompt"))
        return found

    def with_version(self, number: int) -> Self:
        """Return the prompts with at least so many versions: numbers have no gap, so those that have this one."""
        return self.filter(versions__number=number) if number else self

    def favourites_of(self, principal: Principal) -> Self:
        """Return what a person keeps at hand."""
        return self.filter(favourites__user=principal.user_id)

    def unused_for(self, days: int) -> Self:
        """Return the prompts that are older than so many days and were not asked for on any of them."""
        since = timezone.now() - timedelta(days=days)
        used = _model("PromptUsage").objects.filter(day__gt=since.date(), prompt=OuterRef("pk"))
        return self.filter(~Exists(used), created_at__lte=since)

    def with_standing(self, principal: Principal) -> Self:
        """Annotate `stars` (average, 0 for none), `ratings_count`, `uses_30d` and `is_favourite`; fetch the fields' values.

        One more query, however many prompts.
        """
        mine = _model("Favourite").objects.filter(prompt=OuterRef("pk"), user=principal.user_id)
        return self.annotate(
            stars=F("standing__stars"),
            ratings_count=F("standing__ratings_count"),
            uses_30d=F("standing__uses_30d"),
            is_favourite=Exists(mine) if principal.user_id else Value(False),
        ).prefetch_related(Prefetch("metadata", _model("MetadataValue").objects.with_fields(), to_attr="fields_set"))

    def by_standing_quickly(self) -> Self:
        """Return the same rows in the same order; where that is by stars or uses, PostgreSQL reads them off an index.

        Only of an inner join can it; every prompt has a standing.
        """
        first: Any = self.query.order_by[0] if self.query.order_by else ""
        if not isinstance(first, str) or first.lstrip("-") not in STANDING:
            return self
        return self.filter(standing__isnull=False)

    def live_in(self, environment: str) -> Self:
        """Return the prompts with a version live in the environment."""
        return self.filter(deployments__environment__name=environment, deployments__version__isnull=False)

    def for_list(self) -> Self:
        """Return prompts with what a list shows of each: three queries, however many prompts."""
        return self._with_live().select_related("owner", "forked_from__prompt").prefetch_related("tags")

    def for_section(self) -> Self:
        """Return prompts with what stands above each of their pages: two queries.

        `open_comments` is how many threads are not settled, `has_plans` and `has_users` whether anything waits to go
        live or includes it.
        """
        return self._with_live().with_header()

    def with_header(self) -> Self:
        """Annotate what needs no rows of its own in a header, as `for_section` says."""
        return self.annotate(
            open_comments=counted(_model("Comment").objects.open(), "prompt"),
            has_plans=Exists(_model("ScheduledDeployment").objects.filter(prompt=OuterRef("pk"), state="waiting")),
            has_users=Exists(_model("SnippetUse").objects.filter(snippet=OuterRef("pk"))),
        )

    def _with_live(self) -> Self:
        """Return prompts with their newest version, their collection and what is `live` of them, by environment."""
        live = self.model._meta.get_field("deployments").related_model.objects.live()
        pointers = live.select_related("environment", "version").order_by("environment__position")
        return self.select_related("collection", "newest").prefetch_related(
            Prefetch("deployments", pointers, to_attr="live")
        )


def day_ago(days: int) -> date:
    """Return the day (UTC) so many days before today."""
    return (timezone.now() - timedelta(days=days)).date()


class VersionQuerySet(OfTeam):
    path = "prompt__team_id"
    seen_with = "prompt__"

    def newest_first(self) -> Self:
        return self.order_by("-number")

    def update(self, **kwargs: Any) -> int:
        """Refuse: a version never changes."""
        raise VersionFrozen

    def _mark(self, review_state: str) -> int:
        """Set what the review came to: all that ever changes of a version. Only `services.reviewing` calls this."""
        return super().update(review_state=review_state)

    def delete(self) -> tuple[int, dict[str, int]]:
        """Refuse: a version stays."""
        raise VersionFrozen


class DraftQuerySet(OfTeam):
    path = "prompt__team_id"
    seen_with = "prompt__"

    def of(self, principal: Principal) -> Self:
        """Return what this person or key writes; nobody else's drafts, whatever their rights."""
        if principal.kind == "key":
            return self.filter(key_id=principal.id)
        return self.filter(person_id=principal.id) if principal.kind == "user" else self.none()


class MetadataFieldQuerySet(OfTeam):
    """The fields that a team added to its prompts."""


class MetadataValueQuerySet(OfTeam):
    path = "prompt__team_id"
    seen_with = "prompt__"

    def with_fields(self) -> Self:
        """Return values with their fields, in the fields' order."""
        return self.select_related("field").order_by("field__position", "field__key")


class FavouriteQuerySet(OfTeam):
    path = "prompt__team_id"
    seen_with = "prompt__"


class RatingQuerySet(OfTeam):
    path = "prompt__team_id"
    seen_with = "prompt__"

    def with_names(self) -> Self:
        """Return ratings with who gave them."""
        return self.select_related("user")


class PromptAliasQuerySet(OfTeam):
    """Names that prompts of a team had."""

    seen_with = "prompt__"


class DeploymentQuerySet(OfTeam):
    path = "prompt__team_id"
    seen_with = "prompt__"

    def live(self) -> Self:
        """Return the pointers that point somewhere."""
        return self.filter(version__isnull=False)


class DeploymentEventQuerySet(OfTeam):
    path = "prompt__team_id"
    seen_with = "prompt__"

    def newest_first(self) -> Self:
        return self.order_by("-id")

    def with_names(self) -> Self:
        """Return events with everything a sentence about them needs."""
        return self.select_related("prompt", "environment", "to_version", "from_version")


class ReviewRequestQuerySet(OfTeam):
    path = "version__prompt__team_id"
    seen_with = "version__prompt__"

    def with_names(self) -> Self:
        """Return reviews with what a list shows of each: two queries."""
        return self.select_related("version__prompt").prefetch_related("decisions")


class CommentQuerySet(OfTeam):
    path = "prompt__team_id"
    seen_with = "prompt__"

    def open(self) -> Self:
        """Return the comments that began a thread which is not settled."""
        return self.filter(parent=None, resolved_at=None)

    def with_names(self) -> Self:
        """Return comments with what a list shows of each: two queries."""
        return self.select_related("version", "resolved_by").prefetch_related("mentioned")


class FreezeWindowQuerySet(OfTeam):
    path = "environment__team_id"

    def active(self, moment: datetime) -> Self:
        """Return the windows that hold at that moment."""
        return self.filter(starts_at__lte=moment, ends_at__gt=moment)


class ScheduledDeploymentQuerySet(OfTeam):
    path = "prompt__team_id"
    seen_with = "prompt__"

    def due(self, moment: datetime) -> Self:
        """Return what waits and should have happened by that moment, the earliest first."""
        return self.filter(state="waiting", due_at__lte=moment).order_by("due_at", "id")

    def with_names(self) -> Self:
        """Return rows with everything a sentence about them needs."""
        return self.select_related("prompt", "environment", "version")


class SuiteQuerySet(OfTeam):
    """Test suites. One of a prompt is as private as the prompt."""

    seen_with = "prompt__"

    def active(self) -> Self:
        """Return what is not archived."""
        return self.filter(archived_at=None)

    def for_prompt(self, prompt: Any) -> Self:
        """Return the suites that fit a prompt: its own, and those of all prompts of its team."""
        return self.active().filter(Q(prompt=prompt) | Q(prompt=None), team=prompt.team_id)

    def with_counts(self) -> Self:
        """Annotate `case_count`, and fetch the prompt."""
        return self.select_related("prompt").annotate(case_count=counted(_model("SuiteCase").objects.all(), "suite"))


class SuiteCaseQuerySet(OfTeam):
    path = "suite__team_id"
    seen_with = "suite__prompt__"

    def with_checks(self) -> Self:
        """Return cases with their checks: two queries."""
        return self.prefetch_related("checks")


class SuiteCheckQuerySet(OfTeam):
    path = "suite__team_id"
    seen_with = "suite__prompt__"


class RunQuerySet(OfTeam):
    """Work that is done by one process at a time, see `Run`."""

    seen_with = "version__prompt__"

    def open(self) -> Self:
        """Return what waits or runs."""
        return self.filter(state__in=("queued", "running"))

    def free_at(self, moment: datetime) -> Self:
        """Return the open runs that no process works on."""
        return self.open().filter(Q(lease_until=None) | Q(lease_until__lt=moment))


class SuiteRunQuerySet(RunQuerySet):
    path = "suite__team_id"

    def with_names(self) -> Self:
        """Return runs with everything a sentence about them needs, without their plans."""
        return self.select_related("suite", "version__prompt", "environment").defer("plan")

    def with_counts(self) -> Self:
        """Annotate how many results there are, by state: `total`, `passed`, `failed`, `errors`, `lost`, `done`."""
        rows = _model("SuiteResult").objects.all()
        ended = ("passed", "failed", "error", "lost", "cancelled")
        return self.annotate(
            total=counted(rows, "run"),
            passed=counted(rows.filter(state="passed"), "run"),
            failed=counted(rows.filter(state="failed"), "run"),
            errors=counted(rows.filter(state="error"), "run"),
            lost=counted(rows.filter(state="lost"), "run"),
            done=counted(rows.filter(state__in=ended), "run"),
        )


class SuiteResultQuerySet(OfTeam):
    path = "run__suite__team_id"
    seen_with = "run__version__prompt__"


class OptimiserRunQuerySet(RunQuerySet):
    path = "version__prompt__team_id"

    def with_names(self) -> Self:
        """Return runs with everything a sentence about them needs."""
        return self.select_related("version__prompt")


class OptimiserCallQuerySet(OfTeam):
    path = "run__version__prompt__team_id"
    seen_with = "run__version__prompt__"


class SuggestionQuerySet(OfTeam):
    path = "run__version__prompt__team_id"
    seen_with = "run__version__prompt__"

    def with_names(self) -> Self:
        """Return suggestions with everything a sentence about them needs."""
        return self.select_related("run__version__prompt", "saved_version__prompt")


class GoldenRunQuerySet(OfTeam):
    path = "suite__team_id"
    seen_with = "version__prompt__"

    def with_names(self) -> Self:
        """Return nightly runs with everything a sentence about them needs."""
        return self.select_related("environment", "suite", "version__prompt")

    def drifting(self, since: date) -> Self:
        """Return what was found worse since a night, and is live there still; the newest first."""
        pointers = _model("Deployment").objects.filter(version=OuterRef("version"), environment=OuterRef("environment"))
        return self.filter(Exists(pointers), verdict="drift", night__gte=since).order_by("-night", "-id")
