"""Differences word by word, message by message, variable by variable, setting by setting."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from prompts import diff
from prompts.models import Prompt, Version
from prompts.services import authoring
from prompts.services.contents import content_of
from tests.support.api import Api
from tests.support.make import make_prompt


def said(old: str, new: str) -> list[tuple[str, str]]:
    return [(part.kind, part.text) for part in diff.words(old, new)]


def test_the_words_that_changed_in_a_line_are_told() -> None:
    assert said("Answer in one short sentence.", "Answer in two sentences.") == [
        ("same", "Answer in "),
        ("removed", "one"),
        ("added", "two"),
        ("same", " "),
        ("removed", "short sentence"),
        ("added", "sentences"),
        ("same", "."),
    ]
    assert said("Hi {{name}}!", "Hi {{first_name}}!")[1:3] == [("removed", "name"), ("added", "first_name")]
    assert said("", "new") == [("added", "new")]
    assert said("same", "same") == [("same", "same")]
    assert said("", "") == []


def test_only_changed_lines_have_segments() -> None:
    found = diff.lines("one\ntwo words\nthree", "one\ntwo big words\nthree\nfour")
    assert [(line.kind, len(line.segments)) for line in found] == [
        ("same", 0),
        ("changed", 3),
        ("same", 0),
        ("added", 0),
    ]


@given(old=st.text(max_size=60), new=st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_the_segments_read_as_both_lines(old: str, new: str) -> None:
    found = diff.words(old, new)
    assert "".join(part.text for part in found if part.kind != "added") == old
    assert "".join(part.text for part in found if part.kind != "removed") == new


def test_a_huge_line_is_shown_whole_instead_of_comparing_for_minutes() -> None:
    old, new = "a b " * 50_000, "b c " * 50_000
    began = time.monotonic()
    assert [part.kind for part in diff.words(old, new)] == ["removed", "added"]
    many = diff.lines("\n".join(["x y z " * 100] * 300), "\n".join(["z y x " * 101] * 300))
    assert time.monotonic() - began < 120
    assert [part.kind for part in many[-1].segments] == ["removed", "added"]


# Versions


@pytest.fixture
def prompt(team: Team) -> Prompt:
    parts = [
        {"role": "system", "content": "You help {{company}}."},
        {"placeholder": "history"},
        {"role": "user", "content": "{{question}}"},
    ]
    return make_prompt(team, title="Talk", messages=parts)


def versions(prompt: Prompt, **fields: Any) -> tuple[Version, Version]:
    """Return version 1 and the one that says this."""
    new, _ = authoring.create_version(SYSTEM, prompt, content_of(**fields))
    return Version.objects.select_related("prompt").get(prompt=prompt, number=1), new


@pytest.mark.django_db
def test_messages_are_compared_by_position_with_their_roles(prompt: Prompt) -> None:
    parts = [
        {"role": "system", "content": "You help {{company}}."},
        {"role": "assistant", "content": "How can I help?"},
        {"role": "assistant", "content": "{{question}}"},
        {"role": "user", "content": "Thanks"},
    ]
    old, new = versions(prompt, messages=parts)
    found = diff.messages(old, new)
    assert [(one.position, one.kind, one.old_role, one.new_role) for one in found] == [
        (0, "same", "system", "system"),
        (1, "changed", "placeholder", "assistant"),
        (2, "changed", "user", "assistant"),
        (3, "added", "", "user"),
    ]
    assert [line.kind for line in found[2].text] == ["same"]
    assert [one.kind for one in diff.messages(new, old)] == ["same", "changed", "changed", "removed"]


@pytest.mark.django_db
def test_variables_that_came_went_and_changed(team: Team) -> None:
    prompt = make_prompt(team, "{{name}} {{city}}", variables={"city": {"required": False}})
    old, new = versions(prompt, text="{{city}} {{mood}}", variables={"mood": {"required": False}})
    found = diff.declarations(old, new)
    assert (found.added, found.removed, set(found.changed)) == (("mood",), ("name",), {"city"})
    assert (found.changed["city"].old["required"], found.changed["city"].new["required"]) == (False, True)


@pytest.mark.django_db
def test_settings_that_changed(team: Team) -> None:
    prompt = make_prompt(team, "x", model="a", parameters={"temperature": 0, "seed": 1})
    old, new = versions(prompt, text="x", model="b", parameters={"temperature": 1, "seed": 1, "top_p": 1})
    words = (diff.Segment("removed", "a"), diff.Segment("added", "b"))
    assert diff.settings(old, new)["model"] == diff.SettingChange("a", "b", words)
    assert set(diff.settings(old, new)) == {"model", "parameters"}
    assert diff.parameters(old, new) == {"temperature": diff.Change(0, 1), "top_p": diff.Change(None, 1)}
    assert diff.settings(old, old) == diff.parameters(old, old) == {}


@pytest.mark.django_db
def test_what_only_one_of_two_versions_says_is_a_change(team: Team) -> None:
    prompt = make_prompt(team, "x", stop=["END"], output_schema={"type": "object", "title": "Mood"})
    old, new = versions(prompt, text="x", output_schema={"type": "object", "title": "Moods"})
    found = diff.settings(old, new)
    assert (found["stop"].old, found["stop"].new) == (["END"], None)
    changed = [part for part in found["output_schema"].segments if part.kind != "same"]
    assert changed == [diff.Segment("removed", "Mood"), diff.Segment("added", "Moods")]
    assert set(found) == {"stop", "output_schema"}


@pytest.mark.django_db
def test_rest_tells_all_of_it(api: Api, team: Team) -> None:
    make_prompt(team, "Hello {{name}}", title="Greeting")
    api.post("/prompts/greeting/versions", {"content": "Hello dear {{name}}", "parameters": {"temperature": 1}})
    found = api.get("/prompts/greeting/versions/1/diff/2").json()
    (line,) = found["text"]
    assert [part["kind"] for part in line["segments"]] == ["same", "added", "same"]
    assert (found["messages"], found["parameters"]) == ([], {"temperature": {"old": None, "new": 1}})
