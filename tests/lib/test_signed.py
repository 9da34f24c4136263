"""Signed tokens: anybody carries them, nobody changes them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlab.lib import signed
from promptlab.lib.signed import BadToken

FACTS = st.lists(st.one_of(st.integers(-(2**53), 2**53), st.text(max_size=20)), max_size=8)


@given(FACTS)
def test_what_is_signed_is_read(facts: list[int | str]) -> None:
    assert signed.read("test", signed.sign("test", facts)) == facts


@given(st.text(max_size=300))
def test_no_text_is_a_token(text: str) -> None:
    with pytest.raises(BadToken):
        signed.read("test", text)


def test_every_changed_character_is_noticed() -> None:
    token = signed.sign("test", [1, 22, "x"])
    for index, character in enumerate(token):
        changed = token[:index] + ("A" if character != "A" else "B") + token[index + 1 :]
        with pytest.raises(BadToken):
            signed.read("test", changed)
    for other in (token[:-1], token + "A", token + "=", token + "."):
        with pytest.raises(BadToken):
            signed.read("test", other)


def test_a_token_for_one_purpose_is_none_for_another() -> None:
    with pytest.raises(BadToken):
        signed.read("other", signed.sign("test", [1]))


def test_a_key_is_rotated_by_putting_a_new_one_in_front(settings: Any) -> None:
    settings.SIGNING_KEYS = ["old"]
    token, name = signed.sign("test", [1]), signed.pseudonym("test", "user-1")
    settings.SIGNING_KEYS = ["new", "old"]
    assert signed.read("test", token) == [1]
    assert signed.sign("test", [1]) != token
    assert signed.pseudonym("test", "user-1") == name
    settings.SIGNING_KEYS = ["new"]
    with pytest.raises(BadToken):
        signed.read("test", token)
