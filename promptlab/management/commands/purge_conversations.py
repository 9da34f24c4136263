"""`manage.py purge_conversations`: what workers do every ten minutes, at once."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from promptlab.chat.services.purging import purge_old_messages


class Command(BaseCommand):
    """Safe to repeat, to break off, and to run beside the servers."""

    help = "Remove the texts of messages that are older than their teams keep them."

    def handle(self, *args: Any, **options: Any) -> None:
        total = 0
        while purged := purge_old_messages():
            total += purged
        self.stdout.write(f"Messages purged: {total}.")
