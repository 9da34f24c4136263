"""Texts that include others: what is put in, now and as it was."""

from __future__ import annotations

from typing import Any

import pytest

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from prompts import snippets
from prompts.errors import SnippetCycle, SnippetNotLive, SnippetOtherSyntax, SnippetsTooLong, SnippetTooDeep
from prompts.models import Prompt, SnippetUse, Version
from prompts.services import authoring, deploying, naming
from prompts.snippets.weaving import Weaver, gather
from tests.support.make import make_prompt, make_team, newest
from tests.support.snippets import Shelf

pytestmark = pytest.mark.django_db


@pytest.fixture
def shelf(team: Team) -> Shelf:
    return Shelf(team)


def text_of(version: Version, shelf: Shelf) -> str:
    return snippets.resolve(version, shelf.environment).content.text


def users(prompt: Prompt) -> list[snippets.Use]:
    return snippets.where_used(prompt, Prompt.objects.all())


def test_what_is_included_is_what_is_live(shelf: Shelf) -> None:
    shelf.put("tone", "Be kind.", live=True)
    shelf.put("tone", "Be brief.")
    support = shelf.put("support", "{{> tone}} Help {{name}}.")
    found = snippets.resolve(support, shelf.environment)
    assert found.content.text == "Be kind. Help {{name}}."
    assert found.numbers == {"tone": 1}
    assert found.spec.snippets == {"tone": 1}
    assert found.spec.sha256 == support.checksum
    shelf.live(newest(shelf.prompts["tone"]))
    assert text_of(support, shelf) == "Be brief. Help {{name}}."


def test_another_environment_has_its_own(shelf: Shelf) -> None:
    staging = Shelf(shelf.team, "staging", shelf.prompts)
    shelf.put("tone", "Be kind.", live=True)
    staging.put("tone", "Be brief.", live=True)
    support = shelf.put("support", "{{> tone}}")
    assert (text_of(support, shelf), text_of(support, staging)) == ("Be kind.", "Be brief.")


def test_texts_are_put_in_at_every_depth_and_in_every_message(shelf: Shelf) -> None:
    shelf.put("a", "A", live=True)
    shelf.put("b", "B{{> a}}", live=True)
    shelf.put("c", "C{{> b}}{{> a}}", live=True)
    messages = [
        {"role": "system", "content": "{{> c}}!"},
        {"placeholder": "history"},
        {"role": "user", "content": "{{> a}}?"},
    ]
    chat = newest(make_prompt(shelf.team, messages=messages))
    found = snippets.resolve(chat, shelf.environment)
    assert [part.content for part in found.content.messages] == ["CBAA!", "", "A?"]
    assert found.numbers == {"c": 1, "b": 1, "a": 1}


def test_declared_blanks_merge_and_the_includers_own_word_counts(shelf: Shelf) -> None:
    shelf.put(
        "tone", "{{mood}} {{name}}", live=True, variables={"name": {"max_length": 3}, "mood": {"default": "kind"}}
    )
    support = shelf.put("support", "{{> tone}} {{name}}", variables={"name": {"max_length": 9}})
    found = snippets.resolve(support, shelf.environment).content.variables
    assert list(found) == ["name", "mood"]
    assert (found["name"]["max_length"], found["mood"]["default"]) == (9, "kind")


def test_a_former_name_goes_on_meaning_the_prompt(shelf: Shelf, django_assert_num_queries: Any) -> None:
    tone = shelf.put("tone", "Be kind.")
    support = shelf.put("support", "{{> tone}}")
    naming.rename_prompt(SYSTEM, shelf.prompts["tone"], "voice")  # never live, but included
    shelf.live(tone)
    assert text_of(support, shelf) == "Be kind."
    environment = shelf.environment
    with django_assert_num_queries(3):
        assert snippets.resolve(support, environment).numbers == {"tone": 1}


def test_a_renamed_prompt_can_be_included_under_both_names(shelf: Shelf) -> None:
    shelf.put("tone", "Be kind.", live=True)
    first = shelf.put("support", "{{> tone}}")
    naming.rename_prompt(SYSTEM, shelf.prompts["tone"], "voice")
    both = shelf.put("support", "{{> tone}}{{> voice}}")
    assert (text_of(first, shelf), text_of(both, shelf)) == ("Be kind.", "Be kind.Be kind.")
    assert SnippetUse.objects.filter(version=both).count() == 1


def test_one_query_for_each_level_and_none_without_includes(shelf: Shelf, django_assert_num_queries: Any) -> None:
    for name in "abcdefgh":
        shelf.put(name, name, live=True)
    shelf.put("middle", "".join(f"{{{{> {name}}}}}" for name in "abcdefgh"), live=True)
    many = [shelf.put(f"top-{number}", f"{number}{{{{> middle}}}}{{{{> a}}}}") for number in range(5)]
    plain, environment = shelf.put("plain", "Just text."), shelf.environment
    with django_assert_num_queries(2):
        found = snippets.resolve_all([*many, plain], environment)
    assert [one.content.text for one in found] == [f"{number}abcdefgha" for number in range(5)] + ["Just text."]
    with django_assert_num_queries(0):
        assert snippets.resolve(plain, environment).content == plain.content


def test_what_is_not_live_is_named_all_of_it(shelf: Shelf) -> None:
    shelf.put("rules", "Rules.")
    shelf.put("tone", "Be kind.")
    shelf.put("laws", "Laws.", live=True)
    support = shelf.put("support", "{{> tone}} {{> laws}} {{> rules}}")
    with pytest.raises(SnippetNotLive) as caught:
        text_of(support, shelf)
    assert caught.value.data["names"] == ["tone", "rules"]
    assert "tone (included by support)" in caught.value.detail
    assert "production" in caught.value.detail


def test_another_teams_prompt_is_never_included(shelf: Shelf) -> None:
    other = Shelf(make_team())
    other.put("tone", "Secret.", live=True)
    shelf.put("tone", "Ours.")
    support = shelf.put("support", "{{> tone}}")
    with pytest.raises(SnippetNotLive):
        text_of(support, shelf)


def test_five_levels_and_no_more(shelf: Shelf) -> None:
    shelf.put("s5", "5", live=True)
    for level in (4, 3, 2, 1):
        shelf.put(f"s{level}", f"{level}{{{{> s{level + 1}}}}}", live=True)
    top = shelf.put("top", "0{{> s1}}")
    assert text_of(top, shelf) == "012345"
    over = Version(prompt=top.prompt, text="{{> top}}")
    with pytest.raises(SnippetTooDeep, match="s1 -> s2 -> s3 -> s4 -> s5"):
        snippets.resolve_all([over], shelf.environment, instead=[top])


def test_depth_counts_on_the_longer_of_two_ways(shelf: Shelf) -> None:
    shelf.put("s5", "5", live=True)
    for level in (4, 3, 2, 1):
        shelf.put(f"s{level}", f"{level}{{{{> s{level + 1}}}}}", live=True)
    shelf.put("side", "{{> s2}}", live=True)
    top = shelf.put("top", "{{> s2}}{{> side}}")
    assert text_of(top, shelf) == "23452345"
    over = Version(prompt=top.prompt, text="{{> s2}}{{> outer}}")
    outer = Version(prompt=make_prompt(shelf.team, name="outer"), text="{{> side}}{{> s1}}")
    with pytest.raises(SnippetTooDeep):
        snippets.resolve_all([over], shelf.environment, instead=[outer])


def test_a_circle_is_told_as_a_path(shelf: Shelf) -> None:
    shelf.put("b", "plain")
    a = shelf.put("a", "{{> b}}")
    b = Version(prompt=shelf.prompts["b"], text="{{> a}}")
    with pytest.raises(SnippetCycle, match="a -> b -> a"):
        snippets.resolve_all([a], shelf.environment, instead=[a, b])


def test_a_few_lines_do_not_grow_to_gigabytes(shelf: Shelf) -> None:
    shelf.put("s0", "x" * 1000, live=True)
    rows = [newest(shelf.prompts["s0"])]
    for level in range(1, 4):
        prompt = make_prompt(shelf.team, "x", name=f"s{level}")
        rows.append(Version(prompt=prompt, text=f"{{{{> s{level - 1}}}}}" * 1000))
    with pytest.raises(SnippetsTooLong, match="1000000"):
        snippets.resolve_all(rows[-1:], shelf.environment, instead=rows)


def test_texts_of_two_syntaxes_do_not_mix(shelf: Shelf) -> None:
    shelf.put("tone", "Be kind.", live=True)
    support = shelf.put("support", "{{> tone}}")
    other = Version(prompt=support.prompt, text="{{> tone}}", syntax="jinja2")
    with pytest.raises(SnippetOtherSyntax, match="support is written in jinja2 and includes tone"):
        snippets.resolve_all([other], shelf.environment)


def test_what_was_said_at_any_revision_can_be_rebuilt(shelf: Shelf) -> None:
    shelf.put("a", "a1", live=True)
    shelf.put("b", "b1{{> a}}", live=True)
    top = shelf.put("top", "{{> b}}", live=True)
    said: dict[int, str] = {}

    def note() -> None:
        environment = shelf.environment
        said[environment.revision] = snippets.resolve(top, environment).content.text

    note()
    shelf.put("a", "a2", live=True)
    note()
    shelf.put("b", "b2", live=True)
    note()
    shelf.put("a", "a3", live=True)
    note()
    deploying.rollback(SYSTEM, shelf.prompts["b"], shelf.environment)
    note()
    naming.rename_prompt(SYSTEM, shelf.prompts["a"], "alpha")
    note()
    assert list(said.values()) == ["b1a1", "b1a2", "b2", "b2", "b1a3", "b1a3"]
    then = {revision: snippets.resolve_at(top, shelf.environment, revision).content.text for revision in said}
    assert then == said
    with pytest.raises(SnippetNotLive):
        snippets.resolve_at(top, shelf.environment, 1)


def test_history_costs_two_queries_for_each_level(shelf: Shelf, django_assert_num_queries: Any) -> None:
    for name in ("a", "b", "c"):
        shelf.put(name, f"{name}1", live=True)
    top = shelf.put("top", "{{> a}}{{> b}}{{> c}}")
    then = shelf.environment.revision
    for number in range(2, 6):
        for name in ("a", "b", "c"):
            shelf.put(name, f"{name}{number}", live=True)
    environment = shelf.environment
    with django_assert_num_queries(2):
        assert snippets.resolve_at(top, environment, then).content.text == "a1b1c1"


def test_a_row_read_before_a_move_is_answered_as_of_then(shelf: Shelf) -> None:
    shelf.put("tone", "Be kind.", live=True)
    support = shelf.put("support", "{{> tone}}")
    before = shelf.environment
    shelf.put("tone", "Be brief.", live=True)
    assert snippets.resolve(support, before).content.text == "Be kind."


def test_named_versions_stay_whatever_is_live(shelf: Shelf, django_assert_num_queries: Any) -> None:
    shelf.put("tone", "Be kind.", live=True)
    support = shelf.put("support", "{{> tone}}!")
    ids = snippets.resolve(support, shelf.environment).ids
    shelf.put("tone", "Be brief.", live=True)
    plain = shelf.put("plain", "Text.")
    with django_assert_num_queries(1):
        assert snippets.resolve_pinned(support, ids).content.text == "Be kind.!"
    with django_assert_num_queries(0):
        assert snippets.resolve_pinned(plain, {}).content.text == "Text."


def test_where_a_prompt_is_used(shelf: Shelf) -> None:
    shelf.put("tone", "Be kind.", live=True)
    shelf.put("rules", "{{> tone}}", live=True)
    shelf.put("support", "{{> rules}}", live=True)
    shelf.put("sales", "{{> tone}}", live=True)
    shelf.put("sales", "No tone.")
    shelf.put("old", "{{> tone}}")
    shelf.put("old", "Nothing.")
    found = {use.prompt.name: (use.is_direct, use.newest, use.live) for use in users(shelf.prompts["tone"])}
    assert found == {
        "rules": (True, 1, {"production": 1}),
        "support": (False, 1, {"production": 1}),
        "sales": (True, None, {"production": 1}),
    }
    assert users(shelf.prompts["support"]) == []


def test_a_use_through_others_counts_where_all_of_it_is(shelf: Shelf) -> None:
    shelf.put("tone", "Be kind.", live=True)
    shelf.put("rules", "Plain.", live=True)
    shelf.put("support", "{{> rules}}", live=True)
    shelf.put("rules", "{{> tone}}")
    found = {use.prompt.name: (use.newest, use.live) for use in users(shelf.prompts["tone"])}
    assert found == {"rules": (2, {}), "support": (1, {})}


def test_where_used_costs_the_same_for_many(shelf: Shelf, django_assert_max_num_queries: Any) -> None:
    shelf.put("tone", "Be kind.", live=True)
    for number in range(12):
        shelf.put(f"p{number}", "{{> tone}}", live=True)
    with django_assert_max_num_queries(5):
        assert len(users(shelf.prompts["tone"])) == 12


def test_what_a_version_was_served_with(shelf: Shelf) -> None:
    shelf.put("a", "a1", live=True)  # 1
    shelf.put("b", "b1{{> a}}", live=True)  # 2
    top = shelf.put("top", "{{> b}}", live=True)  # 3
    shelf.put("a", "a2", live=True)  # 4
    shelf.put("other", "x", live=True)  # 5, which changes nothing
    shelf.put("b", "b2", live=True)  # 6
    shelf.put("a", "a3", live=True)  # 7, which nobody includes now
    shelf.put("top", "Plain.", live=True)  # 8
    deploying.rollback(SYSTEM, shelf.prompts["top"], shelf.environment)  # 9
    staging = Shelf(shelf.team, "staging", shelf.prompts)
    staging.live(newest(shelf.prompts["b"]))
    staging.live(top)
    found = [
        (one.environment, one.from_revision, one.until_revision, one.snippets) for one in snippets.served_with(top)
    ]
    assert found == [
        ("staging", 2, None, {"b": 2}),
        ("production", 3, 4, {"b": 1, "a": 1}),
        ("production", 4, 6, {"b": 1, "a": 2}),
        ("production", 6, 8, {"b": 2}),
        ("production", 9, None, {"b": 2}),
    ]


def test_what_a_version_was_served_with_costs_the_same_after_many_moves(
    shelf: Shelf, django_assert_num_queries: Any
) -> None:
    shelf.put("a", "a1", live=True)
    top = shelf.put("top", "{{> a}}", live=True)
    for count in (1, 10):
        for number in range(count):
            shelf.put("a", f"{count} {number}", live=True)
        with django_assert_num_queries(6):
            found = snippets.served_with(top)
    assert len(found) == 12


def test_the_content_is_the_same_object_when_nothing_is_included(shelf: Shelf) -> None:
    version = shelf.put("plain", "Hello {{name}}, {{ more }}.")
    assert snippets.included_in(version) == ()
    assert Weaver(gather([version], lambda names: {}), lambda absent: AssertionError()).weave(version).versions == {}


def test_a_copy_and_an_older_version_note_what_they_include(shelf: Shelf) -> None:
    shelf.put("tone", "Be kind.")
    support = shelf.put("support", "{{> tone}}")
    shelf.put("support", "Plain.")
    copy = authoring.fork_prompt(SYSTEM, support, "Copy")
    again, _ = authoring.revert_version(SYSTEM, support)
    noted = SnippetUse.objects.filter(snippet=shelf.prompts["tone"]).values_list("version_id", flat=True)
    assert set(noted) == {support.pk, copy.newest_id, again.pk}
