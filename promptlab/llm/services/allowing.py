"""Who may change providers, models and prices, and the lock that their changes wait for."""

from __future__ import annotations

from promptlab.accounts.access import Principal, require, require_environment
from promptlab.llm.models import Provider
from promptlab.llm.querysets import CAPABILITY
from promptlab.llm.refusals import ProviderNotFound


def require_admin(actor: Principal, team_id: int) -> None:
    """Raise unless `actor` manages providers. A key limited to environments does not: models answer in all of them."""
    require(actor, CAPABILITY, team_id)
    require_environment(actor, "")


def locked_provider(provider: Provider) -> Provider:
    """Return the provider's row, locked. Raises ProviderNotFound."""
    locked: Provider | None = Provider.objects.select_for_update(no_key=True).filter(pk=provider.pk).first()
    if locked is None:
        raise ProviderNotFound
    return locked
