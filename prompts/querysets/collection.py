"""Named questions about collections, tags and the fields of a team."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Self

from django.db.models import Q
from django.db.models.functions import Lower

from promptlab.accounts.access import Principal
from prompts.querysets.base import EVERYONE, OfTeam, closed_to, counted, model_named

DEEPEST = 8
"""How many collections may stand inside each other."""


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
        return self.annotate(prompt_count=counted(model_named("Prompt").objects.active(), "collection"))


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
        prompts = model_named("Prompt")
        seen = prompts.objects.visible_to(principal).active()
        carried = prompts.tags.through.objects.filter(prompt__in=seen.values("pk"))
        return self.annotate(prompt_count=counted(carried, "tag"))


class MetadataFieldQuerySet(OfTeam):
    """The fields that a team added to its prompts."""


class MetadataValueQuerySet(OfTeam):
    path = "prompt__team_id"
    seen_with = "prompt__"

    def with_fields(self) -> Self:
        """Return values with their fields, in the fields' order."""
        return self.select_related("field").order_by("field__position", "field__key")
