"""`POST /generate`: plain ASGI, one whole answer. An answer to the same request may be given again, if the caller wants."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings

from promptlab.chat.api.calling import attributes_wrong, calling
from promptlab.chat.api.stream import attribution
from promptlab.chat.models import Message
from promptlab.chat.services.generating import (
    Generated,
    GenerateInput,
    GeneratePlan,
    draft_generate,
    generate,
)
from promptlab.chat.services.replaying import done_again
from promptlab.lib.asgi import Request, Response, json_response, route, unless_gone
from promptlab.lib.errors import FieldProblem, Invalid
from promptlab.lib.idempotency import REPLAYED
from promptlab.lib.logs import request_id
from promptlab.lib.openapi import hot_paths, operation
from promptlab.lib.threads import run_db
from promptlab.llm.models import LanguageModel

TEXTS = ("prompt", "prompt_name", "environment", "session_id", "user", "unit_id", "model", "tier")


async def answer(request: Request) -> Response:
    """Answer a text or a prompt: the whole answer, what it took, and whether it was given before."""
    async with calling(request) as call:
        plan = await call.planned(partial(draft_generate, call.principal, _wanted(call.body)), _uid)
        headers = dict(call.admission.headers)
        if isinstance(plan, Message):
            generated = await run_db(_again, plan)
            headers |= REPLAYED
        else:
            generated = await unless_gone(request, generate(plan))
    last = generated.plan.last
    if generated.is_stale and last is not None:
        headers["Age"] = str(last.age_s)
    return json_response(_shape(generated), headers={**headers, **attribution(generated.plan.turn)})


def _uid(plan: GeneratePlan) -> UUID:
    return plan.turn.answer.uid


def _again(earlier: Message) -> Generated:
    """Return an answer that was given before under the same idempotency key, as it was."""
    done = done_again(earlier)
    is_stale = earlier.is_cached and bool(earlier.error_code)
    return Generated(
        GeneratePlan(done.plan, earlier.conversation.session), done.completion, earlier.is_cached, is_stale
    )


def _wanted(body: Mapping[str, Any]) -> GenerateInput:
    """Return the checked body. Raises Invalid naming every wrong field at once."""
    problems = [
        FieldProblem(name, "This is text.", "invalid")
        for name in TEXTS
        if not isinstance(body.get(name, ""), str | None)
    ]
    if not isinstance(body.get("variables", {}), dict | None):
        problems.append(FieldProblem("variables", "This is an object of names and values.", "invalid"))
    if not _is_number(body.get("max_tokens"), int):
        problems.append(FieldProblem("max_tokens", "This is a whole number.", "invalid"))
    if not _is_number(body.get("temperature"), int | float):
        problems.append(FieldProblem("temperature", "This is a number.", "invalid"))
    if not isinstance(body.get("cache"), bool | None) and (not _is_number(body["cache"], int) or body["cache"] < 1):
        problems.append(FieldProblem("cache", "This is true, false, or a number of seconds.", "invalid"))
    if not _is_number(body.get("stale_if_error"), int):
        problems.append(FieldProblem("stale_if_error", "This is a number of seconds.", "invalid"))
    problems += attributes_wrong(body)
    if problems:
        raise Invalid(f"{problems[0].field}: {problems[0].detail}", problems=problems)
    text = {name: body.get(name) or "" for name in TEXTS}
    return GenerateInput(
        prompt=text["prompt"],
        prompt_name=text["prompt_name"],
        variables=body.get("variables") or {},
        environment=text["environment"],
        session=text["session_id"],
        unit_id=text["unit_id"] or text["user"],
        model=text["model"],
        tier=text["tier"],
        max_tokens=body.get("max_tokens"),
        temperature=body.get("temperature"),
        cache_s=_cache_s(body.get("cache")),
        stale_s=body.get("stale_if_error") or 0,
        attributes=body.get("attributes") or {},
    )


def _is_number(value: Any, kind: Any) -> bool:
    return value is None or (isinstance(value, kind) and not isinstance(value, bool))


def _cache_s(wanted: bool | int | None) -> int:
    if wanted is True:
        return min(settings.GENERATE_CACHE_S, settings.GENERATE_CACHE_MAX_S)
    return int(wanted or 0)


def _shape(generated: Generated) -> dict[str, Any]:
    """Return the answer's body. `cost_usd` null: unknown. `tokens_used` are those of this call: none for a cached one."""
    completion, turn = generated.completion, generated.plan.turn
    usage = completion.usage
    return {
        "content": completion.text,
        "cached": generated.is_cached,
        "stale": generated.is_stale,
        "model_used": completion.model,
        "tokens_used": usage.input_tokens + usage.output_tokens,
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cached_tokens": usage.cached_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "is_estimated": usage.is_estimated,
        },
        "cost_usd": float(completion.cost_usd) if completion.cost_usd is not None else None,
        "latency_ms": completion.latency_ms,
        "finish_reason": completion.finish_reason,
        "request_id": request_id(),
        "message_id": str(turn.answer.uid),
        "conversation_id": str(turn.conversation_uid),
        "session_id": generated.plan.session or None,
        "prompt": turn.prompt or None,
        "version": turn.version,
        "experiment": turn.experiment,
        "variant": turn.variant,
        "receipt": turn.receipt,
    }


ROUTES = [route("POST", "/generate", answer)]

_TEXT = {"type": "string"}
hot_paths["/api/v1/generate"] = {
    "post": operation(
        "Answer a text or a prompt at once",
        tag="generate",
        body={
            "type": "object",
            "properties": {
                **dict.fromkeys(TEXTS, _TEXT),
                "attributes": {"type": "object"},
                "tier": {"type": "string", "enum": LanguageModel.Tier.values},
                "variables": {"type": "object"},
                "max_tokens": {"type": "integer", "minimum": 1},
                "temperature": {"type": "number", "minimum": 0, "maximum": 2},
                "stale_if_error": {"type": "integer", "minimum": 0},
                "cache": {"oneOf": [{"type": "boolean"}, {"type": "integer", "minimum": 1}]},
            },
        },
    )
}
