"""`manage.py export_prompts`: a team's prompts as one file, or as a folder with one file each."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError

from promptlab.accounts.access import SYSTEM
from promptlab.lib.errors import DomainError
from prompts.management.teams import team_named
from prompts.models import Collection, Prompt
from prompts.porting import formats
from prompts.services import directories, porting


class Command(BaseCommand):
    """Standard output gets the file and nothing else, unless `--to` names where it goes."""

    help = "Write a team's prompts to a file, or to a folder with one file per prompt."
    requires_system_checks = [Tags.security]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--team", required=True, help="the team's name")
        parser.add_argument("--collection", help="only the prompts of this collection")
        parser.add_argument("--format", choices=sorted(directories.ENDINGS), default="yaml", help="yaml: all versions")
        parser.add_argument("--to", help="a file, or a folder (there already, or named with a / at its end)")

    def handle(
        self, *args: Any, team: str, collection: str | None, format: str, to: str | None, **options: Any
    ) -> None:
        rows = Prompt.objects.filter(team=team_named(team)).active()
        if collection is not None:
            rows = rows.filter(collection__in=_collections(team, collection))
        try:
            bundle = porting.export_prompts(SYSTEM, rows)
            if to and (to.endswith("/") or Path(to).is_dir()):
                self._into(Path(to), directories.files_of(bundle, format))
                return
            text = formats.write(bundle, format)
        except DomainError as error:
            raise CommandError(error.detail) from error
        if not to:
            self.stdout.write(text, ending="")
        elif directories.write_changed(Path(to).parent, {Path(to).name: text}):
            self.stderr.write(f"Wrote {to}.")

    def _into(self, folder: Path, files: dict[str, str]) -> None:
        try:
            written = directories.write_changed(folder, files)
        except OSError as error:
            raise CommandError(f"{folder} cannot be written: {error.strerror}.") from error
        for name in written:
            self.stdout.write(f"wrote {name}")
        others = [path.name for path in directories.paths_in(folder) if path.name not in files]
        for name in others:
            self.stderr.write(f"{name} is no prompt of this export; it was left as it is.")
        self.stderr.write(f"{len(written)} of {len(files)} files written.")


def _collections(team: str, name: str) -> list[Collection]:
    found = list(Collection.objects.filter(team=team_named(team), name=name, archived_at=None))
    if not found:
        raise CommandError(f"{team} has no collection {name!r}.")
    return found
