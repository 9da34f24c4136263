"""Named questions about conversations and messages."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from prompts.querysets import OfTeam


class ConversationQuerySet(OfTeam):
    path = "team_id"


class MessageQuerySet(OfTeam):
    path = "conversation__team_id"

    def transcript(self, before_id: int | None = None) -> Self:
        """Return what was said and finished, oldest first; only what came before message `before_id` if given."""
        said = self.filter(state="completed").order_by("id")
        return said if before_id is None else said.filter(id__lt=before_id)

    def answers(self) -> Self:
        """Return the messages that a model wrote."""
        return self.filter(role="assistant")

    def not_rolled_up(self) -> Self:
        """Return ended answers whose sums are not in the rollups yet, oldest first."""
        return self.answers().filter(rolled_up_at=None, ended_at__isnull=False, version__isnull=False).order_by("id")

    def abandoned(self, now: datetime) -> Self:
        """Return answers whose process stopped renewing its lease."""
        return self.filter(state="streaming", lease_until__lt=now)
