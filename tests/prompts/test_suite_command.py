"""`run_suite`: what a pipeline sees, and how it ends."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from django.core.management import CommandError, call_command

from promptlab.accounts.models import Team
from prompts.models import Prompt
from tests.support.make import make_live, make_prompt, make_version, newest
from tests.support.suites import MODEL, answering, make_suite

pytestmark = pytest.mark.django_db
BAD = "Never. \x00\x0b<b>"


@pytest.fixture
def prompt(team: Team) -> Prompt:
    """Version 1 is live, 2 says something else."""
    prompt = make_prompt(team, model=MODEL)
    make_live(newest(prompt))
    make_version(prompt, "New {{name}}.", model=MODEL)
    make_suite(team, {"required": True}, {"variables": {"name": "Bob"}}, prompt=prompt)
    return prompt


def run(team: Team, *more: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("run_suite", "basics", "--team", team.name, *more, stdout=out)
    except CommandError as error:
        return error.returncode, f"{out.getvalue()}{error}"
    return 0, out.getvalue()


def worse(request: Any) -> str:
    return BAD.replace("\x00", "") if request.messages[-1].content == "New Ann." else "good"


def test_what_is_worse_ends_with_one_and_a_report(team: Team, prompt: Prompt, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    with answering(worse):
        code, said = run(team, "--version", "2", "--junit", str(report))
    assert code == 1 and "Passed until now: case 1 (rules)" in said and "--fail-on flips" in said
    root = ElementTree.parse(report).getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("2", "1", "0")
    failure = root.find(".//failure")
    assert failure is not None and "contains: Missing: good." in failure.get("message", "")
    assert "<b>" in (failure.text or "") and "\ufffd" in (failure.text or "")


@pytest.mark.parametrize(
    ("condition", "code"), [("flips", 1), ("required", 1), ("drop", 0), ("failures", 1), ("never", 0)]
)
def test_what_counts_as_worse_can_be_said(team: Team, prompt: Prompt, condition: str, code: int) -> None:
    with answering(worse):
        assert run(team, "--fail-on", condition)[0] == code


def test_what_is_as_good_ends_with_nothing(team: Team, prompt: Prompt) -> None:
    with answering("good"):
        assert run(team)[0] == 0
        assert "Nothing else is live" in run(team, "--version", "1")[1]


def test_what_cannot_be_run_ends_with_two(team: Team, prompt: Prompt) -> None:
    assert run(team, "--version", "9")[0] == 2
    assert run(team, "--model", "echo-nonsense")[0] == 2
    assert run(team, "--environment", "moon")[0] == 2
    assert run(team, "--budget", "much")[0] == 2
    make_suite(team, name="all")
    out = io.StringIO()
    with pytest.raises(CommandError, match="--prompt"):
        call_command("run_suite", "all", "--team", team.name, stdout=out)
    with pytest.raises(CommandError, match="no test suite"):
        call_command("run_suite", "none", "--team", team.name, stdout=out)
