"""How an answer ends: one row, one end state, whatever happens to the model, the caller, the database or this process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from promptlab import llm
from promptlab.chat.models import Message
from promptlab.chat.services.leasing import Lease
from promptlab.chat.services.reserving import settle
from promptlab.chat.services.writing import hold, write_end, write_ends
from promptlab.lib import gathering
from promptlab.lib.errors import DomainError
from promptlab.lib.gathering import Gathering
from promptlab.lib.logs import get_logger
from promptlab.lib.ratelimit import Taken
from promptlab.lib.threads import run_db
from promptlab.llm import pricing

log = get_logger(__name__)
State = Message.State
PAUSES_S = (0.2, 1.0)
"""Between tries to write how an answer ended: running streams finish while the database is away for a moment."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Which row an answer has."""

    pk: int
    uid: UUID
    conversation_id: int
    team_id: int
    asked: str = ""
    """The name of the model that was asked for."""
    is_budgeted: bool = False
    """Whether a budget keeps something ready for it."""
    taken: Taken | None = None
    """The tokens that are held for it in its key's limit."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Whose text each model that may answer is sent, by its name; empty where all are sent the same."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an answer ended."""

    state: State
    text: str = ""
    finish_reason: str = ""
    error_code: str = ""
    first_token_ms: int | None = None
    completion: llm.Completion | None = None
    is_cached: bool = False
    prices: llm.Json | None = None

    @classmethod
    def of(
        cls,
        completion: llm.Completion | None,
        failure: DomainError | None,
        text: str,
        first_token_ms: int | None,
        spent: llm.Completion | None = None,
        *,
        is_cached: bool = False,
    ) -> Outcome:
        """Return the outcome of an answer: whole, failed after `text`, or, with neither, cancelled after `text`.

        `spent` is what an answer that is not whole is billed as.
        """
        if completion is not None:
            reason, first_token_ms = completion.finish_reason, completion.first_token_ms
            return cls(State.COMPLETED, completion.text, reason, "", first_token_ms, completion, is_cached)
        if failure is not None:
            return cls(State.FAILED, text, llm.FinishReason.ERROR, failure.code, first_token_ms, spent)
        return cls(State.CANCELLED, text, llm.FinishReason.CANCELLED, "", first_token_ms, spent)


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """An answer that broke off: what had been said, why, and what the gateway knows of its rest."""

    request: llm.CompletionRequest
    rest: llm.Rest
    text: str
    first_token_ms: int | None
    latency_ms: int
    failure: DomainError | None = None


_ending: set[asyncio.Task[None]] = set()
"""Ends that wait for the provider to say what the rest of an answer took."""


async def end_broken(answer: Answer, broken: BrokenOff) -> None:
    """Write how an answer that broke off ended, with what it is billed as: counted by the provider where it is read on."""
    if broken.rest.reading is None:
        await end_turn(answer, await _outcome(broken))
        return
    task = asyncio.get_running_loop().create_task(_end_when_read(answer, broken))
    _ending.add(task)
    task.add_done_callback(_ending.discard)


async def settled() -> None:
    """Wait for the ends that the running event loop still has to write; for its end, when nothing is read on any more."""
    loop = asyncio.get_running_loop()
    ours = {task for task in _ending if task.get_loop() is loop}
    if ours:
        await asyncio.wait(ours)
    await gathering.settled()


async def _end_when_read(answer: Answer, broken: BrokenOff) -> None:
    reading = broken.rest.reading
    assert reading is not None
    whole: llm.Completion | None = None
    with Lease(answer.pk):
        try:
            await asyncio.wait({reading})
            if not reading.cancelled() and reading.exception() is None:
                whole = reading.result()
        finally:
            await end_turn(answer, await _outcome(broken, whole))


async def _outcome(broken: BrokenOff, whole: llm.Completion | None = None) -> Outcome:
    """Return the outcome, priced as the provider counted `whole`, else as an estimate of what was said."""
    spent = whole
    if spent is None and broken.rest.route is not None:
        try:
            spent = await llm.aspent(broken.request, broken.rest.route, broken.text)
        except Exception:  # the row ends all the same, without what it took
            log.exception("usage_unknown")
    if spent is not None:
        spent = replace(spent, latency_ms=broken.latency_ms)
    return Outcome.of(None, broken.failure, broken.text, broken.first_token_ms, spent)


async def end_turn(answer: Answer, outcome: Outcome) -> Outcome:
    """Write the outcome, priced, and return it. While the database is away try again; the sweeper closes what is left."""
    if answer.taken is not None:
        await answer.taken.settle(_tokens(outcome))
    for pause_s in (*PAUSES_S, None):
        try:
            if answer.is_budgeted:
                return await run_db(_price_and_finish, answer, outcome)
            return await _ends.join((copy_context(), answer, outcome))
        except (OperationalError, InterfaceError) as error:
            log.warning("answer_not_stored", message_id=str(answer.uid), error=type(error).__name__)
        if pause_s is not None:
            await asyncio.sleep(pause_s)
    return outcome


def _price_and_finish(answer: Answer, outcome: Outcome) -> Outcome:
    outcome = priced(answer, outcome)
    finish_turn(answer, outcome)
    return outcome


End = tuple[Context, Answer, Outcome]


def _finish_together(ends: Sequence[End]) -> Sequence[Outcome | Exception]:
    """Price and write the ends of answers that no budget pays for; where one of them cannot be, each for itself."""
    if len(ends) > 1:
        try:
            outcomes = [context.run(priced, answer, outcome) for context, answer, outcome in ends]
            finish_turns([answer for _, answer, _ in ends], outcomes)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("ends_written_apart")
        else:
            return outcomes
    return [_finished_alone(*one) for one in ends]


def _finished_alone(context: Context, answer: Answer, outcome: Outcome) -> Outcome | Exception:
    try:
        return context.run(_price_and_finish, answer, outcome)
    except Exception as error:  # noqa: BLE001  (whoever waits raises it)
        return error


_ends: Gathering[End, Outcome] = Gathering.in_database(_finish_together)


def priced(answer: Answer, outcome: Outcome) -> Outcome:
    """Return the outcome with what it costs by the team's prices, and the prices that were counted with."""
    done = outcome.completion
    if done is None or outcome.is_cached:
        return outcome
    found = pricing.price(answer.team_id, done.provider, done.model, done.usage, timezone.now(), asked=answer.asked)
    return replace(outcome, completion=replace(done, cost_usd=found.cost_usd), prices=found.prices or None)


def finish_turn(answer: Answer, outcome: Outcome) -> bool:
    """Bring the answer's row to its end state, once; return whether this call did. The first outcome counts."""
    with transaction.atomic():
        hold(answer.conversation_id)
        is_ended = write_end(answer.pk, _fields(answer, outcome))
        if is_ended and answer.is_budgeted:
            settle(answer.pk, _cost(outcome))
    return is_ended


def finish_turns(answers: Sequence[Answer], outcomes: Sequence[Outcome]) -> set[int]:
    """Do for answers that no budget pays for what `finish_turn` does, in one transaction; return the ids of those it ended."""
    with transaction.atomic():
        hold(*(answer.conversation_id for answer in answers))
        return write_ends({one.pk: _fields(one, outcome) for one, outcome in zip(answers, outcomes, strict=True)})


def _fields(answer: Answer, outcome: Outcome) -> dict[str, Any]:
    """Return what stands in the row of an answer that ends now."""
    fields: dict[str, Any] = {
        "ended_at": timezone.now(),
        "state": outcome.state,
        "content": outcome.text,
        "finish_reason": outcome.finish_reason,
        "error_code": outcome.error_code,
        "first_token_ms": outcome.first_token_ms,
        "is_cached": outcome.is_cached,
        "lease_until": None,
        "prices": outcome.prices,
    }
    if outcome.completion is not None:
        fields |= _measured(outcome.completion)
        # Noted at the beginning is what the model that was asked for gets; another one may have answered.
        if outcome.completion.route_name in answer.texts:
            fields["text_for"] = answer.texts[outcome.completion.route_name]
    return fields


def _tokens(outcome: Outcome) -> int:
    """Return the tokens an answer took; one that was given before took none."""
    usage = outcome.completion.usage if outcome.completion is not None else None
    return usage.input_tokens + usage.output_tokens if usage is not None else 0


def _cost(outcome: Outcome) -> Decimal | None:
    """Return what an answer cost; None when nobody knows. What was never sent anywhere cost nothing."""
    if outcome.completion is None:
        return None if outcome.first_token_ms is not None else Decimal(0)
    return outcome.completion.cost_usd


def _measured(completion: llm.Completion) -> dict[str, Any]:
    return {
        "model": completion.model,
        "provider": completion.provider,
        "input_tokens": completion.usage.input_tokens,
        "output_tokens": completion.usage.output_tokens,
        "cached_tokens": completion.usage.cached_tokens,
        "cache_write_tokens": completion.usage.cache_write_tokens,
        "reasoning_tokens": completion.usage.reasoning_tokens,
        "tool_calls": [dict(call) for call in completion.tool_calls],
        "is_usage_estimated": completion.usage.is_estimated,
        "cost_usd": completion.cost_usd,
        "latency_ms": completion.latency_ms,
    }
