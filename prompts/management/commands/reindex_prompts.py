"""`manage.py reindex_prompts`: make again what search finds."""

from __future__ import annotations

from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand
from django.db import connection

from prompts.services import indexing


class Command(BaseCommand):
    """May run while people work, and again. Services keep the documents themselves; this is for after a repair by hand."""

    help = "Write again what search knows of every prompt, and make its indexes where they are missing."
    requires_system_checks = [Tags.security]

    def handle(self, *args: Any, **options: Any) -> None:
        count = sum(indexing.reindex())
        if not indexing.make_indexes(connection):
            self.stderr.write(
                "Without the extension pg_trgm, parts of titles that have signs in them are found slowly."
            )
        self.stdout.write(f"{count} prompts are indexed.")
