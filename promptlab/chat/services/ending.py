"""How an answer ends: one row, one end state, whatever happens to the model, the caller, the database or this process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from promptlab import llm
from promptlab.chat.models import Conversation, Message
from promptlab.lib.errors import DomainError
from promptlab.lib.logs import get_logger
from promptlab.lib.threads import run_db

log = get_logger(__name__)
State = Message.State
RENEWALS_PER_LEASE = 3
PAUSES_S = (0.2, 1.0)
"""Between tries to write how an answer ended: running streams finish while the database is away for a moment."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Which row an answer has."""

    pk: int
    uid: UUID
    conversation_id: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an answer ended."""

    state: State
    text: str = ""
    finish_reason: str = ""
    error_code: str = ""
    first_token_ms: int | None = None
    completion: llm.Completion | None = None

    @classmethod
    def of(
        cls, completion: llm.Completion | None, failure: DomainError | None, text: str, first_token_ms: int | None
    ) -> Outcome:
        """Return the outcome of an answer: whole, failed after `text`, or, with neither, cancelled after `text`."""
        if completion is not None:
            reason, first_token_ms = completion.finish_reason, completion.first_token_ms
            return cls(State.COMPLETED, completion.text, reason, "", first_token_ms, completion)
        if failure is not None:
            return cls(State.FAILED, text, llm.FinishReason.ERROR, failure.code, first_token_ms)
        return cls(State.CANCELLED, text, llm.FinishReason.CANCELLED, "", first_token_ms)


async def end_turn(answer: Answer, outcome: Outcome) -> None:
    """Write the outcome, trying again while the database is away. What cannot be written the sweeper closes later."""
    for pause_s in (*PAUSES_S, None):
        try:
            await run_db(finish_turn, answer, outcome)
            return
        except (OperationalError, InterfaceError) as error:
            log.warning("answer_not_stored", message_id=str(answer.uid), error=type(error).__name__)
        if pause_s is not None:
            await asyncio.sleep(pause_s)


def finish_turn(answer: Answer, outcome: Outcome) -> bool:
    """Bring the answer's row to its end state, once; return whether this call did. The first outcome counts."""
    fields: dict[str, Any] = {
        "state": outcome.state,
        "content": outcome.text,
        "finish_reason": outcome.finish_reason,
        "error_code": outcome.error_code,
        "first_token_ms": outcome.first_token_ms,
        "lease_until": None,
    }
    if outcome.completion is not None:
        fields |= _measured(outcome.completion)
    with transaction.atomic():
        hold(answer.conversation_id)
        going_on = Message.objects.filter(pk=answer.pk, state=State.STREAMING)
        return bool(going_on.update(ended_at=timezone.now(), **fields))


def hold(conversation_id: int) -> None:
    """Hold the conversation until the transaction ends; look at the clock only after.

    What an answer was sent is rebuilt from times: questions and answers of one conversation are written one after the
    other, so that none is older than a turn that could not see it yet.
    """
    Conversation.objects.select_for_update(no_key=True).get(pk=conversation_id)


def _measured(completion: llm.Completion) -> dict[str, Any]:
    return {
        "model": completion.model,
        "provider": completion.provider,
        "input_tokens": completion.usage.input_tokens,
        "output_tokens": completion.usage.output_tokens,
        "is_usage_estimated": completion.usage.is_estimated,
        "cost_usd": completion.cost_usd,
        "latency_ms": completion.latency_ms,
    }


def renew_lease(answer_id: int) -> None:
    """Say that the answer's process is alive. One that stops saying so is closed by the sweeper."""
    until = timezone.now() + timedelta(seconds=settings.MESSAGE_LEASE_S)
    Message.objects.filter(pk=answer_id, state=State.STREAMING).update(lease_until=until)


async def keep_lease(answer_id: int) -> None:
    while True:
        await asyncio.sleep(settings.MESSAGE_LEASE_S / RENEWALS_PER_LEASE)
        try:
            await run_db(renew_lease, answer_id)
        except (OperationalError, InterfaceError) as error:
            log.warning("lease_not_renewed", error=type(error).__name__)
