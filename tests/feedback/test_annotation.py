"""Rounds of annotation: colleagues rate a sample, each by themselves, and how far they agree."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from feedback.annotations import results_of
from feedback.models import AnnotationItem, AnnotationRound, Feedback
from feedback.results import feedback_stats
from feedback.services.annotated import annotate
from feedback.services.annotating import start_round
from feedback.services.ingest import NewRating, accept
from feedback.services.metrics import declare_metric
from feedback.stats import agreement, pairwise
from promptlab.accounts.access import SYSTEM
from promptlab.lib.errors import DomainError
from prompts.models import Prompt
from tests.support.cast import Cast
from tests.support.make import make_live, make_message, make_prompt, newest

LIST = "/admin/feedback/annotationround/"


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    prompt = make_prompt(cast.team, title="Support reply")
    for number in range(4):
        answer = make_message(
            newest(prompt), make_live(newest(prompt)), unit_id=f"c-{number}", content=f"Answer {number}"
        )
        accept(SYSTEM, NewRating(str(answer.uid), 1 if number else -1))
    return prompt


def signed_in(user: object) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_kappa_is_cohen_s() -> None:
    """A published table: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no has a kappa of 0.4."""
    one = {n: n < 25 for n in range(50)}
    other = {n: n < 20 or 25 <= n < 35 for n in range(50)}
    found = agreement(one, other)
    assert (found.both, found.share) == (50, 0.7)
    assert found.kappa == pytest.approx(0.4) and found.low == pytest.approx(0.146, abs=1e-3)
    assert agreement({1: 1, 2: 0}, {1: 1, 2: 0}).kappa == 1
    assert agreement({1: 1, 2: 0}, {1: 0, 2: 1}).kappa == -1
    assert agreement({1: 1}, {1: 1}).kappa is None and agreement({1: 1}, {2: 1}).both == 0
    assert pairwise([one, other, {}]) == pytest.approx(0.4) and pairwise([one]) is None


@pytest.mark.django_db
def test_a_round_is_rated_one_answer_after_the_other(cast: Cast, prompt: Prompt) -> None:
    before = feedback_stats(SYSTEM).totals
    writer = signed_in(cast.ann)
    said = {"title": "November", "prompt": prompt.pk, "metric": "rating", "answers": 50, "days": 30}
    assert writer.post(f"{LIST}add/", said).status_code == 302
    one = AnnotationRound.objects.get()
    assert one.items.count() == 4
    page = f"{LIST}{one.pk}/rate/"
    for client in (writer, signed_in(cast.ben)):
        for item in one.items.all():
            html = client.get(page).content.decode()
            assert f'name="item" value="{item.pk}"' in html and 'aria-keyshortcuts="1"' in html and "Answer" in html
            value = "-1" if item.message.content == "Answer 0" else "1"
            client.post(page, {"item": item.pk, "value": value, "comment": "Why"})
        assert client.get(page).status_code == 302
    rows = Feedback.objects.filter(source="annotator")
    assert (rows.count(), set(rows.values_list("value", flat=True))) == (8, {None})
    assert feedback_stats(SYSTEM).totals == before
    found = results_of(one)
    assert (found.answers, sorted(found.done.values()), found.kappa) == (4, [4, 4], 1)
    assert (found.with_users.both, found.with_users.kappa) == (4, 1)
    html = writer.get(f"{LIST}{one.pk}/change/").content.decode()
    assert "Ann" in html and "1.00" in html
    assert "November" in writer.get(LIST).content.decode()
    assert writer.post(f"{LIST}{one.pk}/end/").status_code == 302
    item = AnnotationItem.objects.select_related("round", "message").first()
    assert item is not None
    with pytest.raises(DomainError, match="ended"):
        annotate(cast.principal(cast.ann), item, 1)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "shown", "sent", "held"),
    [
        ("score", 'type="number"', "0.5", (0.5, "")),
        ("boolean", "Yes", "0", (0.0, "")),
        ("category", "wordy", "wordy", (None, "wordy")),
    ],
)
def test_every_kind_but_words_can_be_rated(
    cast: Cast, prompt: Prompt, kind: str, shown: str, sent: str, held: Any
) -> None:
    declare_metric(SYSTEM, cast.team.pk, key="own", kind=kind, categories=["terse", "wordy"])
    one = start_round(SYSTEM, prompt, title="Own", metric="own", answers=1)
    page, client = f"{LIST}{one.pk}/rate/", signed_in(cast.ann)
    assert shown in client.get(page).content.decode()
    item = one.items.get()
    assert "note problems" in client.post(page, {"item": item.pk, "value": "much"}).content.decode()
    client.post(page, {"item": item.pk, "value": sent})
    assert Feedback.objects.filter(metric="own").values_list("score", "text").get() == held


@pytest.mark.django_db
def test_what_cannot_be_a_round_is_refused(cast: Cast, prompt: Prompt) -> None:
    declare_metric(SYSTEM, cast.team.pk, key="why", kind="text")
    for said in ({"title": " "}, {"answers": 0}, {"answers": 501}, {"metric": "nothing"}, {"metric": "why"}):
        with pytest.raises(DomainError):
            start_round(SYSTEM, prompt, **{"title": "x", **said})
    with pytest.raises(DomainError):
        start_round(SYSTEM, make_prompt(cast.team), title="Of nothing")
    one = start_round(SYSTEM, prompt, title="Closed to strangers")
    assert signed_in(cast.zoe).get(f"{LIST}{one.pk}/rate/").status_code == 404
    assert signed_in(cast.vic).get(f"{LIST}{one.pk}/rate/").status_code == 403
    assert signed_in(cast.vic).get(f"{LIST}add/").status_code == 403
    assert signed_in(cast.vic).get(f"{LIST}{one.pk}/change/").status_code == 200
