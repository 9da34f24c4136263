"""`GET /feedback/export`: plain ASGI, a file that is written while it is sent, as long as the caller reads."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

from feedback.api.moments import moment
from feedback.exporting import as_csv, as_jsonl, csv_head, rows_after
from feedback.results import READ
from promptlab.accounts.auth import aauthenticate
from promptlab.accounts.drf import calls
from promptlab.lib.asgi import EventStream, Request, route
from promptlab.lib.errors import Invalid
from promptlab.lib.jsonbody import check_text
from promptlab.lib.openapi import hot_paths, operation
from promptlab.lib.ratelimit import acheck
from promptlab.lib.threads import run_db

TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
FILTERS = ("prompt", "metric", "since")


async def export(request: Request) -> EventStream:
    """Send every rating, oldest first, as JSON lines or CSV."""
    principal = await aauthenticate(request.headers)
    verdict = (await acheck(calls(principal), f"key:{principal.id}")).enforce()
    if not principal.may_anywhere(READ):
        principal.team_for(READ)
    query = request.query
    wanted = query.get("format", "jsonl")
    if wanted not in TYPES:
        raise Invalid.field("format", f"Formats: {', '.join(TYPES)}.")
    for name in FILTERS:
        check_text(query.get(name, ""), name)
    narrowed_by: dict[str, Any] = {name: query.get(name, "") for name in ("prompt", "metric")}
    narrowed_by["since"] = moment(query.get("since", ""))
    headers = {
        "Content-Type": TYPES[wanted],
        "Content-Disposition": f'attachment; filename="ratings.{wanted}"',
        "Cache-Control": "no-store",
    }
    pages = partial(rows_after, principal, **narrowed_by)
    return EventStream(_written(pages, wanted), headers={**verdict.headers(), **headers})


async def _written(pages: Any, wanted: str) -> AsyncGenerator[bytes]:
    if wanted == "csv":
        yield csv_head()
    last = 0
    while True:
        rows, last = await run_db(pages, last)
        if rows:
            yield as_csv(rows) if wanted == "csv" else as_jsonl(rows)
        if not last:
            return


ROUTES = [route("GET", "/feedback/export", export)]
hot_paths["/api/v1/feedback/export"] = {
    "get": operation("Export ratings", tag="feedback", parameters=("format", *FILTERS))
}
_answer = hot_paths["/api/v1/feedback/export"]["get"]["responses"]["200"]
_answer["content"] = {kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in TYPES.values()}
