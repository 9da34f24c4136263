"""What a declaration asks of a value, and how everything wrong is told at once."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from promptlab_sdk.kernel import contract, template
from promptlab_sdk.kernel.contract import Problem, check, is_trivial


def codes(spec: Any, value: object) -> list[str]:
    return [problem.code for problem in check({"a": spec}, {"a": value}).problems]


def test_a_variable_is_a_required_text_unless_said_otherwise() -> None:
    assert check({"a": {}}, {}).problems == (Problem("a", "missing_variable", "a is missing."),)
    assert check({"a": {}}, {"a": "x"}) == contract.Checked({"a": "x"}, ())


@pytest.mark.parametrize("given_values", [{}, {"a": None}])
def test_absent_is_the_default_then_required_then_empty(given_values: dict[str, object]) -> None:
    assert check({"a": {"default": "d", "required": True}}, given_values).values["a"] == "d"
    assert check({"a": {"required": False}}, given_values).values["a"] == ""
    assert codes({}, None) == ["missing_variable"]
    assert check({"a": {"type": "list", "default": []}}, given_values).values["a"] == []


def test_an_empty_text_is_a_value() -> None:
    assert check({"a": {"default": "d"}}, {"a": ""}).values == {"a": ""}


@pytest.mark.parametrize(
    ("value", "written"),
    [("x", "x"), (3, "3"), (0.5, "0.5"), (True, "true"), (datetime.date(2026, 11, 21), "2026-11-21")],
)
def test_a_text_may_be_given_as_something_that_is_written_as_text(value: object, written: str) -> None:
    assert check({"a": {"type": "string"}}, {"a": value}).values == {"a": written}


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("string", ["", "x", 1, False], [[], {}, (), {"x"}, b"x", 10**5000]),
        ("number", [0, -1, 0.5], [True, "1", None.__class__, [1]]),
        ("boolean", [True, False], [0, 1, "true", []]),
        ("list", [[], [1], ("a",)], ["x", {}, 1, {"x"}]),
        ("object", [{}, {"a": 1}], [[], "x", 1]),
    ],
)
def test_each_type_takes_exactly_its_own(kind: str, good: list[object], bad: list[object]) -> None:
    for value in good:
        assert codes({"type": kind}, value) == [], (kind, type(value))
    for value in bad:
        assert codes({"type": kind}, value) == ["wrong_type"], (kind, type(value))


def test_only_allowed_values_pass() -> None:
    assert codes({"allowed": ["warm", "dry"]}, "warm") == []
    assert codes({"allowed": ["warm", "dry"]}, "Warm") == ["not_allowed"]
    assert codes({"allowed": ["1", 2]}, 1) == []
    assert codes({"allowed": ["1", 2]}, "2") == []
    assert codes({"type": "number", "allowed": [1, 2]}, 1.0) == []
    assert codes({"type": "number", "allowed": [1, 2]}, 3) == ["not_allowed"]
    assert codes({"type": "list", "allowed": [["a"], []]}, ["b"]) == ["not_allowed"]


def test_texts_and_lists_have_a_length() -> None:
    assert codes({"max_length": 3}, "abc") == []
    assert codes({"max_length": 3}, "abcd") == ["too_long"]
    assert codes({"max_length": 3}, 1234) == ["too_long"]
    assert codes({"type": "list", "max_length": 1}, [1, 2]) == ["too_long"]


def test_everything_wrong_is_told_at_once_in_order_of_declaration() -> None:
    declared = {
        "z": {},
        "a": {"type": "number"},
        "m": {"max_length": 1},
        "k": {"allowed": ["x"]},
        "b": {"type": "list"},
    }
    found = check(declared, {"b": "x", "k": "y", "m": "long", "a": "1", "other": object})
    assert [(problem.name, problem.code) for problem in found.problems] == [
        ("z", "missing_variable"),
        ("a", "wrong_type"),
        ("m", "too_long"),
        ("k", "not_allowed"),
        ("b", "wrong_type"),
    ]
    assert found.missing == ("z",)


def test_no_value_is_ever_told() -> None:
    secret = "hunter2-7f3a"
    declared = {
        "a": {"allowed": ["x"]},
        "b": {"max_length": 2},
        "c": {"type": "number"},
        "d": {"type": "list", "allowed": [[]]},
        "e": {},
    }
    given_values = {"a": secret, "b": secret, "c": secret, "d": [secret], "e": {secret: secret}}
    found = check(declared, given_values)
    assert len(found.problems) == 5
    assert secret not in " ".join(problem.detail for problem in found.problems)


def test_surplus_names_pass_untouched_and_what_was_given_is_left_alone() -> None:
    given_values = {"a": 1, "other": [1]}
    found = check({"a": {}}, given_values)
    assert found.values == {"a": "1", "other": [1]}
    assert found.values["other"] is given_values["other"]
    assert given_values["a"] == 1


def test_dotted_names_are_looked_up_as_blanks_are() -> None:
    declared = {"user.name": {}, "user.age": {"type": "number"}, "user.city": {"default": "Bern"}}
    given_values = {"user": {"name": 7, "age": 3}}
    found = check(declared, given_values)
    assert found.problems == ()
    assert template.parse("{{user.name}} {{user.age}} {{user.city}}").render(found.values) == "7 3 Bern"
    assert check(declared, {"user": {"age": "3"}, "user.name": "x"}).problems == (
        Problem("user.age", "wrong_type", "user.age is a number, not a text."),
    )


@pytest.mark.parametrize(
    "spec", [None, "text", {"type": "str"}, {"max_length": "3"}, {"allowed": "abc"}, {"required": None, "type": None}]
)
def test_what_was_declared_wrongly_is_passed_over(spec: object) -> None:
    assert codes(spec, "abcdef") == []


def test_a_plain_declaration_is_trivial() -> None:
    assert is_trivial({})
    assert is_trivial({"a": {"type": "string", "required": True}, "b": {"default": "x", "description": "B."}})
    for more in ({"type": "number"}, {"allowed": []}, {"max_length": 1}):
        assert not is_trivial({"a": {}, "b": more})


specs = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from([*contract.TYPES, "else"]),
        "required": st.booleans(),
        "default": st.text(max_size=3),
        "allowed": st.lists(st.text(max_size=2), max_size=2),
        "max_length": st.integers(1, 3),
    },
)
names = st.sampled_from(["a", "b", "a.b", "c"])


@given(declared=st.dictionaries(names, specs), values=st.dictionaries(names, st.text(max_size=4)))
def test_texts_that_are_all_there_need_no_check_where_it_is_trivial(
    declared: dict[str, Any], values: dict[str, str]
) -> None:
    found = check(declared, values)
    if is_trivial(declared) and declared.keys() <= values.keys():
        assert found == contract.Checked(values, ())
    for name in declared:
        assert name in {problem.name for problem in found.problems} or template.look_up(found.values, name) is not None


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.binary(max_size=2)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=3)),
    max_leaves=5,
)


@given(declared=st.dictionaries(names, specs), given_values=st.dictionaries(names, values))
def test_whatever_passes_can_be_rendered(declared: dict[str, Any], given_values: dict[str, object]) -> None:
    found = check(declared, given_values)
    if found.problems or "else" in {spec.get("type") for spec in declared.values()}:
        return
    text = " ".join(f"{{{{{name}}}}}" for name in declared)
    try:
        template.parse(text).render(found.values)
    except template.BadValue as error:  # Bytes deep within a list or an object: no type forbids them.
        assert declared[error.name].get("type") in ("list", "object")
