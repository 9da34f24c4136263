"""Named questions about environments, what is live in them, and when."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from prompts.querysets.base import OfTeam


class EnvironmentQuerySet(OfTeam):
    """Environments of a team."""


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
