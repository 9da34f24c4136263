"""Reading the environment: a bad value is noted, never believed and never a crash."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from promptlab import checks
from promptlab.lib import env


@pytest.fixture(autouse=True)
def problems(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[env.BadSetting]]:
    found: list[env.BadSetting] = []
    monkeypatch.setattr(env, "problems", found)
    yield found


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda value: monkeypatch.setenv("SOME_SETTING", value)


def test_an_unset_or_blank_variable_is_the_default(say: Callable[[str], None]) -> None:
    assert env.env_str("SOME_SETTING", "mine") == "mine"
    say("   ")
    assert env.env_str("SOME_SETTING", "mine") == "mine"
    assert env.env_int("SOME_SETTING", 7) == 7
    assert env.env_float("SOME_SETTING", 0.5) == 0.5
    assert env.env_bool("SOME_SETTING", True) is True
    assert env.env_list("SOME_SETTING", "a, b") == ["a", "b"]
    assert env.problems == []


def test_values_are_read_without_the_blanks_around_them(say: Callable[[str], None]) -> None:
    say("  12 ")
    assert env.env_str("SOME_SETTING") == "12"
    assert env.env_int("SOME_SETTING", 7, minimum=12) == 12
    assert env.env_float("SOME_SETTING", 7) == 12.0


@pytest.mark.parametrize("value", ["1", "true", "YES", "On"])
def test_truth_has_four_spellings(say: Callable[[str], None], value: str) -> None:
    say(value)
    assert env.env_bool("SOME_SETTING", False) is True


@pytest.mark.parametrize("value", ["0", "false", "NO", "Off"])
def test_so_has_falsehood(say: Callable[[str], None], value: str) -> None:
    say(value)
    assert env.env_bool("SOME_SETTING", True) is False


@pytest.mark.parametrize(
    ("read", "value", "hint"),
    [
        (lambda: env.env_int("SOME_SETTING", 7), "seven", "not a whole number"),
        (lambda: env.env_int("SOME_SETTING", 7), "1.5", "not a whole number"),
        (lambda: env.env_int("SOME_SETTING", 7, minimum=1), "0", "below the least allowed value, 1"),
        (lambda: env.env_float("SOME_SETTING", 7), "soon", "not a number"),
        (lambda: env.env_float("SOME_SETTING", 7, minimum=1), "0.5", "below the least allowed value, 1"),
        (lambda: env.env_float("SOME_SETTING", 7), "nan", "not a number"),
        (lambda: env.env_float("SOME_SETTING", 7), "inf", "not a number"),
        (lambda: env.env_bool("SOME_SETTING", 7), "maybe", "neither true nor false"),
        (lambda: env.env_url("SOME_SETTING", 7, schemes=("redis",)), "http://x", "starts with none of: redis://"),
    ],
)
def test_a_value_that_means_nothing_is_noted_and_the_default_used(
    say: Callable[[str], None], read: Callable[[], object], value: str, hint: str
) -> None:
    say(value)
    assert read() == 7
    (problem,) = env.problems
    assert problem.name == "SOME_SETTING"
    assert hint in problem.hint


def test_every_mistake_is_reported_at_once_by_manage_py_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "x")
    monkeypatch.setenv("TWO", "x")
    env.env_int("ONE", 1)
    env.env_bool("TWO")
    errors = checks.settings_can_be_read(None)
    assert [error.id for error in errors] == ["promptlab.E001"] * 2
    assert "ONE" in errors[0].msg
    assert "TWO" in str(errors[1].hint)


def test_an_address_keeps_what_it_says_whatever_the_case_of_its_scheme(say: Callable[[str], None]) -> None:
    say("REDIS://host:1/0")
    assert env.env_url("SOME_SETTING", "", schemes=("redis", "rediss")) == "REDIS://host:1/0"


def test_a_secret_comes_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    monkeypatch.setenv("SOME_SECRET_FILE", str(tmp_path / "secret"))
    assert env.env_secret("SOME_SECRET") == "s3cret"


def test_the_variable_itself_comes_before_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the file")
    monkeypatch.setenv("SOME_SECRET_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("SOME_SECRET", "of the variable")
    assert env.env_secret("SOME_SECRET") == "of the variable"


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_secret_file_that_cannot_be_read_is_a_problem_that_tells_no_content(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("SOME_SECRET_FILE", str(path))
    assert env.env_secret("SOME_SECRET") == ""
    (problem,) = env.problems
    assert problem.name == "SOME_SECRET_FILE"
    assert "cannot be read" in problem.hint
