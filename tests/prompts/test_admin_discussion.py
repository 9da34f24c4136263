"""What people say of a prompt, through the editors' pages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from prompts.models import Comment, Prompt
from prompts.services import commenting
from tests.support.cast import Cast
from tests.support.make import make_prompt, make_version, newest

pytestmark = pytest.mark.django_db


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    return make_prompt(cast.team, "Hello {{name}}.\nBye.", title="Greeting")


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page(prompt: Prompt, *comment: int) -> str:
    return reverse(f"admin:prompts_prompt_{'thread' if comment else 'discussion'}", args=[prompt.pk, *comment])


def said(cast: Cast, prompt: Prompt, text: str = "Too cold?", **about: Any) -> Comment:
    return commenting.add_comment(cast.principal(cast.ann), prompt, text, **about)


def html(answer: Any) -> str:
    return answer.content.decode()


def test_on_the_prompt_a_version_and_a_line(cast: Cast, prompt: Prompt) -> None:
    ben = signed_in(cast.ben)
    for about in ({}, {"version": "1"}, {"version": "1", "line": "2"}):
        shown = html(ben.post(page(prompt), {"comment": "Why <b>so</b>, @ann?", **about}, follow=True))
        assert "Your comment is there." in shown and "Why &lt;b&gt;so&lt;/b&gt;" in shown
    places = Comment.objects.values_list("version__number", "line").order_by("id")
    assert list(places) == [(None, None), (1, None), (1, 2)]
    assert [one.mentioned.get() for one in Comment.objects.all()] == [cast.ann] * 3
    everything = html(ben.get(page(prompt)))
    assert "v1, line 2" in everything and "<code>Bye.</code>" in everything
    assert html(ben.get(reverse("admin:prompts_version_change", args=[newest(prompt).pk]))).count("Why &lt;b&gt;") == 2


def test_a_line_is_chosen_by_its_number(cast: Cast, prompt: Prompt) -> None:
    said(cast, prompt, version=newest(prompt), line=2)
    shown = html(signed_in(cast.ben).get(f"{page(prompt)}?version=1"))
    assert 'href="?version=1&amp;line=2#write"' in shown and 'aria-label="Comment on line 2"' in shown
    assert "1 comment" in shown
    chosen = html(signed_in(cast.ben).get(f"{page(prompt)}?version=1&line=2"))
    assert '<option value="1" selected>' in chosen and 'name="line" value="2"' in chosen


def test_what_is_wrong_is_said_beside_its_field_and_the_words_stay(cast: Cast, prompt: Prompt) -> None:
    ben = signed_in(cast.ben)
    for wrong, field in (
        ({"comment": " "}, "comment"),
        ({"comment": "Kept words", "version": "1", "line": "9"}, "line"),
        ({"comment": "Kept words", "line": "1"}, "version"),
        ({"comment": "Kept words", "version": "9"}, "version"),
    ):
        shown = html(ben.post(page(prompt), wrong))
        assert f'href="#id_{field}"' in shown, wrong
        assert "Kept words" in shown or wrong["comment"] == " "
    assert not Comment.objects.exists()
    assert ben.get(f"{page(prompt)}?version=9").status_code == 404


def test_a_thread_is_answered_changed_settled_and_opened_again(cast: Cast, prompt: Prompt) -> None:
    one = said(cast, prompt)
    ann, ben = signed_in(cast.ann), signed_in(cast.ben)
    url = page(prompt, one.pk)
    assert "Your answer is there." in html(ben.post(url, {"act": "reply", "comment": "A little."}, follow=True))
    assert Comment.objects.filter(parent=one, author=cast.ben).exists()
    assert "Too cold?" in html(ann.get(f"{url}?act=edit"))
    ann.post(url, {"act": "edit", "comment": "Much too cold?"})
    done = html(ben.post(url, {"act": "settle"}, follow=True))
    assert "What Ann began is settled." in done and f'<a href="{url}?act=reopen">Undo</a>' in done
    one.refresh_from_db()
    assert (one.text, one.resolved_by) == ("Much too cold?", cast.ben)
    assert "Much too cold?" not in html(ben.get(page(prompt)))
    assert "Much too cold?" in html(ben.get(f"{page(prompt)}?show=all"))
    ben.post(url, {"act": "reopen"})
    one.refresh_from_db()
    assert one.resolved_at is None


def test_a_get_changes_nothing(cast: Cast, prompt: Prompt) -> None:
    one = said(cast, prompt)
    for act in ("reply", "edit", "settle", "reopen", "odd", ""):
        assert signed_in(cast.ben).get(f"{page(prompt, one.pk)}?act={act}").status_code == 200
    one.refresh_from_db()
    assert one.resolved_at is None and Comment.objects.count() == 1


def test_only_ones_own_words_are_changed_and_not_for_long(cast: Cast, prompt: Prompt) -> None:
    one = said(cast, prompt)
    edit = f'href="{page(prompt, one.pk)}?act=edit"'
    assert edit in html(signed_in(cast.ann).get(page(prompt)))
    assert edit not in html(signed_in(cast.ben).get(page(prompt)))
    sent = {"act": "edit", "comment": "Mine now"}
    assert signed_in(cast.ben).post(page(prompt, one.pk), sent).status_code == 403
    with time_machine.travel(timezone.now() + timedelta(minutes=16), tick=False):
        assert edit not in html(signed_in(cast.ann).get(page(prompt)))
        assert "Answer it instead." in html(signed_in(cast.ann).post(page(prompt, one.pk), sent))
    one.refresh_from_db()
    assert one.text == "Too cold?"


def test_sending_twice_says_it_once(cast: Cast, prompt: Prompt) -> None:
    ben = signed_in(cast.ben)
    for _ in range(2):
        assert ben.post(page(prompt), {"comment": "Why?"}).status_code == 302
    one = Comment.objects.get()
    for _ in range(2):
        assert ben.post(page(prompt, one.pk), {"act": "reply", "comment": "Because."}).status_code == 302
        assert ben.post(page(prompt, one.pk), {"act": "settle"}).status_code == 302
    assert Comment.objects.count() == 2
    signed_in(cast.ann).post(page(prompt), {"comment": "Why?"})
    assert Comment.objects.count() == 3


def test_people_of_the_team_are_offered_by_their_user_names(cast: Cast, prompt: Prompt) -> None:
    shown = html(signed_in(cast.ben).get(page(prompt)))
    assert "<li><code>@ann</code> Ann</li>" in shown and "@zoe" not in shown


def test_open_threads_are_counted_on_the_tabs(cast: Cast, prompt: Prompt) -> None:
    first = said(cast, prompt, version=newest(prompt))
    said(cast, prompt, "Second")
    commenting.reply(cast.principal(cast.ben), first, "No")
    vic = signed_in(cast.vic)
    for name in ("change", "compare", "moves", "discussion"):
        assert "Discussion (2)" in html(vic.get(reverse(f"admin:prompts_prompt_{name}", args=[prompt.pk]))), name
    version = reverse("admin:prompts_version_change", args=[newest(prompt).pk])
    assert "Discussion (1)" in html(vic.get(version))
    commenting.resolve_comment(cast.principal(cast.ann), first)
    assert "Discussion (1)" in html(vic.get(page(prompt))) and "Discussion (" not in html(vic.get(version))


def test_viewers_read_and_strangers_find_nothing(cast: Cast, prompt: Prompt) -> None:
    one = said(cast, prompt)
    vic, zoe = signed_in(cast.vic), signed_in(cast.zoe)
    shown = html(vic.get(page(prompt)))
    assert "Too cold?" in shown and "Only writers, reviewers and publishers comment." in shown
    assert "<textarea" not in shown and "Settle" not in shown and "?act=" not in shown
    assert vic.post(page(prompt), {"comment": "No"}).status_code == 403
    assert zoe.get(page(prompt)).status_code == 404
    for act in ("reply", "edit", "settle", "reopen"):
        sent = {"act": act, "comment": "No"}
        assert vic.post(page(prompt, one.pk), sent).status_code == 403
        assert zoe.post(page(prompt, one.pk), sent).status_code == 404
    other = make_prompt(cast.team)
    assert signed_in(cast.ben).post(page(other, one.pk), {"act": "settle"}).status_code == 404
    assert Client().get(page(prompt)).status_code == 302
    assert Comment.objects.count() == 1


def test_the_page_asks_a_constant_number_of_questions(
    cast: Cast, prompt: Prompt, django_assert_max_num_queries: Any
) -> None:
    client = signed_in(cast.ben)
    root = said(cast, prompt, version=newest(prompt), line=1)
    commenting.reply(cast.principal(cast.ben), root, "No")
    with django_assert_max_num_queries(18) as seen:
        client.get(f"{page(prompt)}?version=1")
    few = len(seen)
    for number in range(5):
        make_version(prompt)
        root = said(cast, prompt, f"Again {number}", version=newest(prompt), line=1)
        commenting.reply(cast.principal(cast.ben), root, f"No {number}")
        said(cast, prompt, f"Again on 1, {number}", version=root.prompt.versions.get(number=1), line=1)
    with django_assert_max_num_queries(few):
        client.get(f"{page(prompt)}?version=1")
