"""Which budgets a team has, and how much of them is left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Prefetch

from promptlab.chat.models import NANO, Budget, BudgetPeriod
from promptlab.llm.keeping import Kept


@dataclass(frozen=True, slots=True)
class Rule:
    """A budget as calls need it. `kind`, `about`: of what, in words."""

    pk: int
    kind: str
    about: str
    period: str
    limit_nanousd: int
    takes_unpriced: bool
    key_id: int | None = None
    prompt_id: int | None = None
    experiment_id: int | None = None

    def pays_for(self, key_id: int | None, prompt_id: int | None, experiment_id: int | None) -> bool:
        """Tell whether an answer to that key, with that prompt, on trial in that experiment, counts."""
        wanted = ((self.key_id, key_id), (self.prompt_id, prompt_id), (self.experiment_id, experiment_id))
        return all(own is None or own == given for own, given in wanted)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a budget stands in the period that is running."""

    budget: Budget
    starts_at: datetime
    resets_at: datetime
    spent_usd: Decimal = Decimal(0)
    reserved_usd: Decimal = Decimal(0)
    unpriced_answers: int = 0

    @property
    def left_usd(self) -> Decimal:
        """What can still be reserved; 0 where more was spent than a limit that was lowered since."""
        return max(Decimal(0), self.budget.limit_usd - self.spent_usd - self.reserved_usd)


def rules_of(team_id: int) -> tuple[Rule, ...]:
    """Return the team's budgets, the oldest first. One query, kept for seconds."""
    return _rules.of(team_id)


def span(period: str, moment: datetime) -> tuple[datetime, datetime]:
    """Return the beginning of the day or month of UTC that `moment` is in, and that of the next."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == Budget.Period.DAY:
        return day, day + timedelta(days=1)
    first = day.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1)


def running(now: datetime) -> Prefetch:
    """Return what to prefetch with budgets so that `standing` asks nothing more."""
    begun = {span(period, now)[0] for period in Budget.Period}
    return Prefetch("periods", BudgetPeriod.objects.filter(starts_at__in=begun), to_attr="running")


def standing(budget: Any, now: datetime) -> Standing:
    """Return how a budget stands now, which came with what is `running`."""
    starts_at, resets_at = span(budget.period, now)
    for one in budget.running:
        if one.starts_at == starts_at:
            return Standing(budget, starts_at, resets_at, one.spent_usd, one.reserved_usd, one.unpriced_answers)
    return Standing(budget, starts_at, resets_at)


def standings(budgets: Iterable[Budget], now: datetime) -> list[Standing]:
    """Return how budgets stand now, in their order. One query."""
    rows: list[Any] = list(budgets)
    found = BudgetPeriod.objects.filter(
        budget__in=rows, starts_at__in={span(period, now)[0] for period in Budget.Period}
    )
    for one in rows:
        one.running = [period for period in found if period.budget_id == one.pk]
    return [standing(one, now) for one in rows]


def _load(team_id: int) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            one.pk, one.kind, one.about, one.period, int(one.limit_usd * NANO), one.takes_unpriced,
            one.key_id, one.prompt_id, one.experiment_id,
        )
        for one in Budget.objects.filter(team_id=team_id).in_force().order_by("id")
    )  # fmt: skip


_rules: Kept[tuple[Rule, ...]] = Kept(_load)
