"""Reads: which variant somebody gets, and each rule that was asked on the way, in a word and a sentence."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import F
from promptlab_sdk.kernel.assignment import SLOTS, Assignment, assign, slot, unit_of
from promptlab_sdk.kernel.spec import ExperimentSpec

from experiments import receipts
from experiments.models import Experiment, ExperimentUnit
from experiments.receipts import CHECKSUM_CHARACTERS, Receipt
from prompts.models import Deployment


@dataclass(frozen=True, slots=True)
class Step:
    """One rule in the order of docs/spec/assignment.md. The last one decided."""

    rule: str
    has_decided: bool
    detail: str


def decide(experiment: ExperimentSpec, unit_id: str | None, attributes: Mapping[str, Any] | None = None) -> Assignment:
    """Return what a unit is served, where the server is asked: one query for a sticky experiment, else none."""
    return assign(experiment, unit_id, attributes, kept=kept(experiment, unit_of(experiment, unit_id, attributes)))


def kept(experiment: ExperimentSpec, unit: str | None) -> str | None:
    """Return the variant that a sticky experiment gave this unit first since units were last dealt; None elsewhere."""
    if not experiment.is_sticky or not unit:
        return None
    met = ExperimentUnit.objects.filter(experiment_id=experiment.id, unit_id=unit, is_multiple=False)
    met = met.filter(phase__gte=F("experiment__bucket_phase"))
    found: str | None = met.order_by("phase").values_list("variant__key", flat=True).first()
    return found


def signed(experiment: Experiment, found: Assignment, unit: str) -> str | None:
    """Return a receipt of what a unit is served now; None while nothing is live. One query, with names and variants read."""
    live = Deployment.objects.live().filter(prompt=experiment.prompt, environment=experiment.environment)
    pointer = live.select_related("version").first()
    if pointer is None or pointer.version is None:
        return None
    served: dict[str, Any] = {}
    version = pointer.version
    if found.assigned or found.is_forced:
        variant = next(one for one in experiment.variants.all() if one.key == found.variant.key)
        version = variant.version
        served = {"experiment_id": experiment.pk, "phase": experiment.phase}
        if found.assigned:
            served |= {"variant_id": variant.pk, "slot": -1 if found.slot is None else found.slot}
    return receipts.write(
        Receipt(
            team_id=experiment.team_id,
            prompt_id=experiment.prompt_id,
            version_id=version.pk,
            checksum=version.checksum[:CHECKSUM_CHARACTERS],
            environment_id=experiment.environment_id,
            revision=experiment.environment.revision,
            at=int(time.time()),
            unit=receipts.pseudonym(experiment.team_id, unit),
            **served,
        )
    )


def steps(experiment: ExperimentSpec, unit: str, found: Assignment) -> list[Step]:
    """Return the rules that were asked, the deciding one last."""
    asked = []
    for rule, passed, decided in _sentences(experiment, unit, found):
        has_decided = rule == RULES[found.reason]
        asked.append(Step(rule, has_decided, decided if has_decided else passed))
        if has_decided:
            break
    return asked


RULES = {
    "disabled": "state",
    "condition": "condition",
    "no_unit": "unit",
    "override": "override",
    "sticky": "sticky",
    "namespace": "namespace",
    "split": "slot",
    "outside": "slot",
}
"""Reason -> the rule that gave it."""


def _sentences(experiment: ExperimentSpec, unit: str, found: Assignment) -> list[tuple[str, str, str]]:
    """Return each rule with what it says when it passes the question on, and when it decides."""
    variant = found.variant.key
    said = [
        ("state", "The experiment runs.", f"The experiment is {experiment.state}: everybody gets what is live."),
        _if(experiment.condition, "condition", "It is for this user.", "It is not for a user with these attributes."),
        _of_unit(experiment),
        _if(experiment.overrides, "override", "The user is not on the list.", f"On the list for trying out {variant}."),
        _if(
            experiment.is_sticky, "sticky", "The user has had none of it yet.", f"The user keeps {variant}, as before."
        ),
    ]
    where = experiment.namespace
    if where is None:
        said.append(("namespace", NOT_SET, NOT_SET))
    else:
        number = slot(where.seed, unit)
        said.append(
            (
                "namespace",
                f"Slot {number} of the namespace is this experiment's.",
                f"Slot {number} of the namespace is not this experiment's: the control, uncounted.",
            )
        )
    return [*said, ("slot", "", _of_slot(found))]


NOT_SET = "Not set."


def _of_unit(experiment: ExperimentSpec) -> tuple[str, str, str]:
    if not experiment.unit_attribute:
        return "unit", "A user is named.", "Nobody is named: the control, uncounted."
    name = experiment.unit_attribute
    return "unit", f"{name} is dealt, and is named.", f"{name} is dealt, and is no text here: the control, uncounted."


def _if(is_set: object, rule: str, passed: str, decided: str) -> tuple[str, str, str]:
    return rule, passed if is_set else NOT_SET, decided


def _of_slot(found: Assignment) -> str:
    if not found.assigned:
        return f"Slot {found.slot} of {SLOTS} belongs to no variant: the control, uncounted."
    owned = next((one for one in found.variant.ranges if one[0] <= (found.slot or 0) < one[1]), None)
    inside = f"{owned[0]} to {owned[1] - 1}" if owned else "other slots"
    return f"Slot {found.slot} of {SLOTS}; variant {found.variant.key} owns {inside}."
