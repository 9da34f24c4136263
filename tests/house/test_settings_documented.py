"""Every variable that settings.py reads is explained in docs/operations.md and shown in .env.example."""

from __future__ import annotations

import re

from django.conf import settings

SETTINGS = settings.BASE_DIR / "promptlab" / "settings.py"
OPERATIONS = settings.BASE_DIR / "docs" / "operations.md"
EXAMPLE = settings.BASE_DIR / ".env.example"


def read_names() -> set[str]:
    """Return the names of the variables that settings.py reads."""
    return set(re.findall(r"\benv_[a-z]+\(\s*\"([A-Z0-9_]+)\"", SETTINGS.read_text()))


def table_names() -> list[str]:
    """Return the names in the table of settings, in its order."""
    return re.findall(r"^\| `([A-Z0-9_]+)` \|", OPERATIONS.read_text(), re.MULTILINE)


def example_names() -> list[str]:
    """Return the names in .env.example, switched on or commented out."""
    return re.findall(r"^#?([A-Z0-9_]+)=", EXAMPLE.read_text(), re.MULTILINE)


def test_settings_are_found() -> None:
    assert {"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "LOG_LEVEL"} <= read_names()


def test_every_setting_is_in_the_table_once_and_nothing_else_is() -> None:
    assert sorted(table_names()) == sorted(read_names())


def test_every_setting_is_in_the_example() -> None:
    assert read_names() - set(example_names()) == set()


def test_the_example_names_nothing_twice() -> None:
    assert len(example_names()) == len(set(example_names()))
