"""One answer to one text or prompt, whole: rows first, then the model or an answer that was given before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.utils import timezone
from promptlab_sdk.kernel.assignment import MAX_UNIT_ID

from promptlab import llm
from promptlab.accounts.access import Principal
from promptlab.chat.models import Conversation, Message
from promptlab.chat.services.asking import request_for, texts_of
from promptlab.chat.services.beginning import Draft
from promptlab.chat.services.choosing import Chosen, choose, of_session, of_tier
from promptlab.chat.services.ending import Answer, Outcome, end_turn
from promptlab.chat.services.external import receipt_of
from promptlab.chat.services.kept_answers import (
    CACHE_KIND,
    LAST_KIND,
    LastAnswer,
    given_before,
    kept,
    may_be_kept,
    place_of,
)
from promptlab.chat.services.leasing import Lease
from promptlab.chat.services.paying import Written, drafted
from promptlab.chat.services.turn import (
    MAX_ENVIRONMENT,
    MAX_MESSAGE,
    MAX_MODEL,
    TurnPlan,
    whole_turn,
)
from promptlab.chat.services.writing import First, new_row
from promptlab.lib import cache
from promptlab.lib.errors import FieldProblem, Invalid
from promptlab.lib.logs import request_id
from promptlab.lib.ratelimit import Taken

State = Message.State
MAX_SESSION = 200
MAX_TEMPERATURE = 2.0


@dataclass(frozen=True, slots=True)
class GenerateInput:
    """What a caller wants: an answer to a text, or to the prompt `NAME[@SELECTOR]` with its variables.

    `cache_s`: how many seconds old an answer to the same request may be; 0 asks the model in any case. `stale_s`: how
    many seconds old the last answer to the same request may be that is given when every provider fails; 0: none is.
    """

    prompt: str = ""
    prompt_name: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)
    environment: str = ""
    session: str = ""
    unit_id: str = ""
    model: str = ""
    tier: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    cache_s: int = 0
    stale_s: int = 0
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GeneratePlan:
    """What is ready to be asked: its rows exist. `place` is where the same answer would lie; None: it is not cached.

    `last` is what may be given when every provider fails.
    """

    turn: TurnPlan
    session: str
    place: cache.Place | None = None
    cache_s: int = 0
    last: LastAnswer | None = None

    def holding(self, taken: Taken | None) -> GeneratePlan:
        """Return it with the tokens that are held for its answer."""
        return replace(self, turn=self.turn.holding(taken))


@dataclass(frozen=True, slots=True)
class Generated:
    """A whole answer. `is_cached`: it was given before, and cost nothing this time; `is_stale`: because nobody answers."""

    plan: GeneratePlan
    completion: llm.Completion
    is_cached: bool = False
    is_stale: bool = False


def draft_generate(actor: Principal, wanted: GenerateInput) -> Draft[GeneratePlan]:
    """Choose the version and fill it. Its rows, which may be written along with others, stand before anything is sent.

    Raises NotDeployed, VersionNotFound, SnippetNotLive, MissingVariables, ContextTooLong, BudgetUsedUp,
    BudgetNeedsPrice, Invalid.
    """
    team_id = actor.team_for("chat.use")
    _check(wanted)
    environment = wanted.environment or actor.default_environment
    chosen = Chosen()
    if wanted.prompt_name:
        attributes = {**of_session(wanted.session), **wanted.attributes}
        chosen = choose(actor, team_id, wanted.prompt_name, environment, wanted.unit_id, attributes)
    model = wanted.model or of_tier(team_id, wanted.tier)

    def write(chosen: Chosen, _usual: Mapping[str, Any]) -> Written:
        conversation, told, answer = _rows(actor, team_id, wanted, chosen, environment, model)
        request = request_for(answer, team_id, told)
        return Written(chosen, answer, request, First(conversation, told, answer))

    return drafted(actor, team_id, chosen, write, partial(_plan, team_id, wanted))


def _plan(team_id: int, wanted: GenerateInput, written: Written) -> GeneratePlan:
    chosen, answer, request = written.chosen, written.answer, written.request
    turn = TurnPlan(
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
    )
    place = place_of(CACHE_KIND, team_id, request, chosen) if wanted.cache_s else None
    last_place = place_of(LAST_KIND, team_id, request, chosen) if wanted.stale_s else None
    last = LastAnswer(last_place, wanted.stale_s) if last_place else None
    return GeneratePlan(turn, wanted.session, place, wanted.cache_s, last)


async def generate(plan: GeneratePlan) -> Generated:
    """Return the answer, once its row says the same. Raises LLMError. Who hangs up ends it, and the row is cancelled."""
    if plan.place is None:
        return await _asked(plan)
    found = await _waited(plan, plan.place)
    if not isinstance(found, cache.Lease):
        return found
    async with found:
        generated = await _asked(plan)
        if may_be_kept(generated.completion) and not generated.is_stale:
            await cache.keep(plan.place, kept(generated.completion), plan.cache_s)
        return generated


async def _asked(plan: GeneratePlan) -> Generated:
    last = plan.last
    completion = (await whole_turn(plan.turn, last.rescue if last else None)).completion
    if last is None:
        return Generated(plan, completion)
    if last.age_s is not None:
        return Generated(plan, completion, is_cached=True, is_stale=True)
    await last.keep(completion)
    return Generated(plan, completion)


async def _waited(plan: GeneratePlan, place: cache.Place) -> Generated | cache.Lease:
    """Return the answer that somebody else got, with the row ended; or the lease to get it. The row ends all the same."""
    answer, started = plan.turn.answer, time.perf_counter()
    try:
        with Lease(answer.pk):
            found = await cache.find_or_lead(place, settings.LLM_DEADLINE_S / 2)
    except BaseException:
        await asyncio.shield(end_turn(answer, Outcome.of(None, None, "", None)))
        raise
    if isinstance(found, cache.Lease):
        return found
    completion = given_before(found, round((time.perf_counter() - started) * 1000))
    outcome = Outcome.of(completion, None, "", None, is_cached=True)
    await asyncio.shield(end_turn(answer, outcome))
    return Generated(plan, completion, is_cached=True)


def _check(wanted: GenerateInput) -> None:
    """Raise Invalid naming every wrong field."""
    problems = list(_problems(wanted))
    if problems:
        raise Invalid(problems[0].detail, code=problems[0].code, problems=problems)


def _problems(wanted: GenerateInput) -> list[FieldProblem]:
    found = []
    if bool(wanted.prompt.strip()) == bool(wanted.prompt_name):
        detail = "Send either prompt, a text, or prompt_name, the name of a prompt."
        found.append(FieldProblem("prompt", detail, "invalid" if wanted.prompt_name else "required"))
    if wanted.model and wanted.tier:
        found.append(FieldProblem("tier", "Send either model or tier."))
    texts = {
        "prompt": (wanted.prompt, MAX_MESSAGE),
        "environment": (wanted.environment, MAX_ENVIRONMENT),
        "model": (wanted.model, MAX_MODEL),
        "session_id": (wanted.session, MAX_SESSION),
        "unit_id": (wanted.unit_id, MAX_UNIT_ID),
    }
    for name, (text, limit) in texts.items():
        if len(text) > limit:
            found.append(FieldProblem(name, f"At most {limit} characters.", "too_long"))
    numbers = {
        "max_tokens": (wanted.max_tokens, 1, settings.GENERATE_MAX_TOKENS),
        "temperature": (wanted.temperature, 0, MAX_TEMPERATURE),
        "cache": (wanted.cache_s, 0, settings.GENERATE_CACHE_MAX_S),
        "stale_if_error": (wanted.stale_s, 0, settings.GENERATE_STALE_MAX_S),
    }
    for name, (number, least, most) in numbers.items():
        if number is not None and not least <= number <= most:
            found.append(FieldProblem(name, f"A number from {least} to {most}.", "out_of_range"))
    return found


def _rows(
    actor: Principal, team_id: int, wanted: GenerateInput, chosen: Chosen, environment: str, model: str
) -> tuple[Conversation, list[Message], Message]:
    """Return the rows of a conversation of its own, of what was asked, and of the answer to come."""
    now = timezone.now()
    conversation = new_row(
        Conversation,
        team_id=team_id,
        prompt=chosen.prompt,
        environment=environment,
        unit_id=wanted.unit_id,
        session=wanted.session,
        key_id=actor.id if actor.kind == "key" else None,
    )
    said: dict[str, Any] = {
        "conversation": conversation,
        "purpose": Message.Purpose.GENERATE,
        "unit_id": wanted.unit_id,
        "request_id": request_id(),
    }
    question = new_row(
        Message, role=Message.Role.USER, content=wanted.prompt, state=State.COMPLETED, ended_at=now, **said
    )
    version = chosen.version
    asked = model or chosen.model or settings.LLM_DEFAULT_MODEL
    answer = new_row(
        Message,
        role=Message.Role.ASSISTANT,
        state=State.STREAMING,
        lease_until=now + timedelta(seconds=settings.MESSAGE_LEASE_S),
        version=version,
        environment_id=chosen.environment_id,
        revision=chosen.revision,
        variables=dict(wanted.variables),
        snippets=dict(chosen.snippets),
        model=asked,
        asked_model=asked,
        text_for=chosen.text_for(asked),
        parameters={**_usual(), **chosen.parameters, **_asked_for(wanted)},
        **said,
        **chosen.assigned(),
    )
    return conversation, [question] if wanted.prompt else [], answer


def _usual() -> dict[str, Any]:
    """Return the model settings of whoever says nothing: an answer has a limit in any case."""
    return {"max_tokens": settings.GENERATE_MAX_TOKENS}


def _asked_for(wanted: GenerateInput) -> dict[str, Any]:
    given = {"max_tokens": wanted.max_tokens, "temperature": wanted.temperature}
    return {name: value for name, value in given.items() if value is not None}
