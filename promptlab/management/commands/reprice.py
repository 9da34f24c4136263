"""`manage.py reprice`: what answers cost, by the prices that are known now."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.chat.services.repricing import reprice


class Command(BaseCommand):
    """Safe to repeat, to stop and to run beside the servers. Without `--apply` nothing is changed."""

    help = "Price a team's answers again with the prices valid when they were given, and report the difference."
    requires_system_checks = [Tags.security]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--team", required=True, help="the team's name")
        parser.add_argument("--since", help="answers that ended from then on: 2026-11-01 or 2026-11-01T09:00+00:00")
        parser.add_argument("--until", help="answers that ended before then")
        parser.add_argument("--apply", action="store_true", help="write the new costs; else only report")

    def handle(self, *args: Any, **options: Any) -> None:
        team = Team.objects.filter(name=options["team"]).first()
        if team is None:
            raise CommandError(f"There is no team {options['team']!r}.")
        since, until = (_moment(f"--{name}", options[name]) for name in ("since", "until"))
        report = reprice(SYSTEM, team, since=since, until=until, is_dry_run=not options["apply"])
        self.stdout.write(f"Answers looked at: {report.answers}.")
        self.stdout.write(f"Cost changed: {report.changed}, found where it was unknown: {report.found}.")
        self.stdout.write(f"Cost unknown: {report.unknown}.")
        self.stdout.write(f"Sum before: ${report.old_usd:f}, after: ${report.new_usd:f}.")
        if not options["apply"]:
            self.stdout.write("Nothing was changed. Repeat with --apply to write this.")


def _moment(name: str, raw: str | None) -> datetime | None:
    """Return the moment that an option names; a day begins at midnight in the zone of the settings."""
    if raw is None:
        return None
    try:
        day = parse_date(raw)
        moment = datetime(day.year, day.month, day.day) if day else parse_datetime(raw)  # noqa: DTZ001
    except ValueError:
        moment = None
    if moment is None:
        raise CommandError(f"{name} {raw!r} is neither a day nor a time.")
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
