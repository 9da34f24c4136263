"""Small secrets at rest: what is sealed comes back with any of the keys, and with no other."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from promptlab.lib.sealing import CannotBeOpened, reseal, seal, unseal

OLD, NEW = "old-key-of-a-good-length-0123456789abcdef", "new-key-of-a-good-length-0123456789abcdef"


@pytest.mark.parametrize("plain", ["whsec_abc", "", "Zoë 🙂", "x" * 10_000])
def test_what_is_sealed_comes_back(plain: str) -> None:
    sealed = seal(plain)
    assert unseal(sealed) == plain
    assert not plain or plain not in sealed


def test_the_same_secret_is_sealed_differently_each_time() -> None:
    assert seal("whsec_abc") != seal("whsec_abc")


def test_another_key_opens_nothing_and_tells_nothing(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    sealed = seal("whsec_abc")
    settings.ENCRYPTION_KEYS = [NEW]
    with pytest.raises(CannotBeOpened, match="ENCRYPTION_KEYS") as refused:
        unseal(sealed)
    said = "".join(traceback.format_exception(refused.value))
    assert sealed not in said and "abc" not in said and "InvalidToken" not in said and NEW not in said


@pytest.mark.parametrize(
    "change", [lambda s: s[:-4], lambda s: "A" + s[1:], lambda s: "", lambda s: "whsec_plain", lambda s: "é"]
)
def test_a_changed_value_is_not_opened(change: Any) -> None:
    with pytest.raises(CannotBeOpened):
        unseal(change(seal("whsec_abc")))


def test_the_first_key_seals_and_all_open(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    of_old = seal("a")
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    of_new = seal("b")
    assert unseal(of_old) == "a"
    settings.ENCRYPTION_KEYS = [NEW]
    assert unseal(of_new) == "b"
    with pytest.raises(CannotBeOpened):
        unseal(of_old)


def test_resealing_moves_to_the_first_key_once(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    of_old = seal("a")
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    moved = reseal(of_old)
    assert moved != of_old and reseal(moved) == moved
    settings.ENCRYPTION_KEYS = [NEW]
    assert unseal(moved) == "a"
    with pytest.raises(CannotBeOpened):
        reseal(of_old)


def test_an_installation_without_keys_seals_with_its_secret_key(settings: Any) -> None:
    assert settings.ENCRYPTION_KEYS == [settings.SECRET_KEY]
