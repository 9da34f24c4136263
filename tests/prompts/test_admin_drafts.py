"""One's own draft on the prompt's page: kept, shown, thrown away, and saved past what others did meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from prompts.models import Draft, Prompt
from prompts.services import authoring, drafting
from tests.prompts.test_admin_prompt import filled_in
from tests.support.cast import Cast
from tests.support.make import make_live, make_prompt, make_version, newest

pytestmark = pytest.mark.django_db


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    return make_prompt(cast.team, "Hello.", title="Greeting", parameters={"temperature": 0})


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page(prompt: Prompt, name: str = "change") -> str:
    return reverse(f"admin:prompts_prompt_{name}", args=[prompt.pk])


def html(answer: Any) -> str:
    return answer.content.decode()


def typed(client: Client, prompt: Prompt, **fields: Any) -> dict[str, Any]:
    """What the page sends after something was typed into it."""
    return {**filled_in(html(client.get(page(prompt)))), **fields}


def keep(client: Client, prompt: Prompt, text: str, **fields: Any) -> str:
    return html(client.post(page(prompt), typed(client, prompt, text=text, act="keep", **fields), follow=True))


def test_what_is_typed_is_kept_and_opens_again_errors_and_all(cast: Cast, prompt: Prompt) -> None:
    ann = signed_in(cast.ann)
    shown = keep(ann, prompt, "Hello {{na", message="", version_string="v1.1")
    assert "Your draft is kept." in shown and f'href="{page(prompt, "discard")}"' in shown
    assert "This is your draft, kept" in shown and "begun at v1" in shown
    again = filled_in(html(ann.get(page(prompt))))
    assert (again["text"], again["version_string"], again["row_version"]) == ("Hello {{na", "v1.1", "1")
    assert newest(prompt).number == 1
    assert "This is your draft" not in html(signed_in(cast.cleo).get(page(prompt)))
    wrong = html(ann.post(page(prompt), {**again, "message": "Warmer"}))
    assert 'href="#id_text"' in wrong and Draft.objects.count() == 1


def test_message_parts_are_kept_in_their_rows(cast: Cast) -> None:
    chat = make_prompt(cast.team, messages=[{"role": "system", "content": "Sort."}])
    ann = signed_in(cast.ann)
    sent = typed(ann, chat, act="keep", role_2="placeholder", part_2="history", part_1="", part_0="Sort it.")
    ann.post(page(chat), sent)
    assert Draft.objects.get().body["messages"] == [
        {"role": "system", "content": "Sort it."},
        {"placeholder": "history"},
    ]
    again = filled_in(html(ann.get(page(chat))))
    assert (again["part_0"], again["role_1"], again["part_1"]) == ("Sort it.", "placeholder", "history")


def test_the_draft_becomes_the_next_version_and_is_done_with(cast: Cast, prompt: Prompt) -> None:
    ann = signed_in(cast.ann)
    keep(ann, prompt, "Hello there.", message="Warmer")
    sent = typed(ann, prompt)
    assert (sent["text"], sent["message"]) == ("Hello there.", "Warmer")
    done = html(ann.post(page(prompt), sent, follow=True))
    assert "v2 is saved. What is live did not change." in done and "This is your draft" not in done
    saved = newest(prompt)
    assert (saved.text, saved.message, saved.author, saved.parameters) == (
        "Hello there.",
        "Warmer",
        cast.ann,
        {"temperature": 0},
    )
    assert not Draft.objects.exists()
    assert "This is the same as v2. Nothing was saved." in html(ann.post(page(prompt), sent))
    assert newest(prompt).number == 2


def test_settings_a_program_kept_are_saved_with_the_text(cast: Cast, prompt: Prompt) -> None:
    drafting.keep_draft(cast.principal(cast.ann), prompt, {"content": "Hi.", "parameters": {"temperature": 1}})
    ann = signed_in(cast.ann)
    keep(ann, prompt, "Hi there.")
    assert Draft.objects.get().body["parameters"] == {"temperature": 1}
    ann.post(page(prompt), typed(ann, prompt, message="Hotter"))
    assert newest(prompt).parameters == {"temperature": 1}


def test_what_was_saved_since_is_said_and_both_texts_are_shown_before_saving(cast: Cast, prompt: Prompt) -> None:
    ann = signed_in(cast.ann)
    keep(ann, prompt, "Hello from Ann.", message="Mine")
    make_version(prompt, "Hello from Ben.")
    shown = html(ann.get(page(prompt)))
    assert "v2 was saved since you began at v1." in shown
    assert f'href="{page(prompt, "compare")}?a=1&amp;b=2"' in shown
    conflict = html(ann.post(page(prompt), typed(ann, prompt)))
    assert "Hello from <del>Ben</del>." in conflict and "Hello from <ins>Ann</ins>." in conflict
    assert "Save mine as v3" in conflict and newest(prompt).number == 2 and Draft.objects.count() == 1
    ann.post(page(prompt), filled_in(conflict))
    assert (newest(prompt).number, newest(prompt).text) == (3, "Hello from Ann.")
    assert not Draft.objects.exists()


@pytest.mark.parametrize("act", ["keep", "save"])
def test_two_windows_of_one_person_lose_nothing(cast: Cast, prompt: Prompt, act: str) -> None:
    ann = signed_in(cast.ann)
    first = typed(ann, prompt, text="Hello from here.", message="Mine", act=act)
    keep(ann, prompt, "Hello from there.")
    conflict = html(ann.post(page(prompt), first))
    assert "You kept another draft in another window." in conflict
    assert "Hello from <del>there</del>." in conflict and "Hello from <ins>here</ins>." in conflict
    assert Draft.objects.get().body["content"] == "Hello from there." and newest(prompt).number == 1
    ann.post(page(prompt), {**filled_in(conflict), "act": act})
    kept = Draft.objects.first()
    assert (kept.body["content"] if kept else newest(prompt).text) == "Hello from here."


def test_words_that_were_kept_a_moment_ago_are_no_other_draft(cast: Cast, prompt: Prompt) -> None:
    """The page keeps what is typed while it is being sent."""
    ann = signed_in(cast.ann)
    sent = typed(ann, prompt, text="Hello from here.", message="Mine")
    keep(ann, prompt, "Hello from here.")
    ann.post(page(prompt), sent)
    assert newest(prompt).text == "Hello from here." and not Draft.objects.exists()


def test_a_draft_that_is_gone_does_not_take_the_typed_text_along(cast: Cast, prompt: Prompt) -> None:
    ann = signed_in(cast.ann)
    keep(ann, prompt, "Hello there.")
    sent = typed(ann, prompt, text="Hello from here.", message="Mine")
    ann.post(page(prompt, "discard"))
    conflict = html(ann.post(page(prompt), sent))
    assert "Your draft was saved or thrown away in another window." in conflict and newest(prompt).number == 1
    ann.post(page(prompt), filled_in(conflict))
    assert newest(prompt).text == "Hello from here."


def test_keeping_the_same_again_changes_nothing(cast: Cast, prompt: Prompt) -> None:
    ann = signed_in(cast.ann)
    keep(ann, prompt, "Hello there.")
    keep(ann, prompt, "Hello there.")
    assert Draft.objects.get().row_version == 1


def test_a_draft_is_looked_at_and_thrown_away(cast: Cast, prompt: Prompt) -> None:
    ann = signed_in(cast.ann)
    for name in ("draft", "discard"):
        assert ann.get(page(prompt, name)).status_code == 404
    keep(ann, prompt, "Hello there.")
    for name in ("draft", "discard"):
        assert "<td>Hello<ins> there</ins>.</td>" in html(ann.get(page(prompt, name)))
    assert Draft.objects.count() == 1
    assert "Your draft is thrown away." in html(ann.post(page(prompt, "discard"), follow=True))
    assert "There was no draft any more." in html(ann.post(page(prompt, "discard"), follow=True))
    assert not Draft.objects.exists()


def test_home_lists_ones_own_drafts(cast: Cast, prompt: Prompt, django_assert_max_num_queries: Any) -> None:
    ann = signed_in(cast.ann)
    with time_machine.travel(timezone.now() - timedelta(hours=2), tick=False):
        drafting.keep_draft(cast.principal(cast.ann), prompt, {"content": "Hi."})
    with django_assert_max_num_queries(15):
        shown = html(ann.get("/admin/"))
    assert "Your drafts" in shown and f'<a href="{page(prompt)}">Greeting</a>' in shown and "begun at v1" in shown
    make_version(prompt)
    assert "v2 was saved since" in html(ann.get("/admin/"))
    assert "Your drafts" not in html(signed_in(cast.cleo).get("/admin/"))
    authoring.archive_prompt(cast.principal(cast.ann), prompt)
    assert "Your drafts" not in html(ann.get("/admin/"))


def test_an_archived_prompt_keeps_no_draft(cast: Cast, prompt: Prompt) -> None:
    ann = signed_in(cast.ann)
    sent = typed(ann, prompt, text="Hi.", act="keep")
    authoring.archive_prompt(cast.principal(cast.ann), prompt)
    assert "archived" in html(ann.post(page(prompt), sent)) and not Draft.objects.exists()


def test_drafts_are_closed_to_viewers_and_strangers(cast: Cast, prompt: Prompt) -> None:
    assert "Keep as draft" not in html(signed_in(cast.vic).get(page(prompt)))
    sent = {"text": "Mine", "act": "keep", "started_from": 1, "row_version": 0}
    for user, status in ((cast.vic, 403), (cast.ben, 403), (cast.zoe, 404)):
        client = signed_in(user)
        assert client.post(page(prompt), sent).status_code == status
        for name in ("draft", "discard"):
            assert client.get(page(prompt, name)).status_code == status
            assert client.post(page(prompt, name)).status_code == status
    assert Client().post(page(prompt), sent).status_code == 302
    assert not Draft.objects.exists()


def test_odd_numbers_in_hidden_fields_are_refused_without_losing_words(cast: Cast, prompt: Prompt) -> None:
    make_live(newest(prompt))
    ann = signed_in(cast.ann)
    for odd in ({"started_from": "9"}, {"started_from": "x"}, {"row_version": "x"}):
        shown = html(ann.post(page(prompt), typed(ann, prompt, text="Typed words", message="Why", **odd)))
        assert "Typed words" in shown and newest(prompt).number == 1, odd
