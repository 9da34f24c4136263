"""Ratings, to read, beside what they rate."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse

from feedback.models import Feedback
from feedback.services.ingest import NewRating, accept
from promptlab.accounts.access import SYSTEM
from tests.support.cast import Cast
from tests.support.make import make_live, make_message, make_prompt, newest

LIST = "/admin/feedback/feedback/"


def signed_in(user: object) -> Client:
    client = Client()
    client.force_login(user)
    return client


def a_rating(cast: Cast, value: int, comment: str = "") -> Feedback:
    prompt = make_prompt(cast.team, title="Support reply")
    answer = make_message(newest(prompt), make_live(newest(prompt)), unit_id="customer-7")
    accept(SYSTEM, NewRating(message_id=str(answer.uid), value=value, comment=comment))
    return Feedback.objects.get(message=answer)


def page_of(rating: Feedback) -> str:
    return reverse("admin:feedback_feedback_change", args=[rating.pk])


def test_the_list_shows_ratings_beside_their_answers(cast: Cast, django_assert_max_num_queries) -> None:
    for value in (1, -1, 1):
        a_rating(cast, value, "Clear words")
    client = signed_in(cast.vic)
    with django_assert_max_num_queries(10):
        html = client.get(LIST).content.decode()
    assert html.count("Clear words") == 3 and "An answer." in html and "Support reply v1" in html


def test_thumbs_and_comments_narrow_the_list(cast: Cast) -> None:
    up, down = a_rating(cast, 1), a_rating(cast, -1, "Wrong")
    client = signed_in(cast.vic)
    html = client.get(f"{LIST}?thumb=down").content.decode()
    assert page_of(down) in html and page_of(up) not in html
    html = client.get(f"{LIST}?comment=yes").content.decode()
    assert page_of(down) in html and page_of(up) not in html


def test_a_rating_leads_to_its_conversation(cast: Cast) -> None:
    rating = a_rating(cast, -1, "Too long")
    html = signed_in(cast.vic).get(page_of(rating)).content.decode()
    assert "Thumbs down" in html and "Too long" in html and "An answer." in html
    url = reverse("admin:chat_conversation_change", args=[rating.message.conversation_id])
    assert f"{url}#message-{rating.message_id}" in html


def test_ratings_are_closed_to_strangers_and_cannot_be_changed(cast: Cast) -> None:
    rating = a_rating(cast, 1, "Secret praise")
    assert Client().get(page_of(rating)).status_code == 302
    assert signed_in(cast.zoe).get(page_of(rating)).status_code == 404
    assert "Secret praise" not in signed_in(cast.zoe).get(LIST).content.decode()
    assert signed_in(cast.cleo).get(f"{LIST}add/").status_code == 403
    signed_in(cast.cleo).post(page_of(rating), {"value": -1})
    rating.refresh_from_db()
    assert rating.value == 1
