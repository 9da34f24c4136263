"""`manage.py rotate_secrets`: stored secrets under a new encryption key."""

from __future__ import annotations

from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError

from promptlab.hooks.services.resealing import reseal_endpoints


class Command(BaseCommand):
    """Safe to repeat and to run beside the servers: each webhook is changed in a transaction of its own."""

    help = "Seal every stored secret with the first of ENCRYPTION_KEYS."
    requires_system_checks = [Tags.security]

    def handle(self, *args: Any, **options: Any) -> None:
        changed, unreadable = reseal_endpoints()
        self.stdout.write(f"Webhooks sealed with the first key: {changed}.")
        if unreadable:
            ids = ", ".join(map(str, unreadable))
            raise CommandError(
                f"No key in ENCRYPTION_KEYS opens the secret of webhook {ids}. Add the key, or make a new secret."
            )
