"""`POST /exposures`: plain ASGI. Applications that ask a model themselves say whom they showed what: 202 once committed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.conf import settings

from promptlab.accounts.access import Principal
from promptlab.accounts.auth import aauthenticate
from promptlab.chat.services.external import ExternalAnswer, record_external
from promptlab.lib import jsonbody
from promptlab.lib.asgi import Request, Response, json_response, route
from promptlab.lib.errors import FieldProblem, Invalid
from promptlab.lib.openapi import hot_paths, operation
from promptlab.lib.ratelimit import Limit, check_here
from promptlab.lib.threads import run_db

MOST = 1_000
NUMBERS = ("input_tokens", "output_tokens", "latency_ms")
LARGEST = 2**31 - 1
LIST = "exposures"


async def expose(request: Request) -> Response:
    """Keep one exposure, or a list of them: all or nothing."""
    principal = await aauthenticate(request.headers)
    if not principal.may_anywhere("feedback.write"):
        principal.team_for("feedback.write")
    body = jsonbody.loads(await request.body() or b"{}")
    items, field = items_in(body)
    spend(principal, len(items))
    answers = read_all(items, field)
    uids = await run_db(record_external, principal, answers, field)
    said = {"ids": [str(uid) for uid in uids]}
    return json_response(said if field else {"id": said["ids"][0]}, status=202)


def items_in(body: Any) -> tuple[list[Any], str]:
    """Return the exposures of a body, and how errors call them: one object, a list, or a list under `exposures`."""
    found = body.get(LIST) if isinstance(body, dict) and LIST in body else body
    if isinstance(found, dict):
        return [found], ""
    if not isinstance(found, list) or not found:
        raise Invalid.field(LIST, "Send one exposure, or a list of them.", code="required")
    if len(found) > MOST:
        raise Invalid.field(LIST, f"At most {MOST} at once.", code="too_many")
    return found, LIST


def read_all(items: list[Any], field: str) -> list[ExternalAnswer]:
    """Return what the items say. Raises Invalid with every problem."""
    problems: list[FieldProblem] = []
    answers = [_read(item, f"{field}.{index}." if field else "", problems) for index, item in enumerate(items)]
    if problems:
        raise Invalid(f"{problems[0].field}: {problems[0].detail}", code=problems[0].code, problems=problems)
    return answers


def spend(principal: Principal, count: int) -> None:
    """Count the exposures against the same budget as ratings, of this process."""
    limit = Limit("feedback", settings.RATE_LIMIT_FEEDBACK_PER_MINUTE, 60)
    for _ in range(min(count, 10)):  # a list costs a tenth of its length, and one at least: it is one statement
        check_here(limit, f"{principal.kind}:{principal.id}").enforce()


def _read(item: Any, at: str, problems: list[FieldProblem]) -> ExternalAnswer:
    if not isinstance(item, dict):
        problems.append(FieldProblem(at.rstrip("."), "An exposure is an object.", "invalid"))
        return ExternalAnswer("")
    texts = {name: _text(item, name, at, problems) for name in ("receipt", "unit_id", "user", "id", "model")}
    if not texts["receipt"]:
        problems.append(FieldProblem(f"{at}receipt", "Send the receipt that came with the prompt.", "required"))
    return ExternalAnswer(
        receipt=texts["receipt"],
        unit_id=texts["unit_id"] or texts["user"],
        id=texts["id"],
        model=texts["model"],
        cost_usd=_cost(item, at, problems),
        is_forced=_flag(item, "forced", at, problems),
        **{name: _number(item, name, at, problems) for name in NUMBERS},
    )


def _text(item: dict[str, Any], name: str, at: str, problems: list[FieldProblem]) -> str:
    value = item.get(name) or ""
    if isinstance(value, str):
        return value
    problems.append(FieldProblem(f"{at}{name}", "This is text.", "invalid"))
    return ""


def _number(item: dict[str, Any], name: str, at: str, problems: list[FieldProblem]) -> int | None:
    value = item.get(name)
    if value is None or (type(value) is int and 0 <= value <= LARGEST):
        return value
    problems.append(FieldProblem(f"{at}{name}", f"This is a whole number from 0 to {LARGEST}.", "invalid"))
    return None


def _flag(item: dict[str, Any], name: str, at: str, problems: list[FieldProblem]) -> bool:
    value = item.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    problems.append(FieldProblem(f"{at}{name}", "This is true or false.", "invalid"))
    return False


def _cost(item: dict[str, Any], at: str, problems: list[FieldProblem]) -> Decimal | None:
    value = item.get("cost_usd")
    if value is None:
        return None
    if type(value) in (int, float) and 0 <= value < 10_000:
        return round(Decimal(str(value)), 9)
    problems.append(FieldProblem(f"{at}cost_usd", "This is a number of dollars from 0 to 10000.", "invalid"))
    return None


ROUTES = [route("POST", "/exposures", expose)]

_EXPOSURE = {
    "type": "object",
    "required": ["receipt"],
    "properties": {
        **{name: {"type": "string"} for name in ("receipt", "unit_id", "id", "model")},
        **{name: {"type": "integer", "minimum": 0} for name in NUMBERS},
        "cost_usd": {"type": "number", "minimum": 0},
        "forced": {"type": "boolean"},
    },
}
hot_paths["/api/v1/exposures"] = {
    "post": operation(
        "Say whom an application showed what",
        tag="feedback",
        body={"oneOf": [_EXPOSURE, {"type": "array", "items": _EXPOSURE, "maxItems": MOST}]},
        status=202,
    )
}
