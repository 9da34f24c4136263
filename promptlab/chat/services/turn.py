"""One turn of a conversation: prepare it (rows first), stream it, and bring its row to an end state whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from promptlab_sdk.kernel.assignment import MAX_UNIT_ID

from promptlab import llm
from promptlab.accounts.access import Principal
from promptlab.chat.errors import ConversationNotFound
from promptlab.chat.models import Conversation, Message
from promptlab.chat.services.asking import request_for, texts_of
from promptlab.chat.services.beginning import Draft
from promptlab.chat.services.choosing import Chosen, choose, of_session, of_tier
from promptlab.chat.services.ending import Answer, BrokenOff, Outcome, end_broken, end_turn
from promptlab.chat.services.external import receipt_of
from promptlab.chat.services.leasing import Lease
from promptlab.chat.services.paying import Written, drafted
from promptlab.chat.services.writing import First, hold, new_row
from promptlab.lib import problem
from promptlab.lib.errors import DomainError, Invalid
from promptlab.lib.logs import get_logger, request_id
from promptlab.lib.ratelimit import Taken

log = get_logger(__name__)
State = Message.State
MAX_MESSAGE = 200_000
MAX_ENVIRONMENT = 36
MAX_MODEL = 100
MAX_SESSION = 200
MAX_SAID = 2_000
"""Messages of one talk that a caller may tell with its question."""
MAX_CALL_ID = 200


@dataclass(frozen=True, slots=True)
class TurnInput:
    """What a caller says. `prompt` is `NAME[@SELECTOR]`; `unit_id` is the end user, whom experiments assign by.

    A caller of the OpenAI-compatible face (`purpose`) tells the whole talk in `said`, and no `message`. `parameters` go
    over those of the version. Conditions of experiments are about `attributes` and `metadata`, and `session` as `session_id`.
    Answers for one `session` of an end user stand in one conversation, to be read together. A `tier` names the model where
    `model` does not. `team_id` says which team is meant by who is in several.
    """

    message: str = ""
    prompt: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)
    environment: str = ""
    conversation_id: str = ""
    unit_id: str = ""
    model: str = ""
    tier: str = ""
    team_id: int | None = None
    purpose: str = Message.Purpose.CHAT
    said: Sequence[llm.ChatMessage] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    session: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_whole_talk(self) -> bool:
        """Whether everything that was said is in `said`, and nothing that stands in the conversation is sent."""
        return self.purpose == Message.Purpose.OPENAI


@dataclass(frozen=True, slots=True)
class TurnPlan:
    """A turn that is ready: its rows exist, and this is what goes to the model.

    `environment` is where the version was found live; empty for one that was asked for by its number or name.
    """

    answer: Answer
    conversation_uid: UUID
    request: llm.CompletionRequest
    prompt: str
    version: int | None
    experiment: str | None
    variant: str | None
    receipt: str | None
    environment: str = ""

    def holding(self, taken: Taken | None) -> TurnPlan:
        """Return it with the tokens that are held for its answer."""
        return replace(self, answer=replace(self.answer, taken=taken)) if taken else self


@dataclass(frozen=True, slots=True)
class Token:
    """The next piece of the answer. `tool_calls` are pieces of calls, in the form of the chat completions API."""

    text: str
    tool_calls: Sequence[llm.Json] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is complete and its row says so."""

    plan: TurnPlan
    completion: llm.Completion


@dataclass(frozen=True, slots=True)
class Broken:
    """The answer broke off after its first words; its row says so."""

    plan: TurnPlan
    error: DomainError


def prepare_turn(actor: Principal, turn: TurnInput) -> TurnPlan:
    """Choose the version, fill it, and write the rows. The answer's row is there before anything is sent.

    Raises what `draft_turn` and its plan raise.
    """
    return draft_turn(actor, turn).written()


def draft_turn(actor: Principal, turn: TurnInput) -> Draft[TurnPlan]:
    """Choose the version and fill it. The rows of a talk that begins may be written along with others.

    Raises NotDeployed, VersionNotFound, ConversationNotFound, SnippetNotLive, MissingVariables, ContextTooLong,
    BudgetUsedUp, BudgetNeedsPrice, Invalid naming the field.
    """
    team_id = actor.team_for("chat.use", turn.team_id)
    _check(turn)
    turn = replace(turn, model=turn.model or of_tier(team_id, turn.tier))
    conversation = _conversation(team_id, turn.conversation_id)
    unit_id = turn.unit_id or (conversation.unit_id if conversation else "")
    environment = turn.environment or (conversation.environment if conversation else "") or actor.default_environment
    reference = turn.prompt or (conversation.prompt.name if conversation and conversation.prompt else "")
    session = turn.session or (conversation.session if conversation else "")
    attributes = {**of_session(session), **turn.metadata, **turn.attributes}
    chosen = choose(actor, team_id, reference, environment, unit_id, attributes) if reference else Chosen()

    def write(chosen: Chosen, usual: Mapping[str, Any]) -> Written:
        there = conversation or _of_session(actor, team_id, turn, unit_id)
        if there is None:
            there = _new(actor, team_id, turn, chosen, environment, unit_id)
            told, answer = _rows(there, turn, chosen, unit_id, usual)
            request = request_for(answer, team_id, told)
            return Written(chosen, answer, request, First(there, told, answer))
        with transaction.atomic():
            hold(there.pk)
            told, answer = _rows(there, turn, chosen, unit_id, usual)
            _write_next(told, answer)
            return Written(chosen, answer, request_for(answer, team_id))

    waits = conversation is not None or bool(turn.session)
    return drafted(actor, team_id, chosen, write, partial(_plan, team_id), waits=waits)


def _plan(team_id: int, written: Written) -> TurnPlan:
    chosen, answer, request = written.chosen, written.answer, written.request
    return TurnPlan(
        answer=Answer(
            answer.pk,
            answer.uid,
            answer.conversation_id,
            team_id,
            request.model,
            written.is_budgeted,
            texts=texts_of(answer, request.routes),
        ),
        conversation_uid=answer.conversation.uid,
        request=request,
        prompt=chosen.prompt.name if chosen.prompt else "",
        version=chosen.version.number if chosen.version else None,
        experiment=chosen.experiment_key,
        variant=chosen.served_key,
        receipt=receipt_of(answer, team_id),
        environment=chosen.entry.environment if chosen.entry else "",
    )


Rescue = Callable[[llm.LLMError], Awaitable[llm.Completion | None]]
"""Returns what may be given instead of an answer that failed before its first token; None for nothing."""


async def stream_turn(plan: TurnPlan, rescue: Rescue | None = None) -> AsyncGenerator[Token | Done | Broken]:
    """Yield tokens, then Done; or Broken when it broke off after the first. Raises LLMError before the first.

    What `rescue` gives instead is Done as well: the row has it as given before, with the code of what failed.

    Closing the generator ends the call at the provider, or has it read to its end where that is billed all the same, and
    leaves the row cancelled, with the text so far and what it is billed as.
    """
    parts: list[str] = []
    completion: llm.Completion | None = None
    rescued: llm.Completion | None = None
    failure: DomainError | None = None
    first_token_ms: int | None = None
    rest = llm.Rest()
    started = asyncio.get_running_loop().time()
    with Lease(plan.answer.pk):
        try:
            async with aclosing(llm.astream(plan.request, rest=rest)) as events:
                async for event in events:
                    if isinstance(event, llm.Completion):
                        completion = event
                        break
                    if first_token_ms is None:
                        first_token_ms = _ms_since(started)
                    parts.append(event.text)
                    yield Token(event.text, event.tool_calls)
        except llm.LLMError as error:
            failure = error
            if first_token_ms is None:
                completion = rescued = await rescue(error) if rescue is not None else None
                if completion is None:
                    raise
        except Exception:
            log.exception("turn_crashed", message_id=str(plan.answer.uid))
            failure = problem.Unexpected()
            if first_token_ms is None:
                raise
        finally:
            text = "".join(parts)
            if completion is not None:
                outcome = Outcome.of(completion, None, text, first_token_ms, is_cached=rescued is not None)
                end = _whole(plan, replace(outcome, error_code=failure.code) if failure is not None else outcome)
            else:
                broken = BrokenOff(plan.request, rest, text, first_token_ms, _ms_since(started), failure)
                end = end_broken(plan.answer, broken)
            # Shielded: whoever hangs up cancels this task, and the row must end all the same.
            completion = await asyncio.shield(end)
    if completion is not None:
        yield Done(plan, completion)
    else:
        assert failure is not None
        yield Broken(plan, failure)


async def whole_turn(plan: TurnPlan, rescue: Rescue | None = None) -> Done:
    """Return the whole answer. Raises what it failed with, before its first words or after them."""
    async with aclosing(stream_turn(plan, rescue)) as events:
        async for event in events:
            if isinstance(event, Broken):
                raise event.error
            if isinstance(event, Done):
                return event
    raise AssertionError("a turn ends with Done, Broken or an error")


async def _whole(plan: TurnPlan, outcome: Outcome) -> llm.Completion | None:
    """End the answer and return it as its row says."""
    return (await end_turn(plan.answer, outcome)).completion


def _ms_since(started: float) -> int:
    return round((asyncio.get_running_loop().time() - started) * 1000)


def _check(turn: TurnInput) -> None:
    if turn.is_whole_talk:
        _check_said(turn)
    elif not turn.message.strip():
        raise Invalid.field("message", "Send a message.", code="required")
    if len(turn.message) > MAX_MESSAGE:
        raise Invalid.field("message", f"The message is longer than {MAX_MESSAGE} characters.", code="too_long")
    limits = {"user": (turn.unit_id, MAX_UNIT_ID), "environment": (turn.environment, MAX_ENVIRONMENT)}
    limits["session"] = (turn.session, MAX_SESSION)
    if turn.model and turn.tier:
        raise Invalid.field("tier", "Send either model or tier.")
    for name, (text, limit) in {**limits, "model": (turn.model, MAX_MODEL)}.items():
        if len(text) > limit:
            raise Invalid.field(name, f"At most {limit} characters.", code="too_long")


def _conversation(team_id: int, uid: str) -> Conversation | None:
    if not uid:
        return None
    try:
        wanted = UUID(uid)
    except ValueError as error:
        raise ConversationNotFound(conversation=uid[:100]) from error
    found = Conversation.objects.select_related("prompt").filter(team_id=team_id, uid=wanted).first()
    if found is None:
        raise ConversationNotFound(conversation=uid)
    return found


def _check_said(turn: TurnInput) -> None:
    if not turn.said and not turn.prompt:
        raise Invalid.field("messages", "Send messages, or name a prompt.", code="required")
    if len(turn.said) > MAX_SAID:
        raise Invalid.field("messages", f"At most {MAX_SAID} messages.", code="too_many")
    for index, one in enumerate(turn.said):
        if len(one.content) > MAX_MESSAGE:
            detail = f"The message is longer than {MAX_MESSAGE} characters."
            raise Invalid.field(f"messages.{index}.content", detail, code="too_long")
        if len(one.tool_call_id) > MAX_CALL_ID:
            raise Invalid.field(f"messages.{index}.tool_call_id", f"At most {MAX_CALL_ID} characters.", code="too_long")


def _of_session(actor: Principal, team_id: int, turn: TurnInput, unit_id: str) -> Conversation | None:
    """Return the conversation of the caller's session: of this key and end user, so that no two people share one."""
    if not turn.session:
        return None
    key_id = actor.id if actor.kind == "key" else None
    same = Conversation.objects.filter(team_id=team_id, session=turn.session, key_id=key_id, unit_id=unit_id)
    found: Conversation | None = same.order_by("id").first()
    return found


def _new(
    actor: Principal, team_id: int, turn: TurnInput, chosen: Chosen, environment: str, unit_id: str
) -> Conversation:
    return new_row(
        Conversation,
        team_id=team_id,
        prompt=chosen.prompt,
        environment=environment,
        unit_id=unit_id,
        key_id=actor.id if actor.kind == "key" else None,
        author_id=actor.user_id if turn.purpose == Message.Purpose.TRY else None,
        session=turn.session,
    )


def _rows(
    conversation: Conversation, turn: TurnInput, chosen: Chosen, unit_id: str, usual: Mapping[str, Any]
) -> tuple[list[Message], Message]:
    """Return the rows of what the caller said, and of the answer to come."""
    now = timezone.now()
    version = chosen.version
    model = turn.model or chosen.model or settings.LLM_DEFAULT_MODEL
    answer = new_row(
        Message,
        conversation=conversation,
        role=Message.Role.ASSISTANT,
        purpose=turn.purpose,
        metadata=dict(turn.metadata),
        state=State.STREAMING,
        lease_until=now + timedelta(seconds=settings.MESSAGE_LEASE_S),
        rolled_up_at=now if turn.purpose == Message.Purpose.TRY else None,
        version=version,
        environment_id=chosen.environment_id,
        revision=chosen.revision,
        unit_id=unit_id,
        variables=dict(turn.variables),
        snippets=dict(chosen.snippets),
        model=model,
        asked_model=model,
        text_for=chosen.text_for(model),
        parameters={**usual, **chosen.parameters, **turn.parameters},
        request_id=request_id(),
        **chosen.assigned(),
    )
    return _told(conversation, turn, unit_id, now), answer


def _write_next(told: Sequence[Message], answer: Message) -> None:
    """Write the rows of a turn in a conversation that goes on."""
    written = Message.objects.bulk_create(told)
    answer.sent_from = written[0].pk if written and written[0].is_sent else None
    answer.save(force_insert=True)


def _told(conversation: Conversation, turn: TurnInput, unit_id: str, now: datetime) -> list[Message]:
    """Return the rows of what the caller said: its question, or the whole talk."""
    question = llm.ChatMessage("user", turn.message)
    return [
        new_row(
            Message,
            conversation=conversation,
            role=one.role,
            purpose=turn.purpose,
            content=one.content,
            tool_calls=[dict(call) for call in one.tool_calls],
            tool_call_id=one.tool_call_id,
            is_sent=turn.is_whole_talk,
            state=State.COMPLETED,
            ended_at=now,
            unit_id=unit_id,
            request_id=request_id(),
        )
        for one in (turn.said if turn.is_whole_talk else [question])
    ]
