"""Watching for drift: every night the suites that an environment asks for, on what is live there and was not changed.

Off until an environment is given money for it. Nothing is moved: people and webhooks hear of it, once until it is over.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from promptlab.accounts.access import SYSTEM
from promptlab.hooks.services.outbox import emit
from promptlab.lib.errors import DomainError
from promptlab.lib.logs import get_logger
from prompts import comparing
from prompts.comparing import Comparison, tallies
from prompts.errors import TooManyRuns
from prompts.models import Deployment, Environment, GoldenRun, Suite, SuiteRequirement, SuiteRun, Version
from prompts.services import telling
from prompts.services.suite_gate import model_of
from prompts.services.suite_runs import Wanted, estimate_run, request_run

log = get_logger(__name__)
WATCH_TASK: Final = "prompts.watch_drift"
BEYOND_NOISE: Final = 0.01
"""Somebody looks every night: chance alone may cry out once in a hundred nights, not once in twenty."""
BASELINES: Final = 5
"""So many of the oldest runs stand for how it was. Newer ones would slide down with what drifts slowly."""
AT_ONCE: Final = 200
State = SuiteRun.State
Verdict = GoldenRun.Verdict


def watch() -> None:
    """Judge what has ended; from `settings.DRIFT_HOUR` on, begin what has room in the night's budgets."""
    settle()
    now = timezone.now()
    if now.hour >= settings.DRIFT_HOUR:
        begin(now.date())


def begin(night: date) -> int:
    """Ask for the night's runs that were not asked for yet, as far as the budgets go; return how many.

    A run holds the most that it can cost until it ends; what has no room now gets it when others cost less.
    """
    begun = 0
    for environment in Environment.objects.filter(drift_budget_usd__gt=0).order_by("pk"):
        left = environment.drift_budget_usd - _held(environment, night)
        for suite, version in _due(environment, night):
            held = _begin(environment, suite, version, night, left)
            if held is None:
                log.info("drift_no_room", environment=environment.pk, suite=suite.name, version=version.pk)
                continue
            left -= held
            begun += 1
    return begun


def settle() -> int:
    """Judge the nightly runs that have ended; return how many."""
    ended = GoldenRun.objects.filter(verdict=Verdict.OPEN).exclude(run__state__in=(State.QUEUED, State.RUNNING))
    ids = list(ended.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    for pk in ids:
        _settle(pk)
    return len(ids)


def _held(environment: Environment, night: date) -> Decimal:
    """Return what the night's runs cost there, those that have not ended as much as they may."""
    rows = SuiteRun.objects.filter(
        pk__in=GoldenRun.objects.filter(environment=environment, night=night, run__isnull=False).values("run")
    )
    return sum((one.budget_usd if one.is_open else one.spent_usd for one in rows.defer("plan")), Decimal(0))


def _due(environment: Environment, night: date) -> list[tuple[Suite, Version]]:
    """Return what has to be asked this night and was not: three queries."""
    done = set(GoldenRun.objects.filter(environment=environment, night=night).values_list("suite_id", "version_id"))
    pointers = Deployment.objects.live().filter(environment=environment, prompt__archived_at=None)
    versions = [one.version for one in pointers.select_related("version__prompt").order_by("prompt_id")]
    suites = [one.suite for one in SuiteRequirement.objects.filter(environment=environment).order_by("suite__name")]
    return [
        (suite, version)
        for suite in suites
        for version in versions
        if version is not None and suite.prompt_id in (None, version.prompt_id) and (suite.pk, version.pk) not in done
    ]


def _begin(environment: Environment, suite: Suite, version: Version, night: date, left: Decimal) -> Decimal | None:
    """Ask for one run and return what it may cost; None where that is more than is left, or too many runs wait."""
    key: dict[str, Any] = {"environment": environment, "suite": suite, "version": version, "night": night}
    note = f"Every night in {environment.name}."
    wanted = Wanted(version, [model_of(version)], environment, note=note)
    try:
        # A model without a price costs nothing that anybody could count.
        most = estimate_run(SYSTEM, suite, wanted).most_usd or Decimal(0)
        if most > left:
            return None
        with transaction.atomic():
            row, is_new = GoldenRun.objects.get_or_create(**key)
            if not is_new:
                return Decimal(0)
            row.run = request_run(SYSTEM, suite, replace(wanted, budget_usd=most))
            row.save(update_fields=["run"])
            return most
    except TooManyRuns:
        return None
    except DomainError as error:
        GoldenRun.objects.get_or_create(**key, defaults={"verdict": Verdict.UNKNOWN, "problem": error.detail[:300]})
        return Decimal(0)


@transaction.atomic
def _settle(pk: int) -> None:
    """Write what a run came to, and tell of it when it is news. Again changes nothing."""
    rows = GoldenRun.objects.filter(pk=pk, verdict=Verdict.OPEN)
    locked = (
        rows.select_for_update(of=("self",)).select_related("environment", "suite", "version__prompt", "run").first()
    )
    if locked is None or locked.run is None:
        return
    found: GoldenRun = locked
    comparison = None
    if locked.run.state != State.FINISHED:
        found.verdict, found.problem = Verdict.UNKNOWN, (locked.run.reason or str(locked.run.get_state_display()))[:300]
    else:
        comparison = _compared(locked.run)
        found.verdict = _verdict(comparison)
    if comparison is not None:
        found.rate_before, found.rate_after = comparison.rate_before, comparison.rate_after
        found.p_of_drop = comparison.p_of_drop
    found.save(update_fields=["verdict", "problem", "rate_before", "rate_after", "p_of_drop"])
    if found.verdict == Verdict.DRIFT and not _is_known(found):
        _tell(found)


def _compared(run: SuiteRun) -> Comparison | None:
    """Return what differs from how it was; None when the very same was never asked before."""
    worse = GoldenRun.objects.filter(verdict=Verdict.DRIFT, run__isnull=False).values("run")
    same = SuiteRun.objects.defer("plan").filter(state=State.FINISHED, pk__lt=run.pk, **comparing.sameness(run))
    rows = same.exclude(pk__in=worse).order_by("pk")[: 4 * BASELINES]
    earlier = [one for one in rows if one.asked_models == run.asked_models][:BASELINES]
    return comparing.since(map(tallies, earlier), tallies(run)) if earlier else None


def _verdict(comparison: Comparison | None) -> Verdict:
    if comparison is None:
        return Verdict.FIRST
    if comparison.rate_after is None:
        return Verdict.UNKNOWN
    return Verdict.DRIFT if comparison.p_of_drop < BEYOND_NOISE else Verdict.STEADY


def _is_known(found: GoldenRun) -> bool:
    """Tell whether the night before said the same: then everybody has heard of it."""
    rows = GoldenRun.objects.filter(
        environment=found.environment_id, suite=found.suite_id, version=found.version_id, pk__lt=found.pk
    )
    before = rows.exclude(verdict__in=(Verdict.OPEN, Verdict.UNKNOWN)).order_by("-pk").first()
    return before is not None and before.verdict == Verdict.DRIFT


def _tell(found: GoldenRun) -> None:
    prompt = found.version.prompt
    told = {
        "suite": found.suite.name,
        "run": found.run_id,
        "prompt": prompt.name,
        "version": found.version.number,
        "environment": found.environment.name,
        "rate_before": round(found.rate_before or 0, 4),
        "rate_after": round(found.rate_after or 0, 4),
        "actor": SYSTEM.label,
    }
    emit(prompt.team_id, "suite.drifted", told, about=f"prompts/{prompt.name}", is_private=prompt.is_private)
    telling.of_drift(found)
    log.warning("drifted", version=found.version_id, environment=found.environment_id, run=found.run_id)
