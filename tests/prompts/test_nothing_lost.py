"""What somebody typed survives: reloading, the end of the session, a mistake, a colleague, leaving the page."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from promptlab.audit.models import AuditEntry
from prompts import merging
from prompts.models import Draft, Prompt
from prompts.services import presence
from tests.prompts.test_admin_prompt import filled_in
from tests.support.cast import Cast
from tests.support.make import make_prompt, make_version, newest

pytestmark = pytest.mark.django_db
TEXT = "Hello.\nHow are you?\nBye."


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    return make_prompt(cast.team, TEXT, title="Greeting")


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page(prompt: Prompt, name: str = "change") -> str:
    return reverse(f"admin:prompts_prompt_{name}", args=[prompt.pk])


def html(answer: Any) -> str:
    return answer.content.decode()


def typed(client: Client, prompt: Prompt, text: str, **fields: Any) -> dict[str, Any]:
    shown = filled_in(html(client.get(page(prompt))))
    assert shown.pop("carry") == "1"
    return {**shown, "message": "Warmer", "text": text, **fields}


def keep(client: Client, prompt: Prompt, text: str, **fields: Any) -> dict[str, Any]:
    """What the page sends by itself, and what it is told."""
    answer = client.post(page(prompt, "keep"), typed(client, prompt, text, **fields))
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def test_what_the_page_keeps_by_itself_is_there_after_a_reload_and_in_every_section(cast: Cast, prompt: Prompt) -> None:
    ann = signed_in(cast.ann)
    told = keep(ann, prompt, "Half a {{thought")
    assert told["row_version"] == 1 and re.match(r"Draft kept at \d\d:\d\d\.", told["state"])
    assert keep(ann, prompt, "Half a {{thought, more")["row_version"] == 2
    # Going to another tab and coming back is another GET, too.
    assert ann.get(page(prompt, "compare")).status_code == 200
    again = filled_in(html(ann.get(page(prompt))))
    assert (again["text"], again["message"], again["row_version"]) == ("Half a {{thought, more", "Warmer", "2")
    assert AuditEntry.objects.filter(verb="draft.kept").count() == 1


def test_the_page_knows_whose_words_it_keeps_and_says_who_is_signed_in(cast: Cast, prompt: Prompt) -> None:
    shown = html(signed_in(cast.ann).get(page(prompt)))
    assert f'data-person="{cast.ann.pk}"' in shown
    assert f'<span class="who">{cast.ann}</span>' in shown


def test_an_answer_that_was_not_heard_is_asked_for_again(cast: Cast, prompt: Prompt) -> None:
    ann = signed_in(cast.ann)
    sent = typed(ann, prompt, "Hello you.")
    for _ in range(2):
        assert ann.post(page(prompt, "keep"), sent).json()["row_version"] == 1
    other = ann.post(page(prompt, "keep"), {**sent, "text": "Hello me."}).json()
    assert "row_version" not in other and "another window" in other["state"]
    assert Draft.objects.get().body["content"] == "Hello you."


def test_what_cannot_be_kept_is_said_and_nothing_else_happens(cast: Cast, prompt: Prompt) -> None:
    canary = "sk-" + "proj-" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7"
    told = keep(signed_in(cast.ann), prompt, f"Use {canary} to sign in.")
    assert told["state"].startswith("Not kept:") and "row_version" not in told
    assert not Draft.objects.exists()


def test_keeping_is_for_writers_who_are_signed_in(cast: Cast, prompt: Prompt) -> None:
    sent = typed(signed_in(cast.ann), prompt, "Mine.")
    for user, status in ((cast.vic, 403), (cast.zoe, 404)):
        assert signed_in(user).post(page(prompt, "keep"), sent).status_code == status
    assert Client().post(page(prompt, "keep"), sent).status_code == 302
    assert signed_in(cast.ann).get(page(prompt, "keep")).status_code == 302
    assert not Draft.objects.exists()


def hidden(shown: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', shown)
    assert found, name
    return unescape(found[1])


def test_after_the_session_ended_the_words_go_where_they_were_going(cast: Cast, prompt: Prompt) -> None:
    sent = typed(signed_in(cast.ann), prompt, 'Hello "you" & {{name}}.\r\n\r\nLine two.', carry="1")
    client = Client()
    asked = html(client.post(page(prompt), sent))
    assert "You were signed out meanwhile." in asked and newest(prompt).number == 1
    form = {"username": "ann", "next": hidden(asked, "next"), "carried": hidden(asked, "carried")}
    wrong = html(client.post("/admin/login/", {**form, "password": "no"}))
    assert "do not match" in wrong and json.loads(hidden(wrong, "carried")) == json.loads(form["carried"])
    back = html(client.post("/admin/login/", {**form, "password": "secret"}))
    assert f'action="{page(prompt)}"' in back
    fields = {
        name: unescape(word)
        for name, word in re.findall(r'<textarea name="(\w+)" hidden>\n(.*?)</textarea>', back, re.S)
    }
    assert "v2 is saved." in html(client.post(page(prompt), fields, follow=True))
    assert newest(prompt).text == 'Hello "you" & {{name}}.\n\nLine two.'


def test_words_are_not_sent_to_other_hosts_nor_is_what_is_no_list(cast: Cast) -> None:
    said = {"username": "ann", "password": "secret", "next": "https://elsewhere.example/", "carried": '[["a","b"]]'}
    assert 'action="/admin/"' in html(Client().post("/admin/login/", said)).replace("/admin/accounts/", "/admin/")
    assert Client().post("/admin/login/", {**said, "carried": "{}x"}).status_code == 200


def test_a_mistake_loses_no_words(cast: Cast, prompt: Prompt) -> None:
    ann = signed_in(cast.ann)
    shown = html(ann.post(page(prompt), typed(ann, prompt, "Hello {{na", message="")))
    assert "Hello {{na" in shown and 'href="#id_message"' in shown and "data-unkept" in shown
    assert filled_in(shown)["text"] == "Hello {{na"


def in_conflict(client: Client, prompt: Prompt, mine: str, theirs: str) -> dict[str, Any]:
    """What the page that shows both texts would send: somebody saved `theirs` while `mine` was typed."""
    sent = typed(client, prompt, mine)
    make_version(prompt, theirs)
    shown = html(client.post(page(prompt), sent))
    assert "Put both together" in shown and "keep mine beside it" in shown
    return {**filled_in(shown), "message": "Warmer"}


def test_both_changes_are_put_together(cast: Cast, prompt: Prompt) -> None:
    ann = signed_in(cast.ann)
    sent = in_conflict(ann, prompt, "Hello!\nHow are you?\nBye.", "Hello.\nHow are you?\nSee you.")
    merged = html(ann.post(page(prompt), {**sent, "act": "merge"}))
    assert "Both changes are in the text below." in merged and newest(prompt).number == 2
    ann.post(page(prompt), {**filled_in(merged), "message": "Both"})
    assert (newest(prompt).number, newest(prompt).text) == (3, "Hello!\nHow are you?\nSee you.")


def test_where_both_changed_the_same_line_both_stand(cast: Cast, prompt: Prompt) -> None:
    ann = signed_in(cast.ann)
    sent = in_conflict(ann, prompt, "Hi.\nHow are you?\nBye.", "Good day.\nHow are you?\nBye.")
    merged = html(ann.post(page(prompt), {**sent, "act": "merge"}))
    assert "At 1 place both of you changed the same lines" in merged
    assert filled_in(merged)["text"] == "Hi.\nGood day.\nHow are you?\nBye."


def test_ones_own_text_is_kept_beside_theirs(cast: Cast, prompt: Prompt) -> None:
    ann = signed_in(cast.ann)
    sent = in_conflict(ann, prompt, "Mine alone.", "Theirs.")
    shown = html(ann.post(page(prompt), {**sent, "act": "beside"}, follow=True))
    assert "You start from v2." in shown and "Your own text, kept beside" in shown and "Mine alone." in shown
    assert filled_in(shown)["text"] == "Theirs."
    keep(ann, prompt, "Theirs, and more.")
    assert "Mine alone." in html(ann.get(page(prompt)))
    ann.post(page(prompt), typed(ann, prompt, "Theirs, and more."))
    assert newest(prompt).number == 3 and not Draft.objects.exists()


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "both", "clashes"),
    [
        ("a\nb\nc", "a\nb\nc", "a\nB\nc", "a\nB\nc", 0),
        ("a\nb\nc\nd", "a\nc\nd", "a\nb\nc\nd\ne", "a\nc\nd\ne", 0),
        ("a", "a\nx", "a\nx", "a\nx", 0),
        ("a", "a\nx", "a\ny", "a\nx\ny", 1),
        ("", "x", "y", "x\ny", 1),
        ("a\nb", "", "a\nb", "", 0),
    ],
)
def test_merging_line_by_line(base: str, mine: str, theirs: str, both: str, clashes: int) -> None:
    assert merging.merge(base, mine, theirs) == merging.Merged(both, clashes)


def test_colleagues_are_told_who_else_is_here(cast: Cast, prompt: Prompt) -> None:
    ann, cleo = signed_in(cast.ann), signed_in(cast.cleo)
    assert cleo.post(page(prompt, "keep")).json() == {"people": ""}
    assert ann.post(page(prompt, "keep")).json()["people"].startswith("Cleo has this open, for ")
    keep(ann, prompt, "Hello there.")
    assert "Ann is editing this" in cleo.post(page(prompt, "keep")).json()["people"]
    for section in ("change", "versions", "compare", "moves", "discussion", "settings"):
        assert "Ann is editing this" in html(cleo.get(page(prompt, section))), section
    vic = signed_in(cast.vic).post(page(prompt, "keep")).json()["people"]
    assert vic == "Cleo and 1 more person have this open."
    assert signed_in(cast.zoe).post(page(prompt, "keep")).status_code == 404


def test_without_redis_nobody_is_seen_and_drafts_are_kept(
    cast: Cast, prompt: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any) -> None:
        raise presence.redis.RedisAway

    monkeypatch.setattr(presence.redis, "attempt", away)
    told = keep(signed_in(cast.ann), prompt, "Hello there.")
    assert (told["people"], told["row_version"]) == ("", 1)
