"""The most that a call can cost, before it is made: what has to be reserved so that no budget is ever passed."""

from __future__ import annotations

import json
from decimal import ROUND_CEILING

from django.conf import settings
from django.utils import timezone

from promptlab.llm import catalog, pricing
from promptlab.llm.types import ChatMessage, CompletionRequest, Usage

NANO = 1_000_000_000
TOKENS_AROUND = 16
"""What a provider's frame around a message takes at most, and that around the whole talk."""


def worst_case(request: CompletionRequest, team_id: int) -> int | None:
    """Return the most that an answer can cost by any of its ways, in billionths of a dollar; None: nobody knows.

    A token is a byte at least, so nothing is counted. All of the input may be written to the provider's cache, and all of
    the output may be reasoning.
    """
    texts = (request.messages, *request.other_messages.values())
    said = max(sum(len(_bytes_of(message)) + TOKENS_AROUND for message in messages) for messages in texts)
    told = len(json.dumps(dict(request.parameters), ensure_ascii=False, default=str).encode())
    tokens_in, tokens_out = said + told + TOKENS_AROUND, _longest(request)
    usages = (
        Usage(tokens_in, tokens_out),
        Usage(tokens_in, tokens_out, cache_write_tokens=tokens_in, reasoning_tokens=tokens_out),
    )
    ways = [(route.provider, route.model) for route in request.routes]
    if not ways:
        info = catalog.resolve(request.model)
        ways = [(info.provider, info.name)]
    now = timezone.now()
    costs = [
        pricing.price(team_id, provider, model, usage, now, asked=request.model).cost_usd
        for provider, model in ways
        for usage in usages
    ]
    known = [cost for cost in costs if cost is not None]
    return int((max(known) * NANO).to_integral_value(ROUND_CEILING)) if len(known) == len(costs) else None


def _longest(request: CompletionRequest) -> int:
    wanted = request.parameters.get("max_tokens")
    return wanted if isinstance(wanted, int) else settings.BUDGET_MAX_TOKENS


def _bytes_of(message: ChatMessage) -> bytes:
    calls = json.dumps([dict(call) for call in message.tool_calls]) if message.tool_calls else ""
    return f"{message.role}{message.content}{calls}{message.tool_call_id}".encode(errors="replace")
