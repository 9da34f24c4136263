"""Asking for runs of a test suite: what they will cost, making their rows, cancelling them, and going on with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_noop

from promptlab import llm
from promptlab.accounts.access import Principal, require
from promptlab.audit.recorder import record
from promptlab.lib.errors import FieldProblem, Invalid
from promptlab.lib.queue import enqueue_on_commit
from promptlab.llm.ceiling import worst_case
from promptlab.llm.routes import routes_for
from prompts import rendering, resolve, snippets
from prompts.checks import ASKED, JUDGE
from prompts.checks.cases import Case, Check, checksum_of
from prompts.checks.judging import BLANKS
from prompts.errors import RunOver, SuiteNotReady, TooManyRuns
from prompts.models import Environment, Suite, SuiteCase, SuiteResult, SuiteRun, Version
from prompts.models.running import NANO
from prompts.services.environments import named
from prompts.services.suite_calls import Asking, problem_of
from prompts.services.suites import plan_of

RUN_TASK: Final = "prompts.run_suite"
MAX_MODELS: Final = 10
MAX_RESULTS: Final = 10_000
MAX_OPEN: Final = 50
MAX_PROBLEMS: Final = 20
CHARACTERS: Final = 4
"""Of a token, about: how long an answer becomes that a judge is shown."""
USUAL_ENVIRONMENT: Final = "production"
State = SuiteRun.State
Outcome = SuiteResult.State


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to run. Without models: the version's own. `environment`: where its snippets and judges are live.

    `budget_usd` is the most that the run may cost; None: `settings.SUITE_BUDGET_USD`.
    """

    version: Version
    models: Sequence[str] = ()
    environment: Environment | None = None
    budget_usd: Decimal | None = None
    note: str = ""
    plan: Sequence[Case] | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would be: so many calls, and what they can cost at most. None where a model has no price."""

    calls: int
    most_usd: Decimal | None


def request_run(actor: Principal, suite: Suite, wanted: Wanted) -> SuiteRun:
    """Make a run with a row for every answer, and have a worker begin.

    With `wanted.plan` it asks other cases than the suite's; it then counts nowhere as a run of the suite as it is.

    Raises SuiteNotReady naming the cases, Invalid naming the field, TooManyRuns, ModelOff, ProviderNotReady, and what
    `snippets.resolve` raises.
    """
    require(actor, "prompt.write", suite.team_id)
    run, plan = _prepared(suite, wanted)
    if SuiteRun.objects.open().filter(suite__team_id=suite.team_id).count() >= MAX_OPEN:
        raise TooManyRuns(open=MAX_OPEN)
    run.requested_by_id, run.requested_label = actor.user_id, actor.label[:200]
    run.note = wanted.note[:300]
    with transaction.atomic():
        run.save()
        SuiteResult.objects.bulk_create(_rows(run, plan), batch_size=500)
        after = {
            "run": run.pk,
            "version": run.version.number,
            "models": run.asked_models,
            "budget_usd": str(run.budget_usd),
        }
        _record(actor, "suite.run_requested", run, after=after)
        enqueue_on_commit(RUN_TASK, run.pk)
    return run


def estimate_run(actor: Principal, suite: Suite, wanted: Wanted) -> Estimate:
    """Return what a run would be, without making one. Raises as `request_run`.

    For judges the answer is taken as long as it may become.
    """
    require(actor, "prompt.write", suite.team_id)
    run, plan = _prepared(suite, wanted)
    asking, total, is_known = Asking.of(run), 0, True
    for model in run.asked_models:
        for case in plan:
            request = asking.answer(case, model)
            longest = "x" * (CHARACTERS * settings.BUDGET_MAX_TOKENS)
            judged = [
                asking.verdict(check, case, longest, order)
                for check in case.checks
                for order in range(ASKED.get(check.kind, 0))
            ]
            for one in (request, *judged):
                most = worst_case(one, suite.team_id)
                is_known = is_known and most is not None
                total += (most or 0) * case.repeats
    return Estimate(run.max_calls, Decimal(total) / NANO if is_known else None)


def cancel_run(actor: Principal, run: SuiteRun) -> SuiteRun:
    """End a run; what is being asked is broken off within two seconds. Cancelled already: changes nothing. Raises RunOver."""
    require(actor, "prompt.write", run.suite.team_id)
    with transaction.atomic():
        locked = _locked(run)
        if locked.is_open:
            locked.state, locked.ended_at, locked.reason = State.CANCELLED, timezone.now(), ""
            locked.save(update_fields=["state", "ended_at", "reason"])
            SuiteResult.objects.filter(run=locked, state=Outcome.WAITING).update(state=Outcome.CANCELLED)
            _record(actor, "suite.run_cancelled", locked)
        elif locked.state != State.CANCELLED:
            raise RunOver(state=locked.get_state_display())
    return locked


def resume_run(actor: Principal, run: SuiteRun, *, budget_usd: Decimal | None = None) -> SuiteRun:
    """Ask again what got no answer or was lost, and what is left of a run that stopped; it may cost more from then on.

    With nothing left to ask: changes nothing. Raises RunOver for one that was cancelled, Invalid.
    """
    require(actor, "prompt.write", run.suite.team_id)
    with transaction.atomic():
        locked = _locked(run)
        if locked.state == State.CANCELLED:
            raise RunOver(state=locked.get_state_display())
        rows = SuiteResult.objects.filter(run=locked)
        again = rows.filter(state__in=(Outcome.ERROR, Outcome.LOST))
        if locked.is_open or not (again.exists() or rows.filter(state=Outcome.WAITING).exists()):
            return locked
        calls = _calls_of(locked, again)
        again.update(state=Outcome.WAITING, text="", outcomes=[], problem="", cost_usd=None, ended_at=None)
        locked.state, locked.ended_at, locked.reason = State.QUEUED, None, ""
        locked.max_calls = F("max_calls") + calls
        if budget_usd is not None:
            locked.budget_nanousd = _nano(budget_usd)
        locked.save(update_fields=["state", "ended_at", "reason", "max_calls", "budget_nanousd"])
        locked.refresh_from_db(fields=["max_calls"])
        _record(actor, "suite.run_resumed", locked, after={"calls": calls, "budget_usd": str(locked.budget_usd)})
        enqueue_on_commit(RUN_TASK, locked.pk)
    return locked


def judges_now(plan: Sequence[Case], team_id: int) -> dict[str, int]:
    """Return the versions (ids, by name) of the judging prompts as they are live. Raises NotDeployed, Invalid."""
    found: dict[str, int] = {}
    for check in (check for case in plan for check in _judges(case)):
        name = check.options["prompt"]
        if name in found:
            continue
        version = resolve.live_version(team_id, name, check.options["environment"]).version
        assert version is not None
        blanks = set(rendering.blanks_of(version.content))
        if "answer" not in blanks or blanks - set(BLANKS):
            raise SuiteNotReady(
                suite=name, problem=f"a prompt that judges asks for answer, and for no other than {BLANKS}."
            )
        found[name] = version.pk
    return found


def forget_case(case: SuiteCase) -> None:
    """Take what a case asks and what was answered out of the runs of its suite. In the caller's transaction."""
    for run in SuiteRun.objects.select_for_update(of=("self",)).filter(suite=case.suite_id).order_by("pk"):
        if places := [place for place, said in enumerate(run.plan) if said["name"] == case.name]:
            forget_places(run, places)


def forget_places(run: SuiteRun, places: Sequence[int]) -> None:
    """Take what some cases ask and what was answered out of a run that is held. How often they passed stays."""
    for place in places:
        run.plan[place] = Case(run.plan[place]["name"]).to_dict()
    run.save(update_fields=["plan"])
    rows = SuiteResult.objects.filter(run=run, place__in=places)
    rows.filter(state=Outcome.WAITING).update(state=Outcome.CANCELLED, ended_at=timezone.now())
    for row in rows:
        row.text, row.outcomes = "", [{**one, "detail": ""} for one in row.outcomes]
        row.save(update_fields=["text", "outcomes"])


def plan_from(run: SuiteRun) -> list[Case]:
    """Return the cases that a run asks."""
    return [_case(said) for said in run.plan]


def _case(said: Mapping[str, Any]) -> Case:
    """Return a case of a plan: it was checked when it was written."""
    checks = tuple(Check(one["kind"], one["options"]) for one in said["checks"])
    return Case(**{**said, "checks": checks})


def _prepared(suite: Suite, wanted: Wanted) -> tuple[SuiteRun, list[Case]]:
    """Return the run that is wanted, not saved, with its plan. Raises when it could not be asked."""
    version = wanted.version
    if version.prompt.team_id != suite.team_id or suite.prompt_id not in (None, version.prompt_id):
        raise Invalid.field("version", f"{suite.name} is for another prompt.")
    if suite.archived_at is not None:
        raise SuiteNotReady(suite=suite.name, problem="it is archived.")
    where = wanted.environment or named(suite.team_id, USUAL_ENVIRONMENT)
    plan = plan_of(suite) if wanted.plan is None else list(wanted.plan)
    models = _models(suite.team_id, version, wanted.models)
    resolved = snippets.resolve(version, where)
    check_plan(suite, plan, resolved.content, len(models))
    budget = settings.SUITE_BUDGET_USD if wanted.budget_usd is None else wanted.budget_usd
    run = SuiteRun(
        suite=suite,
        suite_revision=suite.revision,
        suite_checksum=suite.checksum if wanted.plan is None else checksum_of(plan),
        version=version,
        version_checksum=version.checksum,
        environment=where,
        asked_models=models,
        snippets=resolved.ids,
        judges=judges_now(plan, suite.team_id),
        plan=[case.to_dict() for case in plan],
        max_calls=len(models) * sum(case.repeats * calls_to(case) for case in plan),
        budget_nanousd=_nano(Decimal(str(budget))),
    )
    return run, plan


def _models(team_id: int, version: Version, asked: Sequence[str]) -> list[str]:
    """Return the models by name, each once. Raises Invalid, and what forbids calling one."""
    names = list(dict.fromkeys(llm.resolve(name or version.model).name for name in (asked or [""])))
    if len(names) > MAX_MODELS:
        raise Invalid.field("models", f"At most {MAX_MODELS} models.")
    for name in names:
        if len(name) > 100:
            raise Invalid.field("models", "A model's name has at most 100 characters.")
        routes_for(team_id, name)
    return names


def check_plan(suite: Suite, plan: Sequence[Case], content: Any, models: int) -> None:
    """Raise SuiteNotReady naming the cases that a content cannot be asked, or that nothing is held against."""
    if not plan:
        raise SuiteNotReady(suite=suite.name, problem="it has no cases.")
    if models * sum(case.repeats for case in plan) > MAX_RESULTS:
        raise SuiteNotReady(suite=suite.name, problem=f"it asks for more than {MAX_RESULTS} answers.")
    problems = [FieldProblem(f"cases.{name}", problem) for name, problem in _unfit(plan, content)]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        first = f"{problems[0].field.removeprefix('cases.')}: {problems[0].detail}{more}"
        raise SuiteNotReady(suite=suite.name, problem=first, problems=problems[:MAX_PROBLEMS])


def _unfit(plan: Sequence[Case], content: Any) -> Iterator[tuple[str, str]]:
    for case in plan:
        if not case.checks:
            yield case.name, "it has no check, and neither has the suite."
        elif problem := problem_of(content, case):
            yield case.name, problem


def _rows(run: SuiteRun, plan: Sequence[Case]) -> list[SuiteResult]:
    return [
        SuiteResult(run=run, place=place, case_name=case.name, is_required=case.required, repeat=repeat, model=model)
        for place, case in enumerate(plan)
        for repeat in range(1, case.repeats + 1)
        for model in run.asked_models
    ]


def _judges(case: Case) -> list[Check]:
    return [check for check in case.checks if check.kind == JUDGE]


def calls_to(case: Case) -> int:
    """Return how many calls one answer to a case takes at most, with those of its judges."""
    return 1 + sum(ASKED.get(check.kind, 0) for check in case.checks)


def _calls_of(run: SuiteRun, rows: Any) -> int:
    """Return how many calls asking these rows again takes."""
    plan = plan_from(run)
    return sum(calls_to(plan[place]) for place in rows.values_list("place", flat=True))


def _nano(usd: Decimal) -> int:
    if not usd.is_finite() or not 0 <= usd <= 1_000_000:
        raise Invalid.field("budget_usd", gettext_noop("It is a number of dollars, from 0 on."))
    return int((usd * NANO).to_integral_value(ROUND_CEILING))


def _locked(run: SuiteRun) -> SuiteRun:
    locked: SuiteRun = (
        SuiteRun.objects.select_related("suite", "version__prompt").select_for_update(of=("self",)).get(pk=run.pk)
    )
    return locked


def _record(actor: Principal, verb: str, run: SuiteRun, **facts: Any) -> None:
    record(actor, verb, run, team_id=run.suite.team_id, **facts)
