"""What every question is made of: whose rows they are, and who may see them."""

from __future__ import annotations

from datetime import date, timedelta
from functools import reduce
from operator import or_
from typing import Any, Self

from django.apps import apps
from django.db import models
from django.db.models import Case, Count, IntegerField, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from promptlab.accounts.access import Principal

PRIVATE = "private"
EVERYONE = "everyone"


class OfTeam(models.QuerySet[Any]):
    """Rows that belong to a team. `path` leads from the row to the team's id.

    `seen_with` leads to the prompt a row is about ("" for the prompt itself): in a private collection the row is private, too.
    """

    path = "team_id"
    seen_with: str | None = None

    def visible_to(self, principal: Principal, capability: str = "prompt.read") -> Self:
        """Return what the principal may see of its own teams' rows."""
        if principal.is_system:
            return self
        rows = self.filter(**{f"{self.path}__in": principal.teams_with(capability)})
        return rows if self.seen_with is None else rows.without_private(principal, self.seen_with)

    def without_private(self, principal: Principal, seen_with: str) -> Self:
        """Return the rows whose prompts are not private to others; `seen_with` leads to the prompt."""
        closed = None if principal.is_system else closed_to(principal)
        if closed is None:
            return self
        hidden = model_named("Collection").objects.filter(closed).values("pk")
        return self.filter(~Q(**{f"{seen_with}collection__in": hidden}))

    def with_hidden(self, principal: Principal, *seen_with: str) -> Self:
        """Annotate `is_hidden`: the row is the team's, a prompt it is about is private to others and stays unnamed."""
        closed = None if principal.is_system else closed_to(principal)
        if closed is None:
            return self.annotate(is_hidden=Value(False))
        private = model_named("Collection").objects.filter(closed).values("pk")
        about = reduce(or_, [Q(**{f"{path}collection__in": private}) for path in seen_with])
        return self.annotate(is_hidden=Case(When(about, then=Value(True)), default=Value(False)))


def model_named(name: str) -> Any:
    """Return a model of this app; they import this module."""
    return apps.get_model("prompts", name)


def closed_to(principal: Principal) -> Q | None:
    """Return which collections of its teams are private to others; None for who administers all of its teams.

    A private collection is its owner's and the administrators'. A key owns nothing.
    """
    teams = [team_id for team_id in principal.grants if not principal.may("team.admin", team_id)]
    if not teams:
        return None
    closed = Q(team__in=teams, visibility=PRIVATE)
    if principal.user_id is not None:
        closed &= Q(owner=None) | ~Q(owner=principal.user_id)
    return closed


def counted(rows: models.QuerySet[Any], by: str) -> Coalesce:
    """Return how many rows point to the outer row by column `by`; no join, so that counts do not multiply."""
    counted = rows.order_by().filter(**{by: OuterRef("pk")}).values(by).annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


def day_ago(days: int) -> date:
    """Return the day (UTC) so many days before today."""
    return (timezone.now() - timedelta(days=days)).date()
