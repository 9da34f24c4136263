"""What of texts is kept: without addresses and numbers, or not at all; and ratings lose their words with age."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from experiments.models import HourRollup
from feedback.models import Feedback, FeedbackChange, FeedbackReceipt, Privacy
from feedback.services.batch import roll_up_feedback
from feedback.services.ingest import NewRating, accept
from feedback.services.metrics import declare_metric
from feedback.services.privacy import set_privacy
from feedback.services.purging import tidy_texts
from promptlab.accounts.access import SYSTEM
from promptlab.chat.models import Conversation, Message
from promptlab.chat.services.conversations import set_retention
from promptlab.chat.services.metering import roll_up_messages
from tests.feedback.test_erasing import everything
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_live, make_message, make_prompt, newest

pytestmark = pytest.mark.django_db
MAIL, PHONE, CARD, IBAN = "ann@example.com", "+49 170 1234567", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00"
SECRETS = (MAIL, PHONE, CARD, IBAN)
SAID = f"Ask {MAIL}, {PHONE}, {CARD} or {IBAN}."
MASKED = "Ask [EMAIL], [PHONE], [CARD] or [IBAN]."
KINDS = ["email", "iban", "card", "phone"]


def an_answer(cast: Cast, **fields: Any) -> Message:
    version = newest(make_prompt(cast.team))
    fields = {"content": SAID, "variables": {"to": [MAIL]}, "metadata": {"of": MAIL}, "unit_id": "c-7", **fields}
    answer = make_message(version, make_live(version), **fields)
    Conversation.objects.filter(pk=answer.conversation_id).update(title=SAID)
    return answer


def rate(answer: Message, value: Any = -1, **said: Any) -> Feedback:
    accept(SYSTEM, NewRating(str(answer.uid), value, **said))
    return Feedback.objects.get(message=answer, metric=said.get("metric", "rating"))


def test_what_is_masked_stands_nowhere(cast: Cast) -> None:
    for key, kind, more in (("why", "text", {}), ("which", "category", {"categories": [MAIL, "other"]})):
        declare_metric(SYSTEM, cast.team.pk, key=key, kind=kind, **more)
    before = an_answer(cast, content="old", variables={}, metadata={})
    Conversation.objects.filter(pk=before.conversation_id).update(title="")
    set_privacy(SYSTEM, cast.team, masked=KINDS, keeps_text=True)
    answer = an_answer(cast)
    being_written = an_answer(cast, state=Message.State.STREAMING, content="")
    first = rate(answer, comment=SAID, correction=SAID, key="k")
    assert (first.comment, first.text) == (MASKED, MASKED)
    accept(SYSTEM, NewRating(str(answer.uid), 1, comment=f"No: {SAID}"))
    assert rate(answer, SAID, metric="why").text == MASKED
    assert rate(answer, MAIL, metric="which").text == MAIL
    assert tidy_texts() == 1
    row = Message.objects.select_related("conversation").get(pk=answer.pk)
    assert (row.content, row.variables, row.conversation.title) == (MASKED, {"to": ["[EMAIL]"]}, MASKED)
    Message.objects.filter(pk=being_written.pk).update(state="completed", content=SAID)
    assert (tidy_texts(), tidy_texts()) == (1, 0)
    left = everything()
    assert not [secret for secret in (PHONE, CARD, IBAN) if secret in left]


def test_the_same_key_with_the_same_words_is_still_the_same(cast: Cast) -> None:
    set_privacy(SYSTEM, cast.team, masked=KINDS, keeps_text=True)
    said = {"message_id": str(an_answer(cast).uid), "rating": 1, "comment": SAID, "id": "once"}
    first, again = (Api(cast.key).post("/feedback", said) for _ in range(2))
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["Idempotent-Replayed"] == "true"


def test_without_texts_only_numbers_are_kept(cast: Cast) -> None:
    set_privacy(SYSTEM, cast.team, masked=[], keeps_text=False)
    answer = an_answer(cast, ended_at=timezone.now() - timedelta(minutes=11))
    young = an_answer(cast)
    rating = rate(answer, comment=SAID, correction=SAID)
    assert (rating.comment, rating.text, rating.value) == ("", "", -1)
    roll_up_messages()
    roll_up_feedback()
    sums = list(HourRollup.objects.values())
    assert tidy_texts() == 1
    row = Message.objects.get(pk=answer.pk)
    assert (row.content, row.variables, row.input_tokens) == ("", {}, 10)
    assert Message.objects.get(pk=young.pk).content == SAID
    assert list(HourRollup.objects.values()) == sums


def test_ratings_lose_words_and_raters_with_age(cast: Cast) -> None:
    declare_metric(SYSTEM, cast.team.pk, key="accuracy", kind="score")
    answer = an_answer(cast)
    old = [rate(answer, 1, comment="A", key="k-1"), rate(answer, 0.5, metric="accuracy", comment="B")]
    accept(SYSTEM, NewRating(str(answer.uid), 1, comment="Changed"))
    Feedback.objects.update(created_at=timezone.now() - timedelta(days=31))
    young = rate(an_answer(cast), comment="Young")
    set_retention(SYSTEM, cast.team, 30)
    assert (tidy_texts(), tidy_texts()) == (2, 0)
    rows = {row.pk: row for row in Feedback.objects.all()}
    assert [(rows[one.pk].comment, rows[one.pk].rater) for one in old] == [("", f"purged-{one.pk}") for one in old]
    assert [rows[one.pk].said for one in old] == [1, 0.5]
    assert (rows[young.pk].comment, rows[young.pk].rater) == ("Young", "c-7")
    assert not FeedbackChange.objects.exists() and not FeedbackReceipt.objects.exists()


def test_administrators_say_what_is_kept(cast: Cast) -> None:
    api = Api(cast.key)
    assert api.get("/privacy").json() == {"masked": [], "keeps_text": True}
    said = {"masked": ["card", "email"], "keeps_text": True}
    assert api.put("/privacy", said).json() == {"masked": ["email", "card"], "keeps_text": True}
    assert api.put("/privacy", {"masked": ["colour"], "keeps_text": True}).status_code == 400
    client = Client()
    client.force_login(cast.cleo)
    row = Privacy.objects.get()
    page = f"/admin/feedback/privacy/{row.pk}/change/"
    assert client.post(page, {"masked": ["phone"]}).status_code == 302
    row.refresh_from_db()
    assert (row.masked, row.keeps_text) == ("phone", False)
    assert "Not kept" in client.get("/admin/feedback/privacy/").content.decode()
    client.force_login(cast.ann)
    assert client.get(page).status_code == 403
