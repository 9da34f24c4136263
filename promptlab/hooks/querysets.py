"""Questions about events, endpoints, deliveries and mails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils import timezone

if TYPE_CHECKING:
    from promptlab.accounts.access import Principal

CAPABILITY = "webhook.admin"


class EventQuerySet(models.QuerySet[Any]):
    def not_fanned_out(self) -> EventQuerySet:
        """Return the events whose deliveries are not written yet, oldest first."""
        return self.filter(fanned_out_at=None).order_by("id")


class EndpointQuerySet(models.QuerySet[Any]):
    def visible_to(self, principal: Principal, capability: str = CAPABILITY) -> EndpointQuerySet:
        """Return the endpoints of the teams in which `capability` is granted."""
        return self if principal.is_system else self.filter(team_id__in=principal.teams_with(capability))


class SendingQuerySet(models.QuerySet[Any]):
    def due(self) -> SendingQuerySet:
        """Return what is to be sent now, what waited longest first."""
        unsettled = self.filter(state__in=self.model.UNSETTLED, next_at__lte=timezone.now())
        return unsettled.order_by("next_at", "id")

    def settled(self) -> SendingQuerySet:
        """Return what was delivered or given up."""
        return self.exclude(state__in=self.model.UNSETTLED)


class DeliveryQuerySet(SendingQuerySet):
    def visible_to(self, principal: Principal, capability: str = CAPABILITY) -> DeliveryQuerySet:
        """Return the deliveries to the endpoints of those teams."""
        return self if principal.is_system else self.filter(endpoint__team_id__in=principal.teams_with(capability))

    def due(self) -> SendingQuerySet:
        """Return what is to be sent now, what waited longest first. What goes to an endpoint that is off waits."""
        return super().due().filter(endpoint__is_active=True)


class MailQuerySet(SendingQuerySet):
    def visible_to(self, principal: Principal, capability: str = CAPABILITY) -> MailQuerySet:
        """Return the mails of those teams."""
        return self if principal.is_system else self.filter(team_id__in=principal.teams_with(capability))
