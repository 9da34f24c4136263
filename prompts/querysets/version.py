"""Named questions about versions, drafts, reviews and comments."""

from __future__ import annotations

from typing import Any, Self

from promptlab.accounts.access import Principal
from prompts.errors import VersionFrozen
from prompts.querysets.base import OfTeam


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
