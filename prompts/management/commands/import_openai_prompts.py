"""`manage.py import_openai_prompts`: saved prompt objects of OpenAI become prompts with versions."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError

from promptlab.accounts.access import SYSTEM
from promptlab.lib.errors import DomainError
from prompts.management.plans import refused, say
from prompts.management.teams import team_named
from prompts.porting import openai_prompts
from prompts.porting.safe_yaml import decode
from prompts.services import porting


class Command(BaseCommand):
    """Says what would happen; with `--apply` it happens: whole or nothing, and nothing goes live."""

    help = "Import OpenAI's saved prompt objects from a JSON file; without --apply only say what would happen."
    requires_system_checks = [Tags.security]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--team", required=True, help="the team's name")
        parser.add_argument("--apply", action="store_true", help="import what would be imported")
        parser.add_argument("file", help="the file with the saved prompts")

    def handle(self, *args: Any, team: str, file: str, **options: Any) -> None:
        owner = team_named(team)
        act = porting.run_import if options["apply"] else porting.plan_import
        try:
            bundle = openai_prompts.load(decode(Path(file).read_bytes()))
            plan = act(SYSTEM, bundle, owner.pk)
        except DomainError as error:
            raise refused(error) from error
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        say(self, plan)
        if not options["apply"] and plan.changes:
            self.stdout.write("Nothing was written. Repeat with --apply.")
