"""Experiments whose text is proven worse: paused, so that everybody gets the control until a person decides.

By the same rule as gradual launches. Once in a phase: whoever lets it go on has seen the numbers, and knows better.
"""

from __future__ import annotations

from datetime import datetime

from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from experiments.models import Experiment, Ramp
from experiments.services import analysis, guardrails, lifecycle, measures
from experiments.services.guardrails import Finding, Metric
from promptlab.accounts.access import SYSTEM
from promptlab.hooks.models import MailKind
from promptlab.hooks.services.mailing import Page, tell
from promptlab.lib.logs import get_logger
from prompts.services import telling
from prompts.services.environments import lock

log = get_logger(__name__)
State = Experiment.State
WORSE = {
    Metric.APPROVAL: "fewer thumbs-up",
    Metric.SUCCESS: "more errors",
    Metric.LATENCY: "longer waits",
    Metric.FORMAT: "more answers in a wrong format",
}
"""What harm is called in the note."""


def check_all(now: datetime | None = None) -> int:
    """Look at every running experiment that is not a gradual launch, and return how many were paused.

    One that breaks is logged and stops no other.
    """
    running = Experiment.objects.filter(state=State.RUNNING).exclude(pk__in=Ramp.objects.values("experiment_id"))
    return sum(_check_apart(pk, now) for pk in list(running.values_list("pk", flat=True)))


def _check_apart(pk: int, now: datetime | None) -> bool:
    try:
        return check(pk, now)
    except (OperationalError, InterfaceError) as error:
        log.warning("check_postponed", experiment=pk, error=type(error).__name__)
    except Exception:
        log.exception("unexpected", experiment=pk)
    return False


def check(experiment_id: int, now: datetime | None = None) -> bool:
    """Pause the experiment if harm is proven, and return whether that was done. The numbers are kept as an analysis."""
    rows = Experiment.objects.with_names().filter(pk=experiment_id, state=State.RUNNING)
    experiment = rows.first()
    if experiment is None or experiment.guarded_phase == experiment.phase:
        return False
    harms = _harms(experiment)
    return bool(harms) and _pause(experiment, harms, now or timezone.now())


def _harms(experiment: Experiment) -> tuple[Finding, ...]:
    variants = analysis.phase_sums(experiment)
    control = next(one for one in variants if one["is_control"])
    treatments = {one["key"]: measures.arm(one) for one in variants if not one["is_control"]}
    rules = guardrails.family(experiment.guardrails, experiment.primary_metric)
    return guardrails.decide(measures.arm(control), treatments, rules).harms


def _pause(experiment: Experiment, harms: tuple[Finding, ...], now: datetime) -> bool:
    """Pause it unless somebody else changed it since it was looked at."""
    with transaction.atomic():
        lock(experiment.environment)
        same = Experiment.objects.filter(pk=experiment.pk, state=State.RUNNING, phase=experiment.phase)
        if not same.update(guarded_phase=experiment.phase):
            return False
        analysis.analyse(experiment, now)
        note = "; ".join(f"{one.treatment}: {WORSE[one.metric]}, proven" for one in harms)
        lifecycle.pause(SYSTEM, experiment, note=note[:500])
        people = telling.who_see(experiment.prompt, [experiment.owner_id, experiment.prompt.owner_id])
        where = Page("experiments_experiment_change", experiment.pk)
        said = {"experiment": experiment.title, "prompt": experiment.prompt.title, "verb": "pause", "excerpt": note}
        tell(SYSTEM, MailKind.EXPERIMENT_ENDED, people, experiment.team_id, where, **said)
    log.info("experiment_paused", experiment=experiment.pk, harms=[one.metric.value for one in harms])
    return True
