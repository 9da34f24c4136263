"""`POST /feedback`: plain ASGI, before Django. Key, limit, body, one call, 202 once it is committed."""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings

from feedback.services.ingest import Accepted, NewRating, accept, holder_of
from promptlab.accounts.access import Principal
from promptlab.accounts.auth import aauthenticate, credential
from promptlab.lib.asgi import Request, Response, json_response, route
from promptlab.lib.errors import Invalid, Unauthenticated
from promptlab.lib.idempotency import HEADER, REPLAYED, key_in
from promptlab.lib.jsonbody import JSONValue
from promptlab.lib.ratelimit import Limit, Verdict, check_here
from promptlab.lib.threads import run_db


async def rate(request: Request) -> Response:
    """Keep a rating of an answer: 202 with its id; the same key and rating again is told as a replay."""
    if credential(request.headers):
        principal = await aauthenticate(request.headers)
        verdict = spend(principal)
        body = await request.json_object()
    else:
        body = await request.json_object()
        principal, verdict = admit(body)
    rating = read_rating(body, request.headers.get(HEADER, ""))
    accepted = await run_db(accept, principal, rating)
    return json_response(shape(accepted), status=202, headers={**verdict.headers(), **replay_header(accepted)})


def spend(principal: Principal) -> Verdict:
    """Count one rating against the caller's budget of this process. Raises RateLimited."""
    limit = Limit("feedback", settings.RATE_LIMIT_FEEDBACK_PER_MINUTE, 60)
    return check_here(limit, f"{principal.kind}:{principal.id}").enforce()


def admit(body: Mapping[str, JSONValue]) -> tuple[Principal, Verdict]:
    """Return who may rate with the receipt in a body and no key, as from a browser. Raises what `holder_of` raises."""
    token = _text(body, "receipt")
    if not token:
        raise Unauthenticated
    principal = holder_of(token)
    limit = Limit("receipt", settings.RATE_LIMIT_RECEIPT_PER_MINUTE, 60)
    return principal, check_here(limit, f"receipt:{token[-22:]}").enforce()


def read_rating(body: Mapping[str, JSONValue], header: str) -> NewRating:
    """Return the rating in a request. `header`: what `Idempotency-Key` says. Raises Invalid naming the field."""
    metric, value = _metric_and_value(body)
    return NewRating(
        message_id=_subject(body),
        receipt=_text(body, "receipt"),
        metric=metric,
        value=value,
        comment=_text(body, "comment"),
        user=_text(body, "user") or _text(body, "unit_id"),
        answer_id=_text(body, "answer_id"),
        key=_key(body, header),
    )


def shape(accepted: Accepted) -> dict[str, JSONValue]:
    """Return the answer's body."""
    return {
        "feedback_id": accepted.feedback_id,
        "id": accepted.feedback_id,
        "message_id": accepted.message_id,
        accepted.metric: accepted.value,
    }


def replay_header(accepted: Accepted) -> Mapping[str, str]:
    """Return the header of an answer that was given before."""
    return REPLAYED if accepted.is_replay else {}


def _metric_and_value(body: Mapping[str, JSONValue]) -> tuple[str, int]:
    """Read `rating`, or `metric` with `value`."""
    if "rating" in body and "value" in body:
        raise Invalid.field("value", "Send either rating, or metric and value.")
    field = "value" if "value" in body else "rating"
    value = body.get(field)
    # True is an int to Python, and 1.0 equals 1: neither is what somebody meant to send.
    if type(value) is not int or value not in (1, -1):
        raise Invalid.field(
            field, "A rating is 1 (thumbs-up) or -1 (thumbs-down).", code="required" if value is None else "invalid"
        )
    return _text(body, "metric") or "rating", value


def _subject(body: Mapping[str, JSONValue]) -> str:
    """Return the message id; "" when a receipt says which answer it is. Raises Invalid for both, and for neither."""
    message_id, receipt = _text(body, "message_id"), _text(body, "receipt")
    if message_id and receipt:
        raise Invalid.field("receipt", "Send either the message_id or the receipt.")
    if not message_id.strip() and not receipt:
        raise Invalid.field(
            "message_id", "Say which answer: the message_id or the receipt that came with it.", code="required"
        )
    return message_id


def _text(body: Mapping[str, JSONValue], field: str) -> str:
    value = body.get(field)
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise Invalid.field(field, "This must be text.")
    return value


def _key(body: Mapping[str, JSONValue], header: str) -> str:
    """Return the idempotency key, from the body's `id` or the header. Raises Invalid when they differ."""
    in_body, in_header = _text(body, "id"), key_in(header)
    if in_body and in_header and in_body != in_header:
        raise Invalid.field("id", "The body's id and the Idempotency-Key header differ. Send one of them.")
    return in_body or in_header


ROUTES = [route("POST", "/feedback", rate, is_public=True)]
