"""Assignment: the vectors, the rules that ranges keep, and who gets the control."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from promptlab_sdk.kernel.assignment import SLOTS, Assignment, assign, check_unit_id, fnv1a32, ranges, slot
from promptlab_sdk.kernel.spec import Content, ExperimentSpec, PromptSpec, Range, VariantSpec

from tests.kernel.make_vectors import VECTORS, vectors, written

Case = dict[str, Any]

DATA = json.loads(VECTORS.read_text(encoding="utf-8"))


def make_experiment(
    *owned: tuple[Range, ...], seed: str = "0123456789abcdef", state: str = "running"
) -> ExperimentSpec:
    """Return an experiment whose variants own these ranges; the first is the control."""
    variants = tuple(
        VariantSpec(f"v{index}", index == 0, own, PromptSpec("greeting", index + 1, "", Content(), ""))
        for index, own in enumerate(owned)
    )
    return ExperimentSpec(1, "tone", 1, seed, state, variants)


def make_split(weights_bp: tuple[int, ...], coverage_bp: int = SLOTS, **options: str) -> ExperimentSpec:
    return make_experiment(*((own,) for own in ranges(weights_bp, coverage_bp)), **options)


def test_the_committed_vectors_are_what_the_generator_writes() -> None:
    assert VECTORS.read_text(encoding="utf-8") == written(vectors())


def test_there_are_more_than_two_hundred_vectors() -> None:
    assert sum(len(DATA[name]) for name in ("hashes", "slots", "ranges", "assignments")) > 200


@pytest.mark.parametrize("case", DATA["hashes"])
def test_hash_agrees_with_the_vector(case: Case) -> None:
    assert fnv1a32(case["text"]) == case["hash"]


def test_hash_agrees_with_its_published_values() -> None:
    # http://www.isthe.com/chongo/tech/comp/fnv/, test vectors for FNV-1a 32.
    assert (fnv1a32(""), fnv1a32("a"), fnv1a32("foobar")) == (0x811C9DC5, 0xE40C292C, 0xBF9CF968)


@pytest.mark.parametrize("case", DATA["slots"])
def test_slot_agrees_with_the_vector(case: Case) -> None:
    assert slot(case["seed"], case["unit_id"]) == case["slot"]


@pytest.mark.parametrize("case", DATA["ranges"])
def test_ranges_agree_with_the_vector(case: Case) -> None:
    found = ranges(case["weights_bp"], case["coverage_bp"])
    assert [list(own) for own in found] == case["ranges"]


@pytest.mark.parametrize("case", DATA["assignments"])
def test_assignment_agrees_with_the_vector(case: Case) -> None:
    owned = [tuple((lo, hi) for lo, hi in own) for own in case["ranges"]]
    found = assign(make_experiment(*owned, seed=case["seed"]), case["unit_id"])
    assert found.slot == case["slot"]
    assert (int(found.variant.key[1:]) if found.assigned else None) == case["variant"]


@pytest.mark.parametrize("weights", [(), (9999,), (5000, 5001), (10001, -1), (5000,)])
def test_weights_that_do_not_sum_are_refused(weights: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="sum to 10000"):
        ranges(weights)


@pytest.mark.parametrize("coverage_bp", [-1, 10001])
def test_coverage_beyond_its_bounds_is_refused(coverage_bp: int) -> None:
    with pytest.raises(ValueError, match="Coverage"):
        ranges((5000, 5000), coverage_bp)


def test_a_unit_is_assigned_by_its_slot() -> None:
    experiment = make_split((5000, 5000))
    found = assign(experiment, "user-1")
    number = slot(experiment.seed, "user-1")
    assert found == Assignment(experiment.variants[number // 5000], True, number, "split")


def test_a_unit_outside_the_traffic_gets_the_control_and_is_not_assigned() -> None:
    experiment = make_split((5000, 5000), 0)
    assert assign(experiment, "user-1") == Assignment(
        experiment.control, False, slot(experiment.seed, "user-1"), "outside"
    )


@pytest.mark.parametrize("unit_id", [None, ""])
def test_without_a_unit_everybody_gets_the_control(unit_id: str | None) -> None:
    experiment = make_split((0, 10000))
    assert assign(experiment, unit_id) == Assignment(experiment.control, False, None, "no_unit")


@pytest.mark.parametrize("state", ["paused", "stopped", "killed", "something new"])
def test_an_experiment_that_does_not_run_serves_the_control(state: str) -> None:
    experiment = make_split((0, 10000), state=state)
    assert assign(experiment, "user-1") == Assignment(experiment.control, False, None, "disabled")


def test_a_unit_id_may_have_200_characters_and_no_more() -> None:
    assert assign(make_split((10000,)), "😀" * 200).assigned
    with pytest.raises(ValueError, match="at most 200"):
        assign(make_split((10000,)), "x" * 201)


@pytest.mark.parametrize("unit_id", [1, True, 1.5, b"user", ["user"]])
def test_a_unit_id_that_is_no_string_is_refused(unit_id: Any) -> None:
    with pytest.raises(TypeError, match="is a string"):
        check_unit_id(unit_id)
    with pytest.raises(TypeError):
        assign(make_split((10000,)), unit_id)


def test_an_assignment_cannot_be_changed() -> None:
    found = assign(make_split((10000,)), "user-1")
    with pytest.raises(FrozenInstanceError):
        found.assigned = False  # type: ignore[misc]


units = st.text(min_size=1, max_size=30)
splits = st.lists(st.integers(0, SLOTS), min_size=0, max_size=5).map(
    lambda cuts: tuple(b - a for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), SLOTS], strict=True))
)


@given(seed=st.text(max_size=20), unit_id=units)
def test_a_slot_depends_on_the_joined_code_units_alone(seed: str, unit_id: str) -> None:
    assert slot(seed, unit_id) == fnv1a32(str(fnv1a32(seed + unit_id))) % SLOTS
    assert 0 <= slot(seed, unit_id) < SLOTS


def test_seed_and_unit_are_joined_without_a_seam() -> None:
    # The two halves of one character, cut apart between seed and unit.
    assert slot("a\ud83d", "\ude00b") == slot("a", "\U0001f600b")


@given(weights=splits, coverage_bp=st.integers(0, SLOTS))
def test_ranges_are_disjoint_in_order_and_within_the_slots(weights: tuple[int, ...], coverage_bp: int) -> None:
    last = 0
    for (lo, hi), weight in zip(ranges(weights, coverage_bp), weights, strict=True):
        assert last <= lo <= hi <= lo + weight
        last = hi
    assert last <= SLOTS


@given(weights=splits)
def test_full_coverage_leaves_no_slot_over(weights: tuple[int, ...]) -> None:
    assert sum(hi - lo for lo, hi in ranges(weights)) == SLOTS


@given(weights=splits, low=st.integers(0, SLOTS), high=st.integers(0, SLOTS), unit_id=units)
def test_ramping_up_moves_nobody_out_of_a_variant(weights: tuple[int, ...], low: int, high: int, unit_id: str) -> None:
    low, high = sorted((low, high))
    before = assign(make_split(weights, low), unit_id)
    after = assign(make_split(weights, high), unit_id)
    if before.assigned:
        assert after.variant.key == before.variant.key


def test_an_even_split_is_even_and_seeds_are_independent() -> None:
    first, second = make_split((5000, 5000), seed="a" * 16), make_split((5000, 5000), seed="b" * 16)
    counts = {"v0": 0, "v1": 0}
    both = 0
    for number in range(20_000):
        one, other = assign(first, f"user-{number}"), assign(second, f"user-{number}")
        counts[one.variant.key] += 1
        both += one.variant.key == other.variant.key
    # Five standard deviations of a fair coin over 20,000 throws are 354.
    assert abs(counts["v0"] - 10_000) < 354
    assert abs(both - 10_000) < 354
