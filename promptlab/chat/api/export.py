"""`GET /conversations/export`: plain ASGI, a file that is written while it is sent, as long as the caller reads."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from promptlab.accounts.access import Principal
from promptlab.accounts.auth import aauthenticate
from promptlab.accounts.drf import calls
from promptlab.chat.api.conversations import NarrowedBy
from promptlab.chat.exporting import as_csv, as_jsonl, csv_head, rows_after
from promptlab.lib.asgi import EventStream, Request, route
from promptlab.lib.drf import translate
from promptlab.lib.errors import Forbidden, Invalid
from promptlab.lib.openapi import hot_paths, operation
from promptlab.lib.ratelimit import acheck
from promptlab.lib.threads import run_db

TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
FILTERS = ("prompt", "environment", "unit_id", "session", "archived", "since")


async def export(request: Request) -> EventStream:
    """Send every message of the conversations, oldest first, as JSON lines or CSV."""
    principal = await aauthenticate(request.headers)
    verdict = (await acheck(calls(principal), f"key:{principal.id}")).enforce()
    if not principal.may_anywhere("chat.read"):
        raise Forbidden("This key may not do this. It needs the scope read.", needs="chat.read")
    query = request.query
    wanted = query.get("format", "jsonl")
    if wanted not in TYPES:
        raise Invalid.field("format", f"Formats: {', '.join(TYPES)}.")
    narrowed_by = _narrowed_by(query)
    headers = {
        "Content-Type": TYPES[wanted],
        "Content-Disposition": f'attachment; filename="conversations.{wanted}"',
        "Cache-Control": "no-store",
    }
    return EventStream(_written(principal, narrowed_by, wanted), headers={**verdict.headers(), **headers})


def _narrowed_by(query: dict[str, str]) -> dict[str, Any]:
    """Return the filters; without `archived`, what was put away is there too. Raises Invalid naming the field."""
    asked = NarrowedBy(data={name: query[name] for name in FILTERS if name in query})
    try:
        asked.is_valid(raise_exception=True)
    except Exception as error:
        ours = translate(error)
        if ours is None:
            raise
        raise ours from error
    return {**asked.validated_data, **({} if "archived" in query else {"archived": None})}


async def _written(principal: Principal, narrowed_by: dict[str, Any], wanted: str) -> AsyncGenerator[bytes]:
    if wanted == "csv":
        yield csv_head()
    last = 0
    while True:
        rows, last = await run_db(rows_after, principal, narrowed_by, last)
        if rows:
            yield as_csv(rows) if wanted == "csv" else as_jsonl(rows)
        if not last:
            return


ROUTES = [route("GET", "/conversations/export", export)]
hot_paths["/api/v1/conversations/export"] = {
    "get": operation("Export conversations", tag="conversations", parameters=("format", *FILTERS))
}
_answer = hot_paths["/api/v1/conversations/export"]["get"]["responses"]["200"]
_answer["content"] = {kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in TYPES.values()}
