"""Named questions about what models are asked in the background, and what they suggest."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.db.models import Q

from prompts.querysets.base import OfTeam


class RunQuerySet(OfTeam):
    """Work that is done by one process at a time, see `Run`."""

    seen_with = "version__prompt__"

    def open(self) -> Self:
        """Return what waits or runs."""
        return self.filter(state__in=("queued", "running"))

    def free_at(self, moment: datetime) -> Self:
        """Return the open runs that no process works on."""
        return self.open().filter(Q(lease_until=None) | Q(lease_until__lt=moment))


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
