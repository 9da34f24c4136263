"""Questions about teams and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from django.db import models
from django.db.models import Q
from django.utils import timezone

if TYPE_CHECKING:
    from promptlab.accounts.access import Principal


class Seer(Protocol):
    """Whoever looks: holds capabilities in teams."""

    @property
    def is_system(self) -> bool: ...
    def teams_with(self, capability: str) -> list[int]: ...


class TeamQuerySet(models.QuerySet[Any]):
    def visible_to(self, principal: Principal) -> TeamQuerySet:
        """Return the teams the principal belongs to."""
        return self if principal.is_system else self.filter(pk__in=principal.grants.keys())


class ApiKeyQuerySet(models.QuerySet[Any]):
    def visible_to(self, principal: Principal) -> ApiKeyQuerySet:
        """Return the keys the principal may manage."""
        return self if principal.is_system else self.filter(team_id__in=principal.teams_with("key.admin"))

    def usable(self) -> ApiKeyQuerySet:
        """Return the keys that are neither revoked nor expired."""
        now = timezone.now()
        return self.filter(revoked_at=None).filter(Q(expires_at=None) | Q(expires_at__gt=now))
