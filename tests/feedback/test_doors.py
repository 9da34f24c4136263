"""The inbox, rounds of annotation and judges over REST."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from feedback.models import Care, Feedback, Judge, Label, Note, SavedCase
from feedback.services import judging
from feedback.services.annotating import start_round
from feedback.services.ingest import NewRating, accept
from feedback.services.judging import JudgePlan, set_judge
from feedback.services.metrics import declare_metric
from promptlab.accounts.access import SYSTEM
from promptlab.audit.models import AuditEntry
from promptlab.chat.models import Message
from prompts.models import Prompt
from prompts.services import collecting
from prompts.services.collecting import Place
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_live, make_message, make_prompt, make_user, newest
from tests.support.suites import make_suite

pytestmark = pytest.mark.django_db


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    return make_prompt(cast.team, title="Support reply")


def person(user: object) -> Api:
    api = Api()
    api.client.force_login(user)
    return api


def a_comment(prompt: Prompt, value: int = -1, comment: str = "Wrong.", **said: Any) -> Feedback:
    version = newest(prompt)
    answer = make_message(version, make_live(version), content="It is on its way.", variables={"name": "Ann"})
    question = {"role": "user", "content": "Where is it?", "state": "completed", "ended_at": answer.ended_at}
    asked = Message.objects.create(conversation=answer.conversation, **question)
    later = Message.objects.create(
        conversation=answer.conversation, role="assistant", state="completed", content="Soon.", version=version
    )
    assert asked.pk < later.pk
    kept = accept(SYSTEM, NewRating(str(later.uid), value, comment=comment, **said))
    return Feedback.objects.get(uid=kept.feedback_id)


def listed(answer: Any) -> list[Any]:
    assert answer.status_code == 200, answer.content
    found: list[Any] = answer.json()["results"]
    return found


def test_the_inbox_lists_what_nobody_settled_and_is_narrowed(cast: Cast, prompt: Prompt) -> None:
    liked, wrong = a_comment(prompt, 1, "Good."), a_comment(prompt)
    a_comment(prompt, comment="")
    api = Api(cast.key)
    assert [one["id"] for one in listed(api.get("/inbox"))] == [str(wrong.uid), str(liked.uid)]
    said = {"assignee": cast.ann.username, "labels": ["Tone", "dates"], "is_settled": True}
    answer = api.patch(f"/inbox/{wrong.uid}", said)
    assert answer.json() == {**said, "labels": ["dates", "tone"], "id": str(wrong.uid)}
    assert [one["id"] for one in listed(api.get("/inbox"))] == [str(liked.uid)]
    for narrowed in (
        "state=settled", f"state=all&assignee={cast.ann.username}", "state=all&label=TONE", "state=settled&version=1",
        f"state=settled&prompt={prompt.name}",
    ):  # fmt: skip
        assert [one["comment"] for one in listed(api.get(f"/inbox?{narrowed}"))] == ["Wrong."], narrowed
    for none in (
        "state=settled&assignee=nobody",
        "prompt=other",
        "version=2",
        "variant=control",
        "since=2099-01-01T00:00Z",
    ):
        assert listed(api.get(f"/inbox?{none}")) == [], none
    assert api.patch(f"/inbox/{wrong.uid}", {"assignee": None, "is_settled": False}).json()["labels"] == [
        "dates",
        "tone",
    ]
    assert (Care.objects.get(feedback=wrong).assignee, Label.objects.count()) == (None, 2)


def test_a_comment_is_shown_with_its_question_and_what_colleagues_made_of_it(cast: Cast, prompt: Prompt) -> None:
    rating, suite = a_comment(prompt), make_suite(cast.team, name="replies")
    api = Api(cast.key)
    note = api.post(f"/inbox/{rating.uid}/notes", {"text": "Asked the depot."}, **{"Idempotency-Key": "n"})
    again = api.post(f"/inbox/{rating.uid}/notes", {"text": "Asked the depot."}, **{"Idempotency-Key": "n"})
    assert (note.status_code, again.json(), Note.objects.count()) == (201, note.json(), 1)
    case = api.post(f"/inbox/{rating.uid}/case", {"suite": suite.name, "name": "Says when"})
    assert (case.status_code, case.json()["suite"]) == (201, "replies")
    assert SavedCase.objects.get().case_id == case.json()["id"]
    shown = api.get(f"/inbox/{rating.uid}").json()
    assert (shown["question"], shown["answer"], shown["rating"]) == ("Where is it?", "Soon.", -1)
    assert (shown["notes"], shown["cases"]) == ([note.json()], [case.json()])


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("", {"assignee": "nobody-we-know", "is_settled": True}, 400),
        ("", {"labels": "tone", "is_settled": True}, 400),
        ("", {"labels": [str(n) for n in range(21)], "is_settled": True}, 400),
        ("", ["labels"], 400),
        ("/notes", {"text": ""}, 400),
        ("/notes", {"text": "x" * 10_001}, 400),
        ("/case", {"suite": "unknown"}, 404),
    ],
)
def test_what_cannot_be_done_to_a_comment_is_refused_whole(
    cast: Cast, prompt: Prompt, path: str, body: Any, status: int
) -> None:
    rating = a_comment(prompt)
    api = Api(cast.key)
    answer = api.patch(f"/inbox/{rating.uid}", body) if not path else api.post(f"/inbox/{rating.uid}{path}", body)
    assert answer.status_code == status, answer.content
    assert not Care.objects.exclude(settled_at=None).exists()


def test_comments_on_private_prompts_are_for_those_who_see_them(cast: Cast, prompt: Prompt) -> None:
    rating = a_comment(prompt)
    place = Place(visibility="private", owner_id=cast.ann.pk, has_owner=True)
    Prompt.objects.filter(pk=prompt.pk).update(
        collection=collecting.create_collection(SYSTEM, cast.team.pk, name="Secret", place=place)
    )
    writer = person(make_user("Wes", cast.team, "writer"))
    assert listed(writer.get("/inbox")) == []
    assert writer.get(f"/inbox/{rating.uid}").json()["code"] == "feedback_not_found"
    assert writer.patch(f"/inbox/{rating.uid}", {"labels": ["x"]}).status_code == 404


def test_a_round_is_drawn_rated_one_by_one_and_ended(cast: Cast, prompt: Prompt) -> None:
    for value in (1, -1):
        a_comment(prompt, value)
    api, ann = Api(cast.key), person(cast.ann)
    made = api.post("/annotation", {"title": "November", "prompt": prompt.name, "answers": 500})
    assert (made.status_code, made.json()["answers"], made.json()["done"]) == (201, 4, [])
    path = f"/annotation/{made.json()['id']}"
    for left in (4, 3, 2, 1):
        told = ann.get(f"{path}/next").json()
        assert (told["left"], told["metric"]) == (left, None)
        place = f"{path}/answers/{told['item']['id']}"
        assert ann.put(place, {"value": 1}).status_code == 200
        changed = ann.put(place, {"value": -1, "comment": "On second thought."})
        assert (changed.json()["value"], changed.json()["message_id"]) == (-1, told["item"]["message_id"])
    assert ann.get(f"{path}/next").json() == {"item": None, "left": 0, "metric": None}
    shown = api.get(path).json()
    assert shown["done"] == [{"rater": f"annotator:{cast.ann.pk}", "answers": 4}]
    assert (shown["with_users"]["both"], shown["with_users"]["share"]) == (2, 0.5)
    assert (
        api.post(f"{path}/end", {}).json()["closed_at"] == api.post(f"{path}/end", {}).json()["closed_at"] is not None
    )
    late = ann.put(place, {"value": 1})
    assert (late.status_code, late.json()["code"]) == (409, "conflict")
    assert [one["id"] for one in listed(api.get("/annotation"))] == [made.json()["id"]]


def test_who_annotates_is_a_person_and_says_what_the_metric_takes(cast: Cast, prompt: Prompt) -> None:
    a_comment(prompt)
    declare_metric(SYSTEM, cast.team.pk, key="accuracy", kind="score", low=0, high=10)
    one = start_round(SYSTEM, prompt, title="Exact", metric="accuracy")
    item, ann = one.items.order_by("pk")[0], person(cast.ann)
    place = f"/annotation/{one.pk}/answers/{item.pk}"
    assert Api(cast.key).put(place, {"value": 5}).json()["code"] == "forbidden"
    assert Api(cast.key).get(f"/annotation/{one.pk}/next").status_code == 403
    assert person(cast.vic).put(place, {"value": 5}).status_code == 403
    assert ann.get(f"/annotation/{one.pk}/next").json()["metric"]["high"] == 10
    assert ann.put(place, {"value": 11}).status_code == 400
    assert ann.put(place, {}).status_code == 400
    assert ann.put(f"/annotation/{one.pk}/answers/0", {"value": 5}).json()["code"] == "annotation_answer_not_found"
    assert ann.put(place, {"value": 7.5}).json()["value"] == 7.5
    assert ann.get("/annotation/0").json()["code"] == "annotation_not_found"


@pytest.mark.parametrize(
    "wrong", [{"title": " "}, {"answers": 501}, {"days": 0}, {"metric": "unknown"}, {"prompt": "no"}]
)
def test_a_round_that_cannot_be_drawn_is_refused(cast: Cast, prompt: Prompt, wrong: dict[str, Any]) -> None:
    a_comment(prompt)
    answer = Api(cast.key).post("/annotation", {"title": "November", "prompt": prompt.name, **wrong})
    assert answer.status_code == (404 if "prompt" in wrong else 400), answer.content


def test_a_judge_is_declared_changed_asked_and_compared(
    cast: Cast, prompt: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    by = make_prompt(cast.team, "Rate {{answer}}.", title="Verdict")
    woken: list[str] = []
    monkeypatch.setattr(judging, "enqueue_on_commit", woken.append)
    api = Api(cast.key)
    plan = {"prompt": prompt.name, "by": by.name, "share": 0.25, "day_usd": "1.5", "rubric": "Short."}
    made = api.put("/judges", plan)
    assert (made.status_code, made.json()["share"], made.json()["day_usd"]) == (200, 0.25, "1.5")
    entries = AuditEntry.objects.count()
    assert api.put("/judges", plan).json() == made.json() and AuditEntry.objects.count() == entries
    assert api.put("/judges", {**plan, "is_on": False}).json()["is_on"] is False
    path = f"/judges/{made.json()['id']}"
    rating = a_comment(prompt)
    accept(SYSTEM, NewRating(str(rating.message.uid), -1, user=f"judge:{made.json()['id']}", source="judge"))
    shown = api.get(path).json()
    assert (shown["with_people"]["both"], shown["with_people"]["share"]) == (1, 1.0)
    assert (api.post(f"{path}/run", {}).status_code, woken) == (202, [judging.JUDGE_TASK])
    assert [one["id"] for one in listed(api.get("/judges"))] == [made.json()["id"]]
    assert Judge.objects.count() == 1


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"share": 0}, 400),
        ({"least": 2}, 400),
        ({"day_usd": "0"}, 400),
        ({"by": "support-reply"}, 400),
        ({"by": "no"}, 404),
    ],
)
def test_a_judge_that_cannot_be_is_refused(cast: Cast, prompt: Prompt, wrong: dict[str, Any], status: int) -> None:
    by = make_prompt(cast.team, "Rate {{answer}}.", title="Verdict")
    plan = {"prompt": prompt.name, "by": by.name, "share": 0.25, "day_usd": "1"}
    assert Api(cast.key).put("/judges", {**plan, **wrong}).status_code == status
    assert not Judge.objects.exists()


def test_a_viewer_reads_and_declares_nothing(cast: Cast, prompt: Prompt) -> None:
    by = make_prompt(cast.team, "Rate {{answer}}.", title="Verdict")
    judge = set_judge(SYSTEM, prompt, JudgePlan(by, 0.5, Decimal(1)))
    viewer = person(cast.vic)
    assert viewer.get(f"/judges/{judge.pk}").status_code == 200
    for answer in (
        viewer.post(f"/judges/{judge.pk}/run", {}),
        viewer.post("/annotation", {"title": "x", "prompt": prompt.name}),
    ):
        assert (answer.status_code, answer.json()["data"]["needs"]) == (403, "prompt.write")
    assert viewer.patch(f"/inbox/{a_comment(prompt).uid}", {"labels": ["x"]}).status_code == 403
