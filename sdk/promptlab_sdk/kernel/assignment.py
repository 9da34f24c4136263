"""Who is served which variant: a pure function of seed, unit id and ranges, the same in every language.

The algorithm (docs/spec/assignment.md) agrees with GrowthBook's `hashVersion` 2 on explicit ranges, slot by
slot.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from promptlab_sdk.kernel.condition import matches
from promptlab_sdk.kernel.spec import JSON, ExperimentSpec, Range, VariantSpec

SLOTS = 10_000
"""Slots per experiment; one slot is one basis point of the units."""

MAX_UNIT_ID = 200
"""Longest unit id, in characters."""

Reason = Literal[
    "split", "outside", "disabled", "no_unit", "condition", "override", "sticky", "namespace"
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Assignment:
    """The variant to serve. When nobody was `assigned`, nothing is to be counted.

    `reason`: "split" (assigned by slot), "sticky" (keeps what it was assigned before), "override" (on the list for trying
    it out), and with the control "outside" (the slot belongs to no variant), "namespace" (the unit is another
    experiment's), "condition" (the experiment is not for it), "disabled" (it is not running), "no_unit" (nobody was
    named). `slot` is known where it decided.
    """

    variant: VariantSpec
    assigned: bool
    slot: int | None
    reason: Reason

    @property
    def is_forced(self) -> bool:
        """Whether a list decided: such an exposure takes part in no analysis."""
        return self.reason == "override"


NOTHING: Mapping[str, JSON] = {}


def assign(
    experiment: ExperimentSpec,
    unit_id: str | None,
    attributes: Mapping[str, JSON] | None = None,
    *,
    kept: str | None = None,
) -> Assignment:
    """Return what is served to whom `unit_of` names. `attributes` are what the condition is about.

    `kept`: the key of the variant that a sticky experiment has given it before. Raises what `check_unit_id` raises.
    """
    if experiment.state != "running":
        return Assignment(experiment.control, False, None, "disabled")
    if experiment.condition and not matches(experiment.condition, attributes or NOTHING):
        return Assignment(experiment.control, False, None, "condition")
    unit_id = unit_of(experiment, unit_id, attributes)
    if not unit_id:
        return Assignment(experiment.control, False, None, "no_unit")
    check_unit_id(unit_id)
    if experiment.overrides and (forced := _named(experiment, experiment.overrides.get(unit_id))):
        return Assignment(forced, False, None, "override")
    if kept is not None and experiment.is_sticky and (same := _named(experiment, kept)):
        return Assignment(same, True, slot(experiment.seed, unit_id), "sticky")
    where = experiment.namespace
    if where is not None and not _is_in(where.ranges, slot(where.seed, unit_id)):
        return Assignment(experiment.control, False, None, "namespace")
    number = slot(experiment.seed, unit_id)
    for variant in experiment.variants:
        for lo, hi in variant.ranges:
            if lo <= number < hi:
                return Assignment(variant, True, number, "split")
    return Assignment(experiment.control, False, number, "outside")


def unit_of(
    experiment: ExperimentSpec, unit_id: str | None, attributes: Mapping[str, JSON] | None = None
) -> str | None:
    """Return who is dealt and counted: `unit_id`, or the value of the attribute that the experiment deals by.

    None for nobody. A value that is no text, is empty or too long names nobody: numbers print differently elsewhere.
    """
    if not experiment.unit_attribute:
        return unit_id or None
    value = (attributes or NOTHING).get(experiment.unit_attribute)
    return value if isinstance(value, str) and 0 < len(value) <= MAX_UNIT_ID else None


def _named(experiment: ExperimentSpec, key: str | None) -> VariantSpec | None:
    return next((one for one in experiment.variants if one.key == key), None)


def _is_in(ranges: Sequence[Range], number: int) -> bool:
    return any(lo <= number < hi for lo, hi in ranges)


def check_unit_id(unit_id: str) -> None:
    """Refuse what is no string (numbers print differently elsewhere), or is longer than 200 characters."""
    if not isinstance(unit_id, str):
        raise TypeError(f"A unit_id is a string, not {type(unit_id).__name__}.")
    if len(unit_id) > MAX_UNIT_ID:
        raise ValueError(f"A unit_id has at most {MAX_UNIT_ID} characters, not {len(unit_id)}.")


@lru_cache(maxsize=16_384)
def slot(seed: str, unit_id: str) -> int:
    """Return the slot of the unit, 0..9999. Ids are taken as they are: not trimmed, folded or normalised."""
    # The hash of `seed + unit_id`: it runs from left to right, so what it is after the seed is computed once.
    return fnv1a32(str(fnv1a32(unit_id, _after_seed(seed)))) % SLOTS


@lru_cache(maxsize=512)
def _after_seed(seed: str) -> int:
    return fnv1a32(seed)


def fnv1a32(text: str, start: int = 2166136261) -> int:
    """Return the 32-bit FNV-1a hash over the UTF-16 code units of `text`, one step per unit, not per byte.

    With the hash of another text as `start`, return the hash of both texts joined.
    """
    units: Sequence[int]
    if text.isascii():
        units = text.encode("ascii")
    else:
        encoded = text.encode("utf-16-le", "surrogatepass")
        units = struct.unpack(f"<{len(encoded) // 2}H", encoded)
    value = start
    for unit in units:
        value = ((value ^ unit) * 16777619) & 0xFFFFFFFF
    return value


def ranges(weights_bp: Sequence[int], coverage_bp: int = SLOTS) -> tuple[Range, ...]:
    """Return one half-open range of slots per weight. Coverage moves the ends only: a ramp moves nobody.

    Weights and coverage are basis points; the weights must sum to 10000. Raises ValueError.
    """
    if any(weight < 0 for weight in weights_bp) or sum(weights_bp) != SLOTS:
        raise ValueError(f"Weights are at least 0 and sum to {SLOTS} basis points, not {list(weights_bp)}.")
    if not 0 <= coverage_bp <= SLOTS:
        raise ValueError(f"Coverage is 0 to {SLOTS} basis points, not {coverage_bp}.")
    found: list[Range] = []
    lo = 0
    for weight in weights_bp:
        found.append((lo, lo + weight * coverage_bp // SLOTS))
        lo += weight
    return tuple(found)


def covered(owned: Sequence[Range], coverage_bp: int) -> tuple[Range, ...]:
    """Return the part of the slots of one variant that takes part: the first of them, in order. More coverage only adds.

    For a single range it is what `ranges` returns.
    """
    left = sum(hi - lo for lo, hi in owned) * coverage_bp // SLOTS
    found: list[Range] = []
    for lo, hi in sorted(owned):
        hi = min(hi, lo + left)
        if lo < hi:
            found.append((lo, hi))
        left -= hi - lo
    return tuple(found)


def reallocated(owned: Sequence[Sequence[Range]], weights_bp: Sequence[int]) -> tuple[tuple[Range, ...], ...]:
    """Return the slots of each variant under new weights, with the fewest units moved.

    A variant that shrinks gives up its highest slots, one that grows takes free slots from the bottom, in order of the
    variants; a new one has none yet. Raises ValueError for weights that do not sum.
    """
    ranges(weights_bp)  # The check of the weights.
    owner: list[int | None] = [None] * SLOTS
    for index, own in enumerate(owned):
        for lo, hi in own:
            owner[lo:hi] = [index] * (hi - lo)
    held = [0] * len(owned)
    for number, has in enumerate(owner):
        if has is not None:
            held[has] += 1
            if held[has] > weights_bp[has]:
                owner[number] = None
    for index, weight in enumerate(weights_bp):
        missing = weight - min(held[index], weight)
        for number in range(SLOTS):
            if not missing:
                break
            if owner[number] is None:
                owner[number] = index
                missing -= 1
    return tuple(_joined(owner, index) for index in range(len(weights_bp)))


def _joined(owner: Sequence[int | None], index: int) -> tuple[Range, ...]:
    """Return the slots of one variant as ranges."""
    found: list[Range] = []
    for number, mine in enumerate(owner):
        if mine != index:
            continue
        if found and found[-1][1] == number:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return tuple(found)
