"""Questions to the activity log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Never

from django.db import models

from promptlab.audit.errors import AppendOnly


class AuditQuerySet(models.QuerySet[Any]):
    """Entries can be read and added; there is no other verb."""

    def of_teams(self, team_ids: Iterable[int]) -> AuditQuerySet:
        """Return the entries of these teams."""
        return self.filter(team_id__in=list(team_ids))

    def about(self, target_type: str, target_id: object) -> AuditQuerySet:
        """Return the entries about one thing, newest first."""
        return self.filter(target_type=target_type, target_id=str(target_id)).order_by("-id")

    def update(self, **kwargs: Any) -> Never:
        raise AppendOnly

    def delete(self) -> Never:
        raise AppendOnly
