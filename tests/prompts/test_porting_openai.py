"""OpenAI's saved prompt objects become prompts that applications ask for by the ids they know."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from promptlab.accounts.models import Team
from prompts.errors import FileInvalid
from prompts.models import Deployment, Prompt, Version
from prompts.porting import openai_prompts

FIRST: dict[str, Any] = {
    "id": "pmpt_68a1",
    "object": "prompt",
    "name": "Support agent",
    "version": "1",
    "model": "gpt-6-luna",
    "instructions": "You help {{customer_name}}.",
    "variables": {"customer_name": "Ann"},
}
SECOND: dict[str, Any] = {
    **FIRST,
    "version": "2",
    "instructions": None,
    "messages": [
        {"role": "developer", "content": [{"type": "input_text", "text": "Help {{customer_name}}."}]},
        {"role": "user", "content": "In {{language}}, please."},
    ],
    "temperature": 0.2,
    "max_output_tokens": 300,
    "reasoning": {"effort": "low"},
    "text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}, "verbosity": "low"},
    "tools": [{"type": "function", "name": "weather", "parameters": {"type": "object"}}, {"type": "web_search"}],
    "variables": {"language": {"description": "Which one", "default": "English"}},
}


def run(team: Team, tmp_path: Path, value: Any, *options: str) -> tuple[list[str], str]:
    file = tmp_path / "saved.json"
    file.write_text(json.dumps(value))
    out, err = StringIO(), StringIO()
    call_command("import_openai_prompts", "--team", team.name, *options, str(file), stdout=out, stderr=err)
    return out.getvalue().splitlines(), err.getvalue()


def test_a_file_is_looked_at_first_and_written_when_told_to(team: Team, tmp_path: Path) -> None:
    said, notices = run(team, tmp_path, {"data": [SECOND, FIRST]})
    assert said == ["pmpt_68a1: A new prompt with versions 1 to 2.", "Nothing was written. Repeat with --apply."]
    assert "web_search was left out" in notices
    assert not Prompt.objects.exists()
    assert run(team, tmp_path, {"data": [SECOND, FIRST]}, "--apply")[0] == said[:1]
    prompt = Prompt.objects.get()
    assert (prompt.name, prompt.title, prompt.type) == ("pmpt_68a1", "Support agent", "chat")
    first, second = Version.objects.filter(prompt=prompt).order_by("number")
    assert first.messages == [{"role": "system", "content": "You help {{customer_name}}."}]
    assert [part["role"] for part in second.messages] == ["system", "user"]
    assert (first.model, first.parameters) == ("gpt-6-luna", {})
    assert second.parameters == {"temperature": 0.2, "max_tokens": 300, "reasoning_effort": "low", "verbosity": "low"}
    assert [tool["function"]["name"] for tool in second.tools] == ["weather"]
    assert second.output_schema == {"type": "object"}
    assert second.variables["language"]["default"] == "English"
    assert second.variables["customer_name"]["required"] is True
    assert not Deployment.objects.live().exists()
    assert run(team, tmp_path, [FIRST, SECOND], "--apply")[0] == ["pmpt_68a1: Nothing changes."]


def test_one_object_with_its_versions_is_the_same(team: Team, tmp_path: Path) -> None:
    whole = {"id": "pmpt_68a1", "name": "Support agent", "versions": [FIRST, SECOND]}
    assert run(team, tmp_path, whole)[0][0] == "pmpt_68a1: A new prompt with versions 1 to 2."
    versions = openai_prompts.load(json.dumps(whole)).prompts[0].versions
    assert versions == openai_prompts.load(json.dumps([FIRST, SECOND])).prompts[0].versions


def test_versions_that_get_other_numbers_are_said(team: Team, tmp_path: Path) -> None:
    said, notices = run(team, tmp_path, SECOND)
    assert said[0] == "pmpt_68a1: A new prompt with version 1."
    assert "has the versions 2, numbered anew from 1" in notices


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"id": "", "name": ""}, "no id"),
    ({"instructions": None}, "neither instructions nor messages"),
    ({"version": "draft"}, "whole number"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "the role is one of"),
    ({"messages": [{"role": "user", "content": [{"type": "input_image"}]}]}, "images and files"),
]


@pytest.mark.parametrize(("change", "sentence"), WRONG)
def test_what_cannot_be_read_names_its_place(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FileInvalid, match=sentence):
        openai_prompts.load(json.dumps([{**FIRST, **change}]))


def test_what_cannot_be_imported_ends_the_command(team: Team, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="whole number"):
        run(team, tmp_path, {**FIRST, "version": "x"})
    with pytest.raises(CommandError, match="can be imported"):
        run(team, tmp_path, {**FIRST, "instructions": "Hello {{"})
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("import_openai_prompts", "--team", team.name, str(tmp_path / "nothing.json"))
    assert not Prompt.objects.exists()
