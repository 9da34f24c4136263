"""`/ofrep/v1/`: OpenFeature's remote evaluation protocol 0.3. Experiments are its flags. Plain ASGI, before Django.

Errors have the protocol's shape and always say both `errorCode` and `errorDetails`: its clients read both. Evaluating
records nothing; who shows the text says so with the receipt in `metadata` (`POST /exposures`), or asks the gateway.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from promptlab_sdk.kernel.assignment import MAX_UNIT_ID

from experiments.api.delivery import environment_asked, reading_team, spend
from experiments.api.ready import matches
from experiments.errors import ExperimentNotFound
from experiments.flags import Evaluation, UnitMissing, aevaluate, aplace, aplaces
from promptlab.accounts.access import Principal, require_environment
from promptlab.accounts.auth import aauthenticate
from promptlab.lib import jsonbody, problem
from promptlab.lib.asgi import ClientGone, Handler, Request, Response, Route, json_response, known
from promptlab.lib.errors import DomainError, Invalid, TooLarge

MOST_BYTES = 64 * 1024
METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
VARY = {"Vary": "Authorization, X-API-Key"}
NO_UNIT = "The experiment splits its users: send context.targetingKey, who is asked for."

Json = dict[str, Any]
Answering = Callable[[Request, Principal], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Failure(Exception):
    """An error as the protocol names it."""

    status: int
    code: str
    detail: str

    def body(self, key: str = "") -> Json:
        return {**({"key": key} if key else {}), "errorCode": self.code, "errorDetails": self.detail}


async def evaluate(request: Request, principal: Principal) -> Response:
    """Answer what one flag is for whom the context names."""
    key = request.params["key"]
    unit_id, attributes = await _context(request)
    team_id = reading_team(principal, principal.default_environment)
    try:
        place = await aplace(team_id, key)
    except ExperimentNotFound as error:
        raise Failure(404, "FLAG_NOT_FOUND", error.detail) from error
    require_environment(principal, place.environment)
    try:
        return json_response(_success(await aevaluate(team_id, place, unit_id, attributes)), headers=VARY)
    except UnitMissing as error:
        raise _nobody(error) from error


async def evaluate_all(request: Request, principal: Principal) -> Response:
    """Answer what every flag of the caller's environment is; 304 when the caller has exactly this."""
    unit_id, attributes = await _context(request)
    environment = environment_asked(request.query, principal)
    team_id = reading_team(principal, environment)
    flags: list[Json] = []
    for place in await aplaces(team_id, environment):
        try:
            flags.append(_success(await aevaluate(team_id, place, unit_id, attributes)))
        except UnitMissing as error:
            flags.append(_nobody(error).body(place.key))
    answer = json_response({"flags": flags})
    etag = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", **VARY}
    if matches(request.headers.get("if-none-match", ""), etag):
        return Response(status=304, headers=headers)
    return replace(answer, headers={**answer.headers, **headers})


def _nobody(error: UnitMissing) -> Failure:
    """Return what to say where nobody was named whom the experiment could deal."""
    if not error.attribute:
        return Failure(400, "TARGETING_KEY_MISSING", NO_UNIT)
    return Failure(
        400, "INVALID_CONTEXT", f"The experiment splits by {error.attribute}: send it in context, as a text."
    )


def _success(found: Evaluation) -> Json:
    """Return an evaluation. Without `value` the application takes its own default; metadata are plain values."""
    said: Json = {"key": found.place.key, "reason": found.reason, "variant": found.variant}
    metadata: Json = {"environment": found.place.environment}
    if found.phase is not None:
        metadata["phase"] = found.phase
    if found.is_forced:
        metadata["forced"] = True
    if found.unit:
        metadata["unit_id"] = found.unit
    prompt = found.prompt
    if prompt is not None:
        said["value"] = {
            "prompt": prompt.name,
            "version": prompt.version,
            "version_string": prompt.version_string,
        }
        metadata["receipt"] = prompt.receipt
    return {**said, "metadata": metadata}


async def _context(request: Request) -> tuple[str, Json]:
    """Return whom the context names, "" for nobody, and the attributes. Raises Failure for what is no context."""
    raw = await request.body()
    if len(raw) > MOST_BYTES:
        raise TooLarge(f"The body is larger than {MOST_BYTES} bytes.", limit=MOST_BYTES)
    try:
        body = jsonbody.loads(raw)
    except Invalid as error:
        raise Failure(400, "PARSE_ERROR", error.detail) from error
    if not isinstance(body, dict):
        raise Failure(400, "PARSE_ERROR", "The body is a JSON object.")
    context = body.get("context", {})
    if not isinstance(context, dict):
        raise Failure(400, "INVALID_CONTEXT", "context is an object.")
    unit_id = context.get("targetingKey") or ""
    if not isinstance(unit_id, str):
        raise Failure(400, "INVALID_CONTEXT", "context.targetingKey is text: numbers print differently elsewhere.")
    if len(unit_id) > MAX_UNIT_ID:
        raise Failure(400, "INVALID_CONTEXT", f"context.targetingKey has at most {MAX_UNIT_ID} characters.")
    attributes = {name: value for name, value in context.items() if name != "targetingKey"}
    # What is no attribute of ours fulfils no condition; an application may have such for others.
    return unit_id, attributes


def face(answering: Answering) -> Handler:
    """Return the handler that authenticates, counts the call, and tells errors in the protocol's shape."""

    async def handler(request: Request) -> Response:
        try:
            principal = await aauthenticate(request.headers)
            spend(principal)
            return await answering(request, principal)
        except ClientGone:
            raise
        except Failure as failure:
            return json_response(failure.body(request.params.get("key", "")), status=failure.status, headers=VARY)
        except Exception as error:  # noqa: BLE001  (whatever it is, the caller gets an answer)
            return on_error(known(error), request.params.get("key", ""))

    return handler


def on_error(error: DomainError, key: str = "") -> Response:
    """Return what went wrong outside of evaluating: who calls, how often, how much, or on our side."""
    body = Failure(error.status, "GENERAL", error.detail).body(key)
    return json_response(
        body, status=error.status, headers={**problem.headers(error), "Content-Type": "application/json"}
    )


async def anything_else(request: Request) -> Response:
    """Answer 404, or 405 where POST would do, as JSON; nobody needs a key to learn that."""
    path = request.scope["path"]
    if any(one.pattern.match(path) for one in ROUTES[:2]):
        body = Failure(405, "GENERAL", f"{path[:200]} takes POST, not {request.method}.").body()
        return json_response(body, status=405, headers={"Allow": "POST"})
    return json_response(Failure(404, "GENERAL", f"There is nothing at {path[:200]}.").body(), status=404)


_POST = frozenset({"POST"})
ROUTES = [
    Route(_POST, re.compile(r"/ofrep/v1/evaluate/flags/(?P<key>[^/]+)/?\Z"), face(evaluate), on_error=on_error),
    Route(_POST, re.compile(r"/ofrep/v1/evaluate/flags/?\Z"), face(evaluate_all), on_error=on_error),
    Route(METHODS, re.compile(r"/ofrep/(?s:.*)\Z"), anything_else, on_error=on_error),
]
