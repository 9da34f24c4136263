"""YAML that holds what JSON holds: what is written is read again as it was, and what is hostile is refused by line."""

from __future__ import annotations

import math
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from prompts.errors import FileInvalid, FileTooLarge
from prompts.porting import formats, safe_yaml

ODD = "ab \n\t\r:#-{}[]&*!|>'\"%@`,?\\0123.eE~\u0085\u2028\ufeff\U0001f600"
WORDS = [
    "no",
    "1:30",
    "2020-01-01",
    "1e5",
    "~",
    "null",
    "true",
    "",
    "- a",
    "a: b",
    "a #b",
    "=",
    "<<",
    "...",
    "---",
    "? a",
]
texts = (
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")) | st.text(ODD) | st.sampled_from(WORDS)
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(scalars, lambda some: st.lists(some) | st.dictionaries(texts, some), max_leaves=15)


@settings(max_examples=300, deadline=None)
@given(values)
def test_what_is_written_is_read_again_by_us_and_by_others(value: object) -> None:
    written = safe_yaml.dump(value)
    read = safe_yaml.load(written).value
    assert read == value
    assert repr(read) == repr(value) or isinstance(value, dict | list), written
    assert written.endswith("\n")
    assert "\r" not in written
    yaml.safe_load(written)


def test_a_long_text_is_a_block_and_the_order_of_keys_does_not_count() -> None:
    written = safe_yaml.dump({"b": "one\ntwo\n", "a": [{"z": 1, "x": "no"}]})
    assert written == 'a:\n- x: "no"\n  z: 1\nb: |\n  one\n  two\n'
    assert written == safe_yaml.dump({"a": [{"x": "no", "z": 1}], "b": "one\ntwo\n"})


def test_only_what_json_knows_is_anything_but_text() -> None:
    read = safe_yaml.load(
        "a: no\nb: 1:30\nc: 2020-01-01\nd: true\ne: 1\nf: 1.5e3\ng: null\nh:\ni: ~\nj: .inf\nk: 0x10\n3: x\n"
    )
    assert read.value == {
        "a": "no", "b": "1:30", "c": "2020-01-01", "d": True, "e": 1, "f": 1500.0, "g": None, "h": None, "i": "~",
        "j": ".inf", "k": "0x10", "3": "x",
    }  # fmt: skip
    assert math.isfinite(read.value["f"])
    assert read.line("f") == 6


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
)
HOSTILE = {
    "an alias bomb": (BOMB.encode(), "line 1"),
    "an alias": (b"a: 1\nb: *a\n", "line 2"),
    "a tag": (b"a: 1\nb: !!python/object/apply:os.system [x]\n", "line 2"),
    "a tag of ours": (b"a: !x y\n", "line 1"),
    "the same key twice": (b"a: 1\nb: 2\na: 3\n", "line 3"),
    "a list as a key": (b"a: 1\n? [x]\n: y\n", "line 2"),
    "two documents": (b"a: 1\n---\nb: 2\n", "line 2"),
    "deep lists": (b"a:\n" + b"[" * 3000, "line 2"),
    "deep blocks": (b"".join(b" " * n + b"a:\n" for n in range(200)), "line 33"),
    "very deep lists": (b"[" * 90_000 + b"]" * 90_000, "nested deeper"),
    "deep objects": (b'{"a":' * 100_000, "nested deeper"),
    "not UTF-8": (b"a: 1\nb: \xff\n", "line 2"),
    "UTF-16": ("promptlab: 1\n".encode("utf-16"), "line 1"),
    "a NUL": (b"a: 1\nb: \x00\n", "line 2"),
    "a NUL in disguise": (b'a: 1\nb: "\\0"\n', "line 2"),
    "half a character": (b'a: 1\nb: "\\ud800"\n', "line 2"),
    "an infinite number": (b"a: 1\nb: 1e999\n", "line 2"),
    "an endless number": (b"a: 1\nb: " + b"9" * 100_000 + b"\n", "line 2"),
    "a tab": (b"a: 1\n\tb: 2\n", "line 2"),
    "an open quote": (b'a: 1\nb: "x\n', "line"),
    "too many values": (b"- x\n" * 1_000_000, "line 100000"),
    "too many lists": (b"[" + b"[]," * 1_500_000 + b"[]]", "more than 100000 values"),
    "nothing": (b"", "empty"),
    "a word": (b"hello", "no keys"),
    "a JSON key twice": (b'{"promptlab": 1, "promptlab": 1}', "given twice"),
    "JSON's NaN": (b'{"promptlab": NaN}', "NaN"),
    "JSON's quotes": (b'["' + b'\\"' * 2_000_000, "not json"),
    "a line of spaces": (b"---\nmodel: x\n---\n" + b" " * 4_000_000 + b"{{", "line 4"),
    "pictures": (b"---\ntemplate: x\n---\n" + b"![" * 2_000_000 + b"{{", "line 4"),
    "messages": (b"---\nname: x\n---\n" + b"user:\n" * 600_000, "messages"),
    "roles": (b"---\nname: x\n---\n" + b'{{role "user"}}' * 200_000, "messages"),
    "blanks": (b"---\nname: x\n---\n" + b"{{ " * 1_500_000, "line 4"),
    "a billion quotes": (b'"' * 4_000_000, "line 1"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_at_once_and_says_where(kind: str) -> None:
    data, where = HOSTILE[kind]
    start = time.perf_counter()
    with pytest.raises(FileInvalid) as caught:
        formats.read(data, name="x")
    assert time.perf_counter() - start < 90
    assert where in caught.value.detail.lower() or where in caught.value.detail


def test_ten_megabytes_are_not_even_looked_at() -> None:
    with pytest.raises(FileTooLarge):
        formats.read(b"a" * 10_000_000)
