"""Conversations, to read: the list and the transcript with what each answer took."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse

from feedback.services.ingest import NewRating, accept
from promptlab.accounts.access import SYSTEM
from promptlab.chat.models import Conversation, Message
from prompts.models import Environment
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_live, make_message, make_prompt, newest

LIST = "/admin/chat/conversation/"


def signed_in(user: object) -> Client:
    client = Client()
    client.force_login(user)
    return client


def an_answer(cast: Cast, **fields: object) -> Message:
    """Return an answer in Production, with the question before it."""
    prompt = make_prompt(cast.team, title="Support reply")
    where: Environment = make_live(newest(prompt))
    answer = make_message(newest(prompt), where, unit_id="customer-7", **fields)
    Message.objects.filter(pk=answer.pk).delete()
    Message.objects.create(
        conversation=answer.conversation, role="user", content="Where is my parcel?", state="completed"
    )
    answer.pk = None
    answer.save()
    return answer


def transcript(answer: Message) -> str:
    return reverse("admin:chat_conversation_change", args=[answer.conversation_id])


def test_the_list_shows_first_questions_newest_first(cast: Cast, django_assert_max_num_queries) -> None:
    for _ in range(3):
        an_answer(cast)
    client = signed_in(cast.vic)
    with django_assert_max_num_queries(12):
        html = client.get(LIST).content.decode()
    assert html.count("Where is my parcel?") == 3 and "Support reply" in html


def test_the_list_can_be_narrowed_to_what_went_wrong(cast: Cast) -> None:
    good, bad = an_answer(cast), an_answer(cast, state="failed", error_code="upstream_timeout")
    html = signed_in(cast.vic).get(f"{LIST}?answers=failed").content.decode()
    assert transcript(bad) in html and transcript(good) not in html


def test_the_transcript_tells_what_each_answer_took(cast: Cast, django_assert_max_num_queries) -> None:
    answer = an_answer(cast, model="gpt-4.1-mini")
    accept(SYSTEM, NewRating(message_id=str(answer.uid), value=-1, comment="Too long"))
    client = signed_in(cast.vic)
    with django_assert_max_num_queries(10):
        html = client.get(transcript(answer)).content.decode()
    for fact in ("Where is my parcel?", "An answer.", ">v1<", "gpt-4.1-mini", "10 → 5", "$0.0010", "120", "Completed"):
        assert fact in html, fact
    assert "Thumbs down" in html and "Too long" in html


def test_what_is_not_known_is_called_unknown_and_never_zero(cast: Cast) -> None:
    answer = an_answer(cast, cost_usd=None, input_tokens=None, output_tokens=None)
    html = signed_in(cast.vic).get(transcript(answer)).content.decode()
    assert html.count("unknown") == 2 and "$0" not in html


def test_the_transcript_names_the_experiment_and_the_text(cast: Cast) -> None:
    prompt = make_prompt(cast.team)
    experiment = make_experiment(prompt, title="Shorter", running=True)
    variant = experiment.variants.get(position=1)
    answer = make_message(variant.version, experiment.environment, variant=variant, unit_id="customer-1")
    html = signed_in(cast.vic).get(transcript(answer)).content.decode()
    assert "Shorter" in html and str(variant) in html


def test_what_a_user_wrote_is_shown_as_text(cast: Cast) -> None:
    answer = an_answer(cast, content="<script>alert(1)</script>")
    html = signed_in(cast.vic).get(transcript(answer)).content.decode()
    assert "<script>alert" not in html and "&lt;script&gt;alert" in html


def test_conversations_are_closed_to_strangers_and_cannot_be_changed(cast: Cast) -> None:
    answer = an_answer(cast)
    assert Client().get(transcript(answer)).status_code == 302
    assert signed_in(cast.zoe).get(transcript(answer)).status_code == 404
    assert "Where is my parcel?" not in signed_in(cast.zoe).get(LIST).content.decode()
    assert signed_in(cast.cleo).get(f"{LIST}add/").status_code == 403
    url = reverse("admin:chat_conversation_delete", args=[answer.conversation_id])
    assert signed_in(cast.cleo).post(url, {"post": "yes"}).status_code == 403
    assert Conversation.objects.filter(pk=answer.conversation_id).exists()
