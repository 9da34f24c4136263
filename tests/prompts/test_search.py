"""Finding prompts by words. Every expectation holds on PostgreSQL and on SQLite: the same tests run on both."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.lib.errors import Invalid
from prompts import search
from prompts.models import Collection, Prompt
from prompts.services import authoring, deploying, naming
from prompts.services.authoring import PromptChanges
from prompts.services.environments import named
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_key, make_live, make_prompt, make_team, make_version, newest

pytestmark = pytest.mark.django_db


@pytest.fixture
def library(team: Team) -> Team:
    """Ten prompts; the newest is the last."""
    make_prompt(team, "Summarise {{email_content}} in one sentence.", title="Email summary", name="email-summary")
    make_prompt(team, "Answer the customer's question kindly.", title="Support reply", description="For every email")
    make_prompt(team, "Write an advertisement for {{product}}.", title="Ad", name="ad-text", description="Short ads")
    make_prompt(team, "Übersetze den Text: Straße, Café, naïve Ärzte.", title="Übersetzung für Ärzte", name="translate")
    make_prompt(team, "把用户的邮件总结成一句话。", title="邮件总结", name="zh-summary")
    make_prompt(team, messages=[{"role": "system", "content": "You are a pirate."}], title="Talk like a pirate")
    make_prompt(team, "100% of a_b, c:d & (e | f) ! <-> NEAR AND", title="50%_off \\ sale", name="signs")
    make_prompt(team, "Re-use of state-of-the-art parts, see README.md v1.2.3", title="Reuse", name="re-use")
    make_prompt(team, "An email about email.", title="Newsletter", name="weekly-email")
    make_prompt(team, "Nothing else in here.", title="Plain", name="plain", description="The customer is always right")
    return team


def names(typed: str) -> list[str]:
    return [prompt.name for prompt in search.found(Prompt.objects.for_list().order_by("-id"), typed)]


FOUND: list[tuple[str, list[str]]] = [
    # The title first, then the short name, the description, the text; then the newest.
    ("email", ["email-summary", "weekly-email", "support-reply"]),
    ("EMAIL", ["email-summary", "weekly-email", "support-reply"]),
    ("summary", ["email-summary", "zh-summary"]),
    ("customer", ["plain", "support-reply"]),
    # Every word, in whatever field.
    ("email sentence", ["email-summary"]),
    ("email nowhere", []),
    ("  email   about  ", ["weekly-email"]),
    # The beginning of a word anywhere; any part of title and short name.
    ("advert", ["ad-text"]),
    ("vertisement", []),
    ("ummar", ["email-summary", "zh-summary"]),
    ("slett", ["weekly-email"]),
    ("letter", ["weekly-email"]),
    ("l-s", ["email-summary"]),
    ("ly-em", ["weekly-email"]),
    ("content", ["email-summary"]),
    ("email_content", ["email-summary"]),
    # A phrase is whole words in this order, in one field.
    ('"in one sentence"', ["email-summary"]),
    ('"one in sentence"', []),
    ('"one sent"', []),
    ("“an email about”", ["weekly-email"]),
    ('"support reply answer"', []),
    ('"email summary" sentence', ["email-summary"]),
    ('"adv"', []),
    ('"Email"', ["email-summary", "weekly-email", "support-reply"]),
    # Case and accents.
    ("ubersetz", ["translate"]),
    ("ÜBERSETZUNG", ["translate"]),
    ("strasse", ["translate"]),
    ("STRASSE cafe naive arzte", ["translate"]),
    ("für", ["translate"]),
    ("fu\u0308r", ["translate"]),
    # Scripts without spaces.
    ("邮件", ["zh-summary"]),
    ("总结", ["zh-summary"]),
    ("一句", ["zh-summary"]),
    ("句一", []),
    # Signs are text.
    ("re-use", ["re-use"]),
    ("reuse", ["re-use"]),
    ("state-of-the", ["re-use"]),
    ("readme.md", ["re-use"]),
    ("v1.2", ["re-use"]),
    ("v1.3", []),
    ("%", ["signs"]),
    ("_", ["signs"]),
    ("\\", ["signs"]),
    ("50%", ["signs"]),
    ("0%_o", ["signs"]),
    ("email:*", ["email-summary", "weekly-email", "support-reply"]),
    ("NEAR", ["signs"]),
    ("email AND nowhere", []),
    ("email OR nowhere", []),
    ("NOT email", []),
    ("!", []),
    ("<->", []),
    ("'; DROP TABLE prompts_prompt; --", []),
    ('email"', ["email-summary", "weekly-email", "support-reply"]),
]


def test_a_search_finds_exactly_these_in_this_order(library: Team) -> None:
    for typed, expected in FOUND:
        assert names(typed) == expected, typed


def test_nothing_typed_leaves_every_prompt_the_newest_first(library: Team) -> None:
    for typed in ("", "  ", '""', "\u0301", "\x00"):
        assert len(names(typed)) == 10 and names(typed)[0] == "plain", repr(typed)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    typed=st.text(max_size=200)
    | st.text(st.sampled_from(" '\"*:&|!()<->\\%_^+-{}~aé邮ß·\u0301\ud800\x00"), max_size=60)
)
def test_whatever_is_typed_is_text(library: Team, typed: str) -> None:
    rows = Prompt.objects.for_list()
    try:
        found = search.found(rows, typed)
    except Invalid as error:
        assert [problem.field for problem in error.problems] == ["search"]
        return
    listed = search.with_matches(found, typed)
    assert len(listed) == found.count() <= 10
    for prompt in listed:
        for match in getattr(prompt, "matches", ()):
            assert match.spans and all(0 <= start < end <= len(match.excerpt) for start, end in match.spans)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(title=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=200))
def test_any_title_is_found_by_its_words(team: Team, title: str) -> None:
    prompt = make_prompt(team, title=f"T {title}")
    words = [word for word in prompt.title.replace('"', " ").split() if len(word) < 90][:5]
    assert prompt in search.found(Prompt.objects.all(), " ".join(words)[:200]), words


def test_a_text_of_any_size_can_be_saved_and_searched(team: Team) -> None:
    many = "".join(f"{chr(0x4E00 + n % 20_000)}{n} " for n in range(30_000))[:199_000]
    prompt = make_prompt(team, "x" * 150_000 + " tail", name="long")
    make_version(prompt, many)
    make_live(newest(prompt))
    assert names("x" * 60) == [] and names("29") == ["long"]


def test_the_newest_and_every_live_text_are_searched_and_no_other(team: Team) -> None:
    prompt = make_prompt(team, "An apple.", name="fruit")
    first = newest(prompt)
    make_version(prompt, "A banana.")
    assert (names("apple"), names("banana")) == ([], ["fruit"])
    make_live(first)
    assert (names("apple"), names("banana")) == (["fruit"], ["fruit"])
    make_version(prompt, "A cherry.")
    assert (names("apple"), names("banana"), names("cherry")) == (["fruit"], [], ["fruit"])
    deploying.undeploy(SYSTEM, prompt, named(team.pk, "production"))
    assert names("apple") == []


def test_changes_are_found_at_once_and_what_was_before_is_not(team: Team) -> None:
    prompt = make_prompt(team, title="Before", name="old-name", description="Earlier")
    authoring.update_prompt(SYSTEM, prompt, PromptChanges(title="Afterwards", description="Later"))
    naming.rename_prompt(SYSTEM, prompt, "new-name")
    for typed in ("before", "earlier", "old"):
        assert names(typed) == [], typed
    for typed in ("afterw", "later", "new-n"):
        assert names(typed) == ["new-name"], typed
    authoring.archive_prompt(SYSTEM, prompt)
    assert not search.found(Prompt.objects.active(), "afterwards").exists()
    authoring.restore_prompt(SYSTEM, prompt)
    assert search.found(Prompt.objects.active(), "afterwards").exists()


def test_a_refused_change_leaves_what_is_found(team: Team) -> None:
    prompt = make_prompt(team, title="Kept", name="kept")
    with pytest.raises(Invalid):
        authoring.update_prompt(SYSTEM, prompt, PromptChanges(description="gone", title=" "))
    assert (names("kept"), names("gone")) == (["kept"], [])


def rows(api: Api, query: str) -> list[dict[str, Any]]:
    answer = api.get(f"/prompts?{query}")
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def marked(match: dict[str, Any]) -> list[str]:
    return [match["excerpt"][start:end] for start, end in match["spans"]]


def test_a_row_says_where_it_was_found(api: Api, team: Team) -> None:
    prompt = make_prompt(
        team, "The café opens.", title="Opening", name="hours", description="When the Café opens, and why"
    )
    make_live(newest(prompt))
    make_version(prompt, f"{'Long before. ' * 40}Our CAFÉ is closed. {'Long after. ' * 40}")
    (row,) = rows(api, "search=cafe")
    found = [(match["field"], match.get("version"), marked(match)) for match in row["matches"]]
    assert found == [("description", None, ["Café"]), ("newest", 2, ["CAFÉ"]), ("live", 1, ["café"])]
    assert all(len(match["excerpt"]) <= 200 for match in row["matches"])
    (row,) = rows(api, "search=pening")
    assert [(match["field"], marked(match)) for match in row["matches"]] == [("title", ["pening"])]
    (row,) = rows(api, 'search="our+cafe"+hour')
    assert [(match["field"], marked(match)) for match in row["matches"]] == [
        ("name", ["hour"]),
        ("newest", ["Our CAFÉ"]),
    ]


def test_a_list_without_a_search_says_nothing_of_matches(api: Api, library: Team) -> None:
    for query in ("", "search=", "search=%20"):
        assert all("matches" not in row for row in rows(api, query))
    assert all(row["matches"] for row in rows(api, "search=email"))


def test_an_order_that_is_asked_for_comes_before_the_best(api: Api, library: Team) -> None:
    found = [row["name"] for row in rows(api, "search=email&ordering=created_at")]
    assert found == ["email-summary", "support-reply", "weekly-email"]


def test_a_search_that_is_too_long_is_a_400_that_names_it(api: Api) -> None:
    for typed in ("a+b+c+d+e+f+g+h+i+j+k", "a" * 201, "%22a+b%22+c+d+e+f+g+h+i+j+k+l"):
        answer = api.get(f"/prompts?search={typed}")
        assert answer.status_code == 400, typed
        assert [error["field"] for error in answer.json()["errors"]] == ["search"]
    assert api.get("/prompts?search=a+b+c+d+e+f+g+h+i+j").status_code == 200


def test_another_team_finds_nothing(api: Api, library: Team) -> None:
    stranger = Api(make_key(make_team())[1])
    for typed, expected in FOUND:
        if expected:
            assert stranger.client.get("/prompts", {"search": typed}).json()["count"] == 0, typed


def test_the_library_does_not_tell_which_text_other_teams_have_live(api: Api, team: Team) -> None:
    shared = Collection.objects.create(team=team, name="Shared", visibility=Collection.Visibility.EVERYONE)
    prompt = make_prompt(team, "A re-used green apple.", name="fruit", collection=shared)
    make_live(newest(prompt))
    make_version(prompt, "A yellow banana, green.")
    stranger = Api(make_key(make_team())[1])
    for typed, is_in_newest in (
        ("banana", True),
        ("green", True),
        ("apple", False),
        ('"apple"', False),
        ('"green apple"', False),
        ("re-used", False),
        ('"yellow banana"', True),
        ("yellow-ban", True),
    ):
        found = stranger.client.get("/prompts", {"library": "true", "search": typed}).json()["results"]
        assert [row["name"] for row in found] == (["fruit"] if is_in_newest else []), typed
        assert [match["field"] for row in found for match in row["matches"]] == ["newest"] * is_in_newest, typed
        assert [row["name"] for row in api.client.get("/prompts", {"search": typed}).json()["results"]] == ["fruit"]


def test_a_page_of_a_search_asks_as_often_whatever_it_finds(api: Api, library: Team, statements: list[str]) -> None:
    """A phrase asks once more: whether it is a common one."""

    def asked(query: str, most: int) -> int:
        del statements[:]
        assert 0 < len(rows(api, query)) <= most
        return len(statements)

    asked("search=email", 100)
    assert asked("search=an+email+about", 1) == asked("search=e", 100) == 6
    assert asked('search="an+email"+about', 1) == asked('search="email"+e', 100) + 1 == 7


def test_a_phrase_is_found_whether_it_is_common_or_rare(api: Api, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for in two ways; both find the same."""
    for number in range(6):
        make_prompt(team, "Kindly answer." if number % 2 else "Answer kindly.", title=f"Number {number}")
    found = []
    for probed in (1, 10_000):
        monkeypatch.setattr(search, "PROBED", probed)
        found.append([one["name"] for one in rows(api, 'search="kindly+answer"')])
    assert found == [["number-5", "number-3", "number-1"]] * 2


def test_the_admin_list_marks_what_was_found_and_escapes_the_rest(cast: Cast) -> None:
    make_prompt(cast.team, "Say <b>hello & goodbye</b> to {{name}}.", title="Greeting", name="greeting")
    client = Client()
    client.force_login(cast.vic)
    html = client.get("/admin/prompts/prompt/?q=hello+greet").content.decode()
    assert "<mark>Greet</mark>ing" in html
    assert "Say &lt;b&gt;<mark>hello</mark> &amp; goodbye&lt;/b&gt;" in html
    assert "Text of v1" in html
    assert "<mark>" not in client.get("/admin/prompts/prompt/").content.decode()


def test_the_admin_list_says_that_a_search_is_too_long(cast: Cast) -> None:
    make_prompt(cast.team, title="Greeting")
    client = Client()
    client.force_login(cast.vic)
    answer = client.get("/admin/prompts/prompt/?q=" + "+".join("abcdefghijk"))
    html = answer.content.decode()
    assert answer.status_code == 200
    assert "At most 10 words." in html and "Greeting" not in html


def test_pages_of_equal_rows_do_not_overlap(api: Api, team: Team) -> None:
    for n in range(6):
        make_prompt(team, title="The same", name=f"same-{n}")
    for query in ("ordering=title", "search=same", "search=same&ordering=-title"):
        pages = [row["id"] for page in (1, 2, 3) for row in rows(api, f"{query}&page_size=2&page={page}")]
        assert len(set(pages)) == 6, query
