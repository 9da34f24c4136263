"""The routes under `/v1`, plain ASGI: applications that speak to OpenAI speak to us by another `base_url`.

Everything is told in OpenAI's shapes: errors, rate limits, unknown addresses. Cookies count for nothing here.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from promptlab import llm
from promptlab.accounts.access import Principal
from promptlab.accounts.auth import aauthenticate
from promptlab.chat.api import openai_chat, openai_responses, openai_wire
from promptlab.chat.api.calling import Admission, admission
from promptlab.chat.api.leaving import leave
from promptlab.chat.api.openai_wire import Asked, Json
from promptlab.chat.offering import Offered, offered, offered_as
from promptlab.chat.services.beginning import begin
from promptlab.chat.services.streams import Place
from promptlab.chat.services.turn import Broken, Done, Token, TurnPlan, draft_turn, stream_turn
from promptlab.lib import sse
from promptlab.lib.asgi import (
    AnyAnswer,
    ClientGone,
    EventStream,
    Handler,
    Request,
    Response,
    Route,
    json_response,
    known,
    unless_gone,
)
from promptlab.lib.errors import DomainError, NotFound
from promptlab.lib.line import Last
from promptlab.lib.ratelimit import Verdict
from promptlab.lib.threads import run_db

DONE = b"data: [DONE]\n\n"
NAMES = {"calls": "requests", "tokens": "tokens"}
"""What OpenAI calls what a limit is of."""
NOBODY_ASKED = Admission(())
METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
Event = Token | Done | Broken


@dataclass(slots=True)
class Call:
    """One request: who calls, and the headers that every answer to it has, an error as well."""

    request: Request
    principal: Principal
    headers: dict[str, str] = field(default_factory=dict)
    admission: Admission = NOBODY_ASKED
    is_planned: bool = False


class Telling(Protocol):
    """How an answer is told piece by piece, in one dialect."""

    def opening(self) -> list[Json]: ...

    def token(self, token: Token) -> list[Json]: ...

    def closing(self, done: Done) -> list[Json]: ...


Answering = Callable[[Call], Awaitable[AnyAnswer]]


def face(answering: Answering) -> Handler:
    """Return the handler that authenticates, counts the call, and tells errors in OpenAI's shape."""

    async def handler(request: Request) -> AnyAnswer:
        began = time.perf_counter()
        call = Call(request, await aauthenticate(request.headers))
        call.admission = await admission(call.principal, request, asks=request.method == "POST")
        call.headers.update(limits(call.admission.verdicts))
        try:
            call.admission.enforce()
            answer = await answering(call)
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001  (whatever it is, the caller gets an answer)
            answer = on_error(known(error))
        finally:
            if not call.is_planned:
                await call.admission.give_back()
        took = {"openai-processing-ms": str(round((time.perf_counter() - began) * 1000))}
        return replace(answer, headers={**answer.headers, **call.headers, **took})

    return handler


def limits(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """Return the rate limit headers as OpenAI names them; times as Go writes durations."""
    told: dict[str, str] = {}
    for verdict in verdicts:
        name = NAMES[verdict.limit.of]
        told[f"x-ratelimit-limit-{name}"] = str(verdict.limit.quota)
        told[f"x-ratelimit-remaining-{name}"] = str(verdict.remaining)
        told[f"x-ratelimit-reset-{name}"] = f"{verdict.reset_s}s"
    return told


def on_error(error: DomainError) -> Response:
    """Return OpenAI's envelope of an error."""
    failure = openai_wire.failure(error)
    return json_response(failure.body, status=failure.status, headers=failure.headers)


# Chat completions


async def chat_completions(call: Call) -> AnyAnswer:
    """Answer messages, whole or as chunks."""
    asked = openai_chat.read(await call.request.json_object(), call.request.headers)
    with _place(call) as place:
        plan, first, events = await _begun(call, asked)
        created = int(time.time())
        if not asked.streams:
            return json_response(openai_chat.completion(plan, await _whole(call, first, events), created))
        place.keep()
    chunks = openai_chat.Chunks(plan, created, wants_usage=asked.wants_usage)
    frame = _Framing(chunks, sse.encode, _broken_chunk, DONE)
    return EventStream(events, {}, partial(leave, events, place), sse.PING, first=first, frame=frame)


def _broken_chunk(event: Broken) -> list[Json]:
    """Return the error of an answer that broke off: by then it is nobody's fault but the server's.

    No `[DONE]` follows: clients take a bare end for a whole answer.
    """
    return [{"error": {**openai_wire.told(event.error), "type": "server_error", "param": None}}]


# Responses


async def responses(call: Call) -> AnyAnswer:
    """Answer an input, whole or as events."""
    asked = openai_responses.read(await call.request.json_object(), call.request.headers)
    with _place(call) as place:
        plan, first, events = await _begun(call, asked)
        created = int(time.time())
        if not asked.streams:
            return json_response(openai_responses.response(plan, await _whole(call, first, events), asked, created))
        place.keep()
    telling = openai_responses.Events(plan, asked, created)
    frame = _Framing(telling, _named, lambda event: telling.failing(event.error))
    return EventStream(events, {}, partial(leave, events, place), sse.PING, first=first, frame=frame)


def _named(event: Json) -> bytes:
    """Frame an event under its own name. There is no `[DONE]` in this dialect."""
    return sse.encode(event, event=event["type"])


async def no_such_response(call: Call) -> AnyAnswer:
    """Responses are not kept to be fetched."""
    raise NotFound("Responses are not kept here: there is none of this id.", code="not_found")


# Both


def _place(call: Call) -> Place:
    return Place(f"key:{call.principal.id}")


async def _begun(call: Call, asked: Asked) -> tuple[TurnPlan, Event, AsyncGenerator[Event]]:
    """Prepare the turn and wait for its first event, so that what fails before it is an error of HTTP."""
    plan = (await begin(partial(draft_turn, call.principal, asked.turn))).holding(call.admission.taken)
    call.is_planned = True
    call.headers.update(openai_wire.attribution(plan))
    events = stream_turn(plan)
    try:
        return plan, await unless_gone(call.request, anext(events)), events
    except BaseException:
        await events.aclose()
        raise


async def _whole(call: Call, first: Event, events: AsyncGenerator[Event]) -> Done:
    """Return the end of an answer. Raises what broke it off."""

    async def last() -> Event:
        event = first
        async with aclosing(events):
            async for following in events:
                event = following
        return event

    try:
        event = await unless_gone(call.request, last())
    finally:
        await events.aclose()
    if isinstance(event, Broken):
        raise event.error
    assert isinstance(event, Done)
    return event


class _Framing:
    """Frames what is told of each event of an answer: of the first one what opens it too, and `ending` after a whole one."""

    __slots__ = ("_broken", "_encode", "_ending", "_opening", "_telling")

    def __init__(
        self,
        telling: Telling,
        encode: Callable[[Json], bytes],
        broken: Callable[[Broken], list[Json]],
        ending: bytes = b"",
    ) -> None:
        self._telling = telling
        self._encode = encode
        self._broken = broken
        self._ending = ending
        self._opening = telling.opening()

    def __call__(self, event: Event) -> bytes:
        opening, self._opening = self._opening, []
        if isinstance(event, Token):
            return self._framed([*opening, *self._telling.token(event)])
        if isinstance(event, Broken):
            return Last(self._framed([*opening, *self._broken(event)]))
        return Last(self._framed([*opening, *self._telling.closing(event)]) + self._ending)

    def _framed(self, told: Sequence[Json]) -> bytes:
        return b"".join(map(self._encode, told))


# Models


async def models(call: Call) -> AnyAnswer:
    """List what can be named as a model: prompts that are live, and models of providers."""
    found = await run_db(offered, call.principal)
    return json_response({"object": "list", "data": [_model(one) for one in found]})


async def model(call: Call) -> AnyAnswer:
    """Return one of them by its name, with any `:`, `@` and `/` in it."""
    name = call.request.params["model"]
    found = await run_db(offered_as, call.principal, name)
    if found is None:
        raise llm.UnknownModel(name)
    return json_response(_model(found))


def _model(one: Offered) -> Json:
    ends = {"shutdown_date": one.ends_on.isoformat()} if one.ends_on else {}
    return {"id": one.name, "object": "model", "created": one.created, "owned_by": one.owner, **ends}


# Everything else under /v1

ANSWERED: Mapping[str, tuple[str, Answering]] = {
    r"/v1/chat/completions": ("POST", chat_completions),
    r"/v1/responses": ("POST", responses),
    r"/v1/responses/(?P<response>[^/]+)": ("GET", no_such_response),
    r"/v1/models": ("GET", models),
    r"/v1/models/(?P<model>.+?)": ("GET", model),
}


async def anything_else(request: Request) -> Response:
    """Answer 404, or 405 where another method would do, as JSON; nobody needs a key to learn that."""
    path = request.scope["path"]
    for pattern, (method, _) in ANSWERED.items():
        if re.match(rf"{pattern}/?\Z", path):
            message = f"{path} takes {method}, not {request.method}."
            return _refusal(405, message, "method_not_allowed", {"Allow": method})
    return _refusal(404, f"There is nothing at {request.method} {path}.", "unknown_url", {})


def _refusal(status: int, message: str, code: str, headers: Mapping[str, str]) -> Response:
    error: dict[str, Any] = {"message": message[:300], "type": "invalid_request_error", "param": None, "code": code}
    return json_response({"error": error}, status=status, headers=headers)


_route = partial(Route, on_error=on_error)
ROUTES = [
    *(
        _route(frozenset({method}), re.compile(rf"{pattern}/?\Z"), face(answering))
        for pattern, (method, answering) in ANSWERED.items()
    ),
    _route(METHODS, re.compile(r"/v1/(?s:.*)\Z"), anything_else),
]
