"""Setting up who hears of what: endpoints, their secrets, trying one out, sending again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from promptlab.accounts.access import Principal, require, require_environment
from promptlab.accounts.models import Team
from promptlab.audit.recorder import record
from promptlab.hooks import addresses
from promptlab.hooks.errors import TooManyWebhooks, UnknownEventType, WebhookNotFound, WebhookOff
from promptlab.hooks.models import Delivery, Endpoint
from promptlab.hooks.services import outbox, signing
from promptlab.lib.errors import FieldProblem
from promptlab.lib.queue import enqueue_on_commit
from promptlab.lib.sealing import seal

CAPABILITY = "webhook.admin"
OVERLAP = timedelta(hours=24)
"""How long a replaced secret signs as well."""
MOST = 20


@dataclass(frozen=True, slots=True)
class EndpointChanges:
    """What to change; None leaves a field as it is."""

    url: str | None = None
    event_types: tuple[str, ...] | None = None
    description: str | None = None
    with_private: bool | None = None
    is_active: bool | None = None


def create_endpoint(
    actor: Principal,
    team_id: int,
    *,
    url: str,
    event_types: Iterable[str] = (),
    description: str = "",
    with_private: bool = False,
) -> tuple[Endpoint, str]:
    """Make an endpoint and return it with its secret, which nobody can read again. No types: all of them.

    `with_private`: it hears of prompts in private collections, too.
    Raises AddressRefused, UnknownEventType, TooManyWebhooks.
    """
    _require(actor, team_id)
    addresses.parse(url)
    types = _checked(event_types)
    secret = signing.new_secret()
    with transaction.atomic():
        # Endpoints are made one after the other, so that they can be counted.
        Team.objects.select_for_update(no_key=True).get(pk=team_id)
        if Endpoint.objects.filter(team_id=team_id).count() >= MOST:
            raise TooManyWebhooks(most=MOST)
        endpoint = Endpoint.objects.create(
            team_id=team_id,
            url=url,
            sealed_secret=seal(secret),
            event_types=" ".join(types),
            description=description,
            with_private=with_private,
            created_by_id=actor.user_id,
        )
        after = {"host": endpoint.host, "event_types": types, "with_private": with_private}
        record(actor, "webhook.created", endpoint, team_id=team_id, after=after)
    return endpoint, secret


def update_endpoint(actor: Principal, endpoint: Endpoint, changes: EndpointChanges) -> tuple[Endpoint, str]:
    """Change an endpoint; return it with a new secret if its address changed, else with "".

    Another address never inherits a secret: who could re-point an endpoint could otherwise speak in our name elsewhere.
    Raises AddressRefused, UnknownEventType, WebhookNotFound.
    """
    _require(actor, endpoint.team_id)
    secret = ""
    with transaction.atomic():
        locked = _locked(endpoint)
        was = _facts(locked)
        if changes.url is not None and changes.url != locked.url:
            addresses.parse(changes.url)
            secret = signing.new_secret()
            locked.url, locked.sealed_secret = changes.url, seal(secret)
            locked.old_sealed_secret, locked.old_secret_until = "", None
        if changes.event_types is not None:
            locked.event_types = " ".join(_checked(changes.event_types))
        if changes.description is not None:
            locked.description = changes.description
        if changes.with_private is not None:
            locked.with_private = changes.with_private
        if changes.is_active is not None and changes.is_active != locked.is_active:
            _switch(locked, changes.is_active)
        now = _facts(locked)
        changed = [name for name in now if now[name] != was[name]]
        if changed or secret:
            locked.save()
            before = {name: was[name] for name in changed}
            after = {**{name: now[name] for name in changed}, **({"address": "changed"} if secret else {})}
            record(actor, "webhook.changed", locked, team_id=locked.team_id, before=before, after=after)
    return locked, secret


def rotate_secret(actor: Principal, endpoint: Endpoint, *, overlap: timedelta = OVERLAP) -> tuple[Endpoint, str]:
    """Replace the secret and return the new one; the old one signs as well until `overlap` is over."""
    _require(actor, endpoint.team_id)
    secret = signing.new_secret()
    with transaction.atomic():
        locked = _locked(endpoint)
        locked.old_sealed_secret, locked.old_secret_until = locked.sealed_secret, timezone.now() + overlap
        locked.sealed_secret = seal(secret)
        locked.save(update_fields=["sealed_secret", "old_sealed_secret", "old_secret_until"])
        after = {"old_signs_until": locked.old_secret_until.isoformat()}
        record(actor, "webhook.rotated", locked, team_id=locked.team_id, after=after)
    return locked, secret


def remove_endpoint(actor: Principal, endpoint: Endpoint) -> None:
    """Remove an endpoint with its deliveries; what was not delivered is not sent. Raises WebhookNotFound."""
    _require(actor, endpoint.team_id)
    with transaction.atomic():
        locked = _locked(endpoint)
        record(actor, "webhook.removed", locked, team_id=locked.team_id, before={"host": locked.host})
        locked.delete()


def send_test(actor: Principal, endpoint: Endpoint) -> Delivery:
    """Send the endpoint, and no other, an event `webhook.test`. Raises WebhookOff."""
    _require(actor, endpoint.team_id)
    with transaction.atomic():
        locked = _locked(endpoint)
        _require_on(locked)
        data = {"webhook": locked.pk, "actor": actor.label}
        event = outbox.emit(locked.team_id, outbox.TEST_TYPE, data, about=f"webhooks/{locked.pk}")
        event.fanned_out_at = timezone.now()
        event.save(update_fields=["fanned_out_at"])
        delivery: Delivery = Delivery.objects.create(endpoint=locked, event=event)
        record(actor, "webhook.tested", locked, team_id=locked.team_id)
    return delivery


def replay(actor: Principal, delivery: Delivery) -> Delivery:
    """Send a delivery again from the first attempt on, under the same webhook-id. Raises WebhookOff."""
    _require(actor, delivery.endpoint.team_id)
    with transaction.atomic():
        endpoint = _locked(delivery.endpoint)
        _require_on(endpoint)
        again: Delivery = Delivery.objects.select_for_update(no_key=True).get(pk=delivery.pk)
        again.state, again.attempts, again.next_at = Delivery.State.WAITING, 0, timezone.now()
        again.save(update_fields=["state", "attempts", "next_at"])
        after = {"event": delivery.event.type, "webhook_id": delivery.event.webhook_id}
        record(actor, "webhook.replayed", endpoint, team_id=endpoint.team_id, after=after)
        enqueue_on_commit(outbox.SEND_TASK)
    return again


def _require(actor: Principal, team_id: int) -> None:
    """Raise unless `actor` manages webhooks. A key limited to environments does not: endpoints hear of all of them."""
    require(actor, CAPABILITY, team_id)
    require_environment(actor, "")


def _locked(endpoint: Endpoint) -> Endpoint:
    locked: Endpoint | None = Endpoint.objects.select_for_update(no_key=True).filter(pk=endpoint.pk).first()
    if locked is None:
        raise WebhookNotFound
    return locked


def _require_on(endpoint: Endpoint) -> None:
    if not endpoint.is_active:
        raise WebhookOff(host=endpoint.host)


def _switch(endpoint: Endpoint, is_active: bool) -> None:
    endpoint.is_active = is_active
    endpoint.disabled_at = None if is_active else timezone.now()
    endpoint.disabled_reason = ""
    endpoint.failing_since = None


def _facts(endpoint: Endpoint) -> dict[str, Any]:
    """Return what the activity log may know of an endpoint."""
    return {
        "host": endpoint.host,
        "event_types": endpoint.event_list,
        "description": endpoint.description,
        "with_private": endpoint.with_private,
        "is_active": endpoint.is_active,
    }


def _checked(event_types: Iterable[str]) -> list[str]:
    """Return the types in our order, once each. Raises UnknownEventType."""
    wanted = set(event_types)
    for unknown in sorted(wanted - set(outbox.TYPES)):
        error = UnknownEventType(type=unknown, known=", ".join(outbox.TYPES))
        error.problems = (FieldProblem("event_types", error.detail, error.code),)
        raise error
    return [known for known in outbox.TYPES if known in wanted]
