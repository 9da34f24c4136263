"""Money: the most an answer can cost is reserved before the call, and what it did cost is counted when it ends.

The database is the truth. A budget's row takes a reservation only while there is room for it, in one statement, so that
calls at the same time never spend more than there is. Rows are always taken in the order of their budgets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from promptlab import llm
from promptlab.accounts.access import SYSTEM
from promptlab.chat.allowances import Rule, rules_of, span
from promptlab.chat.errors import BudgetNeedsPrice, BudgetUsedUp
from promptlab.chat.models import NANO, BudgetPeriod, Message, Reservation, usd
from promptlab.hooks.models import MailKind
from promptlab.hooks.services import mailing
from promptlab.hooks.services.mailing import Page
from promptlab.hooks.services.outbox import emit
from promptlab.lib.logs import get_logger
from promptlab.lib.metrics import Counter, Gauge
from promptlab.llm.ceiling import worst_case

log = get_logger(__name__)
WARN_AT_PERCENT = 80
BATCH = 500
refused = Counter("promptlab_budget_refusals_total", "Calls that a budget had no room for.", ("of",))


def paying(team_id: int, key_id: int | None, prompt_id: int | None, experiment_id: int | None) -> tuple[Rule, ...]:
    """Return the budgets that an answer counts for; `experiment_id`: that in which its variant is on trial."""
    return tuple(rule for rule in rules_of(team_id) if rule.pays_for(key_id, prompt_id, experiment_id))


def usual_parameters(rules: Sequence[Rule]) -> dict[str, int]:
    """Return the model settings of whoever says nothing: an answer that a budget pays for has a limit in any case."""
    return {"max_tokens": settings.BUDGET_MAX_TOKENS} if rules else {}


def reserve(answer: Message, request: llm.CompletionRequest, team_id: int, rules: Sequence[Rule]) -> None:
    """Reserve the most that the answer can cost in every budget that pays for it.

    Belongs at the end of the transaction that writes the answer's row. Raises BudgetUsedUp, BudgetNeedsPrice.
    """
    if not rules:
        return
    most = worst_case(request, team_id)
    if most is None:
        if not all(rule.takes_unpriced for rule in rules):
            raise BudgetNeedsPrice(model=request.model)
        log.warning("budget_unpriced_call", team_id=team_id, model=request.model)
    now = timezone.now()
    kept = [(_take(rule, most or 0, now), rule) for rule in rules]
    Reservation.objects.bulk_create(
        Reservation(period_id=period_id, message=answer, nanousd=most or 0) for period_id, _ in kept
    )


def settle(answer_id: int, cost_usd: Decimal | None) -> None:
    """Give back what was reserved for an answer, and count what it cost; None: nobody knows what it cost.

    Belongs into the transaction that ends the answer's row.
    """
    held = Reservation.objects.select_for_update(of=("self",)).filter(message_id=answer_id)
    for one in held.select_related("period__budget").order_by("period__budget_id"):
        _settle(one, cost_usd)


def release_orphans() -> int:
    """Give back what is reserved for answers that ended without settling, and return how many reservations that were."""
    orphans = Reservation.objects.exclude(message__state=Message.State.STREAMING)
    if not orphans.exists():
        return 0
    total = 0
    with transaction.atomic():
        orphans = orphans.select_for_update(skip_locked=True, of=("self",)).select_related("period__budget")
        for one in orphans.order_by("period__budget_id", "period_id", "pk")[:BATCH]:
            _settle(one, None)
            total += 1
    if total:
        log.warning("reservations_released", reservations=total)
    return total


def note_refusal(refusal: BudgetUsedUp) -> None:
    """Tell the world, once in a period, that a budget is used up. Belongs after the transaction that was refused."""
    facts = refusal.data["budget"]
    with transaction.atomic():
        period_id = _period(facts["id"], refusal.starts_at)
        unsaid = BudgetPeriod.objects.filter(pk=period_id, exceeded_at=None)
        if not unsaid.update(exceeded_at=timezone.now()):
            return
        period = BudgetPeriod.objects.select_related("budget__prompt", "budget__experiment__prompt").get(pk=period_id)
        named = {facts["of"]: facts["name"]}
        told = {**facts, **named, "spent_usd": _plain(period.spent_usd), "actor": SYSTEM.label}
        limited, about = period.budget, f"budgets/{period.budget_id}"
        prompt = limited.prompt or (limited.experiment.prompt if limited.experiment else None)
        is_private = prompt is not None and prompt.is_private
        emit(period.budget.team_id, "budget.exceeded", told, about=about, is_private=is_private)


def _period(budget_id: int, starts_at: datetime) -> int:
    """Return the id of the row of a budget's period, made if there is none."""
    running = BudgetPeriod.objects.filter(budget_id=budget_id, starts_at=starts_at).values_list("pk", flat=True)
    known: int | None = running.first()
    if known is None:
        BudgetPeriod.objects.bulk_create(
            [BudgetPeriod(budget_id=budget_id, starts_at=starts_at)], ignore_conflicts=True
        )
        known = running.get()
    return known


def _take(rule: Rule, nanousd: int, now: datetime) -> int:
    """Reserve in the budget's running period and return the period's id. Raises BudgetUsedUp."""
    starts_at, resets_at = span(rule.period, now)
    period_id = _period(rule.pk, starts_at)
    # Of its own row alone and nothing joined: who waits here for another call sees the row as that call left it.
    room = BudgetPeriod.objects.filter(
        pk=period_id, spent_nanousd__lte=rule.limit_nanousd - nanousd - F("reserved_nanousd")
    )
    # An unpriced call takes nothing, and is refused all the same once the limit is reached.
    if not nanousd:
        room = room.filter(spent_nanousd__lt=rule.limit_nanousd)
    if not room.update(reserved_nanousd=F("reserved_nanousd") + nanousd):
        refused.add(rule.kind)
        raise BudgetUsedUp(_facts(rule, resets_at), starts_at, int((resets_at - now).total_seconds()) + 1)
    return period_id


def _facts(rule: Rule, resets_at: datetime) -> dict[str, Any]:
    """Return what callers and receivers are told of a budget that is used up."""
    return {
        "id": rule.pk,
        "of": rule.kind,
        "name": rule.about,
        "limit_usd": _plain(usd(rule.limit_nanousd)),
        "period": rule.period,
        "resets_at": resets_at.isoformat(),
    }


def _settle(held: Reservation, cost_usd: Decimal | None) -> None:
    period, budget = held.period, held.period.budget
    spent = int(cost_usd.quantize(Decimal("1e-9")) * NANO) if cost_usd is not None else 0
    BudgetPeriod.objects.filter(pk=period.pk).update(
        reserved_nanousd=F("reserved_nanousd") - held.nanousd,
        spent_nanousd=F("spent_nanousd") + spent,
        unpriced_answers=F("unpriced_answers") + int(cost_usd is None),
    )
    held.delete()
    _used[str(budget.pk)] = float((period.spent_nanousd + spent) / (budget.limit_usd * NANO))
    near = int(budget.limit_usd * NANO) * WARN_AT_PERCENT // 100
    full = BudgetPeriod.objects.filter(pk=period.pk, warned_at=None, spent_nanousd__gte=near)
    if period.warned_at is None and full.update(warned_at=timezone.now()):
        _warn(period)


def _warn(period: BudgetPeriod) -> None:
    """Write a mail to the team's administrators: most of the budget is spent."""
    budget = period.budget
    people = mailing.holders("team.admin", budget.team_id)
    facts: dict[str, str | int | None] = {
        "budget": budget.about,
        "limit": _plain(budget.limit_usd),
        "period": budget.period,
        "percent": WARN_AT_PERCENT,
    }
    where = Page("chat_budget_change", budget.pk)
    mailing.tell(SYSTEM, MailKind.BUDGET_NEAR, people, budget.team_id, where, **facts)


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


_used: dict[str, float] = {}


def _reading() -> Iterator[tuple[tuple[str, ...], float]]:
    for budget, share in list(_used.items()):
        yield (budget,), share


Gauge(
    "promptlab_budget_used_ratio",
    "Share of a budget's limit that was spent when it last paid here.",
    ("budget",),
    _reading,
)
