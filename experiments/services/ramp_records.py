"""Writing down a step of a gradual launch, and telling of it. The caller has locked the ramp and records the activity."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone, translation

from experiments.models import Experiment, Ramp, RampDecision, Variant
from experiments.services.ramp_rules import CODE_VERSION
from promptlab.accounts.access import Principal
from promptlab.hooks.models import MailKind
from promptlab.hooks.services.mailing import Page, tell
from promptlab.hooks.services.outbox import emit
from prompts.services import telling

Kind = RampDecision.Kind
STATES = {
    Kind.STARTED: Ramp.State.RUNNING,
    Kind.ADVANCED: Ramp.State.RUNNING,
    Kind.HELD: Ramp.State.HELD,
    Kind.RESUMED: Ramp.State.RUNNING,
    Kind.ROLLED_BACK: Ramp.State.ROLLED_BACK,
    Kind.COMPLETED: Ramp.State.COMPLETED,
    Kind.ABORTED: Ramp.State.ABORTED,
}
"""What a step makes of the ramp."""
ENDS = (Kind.ROLLED_BACK, Kind.COMPLETED, Kind.ABORTED)


def write(
    actor: Principal,
    ramp: Ramp,
    kind: Kind,
    *,
    rule: str,
    at: datetime,
    numbers: Mapping[str, Any] | None = None,
    revision: int | None = None,
    note: str = "",
) -> RampDecision:
    """Save the ramp as this step leaves it, with its decision; tell webhooks and those whom it concerns."""
    ramp.state = STATES[kind]
    ramp.hold_reason = rule if kind == Kind.HELD else ""
    if kind != Kind.STARTED:
        ramp.stage_version += 1
    if kind in ENDS:
        ramp.ended_at = at
    ramp.save()
    decision: RampDecision = RampDecision.objects.create(
        ramp=ramp,
        stage_version=ramp.stage_version,
        stage_index=ramp.stage_index,
        share_bp=ramp.stage.share_bp,
        kind=kind,
        rule=rule,
        numbers=dict(numbers or {}),
        revision=revision,
        note=note[:500],
        actor_label=actor.label[:200],
        code_version=CODE_VERSION,
        at=at,
    )
    _tell(actor, ramp, decision)
    return decision


def break_off(actor: Principal, experiment: Experiment, *, rule: str, revision: int | None, note: str) -> None:
    """Close the ramp of an experiment that somebody ended, if it has an open one."""
    ramp = Ramp.objects.open().select_for_update(no_key=True).filter(experiment=experiment).first()
    if ramp is not None:
        ramp.experiment = experiment
        write(actor, ramp, Kind.ABORTED, rule=rule, at=timezone.now(), revision=revision, note=note)


def treatment_of(ramp: Ramp) -> Variant:
    """Return the variant that is being launched."""
    rows = ramp.experiment.variants.select_related("version__prompt")
    treatment: Variant = rows.get(is_control=False)
    return treatment


def _in_english(said: object) -> str:
    """Return words as the mail's template translates them: into the language of whoever reads it, not of who acts."""
    with translation.override("en"):
        return str(said)


def _tell(actor: Principal, ramp: Ramp, decision: RampDecision) -> None:
    experiment = ramp.experiment
    version = treatment_of(ramp).version
    facts = {
        "ramp": ramp.pk,
        "prompt": experiment.prompt.name,
        "environment": experiment.environment.name,
        "version": version.number,
        "step": ramp.stage_index + 1,
        "steps": len(ramp.stages),
        "share_bp": decision.share_bp,
        "state": ramp.state,
        "rule": decision.rule,
        "revision": decision.revision,
        "actor": actor.label,
    }
    is_private = experiment.prompt.is_private
    emit(experiment.team_id, f"ramp.{decision.kind}", facts, about=f"ramps/{ramp.pk}", is_private=is_private)
    people = telling.who_see(experiment.prompt, {ramp.started_by_id, experiment.prompt.owner_id, version.author_id})
    said: dict[str, str | int | None] = {
        "step": decision.kind,
        "prompt": experiment.prompt.title,
        "environment": experiment.environment.name,
        "version": version.number,
        "share": f"{decision.share_bp / 100:g}",
        "reason": _in_english(Ramp.Reason(ramp.hold_reason).label) if ramp.hold_reason else "",
        "excerpt": decision.note,
    }
    where = Page("experiments_ramp_change", ramp.pk)
    tell(actor, MailKind.RAMP_MOVED, people, experiment.team_id, where, **said)
