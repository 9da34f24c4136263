"""Calls that may be sent twice and count once: what an idempotency key stood for, for a day.

The key, the change and what was answered are written in one transaction. So the same call sent at once waits for the
first and is told its answer, and a process that dies leaves nothing that would block the next try.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Replace
from django.utils import timezone

from promptlab.accounts.access import Principal
from promptlab.accounts.errors import CallKeyReused
from promptlab.accounts.models import ApiKey, IdempotentCall, Membership
from promptlab.lib.batches import in_batches
from promptlab.lib.idempotency import fingerprint, key_in
from promptlab.lib.jsonbody import JSONValue

KEPT = timedelta(hours=24)
SWEEP_TASK = "accounts.sweep_idempotent_calls"
MAX_OPERATION = 300
MANY = 500
ROOT = re.compile(r"^/api/v1(?=/)")


@dataclass(frozen=True, slots=True)
class Call:
    """One call with an idempotency key. A key is its caller's own, for one address."""

    caller: str
    operation: str
    key: str
    body_hash: str


def call_of(actor: Principal, method: str, path: str, header: str, body: JSONValue) -> Call | None:
    """Return the call that a request is; None without a key in `header`. Raises Invalid for a malformed key."""
    key = key_in(header)
    if not key:
        return None
    operation = f"{method} {ROOT.sub('', path).rstrip('/')}"
    return Call(f"{actor.kind}:{actor.id}", operation[:MAX_OPERATION], key, fingerprint(body))


def claim(call: Call) -> tuple[IdempotentCall, bool]:
    """Return the row of a call, held until the transaction ends, and whether the call is new.

    Waits for the same call in another transaction. Raises CallKeyReused when the key came with another body.
    """
    named = {"caller": call.caller, "operation": call.operation, "key": call.key}
    row, is_new = IdempotentCall.objects.get_or_create(**named, defaults={"body_hash": call.body_hash})
    if is_new:
        return row, True
    row = IdempotentCall.objects.select_for_update().get(pk=row.pk)
    if row.created_at < timezone.now() - KEPT:
        return _begun_again(row, call), True
    if row.body_hash != call.body_hash:
        raise CallKeyReused
    return row, False


def sweep(now: datetime | None = None, limit: int = 1000) -> int:
    """Forget the calls of the day before and return how many."""
    until = (now or timezone.now()) - KEPT
    return in_batches(lambda most: _sweep_batch(until, most), limit)


@transaction.atomic
def _sweep_batch(until: datetime, limit: int) -> int:
    old = IdempotentCall.objects.filter(created_at__lt=until).select_for_update(skip_locked=True)
    ids = list(old.order_by("created_at").values_list("pk", flat=True)[:limit])
    return IdempotentCall.objects.filter(pk__in=ids).delete()[0]


def forget(team_id: int, subjects: Sequence[str], unit_id: str, stands_for: str) -> None:
    """Forget the calls about some messages, and name an end user otherwise in the answers that a team's callers got."""
    for start in range(0, len(subjects), MANY):
        IdempotentCall.objects.filter(subject__in=subjects[start : start + MANY]).delete()
    keys = ApiKey.objects.filter(team_id=team_id).values_list("pk", flat=True)
    people = Membership.objects.filter(team_id=team_id).values_list("user_id", flat=True)
    callers = [*(f"key:{pk}" for pk in keys), *(f"user:{pk}" for pk in people)]
    said, instead = json.dumps(unit_id), json.dumps(stands_for)
    rows = IdempotentCall.objects.filter(caller__in=callers, body__contains=said)
    rows.update(body=Replace("body", Value(said), Value(instead)))


def _begun_again(row: IdempotentCall, call: Call) -> IdempotentCall:
    """Let a key that nobody remembers stand for another call."""
    row.body_hash, row.subject, row.created_at = call.body_hash, "", timezone.now()
    row.status, row.headers, row.body = None, {}, ""
    row.save()
    return row
