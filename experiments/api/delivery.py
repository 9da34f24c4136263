"""`GET /prompts/{name}/deployed/`: plain ASGI, before Django. Key, limit, one look-up, one compare, bytes.

`deployed` is the whole route. `quick` answers what `deployed` has answered before: the same key, to which nothing
happened, asks for what is in memory and fresh. Everything else it leaves to the route.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import quote

from django.conf import settings

from experiments.delivery import Entry, adeliver, entries
from promptlab.accounts.access import Principal, require_environment
from promptlab.accounts.auth import Checked, acheck
from promptlab.lib.asgi import Message, Request, Response, Scope, route
from promptlab.lib.errors import Forbidden
from promptlab.lib.logs import REQUEST_ID, new_request_id
from promptlab.lib.openapi import hot_paths, operation
from promptlab.lib.ratelimit import Budget, Limit, Verdict, budget, check_here
from promptlab.lib.tally import Tally
from prompts.services.counting import fetched

CACHE_CONTROL = "private, max-age=60, stale-while-revalidate=600, stale-if-error=86400"


MAX_CALLERS = 10_000
MAX_QUERIES = 1000
DEPLOYED = "/deployed"
SLASHES = frozenset({"", "/"})
KEY_HEADERS = frozenset({b"x-api-key", b"authorization"})
STARTS = frozenset({"/prompts", "/api/v1/prompts"})
served = Tally("deployed")


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


def matches(if_none_match: str, etag: str) -> bool:
    """Tell whether the caller has this state already. Weak tags count: proxies weaken what they compress."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or "*" in tags


def _deprecation(entry: Entry) -> dict[str, str]:
    """Return what an answer under a former name adds: since when it is one, and where to ask instead."""
    if entry.deprecated_at is None:
        return {}
    name, environment = entry.delivery.prompt.name, quote(entry.delivery.environment)
    successor = f"/api/v1/prompts/{name}/deployed/?environment={environment}"
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
    entry = await adeliver(team_id, environment, request.params["name"])
    fetched.add(entry.prompt_id)
    _remember(request.scope, checked, environment, team_id)
    headers = _headers(entry)
    if matches(request.headers.get("if-none-match", ""), entry.etag):
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


# What lies ready


@dataclass(slots=True, eq=False)
class _Caller:
    """A key that fetched before: what was found out about it then. `places`: (team, environment) by query string."""

    checked: Checked
    budget: Budget
    places: dict[bytes, tuple[int, str]] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Ready:
    """An entry's answers, but for the request's id."""

    etag: bytes
    headers: list[tuple[bytes, bytes]]
    headers_304: list[tuple[bytes, bytes]]
    body: Message


_callers: OrderedDict[bytes, _Caller] = OrderedDict()
"""By the digest of the header that names the key."""
_END: Message = {"type": "http.response.body", "body": b""}


def quick(scope: Scope) -> tuple[Message, Message] | None:
    """Return the answer to a fetch that is like an earlier one; None for whatever is not."""
    before, found, end = scope["path"].rpartition(DEPLOYED)
    if not found or end not in SLASHES or scope["method"] != "GET":
        return None
    headers = dict(scope["headers"])
    caller = _caller(headers)
    if caller is None or b"origin" in headers:
        return None
    now = time.monotonic()
    place = caller.places.get(scope["query_string"])
    if place is None or now >= caller.checked.good_until:
        return None
    start, _, name = before.rpartition("/")
    entry = entries.get((place[0], place[1], name))
    if entry is None or start not in STARTS or not entry.known.is_newest(entry.revision, now):
        return None
    if not caller.budget.spend(now):
        return None
    caller.checked.used_at = entry.known.used_at = now
    fetched.add(entry.prompt_id)
    ready: _Ready = entry.ready or _prepare(entry)
    said = (b"x-request-id", _id(headers.get(b"x-request-id")))
    wanted = headers.get(b"if-none-match")
    if wanted is not None and (wanted == ready.etag or matches(wanted.decode("latin-1"), entry.etag)):
        served.not_modified += 1
        return {"type": "http.response.start", "status": 304, "headers": [*ready.headers_304, said]}, _END
    served.ok += 1
    return {"type": "http.response.start", "status": 200, "headers": [*ready.headers, said]}, ready.body


def _caller(headers: dict[bytes, bytes]) -> _Caller | None:
    """Return the caller whom a single header names."""
    named, other = headers.get(b"x-api-key"), headers.get(b"authorization")
    if named is None:
        named, other = other, None
    return _callers.get(sha256(named).digest()) if named is not None and other is None else None


def _id(incoming: bytes | None) -> bytes:
    if incoming is not None and REQUEST_ID.match(text := incoming.decode("latin-1")):
        return text.encode()
    return new_request_id()


def _prepare(entry: Entry) -> _Ready:
    """Make an entry's answers, once."""
    raw = [
        (name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in _headers(entry).items()
    ]
    whole = [*raw, (b"content-type", b"application/json"), (b"content-length", b"%d" % len(entry.body))]
    entry.ready = _Ready(entry.etag.encode(), whole, raw, {"type": "http.response.body", "body": entry.body})
    return entry.ready


def _remember(scope: Scope, checked: Checked, environment: str, team_id: int) -> None:
    """Keep what was found out about this caller and its query, for as long as the key is believed."""
    named = [value for header, value in scope["headers"] if header in KEY_HEADERS]
    if len(named) != 1:
        return
    digest = sha256(named[0]).digest()
    caller = _callers.get(digest)
    if caller is None or caller.checked is not checked:
        caller = _callers[digest] = _Caller(checked, budget(_limit(), f"key:{checked.principal.id}"))
        while len(_callers) > MAX_CALLERS:
            _callers.popitem(last=False)
    if len(caller.places) < MAX_QUERIES:
        caller.places[scope["query_string"]] = (team_id, environment)


ROUTES = [route("GET HEAD", "/prompts/{name}/deployed", deployed)]

hot_paths["/api/v1/prompts/{name}/deployed"] = {
    "get": operation("Fetch the live version", tag="prompts", parameters=("{name}", "environment"))
}
