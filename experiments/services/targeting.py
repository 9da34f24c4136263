"""Whom an experiment is for, and apart from which others it stays: what is said when it is set up, checked field by field."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_noop
from promptlab_sdk.kernel.assignment import MAX_UNIT_ID, SLOTS
from promptlab_sdk.kernel.condition import problems

from experiments.errors import NamespaceFull, NamespaceTaken, WrongState
from experiments.models import Experiment, Namespace
from promptlab.accounts.access import Principal, require, require_environment
from promptlab.accounts.models import Team
from promptlab.audit.recorder import record
from promptlab.lib.errors import FieldProblem, Invalid
from prompts.services.environments import lock, next_revision
from prompts.services.policies import some_of

State = Experiment.State
MAX_OVERRIDES = 200
MAX_RANGES = 10
OPEN = (State.DRAFT, State.RUNNING, State.PAUSED)
UNIT_ID = "unit_id"
"""Another name for what is dealt usually."""
ATTRIBUTE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\Z")


@dataclass(frozen=True, slots=True)
class Setup:
    """What an experiment has besides its texts and shares. `namespace_ranges` are slots, lower end included.

    `unit_attribute`: the attribute whose value is dealt, where it is not the unit id.
    """

    condition: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    is_sticky: bool = False
    namespace: str = ""
    namespace_ranges: Sequence[Sequence[int]] = ()
    primary_metric: str = Experiment.Metric.APPROVAL
    guardrails: Sequence[str] = ()
    planned_size: int | None = None
    unit_attribute: str = ""


def setup_of(experiment: Experiment) -> Setup:
    """Return what an experiment has now."""
    return Setup(
        condition=experiment.condition,
        overrides=experiment.overrides,
        is_sticky=experiment.is_sticky,
        namespace=experiment.namespace.key if experiment.namespace else "",
        namespace_ranges=experiment.namespace_ranges,
        primary_metric=experiment.primary_metric,
        guardrails=experiment.guardrails,
        planned_size=experiment.planned_size,
        unit_attribute=experiment.unit_attribute,
    )


def check(setup: Setup, keys: Collection[str]) -> None:
    """Raise Invalid with all that is wrong. `keys`: the variants'."""
    found = [*_of_condition(setup.condition), *override_problems(setup.overrides, keys), *_of_namespace(setup)]
    metrics = Experiment.Metric.values
    if setup.primary_metric not in metrics:
        found.append(FieldProblem("primary_metric", f"One of {', '.join(metrics)}.", "invalid"))
    if unknown := [one for one in setup.guardrails if one not in metrics]:
        found.append(FieldProblem("guardrails", f"{unknown[0]} is none of {', '.join(metrics)}.", "invalid"))
    if setup.planned_size is not None and not 1 <= setup.planned_size <= 2**31 - 1:
        found.append(FieldProblem("planned_size", "At least 1.", "invalid"))
    if setup.unit_attribute and not ATTRIBUTE.match(setup.unit_attribute):
        detail = gettext_noop("The name of an attribute: letters, digits, dots, dashes and underscores.")
        found.append(FieldProblem("unit_attribute", detail, "invalid"))
    if found:
        raise Invalid(f"{found[0].field}: {found[0].detail}", problems=found)


def set_overrides(actor: Principal, experiment: Experiment, overrides: Mapping[str, str]) -> Experiment:
    """Say who tries which variant out, in place of what was said before. The same again changes nothing.

    Raises Forbidden, WrongState for one that is over, Invalid naming the unit.
    """
    require(actor, "experiment.run", experiment.team_id)
    require_environment(actor, experiment.environment.name)
    if found := override_problems(overrides, set(experiment.variants.values_list("key", flat=True))):
        raise Invalid(f"{found[0].field}: {found[0].detail}", problems=found)
    with transaction.atomic():
        lock(experiment.environment)
        locked: Experiment = Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)
        if locked.state not in OPEN:
            raise WrongState(state=str(locked.get_state_display()).lower(), verb="trying it out")
        if locked.overrides != overrides:
            before = {"units": len(locked.overrides)}
            locked.overrides = dict(overrides)
            locked.save(update_fields=["overrides"])
            after = {"units": len(overrides)}
            if locked.is_serving:
                after["revision"] = next_revision(experiment.environment)
            record(actor, "experiment.overrides", locked, team_id=locked.team_id, before=before, after=after)
    return locked


def _of_condition(condition: Any) -> list[FieldProblem]:
    return [
        FieldProblem(f"condition.{one.path}" if one.path else "condition", one.detail, "invalid")
        for one in problems(condition)
    ]


def override_problems(overrides: Mapping[str, str], keys: Collection[str]) -> list[FieldProblem]:
    """Return what is wrong with a list of units that try variants out."""
    if len(overrides) > MAX_OVERRIDES:
        return [FieldProblem("overrides", f"At most {MAX_OVERRIDES} units try it out.", "too_many")]
    found = []
    for unit, key in overrides.items():
        if not 0 < len(unit) <= MAX_UNIT_ID:
            found.append(FieldProblem("overrides", f"A unit_id has 1 to {MAX_UNIT_ID} characters.", "invalid"))
        elif key not in keys:
            found.append(FieldProblem(f"overrides.{unit}", f"There is no variant {key[:50]}.", "invalid"))
    return found


def _of_namespace(setup: Setup) -> list[FieldProblem]:
    if bool(setup.namespace) != bool(setup.namespace_ranges):
        return [FieldProblem("namespace", "A namespace goes with the slots in it: key and ranges.", "required")]
    if len(setup.namespace_ranges) > MAX_RANGES:
        return [FieldProblem("namespace.ranges", f"At most {MAX_RANGES} ranges.", "too_many")]
    last = 0
    for lo, hi in sorted(tuple(one) for one in setup.namespace_ranges):
        if not last <= lo < hi <= SLOTS:
            detail = f"Ranges lie within 0 and {SLOTS}, the lower end first, and do not overlap."
            return [FieldProblem("namespace.ranges", detail, "invalid")]
        last = hi
    return []


def place(experiment: Experiment, setup: Setup) -> None:
    """Give an experiment, not saved yet, what was checked. Raises NamespaceTaken, Invalid. The caller holds the team's row."""
    experiment.condition = dict(setup.condition)
    experiment.overrides = dict(setup.overrides)
    experiment.is_sticky = setup.is_sticky
    experiment.primary_metric = setup.primary_metric
    experiment.guardrails = list(setup.guardrails)
    experiment.planned_size = setup.planned_size
    experiment.unit_attribute = "" if setup.unit_attribute == UNIT_ID else setup.unit_attribute
    experiment.namespace, experiment.namespace_ranges = None, []
    if setup.namespace:
        experiment.namespace = _namespace(experiment.team_id, setup.namespace)
        experiment.namespace_ranges = [list(one) for one in setup.namespace_ranges]
        _check_free(experiment)


def free_part(namespace: Namespace, slots: int, *, but: Experiment | None = None) -> list[list[int]]:
    """Return so many slots of a namespace that no experiment has which is not over, from the bottom. Raises NamespaceFull.

    Where `but`, whose own slots count as free, has as many already, it keeps them. One query.
    """
    own = but.namespace_ranges if but is not None and but.namespace_id == namespace.pk else []
    if sum(hi - lo for lo, hi in own) == slots:
        return [list(one) for one in own]
    found: list[list[int]] = []
    left = slots
    for lo, hi in free_ranges(namespace, but=but):
        if left:
            found.append([lo, min(hi, lo + left)])
            left -= found[-1][1] - lo
    if left:
        raise NamespaceFull(namespace=namespace.key, free=(slots - left) / 100)
    return found


def free_ranges(namespace: Namespace, *, but: Experiment | None = None) -> list[tuple[int, int]]:
    """Return the slots that no experiment has which is not over: one query."""
    others = Experiment.objects.filter(namespace=namespace, state__in=OPEN).exclude(pk=but.pk if but else None)
    taken = sorted((lo, hi) for ranges in others.values_list("namespace_ranges", flat=True) for lo, hi in ranges)
    found, last = [], 0
    for lo, hi in [*taken, (SLOTS, SLOTS)]:
        if last < lo:
            found.append((last, lo))
        last = max(last, hi)
    return found


def create_namespace(actor: Principal, team: Team, key: str) -> Namespace:
    """Make a namespace in which experiments stay apart. Raises Invalid for a key that is none, or is taken."""
    require(actor, "experiment.write", team.pk)
    if not ATTRIBUTE.match(key) or key != key.lower():
        raise Invalid.field("key", gettext_noop("Lower-case letters, digits, dots and dashes."))
    try:
        with transaction.atomic():
            made: Namespace = Namespace.objects.create(team=team, key=key, seed=secrets.token_hex(8))
            record(actor, "namespace.created", made, team_id=team.pk, after={"key": key})
    except IntegrityError as error:
        raise Invalid.field("key", gettext_noop("There is one of this name already.")) from error
    return made


def _namespace(team_id: int, key: str) -> Namespace:
    found, _ = Namespace.objects.get_or_create(team_id=team_id, key=key, defaults={"seed": secrets.token_hex(8)})
    return found


def _check_free(experiment: Experiment) -> None:
    """Refuse slots that an experiment which is not over has."""
    others = Experiment.objects.filter(namespace=experiment.namespace, state__in=OPEN).exclude(pk=experiment.pk)
    if others.exclude(unit_attribute=experiment.unit_attribute).exists():
        detail = gettext_noop("Experiments that stay apart have to deal the same: users, or one attribute.")
        raise Invalid.field("unit_attribute", detail)
    taken = [
        f"{other.title} ({lo} to {hi})"
        for other in others
        for lo, hi in other.namespace_ranges
        if any(lo < mine_hi and mine_lo < hi for mine_lo, mine_hi in experiment.namespace_ranges)
    ]
    if taken:
        raise NamespaceTaken(namespace=str(experiment.namespace), taken=some_of(taken))
