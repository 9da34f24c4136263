"""Named questions about feedback."""

from __future__ import annotations

from typing import Self

from django.apps import apps
from django.db.models import Exists, F, OuterRef, Q

from promptlab.accounts.access import Principal
from prompts.querysets import OfTeam

ABOUT = ("message__conversation__prompt__", "message__version__prompt__")
"""The prompts that a rating is about."""

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

    def in_words_for(self, principal: Principal) -> Self:
        """Return what stands and says something in words, of prompts that are not private to others."""
        rows = self.with_words().standing().with_hidden(principal, *ABOUT)
        return rows.filter(is_hidden=False)

    def settled(self, is_settled: bool) -> Self:
        """Return the comments that need nobody any more, or those that do."""
        done = Exists(
            apps.get_model("feedback", "Care").objects.filter(feedback=OuterRef("pk"), settled_at__isnull=False)
        )
        return self.filter(done if is_settled else ~done)


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
