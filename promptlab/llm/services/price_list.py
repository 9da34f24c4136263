"""Writing down what tokens cost from when on. Past calls keep what they were priced with until they are re-priced."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from promptlab.accounts.access import Principal
from promptlab.audit.recorder import record
from promptlab.lib.errors import FieldProblem, Invalid
from promptlab.llm.keeping import forget_on_commit
from promptlab.llm.models import Price, Provider
from promptlab.llm.refusals import PriceNotFound, PriceOverlap
from promptlab.llm.services.allowing import locked_provider, require_admin

DEAREST_USD = Decimal(100_000)
"""For a million tokens: more is a slip of the pen."""


def set_price(
    actor: Principal,
    provider: Provider,
    *,
    model: str,
    token: str,
    usd_per_million: Decimal,
    valid_from: datetime | None = None,
    valid_to: datetime | None = None,
) -> Price:
    """Write a price for one kind of token of a model, by the provider's name for it; from now on, if not said.

    A price without an end that began earlier ends where an endless new one begins. Raises PriceOverlap for any other.
    """
    require_admin(actor, provider.team_id)
    start = valid_from or timezone.now()
    _check(model, token, usd_per_million, start, valid_to)
    with transaction.atomic():
        # The provider's row is the lock: prices of one provider are written one after the other.
        locked = locked_provider(provider)
        same = Price.objects.filter(provider=locked, model=model, token=token)
        known: Price | None = same.filter(usd_per_million=usd_per_million, valid_from=start, valid_to=valid_to).first()
        if known is not None:
            return known
        ended = same.filter(valid_to=None, valid_from__lt=start).first() if valid_to is None else None
        for other in same.overlapping(start, valid_to):
            if ended is None or other.pk != ended.pk:
                raise _overlaps(other)
        if ended is not None:
            ended.valid_to = start
            ended.save(update_fields=["valid_to"])
        price: Price = Price.objects.create(
            provider=locked,
            model=model,
            token=token,
            usd_per_million=usd_per_million,
            valid_from=start,
            valid_to=valid_to,
        )
        record(actor, "price.set", price, team_id=locked.team_id, before=_before(ended), after=_facts(price))
        forget_on_commit(locked.team_id)
    return price


def remove_price(actor: Principal, price: Price) -> None:
    """Remove a price that was a mistake; what ended before it stays ended. Raises PriceNotFound."""
    require_admin(actor, price.provider.team_id)
    with transaction.atomic():
        locked = Price.objects.select_for_update(no_key=True, of=("self",)).filter(pk=price.pk).first()
        if locked is None:
            raise PriceNotFound
        record(actor, "price.removed", locked, team_id=price.provider.team_id, before=_facts(locked))
        forget_on_commit(price.provider.team_id)
        locked.delete()


def _check(model: str, token: str, usd: Decimal, start: datetime, end: datetime | None) -> None:
    if not model.strip() or not model.isprintable():
        raise Invalid.field("model", gettext_noop("Name the model as its provider calls it."), code="required")
    if token not in Price.Token.values:
        raise Invalid.field("token", f"One of: {', '.join(Price.Token.values)}.", code="invalid_choice")
    if not usd.is_finite() or not 0 <= usd <= DEAREST_USD:
        raise Invalid.field("usd_per_million", f"Between 0 and {DEAREST_USD} US dollars.", code="out_of_range")
    if end is not None and end <= start:
        raise Invalid.field("valid_to", gettext_noop("A price ends after it begins."), code="out_of_range")


def _overlaps(other: Price) -> PriceOverlap:
    error = PriceOverlap(since=other.valid_from.isoformat(timespec="minutes"))
    error.problems = (FieldProblem("valid_from", error.detail, error.code),)
    return error


def _before(ended: Price | None) -> dict[str, Any]:
    return {"usd_per_million": str(ended.usd_per_million)} if ended else {}


def _facts(price: Price) -> dict[str, Any]:
    """Return what the activity log knows of a price."""
    return {
        "provider": price.provider.name,
        "model": price.model,
        "token": price.token,
        "usd_per_million": str(price.usd_per_million),
        "valid_from": price.valid_from.isoformat(),
        "valid_to": price.valid_to.isoformat() if price.valid_to else None,
    }
