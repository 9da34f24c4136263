"""Saying that something happened: a row in the same transaction. What is rolled back is never told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from promptlab.hooks.models import OutboxEvent
from promptlab.lib.queue import enqueue_on_commit

SEND_TASK = "hooks.fan_out_and_send"
TEST_TYPE = "webhook.test"
TYPES = (
    "prompt.created",
    "prompt.updated",
    "prompt.archived",
    "version.created",
    "deployment.created",
    "deployment.rolled_back",
    "experiment.started",
    "experiment.paused",
    "experiment.resumed",
    "experiment.stopped",
    "experiment.killed",
    "experiment.concluded",
    "experiment.conclusion_asked",
    "experiment.conclusion_refused",
    "ramp.started",
    "ramp.advanced",
    "ramp.held",
    "ramp.resumed",
    "ramp.rolled_back",
    "ramp.completed",
    "ramp.aborted",
    "budget.exceeded",
    "suite.finished",
    "optimiser.ended",
    "suite.drifted",
)
"""What can be asked for: exactly what happens somewhere in the house (tests/hooks/test_sending.py)."""
MAX_BYTES = 18_000
"""Of an event's data; with its envelope a request stays below 20 kB."""


def emit(team_id: int, type: str, data: Mapping[str, Any], *, about: str, is_private: bool = False) -> OutboxEvent:
    """Write that `type` happened in the team. `data`: names, numbers and labels, no texts. `about`: `prompts/greeting`.

    `is_private`: it names what only some of the team may see; only webhooks that were told so hear of it.

    Belongs into the caller's transaction. Raises ValueError for an unknown type or too much data.
    """
    if type not in (*TYPES, TEST_TYPE):
        raise ValueError(f"{type!r} is no type of event.")
    if len(json.dumps(data, ensure_ascii=False).encode()) > MAX_BYTES:
        raise ValueError(f"The data of {type} is longer than {MAX_BYTES} bytes.")
    assert transaction.get_connection().in_atomic_block, "An event is written in the transaction that it tells of."
    event: OutboxEvent = OutboxEvent.objects.create(
        team_id=team_id, type=type, data=dict(data), about=about[:300], is_private=is_private
    )
    enqueue_on_commit(SEND_TASK)
    return event
