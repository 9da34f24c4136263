"""The inbox: comments thumbs-down first, who looks after them, and cases made of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from feedback.models import Feedback, Label, Note, SavedCase
from feedback.services import inbox
from feedback.services.erasing import erase_unit
from feedback.services.ingest import NewRating, accept
from promptlab.accounts.access import SYSTEM
from promptlab.audit.models import AuditEntry
from promptlab.chat.models import Message
from promptlab.lib.errors import DomainError, Invalid
from prompts.models import Prompt, Suite, SuiteCase
from prompts.services import collecting
from prompts.services.collecting import Place
from tests.feedback.test_erasing import everything
from tests.support.cast import Cast
from tests.support.make import make_live, make_message, make_prompt, make_user, newest
from tests.support.suites import make_suite

pytestmark = pytest.mark.django_db
LIST = "/admin/feedback/comment/"
WHO = "customer-4711"


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    return make_prompt(cast.team, title="Support reply")


def a_comment(prompt: Prompt, value: int = -1, comment: str = "Wrong.", **said: Any) -> Feedback:
    first = make_message(newest(prompt), make_live(newest(prompt)), unit_id=WHO)
    told = {"conversation": first.conversation, "state": "completed", "ended_at": timezone.now()}
    Message.objects.create(**told, role="user", content=f"I am {WHO}, ring +49 170 1234567")
    blanks = {"name": f"{WHO} at a@b.io"}
    later = Message.objects.create(
        **told, role="assistant", content="An answer.", version=first.version, unit_id=WHO, variables=blanks
    )
    accept(SYSTEM, NewRating(str(later.uid), value, comment=comment, **said))
    return Feedback.objects.select_related("message__version__prompt").get(message=later)


def signed_in(user: object) -> Client:
    client = Client()
    client.force_login(user)
    return client


def act(cast: Cast, rating: Feedback, what: str, **said: Any) -> str:
    url = reverse("admin:feedback_comment_act", args=[rating.pk])
    return signed_in(cast.ann).post(url, {"act": what, **said}, follow=True).content.decode()


def test_thumbs_down_come_first_and_settled_ones_leave(
    cast: Cast, prompt: Prompt, django_assert_max_num_queries: Any
) -> None:
    ratings = [a_comment(prompt, value, f"Said {value} {n}") for n, value in enumerate((1, -1, 1, -1))]
    a_comment(prompt, 1, "")
    client = signed_in(cast.vic)
    with django_assert_max_num_queries(16):
        html = client.get(LIST).content.decode()
    places = [html.index(f"Said {said}") for said in ("-1 3", "-1 1", "1 2", "1 0")]
    assert places == sorted(places)
    act(cast, ratings[1], "settle")
    assert "Said -1 1" not in client.get(LIST).content.decode()
    assert "Said -1 1" in client.get(f"{LIST}?state=settled").content.decode()
    act(cast, ratings[1], "reopen")
    assert "Said -1 1" in client.get(LIST).content.decode()


def test_filters_find_what_they_say(cast: Cast, prompt: Prompt) -> None:
    one, other = (
        a_comment(prompt, comment="The first"),
        a_comment(make_prompt(cast.team, title="Other"), comment="Second"),
    )
    inbox.assign(SYSTEM, one, cast.ann)
    inbox.label(SYSTEM, one, ["Tone", "tone", " wrong facts "])
    Feedback.objects.filter(pk=other.pk).update(created_at=timezone.now() - timedelta(days=20))
    client = signed_in(cast.ann)
    for query, found in {
        "who=me": (True, False),
        "who=nobody": (False, True),
        "label=tone": (True, False),
        "prompt=support-reply": (True, False),
        "prompt=support-reply&shown=v1": (True, False),
        "prompt=support-reply&shown=v2": (False, False),
        "days=7": (True, False),
        "days=30": (True, True),
        "q=second": (False, True),
    }.items():
        html = client.get(f"{LIST}?{query}").content.decode()
        assert ("The first" in html, "Second" in html) == found, query


def test_colleagues_assign_label_and_note(cast: Cast, prompt: Prompt) -> None:
    rating = a_comment(prompt)
    assert "Ben looks after it" in act(cast, rating, "assign", assignee=cast.ben.pk)
    assert "tone" in act(cast, rating, "label", labels="tone, wrong facts")
    assert "Called them back" in act(cast, rating, "note", note="Called them back")
    assert "1 to 10000 characters" in act(cast, rating, "note", note=" ")
    assert "Choose somebody of the team" in act(cast, rating, "assign", assignee=cast.zoe.pk)
    assert "Nobody looks after it" in act(cast, rating, "assign", assignee="")
    assert list(Label.objects.values_list("name", flat=True)) == ["tone", "wrong facts"]
    assert Note.objects.get().author == cast.ann
    entries = AuditEntry.objects.filter(verb__startswith="inbox.")
    assert {one.target_label for one in entries} == {f"#{rating.pk} (Support reply)"}
    logged = repr(list(entries.values()))
    assert "Wrong." not in logged and "Called" not in logged


def test_one_click_makes_a_case_without_the_person(cast: Cast, prompt: Prompt) -> None:
    rating = a_comment(prompt, correction="Say when, to a@b.io.")
    assert "Comment" in act(cast, rating, "case")
    case = SuiteCase.objects.get()
    assert case.suite.name == "support-reply.comments"
    assert (case.variables, case.expected) == ({"name": "customer at [EMAIL]"}, "Say when, to [EMAIL].")
    assert case.messages[-1] == {"role": "user", "content": "I am customer, ring [PHONE]"}
    liked = a_comment(prompt, 1)
    suite = make_suite(cast.team, {}, name="mine", prompt=prompt)
    act(cast, liked, "case", suite=suite.pk)
    assert SuiteCase.objects.get(suite=suite, tags="comment liked").expected == "An answer."
    assert "already" in act(cast, rating, "case")


def test_what_is_written_about_a_person_goes_with_them(cast: Cast, prompt: Prompt) -> None:
    rating = a_comment(prompt)
    act(cast, rating, "note", note=f"{WHO} is angry")
    act(cast, rating, "label", labels=WHO)
    act(cast, rating, "case")
    erase_unit(SYSTEM, cast.team, WHO)
    assert not SavedCase.objects.exists() and not SuiteCase.objects.exists()
    assert not Note.objects.exists() and not Label.objects.exists()
    assert WHO not in everything()


def test_the_inbox_is_closed_to_strangers_and_viewers_change_nothing(cast: Cast, prompt: Prompt) -> None:
    rating = a_comment(prompt)
    page = reverse("admin:feedback_comment_change", args=[rating.pk])
    url = reverse("admin:feedback_comment_act", args=[rating.pk])
    assert signed_in(cast.zoe).get(page).status_code == 404
    assert "Wrong." not in signed_in(cast.zoe).get(LIST).content.decode()
    shown = signed_in(cast.vic).get(page).content.decode()
    assert "Open in Try it" in signed_in(cast.ann).get(page).content.decode()
    assert "Wrong." in shown and 'name="act"' not in shown
    assert signed_in(cast.vic).post(url, {"act": "settle"}).status_code == 403
    assert signed_in(cast.ben).post(url, {"act": "case"}).status_code == 403
    assert not SavedCase.objects.exists() and not Suite.objects.exists()


def test_a_private_prompt_s_comments_are_for_its_owner(cast: Cast) -> None:
    owner = make_user("", cast.team, "writer")
    place = Place(visibility="private", owner_id=owner.pk, has_owner=True)
    collection = collecting.create_collection(SYSTEM, cast.team.pk, name="Mine", place=place)
    rating = a_comment(make_prompt(cast.team, title="Hidden", collection=collection), comment="Private words")
    assert "Private words" not in signed_in(cast.ann).get(LIST).content.decode()
    page = reverse("admin:feedback_comment_change", args=[rating.pk])
    assert signed_in(cast.ann).get(page).status_code == 404
    assert "Private words" in signed_in(owner).get(page).content.decode()


def test_a_plain_chat_makes_no_case(cast: Cast) -> None:
    answer = make_message(None, team=cast.team)
    accept(SYSTEM, NewRating(str(answer.uid), -1, comment="Hm."))
    rating = Feedback.objects.get()
    with pytest.raises(Invalid):
        inbox.save_as_case(SYSTEM, rating)
    assert "Plain chat" in act(cast, rating, "nonsense")
    with pytest.raises(DomainError):
        inbox.label(SYSTEM, rating, [str(n) for n in range(21)])
