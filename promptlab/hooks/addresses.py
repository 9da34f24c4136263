"""Where webhooks may go: what `lib.addresses` lets through, and the private hosts that the operator allows."""

from __future__ import annotations

from django.conf import settings

from promptlab.lib import addresses
from promptlab.lib.addresses import Target


def parse(url: str) -> Target:
    """Return the parsed address. Raises AddressRefused."""
    return addresses.parse(url, trusted=settings.WEBHOOK_ALLOWED_PRIVATE)
