"""One turn of a conversation: prepare it (rows first), stream it, and bring its row to an end state whatever happens."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone
from promptlab_sdk.kernel.assignment import MAX_UNIT_ID, Assignment, assign

from experiments.delivery import Entry, deliver
from promptlab import llm
from promptlab.accounts.access import Principal, require_environment
from promptlab.chat.errors import ConversationNotFound
from promptlab.chat.models import Conversation, Message
from promptlab.chat.services.external import receipt_of
from promptlab.chat.transcripts import upstream_messages, upstream_parameters
from promptlab.lib import problem
from promptlab.lib.errors import DomainError, Invalid
from promptlab.lib.logs import get_logger, request_id
from promptlab.lib.threads import run_db
from prompts import resolve, snippets
from prompts.models import Environment, Prompt, Version
from prompts.services.environments import named

log = get_logger(__name__)
State = Message.State
MAX_MESSAGE = 200_000
MAX_ENVIRONMENT = 36
MAX_MODEL = 100
RENEWALS_PER_LEASE = 3
PAUSES_S = (0.2, 1.0)
"""Between tries to write how an answer ended: running streams finish while the database is away for a moment."""


@dataclass(frozen=True, slots=True)
class TurnInput:
    """What a caller says. `prompt` is `NAME[@SELECTOR]`; `unit_id` is the end user, whom experiments assign by."""

    message: str
    prompt: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)
    environment: str = ""
    conversation_id: str = ""
    unit_id: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class TurnPlan:
    """A turn that is ready: its rows exist, and this is what goes to the model."""

    answer_id: int
    conversation_id: int
    answer_uid: UUID
    conversation_uid: UUID
    request: llm.CompletionRequest
    prompt: str
    version: int | None
    experiment: str | None
    variant: str | None
    receipt: str | None


@dataclass(frozen=True, slots=True)
class Token:
    """The next piece of the answer."""

    text: str


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


@dataclass(slots=True)
class Chosen:
    """Which version is served, and why."""

    version: Version | None = None
    prompt: Prompt | None = None
    environment_id: int | None = None
    entry: Entry | None = None
    assignment: Assignment | None = None
    snippets: Mapping[str, int] = field(default_factory=dict)
    """The ids of the versions whose texts are put in, by name."""


def prepare_turn(actor: Principal, turn: TurnInput) -> TurnPlan:
    """Choose the version, fill it, and write the rows. The answer's row is there before anything is sent.

    Raises NotDeployed, VersionNotFound, ConversationNotFound, SnippetNotLive, MissingVariables, Invalid naming the field.
    """
    team_id = actor.team_for("chat.use")
    _check(turn)
    conversation = _conversation(team_id, turn.conversation_id)
    unit_id = turn.unit_id or (conversation.unit_id if conversation else "")
    environment = turn.environment or (conversation.environment if conversation else "") or actor.default_environment
    reference = turn.prompt or (conversation.prompt.name if conversation and conversation.prompt else "")
    chosen = _choose(actor, team_id, reference, environment, unit_id) if reference else Chosen()
    with transaction.atomic():
        if conversation is None:
            conversation = _open(actor, team_id, chosen, environment, unit_id)
        else:
            _hold(conversation.pk)
        answer = _write_rows(conversation, turn, chosen, unit_id)
        messages = upstream_messages(answer)
    request = llm.CompletionRequest(
        messages=messages,
        model=answer.model,
        parameters=upstream_parameters(answer),
        purpose="chat",
        user=_anonymous(team_id, unit_id),
    )
    return TurnPlan(
        answer_id=answer.pk,
        conversation_id=conversation.pk,
        answer_uid=answer.uid,
        conversation_uid=conversation.uid,
        request=request,
        prompt=chosen.prompt.name if chosen.prompt else "",
        version=chosen.version.number if chosen.version else None,
        experiment=answer.experiment.key if answer.experiment else None,
        variant=answer.served_variant.key if answer.served_variant else None,
        receipt=receipt_of(answer, team_id),
    )


async def stream_turn(plan: TurnPlan) -> AsyncGenerator[Token | Done | Broken]:
    """Yield tokens, then Done; or Broken when it broke off after the first. Raises LLMError before the first.

    Closing the generator ends the call at the provider and leaves the row cancelled, with the text so far.
    """
    parts: list[str] = []
    completion: llm.Completion | None = None
    failure: DomainError | None = None
    first_token_ms: int | None = None
    started = asyncio.get_running_loop().time()
    renewal = asyncio.ensure_future(_keep_lease(plan.answer_id))
    try:
        async with aclosing(llm.astream(plan.request)) as events:
            async for event in events:
                if isinstance(event, llm.Completion):
                    completion = event
                    break
                if first_token_ms is None:
                    first_token_ms = round((asyncio.get_running_loop().time() - started) * 1000)
                parts.append(event.text)
                yield Token(event.text)
    except llm.LLMError as error:
        failure = error
        if not parts:
            raise
    except Exception:
        log.exception("turn_crashed", message_id=str(plan.answer_uid))
        failure = problem.Unexpected()
        if not parts:
            raise
    finally:
        renewal.cancel()
        outcome = Outcome.of(completion, failure, "".join(parts), first_token_ms)
        # Shielded: whoever hangs up cancels this task, and the row must end all the same.
        await asyncio.shield(_end(plan, outcome))
    if failure is not None:
        yield Broken(plan, failure)
    else:
        assert completion is not None
        yield Done(plan, completion)


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


async def _end(plan: TurnPlan, outcome: Outcome) -> None:
    """Write the outcome, trying again while the database is away. What cannot be written the sweeper closes later."""
    for pause_s in (*PAUSES_S, None):
        try:
            await run_db(finish_turn, plan, outcome)
            return
        except (OperationalError, InterfaceError) as error:
            log.warning("answer_not_stored", message_id=str(plan.answer_uid), error=type(error).__name__)
        if pause_s is not None:
            await asyncio.sleep(pause_s)


def finish_turn(plan: TurnPlan, outcome: Outcome) -> bool:
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
        _hold(plan.conversation_id)
        going_on = Message.objects.filter(pk=plan.answer_id, state=State.STREAMING)
        return bool(going_on.update(ended_at=timezone.now(), **fields))


def _hold(conversation_id: int) -> None:
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


async def _keep_lease(answer_id: int) -> None:
    while True:
        await asyncio.sleep(settings.MESSAGE_LEASE_S / RENEWALS_PER_LEASE)
        try:
            await run_db(renew_lease, answer_id)
        except (OperationalError, InterfaceError) as error:
            log.warning("lease_not_renewed", error=type(error).__name__)


def _check(turn: TurnInput) -> None:
    if not turn.message.strip():
        raise Invalid.field("message", "Send a message.", code="required")
    if len(turn.message) > MAX_MESSAGE:
        raise Invalid.field("message", f"The message is longer than {MAX_MESSAGE} characters.", code="too_long")
    limits = {"user": (turn.unit_id, MAX_UNIT_ID), "environment": (turn.environment, MAX_ENVIRONMENT)}
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


def _choose(actor: Principal, team_id: int, reference: str, environment: str, unit_id: str) -> Chosen:
    """Return the version to serve: pinned by the selector, or the live one, or the assigned variant's."""
    name, selector = resolve.split_reference(reference)
    if _is_pinned(team_id, selector):
        version = resolve.version_of(resolve.prompt_named(team_id, name), selector)
        require_environment(actor, environment)
        where = named(team_id, environment)
        return Chosen(version, version.prompt, where.pk, snippets=snippets.resolve(version, where).ids)
    require_environment(actor, selector or environment)
    entry = deliver(team_id, selector or environment, name)
    experiment = entry.delivery.experiment
    assignment = assign(experiment, unit_id) if experiment else None
    if assignment and assignment.reason == "no_unit":
        log.info("no_unit_id", prompt=name, experiment=experiment.key if experiment else "")
    version_id = entry.version_id
    if assignment and assignment.assigned:
        version_id = entry.variant_version_ids[assignment.variant.key]
    version = Version.objects.select_related("prompt").get(pk=version_id)
    return Chosen(version, version.prompt, entry.environment_id, entry, assignment, _included(version, entry))


def _included(version: Version, entry: Entry) -> dict[str, int]:
    """Return which versions are put into a delivered one: those of the revision that was delivered."""
    if not snippets.included_in(version):
        return {}
    environment = Environment.objects.get(pk=entry.environment_id)
    return snippets.resolve_at(version, environment, entry.delivery.revision).ids


def _is_pinned(team_id: int, selector: str) -> bool:
    """Tell whether a selector names a version: it looks like one, or is not an environment (`spring-sale`)."""
    if not selector or resolve.is_version_selector(selector):
        return bool(selector)
    return not Environment.objects.filter(team_id=team_id, name=selector).exists()


def _open(actor: Principal, team_id: int, chosen: Chosen, environment: str, unit_id: str) -> Conversation:
    return Conversation.objects.create(
        team_id=team_id,
        prompt=chosen.prompt,
        environment=environment,
        unit_id=unit_id,
        key_id=actor.id if actor.kind == "key" else None,
    )


def _write_rows(conversation: Conversation, turn: TurnInput, chosen: Chosen, unit_id: str) -> Message:
    """Write what the user said and the answer to come; return the latter."""
    now = timezone.now()
    Message.objects.create(
        conversation=conversation,
        role=Message.Role.USER,
        content=turn.message,
        state=State.COMPLETED,
        ended_at=now,
        unit_id=unit_id,
        request_id=request_id(),
    )
    version = chosen.version
    answer: Message = Message.objects.create(
        conversation=conversation,
        role=Message.Role.ASSISTANT,
        state=State.STREAMING,
        lease_until=now + timedelta(seconds=settings.MESSAGE_LEASE_S),
        version=version,
        environment_id=chosen.environment_id,
        revision=_revision(chosen),
        unit_id=unit_id,
        variables=dict(turn.variables),
        snippets=dict(chosen.snippets),
        model=turn.model or (version.model if version else "") or settings.LLM_DEFAULT_MODEL,
        parameters=dict(version.parameters) if version else {},
        request_id=request_id(),
        **_assigned(chosen),
    )
    return answer


def _revision(chosen: Chosen) -> int | None:
    """Return the state of the environment in which the version was chosen."""
    if chosen.entry is not None:
        return chosen.entry.delivery.revision
    return resolve.revision_of(chosen.environment_id) if chosen.environment_id is not None else None


def _assigned(chosen: Chosen) -> dict[str, Any]:
    """Return the columns that say which variant shaped the answer; none when nobody was assigned."""
    if not chosen.assignment or not chosen.assignment.assigned or chosen.entry is None:
        return {}
    experiment = chosen.entry.delivery.experiment
    assert experiment is not None
    variant_id = chosen.entry.variant_ids[chosen.assignment.variant.key]
    return {
        "experiment_id": experiment.id,
        "phase": experiment.phase,
        "assigned_variant_id": variant_id,
        "served_variant_id": variant_id,
        "slot": chosen.assignment.slot,
    }


def _anonymous(team_id: int, unit_id: str) -> str:
    """Return what the provider may know of an end user: a hash that tells abusers apart, and nothing else."""
    return hashlib.sha256(f"{team_id}:{unit_id}".encode()).hexdigest() if unit_id else ""
