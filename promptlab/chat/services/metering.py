"""Ended answers become sums: requests, waits, tokens and cost of every version that was served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC

from django.db import transaction
from django.utils import timezone

from experiments.services.hours import Served
from experiments.services.rollups import Observation, add_observations
from promptlab.chat.models import Message
from promptlab.chat.services import formats
from promptlab.lib.batches import in_batches
from promptlab.lib.logs import get_logger
from prompts.services import calling, usage
from prompts.services.calling import Call, Who
from prompts.services.usage import Use

log = get_logger(__name__)
ROLL_UP_TASK = "chat.roll_up_messages"
TEXTS = ("content", "variables", "parameters", "version__text", "version__messages")

LOOKED_AT = 5
"""Answers of one caller, in a batch, whose variables' names are read: values may be long."""
SERVED = ("version__prompt", "environment", "experiment", "phase", "served_variant", "purpose", "conversation__key")
MEASURED = (
    "unit_id", "dealt_unit", "state", "ended_at", "is_external", "first_token_ms", "latency_ms",
    "input_tokens", "output_tokens", "cost_usd", "model",
)  # fmt: skip
"""The columns that sums are made of: rows are wide, and most of what counting them costs is reading them."""


def roll_up_messages(limit: int = 500) -> int:
    """Add ended answers to the sums, `limit` in a transaction, and return how many. Again adds nothing."""
    total = in_batches(_roll_up_batch, limit)
    if total:
        log.info("messages_rolled_up", messages=total)
    return total


@transaction.atomic
def _roll_up_batch(limit: int) -> int:
    # No key: a rating that refers to one of these answers must not wait for us.
    waiting = Message.objects.not_rolled_up().select_for_update(skip_locked=True, of=("self",), no_key=True)
    waiting = waiting.select_related("version", "conversation").only(*SERVED, *MEASURED)
    answers: list[Message] = list(waiting[:limit])
    if answers:
        kept = formats.kept(answers)
        add_observations([one for answer in answers if (one := observation_of(answer, kept.get(answer.pk)))])
        usage.count(answers=Counter(use for use in map(_use_of, answers) if use))
        calling.count(_calls_of(answers))
        Message.objects.filter(pk__in=[answer.pk for answer in answers]).update(rolled_up_at=timezone.now())
    return len(answers)


def _use_of(answer: Message) -> Use | None:
    """Return which prompt was used on which day; None for an answer that did not come to its end."""
    if answer.version is None or answer.state != Message.State.COMPLETED or answer.purpose == Message.Purpose.TRY:
        return None
    assert answer.ended_at is not None
    return answer.version.prompt_id, answer.ended_at.astimezone(UTC).date()


def _calls_of(answers: Sequence[Message]) -> list[Call]:
    """Return who was answered, and for some of each caller's answers the names of what it sent: one query."""
    callers = {answer.pk: who for answer in answers if (who := _caller_of(answer))}
    looked: Counter[Who] = Counter()
    sample = []
    for answer in answers:
        who = callers.get(answer.pk)
        if who is not None and not answer.is_external and looked[who] < LOOKED_AT:
            looked[who] += 1
            sample.append(answer.pk)
    sent = dict(Message.objects.filter(pk__in=sample).values_list("pk", "variables")) if sample else {}
    names = {pk: tuple(said) if isinstance(said, dict) else () for pk, said in sent.items()}
    return [
        Call(callers[answer.pk], answer.input_tokens or 0, answer.output_tokens or 0, names.get(answer.pk))
        for answer in answers
        if answer.pk in callers
    ]


def _caller_of(answer: Message) -> Who | None:
    """Return whose answer it is; None where no version was served to anybody."""
    use = _use_of(answer)
    if use is None or answer.environment_id is None:
        return None
    return use[0], answer.environment_id, use[1], answer.conversation.key_id or 0


def served_as(
    purpose: str,
    prompt_id: int | None,
    environment_id: int | None,
    version_id: int | None,
    experiment_id: int | None,
    phase: int,
    variant_id: int | None,
) -> Served | None:
    """Return what an answer showed; None for what is counted nowhere: what is tried, or has no version or environment."""
    if prompt_id is None or environment_id is None or version_id is None or purpose == Message.Purpose.TRY:
        return None
    return Served(prompt_id, environment_id, version_id, experiment_id, phase, variant_id)


def served_by(message: Message) -> Served | None:
    """Return what `served_as` says of a message."""
    prompt_id = message.version.prompt_id if message.version else None
    where = prompt_id, message.environment_id, message.version_id
    return served_as(message.purpose, *where, message.experiment_id, message.phase, message.served_variant_id)


def observation_of(answer: Message, keeps_format: bool | None = None) -> Observation | None:
    """Return what an ended answer adds, None where nothing counts. Shown: its first word reached the caller.

    `keeps_format` None: it had no format to keep, or nobody can say.
    """
    served = served_by(answer)
    if served is None:
        return None
    assert answer.ended_at is not None
    return Observation(
        served=served,
        unit_id=answer.counted_unit,
        at=answer.ended_at,
        requests=1,
        shown=int(answer.is_external or answer.first_token_ms is not None),
        errors=int(answer.state == Message.State.FAILED),
        input_tokens=answer.input_tokens or 0,
        output_tokens=answer.output_tokens or 0,
        cost_usd=answer.cost_usd,
        is_unpriced=answer.cost_usd is None and not answer.is_external,
        latency_ms=answer.latency_ms or 0,
        checked=int(keeps_format is not None),
        misfits=int(keeps_format is False),
        model=answer.model,
    )
