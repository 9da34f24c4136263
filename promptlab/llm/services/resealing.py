"""Providers' keys under another encryption key. What they are called with does not change."""

from __future__ import annotations

from django.db import transaction

from promptlab.lib.sealing import CannotBeOpened, reseal
from promptlab.llm.models import Provider


def reseal_providers() -> tuple[int, list[int]]:
    """Seal every key with the first of ENCRYPTION_KEYS.

    Return how many providers were changed, and the ids of those whose key no key opens; they stay as they are.
    """
    changed, unreadable = 0, []
    for pk in Provider.objects.exclude(sealed_key="").order_by("pk").values_list("pk", flat=True):
        try:
            changed += _reseal(pk)
        except CannotBeOpened:
            unreadable.append(pk)
    return changed, unreadable


@transaction.atomic
def _reseal(pk: int) -> bool:
    """Tell whether the key of one provider had to be sealed anew. It is locked: somebody may be replacing it."""
    provider = Provider.objects.select_for_update(no_key=True).filter(pk=pk).exclude(sealed_key="").first()
    if provider is None:
        return False
    was, provider.sealed_key = provider.sealed_key, reseal(provider.sealed_key)
    if was == provider.sealed_key:
        return False
    provider.save(update_fields=["sealed_key"])
    return True
