"""Reads: what was said, message by message, as rows of a file. One page of rows at a time, however many there are."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from promptlab.accounts.access import Principal
from promptlab.chat.models import Conversation, Message
from promptlab.lib.sheets import harmless

PAGE = 100
"""Messages that are in memory at once."""
COLUMNS = (
    "conversation_id", "title", "session", "prompt", "version", "environment", "experiment", "variant", "unit_id",
    "message_id", "role", "purpose", "state", "created_at", "ended_at", "content", "variables", "tool_calls", "model",
    "provider", "finish_reason", "error_code", "input_tokens", "output_tokens", "cost_usd", "is_cached", "latency_ms",
    "first_token_ms", "purged_at",
)  # fmt: skip
NAMED = ("conversation__prompt", "version__prompt", "experiment", "served_variant")
Row = dict[str, Any]


def rows_after(principal: Principal, narrowed_by: dict[str, Any], message_id: int) -> tuple[list[Row], int]:
    """Return the next rows of what the principal may read, oldest first, and the id to go on after; 0 at the end."""
    talks = Conversation.objects.narrowed_for(principal, **narrowed_by).values("pk")
    rows = Message.objects.filter(conversation__in=talks, pk__gt=message_id).select_related(*NAMED)
    rows = rows.with_hidden(principal, "version__prompt__", "conversation__prompt__")
    page = list(rows.defer("version__text", "version__messages").order_by("pk")[:PAGE])
    return [row_of(message) for message in page], page[-1].pk if len(page) == PAGE else 0


def row_of(message: Any) -> Row:
    """Return a message as a row: times in ISO 8601, money as text so that no digit is lost, unknown as None.

    What is private to others is not named: neither the prompt nor its experiment.
    """
    is_hidden = message.is_hidden
    talk = message.conversation
    row = {name: getattr(message, name) for name in COLUMNS if hasattr(message, name)}
    return {
        **dict.fromkeys(COLUMNS),
        **row,
        "conversation_id": str(talk.uid),
        "title": talk.title,
        "session": talk.session,
        "prompt": talk.prompt.name if talk.prompt and not is_hidden else None,
        "version": message.version.number if message.version else None,
        "environment": talk.environment,
        "experiment": message.experiment.key if message.experiment and not is_hidden else None,
        "variant": message.served_variant.key if message.served_variant and not is_hidden else None,
        "message_id": str(message.uid),
        "created_at": message.created_at.isoformat(),
        "ended_at": message.ended_at.isoformat() if message.ended_at else None,
        "purged_at": message.purged_at.isoformat() if message.purged_at else None,
        "cost_usd": str(message.cost_usd) if message.cost_usd is not None else None,
    }


def as_jsonl(rows: Sequence[Row]) -> bytes:
    """Return one JSON object a line."""
    return "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows).encode()


def as_csv(rows: Sequence[Row]) -> bytes:
    """Return one line a row, without the head; no cell is a formula."""
    return _written([harmless(_cell(row[name])) for name in COLUMNS] for row in rows)


def csv_head() -> bytes:
    """Return the names of the columns."""
    return _written(iter([list(COLUMNS)]))


def _written(rows: Iterator[list[object]]) -> bytes:
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return file.getvalue().encode()


def _cell(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
