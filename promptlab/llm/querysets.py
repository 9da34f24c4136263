"""Questions about providers, models and prices."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from promptlab.accounts.access import Principal

CAPABILITY = "provider.admin"
USE = "prompt.read"
"""What seeing the models takes, without addresses: whoever reads prompts may know what answers them."""


class ProviderQuerySet(models.QuerySet[Any]):
    def visible_to(self, principal: Principal, capability: str = CAPABILITY) -> ProviderQuerySet:
        """Return the providers of the teams in which `capability` is granted."""
        return self if principal.is_system else self.filter(team_id__in=principal.teams_with(capability))

    def called(self, team_id: int, name: str) -> ProviderQuerySet:
        """Return the team's provider of that name, whatever its case."""
        return self.filter(team_id=team_id, name__iexact=name)


class LanguageModelQuerySet(models.QuerySet[Any]):
    def visible_to(self, principal: Principal, capability: str = USE) -> LanguageModelQuerySet:
        """Return the models of the teams in which `capability` is granted."""
        return self if principal.is_system else self.filter(team_id__in=principal.teams_with(capability))

    def usable(self) -> LanguageModelQuerySet:
        """Return the models that are on, of providers that are on."""
        return self.filter(is_on=True, provider__is_on=True)


class PriceQuerySet(models.QuerySet[Any]):
    def visible_to(self, principal: Principal, capability: str = CAPABILITY) -> PriceQuerySet:
        """Return the prices of the providers of those teams."""
        return self if principal.is_system else self.filter(provider__team_id__in=principal.teams_with(capability))

    def overlapping(self, start: datetime, end: datetime | None) -> PriceQuerySet:
        """Return the prices that are valid at some time from `start` to before `end`; None: for ever."""
        later = self.filter(Q(valid_to=None) | Q(valid_to__gt=start))
        return later if end is None else later.filter(valid_from__lt=end)


class MaskingQuerySet(models.QuerySet[Any]):
    def visible_to(self, principal: Principal, capability: str = CAPABILITY) -> MaskingQuerySet:
        """Return what the teams in which `capability` is granted replace."""
        return self if principal.is_system else self.filter(team_id__in=principal.teams_with(capability))
