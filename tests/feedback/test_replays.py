"""Rated answers, asked again of a version: who judges and how blindly, what flips, what is kept of whom."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from feedback import replays
from feedback.models import Replay
from feedback.services import replaying
from feedback.services.erasing import erase_unit
from feedback.services.ingest import NewRating, accept
from feedback.services.replaying import ReplayPlan
from promptlab.accounts.access import SYSTEM
from promptlab.chat.models import Message
from promptlab.lib.errors import DomainError
from promptlab.llm.types import CompletionRequest
from prompts.checks.preferring import read_preferences
from prompts.models import SuiteCase, SuiteRun, Version
from prompts.services import testing
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_message, make_prompt, make_version
from tests.support.suites import MODEL, Rules, answering

pytestmark = pytest.mark.django_db
WHO = "customer-4711"


@pytest.fixture
def candidate(cast: Cast) -> Version:
    prompt = make_prompt(cast.team, "Hello {{name}}.", title="Support reply", model=MODEL)
    return make_version(prompt, "Answer {{name}} well.", model=MODEL)


def rated(version: Version, value: int, answer: str, **said: Any) -> Message:
    told = {"content": answer, "variables": {"name": f"{WHO}, a@b.io"}, "unit_id": WHO, **said}
    message = make_message(version.prompt.versions.select_related("prompt").get(number=1), **told)
    accept(SYSTEM, NewRating(str(message.uid), value))
    return message


def judged_by(choose: Callable[[str, str], str], new: str = "NEW") -> Callable[[CompletionRequest], str]:
    """Return a model that answers `new`, and when it judges says which of two it likes."""

    def answer(request: CompletionRequest) -> str:
        if request.purpose != "judge":
            return new
        asked = json.loads(str(request.messages[-1].content))
        return json.dumps({"better": choose(asked["first"], asked["second"]), "reason": "So it is."})

    return answer


def likes(text: str) -> Callable[[str, str], str]:
    """Return a judge who knows what is good: the answer that holds this."""

    def choose(first: str, second: str) -> str:
        if (text in first) == (text in second):
            return "neither"
        return "first" if text in first else "second"

    return choose


def replayed(version: Version, answer: Callable[[CompletionRequest], str], **plan: Any) -> tuple[Replay, Rules]:
    replay = replaying.request_replay(SYSTEM, version, ReplayPlan(judge=MODEL, **plan))
    with answering(answer) as rules:
        testing.work_on(replay.run_id)
    return Replay.objects.with_names().get(pk=replay.pk), rules


def test_flips_are_what_changed_sides(candidate: Version) -> None:
    for answer in ("bad", "bad", "bad but good"):
        rated(candidate, -1, answer)
    for answer in ("good", "bad"):
        rated(candidate, 1, answer)
    replay, rules = replayed(candidate, judged_by(likes("good"), "NEW good"))
    found = replays.found(replay)
    assert (found.downs.asked, found.downs.better, found.downs.same) == (3, 2, 1)
    assert (found.ups.asked, found.ups.better, found.ups.worse) == (2, 1, 0)
    assert (found.mended, found.broken, found.share) == (2, 0, 1.0)
    assert found.verdict == "open", "Three of three may be chance: one replay in four."
    assert [one.flip for one in found.items][:2] == ["mended", "mended"]
    assert len(rules.asked) == 5 * 3


def test_what_was_liked_and_is_worse_now_is_broken_and_a_verdict(candidate: Version) -> None:
    for n in range(8):
        rated(candidate, 1, f"good {n}")
    found = replays.found(replayed(candidate, judged_by(likes("good")))[0])
    assert (found.verdict, found.broken, found.share) == ("worse", 8, 0.0)
    assert found.high < 0.5 and found.p == pytest.approx(2 / 2**8)


def test_a_judge_who_likes_what_it_reads_first_decides_nothing(candidate: Version) -> None:
    for n in range(6):
        rated(candidate, -1, f"old {n}")
    found = replays.found(replayed(candidate, judged_by(lambda first, second: "first"))[0])
    assert (found.downs.same, found.share, found.verdict) == (6, None, "open")


def test_the_judge_is_blind_and_reads_both_orders(candidate: Version) -> None:
    rated(candidate, -1, "old")
    _, rules = replayed(candidate, judged_by(likes("NEW")), rubric="It is short.")
    asked = [json.loads(str(one.messages[-1].content)) for one in rules.asked if one.purpose == "judge"]
    assert [(one["first"], one["second"]) for one in asked] == [("NEW", "old"), ("old", "NEW")]
    assert asked[0]["criteria"] == "It is short."
    told = json.dumps([one.messages[0].content for one in rules.asked])
    assert "candidate" not in told and "version" not in told


@pytest.mark.parametrize(
    ("first", "second", "score"),
    [("first", "second", 1.0), ("second", "first", 0.0), ("first", "first", 0.5), ("neither", "second", 0.5)],
)
def test_only_what_is_said_twice_counts(first: str, second: str, score: float) -> None:
    assert read_preferences(f'{{"better": "{first}"}}', f'{{"better": "{second}"}}', 0.5).score == score


@pytest.mark.parametrize("said", ["The first.", '{"better": "1"}', "[]", ""])
def test_a_judge_who_is_not_clear_has_not_judged(said: str) -> None:
    assert read_preferences(said, '{"better": "first"}', 0.5).passed is None


def test_an_answer_that_no_case_can_hold_is_left_out(candidate: Version) -> None:
    rated(candidate, -1, "long " * 25_000, unit_id="somebody")
    rated(candidate, -1, "BAD")
    replay, _ = replayed(candidate, judged_by(likes("NEW")))
    assert [one.before for one in replays.found(replay).items] == ["BAD"]


def test_nothing_personal_leaves_or_is_kept(candidate: Version) -> None:
    rated(candidate, -1, f"Dear {WHO}, ring +49 170 1234567")
    replay, rules = replayed(candidate, judged_by(likes("NEW")))
    told = json.dumps([[str(one.content) for one in asked.messages] for asked in rules.asked])
    kept = json.dumps(SuiteRun.objects.get(pk=replay.run_id).plan)
    for secret in (WHO, "a@b.io", "1234567"):
        assert secret not in told and secret not in kept


def test_what_differs_becomes_cases_once(cast: Cast, candidate: Version) -> None:
    rated(candidate, -1, "bad")
    rated(candidate, 1, "good")
    rated(candidate, 1, "NEW too")
    replay, _ = replayed(candidate, judged_by(likes("good")))
    saved = replaying.save_disagreements(SYSTEM, replay)
    assert [(one.expected, one.suite.name) for one in saved] == [("good", "support-reply.replays")]
    assert replaying.save_disagreements(SYSTEM, replay) == []
    assert saved[0].checks.get().kind == "preferred"


def test_who_is_erased_leaves_the_replay_and_its_cases(cast: Cast, candidate: Version) -> None:
    rated(candidate, 1, "good words")
    replay, _ = replayed(candidate, judged_by(likes("good")))
    assert replaying.save_disagreements(SYSTEM, replay)
    erase_unit(SYSTEM, cast.team, WHO)
    run = SuiteRun.objects.get(pk=replay.run_id)
    assert "good words" not in json.dumps(run.plan) and run.results.get().text == ""
    assert not SuiteCase.objects.filter(suite=run.suite).exists()
    assert replays.found(replay).items[0].score == 0.0, "What was counted stays."


def test_answers_that_do_not_fit_are_left_out_and_none_at_all_is_refused(candidate: Version) -> None:
    rated(candidate, -1, "bad")
    rated(candidate, -1, "other", variables={"other": "x"})
    assert replaying.request_replay(SYSTEM, candidate, ReplayPlan()).unfit == 1
    Message.objects.update(purged_at=timezone.now(), content="")
    with pytest.raises(DomainError) as refused:
        replaying.request_replay(SYSTEM, candidate, ReplayPlan())
    assert refused.value.code == "nothing_to_replay"


def test_it_costs_no_more_than_it_may(candidate: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(4):
        rated(candidate, -1, f"old {n}")
    monkeypatch.setattr("prompts.services.testing.worst_case", lambda request, team_id: 100_000_000)
    replay, rules = replayed(candidate, judged_by(likes("NEW")), budget_usd=Decimal("0.5"))
    assert replay.run.state == "stopped" and len(rules.asked) <= 5


def test_over_rest(cast: Cast, candidate: Version) -> None:
    rated(candidate, -1, "bad")
    api = Api(cast.key)
    body = {"prompt": "support-reply", "version": "2", "judge": MODEL, "budget_usd": "1"}
    assert api.post("/replays/estimate", body).json()["calls"] == 3
    made = api.post("/replays", body)
    assert made.status_code == 201 and made.json()["verdict"] == "waiting"
    with answering(judged_by(likes("NEW"))):
        testing.work_on(made.json()["run"])
    shown = api.get(f"/replays/{made.json()['id']}").json()
    assert (shown["mended"], shown["items"][0]["after"], shown["items"][0]["before"]) == (1, "NEW", "bad")
    assert api.post(f"/replays/{made.json()['id']}/cases").json() == {"suite": "support-reply.replays", "cases": 1}
    assert api.post("/replays", {**body, "downs": -1}).status_code == 400
    assert api.post("/replays", {**body, "version": "9"}).status_code == 404
    assert Api(cast.read_key).post("/replays", body).status_code == 403
    assert Api(cast.stranger_key).get(f"/replays/{made.json()['id']}").status_code == 404


def test_an_editor_needs_no_code(cast: Cast, candidate: Version) -> None:
    rated(candidate, -1, "bad")
    ann = Client()
    ann.force_login(cast.ann)
    page = ann.get(reverse("admin:prompts_version_change", args=[candidate.pk])).content.decode()
    url = reverse("admin:feedback_replay_begin", args=[candidate.pk])
    assert f'href="{url}"' in page
    said = {"downs": 50, "ups": 150, "judge": MODEL, "budget_usd": "1"}
    assert "3 calls" in ann.post(url, {**said, "estimate": "1"}).content.decode()
    assert not Replay.objects.exists()
    ann.post(url, {**said, "go": "1"})
    replay = Replay.objects.get()
    with answering(judged_by(likes("NEW"))):
        testing.work_on(replay.run_id)
    shown = ann.get(reverse("admin:feedback_replay_change", args=[replay.pk])).content.decode()
    assert (
        "Rating " not in shown and "customer, " in shown and "So it is." in shown and "in both orders. So" not in shown
    )
    assert "Disliked then, better now" in shown and "No difference that chance could not make" in shown
    cases = reverse("admin:feedback_replay_cases", args=[replay.pk])
    assert cases in shown
    assert "1 case is new." in ann.post(cases, follow=True).content.decode()
    vic = Client()
    vic.force_login(cast.vic)
    assert vic.get(url).status_code == 404
