"""`POST /heartbeats`: plain ASGI. A process says which revision it serves, every few seconds."""

from __future__ import annotations

from django.conf import settings

from promptlab.accounts.access import Principal
from promptlab.accounts.auth import aauthenticate
from promptlab.lib.asgi import Request, Response, route
from promptlab.lib.errors import Forbidden, Invalid
from promptlab.lib.jsonbody import JSONValue
from promptlab.lib.openapi import hot_paths, operation
from promptlab.lib.ratelimit import Limit, check_here
from promptlab.lib.threads import run_db
from prompts.services import serving
from prompts.services.serving import Heartbeat

LONGEST = {"environment": 36, "host": 100, "process": 100, "sdk": 60, "version": 40}
MAX_AGE_MS = 86_400_000


async def heartbeat(request: Request) -> Response:
    """Note what the process serves: 204."""
    principal = await aauthenticate(request.headers)
    check_here(Limit("heartbeats", settings.RATE_LIMIT_HEARTBEATS_PER_MINUTE, 60), f"key:{principal.id}").enforce()
    said = read(await request.json_object(), principal)
    if not serving.report_soon(principal, _team(principal), said):
        await run_db(serving.report, principal, _team(principal), said)
    return Response(
        status=204, headers={"X-PromptLab-Heartbeat": str(serving.HEARTBEAT_S), "Cache-Control": "no-store"}
    )


def read(body: dict[str, JSONValue], principal: Principal) -> Heartbeat:
    """Return what a body says. Raises Invalid naming the field."""
    words = {name: _text(body, name) for name in LONGEST}
    for name in ("host", "process"):
        if not words[name]:
            raise Invalid.field(name, f"Say the {name}, so that it can be told apart.", code="required")
    return Heartbeat(
        environment=words["environment"] or principal.default_environment,
        revision=_number(body, "revision", 2**63 - 1, is_required=not body.get("leaving")),
        host=words["host"],
        process=words["process"],
        client=words["sdk"],
        client_version=words["version"],
        age_ms=_number(body, "age_ms", MAX_AGE_MS),
        is_leaving=body.get("leaving") is True,
    )


def _team(principal: Principal) -> int:
    teams = principal.teams_with("prompt.read")
    if not teams:
        raise Forbidden("This key may not fetch prompts. It needs the scope read.", needs="prompt.read")
    return teams[0]


def _text(body: dict[str, JSONValue], name: str) -> str:
    value = body.get(name)
    value = "" if value is None else value
    if not isinstance(value, str):
        raise Invalid.field(name, "This must be text.")
    if len(value) > LONGEST[name]:
        raise Invalid.field(name, f"At most {LONGEST[name]} characters.", code="too_long")
    return value.strip()


def _number(body: dict[str, JSONValue], name: str, highest: int, *, is_required: bool = False) -> int:
    value = body.get(name)
    if value is None and not is_required:
        return 0
    if type(value) is not int or not 0 <= value <= highest:
        code = "required" if value is None else "invalid"
        raise Invalid.field(name, f"This is a whole number from 0 to {highest}.", code=code)
    return value


ROUTES = [route("POST", "/heartbeats", heartbeat)]

_BODY = {
    "type": "object",
    "required": ["revision", "host", "process"],
    "properties": {
        **{name: {"type": "string", "maxLength": longest} for name, longest in LONGEST.items()},
        "revision": {"type": "integer", "minimum": 0},
        "age_ms": {"type": "integer", "minimum": 0, "maximum": MAX_AGE_MS},
        "leaving": {"type": "boolean"},
    },
}
hot_paths["/api/v1/heartbeats"] = {
    "post": operation("Say which revision this process serves", tag="deployments", body=_BODY, status=204)
}
