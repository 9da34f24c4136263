"""The life of an experiment: draft -> running <-> paused -> stopped; killed from anywhere. Every step takes a revision."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_noop
from promptlab_sdk.kernel.assignment import ranges

from experiments.errors import (
    InRunningExperiment,
    KeyTaken,
    VariantsInvalid,
    WrongState,
)
from experiments.models import Experiment, Phase, Variant, owned_slots
from experiments.services import checklist, ramp_records, targeting
from experiments.services.targeting import Setup
from promptlab.accounts.access import Principal, require, require_environment
from promptlab.accounts.models import Team
from promptlab.audit.recorder import record
from promptlab.hooks.models import MailKind
from promptlab.hooks.services.mailing import Page, tell
from promptlab.hooks.services.outbox import emit
from promptlab.lib.errors import Invalid, NotFound
from promptlab.lib.slugs import free_slug
from prompts.models import Environment, Prompt, Version
from prompts.services import telling
from prompts.services.environments import lock, next_revision
from prompts.services.policies import some_of

State = Experiment.State
NO_SETUP = Setup()
KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}\Z")

ALLOWED: dict[str, tuple[tuple[State, ...], State]] = {
    "start": ((State.DRAFT,), State.RUNNING),
    "pause": ((State.RUNNING,), State.PAUSED),
    "resume": ((State.PAUSED,), State.RUNNING),
    "stop": ((State.RUNNING, State.PAUSED), State.STOPPED),
    "kill": ((State.DRAFT, State.RUNNING, State.PAUSED), State.KILLED),
}
"""Verb -> (states it may start from, state it leads to)."""
EVENTS = {
    "start": "experiment.started", "pause": "experiment.paused", "resume": "experiment.resumed",
    "stop": "experiment.stopped", "kill": "experiment.killed",
}  # fmt: skip
"""Verb -> what webhooks hear of it."""


@dataclass(frozen=True, slots=True)
class NewVariant:
    """One variant to be: its key, version, share in basis points, and what people call it.

    `model` and `parameters` stand over the version's own, so that these can be compared, too.
    """

    key: str
    version: Version
    weight_bp: int
    name: str = ""
    model: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


def create_experiment(
    actor: Principal,
    prompt: Prompt,
    environment: Environment,
    *,
    title: str,
    variants: Sequence[NewVariant],
    key: str = "",
    hypothesis: str = "",
    coverage_bp: int = 10_000,
    setup: Setup = NO_SETUP,
) -> Experiment:
    """Make a draft. The first variant is the control.

    Without a `key` one is made of the title, with a number behind it when it is taken.
    Raises VariantsInvalid, NamespaceTaken, KeyTaken for a given key that exists, Invalid naming the field.
    """
    require(actor, "experiment.write", prompt.team_id)
    if not title.strip():
        raise Invalid.field("title", "Give the experiment a name.", code="required")
    if environment.team_id != prompt.team_id:
        raise NotFound
    check_variants(prompt, variants, coverage_bp)
    targeting.check(setup, {variant.key for variant in variants})
    try:
        with transaction.atomic():
            experiment = new_draft(
                prompt,
                environment,
                title=title.strip(),
                variants=variants,
                by=actor,
                key=key,
                hypothesis=hypothesis,
                coverage_bp=coverage_bp,
                setup=setup,
            )
            after: dict[str, Any] = {"variants": {variant.key: variant.weight_bp for variant in variants}}
            if setup.condition:
                after["condition"] = dict(setup.condition)
            if setup.namespace:
                after["namespace"] = {setup.namespace: experiment.namespace_ranges}
            record(actor, "experiment.created", experiment, team_id=prompt.team_id, after=after)
    except IntegrityError as error:
        raise KeyTaken(key=key or title) from error
    return experiment


def new_draft(
    prompt: Prompt,
    environment: Environment,
    *,
    title: str,
    variants: Sequence[NewVariant],
    by: Principal,
    key: str = "",
    hypothesis: str = "",
    coverage_bp: int = 10_000,
    setup: Setup = NO_SETUP,
) -> Experiment:
    """Write an experiment and its variants, checked by the caller, whose transaction records it. Raises IntegrityError."""
    # Keys are made one after the other.
    Team.objects.select_for_update(no_key=True).get(pk=prompt.team_id)
    experiment = Experiment(
        team_id=prompt.team_id,
        key=_checked_key(key) if key else _free_key(prompt.team_id, title),
        title=title,
        hypothesis=hypothesis,
        prompt=prompt,
        environment=environment,
        seed=secrets.token_hex(8),
        coverage_bp=coverage_bp,
        owner_id=by.user_id,
    )
    targeting.place(experiment, setup)
    experiment.save(force_insert=True)
    Variant.objects.bulk_create(rows_of(experiment, variants))
    return experiment


def start(actor: Principal, experiment: Experiment, *, note: str = "", confirm: bool = False) -> Experiment:
    """Split the traffic from now on. `confirm`: variants may have other variables than what is live.

    Raises WrongState, and what `checklist` names: AlreadyRunning, ControlNotLive, VariablesChanged, ReviewRequired, ModelOff,
    and more.
    """
    return _change(actor, experiment, "start", note, confirm=confirm)


def pause(actor: Principal, experiment: Experiment, *, note: str = "") -> Experiment:
    """Serve everybody the control and count nothing, until resumed."""
    return _change(actor, experiment, "pause", note)


def resume(actor: Principal, experiment: Experiment, *, note: str = "") -> Experiment:
    """Go on after a pause; everybody gets the same variant as before."""
    return _change(actor, experiment, "resume", note)


def stop(actor: Principal, experiment: Experiment, *, note: str = "") -> Experiment:
    """End it: everybody gets the live version."""
    return _change(actor, experiment, "stop", note)


def kill(actor: Principal, experiment: Experiment, *, note: str = "") -> Experiment:
    """End it at once from any state: everybody gets the live version within a second. Killing again changes nothing."""
    if experiment.state == State.KILLED:
        require(actor, "experiment.run", experiment.team_id)
        return experiment
    return _change(actor, experiment, "kill", note)


def refuse_running(prompts: QuerySet[Prompt]) -> None:
    """Raise InRunningExperiment, naming them, when a running or paused experiment is on some of the prompts."""
    serving = Experiment.objects.serving().filter(prompt__in=prompts)
    if titles := sorted(set(serving.values_list("prompt__title", flat=True))):
        raise InRunningExperiment(prompts=some_of(titles))


VERBS = {"start": start, "pause": pause, "resume": resume, "stop": stop, "kill": kill}


def allowed_verbs(experiment: Experiment) -> list[str]:
    """Return what can be done to the experiment in its present state."""
    return [verb for verb, (sources, _) in ALLOWED.items() if experiment.state in sources]


def _change(actor: Principal, experiment: Experiment, verb: str, note: str, *, confirm: bool = False) -> Experiment:
    """Move the state under the environment's lock, take a revision, record it."""
    require(actor, "experiment.run", experiment.team_id)
    require_environment(actor, experiment.environment.name)
    sources, target = ALLOWED[verb]
    with transaction.atomic():
        lock(experiment.environment)
        locked: Experiment = Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)
        if locked.state == target == State.KILLED:
            return locked
        if locked.state not in sources:
            raise WrongState(state=str(locked.get_state_display()).lower(), verb=verb)
        if verb == "start":
            checklist.require_ready(locked, by=actor, confirm=confirm)
        before = {"state": locked.state}
        set_state(locked, target, note)
        after: dict[str, Any] = {"state": target.value, "revision": next_revision(experiment.environment)}
        record(actor, f"experiment.{verb}", locked, team_id=locked.team_id, before=before, after=after, note=note)
        if verb in EVENTS:
            told = {"experiment": locked.key, "prompt": locked.prompt.name, "environment": locked.environment.name}
            about = f"experiments/{locked.key}"
            told = {**told, **after, "actor": actor.label}
            emit(locked.team_id, EVENTS[verb], told, about=about, is_private=locked.prompt.is_private)
        if target in (State.STOPPED, State.KILLED):
            _tell_of_end(actor, locked, verb, note, after["revision"])
    return locked


def end(experiment: Experiment, state: State, note: str, revision: int, *, by: Principal) -> None:
    """End an experiment in the caller's transaction, which holds the environment's row and records it."""
    set_state(experiment, state, note)
    _tell_of_end(by, experiment, "stop", note, revision)


def _tell_of_end(actor: Principal, experiment: Experiment, verb: str, note: str, revision: int) -> None:
    """Close the ramp of an experiment that has ended, and write to those whom it concerns."""
    ramp_records.break_off(actor, experiment, rule=f"experiment_{verb}", revision=revision, note=note)
    people = telling.who_see(experiment.prompt, [experiment.owner_id, experiment.prompt.owner_id])
    where = Page("experiments_experiment_change", experiment.pk)
    said = {"experiment": experiment.title, "prompt": experiment.prompt.title, "verb": verb, "excerpt": note}
    tell(actor, MailKind.EXPERIMENT_ENDED, people, experiment.team_id, where, **said)


def set_state(experiment: Experiment, state: State, note: str) -> None:
    """Save the state with the times that follow from it. The caller holds the environment's row."""
    experiment.state = state
    if state == State.RUNNING and experiment.started_at is None:
        experiment.started_at = timezone.now()
        write_phase(experiment, Phase.Kind.STARTED, list(experiment.variants.all()))
    if state in (State.STOPPED, State.KILLED):
        experiment.ended_at = timezone.now()
        experiment.end_note = note
    experiment.save(update_fields=["state", "started_at", "ended_at", "end_note"])


def write_phase(experiment: Experiment, kind: Phase.Kind, variants: Sequence[Variant], *, moved_slots: int = 0) -> None:
    """Write down how the units are dealt from now on."""
    shares = {
        one.key: {"weight_bp": one.weight_bp, "owned": slots}
        for one, slots in zip(variants, owned_slots(variants), strict=True)
    }
    Phase.objects.create(
        experiment=experiment,
        number=experiment.phase,
        kind=kind,
        seed=experiment.seed,
        bucket_version=experiment.bucket_version,
        shares=shares,
        moved_slots=moved_slots,
    )


def add_variants(experiment: Experiment, new: Sequence[NewVariant], *, after: Sequence[Variant]) -> list[Variant]:
    """Write more variants, checked by the caller, behind those that are there."""
    rows = rows_of(experiment, new)
    for position, row in enumerate(rows, start=max(one.position for one in after) + 1):
        row.position, row.is_control = position, False
        row.save(force_insert=True)
    return rows


def check_variants(prompt: Prompt, variants: Sequence[NewVariant], coverage_bp: int) -> None:
    """Raise VariantsInvalid, or Invalid, for what cannot be compared or does not add up."""
    if not 2 <= len(variants) <= 5:
        raise VariantsInvalid.field("variants", "An experiment has two to five variants.")
    if len({variant.key for variant in variants}) < len(variants):
        raise VariantsInvalid.field("variants", gettext_noop("Each variant needs a key of its own."))
    for index, variant in enumerate(variants):
        if not KEY.match(variant.key):
            raise VariantsInvalid.field(
                f"variants.{index}.key", gettext_noop("Lower-case letters, digits, dots and dashes.")
            )
        if variant.version.prompt_id != prompt.pk:
            raise VariantsInvalid.field(f"variants.{index}.version", "This version belongs to another prompt.")
    check_coverage(coverage_bp)
    try:
        ranges([variant.weight_bp for variant in variants], coverage_bp)
    except ValueError as error:
        raise VariantsInvalid.field("variants", "The shares must add up to 10000 (100 %).") from error


def check_coverage(coverage_bp: int) -> None:
    """Raise Invalid for a share of all units that is none."""
    if not 1 <= coverage_bp <= 10_000:
        raise Invalid.field("coverage_bp", "Between 1 (0.01 %) and 10000 (everybody).")


def rows_of(experiment: Experiment, variants: Sequence[NewVariant]) -> list[Variant]:
    """Return the rows of variants, not saved yet, the control first."""
    return [
        Variant(
            experiment=experiment,
            key=variant.key,
            name=variant.name,
            is_control=position == 0,
            position=position,
            weight_bp=variant.weight_bp,
            model=variant.model,
            parameters=dict(variant.parameters),
            version=variant.version,
        )
        for position, variant in enumerate(variants)
    ]


def _checked_key(key: str) -> str:
    if not KEY.match(key) or ".." in key or key.isdigit():
        detail = "A key has lower-case letters, digits, dots, dashes and underscores, and is not a number alone."
        raise Invalid.field("key", detail)
    return key


def _free_key(team_id: int, title: str) -> str:
    """Return a key made of the title that no experiment of the team has."""
    keys = Experiment.objects.filter(team_id=team_id).values_list("key", flat=True)
    return free_slug(title, "experiment", lambda stem: list(keys.filter(key__startswith=stem)), longest=100)
