"""The life of an experiment: draft -> running <-> paused -> stopped; killed from anywhere. Every step takes a revision."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from promptlab_sdk.kernel.assignment import ranges

from experiments.errors import (
    AlreadyRunning,
    ControlNotLive,
    InRunningExperiment,
    KeyTaken,
    VariantsInvalid,
    WrongState,
)
from experiments.models import Experiment, Variant
from experiments.services import ramp_records
from promptlab.accounts.access import Principal, require, require_environment
from promptlab.accounts.models import Team
from promptlab.audit.recorder import record
from promptlab.hooks.models import MailKind
from promptlab.hooks.services.mailing import Page, tell
from promptlab.hooks.services.outbox import emit
from promptlab.lib.errors import Invalid, NotFound
from promptlab.lib.slugs import free_slug
from prompts import snippets
from prompts.errors import PromptArchived
from prompts.models import Deployment, Environment, Prompt, Version
from prompts.services import telling
from prompts.services.environments import lock, next_revision
from prompts.services.policies import some_of

State = Experiment.State
KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}\Z")

ALLOWED: dict[str, tuple[tuple[State, ...], State]] = {
    "start": ((State.DRAFT,), State.RUNNING),
    "pause": ((State.RUNNING,), State.PAUSED),
    "resume": ((State.PAUSED,), State.RUNNING),
    "stop": ((State.RUNNING, State.PAUSED), State.STOPPED),
    "kill": ((State.DRAFT, State.RUNNING, State.PAUSED), State.KILLED),
}
"""Verb -> (states it may start from, state it leads to)."""
EVENTS = {"start": "experiment.started", "stop": "experiment.stopped", "kill": "experiment.killed"}
"""Verb -> what webhooks hear of it."""


@dataclass(frozen=True, slots=True)
class NewVariant:
    """One variant to be: its key, version, share in basis points, and what people call it."""

    key: str
    version: Version
    weight_bp: int
    name: str = ""


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
) -> Experiment:
    """Make a draft. The first variant is the control.

    Without a `key` one is made of the title, with a number behind it when it is taken.
    Raises VariantsInvalid, KeyTaken for a given key that exists, Invalid naming the field.
    """
    require(actor, "experiment.write", prompt.team_id)
    if not title.strip():
        raise Invalid.field("title", "Give the experiment a name.", code="required")
    if environment.team_id != prompt.team_id:
        raise NotFound
    _check_variants(prompt, variants, coverage_bp)
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
            )
            after = {"variants": {variant.key: variant.weight_bp for variant in variants}}
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
) -> Experiment:
    """Write an experiment and its variants, checked by the caller, whose transaction records it. Raises IntegrityError."""
    # Keys are made one after the other.
    Team.objects.select_for_update(no_key=True).get(pk=prompt.team_id)
    experiment = Experiment.objects.create(
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
    Variant.objects.bulk_create(_rows(experiment, variants))
    return experiment


def start(actor: Principal, experiment: Experiment, *, note: str = "") -> Experiment:
    """Split the traffic from now on. Raises AlreadyRunning, ControlNotLive, WrongState, and what `snippets.resolve` does."""
    return _change(actor, experiment, "start", note)


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


def _change(actor: Principal, experiment: Experiment, verb: str, note: str) -> Experiment:
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
            _check_start(locked)
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
            ramp_records.break_off(actor, locked, rule=f"experiment_{verb}", revision=after["revision"], note=note)
            people = telling.who_see(locked.prompt, [locked.owner_id, locked.prompt.owner_id])
            where = Page("experiments_experiment_change", locked.pk)
            said = {"experiment": locked.title, "prompt": locked.prompt.title, "verb": verb, "excerpt": note}
            tell(actor, MailKind.EXPERIMENT_ENDED, people, locked.team_id, where, **said)
    return locked


def set_state(experiment: Experiment, state: State, note: str) -> None:
    """Save the state with the times that follow from it. The caller holds the environment's row."""
    experiment.state = state
    if state == State.RUNNING and experiment.started_at is None:
        experiment.started_at = timezone.now()
    if state in (State.STOPPED, State.KILLED):
        experiment.ended_at = timezone.now()
        experiment.end_note = note
    experiment.save(update_fields=["state", "started_at", "ended_at", "end_note"])


def _check_start(experiment: Experiment) -> None:
    """Refuse a second one here, a control that is not live, a prompt that was put away, variants without their snippets."""
    environment = experiment.environment
    if experiment.prompt.archived_at is not None:
        raise PromptArchived(prompt=experiment.prompt.title)
    running = Experiment.objects.serving().filter(prompt=experiment.prompt, environment=environment).first()
    if running:
        raise AlreadyRunning(running=running.title, environment=environment.name)
    live = Deployment.objects.filter(prompt=experiment.prompt, environment=environment).first()
    control = experiment.variants.get(is_control=True).version
    if live is None or live.version_id != control.pk:
        now_live = f"version {live.version.number}" if live and live.version else "nothing"
        raise ControlNotLive(control=control.number, live=now_live, environment=environment.name)
    variants = experiment.variants.select_related("version__prompt")
    snippets.resolve_all([variant.version for variant in variants], environment)


def _check_variants(prompt: Prompt, variants: Sequence[NewVariant], coverage_bp: int) -> None:
    if not 2 <= len(variants) <= 5:
        raise VariantsInvalid.field("variants", "An experiment has two to five variants.")
    if len({variant.key for variant in variants}) < len(variants):
        raise VariantsInvalid.field("variants", "Each variant needs a key of its own.")
    for index, variant in enumerate(variants):
        if not KEY.match(variant.key):
            raise VariantsInvalid.field(f"variants.{index}.key", "Lower-case letters, digits, dots and dashes.")
        if variant.version.prompt_id != prompt.pk:
            raise VariantsInvalid.field(f"variants.{index}.version", "This version belongs to another prompt.")
    if not 1 <= coverage_bp <= 10_000:
        raise Invalid.field("coverage_bp", "Between 1 (0.01 %) and 10000 (everybody).")
    try:
        ranges([variant.weight_bp for variant in variants], coverage_bp)
    except ValueError as error:
        raise VariantsInvalid.field("variants", "The shares must add up to 10000 (100 %).") from error


def _rows(experiment: Experiment, variants: Sequence[NewVariant]) -> list[Variant]:
    return [
        Variant(
            experiment=experiment,
            key=variant.key,
            name=variant.name,
            is_control=position == 0,
            position=position,
            weight_bp=variant.weight_bp,
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
