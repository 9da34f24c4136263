"""`manage.py import_prompts`: prompts from a file or a folder; or what differs between a folder and the database."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.lib.errors import DomainError
from prompts.management.plans import refused, say
from prompts.management.teams import team_named
from prompts.models import Prompt
from prompts.services import directories, porting


class Command(BaseCommand):
    """Whole or nothing, however many files; no pointer moves."""

    help = "Import a file of prompts, or every such file in a folder: whole or nothing, and nothing goes live."
    requires_system_checks = [Tags.security]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--team", required=True, help="the team's name")
        parser.add_argument("--dry-run", action="store_true", help="only say what would happen")
        parser.add_argument("--drift", action="store_true", help="list what differs; exit code 1 when something does")
        parser.add_argument("path", help="a file or a folder")

    def handle(self, *args: Any, team: str, path: str, **options: Any) -> None:
        there, owner = Path(path), team_named(team)
        if not there.exists():
            raise CommandError(f"There is no file or folder {path}.")
        try:
            if options["drift"]:
                self._drift(there, owner)
                return
            bundle = directories.read_all(directories.paths_in(there))
            act = porting.plan_import if options["dry_run"] else porting.run_import
            say(self, act(SYSTEM, bundle, owner.pk))
        except DomainError as error:
            raise refused(error) from error
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from error

    def _drift(self, folder: Path, team: Team) -> None:
        if not folder.is_dir():
            raise CommandError(f"{folder} is not a folder.")
        differing = directories.drift(folder, porting.export_prompts(SYSTEM, Prompt.objects.filter(team=team).active()))
        for sentence in differing:
            self.stdout.write(sentence)
        if differing:
            sys.exit(1)
