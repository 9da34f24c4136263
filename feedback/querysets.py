"""Named questions about feedback."""

from __future__ import annotations

from typing import Self

from django.db.models import F, Q

from prompts.querysets import OfTeam

BY_NEED = (F("value").asc(nulls_last=True), "-id")
"""Thumbs-down first, then thumbs-up, then the others; the newest of each first."""


class FeedbackQuerySet(OfTeam):
    path = "team_id"

    def not_rolled_up(self) -> Self:
        """Return ratings that are new or changed since they were last counted, oldest first."""
        return self.filter(rolled_up_at=None).order_by("id")

    def standing(self) -> Self:
        """Return the ratings that were not taken back."""
        return self.filter(Q(value__isnull=False) | Q(score__isnull=False) | ~Q(text=""))

    def with_words(self) -> Self:
        """Return the ratings that say something in words: a comment, or an ideal answer."""
        return self.filter(~Q(comment="") | ~Q(text=""))


class MetricQuerySet(OfTeam):
    path = "team_id"

    def active(self) -> Self:
        """Return the metrics in which something may be said."""
        return self.filter(archived_at=None)


class RoundQuerySet(OfTeam):
    """Rounds of annotation: as private as the prompts whose answers are rated."""

    path = "team_id"
    seen_with = "prompt__"


class ReplayQuerySet(RoundQuerySet):
    def with_names(self) -> Self:
        """Return replays with everything a sentence about them needs, without the plans of their runs."""
        found = self.select_related("prompt", "run__version__prompt", "run__suite", "run__environment")
        return found.defer("run__plan")
