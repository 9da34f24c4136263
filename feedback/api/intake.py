"""`POST /feedback`: plain ASGI, before Django. Key, limit, body, one call, 202 once it is committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.conf import settings

from feedback.models import Feedback
from feedback.services.buffer import buffer
from feedback.services.fitting import RATING, Value
from feedback.services.ingest import Accepted, NewRating, Outcome, holder_of
from promptlab.accounts.access import Principal
from promptlab.accounts.auth import aauthenticate, credential
from promptlab.lib.asgi import Request, Response, json_response, route
from promptlab.lib.errors import DomainError, Invalid, Unauthenticated
from promptlab.lib.idempotency import HEADER, REPLAYED, key_in
from promptlab.lib.jsonbody import JSONValue
from promptlab.lib.ratelimit import Limit, Verdict, check_here

MOST_ITEMS = 1000
Source = Feedback.Source


async def rate(request: Request) -> Response:
    """Keep what is said of answers: 202 once it is committed. One rating, or `items` with up to 1,000 of them.

    Of several each is taken or refused by itself: 207 when some were refused, saying which and why.
    """
    if credential(request.headers):
        principal = await aauthenticate(request.headers)
        body = await request.json_object()
        if "items" in body:
            return await _rate_many(principal, body)
        verdict = spend(principal)
    else:
        body = await request.json_object()
        principal, verdict = admit(body)
    rating = read_rating(body, request.headers.get(HEADER, ""))
    accepted = (await buffer().submit([(principal, rating)]))[0]
    if isinstance(accepted, DomainError):
        raise accepted
    return json_response(shape(accepted), status=202, headers={**verdict.headers(), **replay_header(accepted)})


async def _rate_many(principal: Principal, body: Mapping[str, JSONValue]) -> Response:
    items = read_items(body)
    verdict = spend(principal, len(items))
    read = [read_item(item) for item in items]
    outcomes = iter(await buffer().submit([(principal, one) for one in read if isinstance(one, NewRating)]))
    status, answer = shape_many([next(outcomes) if isinstance(one, NewRating) else one for one in read])
    return json_response(answer, status=status, headers=verdict.headers())


def spend(principal: Principal, ratings: int = 1) -> Verdict:
    """Count ratings against the caller's budget of this process. Raises RateLimited."""
    limit = Limit("feedback", settings.RATE_LIMIT_FEEDBACK_PER_MINUTE, 60)
    return check_here(limit, f"{principal.kind}:{principal.id}", calls=ratings).enforce()


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
        source=_text(body, "source") or Source.END_USER,
        correction=_text(body, "correction"),
        conversation_id=_text(body, "conversation_id"),
    )


def read_items(body: Mapping[str, JSONValue]) -> list[JSONValue]:
    """Return the ratings of a body that brings several. Raises Invalid."""
    items = body["items"]
    if not isinstance(items, list) or not items:
        raise Invalid.field("items", "Send a list of 1 to 1,000 ratings.")
    if len(items) > MOST_ITEMS:
        raise Invalid.field("items", f"At most {MOST_ITEMS} ratings at once; these are {len(items)}.", code="too_many")
    if len(body) > 1:
        other = next(name for name in body if name != "items")
        raise Invalid.field(other, "Beside items nothing else is read: say it in each item.")
    return items


def read_item(item: JSONValue) -> NewRating | DomainError:
    """Return one of several ratings, or what is wrong with it."""
    if not isinstance(item, dict):
        return Invalid("A rating must be a JSON object.")
    try:
        return read_rating(item, "")
    except DomainError as error:
        return error


def shape(accepted: Accepted) -> dict[str, JSONValue]:
    """Return the answer's body."""
    return {
        "feedback_id": accepted.feedback_id,
        "id": accepted.feedback_id,
        "message_id": accepted.message_id,
        accepted.metric: accepted.value,
    }


def shape_many(outcomes: Sequence[Outcome]) -> tuple[int, dict[str, JSONValue]]:
    """Return the status and the body that answer several ratings: `items` in their order, null for what was refused."""
    refused = [_refusal(place, one) for place, one in enumerate(outcomes) if isinstance(one, DomainError)]
    items = [shape(one) if isinstance(one, Accepted) else None for one in outcomes]
    body: dict[str, JSONValue] = {"accepted": len(outcomes) - len(refused), "items": items}
    if refused:
        body |= {"rejected": len(refused), "errors": refused}
    return 207 if refused else 202, body


def _refusal(place: int, error: DomainError) -> dict[str, JSONValue]:
    field = error.problems[0].field if error.problems else ""
    return {"index": place, "field": field, "code": error.code, "status": error.status, "detail": error.detail}


def replay_header(accepted: Accepted) -> Mapping[str, str]:
    """Return the header of an answer that was given before."""
    return REPLAYED if accepted.is_replay else {}


def _metric_and_value(body: Mapping[str, JSONValue]) -> tuple[str, Value | None]:
    """Read `rating`, or `metric` with `value`; or `retract`, which takes back what was said."""
    metric = _text(body, "metric") or RATING
    given = [name for name in ("rating", "value") if name in body]
    if "retract" in body:
        if body["retract"] is not True:
            raise Invalid.field("retract", "Send true, or leave it out.")
        if given:
            raise Invalid.field(given[0], "Send either a rating, or retract.")
        return metric, None
    if len(given) == 2:
        raise Invalid.field("value", "Send either rating, or metric and value.")
    field = given[0] if given else "rating"
    value = body.get(field)
    if value is None or isinstance(value, dict | list):
        detail = "A rating is 1 (thumbs-up) or -1 (thumbs-down)." if metric == RATING else "Say what the metric takes."
        raise Invalid.field(field, detail, code="required" if value is None else "invalid")
    return metric, value


SUBJECTS = ("message_id", "receipt", "conversation_id")


def _subject(body: Mapping[str, JSONValue]) -> str:
    """Return the message id; "" when something else says what is rated. Raises Invalid for two of them, and for none."""
    named = [name for name in SUBJECTS if _text(body, name).strip()]
    if len(named) > 1:
        raise Invalid.field(named[1], f"Send either the {named[0]} or the {named[1]}.")
    if not named:
        raise Invalid.field(
            "message_id", "Say which answer: the message_id or the receipt that came with it.", code="required"
        )
    return _text(body, "message_id")


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
