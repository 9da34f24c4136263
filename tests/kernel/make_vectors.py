"""Write docs/spec/vectors/assignment.json: `python -m tests.kernel.make_vectors`.

The hash is written out here a second time, in the plainest way and without the kernel, so that the file is no
mirror of the code it is to check. `test_assignment.py` holds the committed file against both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from math import floor
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parents[2] / "docs" / "spec" / "vectors" / "assignment.json"

ABOUT = (
    "Cases for docs/spec/assignment.md. `hashes`: fnv1a32. `slots`: slot of a unit under a seed. `ranges`: from "
    "weights and coverage in basis points. `assignments`: each variant's ranges, and the index of the variant "
    "that owns the unit's slot; null when none does."
)

Owned = list[list[list[int]]]
"""Per variant, its ranges as [lo, hi]."""

SEEDS = ("0123456789abcdef", "f00dfacecafe0001", "9b1deb4d3b7d4bad", "s", "exp-1")

UNITS = (
    *(f"user-{n}" for n in range(12)),
    "1",
    "42",
    "alice@example.com",
    "Alice@example.com",
    " alice@example.com",
    "alice@example.com ",
    "6f9619ff-8b86-d011-b42d-00cf4fc964ff",
    "a" * 200,
    "null",
    "0",
    "user\twith tab",
    "user\nwith line",
    "Zoë",
    "Zoe\u0308",
    "Ω",
    "日本語",
    "عمر",
    "😀",
    "👩‍👩‍👧",
    "\U0001d4b3-unit",
    "\u00e9\U0001f600e",
    "\ufffd",
    "\u0000",
)

SPLITS: tuple[tuple[tuple[int, ...], int], ...] = (
    ((10000,), 10000),
    ((5000, 5000), 10000),
    ((5000, 5000), 0),
    ((5000, 5000), 1),
    ((5000, 5000), 100),
    ((5000, 5000), 200),
    ((5000, 5000), 2000),
    ((5000, 5000), 3333),
    ((5000, 5000), 9999),
    ((3333, 3333, 3334), 10000),
    ((3333, 3333, 3334), 5000),
    ((3334, 3333, 3333), 777),
    ((9000, 1000), 10000),
    ((9000, 1000), 500),
    ((9999, 1), 10000),
    ((9999, 1), 9999),
    ((1, 9999), 10000),
    ((10000, 0), 10000),
    ((0, 10000), 10000),
    ((0, 5000, 5000), 2500),
    ((2500, 2500, 2500, 2500), 10000),
    ((2500, 2500, 2500, 2500), 1234),
    ((4000, 4000, 2000), 10000),
    ((1000,) * 10, 10000),
    ((1000,) * 10, 5),
    ((1234, 2345, 6421), 8765),
)

MOVED = [[[0, 4000]], [[5000, 9000]], [[4000, 5000], [9000, 10000]]]
"""50/50 made 40/40/20 with the fewest moves: the third variant owns what the other two released."""


def fnv1a32(text: str) -> int:
    encoded = text.encode("utf-16-be")
    value = 2166136261
    for at in range(0, len(encoded), 2):
        value = (value ^ int.from_bytes(encoded[at : at + 2], "big")) * 16777619 % 2**32
    return value


def slot(seed: str, unit_id: str) -> int:
    return fnv1a32(str(fnv1a32(seed + unit_id))) % 10000


def ranges(weights_bp: tuple[int, ...], coverage_bp: int) -> list[list[int]]:
    starts = [sum(weights_bp[:index]) for index in range(len(weights_bp))]
    share = Fraction(coverage_bp, 10000)
    return [[lo, lo + floor(weight * share)] for lo, weight in zip(starts, weights_bp, strict=True)]


def owner(variants: Owned, number: int) -> int | None:
    owners = [index for index, own in enumerate(variants) for lo, hi in own if number in range(lo, hi)]
    return owners[0] if owners else None


def unit_in(seed: str, number: int) -> str:
    """Return the first of u0, u1, u2 ... that has exactly this slot."""
    return next(unit for unit in (f"u{n}" for n in count()) if slot(seed, unit) == number)


def assignments() -> Iterator[dict[str, Any]]:
    def case(why: str, seed: str, variants: Owned, unit_id: str) -> dict[str, Any]:
        number = slot(seed, unit_id)
        found = owner(variants, number)
        return {
            "why": why,
            "seed": seed,
            "ranges": variants,
            "unit_id": unit_id,
            "slot": number,
            "variant": found,
        }

    for weights_bp, coverage_bp in (((5000, 5000), 10000), ((3333, 3333, 3334), 10000), ((9000, 1000), 2000)):
        variants = [[own] for own in ranges(weights_bp, coverage_bp)]
        for unit_id in UNITS:
            yield case("split", SEEDS[0], variants, unit_id)
    for coverage_bp in (0, 100, 1000, 2500, 5000, 10000):
        variants = [[own] for own in ranges((5000, 5000), coverage_bp)]
        for unit_id in UNITS[:8]:
            yield case("ramp", SEEDS[1], variants, unit_id)
    ramped = [[own] for own in ranges((5000, 5000), 1000)]
    for number in (0, 999, 1000, 4999, 5000, 5999, 6000, 9999):
        yield case("boundary", SEEDS[2], ramped, unit_in(SEEDS[2], number))
    for number in (0, 3999, 4000, 4999, 5000, 8999, 9000, 9999):
        yield case("several ranges", SEEDS[2], MOVED, unit_in(SEEDS[2], number))
    for number in (9998, 9999):
        yield case("one slot", SEEDS[1], [[[0, 9999]], [[9999, 10000]]], unit_in(SEEDS[1], number))


def vectors() -> dict[str, Any]:
    texts = ("", "a", "foobar", "0123456789abcdefuser-1", "é", "日本語", "😀", "a😀b")
    return {
        "about": ABOUT,
        "hashes": [{"text": text, "hash": fnv1a32(text)} for text in texts],
        "slots": [{"seed": s, "unit_id": u, "slot": slot(s, u)} for s in SEEDS for u in UNITS],
        "ranges": [{"weights_bp": list(w), "coverage_bp": c, "ranges": ranges(w, c)} for w, c in SPLITS],
        "assignments": list(assignments()),
    }


def written(data: dict[str, Any]) -> str:
    """Return the JSON with one case per line, pure ASCII, so that no editor or tool can change a code unit."""
    blocks = [f'  "about": {json.dumps(data["about"])}']
    for name in ("hashes", "slots", "ranges", "assignments"):
        cases = ",\n".join(f"    {json.dumps(case)}" for case in data[name])
        blocks.append(f'  "{name}": [\n{cases}\n  ]')
    return "{\n" + ",\n".join(blocks) + "\n}\n"


if __name__ == "__main__":
    VECTORS.write_text(written(vectors()), encoding="utf-8")
