"""`POST /chat`: plain ASGI, server-sent events. An error before the first word is an HTTP error, later an event."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from promptlab.chat.api.calling import attributes_wrong, calling
from promptlab.chat.api.leaving import leave
from promptlab.chat.models import Message
from promptlab.chat.services.replaying import done_again
from promptlab.chat.services.turn import Broken, Done, Token, TurnInput, TurnPlan, draft_turn, stream_turn
from promptlab.lib import problem, sse
from promptlab.lib.asgi import EventStream, Request, route, unless_gone
from promptlab.lib.errors import FieldProblem, Invalid
from promptlab.lib.idempotency import REPLAYED
from promptlab.lib.line import Last
from promptlab.lib.openapi import hot_paths, operation
from promptlab.lib.threads import run_db

TEXTS = ("message", "prompt", "environment", "conversation_id", "user", "unit_id", "model", "tier")


async def chat(request: Request) -> EventStream:
    """Answer a message: tokens as they come, then one event with what it took."""
    async with calling(request) as call:
        plan = await call.planned(partial(draft_turn, call.principal, _turn(call.body)), _uid)
        if isinstance(plan, Message):
            return _again(await run_db(done_again, plan), call.admission.headers)
        events = stream_turn(plan)
        try:
            first = await unless_gone(request, anext(events))
        except BaseException:
            await events.aclose()
            raise
        call.place.keep()
    headers = {**call.admission.headers, **attribution(plan)}
    return EventStream(events, headers, partial(leave, events, call.place), sse.PING, first=first, frame=_frame)


def _uid(plan: TurnPlan) -> UUID:
    return plan.answer.uid


def _again(done: Done, limits: Mapping[str, str]) -> EventStream:
    """Tell an answer that was given before: its text at once, then the same end."""
    text = done.completion.text
    headers = {**limits, **attribution(done.plan), **REPLAYED}
    return EventStream(_rest(done, is_told=not text), headers, first=Token(text) if text else done, frame=_frame)


async def _rest(done: Done, *, is_told: bool) -> AsyncGenerator[Token | Done | Broken]:
    if not is_told:
        yield done


def _turn(body: Mapping[str, Any]) -> TurnInput:
    """Return the checked body. Raises Invalid naming every wrong field at once."""
    problems = [
        FieldProblem(name, "This is text.", "invalid")
        for name in TEXTS
        if not isinstance(body.get(name, ""), str | None)
    ]
    if not isinstance(body.get("variables", {}), dict):
        problems.append(FieldProblem("variables", "This is an object of names and values.", "invalid"))
    problems += attributes_wrong(body)
    if problems:
        raise Invalid(f"{problems[0].field}: {problems[0].detail}", problems=problems)
    text = {name: body.get(name) or "" for name in TEXTS}
    return TurnInput(
        message=text["message"],
        prompt=text["prompt"],
        variables=body.get("variables") or {},
        environment=text["environment"],
        conversation_id=text["conversation_id"],
        unit_id=text["unit_id"] or text["user"],
        model=text["model"],
        tier=text["tier"],
        attributes=body.get("attributes") or {},
    )


def attribution(plan: TurnPlan) -> dict[str, str]:
    """Return the headers that say which version answers."""
    headers = {"X-PromptLab-Message-Id": str(plan.answer.uid)}
    if plan.version is not None:
        headers["X-PromptLab-Prompt"] = f"{plan.prompt}@{plan.version}"
    if plan.variant is not None:
        headers["X-PromptLab-Variant"] = f"{plan.experiment}/{plan.variant}"
    return headers


def _frame(event: Token | Done | Broken) -> bytes:
    if isinstance(event, Token):
        if not event.tool_calls:
            return b'data: {"token":%b}\n\n' % sse.encoded_text(event.text)
        return sse.encode({"token": event.text, "tool_calls": event.tool_calls})
    if isinstance(event, Broken):
        return Last(sse.encode({"error": problem.body(event.error), "done": True, **_ids(event.plan)}))
    completion = event.completion
    told = sse.encode(
        {
            "done": True,
            **_ids(event.plan),
            "model": completion.model,
            "input_tokens": completion.usage.input_tokens,
            "output_tokens": completion.usage.output_tokens,
            "latency_ms": completion.latency_ms,
            "first_token_ms": completion.first_token_ms,
            "cost_usd": float(completion.cost_usd) if completion.cost_usd is not None else None,
            "finish_reason": completion.finish_reason,
        }
    )
    return Last(told)


def _ids(plan: TurnPlan) -> dict[str, Any]:
    return {
        "message_id": str(plan.answer.uid),
        "conversation_id": str(plan.conversation_uid),
        "prompt": plan.prompt or None,
        "version": plan.version,
        "experiment": plan.experiment,
        "variant": plan.variant,
        "receipt": plan.receipt,
    }


ROUTES = [route("POST", "/chat", chat)]

_TEXT = {"type": "string"}
hot_paths["/api/v1/chat"] = {
    "post": operation(
        "Answer a message as a stream",
        tag="chat",
        stream=True,
        body={
            "type": "object",
            "required": ["message"],
            "properties": {
                **dict.fromkeys(TEXTS, _TEXT),
                "variables": {"type": "object"},
                "attributes": {"type": "object"},
            },
        },
    )
}
