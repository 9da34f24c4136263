"""Setting budgets and removing them. What they keep calls from is in `reserving`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from experiments.models import Experiment
from promptlab.accounts.access import Principal, require
from promptlab.accounts.models import ApiKey, Team
from promptlab.audit.recorder import record
from promptlab.chat.errors import BudgetNotFound
from promptlab.chat.models import Budget
from promptlab.lib.errors import Invalid, NotFound
from promptlab.llm.keeping import forget_on_commit
from prompts.models import Prompt

CAPABILITY = "team.admin"
LEAST_USD = Decimal("0.000001")
MOST_USD = Decimal(10_000_000)


def set_budget(
    actor: Principal,
    team: Team,
    *,
    period: str,
    limit_usd: Decimal,
    of: ApiKey | Prompt | Experiment | None = None,
    takes_unpriced: bool = False,
) -> Budget:
    """Let something cost so much in each day or month of UTC, in place of what was said of it before: the team, if not said.

    Other processes know within 3 s. The same again changes nothing. Raises Invalid naming the field.
    """
    require(actor, CAPABILITY, team.pk)
    _check(period, limit_usd)
    if of is not None and of.team_id != team.pk:
        raise NotFound
    about = _about(of)
    wanted = {"limit_usd": limit_usd, "takes_unpriced": takes_unpriced}
    with transaction.atomic():
        # The team's row is the lock: its budgets are set one after the other.
        Team.objects.select_for_update(no_key=True).get(pk=team.pk)
        budget: Budget | None = Budget.objects.in_force().filter(team=team, period=period, **about).first()
        before = _facts(budget) if budget is not None else {}
        if budget is None:
            budget = Budget.objects.create(team=team, period=period, **about, **wanted)
        elif (budget.limit_usd, budget.takes_unpriced) == (limit_usd, takes_unpriced):
            return budget
        else:
            budget.limit_usd, budget.takes_unpriced = limit_usd, takes_unpriced
            budget.save(update_fields=["limit_usd", "takes_unpriced"])
        record(actor, "budget.set", budget, team_id=team.pk, before=before, after=_facts(budget))
        forget_on_commit(team.pk)
    return budget


def remove_budget(actor: Principal, budget: Budget) -> None:
    """Let something cost what it does again. Raises BudgetNotFound."""
    require(actor, CAPABILITY, budget.team_id)
    with transaction.atomic():
        rows = Budget.objects.in_force().select_for_update(no_key=True, of=("self",))
        locked: Budget | None = rows.filter(pk=budget.pk).first()
        if locked is None:
            raise BudgetNotFound
        locked.removed_at = timezone.now()
        locked.save(update_fields=["removed_at"])
        record(actor, "budget.removed", locked, team_id=locked.team_id, before=_facts(locked))
        forget_on_commit(locked.team_id)


def _about(of: ApiKey | Prompt | Experiment | None) -> dict[str, Any]:
    kinds = {"key": ApiKey, "prompt": Prompt, "experiment": Experiment}
    return {name: of if isinstance(of, kind) else None for name, kind in kinds.items()}


def _check(period: str, limit_usd: Decimal) -> None:
    if period not in Budget.Period.values:
        raise Invalid.field("period", f"One of: {', '.join(Budget.Period.values)}.", code="invalid_choice")
    if not limit_usd.is_finite() or not LEAST_USD <= limit_usd <= MOST_USD:
        raise Invalid.field("limit_usd", f"From {LEAST_USD} to {MOST_USD} US dollars.", code="out_of_range")
    if limit_usd != limit_usd.quantize(LEAST_USD):
        raise Invalid.field("limit_usd", gettext_noop("At most six decimal places."), code="invalid")


def _facts(budget: Budget) -> dict[str, Any]:
    """Return what the activity log knows of a budget."""
    return {
        "of": budget.kind,
        "name": budget.about,
        "period": budget.period,
        "limit_usd": f"{budget.limit_usd.normalize():f}",
        "takes_unpriced": budget.takes_unpriced,
    }
