"""What a body may be: whatever gets through can be stored on both databases and sent back."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlab.lib import jsonbody
from promptlab.lib.errors import Invalid

HOSTILE = {
    "NUL": (rb'{"a": "x\u0000y"}', "invalid_text", "a"),
    "NUL in a key": (rb'{"x\u0000y": 1}', "invalid_text", ""),
    "lone high surrogate": (rb'{"a": ["\ud800"]}', "invalid_text", "a.0"),
    "lone low surrogate": (rb'{"a": {"b": "\udc00"}}', "invalid_text", "a.b"),
    "surrogates in the wrong order": (rb'{"a": "\udc00\ud800"}', "invalid_text", "a"),
    "nested too deep": (b"[" * 40 + b"]" * 40, "too_deep", None),
    "nested far too deep": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "too_deep", None),
    "duplicate keys": (b'{"a": 1, "a": 2}', "invalid_json", None),
    "duplicate keys deep inside": (b'{"a": [{"b": 1, "b": 1}]}', "invalid_json", None),
    "NaN": (b'{"a": NaN}', "invalid_json", None),
    "Infinity": (b"[Infinity]", "invalid_json", None),
    "minus Infinity": (b"-Infinity", "invalid_json", None),
    "a number that overflows to infinity": (b'{"a": 1e999}', "invalid_json", None),
    "a number of 5000 digits": (b'{"a": ' + b"9" * 5000 + b"}", "invalid_json", None),
    "invalid UTF-8": (b'{"a": "\xff\xfe"}', "invalid_json", None),
    "UTF-8 of a surrogate": (b'{"a": "\xed\xa0\x80"}', "invalid_text", "a"),
    "cut off": (b'{"a": ', "invalid_json", None),
    "nothing": (b"", "invalid_json", None),
    "two values": (b"{} {}", "invalid_json", None),
    "a control character": (b'{"a": "\x01"}', "invalid_json", None),
    "single quotes": (b"{'a': 1}", "invalid_json", None),
}


@pytest.mark.parametrize(("body", "code", "field"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_body_is_a_400_with_a_code(body: bytes, code: str, field: str | None) -> None:
    with pytest.raises(Invalid) as refused:
        jsonbody.loads(body)
    assert refused.value.status == 400
    assert refused.value.code == code
    assert [problem.field for problem in refused.value.problems] == (
        [] if field is None else [field]
    ) or code == "too_deep"


def test_the_depth_allowed_is_exactly_the_one_promised() -> None:
    deep = b"[" * jsonbody.MAX_DEPTH + b"1" + b"]" * jsonbody.MAX_DEPTH
    assert jsonbody.loads(deep)
    with pytest.raises(Invalid, match="nested deeper"):
        jsonbody.loads(b"[" + deep + b"]")


def test_astral_characters_and_byte_order_marks_inside_texts_are_fine() -> None:
    assert jsonbody.loads(rb'{"a": "\ud83d\ude00 \ufeff"}') == {"a": "\U0001f600 \ufeff"}
    assert jsonbody.loads('{"a": "\U0001f600"}'.encode()) == {"a": "\U0001f600"}


def test_a_big_integer_that_python_can_read_stays_exact() -> None:
    assert jsonbody.loads(b"[1000000000000000000000000000001]") == [10**30 + 1]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(JSON)
def test_what_gets_through_comes_back_the_same_and_can_be_encoded(value: object) -> None:
    """Or it is refused as text, for a NUL; nothing else is ever raised."""
    try:
        found = jsonbody.loads(json.dumps(value).encode())
    except Invalid as refused:
        assert refused.code == "invalid_text"
        return
    assert found == value
    json.dumps(found, ensure_ascii=False, allow_nan=False).encode()


@given(st.binary(max_size=60))
def test_no_bytes_at_all_raise_anything_but_invalid(body: bytes) -> None:
    try:
        value = jsonbody.loads(body)
    except Invalid:
        return
    assert not isinstance(value, float) or math.isfinite(value)
