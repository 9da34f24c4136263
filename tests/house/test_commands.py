"""Every management command of ours says what it does, and stands in docs/operations.md."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.core.management import get_commands, load_command_class

OURS = ("promptlab", "prompts", "experiments", "feedback")
COMMANDS = sorted(name for name, app in get_commands().items() if str(app).split(".")[0] in OURS)


def test_our_commands_are_found() -> None:
    assert {"up", "issue_key"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_does(name: str) -> None:
    assert load_command_class(get_commands()[name], name).help.endswith(".")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_documented(name: str) -> None:
    assert f"`{name}`" in (settings.BASE_DIR / "docs" / "operations.md").read_text()
