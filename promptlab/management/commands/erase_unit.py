"""`manage.py erase_unit`: erase what applications told of one of their users."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from feedback.services.erasing import erase_unit
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.lib.errors import DomainError


class Command(BaseCommand):
    """Safe to repeat."""

    help = "Erase an end user of a team: texts and comments go, the id becomes a random name, counts stay."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--team", required=True, help="the team's name")
        parser.add_argument("unit_id", help="the id that applications give this user")

    def handle(self, *args: Any, team: str, unit_id: str, **options: Any) -> None:
        found = Team.objects.filter(name=team).first()
        if found is None:
            raise CommandError(f"There is no team named {team}.")
        try:
            erased = erase_unit(SYSTEM, found, unit_id)
        except DomainError as error:
            raise CommandError(error.detail) from error
        self.stdout.write(
            f"Erased: {erased.messages} messages, {erased.ratings} ratings, {erased.experiment_rows} rows of experiments, "
            f"{erased.kept_answers} answers kept to be given again."
        )
