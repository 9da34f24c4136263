"""Reads: ratings as rows of a file. One page of rows at a time, however many there are."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from feedback.models import Feedback
from feedback.results import READ, of_prompt
from promptlab.accounts.access import Principal
from promptlab.lib.sheets import harmless

PAGE = 200
"""Ratings that are in memory at once."""
COLUMNS = (
    "id", "message_id", "metric", "value", "comment", "correction", "source", "user", "prompt", "version",
    "version_string", "environment", "experiment", "variant", "model", "created_at", "updated_at",
)  # fmt: skip
Row = dict[str, Any]


def rows_after(
    principal: Principal, last: int, *, prompt: str = "", metric: str = "", since: datetime | None = None
) -> tuple[list[Row], int]:
    """Return the next rows of what the principal may read, oldest first, and the id to go on after; 0 at the end."""
    path = "message__version__prompt__"
    rows = Feedback.objects.visible_to(principal, READ).standing().with_hidden(principal, path).filter(pk__gt=last)
    if prompt:
        # What is private to others is not found by its name: a guess would be confirmed.
        rows = rows.filter(of_prompt(prompt, path), is_hidden=False)
    if metric:
        rows = rows.filter(metric=metric)
    if since is not None:
        rows = rows.filter(updated_at__gte=since)
    named = ("message__version__prompt", "message__environment", "message__experiment", "message__served_variant")
    texts = ("message__content", "message__variables", "message__version__text", "message__version__messages")
    page = list(rows.select_related(*named).defer(*texts).order_by("pk")[:PAGE])
    return [_row(rating) for rating in page], page[-1].pk if len(page) == PAGE else 0


def _row(rating: Any) -> Row:
    answer, is_hidden = rating.message, rating.is_hidden
    version = answer.version
    return {
        "id": str(rating.uid),
        "message_id": str(answer.uid),
        "metric": rating.metric,
        "value": rating.said,
        "comment": rating.comment,
        "correction": rating.text if rating.said != rating.text else "",
        "source": rating.source,
        "user": rating.rater,
        "prompt": version.prompt.name if version and not is_hidden else None,
        "version": version.number if version else None,
        "version_string": version.version_string if version else None,
        "environment": answer.environment.name if answer.environment else None,
        "experiment": answer.experiment.key if answer.experiment and not is_hidden else None,
        "variant": answer.served_variant.key if answer.served_variant and not is_hidden else None,
        "model": answer.model,
        "created_at": rating.created_at.isoformat(),
        "updated_at": rating.updated_at.isoformat(),
    }


def as_jsonl(rows: Sequence[Row]) -> bytes:
    """Return one JSON object a line."""
    return "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows).encode()


def as_csv(rows: Sequence[Row]) -> bytes:
    """Return one line a row, without the head; no cell is a formula."""
    return _written([harmless(row[name]) for name in COLUMNS] for row in rows)


def csv_head() -> bytes:
    """Return the names of the columns."""
    return _written([COLUMNS])


def _written(rows: Iterable[Sequence[object]]) -> bytes:
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return file.getvalue().encode()
