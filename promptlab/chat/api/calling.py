"""What every call for an answer begins with: who calls, whether there is room, what is said, and whether it was said before.

Two limits of a key are asked in one step: its calls in an hour, and the tokens of its answers in a minute. How many tokens
an answer takes is known when it has ended: until then an estimate is held.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar
from uuid import UUID

from django.conf import settings
from promptlab_sdk.kernel.condition import attribute_problems

from promptlab.accounts.access import Principal
from promptlab.accounts.auth import aauthenticate
from promptlab.accounts.drf import calls
from promptlab.accounts.idempotency import call_of
from promptlab.chat.models import Message
from promptlab.chat.services.beginning import Draft, begin
from promptlab.chat.services.replaying import once
from promptlab.chat.services.streams import Place
from promptlab.lib.asgi import Request
from promptlab.lib.errors import FieldProblem
from promptlab.lib.idempotency import HEADER
from promptlab.lib.ratelimit import Demand, Limit, Taken, Verdict, acheck_all
from promptlab.lib.threads import run_db

MINUTE_S = 60
CHARACTERS_A_TOKEN = 4
USUAL_ANSWER_TOKENS = 500


class Plan(Protocol):
    """What a call becomes when its rows stand."""

    def holding(self, taken: Taken | None) -> Self: ...


P = TypeVar("P", bound=Plan)


@dataclass(frozen=True, slots=True)
class Admission:
    """What the limits of a key say of one call. `taken`: the tokens that are held for it."""

    verdicts: Sequence[Verdict]
    taken: Taken | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """The RateLimit headers, of both limits."""
        told = [verdict.headers() for verdict in self.verdicts]
        return {name: ", ".join(one[name] for one in told) for name in told[0]}

    def enforce(self) -> Admission:
        """Return it, or raise RateLimited with the seconds to wait."""
        for verdict in self.verdicts:
            verdict.enforce()
        return self

    async def give_back(self) -> None:
        """Hold no tokens for it any more: nothing is asked."""
        if self.taken is not None:
            await self.taken.settle(0)


async def admission(principal: Principal, request: Request, *, asks: bool = True) -> Admission:
    """Count one call, and the tokens it may take where it `asks` a model, or nothing where there is no room."""
    who = f"key:{principal.id}"
    demands = [Demand(calls(principal), who)]
    if asks and settings.RATE_LIMIT_TOKENS_PER_MINUTE:
        limit = Limit("tokens", settings.RATE_LIMIT_TOKENS_PER_MINUTE, MINUTE_S, of="tokens")
        demands.append(Demand(limit, who, min(limit.quota, _estimate(request))))
    verdicts = await acheck_all(demands)
    is_held = len(demands) > 1 and all(verdict.is_allowed for verdict in verdicts)
    return Admission(verdicts, Taken(demands[1], verdicts[1].is_shared) if is_held else None)


def _estimate(request: Request) -> int:
    """Return about how many tokens a call takes, by its length alone: nothing of it was read yet."""
    length = request.headers.get("content-length", "")
    said = int(length) if length.isascii() and length.isdigit() and len(length) < 12 else 0
    return said // CHARACTERS_A_TOKEN + USUAL_ANSWER_TOKENS


@dataclass(slots=True)
class Call:
    """One call for an answer: who calls, what is said, and the place it has among the answers under way."""

    request: Request
    principal: Principal
    body: Mapping[str, Any]
    admission: Admission
    place: Place
    is_planned: bool = False

    async def planned(self, draft: Callable[[], Draft[P]], uid_of: Callable[[P], UUID]) -> P | Message:
        """Return the plan, which holds the call's tokens; or the answer that the same call was given before."""
        request = self.request
        header = request.headers.get(HEADER, "")
        call = call_of(self.principal, request.method, request.scope["path"], header, dict(self.body))
        found = await begin(draft) if call is None else await run_db(once, call, draft, uid_of)
        if isinstance(found, Message):
            return found
        self.is_planned = True
        return found.holding(self.admission.taken)


@asynccontextmanager
async def calling(request: Request) -> AsyncIterator[Call]:
    """Yield the call. Where no plan comes of it, the tokens that were held for it are given back."""
    principal = await aauthenticate(request.headers)
    admitted = (await admission(principal, request)).enforce()
    call: Call | None = None
    try:
        body = await request.json_object()
        with Place(f"key:{principal.id}") as place:
            call = Call(request, principal, body, admitted, place)
            yield call
    finally:
        if call is None or not call.is_planned:
            await admitted.give_back()


def attributes_wrong(body: Mapping[str, Any]) -> list[FieldProblem]:
    """Return what is wrong with what a body says of the end user, for experiments that are for some only."""
    found = attribute_problems(body.get("attributes") or {})
    return [
        FieldProblem(f"attributes.{one.path}" if one.path else "attributes", one.detail, "invalid") for one in found
    ]
