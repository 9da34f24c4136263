"""Experiments that nobody has started: begun with the live text alone, changed part by part until they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from django.db import transaction

from experiments.errors import NothingLive, WrongState
from experiments.models import Experiment, Variant
from experiments.services import lifecycle, targeting
from experiments.services.lifecycle import NO_SETUP, NewVariant
from experiments.services.targeting import Setup
from promptlab.accounts.access import Principal, require
from promptlab.accounts.models import Team
from promptlab.audit.recorder import record
from promptlab.lib.errors import Invalid, NotFound
from prompts.models import Deployment, Environment, Prompt, Version

State = Experiment.State
CONTROL = "control"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DraftChanges:
    """What becomes different; None leaves it. `setup`: those fields of `Setup` that change, by name.

    Other `variants` come in place of all that were there; who tries out one that is gone tries nothing out any more.
    """

    title: str | None = None
    hypothesis: str | None = None
    environment: Environment | None = None
    coverage_bp: int | None = None
    variants: Sequence[NewVariant] | None = None
    setup: Mapping[str, Any] = field(default_factory=dict)


def begin_draft(
    actor: Principal,
    prompt: Prompt,
    environment: Environment,
    *,
    title: str,
    hypothesis: str = "",
    setup: Setup = NO_SETUP,
) -> Experiment:
    """Make a draft of the live text alone: what it is compared with is said later, and before it may start.

    Raises NothingLive, NamespaceTaken, Invalid naming the field.
    """
    require(actor, "experiment.write", prompt.team_id)
    if environment.team_id != prompt.team_id:
        raise NotFound
    _check_title(title)
    targeting.check(setup, {CONTROL})
    with transaction.atomic():
        made = lifecycle.new_draft(
            prompt,
            environment,
            title=title.strip(),
            variants=[_control(live_version(prompt, environment))],
            by=actor,
            hypothesis=hypothesis,
            setup=setup,
        )
        record(actor, "experiment.created", made, team_id=prompt.team_id, after={"variants": {CONTROL: 10_000}})
    return made


def edit_draft(actor: Principal, experiment: Experiment, changes: DraftChanges) -> Experiment:
    """Change what is not started yet, all of it or nothing. The same again changes nothing.

    Raises WrongState for one that was started, VariantsInvalid, NamespaceTaken, Invalid naming the field.
    """
    require(actor, "experiment.write", experiment.team_id)
    if changes.title is not None:
        _check_title(changes.title)
    if changes.environment is not None and changes.environment.team_id != experiment.team_id:
        raise NotFound
    with transaction.atomic():
        # The slots of a namespace are given away one after the other.
        Team.objects.select_for_update(no_key=True).get(pk=experiment.team_id)
        locked: Experiment = Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)
        if locked.state != State.DRAFT:
            raise WrongState(state=str(locked.get_state_display()).lower(), verb="another setup")
        before = _facts(locked)
        _change(locked, changes)
        after = _facts(locked)
        changed = [name for name, said in after.items() if said != before[name]]
        if changed:
            locked.save()
            was, now = ({name: facts[name] for name in changed} for facts in (before, after))
            record(actor, "experiment.edited", locked, team_id=locked.team_id, before=was, after=now)
    return locked


def live_version(prompt: Prompt, environment: Environment) -> Version:
    """Return what is live, the text that others are compared with. Raises NothingLive."""
    live = Deployment.objects.live().filter(prompt=prompt, environment=environment)
    pointer = live.select_related("version__prompt").first()
    if pointer is None or pointer.version is None:
        raise NothingLive(prompt=prompt.title, environment=environment.name)
    version: Version = pointer.version
    return version


def _change(experiment: Experiment, changes: DraftChanges) -> None:
    """Give the experiment, whose row is held and not saved yet, what is different, and write its variants."""
    if changes.title is not None:
        experiment.title = changes.title.strip()
    if changes.hypothesis is not None:
        experiment.hypothesis = changes.hypothesis
    if changes.environment is not None:
        experiment.environment = changes.environment
    if changes.coverage_bp is not None:
        experiment.coverage_bp = changes.coverage_bp
    setup = replace(targeting.setup_of(experiment), **changes.setup)
    if changes.variants is not None:
        lifecycle.check_variants(experiment.prompt, changes.variants, experiment.coverage_bp)
        if "overrides" not in changes.setup:
            keys = {one.key for one in changes.variants}
            setup = replace(setup, overrides={unit: key for unit, key in setup.overrides.items() if key in keys})
        _write_variants(experiment, changes.variants)
    lifecycle.check_coverage(experiment.coverage_bp)
    targeting.check(setup, set(experiment.variants.values_list("key", flat=True)))
    targeting.place(experiment, setup)


def _write_variants(experiment: Experiment, variants: Sequence[NewVariant]) -> None:
    if _variants(experiment) != [_as_said(one) for one in variants]:
        experiment.variants.all().delete()
        Variant.objects.bulk_create(lifecycle.rows_of(experiment, variants))


def _facts(experiment: Experiment) -> Json:
    """Return all that may be changed, for the activity log: four queries."""
    return {
        "title": experiment.title,
        "hypothesis": experiment.hypothesis,
        "environment": experiment.environment.name,
        "coverage_bp": experiment.coverage_bp,
        "variants": _variants(experiment),
        **asdict(targeting.setup_of(experiment)),
    }


def _variants(experiment: Experiment) -> list[Json]:
    rows = experiment.variants.select_related("version")
    return [
        _as_said(NewVariant(one.key, one.version, one.weight_bp, one.name, one.model, one.parameters)) for one in rows
    ]


def _as_said(variant: NewVariant) -> Json:
    return {
        "key": variant.key,
        "version": variant.version.number,
        "weight_bp": variant.weight_bp,
        "name": variant.name,
        "model": variant.model,
        "parameters": dict(variant.parameters),
    }


def _control(version: Version) -> NewVariant:
    return NewVariant(CONTROL, version, 10_000)


def _check_title(title: str) -> None:
    if not title.strip():
        raise Invalid.field("title", "Give the experiment a name.", code="required")
