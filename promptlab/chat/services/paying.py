"""Writing an answer's rows so that the budgets pay for it, or nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from django.db import transaction

from promptlab import llm
from promptlab.accounts.access import Principal
from promptlab.chat.allowances import Rule
from promptlab.chat.errors import BudgetUsedUp
from promptlab.chat.models import Message
from promptlab.chat.services.beginning import Draft
from promptlab.chat.services.choosing import Chosen
from promptlab.chat.services.reserving import note_refusal, paying, reserve, usual_parameters
from promptlab.chat.services.writing import First, write_first
from promptlab.lib.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Written:
    """An answer's row, the version that was chosen for it, and what goes to the model."""

    chosen: Chosen
    answer: Message
    request: llm.CompletionRequest
    first: First | None = None
    """The rows that are still to be written: those of a conversation that begins."""
    is_budgeted: bool = False


Write = Callable[[Chosen, Mapping[str, Any]], Written]
"""Writes the rows, but not a conversation's first; given the version, and the model settings of whoever says nothing."""
P = TypeVar("P")


def drafted(
    actor: Principal, team_id: int, chosen: Chosen, write: Write, plan: Callable[[Written], P], *, waits: bool = False
) -> Draft[P]:
    """Return the draft of an answer whose rows `write` writes. `waits`: they may have to wait for others.

    Its plan raises BudgetUsedUp, BudgetNeedsPrice where a budget pays for it.
    """
    if waits or _rules(actor, team_id, chosen):
        return Draft(lambda: plan(with_budgets(actor, team_id, chosen, write)))
    written = write(chosen, {})
    return Draft(lambda: plan(written), written.first)


def with_budgets(actor: Principal, team_id: int, chosen: Chosen, write: Write) -> Written:
    """Return what `write` wrote, with the most that it can cost reserved, in one transaction.

    Where an experiment's budget is used up, the control is served instead. Raises BudgetUsedUp, BudgetNeedsPrice.
    """
    try:
        return _written(actor, team_id, chosen, write)
    except BudgetUsedUp as refusal:
        if not refusal.is_of_experiment:
            raise
        log.info("fell_back_to_control", budget=refusal.data["budget"]["id"])
        with transaction.atomic():
            # Told after the commit: rows of budgets are taken in their order, and that one is taken already.
            transaction.on_commit(partial(note_refusal, refusal), robust=True)
            return _written(actor, team_id, chosen.fallen_back(), write)


def _rules(actor: Principal, team_id: int, chosen: Chosen) -> tuple[Rule, ...]:
    """Return the budgets that pay for the answer."""
    key_id = actor.id if actor.kind == "key" else None
    return paying(team_id, key_id, chosen.prompt.pk if chosen.prompt else None, chosen.on_trial)


def _written(actor: Principal, team_id: int, chosen: Chosen, write: Write) -> Written:
    rules = _rules(actor, team_id, chosen)
    if not rules:
        return _with_first(write(chosen, {}))
    with transaction.atomic():
        written = _with_first(write(chosen, usual_parameters(rules)))
        reserve(written.answer, written.request, team_id, rules)
    return replace(written, is_budgeted=True)


def _with_first(written: Written) -> Written:
    if written.first is not None:
        write_first([written.first])
    return written
