"""Webhooks' secrets under another encryption key. Nothing that signs or is signed changes, so nobody is told."""

from __future__ import annotations

from django.db import transaction

from promptlab.hooks.models import Endpoint
from promptlab.lib.sealing import CannotBeOpened, reseal


def reseal_endpoints() -> tuple[int, list[int]]:
    """Seal every secret with the first of ENCRYPTION_KEYS.

    Return how many webhooks were changed, and the ids of those whose secret no key opens; they stay as they are.
    """
    changed, unreadable = 0, []
    for pk in Endpoint.objects.order_by("pk").values_list("pk", flat=True):
        try:
            changed += _reseal(pk)
        except CannotBeOpened:
            unreadable.append(pk)
    return changed, unreadable


@transaction.atomic
def _reseal(pk: int) -> bool:
    """Tell whether the secrets of one webhook had to be sealed anew. It is locked: somebody may be replacing them."""
    endpoint = Endpoint.objects.select_for_update(no_key=True).filter(pk=pk).first()
    if endpoint is None:
        return False
    was = (endpoint.sealed_secret, endpoint.old_sealed_secret)
    endpoint.sealed_secret, endpoint.old_sealed_secret = (reseal(one) if one else one for one in was)
    if was == (endpoint.sealed_secret, endpoint.old_sealed_secret):
        return False
    endpoint.save(update_fields=["sealed_secret", "old_sealed_secret"])
    return True
