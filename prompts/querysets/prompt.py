"""Named questions about prompts, and what people think of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Self

from django.db.models import Exists, F, OuterRef, Prefetch, Q, Value
from django.utils import timezone

from promptlab.accounts.access import Principal
from prompts.querysets.base import EVERYONE, OfTeam, counted, model_named

USE_DAYS = 30
STANDING = ("stars", "ratings_count", "uses_30d")
"""What `with_standing` annotates of the table that the sums are kept in."""


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
        for pk, name in model_named("Tag").objects.called(*names).values_list("pk", "name"):
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
        used = model_named("PromptUsage").objects.filter(day__gt=since.date(), prompt=OuterRef("pk"))
        return self.filter(~Exists(used), created_at__lte=since)

    def with_standing(self, principal: Principal) -> Self:
        """Annotate `stars` (average, 0 for none), `ratings_count`, `uses_30d` and `is_favourite`; fetch the fields' values.

        One more query, however many prompts.
        """
        mine = model_named("Favourite").objects.filter(prompt=OuterRef("pk"), user=principal.user_id)
        return self.annotate(
            stars=F("standing__stars"),
            ratings_count=F("standing__ratings_count"),
            uses_30d=F("standing__uses_30d"),
            is_favourite=Exists(mine) if principal.user_id else Value(False),
        ).prefetch_related(
            Prefetch("metadata", model_named("MetadataValue").objects.with_fields(), to_attr="fields_set")
        )

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
            open_comments=counted(model_named("Comment").objects.open(), "prompt"),
            has_plans=Exists(model_named("ScheduledDeployment").objects.filter(prompt=OuterRef("pk"), state="waiting")),
            has_users=Exists(model_named("SnippetUse").objects.filter(snippet=OuterRef("pk"))),
        )

    def _with_live(self) -> Self:
        """Return prompts with their newest version, their collection and what is `live` of them, by environment."""
        live = self.model._meta.get_field("deployments").related_model.objects.live()
        pointers = live.select_related("environment", "version").order_by("environment__position")
        return self.select_related("collection", "newest").prefetch_related(
            Prefetch("deployments", pointers, to_attr="live")
        )


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
