"""Budgets: what a call can cost is reserved before it, what it did cost is counted after, and the limit is never passed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail as django_mail
from django.db import connections
from django.db.models import Sum
from django.utils import timezone

from experiments.models import Experiment
from promptlab import llm
from promptlab.accounts.access import SYSTEM, Principal
from promptlab.accounts.auth import principal_of_key
from promptlab.accounts.models import Team
from promptlab.chat.allowances import span, standings
from promptlab.chat.errors import BudgetNeedsPrice, BudgetUsedUp
from promptlab.chat.models import Budget, BudgetPeriod, Message, Reservation
from promptlab.chat.services import ending, reserving
from promptlab.chat.services.budgeting import remove_budget, set_budget
from promptlab.chat.services.ending import Outcome, finish_turn
from promptlab.chat.services.metering import observation_of
from promptlab.chat.services.sweeping import close_abandoned
from promptlab.chat.services.turn import TurnInput, TurnPlan, prepare_turn
from promptlab.hooks.models import OutboxEvent
from promptlab.hooks.tasks import send_mails
from promptlab.llm.ceiling import worst_case
from promptlab.llm.errors import ProviderUnavailable
from promptlab.llm.keeping import forget
from promptlab.llm.providers import scripted
from promptlab.llm.services import price_list
from tests.chat.conftest import Counter
from tests.support.make import make_admin, make_experiment, make_key, make_model, make_provider, make_team

CENT = Decimal("0.01")
TOKENS = 10
"""That many tokens of an answer cost a cent; those of a question cost nothing."""


def price_models(team: Team) -> None:
    """Give `house` and `scripted`, which answers from a script, their prices."""
    one = make_provider(team, name="scripted", kind="server", address="https://models.example.com/v1")
    make_model(one, "house")
    for model in ("house", "scripted"):
        for token, usd in (("input", 0), ("output", 1000)):
            price_list.set_price(SYSTEM, one, model=model, token=token, usd_per_million=Decimal(usd))


@pytest.fixture
def caller(team: Team) -> Principal:
    price_models(team)
    return principal_of_key(make_key(team)[0])


def limit(team: Team, usd: str, **said: Any) -> Budget:
    budget = set_budget(SYSTEM, team, limit_usd=Decimal(usd), **{"period": "day", **said})
    forget()  # a test's transaction is never through
    return budget


def ask(caller: Principal, **said: Any) -> TurnPlan:
    """Prepare a call that costs a cent at most."""
    parameters = {"max_tokens": TOKENS, **said.pop("parameters", {})}
    return prepare_turn(caller, TurnInput(**{"message": "Hi", "model": "house", "parameters": parameters, **said}))


def told(tokens: int = TOKENS, **changed: Any) -> llm.Completion:
    return replace(
        llm.Completion(
            text="Yes.",
            model="house",
            provider="scripted",
            usage=llm.Usage(2, tokens),
            cost_usd=None,
            finish_reason=llm.FinishReason.STOP,
            latency_ms=5,
            first_token_ms=2,
        ),
        **changed,
    )


def end(plan: TurnPlan, completion: llm.Completion | None = None, **said: Any) -> None:
    outcome = Outcome.of(completion or told(), None, "", None, **said)
    finish_turn(plan.answer, ending.priced(plan.answer, outcome))


def sums(budget: Budget) -> tuple[Decimal, Decimal, int]:
    """Return what is spent, what is reserved, and how many answers nobody knows the cost of."""
    [one] = standings([budget], timezone.now())
    return one.spent_usd, one.reserved_usd, one.unpriced_answers


@pytest.mark.django_db
def test_the_most_a_call_can_cost_is_reserved_and_the_rest_comes_back(team: Team, caller: Principal) -> None:
    budget = limit(team, "1")
    plan = ask(caller)
    assert sums(budget) == (0, CENT, 0)
    end(plan, told(4))
    assert sums(budget) == (Decimal("0.004"), 0, 0)
    assert Message.objects.get(pk=plan.answer.pk).cost_usd == Decimal("0.004")
    assert not Reservation.objects.exists()


@pytest.mark.django_db
def test_ending_twice_counts_once(team: Team, caller: Principal) -> None:
    budget = limit(team, "1")
    plan = ask(caller)
    end(plan)
    end(plan)
    assert sums(budget) == (CENT, 0, 0)


@pytest.mark.django_db
def test_a_call_that_could_pass_the_limit_is_refused_and_leaves_nothing(team: Team, caller: Principal) -> None:
    budget = limit(team, "0.025")
    first, _second = ask(caller), ask(caller)
    with pytest.raises(BudgetUsedUp) as caught:
        ask(caller)
    assert Message.objects.answers().count() == 2
    facts = caught.value.data["budget"]
    assert (facts["id"], facts["of"], facts["limit_usd"], facts["period"]) == (budget.pk, "team", "0.025", "day")
    wait = datetime.fromisoformat(facts["resets_at"]) - timezone.now()
    assert caught.value.retry_after_s == pytest.approx(wait.total_seconds(), abs=30)
    end(first, told(1))
    assert ask(caller).answer.is_budgeted


@pytest.mark.django_db
def test_every_budget_that_pays_has_to_have_room_and_none_keeps_anything_of_a_refusal(
    team: Team, caller: Principal
) -> None:
    wide, narrow = limit(team, "1"), limit(team, "0.005", period="month")
    with pytest.raises(BudgetUsedUp) as caught:
        ask(caller)
    assert caught.value.data["budget"]["id"] == narrow.pk
    assert sums(wide) == sums(narrow) == (0, 0, 0)


@pytest.mark.django_db
def test_a_key_has_its_own_budget(team: Team, caller: Principal) -> None:
    key, _ = make_key(team)
    limit(team, "0.005", of=key)
    assert not ask(caller).answer.is_budgeted
    with pytest.raises(BudgetUsedUp):
        ask(principal_of_key(key))


@pytest.mark.django_db
def test_who_has_no_budget_pays_one_read_that_is_kept(
    team: Team, caller: Principal, django_assert_num_queries: Any
) -> None:
    ask(caller)
    with django_assert_num_queries(0):
        assert reserving.paying(team.pk, caller.id, None, None) == ()
    assert not BudgetPeriod.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("completion", "said"),
    [
        (told(cost_usd=Decimal(0), usage=llm.Usage(0, 0)), {"is_cached": True}),
        (None, {}),
    ],
    ids=["cached", "failed before its first word"],
)
def test_what_was_not_asked_of_a_model_costs_nothing(
    team: Team, caller: Principal, completion: llm.Completion | None, said: dict[str, Any]
) -> None:
    budget = limit(team, "1")
    plan = ask(caller)
    failure = None if completion else ProviderUnavailable()
    finish_turn(plan.answer, ending.priced(plan.answer, Outcome.of(completion, failure, "", None, **said)))
    assert sums(budget) == (0, 0, 0)


@pytest.mark.django_db
def test_a_call_of_unknown_price_is_refused_unless_the_budget_takes_it_and_counts_it(
    team: Team, caller: Principal
) -> None:
    limit(team, "1")
    with pytest.raises(BudgetNeedsPrice, match="nobody-knows"):
        ask(caller, model="nobody-knows")
    budget = limit(team, "1", takes_unpriced=True)
    plan = ask(caller, model="nobody-knows")
    end(plan, told(model="nobody-knows", provider="openai"))
    assert sums(budget) == (0, 0, 1)


@pytest.mark.django_db
def test_an_answer_that_a_budget_pays_for_has_a_limit_in_any_case(team: Team, caller: Principal, settings: Any) -> None:
    settings.BUDGET_MAX_TOKENS = 20
    turn = TurnInput(message="Hi", model="house")
    assert "max_tokens" not in prepare_turn(caller, turn).request.parameters
    budget = limit(team, "1")
    plan = prepare_turn(caller, turn)
    assert plan.request.parameters["max_tokens"] == 20
    assert sums(budget) == (0, 2 * CENT, 0)


@pytest.mark.django_db
def test_the_dearest_way_is_reserved() -> None:
    team = make_team()
    for name, usd in (("cheap", 1), ("dear", 1000)):
        one = make_provider(team, name=name, kind="server", address="https://models.example.com/v1")
        for token in ("input", "output"):
            price_list.set_price(SYSTEM, one, model="m", token=token, usd_per_million=Decimal(usd))
        price_list.set_price(SYSTEM, one, model="m", token="cache_write", usd_per_million=Decimal(2 * usd))
    routes = [llm.Route(provider=name, kind="server", model="m") for name in ("cheap", "dear")]
    request = llm.CompletionRequest([llm.ChatMessage("user", "é" * 100)], "m", {"max_tokens": 7}, routes=tuple(routes))
    most = worst_case(request, team.pk)
    assert most is not None and most >= (2 * 200 + 7) * 1000 * 1000
    cheap = worst_case(replace(request, routes=tuple(routes[:1])), team.pk)
    assert cheap is not None and most == 1000 * cheap


@pytest.mark.django_db
def test_what_a_process_left_behind_is_given_back(team: Team, caller: Principal) -> None:
    budget = limit(team, "1")
    gone, going_on = ask(caller), ask(caller)
    Message.objects.filter(pk=gone.answer.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    close_abandoned()
    assert sums(budget) == (0, CENT, 1)
    assert list(Reservation.objects.values_list("message_id", flat=True)) == [going_on.answer.pk]
    close_abandoned()
    assert sums(budget) == (0, CENT, 1)


@pytest.mark.parametrize(
    ("period", "at", "expected"),
    [
        ("day", "2026-03-31T23:59:59+00:00", ("2026-03-31", "2026-04-01")),
        ("day", "2026-03-31T23:59:59-05:00", ("2026-04-01", "2026-04-02")),
        ("month", "2026-12-31T12:00:00+00:00", ("2026-12-01", "2027-01-01")),
        ("month", "2028-01-31T00:00:00+00:00", ("2028-01-01", "2028-02-01")),
    ],
)
def test_days_and_months_are_those_of_utc(period: str, at: str, expected: tuple[str, str]) -> None:
    days = [datetime.fromisoformat(day).replace(tzinfo=UTC) for day in expected]
    assert list(span(period, datetime.fromisoformat(at))) == days


@pytest.mark.django_db
def test_a_new_period_is_whole_and_an_answer_counts_where_it_was_reserved(team: Team, caller: Principal) -> None:
    budget = limit(team, "0.01")
    plan = ask(caller)
    yesterday = span("day", timezone.now() - timedelta(days=1))[0]
    BudgetPeriod.objects.update(starts_at=yesterday)
    ask(caller)
    end(plan)
    assert sums(budget) == (0, CENT, 0)
    assert BudgetPeriod.objects.get(starts_at=yesterday).spent_usd == CENT


@pytest.mark.django_db
def test_a_removed_budget_refuses_nothing_and_still_counts_what_is_under_way(team: Team, caller: Principal) -> None:
    budget = limit(team, "0.01")
    plan = ask(caller)
    remove_budget(SYSTEM, budget)
    forget()
    assert not ask(caller).answer.is_budgeted
    end(plan)
    assert sums(budget) == (CENT, 0, 0)


@pytest.mark.django_db
def test_administrators_get_one_mail_when_most_of_it_is_spent(team: Team, caller: Principal) -> None:
    cleo = make_admin(team)
    cleo.email = "cleo@example.com"
    cleo.save()
    budget = limit(team, "0.04")
    for _ in range(4):
        end(ask(caller))
        send_mails()
    assert sums(budget)[0] == 4 * CENT
    [told_of] = django_mail.outbox
    assert told_of.recipients() == ["cleo@example.com"]
    assert f"/admin/chat/budget/{budget.pk}/change/" in told_of.body
    assert "80 percent of the 0.04 US dollars" in told_of.body


@pytest.fixture
def tried(counter: Counter) -> Counter:
    """The counter, where everybody gets the variant of an experiment."""
    price_models(counter.team)
    make_experiment(counter.prompt, weights=(1, 9999), running=True, title="Warmer")
    return counter


def test_a_variant_without_money_falls_back_to_the_control(tried: Counter) -> None:
    experiment = Experiment.objects.get()
    budget = limit(tried.team, "0.000001", of=experiment)
    with scripted.use("Hi", "Hi", repeats=True):
        first, _second = tried.say(model="scripted", user="user-1"), tried.say(model="scripted", user="user-1")
    row = Message.objects.answers().order_by("id")[0]
    assert first.status == 200
    assert first.headers["x-promptlab-variant"].endswith("/control")
    assert (row.experiment, row.assigned_variant.key, row.served_variant.key) == (experiment, "variant-1", "control")
    assert row.version == row.served_variant.version
    seen = observation_of(row)
    assert seen is not None and seen.served.variant_id == row.served_variant.pk
    assert sums(budget) == (0, 0, 0)
    [event] = OutboxEvent.objects.filter(type="budget.exceeded")
    assert (event.data["of"], event.data["experiment"]) == ("experiment", experiment.key)


def test_a_refusal_is_a_429_that_says_which_budget_and_is_told_once(counter: Counter) -> None:
    price_models(counter.team)
    limit(counter.team, "0.005", of=counter.prompt)
    said = [counter.say(model="house", user=f"user-{number}") for number in range(3)]
    assert [one.status for one in said] == [429] * 3
    assert said[0].json()["code"] == "insufficient_quota"
    assert said[0].json()["data"]["budget"]["name"] == "greeting"
    assert int(said[0].headers["retry-after"]) <= 86_401
    [event] = OutboxEvent.objects.filter(type="budget.exceeded")
    assert (event.data["prompt"], event.data["limit_usd"]) == ("greeting", "0.005")
    assert not Message.objects.exists()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_hundred_calls_at_once_spend_no_more_than_there_is() -> None:
    team = make_team()
    price_models(team)
    budget = limit(team, "1")
    caller = principal_of_key(make_key(team)[0])

    def call(number: int) -> bool:
        try:
            end(ask(caller, message=f"Call {number}"), told(TOKENS - number % 3))
        except BudgetUsedUp:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(20) as pool:
        went = sum(pool.map(call, range(200)))
    spent, reserved, unpriced = sums(budget)
    rows = Message.objects.answers().aggregate(cost=Sum("cost_usd"))["cost"]
    assert (spent, reserved, unpriced) == (rows, 0, 0)
    assert Decimal("0.97") < spent <= 1
    assert went == Message.objects.answers().count() >= 100


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_reservations_at_once_never_pass_the_limit() -> None:
    team = make_team()
    price_models(team)
    budget = limit(team, "1")
    caller = principal_of_key(make_key(team)[0])

    def call(number: int) -> TurnPlan | None:
        try:
            return ask(caller)
        except BudgetUsedUp:
            return None
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        plans = [plan for plan in pool.map(call, range(200)) if plan]
    assert len(plans) == 100
    assert sums(budget) == (0, 1, 0)
    for plan in plans:
        end(plan)
    assert sums(budget) == (1, 0, 0)
