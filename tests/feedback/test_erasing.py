"""Erasing an end user: nothing of them is left in any table, and no sum changes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection
from django.forms.models import model_to_dict

from experiments.models import ExperimentUnit, HourRollup
from feedback.models import Feedback, FeedbackChange
from feedback.services import inbox
from feedback.services.batch import roll_up_feedback
from feedback.services.ingest import NewRating, accept
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import IdempotentCall
from promptlab.audit.models import AuditEntry
from promptlab.chat.models import Conversation, Message
from promptlab.chat.services import kept_answers
from promptlab.chat.services.metering import roll_up_messages
from promptlab.lib import cache, redis
from prompts.models import SuiteResult
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_key, make_message, make_prompt, newest
from tests.support.suites import make_run, make_suite

pytestmark = pytest.mark.django_db
WHO, SECRET = "customer-4711", "my card was stolen in Lisbon"


def everything() -> str:
    """Return every value of every row of ours in one text."""
    found = []
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            cursor.execute(f'SELECT * FROM "{model._meta.db_table}"')
            found += [repr(row) for row in cursor.fetchall()]
    return "\n".join(found)


@pytest.fixture
def answers(cast: Cast) -> list[Message]:
    experiment = make_experiment(make_prompt(cast.team), running=True)
    variant = experiment.variants.select_related("version").first()
    assert variant is not None
    made = []
    for unit in (WHO, "customer-1"):
        answer = make_message(
            variant.version,
            experiment.environment,
            variant=variant,
            unit_id=unit,
            content=SECRET,
            variables={"name": unit},
            metadata={"of": unit},
        )
        Conversation.objects.filter(pk=answer.conversation_id).update(unit_id=unit, title=SECRET, session=unit)
        accept(SYSTEM, NewRating(str(answer.uid), 1, comment=f"{SECRET} {unit}", key=f"k-{unit}"))
        accept(SYSTEM, NewRating(str(answer.uid), -1, comment=f"No: {unit}"))
        made.append(answer)
    roll_up_messages()
    roll_up_feedback()
    return made


def sums() -> list[dict[str, object]]:
    return [model_to_dict(row) for row in HourRollup.objects.order_by("pk")]


def test_nothing_of_them_is_left_and_no_sum_changes(cast: Cast, answers: list[Message]) -> None:
    before = sums()
    assert WHO in everything() and FeedbackChange.objects.count() == 2
    answer = Api(cast.key).post("/units/erase", {"unit_id": WHO})
    assert answer.status_code == 200
    told = answer.json()
    assert (told["messages"], told["ratings"], told["experiment_rows"]) == (1, 1, 1)
    assert told["stands_for"].startswith("erased-")
    assert WHO not in everything()
    assert sums() == before
    assert Message.objects.get(pk=answers[0].pk).content == ""
    assert ExperimentUnit.objects.filter(unit_id=told["stands_for"]).exists()
    assert Feedback.objects.filter(message=answers[0]).values_list("value", "comment").get() == (-1, "")


def test_what_others_made_of_it_goes_too(cast: Cast, answers: list[Message]) -> None:
    """A judge that tells it again, a case made of a comment, its runs, and answers kept for calls that are repeated."""
    for source, user in (("judge", "judge:1"), ("annotator", "annotator:1")):
        accept(SYSTEM, replace(NewRating(str(answers[0].uid), -1, comment=f"Says: {SECRET}", user=user), source=source))
    made = accept(SYSTEM, NewRating(str(answers[0].uid), -1, comment=SECRET, correction=f"Dear {WHO}, {SECRET}"))
    rating = Feedback.objects.select_related("message__version__prompt").get(uid=made.feedback_id)
    case = inbox.save_as_case(SYSTEM, rating, make_suite(cast.team, {"name": "other", "variables": {"name": "x"}}))
    run = make_run(case.suite, newest(rating.message.version.prompt), "echo")
    api = Api(cast.key)
    IdempotentCall.objects.create(
        caller=f"key:{make_key(cast.team)[0].pk}",
        operation="POST /x",
        key="k",
        body=json.dumps({"overrides": {WHO: "x"}}),
    )
    IdempotentCall.objects.create(caller="key:1", operation="POST /chat", key=WHO, subject=str(answers[0].uid))
    assert SECRET in repr(run.plan)
    Message.objects.filter(pk=answers[1].pk).update(content="")  # somebody else's stays: see below
    FeedbackChange.objects.filter(feedback__message=answers[1]).delete()
    Feedback.objects.filter(message=answers[1]).update(comment="")
    FeedbackChange.objects.filter(feedback__message=answers[1]).delete()
    Conversation.objects.filter(pk=answers[1].conversation_id).update(title="")
    assert api.post("/units/erase", {"unit_id": WHO}).status_code == 200
    left = everything()
    assert WHO not in left and SECRET not in left
    assert SuiteResult.objects.filter(run=run).exists()


def test_others_keep_what_they_said(cast: Cast, answers: list[Message]) -> None:
    Api(cast.key).post("/units/erase", {"unit_id": WHO})
    assert Message.objects.get(pk=answers[1].pk).content == SECRET
    assert Feedback.objects.get(message=answers[1]).comment == "No: customer-1"
    assert FeedbackChange.objects.get().comment == f"{SECRET} customer-1"


def test_again_finds_nothing_and_says_so(cast: Cast, answers: list[Message]) -> None:
    Api(cast.key).post("/units/erase", {"unit_id": WHO})
    again = Api(cast.key).post("/units/erase", {"unit_id": WHO}).json()
    assert (again["messages"], again["ratings"], again["experiment_rows"]) == (0, 0, 0)
    entry = AuditEntry.objects.get(verb="unit.erased")
    assert entry.after["messages"] == 1 and WHO not in repr(entry.after)


def test_another_team_s_user_of_that_name_stays(cast: Cast, answers: list[Message]) -> None:
    assert Api(cast.stranger_key).post("/units/erase", {"unit_id": WHO}).json()["messages"] == 0
    assert Message.objects.filter(unit_id=WHO).exists()


@pytest.mark.parametrize("body", [{}, {"unit_id": ""}, {"unit_id": "x" * 201}, {"unit_id": 7.5, "team_id": "x"}])
def test_what_names_nobody_is_a_400(cast: Cast, body: dict[str, object]) -> None:
    assert Api(cast.key).post("/units/erase", body).status_code == 400


def test_by_command(cast: Cast, answers: list[Message], capsys: pytest.CaptureFixture[str]) -> None:
    call_command("erase_unit", WHO, team=cast.team.name)
    assert "1 messages, 1 ratings" in capsys.readouterr().out
    assert WHO not in everything()
    with pytest.raises(CommandError, match="no team"):
        call_command("erase_unit", WHO, team="Nobody")


def test_without_redis_all_else_is_erased_and_it_has_to_be_done_again(
    cast: Cast, answers: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(redis.breaker, "_open_until", float("inf"), raising=True)
        answer = Api(cast.key).post("/units/erase", {"unit_id": WHO})
    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (503, "unavailable", "5")
    assert WHO not in everything()
    assert Api(cast.key).post("/units/erase", {"unit_id": WHO}).json()["messages"] == 0


def test_the_team_s_kept_answers_go_and_nobody_else_s(cast: Cast) -> None:
    kinds = (kept_answers.CACHE_KIND, kept_answers.LAST_KIND)
    other = cast.team.pk * 10
    places = [cache.Place(kind, owner, str(n)) for kind in kinds for owner in (cast.team.pk, other) for n in range(3)]
    for place in places:
        assert async_to_sync(cache.keep)(place, {"text": SECRET}, 60)
    assert Api(cast.key).post("/units/erase", {"unit_id": WHO}).json()["kept_answers"] == 6
    assert [async_to_sync(cache.find)(place) is None for place in places] == [place.owner != other for place in places]
