"""Answers that are kept to be given again: to the same request, for a while, or when nobody else answers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from promptlab import llm
from promptlab.chat.services.choosing import Chosen
from promptlab.lib import cache
from promptlab.lib.errors import Unavailable
from promptlab.lib.idempotency import fingerprint
from promptlab.lib.logs import get_logger
from promptlab.lib.redis import RedisAway

log = get_logger(__name__)
CACHE_KIND = "answer.1"
"""The number goes up with every change of what a kept answer holds."""
LAST_KIND = "answer.last.1"
"""The last answer to a request, kept longer, for when all providers fail."""
KEPT_REASONS = (llm.FinishReason.STOP, llm.FinishReason.LENGTH)


@dataclass(slots=True)
class LastAnswer:
    """Gives the last answer to the same request where every way to the model failed before its first word.

    `age_s` is None until one was given: how old it is then, at most `oldest_s` seconds.
    """

    place: cache.Place
    oldest_s: int
    age_s: int | None = None

    async def rescue(self, error: llm.LLMError) -> llm.Completion | None:
        """Return that answer, at no cost; None where there is none, or where asking later would not help either."""
        if not error.is_retryable:
            return None
        started = time.perf_counter()
        try:
            found = await cache.find(self.place)
        except RedisAway:
            return None
        if not isinstance(found, dict):
            return None
        age_s = max(0, int(time.time()) - int(found["at"]))
        if age_s > self.oldest_s:
            return None
        self.age_s = age_s
        log.info("last_answer_given", error=error.code, age_s=age_s)
        return given_before(found["answer"], round((time.perf_counter() - started) * 1000))

    async def keep(self, completion: llm.Completion) -> None:
        """Keep an answer for as long as this call would take it."""
        if may_be_kept(completion):
            await cache.keep(self.place, {"at": int(time.time()), "answer": kept(completion)}, self.oldest_s)


def may_be_kept(completion: llm.Completion) -> bool:
    """Tell whether an answer is whole, and nothing but text."""
    return completion.finish_reason in KEPT_REASONS and not completion.tool_calls


def kept(completion: llm.Completion) -> dict[str, Any]:
    """Return what is kept of an answer."""
    return {
        "text": completion.text,
        "model": completion.model,
        "provider": completion.provider,
        "finish_reason": str(completion.finish_reason),
    }


def given_before(said: Mapping[str, str], latency_ms: int) -> llm.Completion:
    """Return a kept answer as it is given again: it takes no tokens and costs nothing."""
    return llm.Completion(
        text=said["text"],
        model=said["model"],
        provider=said["provider"],
        usage=llm.Usage(0, 0),
        cost_usd=Decimal(0),
        finish_reason=llm.FinishReason(said["finish_reason"]),
        latency_ms=latency_ms,
        first_token_ms=latency_ms,
    )


def forget(team_id: int) -> int:
    """Remove all answers that are kept for a team, and return how many. They name nobody, but their words may.

    Raises Unavailable without Redis, where they may still lie.
    """
    try:
        return sum(cache.forget(kind, team_id) for kind in (CACHE_KIND, LAST_KIND))
    except RedisAway as error:
        detail = "Answers that are kept to be given again cannot be reached. Send this again in a moment."
        raise Unavailable(detail, retry_after_s=5) from error


def place_of(kind: str, team_id: int, request: llm.CompletionRequest, chosen: Chosen) -> cache.Place:
    """Return where the answer to this request lies: one place for all end users of a team, and for no other team."""
    canonical: dict[str, Any] = {
        "version": chosen.version.checksum if chosen.version else "",
        "model": request.model,
        "messages": [[message.role, message.content] for message in request.messages],
        "parameters": dict(request.parameters),
    }
    if request.other_messages:
        canonical["others"] = {
            name: [[message.role, message.content] for message in messages]
            for name, messages in request.other_messages.items()
        }
    if request.masks_in_force:
        canonical["masks"] = request.masks_in_force.to_dict()
    return cache.Place(kind, team_id, fingerprint(canonical))
