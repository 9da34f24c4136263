"""Judges: a share of the answers is scored through a prompt, for so much money, beside what people think."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from feedback.annotations import judged
from feedback.models import Feedback, Judge
from feedback.results import feedback_stats
from feedback.services import judging
from feedback.services.ingest import NewRating, accept
from feedback.services.judging import JudgePlan, judge_answers, set_judge
from promptlab.accounts.access import SYSTEM
from promptlab.chat.models import Message
from promptlab.lib.errors import Invalid
from promptlab.llm.providers import scripted
from prompts.models import Prompt
from tests.support.cast import Cast
from tests.support.make import make_live, make_message, make_prompt, newest

pytestmark = pytest.mark.django_db
MODEL = "echo"


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    return make_prompt(cast.team, title="Support reply")


@pytest.fixture
def by(cast: Cast) -> Prompt:
    found = make_prompt(cast.team, "Is {{answer}} good by {{rubric}}?", title="Verdict", model=MODEL)
    make_live(newest(found))
    return found


def answers(prompt: Prompt, number: int) -> list[Message]:
    version = newest(prompt)
    where = make_live(version)
    return [make_message(version, where, content=f"Answer {n}", unit_id=f"c-{n}") for n in range(number)]


def test_new_answers_are_judged_once_and_stand_beside_approval(prompt: Prompt, by: Prompt) -> None:
    answers(prompt, 1)
    judge = set_judge(SYSTEM, prompt, JudgePlan(by, 1.0, Decimal(1), rubric="Is it short?"))
    new = answers(prompt, 3)
    for answer, value in zip(new, (1, 1, -1), strict=True):
        accept(SYSTEM, NewRating(str(answer.uid), value))
    before = feedback_stats(SYSTEM).totals
    script = ['{"score": 0.9, "reason": "Short."}', '{"score": 0.5}', '{"score": 0.1}']
    with scripted.use(*script, name=MODEL) as model:
        assert (judge_answers(), judge_answers()) == (3, 0)
    assert (
        "Answer 0" in model.requests[0].messages[0].content and "Is it short?" in model.requests[0].messages[0].content
    )
    rows = Feedback.objects.filter(source="judge").order_by("message")
    assert [(row.score, row.value, row.rater) for row in rows] == [
        (score, None, f"judge:{judge.pk}") for score in (1.0, 1.0, -1.0)
    ]
    assert rows[0].comment == "Short."
    assert feedback_stats(SYSTEM).totals == before
    assert (judged(judge).both, judged(judge).kappa) == (3, 1)


def test_a_share_is_a_share(prompt: Prompt, by: Prompt) -> None:
    set_judge(SYSTEM, prompt, JudgePlan(by, 0.3, Decimal(1)))
    answers(prompt, 60)
    with scripted.use('{"score": 1}', name=MODEL, repeats=True):
        assert 5 <= judge_answers() <= 35


def test_no_more_is_spent_than_a_day_may_cost(prompt: Prompt, by: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = set_judge(SYSTEM, prompt, JudgePlan(by, 1.0, Decimal("0.5")))
    answers(prompt, 4)
    monkeypatch.setattr(judging, "worst_case", lambda request, team_id: 200_000_000)
    with scripted.use(scripted.Reply(("no",)), name=MODEL, repeats=True):
        Judge.objects.update(spent_nanousd=350_000_000, day=judging.timezone.now().date())
        assert judge_answers() == 0
    judge.refresh_from_db()
    assert judge.note == "The money of this day is spent." and judge.spent_nanousd == 350_000_000
    monkeypatch.setattr(judging, "worst_case", lambda request, team_id: None)
    judge_answers()
    judge.refresh_from_db()
    assert judge.note == "Nobody knows what the model costs that judges."


def test_what_is_no_verdict_is_none(prompt: Prompt, by: Prompt) -> None:
    judge = set_judge(SYSTEM, prompt, JudgePlan(by, 1.0, Decimal(1)))
    answers(prompt, 1)
    with scripted.use("It is fine.", name=MODEL):
        assert judge_answers() == 0
    judge.refresh_from_db()
    assert judge.note.startswith("The judge did not answer") and not Feedback.objects.exists()


def test_what_cannot_judge_is_refused(cast: Cast, prompt: Prompt, by: Prompt) -> None:
    for wrong in (
        JudgePlan(prompt, 0.5, Decimal(1)),
        JudgePlan(make_prompt(cast.team, "No blanks."), 0.5, Decimal(1)),
        JudgePlan(make_prompt(cast.team, "{{answer}} {{secret}}"), 0.5, Decimal(1)),
        JudgePlan(by, 0, Decimal(1)),
        JudgePlan(by, 0.5, Decimal(0)),
        JudgePlan(by, 0.5, Decimal(1), least=0),
    ):
        with pytest.raises(Invalid):
            set_judge(SYSTEM, prompt, wrong)


def test_editors_set_a_judge_on_a_page(cast: Cast, prompt: Prompt, by: Prompt) -> None:
    client, page = Client(), "/admin/feedback/judge/"
    client.force_login(cast.ann)
    said: dict[str, Any] = {"prompt": prompt.pk, "by": by.pk, "percent": 5, "least": 0.5, "day_usd": "2", "is_on": "on"}
    assert client.post(f"{page}add/", said).status_code == 302
    judge = Judge.objects.get()
    assert (judge.share_bp, judge.day_nanousd) == (500, 2_000_000_000)
    assert "Support reply" in client.get(page).content.decode()
    assert "kappa" in client.get(f"{page}{judge.pk}/change/").content.decode()
    client.post(f"{page}{judge.pk}/edit/", {**said, "percent": 10, "is_on": ""})
    judge.refresh_from_db()
    assert (judge.share_bp, judge.is_on) == (1000, False)
    client.force_login(cast.vic)
    assert client.get(f"{page}{judge.pk}/edit/").status_code == 403
    client.force_login(cast.zoe)
    assert client.get(f"{page}{judge.pk}/change/").status_code == 404
