"""Gradual launches: start one, hold it, let it go on, send everybody back; and the tick that does so by the numbers.

Every step locks the environment, then the ramp, and is refused when the ramp moved on since it was looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from experiments.errors import (
    AlreadyRunning,
    HarmProven,
    NotHeld,
    NothingLive,
    RampMoved,
    RampOver,
    ReasonNeeded,
    VersionLiveAlready,
)
from experiments.models import Experiment, Ramp, RampDecision, Stage
from experiments.services import analysis, lifecycle, ramp_records
from experiments.services.lifecycle import NewVariant
from experiments.services.ramp_ends import SENT_BACK, end_experiment
from experiments.services.ramp_records import Kind, treatment_of
from experiments.services.ramp_rules import Act, Facts, Json, Reason, Step, next_step
from experiments.services.ramp_stages import DEFAULT_STAGES, check_stages
from experiments.services.ramp_traffic import note_traffic, requests_of
from promptlab.accounts.access import SYSTEM, Principal
from promptlab.accounts.auth import principal_of_user
from promptlab.audit.recorder import record
from promptlab.lib.errors import DomainError
from promptlab.lib.logs import get_logger
from prompts.models import Deployment, Environment, Version
from prompts.services import deploying, policies
from prompts.services.environments import lock, next_revision

log = get_logger(__name__)
TICK_TASK = "experiments.tick_ramps"
SERVED_DIFFERENTLY = (Kind.STARTED, Kind.ADVANCED, Kind.ROLLED_BACK, Kind.ABORTED)
"""Steps that take a revision of their own; the last one is a deployment, which takes it."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a step is recorded with."""

    kind: Kind
    rule: str
    at: datetime
    numbers: Json | None = None
    note: str = ""


def start_ramp(
    actor: Principal,
    version: Version,
    environment: Environment,
    *,
    stages: Sequence[Stage] = DEFAULT_STAGES,
    note: str = "",
    confirm: bool = False,
) -> Ramp:
    """Let `version` replace what is live step by step, as far as the numbers allow.

    It asks for what a deployment asks for. Raises Forbidden, StagesInvalid, NothingLive, VersionLiveAlready,
    AlreadyRunning, and what `deploying.deploy` raises.
    """
    prompt = version.prompt
    deploying.require_move(prompt, environment, by=actor)
    check_stages(stages)
    with transaction.atomic():
        locked = lock(environment)
        deploying.require_active(prompt)
        live = _live(version, locked)
        deploying.check_deploy(version, locked, live, by=actor, confirm=confirm)
        experiment = _experiment(actor, version, live, locked, stages[0])
        now = timezone.now()
        ramp = Ramp(
            experiment=experiment,
            stages=[stage.as_json() for stage in stages],
            entered_at=now,
            traffic_at=now,
            started_by_id=actor.user_id,
            starter_label=actor.label[:200],
            started_at=now,
        )
        _write(actor, ramp, Done(Kind.STARTED, "by_hand", now, note=note))
    return ramp


def hold(actor: Principal, ramp: Ramp, *, note: str = "") -> Ramp:
    """Let it stay at its step until somebody lets it go on; it is still taken back when harm is proven.

    Held already: changes nothing. Raises RampOver.
    """
    _require(actor, ramp)
    with transaction.atomic():
        locked = _locked(ramp)
        if locked.state != Ramp.State.HELD:
            _require_open(locked, "hold")
            _write(actor, locked, Done(Kind.HELD, Reason.BY_HAND, timezone.now(), note=note))
    return locked


def go_on(actor: Principal, ramp: Ramp, *, note: str = "") -> Ramp:
    """Let a held ramp go on. Where the numbers did not decide, this person does: the next step, or everyone.

    What it was held for is set aside until the next step. Raises NotHeld, ReasonNeeded where the numbers did not
    decide and no `note` says why, and, before more people get it, what `policies.check` raises.
    """
    _require(actor, ramp)
    with transaction.atomic():
        locked = _locked(ramp)
        _require_open(locked, "go on")
        if locked.state != Ramp.State.HELD:
            raise NotHeld
        numbers = _seen(locked, timezone.now())
        if locked.hold_reason not in (Reason.INCONCLUSIVE, Reason.REFUSED):
            _resume(actor, locked, numbers, note)
            return locked
        _further_by_hand(actor, locked, numbers, note)
    end_experiment(locked)
    return locked


def go_earlier(actor: Principal, ramp: Ramp, *, note: str, step: int | None = None) -> Ramp:
    """Take the next step, or give it to everyone after the last one, before time and numbers allow it.

    `step`: the one that was looked at, counted from 1, so that of two people who look at one step one moves it.
    Raises RampOver, RampMoved when it is not there any more, or moved since `ramp` was read, ReasonNeeded, HarmProven,
    and what `policies.check` raises.
    """
    _require(actor, ramp)
    with transaction.atomic():
        locked = _locked(ramp)
        _require_open(locked, "go on")
        if locked.stage_version != ramp.stage_version or step not in (None, locked.stage_index + 1):
            raise RampMoved
        stands = standing(locked)
        if stands.act == Act.ROLL_BACK:
            raise HarmProven
        _further_by_hand(actor, locked, stands.numbers, note)
    end_experiment(locked)
    return locked


def _further_by_hand(actor: Principal, ramp: Ramp, numbers: Json, note: str) -> None:
    """Give it to more people because a person says so, and why. The caller holds the rows."""
    if not note.strip():
        raise ReasonNeeded.field("note", ReasonNeeded.detail, code=ReasonNeeded.code)
    policies.check(actor, treatment_of(ramp).version, ramp.experiment.environment)
    now = timezone.now()
    if ramp.is_last_stage:
        _deploy(actor, ramp, Done(Kind.COMPLETED, "by_hand", now, numbers, note))
    else:
        _advance(actor, ramp, Done(Kind.ADVANCED, "by_hand", now, numbers, note))


def send_back(actor: Principal, ramp: Ramp, *, note: str = "") -> Ramp:
    """Give everybody the version that was live before, at once. Done already: changes nothing. Raises RampOver."""
    _require(actor, ramp)
    with transaction.atomic():
        locked = _locked(ramp)
        if locked.state != Ramp.State.ROLLED_BACK:
            _require_open(locked, "send back")
            now = timezone.now()
            _send_back(actor, locked, Done(Kind.ROLLED_BACK, "by_hand", now, _seen(locked, now), note))
    return locked


def tick_all(now: datetime | None = None) -> int:
    """Look at every open ramp and return how many took a step. One that breaks is logged and stops no other."""
    for ramp in Ramp.objects.unfinished().with_names():
        end_experiment(ramp)
    return sum(_tick_apart(pk, now) for pk in list(Ramp.objects.open().values_list("pk", flat=True)))


def _tick_apart(pk: int, now: datetime | None) -> bool:
    try:
        return tick(pk, now) is not None
    except (OperationalError, InterfaceError) as error:
        log.warning("tick_postponed", ramp=pk, error=type(error).__name__)
    except Exception:
        log.exception("unexpected", ramp=pk)
    return False


def tick(ramp_id: int, now: datetime | None = None) -> RampDecision | None:
    """Do what the numbers ask for at this moment; None where that is nothing, or another tick was faster."""
    now = now or timezone.now()
    ramp = Ramp.objects.open().with_names().filter(pk=ramp_id).first()
    if ramp is None or ramp.experiment.state == Experiment.State.PAUSED:
        return None
    if not _is_control_live(ramp):
        return _break_off(ramp, now)
    facts = _facts(ramp, now)
    note_traffic(ramp, facts, now)
    step = next_step(facts, settings.RAMP_TIME_FACTOR)
    if step.act == Act.WAIT:
        return None
    return _take(ramp, step, now)


def _take(ramp: Ramp, step: Step, now: datetime) -> RampDecision | None:
    """Take a step unless the ramp has moved on since it was looked at."""
    with transaction.atomic():
        locked = _locked(ramp)
        if locked.stage_version != ramp.stage_version or not _is_control_live(locked):
            return None
        if step.act == Act.ROLL_BACK:
            return _send_back(SYSTEM, locked, Done(Kind.ROLLED_BACK, step.rule, now, step.numbers))
        if step.act == Act.HOLD:
            return _write(SYSTEM, locked, Done(Kind.HELD, step.rule, now, step.numbers))
        decision = _go_further(locked, step, now)
    end_experiment(locked)
    return decision


def _go_further(ramp: Ramp, step: Step, now: datetime) -> RampDecision | None:
    """Give it to more people. A freeze lets it wait; what else the environment has against it holds it."""
    version, environment = treatment_of(ramp).version, ramp.experiment.environment
    if policies.current_freeze(environment) is not None:
        return None
    obstacles = policies.obstacles(_starter(ramp), version, environment)
    if obstacles:
        return _write(SYSTEM, ramp, Done(Kind.HELD, Reason.REFUSED, now, step.numbers, obstacles[0].detail))
    if not ramp.is_last_stage:
        return _advance(SYSTEM, ramp, Done(Kind.ADVANCED, step.rule, now, step.numbers))
    try:
        with transaction.atomic():
            return _deploy(SYSTEM, ramp, Done(Kind.COMPLETED, step.rule, now, step.numbers))
    except DomainError as error:
        return _write(SYSTEM, ramp, Done(Kind.HELD, Reason.REFUSED, now, step.numbers, error.detail))


def _starter(ramp: Ramp) -> Principal:
    """Return who started it, with the rights of now: their own approval may count. The system where nobody is left."""
    user = ramp.started_by
    return principal_of_user(user) if user is not None and user.is_active else SYSTEM


def _facts(ramp: Ramp, now: datetime) -> Facts:
    control, treatment = analysis.phase_sums(ramp.experiment)
    grew = requests_of(control, treatment) > ramp.requests_seen
    return Facts(
        stage=ramp.stage,
        is_last=ramp.is_last_stage,
        is_held=ramp.state == Ramp.State.HELD,
        in_stage=now - ramp.entered_at,
        quiet_for=timedelta() if grew else now - ramp.traffic_at,
        control=control,
        treatment=treatment,
        accepted=frozenset(ramp.accepted.split()),
    )


def standing(ramp: Ramp, now: datetime | None = None) -> Step:
    """Return what a tick would find at this moment, and do nothing: one query."""
    return next_step(_facts(ramp, now or timezone.now()), settings.RAMP_TIME_FACTOR)


def _seen(ramp: Ramp, now: datetime) -> Json:
    """Return the numbers as they are while a person decides."""
    return standing(ramp, now).numbers


def _resume(actor: Principal, ramp: Ramp, numbers: Json, note: str) -> None:
    """Run again at the same step, whose time begins anew, without what it was held for."""
    now = timezone.now()
    if ramp.hold_reason not in (Reason.BY_HAND, Reason.NO_TRAFFIC):
        ramp.accepted = " ".join(dict.fromkeys([*ramp.accepted.split(), ramp.hold_reason]))
    ramp.entered_at = ramp.traffic_at = now
    _write(actor, ramp, Done(Kind.RESUMED, "by_hand", now, numbers, note))


def _advance(actor: Principal, ramp: Ramp, done: Done) -> RampDecision:
    """Widen both slices to the next stage's: whoever had one of the texts keeps it."""
    ramp.stage_index += 1
    ramp.entered_at, ramp.accepted = done.at, ""
    ramp.experiment.coverage_bp = ramp.stage.coverage_bp
    ramp.experiment.save(update_fields=["coverage_bp"])
    return _write(actor, ramp, done)


def _send_back(actor: Principal, ramp: Ramp, done: Done) -> RampDecision:
    """End the experiment at once, so that everybody gets what was live all the time."""
    lifecycle.set_state(
        ramp.experiment, Experiment.State.KILLED, done.note or SENT_BACK.get(done.rule, SENT_BACK[Reason.BY_HAND])
    )
    return _write(actor, ramp, done)


def _deploy(actor: Principal, ramp: Ramp, done: Done) -> RampDecision:
    """Put the new version live for everybody.

    The experiment is ended after this was committed: until then it is suspended, since its control is not live any
    more. Ended in the same transaction, a reader between its two queries could serve everybody the old text.
    """
    version, environment = treatment_of(ramp).version, ramp.experiment.environment
    note = done.note or "The gradual launch came to its end."
    event, _ = deploying.deploy(
        actor, version, environment, note=note, confirm=True, approved_for=_starter(ramp) if actor.is_system else actor
    )
    return _write(actor, ramp, done, revision=event.revision)


def _break_off(ramp: Ramp, now: datetime) -> RampDecision | None:
    """End a ramp under which the live version was moved: everybody gets what is live."""
    with transaction.atomic():
        locked = _locked(ramp)
        if locked.stage_version != ramp.stage_version or _is_control_live(locked):
            return None
        lifecycle.set_state(locked.experiment, Experiment.State.KILLED, "Another version was put live.")
        return _write(SYSTEM, locked, Done(Kind.ABORTED, "live_version_moved", now))


def _write(actor: Principal, ramp: Ramp, done: Done, *, revision: int | None = None) -> RampDecision:
    """Save the step, record it, tell of it. What serves other people otherwise takes the environment's next revision."""
    experiment = ramp.experiment
    before = {"state": ramp.state} if ramp.pk else {}
    if done.kind in SERVED_DIFFERENTLY:
        revision = next_revision(experiment.environment)
    decision = ramp_records.write(
        actor,
        ramp,
        done.kind,
        rule=done.rule,
        at=done.at,
        numbers=done.numbers,
        revision=revision,
        note=done.note,
    )
    after: dict[str, Any] = {"state": ramp.state, "share_bp": decision.share_bp, "rule": done.rule}
    if revision is not None:
        after["revision"] = revision
    verb = f"ramp.{done.kind.value}"
    record(actor, verb, experiment, team_id=experiment.team_id, before=before, after=after, note=done.note)
    log.info("ramp_stepped", ramp=ramp.pk, kind=done.kind.value, rule=done.rule, share_bp=decision.share_bp)
    return decision


def _require(actor: Principal, ramp: Ramp) -> None:
    deploying.require_move(ramp.experiment.prompt, ramp.experiment.environment, by=actor)


def _require_open(ramp: Ramp, verb: str) -> None:
    if not ramp.is_open:
        raise RampOver(state=str(ramp.get_state_display()).lower(), verb=verb)


def _locked(ramp: Ramp) -> Ramp:
    """Hold the environment's row, then the ramp's and its experiment's, and return the ramp as it is now."""
    environment = lock(ramp.experiment.environment)
    locked: Ramp = Ramp.objects.select_for_update(no_key=True, of=("self",)).with_names().get(pk=ramp.pk)
    locked.experiment.environment = environment
    return locked


def _is_control_live(ramp: Ramp) -> bool:
    experiment = ramp.experiment
    control = next(one for one in experiment.variants.all() if one.is_control)
    where = {"prompt_id": experiment.prompt_id, "environment_id": experiment.environment_id}
    return Deployment.objects.filter(**where, version_id=control.version_id).exists()


def _live(version: Version, environment: Environment) -> Version:
    """Return what is live, which the new version is compared with."""
    running = Experiment.objects.serving().filter(prompt=version.prompt, environment=environment).first()
    if running:
        raise AlreadyRunning(running=running.title, environment=environment.name)
    rows = Deployment.objects.live().select_related("version__prompt")
    pointer = rows.filter(prompt=version.prompt, environment=environment).first()
    if pointer is None or pointer.version is None:
        raise NothingLive(prompt=version.prompt.title, environment=environment.name)
    if pointer.version_id == version.pk:
        raise VersionLiveAlready(version=version.number, environment=environment.name)
    live: Version = pointer.version
    return live


def _experiment(
    actor: Principal, version: Version, live: Version, environment: Environment, first: Stage
) -> Experiment:
    experiment = lifecycle.new_draft(
        version.prompt,
        environment,
        title=f"v{version.number} of {version.prompt.title}, step by step"[:200],
        variants=[NewVariant("live", live, 5000), NewVariant("new", version, 5000)],
        by=actor,
        coverage_bp=first.coverage_bp,
    )
    lifecycle.set_state(experiment, Experiment.State.RUNNING, "")
    return experiment
