"""Versions as services make them: numbered without a gap, never changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import IntegrityError, transaction

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.lib.errors import Invalid
from prompts import diff, resolve
from prompts.errors import PromptArchived, VersionFrozen, VersionNotFound, VersionStringTaken
from prompts.models import Prompt, Version
from prompts.services import authoring
from prompts.services.contents import content_of
from tests.support.make import make_live, make_prompt, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def prompt(team: Team) -> Prompt:
    return make_prompt(team, "Hello {{name}}.", title="Greeting")


def numbers(prompt: Prompt) -> list[int]:
    return sorted(Version.objects.filter(prompt=prompt).values_list("number", flat=True))


def test_numbers_run_from_one_without_a_gap(prompt: Prompt) -> None:
    for _ in range(4):
        make_version(prompt)
    assert numbers(prompt) == [1, 2, 3, 4, 5]


def test_a_refused_version_takes_no_number(prompt: Prompt) -> None:
    make_version(prompt, version_string="v2")
    with pytest.raises(VersionStringTaken, match="Version 2 of Greeting is already called v2"):
        make_version(prompt, version_string="v2")
    make_version(prompt)
    assert numbers(prompt) == [1, 2, 3]


def test_a_version_that_is_rolled_back_takes_no_number(prompt: Prompt) -> None:
    with transaction.atomic():
        make_version(prompt)
        transaction.set_rollback(True)
    assert make_version(prompt).number == 2


def test_the_same_content_as_the_newest_makes_nothing(prompt: Prompt) -> None:
    same = content_of(text="Hello {{name}}.")
    version, is_new = authoring.create_version(SYSTEM, prompt, same, message="again")
    assert (version.number, is_new, numbers(prompt)) == (1, False, [1])


def test_the_same_content_under_a_new_name_is_a_version(prompt: Prompt) -> None:
    same = content_of(text="Hello {{name}}.")
    version, is_new = authoring.create_version(SYSTEM, prompt, same, version_string="v1.0.0")
    assert (version.number, is_new, version.version_string) == (2, True, "v1.0.0")
    assert authoring.create_version(SYSTEM, prompt, same, version_string="v1.0.0") == (version, False)


def test_content_that_an_older_version_had_is_new_again(prompt: Prompt) -> None:
    make_version(prompt, "Other {{name}}.")
    assert make_version(prompt, "Hello {{name}}.").number == 3


WAYS: dict[str, Callable[[Version], object]] = {
    "save": lambda version: version.save(),
    "save some": lambda version: version.save(update_fields=["text"]),
    "delete": lambda version: version.delete(),
    "queryset update": lambda version: Version.objects.filter(pk=version.pk).update(text="x"),
    "queryset delete": lambda version: Version.objects.filter(pk=version.pk).delete(),
    "bulk update": lambda version: Version.objects.bulk_update([version], ["text"]),
    "related update": lambda version: version.prompt.versions.update(text="x"),
    "related delete": lambda version: version.prompt.versions.all().delete(),
    "deleting the prompt": lambda version: version.prompt.delete(),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_no_way_changes_or_removes_a_version(prompt: Prompt, way: Callable[[Version], object]) -> None:
    version = Version.objects.get(prompt=prompt, number=1)
    version.text = "x"
    with pytest.raises((VersionFrozen, IntegrityError)), transaction.atomic():
        way(version)
    assert Version.objects.get(pk=version.pk).text == "Hello {{name}}."


def test_the_database_itself_refuses_a_number_twice(prompt: Prompt) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Version.objects.create(prompt=prompt, number=1, text="x", checksum="0")


def test_the_checksum_covers_everything_that_reaches_the_model(prompt: Prompt) -> None:
    contents = [
        content_of(text="a"),
        content_of(text="b"),
        content_of(text="a", model="gpt-4o"),
        content_of(text="a", parameters={"temperature": 0}),
        content_of(messages=[{"role": "user", "content": "a"}]),
        content_of(messages=[{"role": "system", "content": "a"}]),
        content_of(text="a{{b}}"),
        content_of(text="a{{b}}", variables={"b": {"required": False}}),
    ]
    assert len({content.checksum() for content in contents}) == len(contents)


def test_reverting_saves_the_old_content_as_a_new_version_and_moves_nothing(prompt: Prompt) -> None:
    second = make_version(prompt, "Other {{name}}.", model="gpt-4o")
    make_live(second)
    first = Version.objects.select_related("prompt").get(prompt=prompt, number=1)
    third, is_new = authoring.revert_version(SYSTEM, first)
    assert (third.number, is_new, third.text, third.model) == (3, True, first.text, first.model)
    assert third.message == "Back to version 1"
    assert third.checksum == first.checksum
    assert resolve.live_version(prompt.team_id, prompt.name, "production").version == second


def test_reverting_to_the_newest_makes_nothing(prompt: Prompt) -> None:
    newest = make_version(prompt)
    assert authoring.revert_version(SYSTEM, newest) == (newest, False)


def test_an_archived_prompt_takes_no_version_until_it_is_back(prompt: Prompt) -> None:
    authoring.archive_prompt(SYSTEM, prompt)
    with pytest.raises(PromptArchived):
        make_version(prompt)
    authoring.restore_prompt(SYSTEM, prompt)
    assert make_version(prompt).number == 2


def test_a_prompt_keeps_its_type(prompt: Prompt) -> None:
    with pytest.raises(Invalid) as refused:
        authoring.create_version(SYSTEM, prompt, content_of(messages=[{"role": "user", "content": "Hi"}]))
    assert refused.value.problems[0].field == "content"


@pytest.mark.parametrize(
    ("selector", "number"),
    [("1", 1), ("v1", 1), ("3", 3), ("latest", 4), ("v1.0", 2), ("spring-sale", 3), ("v2", 4), ("2", 2), ("v4", 4)],
)
def test_a_selector_means_one_version(prompt: Prompt, selector: str, number: int) -> None:
    """A name that somebody gave counts before the short form `v2` of a number; a bare number is always a number."""
    make_version(prompt, version_string="v1.0")
    make_version(prompt, version_string="spring-sale")
    make_version(prompt, version_string="v2")
    assert resolve.version_of(prompt, selector).number == number


@pytest.mark.parametrize("selector", ["0", "5", "v9", "V1", "", "nobody", "1.", "-1", "9" * 30, "9" * 5000, "1\n"])
def test_a_selector_that_means_nothing_is_not_found(prompt: Prompt, selector: str) -> None:
    with pytest.raises(VersionNotFound):
        resolve.version_of(prompt, selector)


def test_versions_of_another_prompt_are_not_found(prompt: Prompt, team: Team) -> None:
    other = make_prompt(team)
    make_version(other, version_string="only-there")
    with pytest.raises(VersionNotFound):
        resolve.version_of(prompt, "only-there")


# Differences


def test_a_diff_shows_lines_that_came_went_and_changed() -> None:
    found = diff.lines("one\ntwo\nthree\nfour", "one\n2\nthree\nfour\nfive")
    assert [(line.kind, line.old, line.new) for line in found] == [
        ("same", "one", "one"),
        ("changed", "two", "2"),
        ("same", "three", "three"),
        ("same", "four", "four"),
        ("added", "", "five"),
    ]
    assert [line.kind for line in diff.lines("a\nb\nc", "c")] == ["removed", "removed", "same"]
    assert diff.lines("", "") == []


def test_variables_that_are_optional_break_nobody(prompt: Prompt) -> None:
    first = Version.objects.get(prompt=prompt, number=1)
    content = content_of(text="{{name}} {{city}} {{mood}}", variables={"mood": {"required": False}})
    second, _ = authoring.create_version(SYSTEM, prompt, content)
    change = diff.variables(first, second)
    assert (change.added, change.removed, bool(change), str(change)) == (("city",), (), True, "new: city")
    back = diff.variables(second, first)
    assert (back.added, back.removed, str(back)) == ((), ("city",), "gone: city")
    assert not diff.variables(first, first)
