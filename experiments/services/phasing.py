"""Other traffic for an experiment that serves: wider coverage, other shares, units dealt anew. Whoever need not move, stays."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils.translation import gettext_noop
from promptlab_sdk.kernel.assignment import SLOTS, reallocated

from experiments.errors import RunByRamp, VariantsInvalid, WrongState
from experiments.models import Experiment, Phase, Ramp, Variant, owned_slots
from experiments.services import checklist, lifecycle
from experiments.services.lifecycle import NewVariant
from promptlab.accounts.access import Principal, require, require_environment
from promptlab.audit.recorder import record
from promptlab.lib.errors import Invalid
from prompts.services.environments import lock, next_revision

Json = dict[str, Any]
Change = Callable[[Experiment, list[Variant]], tuple[Json, Json] | None]
"""Changes an experiment, whose row is held; returns what is recorded as before and after, None where nothing changed."""


def change_coverage(actor: Principal, experiment: Experiment, coverage_bp: int, *, note: str = "") -> Experiment:
    """Let more or fewer of all units take part. Nobody changes from one variant to another; the phase goes on.

    Raises WrongState, RunByRamp, Invalid.
    """

    def change(locked: Experiment, _variants: list[Variant]) -> tuple[Json, Json] | None:
        if not 1 <= coverage_bp <= SLOTS:
            raise Invalid.field("coverage_bp", f"Between 1 (0.01 %) and {SLOTS} (everybody).")
        before, locked.coverage_bp = locked.coverage_bp, coverage_bp
        locked.save(update_fields=["coverage_bp"])
        return ({"coverage_bp": before}, {"coverage_bp": coverage_bp}) if before != coverage_bp else None

    return _change(actor, experiment, "experiment.coverage", note, change)


def change_shares(
    actor: Principal,
    experiment: Experiment,
    weights_bp: Mapping[str, int],
    *,
    new: Sequence[NewVariant] = (),
    note: str = "",
) -> Experiment:
    """Begin a phase with other shares, with the fewest units moved: by variant key in basis points.

    Who is not named takes no part any more; `new` variants get free slots. Raises VariantsInvalid, WrongState, RunByRamp.
    """

    def change(locked: Experiment, variants: list[Variant]) -> tuple[Json, Json] | None:
        _check_shares(locked, variants, weights_bp, new)
        before, owned = {one.key: one.weight_bp for one in variants}, owned_slots(variants)
        if not new and all(weights_bp.get(key, 0) == weight for key, weight in before.items()):
            return None
        added = lifecycle.add_variants(locked, new, after=variants)
        checklist.require_fit(locked, added, by=actor)
        every = [*variants, *added]
        for one in variants:
            one.weight_bp = weights_bp.get(one.key, 0)
        dealt = reallocated([*owned, *(() for _ in added)], [one.weight_bp for one in every])
        for one, slots in zip(every, dealt, strict=True):
            one.owned = [list(pair) for pair in slots]
            one.save(update_fields=["weight_bp", "owned"])
        kept = sum(_common(was, now) for was, now in zip(owned, dealt, strict=False))
        _begin(locked, Phase.Kind.SHARES, every, moved_slots=SLOTS - kept)
        return {"shares": before}, {"shares": {one.key: one.weight_bp for one in every}, "moved_slots": SLOTS - kept}

    return _change(actor, experiment, "experiment.shares", note, change)


def moved_by(experiment: Experiment, weights_bp: Mapping[str, int]) -> int:
    """Return how many of the 10000 slots get another text under other shares, before anything changes: one query."""
    variants = list(experiment.variants.all())
    owned = owned_slots(variants)
    dealt = reallocated(owned, [weights_bp.get(one.key, 0) for one in variants])
    return SLOTS - sum(_common(was, now) for was, now in zip(owned, dealt, strict=True))


def deal_anew(actor: Principal, experiment: Experiment, *, note: str = "") -> Experiment:
    """Begin a phase in which every unit is dealt anew, as if it had met none of the variants. It needs a note.

    Raises WrongState, RunByRamp, Invalid without a note.
    """

    def change(locked: Experiment, variants: list[Variant]) -> tuple[Json, Json]:
        if not note.strip():
            raise Invalid.field("note", gettext_noop("Say why everybody is dealt anew."), code="required")
        before = locked.bucket_version
        locked.seed = secrets.token_hex(8)
        locked.bucket_version += 1
        locked.bucket_phase = locked.phase + 1
        Variant.objects.filter(experiment=locked).update(owned=None)
        for one in variants:
            one.owned = None
        _begin(locked, Phase.Kind.DEALT_ANEW, variants, moved_slots=SLOTS)
        return {"bucket_version": before}, {"bucket_version": locked.bucket_version}

    return _change(actor, experiment, "experiment.dealt_anew", note, change)


def _change(actor: Principal, experiment: Experiment, verb: str, note: str, change: Change) -> Experiment:
    """Change a serving experiment under the environment's lock, take a revision, record it."""
    require(actor, "experiment.run", experiment.team_id)
    require_environment(actor, experiment.environment.name)
    with transaction.atomic():
        lock(experiment.environment)
        locked: Experiment = Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)
        if not locked.is_serving:
            raise WrongState(state=str(locked.get_state_display()).lower(), verb="other traffic")
        if Ramp.objects.open().filter(experiment=locked).exists():
            raise RunByRamp
        found = change(locked, list(locked.variants.select_related("version")))
        if found is not None:
            before, after = found
            after |= {"phase": locked.phase, "revision": next_revision(experiment.environment)}
            record(actor, verb, locked, team_id=locked.team_id, before=before, after=after, note=note)
    return locked


def _begin(experiment: Experiment, kind: Phase.Kind, variants: Sequence[Variant], *, moved_slots: int) -> None:
    """Begin the next phase."""
    experiment.phase += 1
    experiment.save(update_fields=["phase", "seed", "bucket_version", "bucket_phase"])
    lifecycle.write_phase(experiment, kind, variants, moved_slots=moved_slots)


def _check_shares(
    experiment: Experiment, variants: Sequence[Variant], weights_bp: Mapping[str, int], new: Sequence[NewVariant]
) -> None:
    keys = {one.key for one in variants}
    if unknown := sorted(set(weights_bp) - keys):
        raise VariantsInvalid.field("variants", f"There is no variant {unknown[0]}: a new one needs its version.")
    if again := sorted({one.key for one in new} & keys):
        raise VariantsInvalid.field("variants", f"Variant {again[0]} is there already: its version stays.")
    by_key = {one.key: one for one in variants}
    whole = [NewVariant(key, by_key[key].version, weight) for key, weight in weights_bp.items()]
    lifecycle.check_variants(experiment.prompt, [*whole, *new], experiment.coverage_bp)
    control = next(one for one in variants if one.is_control)
    if control.key not in weights_bp:
        raise VariantsInvalid.field("variants", f"The current text, {control.key}, stays.")


def _common(was: Sequence[tuple[int, int]], now: Sequence[tuple[int, int]]) -> int:
    """Return how many slots a variant has kept."""
    return sum(max(0, min(a_hi, b_hi) - max(a_lo, b_lo)) for a_lo, a_hi in was for b_lo, b_hi in now)
