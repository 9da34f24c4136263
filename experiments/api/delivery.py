"""`GET /prompts/{name}/deployed/`: plain ASGI, before Django. What it has answered lies `ready` for whoever asks again."""

from __future__ import annotations

from urllib.parse import quote

from django.conf import settings

from experiments.api import ready
from experiments.delivery import adeliver
from experiments.entries import Entry
from promptlab.accounts.access import Principal, require_environment
from promptlab.accounts.auth import acheck
from promptlab.lib.asgi import Request, Response, route
from promptlab.lib.errors import Forbidden
from promptlab.lib.openapi import hot_paths, operation
from promptlab.lib.ratelimit import Limit, Verdict, budget, check_here
from prompts.services.counting import fetched

CACHE_CONTROL = "private, max-age=60, stale-while-revalidate=600, stale-if-error=86400"


def _limit() -> Limit:
    return Limit("deliveries", settings.RATE_LIMIT_DELIVERY_PER_MINUTE, 60)


def spend(principal: Principal) -> Verdict:
    """Count one fetch against the caller's budget of this process. Raises RateLimited."""
    return check_here(_limit(), f"key:{principal.id}").enforce()


def reading_team(principal: Principal, environment: str) -> int:
    """Return the team whose prompts this caller fetches. Raises Forbidden without the right, or outside its environments."""
    teams = principal.teams_with("prompt.read")
    if not teams:
        raise Forbidden("This key may not fetch prompts. It needs the scope read.", needs="prompt.read")
    require_environment(principal, environment)
    return teams[0]


def _deprecation(entry: Entry) -> dict[str, str]:
    """Return what an answer under a former name adds: since when it is one, and where to ask instead."""
    if entry.deprecated_at is None:
        return {}
    successor = f"/api/v1/prompts/{entry.prompt_name}/deployed/?environment={quote(entry.environment)}"
    return {"Deprecation": f"@{entry.deprecated_at}", "Link": f'<{successor}>; rel="successor-version"'}


def environment_asked(query: dict[str, str], principal: Principal) -> str:
    """Return the environment that is meant: the one named, else the caller's own."""
    return query.get("environment") or query.get("env") or principal.default_environment


async def deployed(request: Request) -> Response:
    """Answer with the live version and the experiment on it; 304 when the caller has it, 404 naming what is missing."""
    checked = await acheck(request.headers)
    environment = environment_asked(request.query, checked.principal)
    team_id = reading_team(checked.principal, environment)
    spend(checked.principal)
    key = (team_id, environment, request.params["name"])
    entry = await adeliver(*key)
    fetched.add(entry.prompt_id)
    headers = _headers(entry)
    ready.keep(request.scope, checked, budget(_limit(), f"key:{checked.principal.id}"), key, entry, headers)
    if ready.matches(request.headers.get("if-none-match", ""), entry.etag):
        return Response(status=304, headers=headers)
    return Response(entry.body, headers={**headers, "Content-Type": "application/json"})


def _headers(entry: Entry) -> dict[str, str]:
    return {
        "ETag": entry.etag,
        "Cache-Control": CACHE_CONTROL,
        "Vary": "Authorization, X-API-Key",
        "X-PromptLab-Revision": str(entry.revision),
        **_deprecation(entry),
    }


ROUTES = [route("GET HEAD", "/prompts/{name}/deployed", deployed)]

hot_paths["/api/v1/prompts/{name}/deployed"] = {
    "get": operation("Fetch the live version", tag="prompts", parameters=("{name}", "environment"))
}
