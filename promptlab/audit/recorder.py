"""Writing the activity log. Services call `record` inside their own transaction; there is no other way in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from django.conf import settings
from django.db import models
from django.utils import translation

from promptlab.audit.models import AuditEntry
from promptlab.lib import logs

log = logs.get_logger(__name__)


class Actor(Protocol):
    """Who acts: a person, a key, or the system itself."""

    @property
    def kind(self) -> str: ...
    @property
    def id(self) -> int | None: ...
    @property
    def label(self) -> str: ...


def record(
    actor: Actor,
    verb: str,
    target: models.Model,
    *,
    team_id: int | None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    note: str = "",
) -> AuditEntry:
    """Write one entry: `actor` did `verb` (such as "prompt.created") to `target`.

    `before` and `after` hold JSON values of the fields that changed; never secrets, never whole texts of messages.
    """
    with translation.override(settings.LANGUAGE_CODE):  # one label for all readers
        label = str(target)[:300]
    entry = AuditEntry.objects.create(
        team_id=team_id,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_label=actor.label[:200],
        verb=verb,
        target_type=target._meta.label_lower,
        target_id=str(target.pk),
        target_label=label,
        before=dict(before or {}),
        after=dict(after or {}),
        note=note,
        request_id=logs.request_id(),
        address=logs.client_address(),
    )
    log.info("audit", verb=verb, target=entry.target_type, target_id=entry.target_id, actor=actor.kind, by=actor.id)
    return entry
