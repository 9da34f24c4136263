"""`manage.py issue_key`: an API key from the command line, for scripts."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from promptlab.accounts import services
from promptlab.accounts.access import SYSTEM, Scope
from promptlab.accounts.models import Team
from promptlab.lib.errors import DomainError
from prompts.services.environments import ensure_defaults


class Command(BaseCommand):
    """The key is all that standard output gets; log lines go to standard error."""

    help = "Issue an API key and print it. It cannot be shown again."
    requires_system_checks = [Tags.security]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--team", required=True, help="the team's name")
        parser.add_argument("--name", required=True, help="which application uses the key")
        parser.add_argument("--scopes", required=True, help=f"separated by commas, of: {_scopes()}")
        parser.add_argument("--environment", action="append", default=[], help="limit the key to it; may be repeated")
        parser.add_argument("--calls-per-hour", type=int, help="instead of the installation's default")
        parser.add_argument("--expires-in-days", type=int, help="the key ends then")

    def handle(self, *args: Any, **options: Any) -> None:
        team = _team(options["team"])
        days = options["expires_in_days"]
        try:
            _, secret = services.issue_key(
                SYSTEM,
                team,
                name=options["name"],
                scopes=_words(options["scopes"]),
                environments=_environments(team, options["environment"]),
                calls_per_hour=_positive("--calls-per-hour", options["calls_per_hour"]),
                expires_at=timezone.now() + timedelta(days=days) if _positive("--expires-in-days", days) else None,
            )
        except DomainError as error:
            raise CommandError(error.detail) from error
        self.stdout.write(secret)


def _scopes() -> str:
    return ", ".join(Scope)


def _words(raw: str) -> list[str]:
    words = [word.strip() for word in raw.split(",") if word.strip()]
    if not words:
        raise CommandError(f"--scopes names no scope. Scopes: {_scopes()}.")
    return words


def _positive(option: str, value: int | None) -> int | None:
    if value is not None and value < 1:
        raise CommandError(f"{option} must be at least 1.")
    return value


def _team(name: str) -> Team:
    team: Team | None = Team.objects.filter(name=name).first() or Team.objects.filter(name__iexact=name).first()
    if team is None:
        raise CommandError(f"There is no team {name!r}. Teams: {_list(Team.objects.values_list('name', flat=True))}.")
    return team


def _environments(team: Team, wanted: list[str]) -> list[str]:
    known = [environment.name for environment in ensure_defaults(team.pk)]
    for name in wanted:
        if name not in known:
            raise CommandError(f"{team.name} has no environment {name!r}. Environments: {_list(known)}.")
    return wanted


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "none yet"
