"""Conditions, patterns, overrides, namespaces and new weights: the vectors, and what they have to keep."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from promptlab_sdk.kernel.assignment import SLOTS, assign, covered, ranges, reallocated
from promptlab_sdk.kernel.condition import attribute_problems, matches, problems
from promptlab_sdk.kernel.pattern import Pattern, PatternError
from promptlab_sdk.kernel.spec import Content, ExperimentSpec, PromptSpec, Range

from tests.kernel.make_decisions import BAD_CONDITIONS, BAD_PATTERNS, CONDITIONS, VECTORS, vectors, written

DATA = json.loads(VECTORS.read_text(encoding="utf-8"))


def tuples(owned: Any) -> tuple[Range, ...]:
    return tuple((lo, hi) for lo, hi in owned)


def test_the_committed_vectors_are_what_the_generator_writes() -> None:
    assert VECTORS.read_text(encoding="utf-8") == written(vectors())


def test_patterns_agree_with_the_vectors() -> None:
    for case in DATA["patterns"]:
        assert Pattern(case["pattern"]).found_in(case["text"]) == case["found"], case


@pytest.mark.parametrize("source", BAD_PATTERNS)
def test_what_is_no_pattern_of_ours_is_refused(source: str) -> None:
    with pytest.raises(PatternError):
        Pattern(source)


pieces = st.recursive(
    st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "\\d", "\\w", "^", "$"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,}", "{0,2}"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)


@given(pieces, st.text("ab1 ", max_size=8))
def test_patterns_find_what_pythons_own_find(source: str, text: str) -> None:
    assert Pattern(source).found_in(text) == bool(re.search(source, text, re.ASCII))


def test_conditions_agree_with_the_vectors() -> None:
    for case in DATA["conditions"]:
        assert matches(case["condition"], case["attributes"]) == case["holds"], case
    assert not any(problems(condition) for condition, _, _ in CONDITIONS)


@pytest.mark.parametrize(("condition", "path"), BAD_CONDITIONS)
def test_what_is_no_condition_is_refused_where_it_is_wrong(condition: Any, path: str) -> None:
    assert path in [one.path for one in problems(condition)]


@pytest.mark.parametrize(
    "attributes", [[], {"a": {}}, {"a": float("nan")}, {"a": [[]]}, {"a": [1] * 51}, {str(n): 1 for n in range(51)}]
)
def test_what_are_no_attributes_is_refused(attributes: Any) -> None:
    assert attribute_problems(attributes)
    assert not attribute_problems({"a": [1, "x", True], "b": None, "c": 1.5})


def test_decisions_agree_with_the_vectors() -> None:
    for case in DATA["decisions"]:
        told = dict(case["experiment"])
        variants = [
            {"key": f"v{index}", "is_control": index == 0, "ranges": owned, "prompt": _prompt(index)}
            for index, owned in enumerate(told.pop("ranges"))
        ]
        spec = ExperimentSpec.from_dict({"id": 1, "key": "any", "phase": 1, "variants": variants, **told})
        found = assign(spec, case["unit_id"], case["attributes"], kept=case["kept"])
        assert (found.variant.key, found.reason) == (case["variant"], case["reason"]), case
        assert found.assigned == (found.reason in ("split", "sticky"))
        assert found.is_forced == (found.reason == "override")
        assert ExperimentSpec.from_dict(spec.to_dict()) == spec


def _prompt(index: int) -> dict[str, Any]:
    return PromptSpec("greeting", index + 1, "", Content(), "").to_dict()


def test_moves_agree_with_the_vectors() -> None:
    for case in DATA["moves"]:
        found = reallocated([tuples(own) for own in case["before"]], case["weights_bp"])
        assert found == tuple(tuples(own) for own in case["after"]), case
    for case in DATA["covered"]:
        assert covered(tuples(case["owned"]), case["coverage_bp"]) == tuples(case["covered"]), case


def test_halves_made_40_40_20_move_2000_slots_where_drawing_anew_moves_3000() -> None:
    before = slots_of(ranges((5000, 5000)))
    after = reallocated([((0, 5000),), ((5000, 10_000),), ()], (4000, 4000, 2000))
    assert differing(before, owners(after)) == 2000
    assert differing(before, slots_of(ranges((4000, 4000, 2000)))) == 3000


weights = st.lists(st.integers(0, SLOTS), min_size=4, max_size=4).map(
    lambda cuts: [hi - lo for lo, hi in zip([0, *sorted(cuts)], [*sorted(cuts), SLOTS], strict=True)]
)


@given(weights, weights, weights, st.integers(0, SLOTS), st.integers(0, SLOTS))
def test_new_weights_move_as_few_as_can_be_and_ramps_nobody(
    first: list[int], second: list[int], third: list[int], low: int, high: int
) -> None:
    before = tuple((one,) for one in ranges(first))
    for wanted in (second, third):
        after = reallocated(before, wanted)
        held = [sum(hi - lo for lo, hi in own) for own in before]
        assert [sum(hi - lo for lo, hi in own) for own in after] == wanted
        least = sum(max(0, now - was) for was, now in zip(held, wanted, strict=True))
        assert differing(owners(before), owners(after)) == least
        before = after
    low, high = sorted((low, high))
    narrow = owners(tuple(covered(own, low) for own in before))
    wide = owners(tuple(covered(own, high) for own in before))
    assert narrow.items() <= wide.items()


@given(weights, st.integers(0, SLOTS))
def test_the_covered_part_of_one_range_is_what_weights_and_coverage_give(shares: list[int], coverage: int) -> None:
    found = [covered((whole,), coverage) for whole in ranges(shares)]
    assert found == [((lo, hi),) if lo < hi else () for lo, hi in ranges(shares, coverage)]


def owners(owned: tuple[tuple[Range, ...], ...]) -> dict[int, int]:
    return {slot: index for index, own in enumerate(owned) for lo, hi in own for slot in range(lo, hi)}


def slots_of(single: tuple[Range, ...]) -> dict[int, int]:
    return owners(tuple((one,) for one in single))


def differing(before: dict[int, int], after: dict[int, int]) -> int:
    return sum(before.get(slot) != after.get(slot) for slot in range(SLOTS))
