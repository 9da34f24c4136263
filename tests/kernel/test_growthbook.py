"""Assignment is GrowthBook's, slot by slot: 100,000 answers of its own SDK; and what ramps and weights move."""

from __future__ import annotations

import importlib.util
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from promptlab_sdk.kernel.assignment import SLOTS, assign, ranges
from promptlab_sdk.kernel.spec import Content, ExperimentSpec, NamespaceSpec, PromptSpec, Range, VariantSpec

from tests.kernel.make_growthbook import FILE, asked, splits, unpacked

PROMPT = PromptSpec("greeting", 1, "", Content(), "")


def of_ranges(
    seed: str, variants: tuple[tuple[Range, ...], ...], namespace: NamespaceSpec | None = None
) -> ExperimentSpec:
    specs = tuple(VariantSpec(str(index), index == 0, owned, PROMPT) for index, owned in enumerate(variants))
    return ExperimentSpec(1, "any", 1, seed, "running", specs, namespace=namespace)


def test_a_hundred_thousand_units_get_what_growthbook_gives_them() -> None:
    theirs = unpacked(json.loads(FILE.read_text(encoding="utf-8"))["answers"])
    ours = []
    for seed, variants, unit_ids, namespace in splits():
        experiment = of_ranges(seed, variants, namespace)
        found = (assign(experiment, unit_id) for unit_id in unit_ids)
        ours += [one.variant.key if one.assigned else "-" for one in found]
    assert len(theirs) == 100_000
    assert {"0", "1", "2", "3", "4", "-"} == set(theirs)
    differing = [at for at, (one, other) in enumerate(zip(ours, theirs, strict=True)) if one != other]
    assert differing == []


@pytest.mark.skipif(importlib.util.find_spec("growthbook") is None, reason="growthbook is not installed")
def test_growthbook_says_so_today() -> None:
    assert asked() == unpacked(json.loads(FILE.read_text(encoding="utf-8"))["answers"])


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=4))
def test_a_ramp_moves_nobody(cuts: list[int]) -> None:
    """Whoever is in a slice of 1 % is in the same variant at every wider one, up to everybody."""
    marks = [0, *sorted(cuts), SLOTS]
    weights = [high - low for low, high in pairwise(marks)]
    before: dict[int, int] = {}
    for coverage in range(100, SLOTS + 1, 900):
        now = {slot: index for index, (low, high) in enumerate(ranges(weights, coverage)) for slot in range(low, high)}
        assert before.items() <= now.items()
        before = now
    assert len(before) == SLOTS
