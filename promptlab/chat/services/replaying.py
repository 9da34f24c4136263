"""The same call twice: an answer that came to its end is given again, with the same id, instead of asked for again.

One that did not come to its end is asked for again: a caller who sends a key wants an answer, and wants it once.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from django.db import transaction

from promptlab import llm
from promptlab.accounts.errors import CallStillRunning
from promptlab.accounts.idempotency import Call, claim
from promptlab.chat.errors import BudgetUsedUp
from promptlab.chat.models import Message
from promptlab.chat.services.beginning import Draft
from promptlab.chat.services.ending import Answer
from promptlab.chat.services.external import receipt_of
from promptlab.chat.services.reserving import note_refusal
from promptlab.chat.services.turn import Done, TurnPlan

WAIT_S = 2
"""What a caller is told to wait whose first call is still being answered."""


P = TypeVar("P")


def once(call: Call, draft: Callable[[], Draft[P]], uid_of: Callable[[P], UUID]) -> P | Message:
    """Return the plan of a new call, whose rows stand, or the completed answer to the same call before.

    `uid_of` tells the uid of a plan's answer. That a budget refuses the call is told when nothing of it stands any more.
    Raises CallStillRunning, CallKeyReused, and what the draft and its plan raise.
    """
    try:
        return _once(call, draft, uid_of)
    except BudgetUsedUp as refusal:
        note_refusal(refusal)
        raise


def _once(call: Call, draft: Callable[[], Draft[P]], uid_of: Callable[[P], UUID]) -> P | Message:
    with transaction.atomic():
        row, _ = claim(call)
        earlier = _answer(row.subject)
        if earlier is not None and earlier.state == Message.State.STREAMING:
            raise CallStillRunning(retry_after_s=WAIT_S)
        if earlier is not None and earlier.state == Message.State.COMPLETED and earlier.purged_at is None:
            return earlier
        plan = draft().written()
        row.subject = str(uid_of(plan))
        row.save(update_fields=["subject"])
    return plan


def done_again(answer: Message) -> Done:
    """Return the end of a completed answer as it was told the first time."""
    conversation = answer.conversation
    version = answer.version
    plan = TurnPlan(
        answer=Answer(answer.pk, answer.uid, conversation.pk, conversation.team_id, answer.asked_model),
        conversation_uid=conversation.uid,
        request=llm.CompletionRequest(messages=[], model=answer.model),
        prompt=version.prompt.name if version else "",
        version=version.number if version else None,
        experiment=answer.experiment.key if answer.experiment else None,
        variant=answer.served_variant.key if answer.served_variant else None,
        receipt=receipt_of(answer, conversation.team_id),
    )
    return Done(plan, _completion(answer))


def _answer(uid: str) -> Message | None:
    if not uid:
        return None
    rows = Message.objects.select_related("conversation", "version__prompt", "experiment", "served_variant")
    found: Message | None = rows.with_uids([uid]).first()
    return found


def _completion(answer: Message) -> llm.Completion:
    usage = llm.Usage(
        answer.input_tokens or 0,
        answer.output_tokens or 0,
        cached_tokens=answer.cached_tokens or 0,
        reasoning_tokens=answer.reasoning_tokens or 0,
        cache_write_tokens=answer.cache_write_tokens or 0,
        is_estimated=answer.is_usage_estimated,
    )
    return llm.Completion(
        text=answer.content,
        model=answer.model,
        provider=answer.provider,
        usage=usage,
        cost_usd=Decimal(answer.cost_usd) if answer.cost_usd is not None else None,
        finish_reason=llm.FinishReason(answer.finish_reason),
        latency_ms=answer.latency_ms or 0,
        first_token_ms=answer.first_token_ms,
        tool_calls=answer.tool_calls,
    )
