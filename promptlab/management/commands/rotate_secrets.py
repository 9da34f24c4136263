"""`manage.py rotate_secrets`: stored secrets under a new encryption key."""

from __future__ import annotations

from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError

from promptlab.hooks.services.resealing import reseal_endpoints
from promptlab.llm.services.resealing import reseal_providers


class Command(BaseCommand):
    """Safe to repeat and to run beside the servers: each secret is changed in a transaction of its own."""

    help = "Seal every stored secret with the first of ENCRYPTION_KEYS."
    requires_system_checks = [Tags.security]

    def handle(self, *args: Any, **options: Any) -> None:
        changed, webhooks = reseal_endpoints()
        self.stdout.write(f"Webhooks sealed with the first key: {changed}.")
        changed, providers = reseal_providers()
        self.stdout.write(f"Providers sealed with the first key: {changed}.")
        lost = [f"webhook {pk}" for pk in webhooks] + [f"provider {pk}" for pk in providers]
        if lost:
            raise CommandError(
                f"No key in ENCRYPTION_KEYS opens the secret of {', '.join(lost)}. Add the key, or make a new secret."
            )
