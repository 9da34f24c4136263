"""Write docs/spec/vectors/decisions.json: `python -m tests.kernel.make_decisions`.

What patterns and conditions say is written down by hand; what a change of weights moves is worked out here a second time,
with sets of slots, so that the file is no mirror of the kernel. `test_decisions.py` holds it against both.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.kernel.make_vectors import slot, unit_in

VECTORS = Path(__file__).parents[2] / "docs" / "spec" / "vectors" / "decisions.json"
ABOUT = (
    "Cases for docs/spec/assignment.md. `patterns`: whether one is found in a text. `conditions`: whether attributes "
    "fulfil one. `moves`: the slots of each variant before, new weights in basis points, the slots after. `covered`: the "
    "slots of one variant that take part. `decisions`: an experiment, who is asked for, the variant's key and the reason."
)
Slots = list[list[int]]

PATTERNS: dict[str, tuple[list[str], list[str]]] = {
    "": (["", "a"], []),
    "ell": (["hello", "ell"], ["el l", "ELL"]),
    "^a": (["a", "ab"], ["ba", ""]),
    "a$": (["a", "ba"], ["ab", "a\n"]),
    "^$": ([""], [" "]),
    "a|b|": (["x", ""], []),
    "^(?:a|bc)$": (["a", "bc"], ["abc", "b"]),
    "^a.c$": (["abc", "a😀c"], ["a\nc", "ac"]),
    "@example\\.(com|org)$": (["x@example.com", "y@example.org"], ["x@example.net", "x@exampleXcom"]),
    "^[a-c]+$": (["abc"], ["abd", ""]),
    "^[^a-c]+$": (["xyz", "é"], ["xay"]),
    "^[\\w.-]+$": (["a.b-c_1"], ["a b", "é"]),
    "^[]a]+$": (["]a"], ["b"]),
    "^\\d{3}$": (["123"], ["12", "1234", "١٢٣"]),
    "^a{2,}$": (["aa", "aaaaa"], ["a"]),
    "^a{1,3}$": (["a", "aaa"], ["aaaa"]),
    "^(a*)*b$": (["b", "aab"], ["a" * 200]),
    "^a?b+c*$": (["b", "abbcc"], ["ac"]),
    "\\$\\^\\.": (["$^."], ["$^a"]),
    "\\s": (["a b", "\t"], ["ab", "\u00a0"]),
    "日.語": (["日本語"], ["日語"]),
    "x": (["y" * 199 + "x"], ["y" * 200 + "x"]),
}
"""Each with texts in which it is found, and texts in which it is not."""
BAD_PATTERNS = [
    "(", ")", "[a", "a**", "*a", "a{2", "a{3,2}", "a{101}", "\\", "\\b", "\\1", "(?=a)", "(?P<n>a)", "[z-a]", "{", "]",
    "(?:a{100}){100}", "((((){100}){100}){100}){100}", "a" * 201,
]  # fmt: skip

Condition = dict[str, Any]
CONDITIONS: list[tuple[Condition, list[dict[str, Any]], list[dict[str, Any]]]] = [
    ({}, [{}, {"a": 1}], []),
    ({"a": "x"}, [{"a": "x"}, {"a": ["y", "x"]}], [{}, {"a": "X"}, {"a": None}, {"a": {"x": 1}}]),
    ({"a": 1}, [{"a": 1}, {"a": 1.0}], [{"a": "1"}, {"a": True}, {"a": 2}]),
    ({"a": True}, [{"a": True}], [{"a": 1}, {"a": "true"}, {"a": False}]),
    ({"a": "x", "b": 2}, [{"a": "x", "b": 2}], [{"a": "x"}, {"b": 2}]),
    ({"a": {"$eq": "x"}}, [{"a": "x"}], [{"a": "y"}, {}]),
    ({"a": {"$ne": "x"}}, [{"a": "y"}, {}, {"a": 1}], [{"a": "x"}, {"a": ["y", "x"]}]),
    ({"a": {"$in": ["de", "at", 3]}}, [{"a": "at"}, {"a": 3}, {"a": ["fr", "de"]}], [{"a": "fr"}, {}, {"a": []}]),
    ({"a": {"$nin": ["de", "at"]}}, [{"a": "fr"}, {}, {"a": []}], [{"a": "de"}, {"a": ["fr", "at"]}]),
    ({"n": {"$gt": 3}}, [{"n": 4}, {"n": 3.1}], [{"n": 3}, {"n": "4"}, {"n": True}, {}]),
    ({"n": {"$gte": 3}}, [{"n": 3}, {"n": 4}], [{"n": 2.9}, {"n": None}]),
    ({"n": {"$lt": 3}}, [{"n": 2}, {"n": -1}], [{"n": 3}, {}]),
    ({"n": {"$lte": 3}}, [{"n": 3}], [{"n": 3.5}]),
    ({"n": {"$gte": 10, "$lt": 20}}, [{"n": 10}, {"n": 19.99}], [{"n": 9}, {"n": 20}]),
    ({"s": {"$gt": "b"}}, [{"s": "c"}, {"s": "ba"}], [{"s": "b"}, {"s": "B"}, {"s": 9}]),
    ({"s": {"$gt": "\uffff"}}, [], [{"s": "\U0001f600"}]),
    ({"a": {"$exists": True}}, [{"a": 0}, {"a": ""}, {"a": False}, {"a": []}], [{}, {"a": None}]),
    ({"a": {"$exists": False}}, [{}, {"a": None}], [{"a": 0}]),
    (
        {"a": {"$regex": "@acme\\.com$"}},
        [{"a": "x@acme.com"}],
        [{"a": "x@acmexcom"}, {}, {"a": 1}, {"a": ["x@acme.com"]}],
    ),
    ({"$and": [{"a": 1}, {"b": 2}]}, [{"a": 1, "b": 2}], [{"a": 1}]),
    ({"$or": [{"a": 1}, {"b": 2}]}, [{"a": 1}, {"b": 2}], [{}, {"a": 2}]),
    ({"$not": {"a": 1}}, [{}, {"a": 2}], [{"a": 1}]),
    (
        {"$not": {"$or": [{"a": 1}, {"b": {"$gt": 1}}]}, "c": "x"},
        [{"c": "x", "b": 1}],
        [{"c": "x", "a": 1}, {"c": "y"}],
    ),
]
BAD_CONDITIONS: list[tuple[Any, str]] = [
    ([], ""),
    ({"a": None}, "a"),
    ({"a": {}}, "a"),
    ({"a": ["x"]}, "a"),
    ({"a": {"$in": "x"}}, "a.$in"),
    ({"a": {"$in": []}}, "a.$in"),
    ({"a": {"$in": ["x", None]}}, "a.$in.1"),
    ({"a": {"$gt": True}}, "a.$gt"),
    ({"a": {"$exists": 1}}, "a.$exists"),
    ({"a": {"$regex": "("}}, "a.$regex"),
    ({"a": {"$regex": 1}}, "a.$regex"),
    ({"a": {"$almost": 1}}, "a.$almost"),
    ({"a": 2**53 + 2}, "a"),
    ({"a": "x" * 201}, "a"),
    ({"": 1}, ""),
    ({"$nor": [{"a": 1}]}, "$nor"),
    ({"$and": {"a": 1}}, "$and"),
    ({"$or": [{"a": {"$in": [{}]}}]}, "$or.0.a.$in.0"),
    ({"$not": {"$not": {"$not": {"$not": {"$not": {"a": 1}}}}}}, "$not.$not.$not.$not.$not"),
    ({f"a{n}": 1 for n in range(51)}, ""),
    ({f"a{n}": {"$regex": "x"} for n in range(6)}, ""),
]

HALVES: list[Slots] = [[[0, 5000]], [[5000, 10000]]]
THIRDS: list[Slots] = [[[0, 4000]], [[5000, 9000]], [[4000, 5000], [9000, 10000]]]
MOVES: list[tuple[list[Slots], list[int]]] = [
    (HALVES, [5000, 5000]),
    ([*HALVES, []], [4000, 4000, 2000]),
    (HALVES, [6000, 4000]),
    (HALVES, [4900, 5100]),
    (HALVES, [0, 10000]),
    (THIRDS, [5000, 5000, 0]),
    (THIRDS, [2000, 2000, 6000]),
    (THIRDS, [3333, 3333, 3334]),
    ([*THIRDS, []], [2500, 2500, 2500, 2500]),
]
COVERED: list[tuple[Slots, int]] = [
    ([[0, 5000]], 10000),
    ([[0, 5000]], 100),
    ([[5000, 10000]], 3333),
    (THIRDS[2], 10000),
    (THIRDS[2], 5000),
    (THIRDS[2], 2500),
    (THIRDS[2], 7501),
    ([], 5000),
    ([[0, 3]], 3333),
]


def moved(before: list[Slots], weights: list[int]) -> list[Slots]:
    """Work out with sets who has which slots afterwards."""
    sets = [{number for lo, hi in own for number in range(lo, hi)} for own in before]
    kept = [set(sorted(own)[:weight]) for own, weight in zip(sets, weights, strict=True)]
    free = sorted(set(range(10000)).difference(*kept))
    for own, weight in zip(kept, weights, strict=True):
        missing = weight - len(own)
        own.update(free[:missing])
        del free[:missing]
    return [as_ranges(own) for own in kept]


def as_ranges(slots: set[int]) -> Slots:
    starts = sorted(one for one in slots if one - 1 not in slots)
    ends = sorted(one + 1 for one in slots if one + 1 not in slots)
    return [list(pair) for pair in zip(starts, ends, strict=True)]


def covered(owned: Slots, coverage_bp: int) -> Slots:
    slots = sorted(number for lo, hi in owned for number in range(lo, hi))
    return as_ranges(set(slots[: len(slots) * coverage_bp // 10000]))


SEED, OTHER_SEED = "0123456789abcdef", "f00dfacecafe0001"


def decisions() -> list[dict[str, Any]]:
    low = unit_in(SEED, 10)
    high = unit_in(SEED, 9990)
    in_namespace = next(f"n{n}" for n in range(100) if slot(OTHER_SEED, f"n{n}") < 5000)
    outside = next(f"n{n}" for n in range(100) if slot(OTHER_SEED, f"n{n}") >= 5000)
    plain = {"state": "running", "seed": SEED, "ranges": [[[0, 5000]], [[5000, 9000]]]}
    for_de = {**plain, "condition": {"country": "de"}}
    listed = {**for_de, "overrides": {high: "v1", "qa": "v1", "gone": "v7"}}
    alone = {**plain, "namespace": {"seed": OTHER_SEED, "ranges": [[0, 1000], [1000, 5000]]}}
    sticky = {**plain, "is_sticky": True}
    by_session = {**plain, "unit_attribute": "session_id"}
    own = "v0" if slot(SEED, in_namespace) < 5000 else "v1"
    table: list[tuple[dict[str, Any], str, dict[str, Any], str | None, str, str]] = [
        (plain, low, {}, None, "v0", "split"),
        (plain, high, {}, None, "v0", "outside"),
        (plain, "", {}, None, "v0", "no_unit"),
        ({**listed, "state": "paused"}, "qa", {"country": "de"}, None, "v0", "disabled"),
        (for_de, low, {"country": "de"}, None, "v0", "split"),
        (for_de, low, {"country": "fr"}, None, "v0", "condition"),
        (for_de, low, {}, None, "v0", "condition"),
        (for_de, "", {"country": "fr"}, None, "v0", "condition"),
        (for_de, "", {"country": "de"}, None, "v0", "no_unit"),
        (listed, "qa", {"country": "de"}, None, "v1", "override"),
        (listed, "qa", {}, None, "v0", "condition"),
        (listed, high, {"country": "de"}, None, "v1", "override"),
        (listed, low, {"country": "de"}, None, "v0", "split"),
        ({**alone, "overrides": {outside: "v1"}}, outside, {}, None, "v1", "override"),
        (alone, outside, {}, None, "v0", "namespace"),
        (alone, in_namespace, {}, None, own if slot(SEED, in_namespace) < 9000 else "v0", "split"),
        (sticky, low, {}, "v1", "v1", "sticky"),
        (sticky, high, {}, "v1", "v1", "sticky"),
        (sticky, low, {}, "v7", "v0", "split"),
        (sticky, low, {}, None, "v0", "split"),
        (plain, low, {}, "v1", "v0", "split"),
        ({**sticky, "namespace": alone["namespace"]}, outside, {}, "v1", "v1", "sticky"),
        ({**sticky, "overrides": {low: "v0"}}, low, {}, "v1", "v0", "override"),
        (by_session, "anybody", {"session_id": low}, None, "v0", "split"),
        (by_session, "", {"session_id": high}, None, "v0", "outside"),
        (by_session, low, {}, None, "v0", "no_unit"),
        (by_session, low, {"session_id": ""}, None, "v0", "no_unit"),
        (by_session, low, {"session_id": 7}, None, "v0", "no_unit"),
        (by_session, low, {"session_id": "s" * 201}, None, "v0", "no_unit"),
        ({**by_session, "overrides": {"s1": "v1", low: "v1"}}, low, {"session_id": "s1"}, None, "v1", "override"),
        ({**by_session, "overrides": {"s1": "v1"}}, "s1", {"session_id": low}, None, "v0", "split"),
        ({**by_session, "is_sticky": True}, "", {"session_id": low}, "v1", "v1", "sticky"),
        ({**by_session, "namespace": alone["namespace"]}, low, {"session_id": outside}, None, "v0", "namespace"),
    ]
    return [
        {"experiment": experiment, "unit_id": unit, "attributes": said, "kept": kept, "variant": key, "reason": why}
        for experiment, unit, said, kept, key, why in table
    ]


def vectors() -> dict[str, Any]:
    return {
        "about": ABOUT,
        "patterns": [
            {"pattern": pattern, "text": text, "found": texts is found}
            for pattern, (found, missed) in PATTERNS.items()
            for texts in (found, missed)
            for text in texts
        ],
        "conditions": [
            {"condition": condition, "attributes": one, "holds": them is held}
            for condition, held, broken in CONDITIONS
            for them in (held, broken)
            for one in them
        ],
        "moves": [{"before": one, "weights_bp": weights, "after": moved(one, weights)} for one, weights in MOVES],
        "covered": [{"owned": one, "coverage_bp": bp, "covered": covered(one, bp)} for one, bp in COVERED],
        "decisions": decisions(),
    }


def written(data: dict[str, Any]) -> str:
    """Return the JSON with one case per line, pure ASCII."""
    blocks = [f'  "about": {json.dumps(data["about"])}']
    for name in ("patterns", "conditions", "moves", "covered", "decisions"):
        cases = ",\n".join(f"    {json.dumps(case)}" for case in data[name])
        blocks.append(f'  "{name}": [\n{cases}\n  ]')
    return "{\n" + ",\n".join(blocks) + "\n}\n"


if __name__ == "__main__":
    VECTORS.write_text(written(vectors()), encoding="utf-8")
