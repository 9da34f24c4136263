"""Answers that applications gave themselves, with a prompt they took from us: known by their receipts."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction
from django.utils import timezone
from promptlab_sdk.kernel.assignment import MAX_UNIT_ID

from experiments import receipts
from experiments.errors import ReceiptInvalid
from experiments.models import Experiment, Variant
from experiments.receipts import CHECKSUM_CHARACTERS, Receipt
from promptlab.accounts.access import Principal, require
from promptlab.chat.models import Conversation, Message
from promptlab.chat.services.metering import ROLL_UP_TASK
from promptlab.lib.errors import FieldProblem, Invalid
from promptlab.lib.queue import enqueue_on_commit
from prompts.models import Environment, Version

OURS = uuid.UUID("6f0c7d52-9d0e-5c43-9a5b-3f1d5f0f7a11")
"""The namespace of the ids of external answers. A caller's own id is hashed into it along with its team."""
MAX_ID = 255


@dataclass(frozen=True, slots=True)
class ExternalAnswer:
    """One use of a prompt. `receipt` came with the prompt; `id`, made by the caller, makes sending it again harmless.

    Without an `id` a unit counts once with each receipt. What it took is None where the caller does not say. `is_forced`:
    the unit is on the experiment's list for trying it out, and takes part in no analysis.
    """

    receipt: str
    unit_id: str = ""
    id: str = ""
    model: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_ms: int | None = None
    cost_usd: Decimal | None = None
    is_forced: bool = False


def record_external(actor: Principal, answers: Sequence[ExternalAnswer], field: str = "") -> list[uuid.UUID]:
    """Keep what was shown elsewhere, all of it or nothing, and return the ids of the messages that stand for it.

    The same again changes nothing. `field`: how the caller's body calls the list, for errors.
    Raises Invalid naming every wrong receipt and unit, Forbidden, NotFound for another team's receipt.
    """
    read = _checked(answers, field)
    for team_id in {receipt.team_id for receipt in read}:
        require(actor, "feedback.write", team_id)
    rows = [_row(receipt, answer) for receipt, answer in zip(read, answers, strict=True)]
    with transaction.atomic():
        new = _new(rows)
        Conversation.objects.bulk_create([row.conversation for row in new])
        Message.objects.bulk_create(new, ignore_conflicts=True)
        if new:
            enqueue_on_commit(ROLL_UP_TASK)
    return [row.uid for row in rows]


def receipt_of(answer: Message, team_id: int) -> str | None:
    """Return the receipt of an answer; None where no version of ours shaped it."""
    version = answer.version
    if version is None or answer.environment_id is None or answer.revision is None:
        return None
    return receipts.write(
        Receipt(
            team_id=team_id,
            prompt_id=version.prompt_id,
            version_id=version.pk,
            checksum=version.checksum[:CHECKSUM_CHARACTERS],
            environment_id=answer.environment_id,
            revision=answer.revision,
            at=int(answer.created_at.timestamp()),
            experiment_id=answer.experiment_id or 0,
            phase=answer.phase,
            variant_id=answer.served_variant_id or 0,
            slot=-1 if answer.slot is None else answer.slot,
            unit=receipts.pseudonym(team_id, answer.counted_unit),
            answer=answer.uid.hex,
        )
    )


def uid_of(receipt: Receipt, answer: ExternalAnswer) -> uuid.UUID:
    """Return the id of the message that stands for the answer: the receipt's own, or one made of who and what."""
    if not receipt.is_shared:
        return uuid.UUID(hex=receipt.answer)
    said = f"id:{answer.id}" if answer.id else f"unit:{answer.receipt}:{answer.unit_id}"
    return uuid.uuid5(OURS, f"{receipt.team_id}:{said}")


def _checked(answers: Sequence[ExternalAnswer], field: str) -> list[Receipt]:
    """Return the receipts. Raises Invalid with every problem."""
    read: list[Receipt] = []
    problems: list[FieldProblem] = []
    for index, answer in enumerate(answers):
        at = f"{field}.{index}." if field else ""
        try:
            read.append(receipts.read(answer.receipt))
        except Invalid as error:
            problems.append(FieldProblem(f"{at}receipt", error.detail, error.code))
        if len(answer.unit_id) > MAX_UNIT_ID:
            problems.append(FieldProblem(f"{at}unit_id", f"At most {MAX_UNIT_ID} characters.", "too_long"))
        if len(answer.id) > MAX_ID:
            problems.append(FieldProblem(f"{at}id", f"At most {MAX_ID} characters.", "too_long"))
        if not answer.unit_id and not answer.id:
            problems.append(FieldProblem(f"{at}unit_id", "Say who was served, or give the answer an id.", "required"))
    if problems:
        raise Invalid(problems[0].detail, code=problems[0].code, problems=problems)
    return read


def _row(receipt: Receipt, answer: ExternalAnswer) -> Message:
    now = timezone.now()
    conversation = Conversation(
        team_id=receipt.team_id, prompt_id=receipt.prompt_id, unit_id=answer.unit_id, environment=""
    )
    variant_id = None if answer.is_forced else receipt.variant_id or None
    return Message(
        uid=uid_of(receipt, answer),
        conversation=conversation,
        role=Message.Role.ASSISTANT,
        state=Message.State.COMPLETED,
        ended_at=now,
        version_id=receipt.version_id,
        environment_id=receipt.environment_id,
        revision=receipt.revision,
        experiment_id=receipt.experiment_id or None,
        phase=receipt.phase,
        assigned_variant_id=variant_id,
        served_variant_id=variant_id,
        unit_id=answer.unit_id,
        model=answer.model[:100],
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
        latency_ms=answer.latency_ms,
        cost_usd=answer.cost_usd,
        is_external=True,
    )


def _new(rows: Sequence[Message]) -> list[Message]:
    """Return the rows that are not there yet, each once, with the names of their environments."""
    wanted = {row.uid: row for row in rows}
    known = set(Message.objects.with_uids(wanted).values_list("uid", flat=True))
    new = [row for uid, row in wanted.items() if uid not in known]
    if not new:
        return []
    _check_still_there(new)
    _leave_out_forced(new)
    names = dict(Environment.objects.filter(pk__in={row.environment_id for row in new}).values_list("pk", "name"))
    for row in new:
        row.conversation.environment = names[row.environment_id]
    return new


def _check_still_there(rows: Sequence[Message]) -> None:
    """Raise Invalid when what a receipt names was removed since: a signature does not keep a row alive."""
    versions = {row.version_id for row in rows if row.version_id}
    variants = {row.served_variant_id for row in rows if row.served_variant_id}
    environments = {row.environment_id for row in rows if row.environment_id}
    if (
        Version.objects.filter(pk__in=versions).count() != len(versions)
        or Variant.objects.filter(pk__in=variants).count() != len(variants)
        or Environment.objects.filter(pk__in=environments).count() != len(environments)
    ):
        raise ReceiptInvalid


def _leave_out_forced(rows: Sequence[Message]) -> None:
    """Take the variant from the rows of units that try it out, whether the caller says so or not: one query."""
    lists = Experiment.objects.filter(pk__in={row.experiment_id for row in rows if row.served_variant_id})
    forced = {pk: frozenset(overrides) for pk, overrides in lists.values_list("pk", "overrides") if overrides}
    for row in rows:
        if row.unit_id and row.unit_id in forced.get(row.experiment_id or 0, ()):
            row.assigned_variant_id = row.served_variant_id = None
