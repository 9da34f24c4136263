"""The team that a command names."""

from __future__ import annotations

from django.core.management.base import CommandError

from promptlab.accounts.models import Team


def team_named(name: str) -> Team:
    """Return the team of that name. Raises CommandError naming the ones there are."""
    found: Team | None = Team.objects.filter(name=name).first()
    if found is None:
        known = ", ".join(Team.objects.values_list("name", flat=True)) or "none yet"
        raise CommandError(f"There is no team {name!r}. Teams: {known}.")
    return found
