"""Who is served which variant: a pure function of seed, unit id and ranges, the same in every language.

The algorithm (docs/spec/assignment.md) agrees with GrowthBook's `hashVersion` 2 on explicit ranges, slot by
slot.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from promptlab_sdk.kernel.spec import ExperimentSpec, Range, VariantSpec

SLOTS = 10_000
"""Slots per experiment; one slot is one basis point of the units."""

MAX_UNIT_ID = 200
"""Longest unit id, in characters."""

Reason = Literal["split", "outside", "disabled", "no_unit"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """The variant to serve. When nobody was assigned it is the control, and nothing is to be recorded.

    `reason`: "split" (assigned by slot), "outside" (the slot belongs to no variant), "disabled" (the
    experiment is not running), "no_unit" (nobody was named). `slot` is known for the first two.
    """

    variant: VariantSpec
    assigned: bool
    slot: int | None
    reason: Reason


def assign(experiment: ExperimentSpec, unit_id: str | None) -> Assignment:
    """Return what `unit_id` is served. Raises what `check_unit_id` raises."""
    if experiment.state != "running":
        return Assignment(experiment.control, False, None, "disabled")
    if not unit_id:
        return Assignment(experiment.control, False, None, "no_unit")
    check_unit_id(unit_id)
    number = slot(experiment.seed, unit_id)
    for variant in experiment.variants:
        for lo, hi in variant.ranges:
            if lo <= number < hi:
                return Assignment(variant, True, number, "split")
    return Assignment(experiment.control, False, number, "outside")


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
