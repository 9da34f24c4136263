"""Writing an answer's rows so that the budgets pay for it, or nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from django.db import transaction

from promptlab import llm
from promptlab.accounts.access import Principal
from promptlab.chat.errors import BudgetUsedUp
from promptlab.chat.models import Message
from promptlab.chat.services.choosing import Chosen
from promptlab.chat.services.reserving import note_refusal, paying, reserve, usual_parameters
from promptlab.lib.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Written:
    """An answer's row, the version that was chosen for it, and what goes to the model."""

    chosen: Chosen
    answer: Message
    request: llm.CompletionRequest
    is_budgeted: bool = False


Write = Callable[[Chosen, Mapping[str, Any]], Written]
"""Writes the rows; given the version, and the model settings of whoever says nothing."""


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


def _written(actor: Principal, team_id: int, chosen: Chosen, write: Write) -> Written:
    key_id = actor.id if actor.kind == "key" else None
    rules = paying(team_id, key_id, chosen.prompt.pk if chosen.prompt else None, chosen.on_trial)
    if not rules:
        return write(chosen, {})
    with transaction.atomic():
        written = write(chosen, usual_parameters(rules))
        reserve(written.answer, written.request, team_id, rules)
    return replace(written, is_budgeted=True)
