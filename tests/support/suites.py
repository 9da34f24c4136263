"""Test suites in the fewest words, and a model that answers by what it is asked."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.llm import resilience
from promptlab.llm.providers import registry
from promptlab.llm.providers.base import Finish
from promptlab.llm.types import CompletionRequest, Delta, FinishReason, Usage
from prompts.checks.cases import Case, Check, checks_from
from prompts.models import GoldenRun, Prompt, Suite, SuiteRun, Version
from prompts.services import drift, suites, testing
from prompts.services.environments import Rules as EnvironmentRules
from prompts.services.environments import change_environment
from prompts.services.suite_runs import Wanted, request_run
from tests.support.make import make_live, newest

MODEL = "rules"
GOOD = Check("contains", {"values": ["good"], "any": False, "ignore_case": True})


def make_suite(team: Team, *cases: dict[str, Any], name: str = "basics", **told: Any) -> Suite:
    """Return a suite whose answers have to say `good`, unless `checks` say otherwise; of one case when none is named."""
    checks = checks_from(told.pop("checks", [GOOD.to_dict()]))
    suite = suites.create_suite(SYSTEM, team.pk, name=name, checks=checks, **told)
    for number, case in enumerate(cases or ({},), 1):
        suites.add_case(SYSTEM, suite, Case.from_json({"name": f"case {number}", "variables": {"name": "Ann"}, **case}))
    suite.refresh_from_db()
    return suite


def make_run(suite: Suite, version: Version, *models: str, works: bool = True, **told: Any) -> SuiteRun:
    """Return a run of the suite on a version, worked on to its end unless `works` is false."""
    run = request_run(SYSTEM, suite, Wanted(version, models or (MODEL,), **told))
    if works:
        testing.work_on(run.pk)
        run.refresh_from_db()
    return run


class Rules:
    """A provider that answers what `answer` makes of a request; `asked` are the requests."""

    def __init__(self, answer: Callable[[CompletionRequest], str]) -> None:
        self.answer = answer
        self.asked: list[CompletionRequest] = []

    async def astream(self, request: CompletionRequest) -> AsyncGenerator[Delta | Finish, None]:
        self.asked.append(request)
        yield Delta(self.answer(request))
        yield Finish(FinishReason.STOP, Usage(10, 5), request.model)

    async def aclose(self) -> None:
        """Hold nothing, close nothing."""


@contextmanager
def answering(answer: Callable[[CompletionRequest], str] | str, name: str = MODEL) -> Iterator[Rules]:
    """Have the models `NAME` and `NAME-...` answer by rule, or always the same."""
    rules = Rules(answer if callable(answer) else lambda request: str(answer))
    registry.register(name, rules)
    resilience.breakers.clear()
    try:
        yield rules
    finally:
        registry.unregister(name)
        resilience.breakers.clear()


def make_nights(suite: Suite, prompt: Prompt, *answers: Callable[[CompletionRequest], str] | str) -> list[GoldenRun]:
    """Return what nights found of what is live in Production, whose model answers so each night."""
    where = change_environment(
        SYSTEM, make_live(newest(prompt)), EnvironmentRules(suites=[suite.name], drift_budget_usd=Decimal(1))
    )
    found = []
    for night, answer in enumerate(answers):
        with answering(answer):
            assert drift.begin(date(2026, 1, 1) + timedelta(days=night)) == 1
            golden = GoldenRun.objects.get(environment=where, night=date(2026, 1, 1) + timedelta(days=night))
            assert golden.run_id is not None
            testing.work_on(golden.run_id)
        assert drift.settle() == 1
        golden.refresh_from_db()
        found.append(golden)
    return found
