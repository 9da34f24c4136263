"""Running a test suite: every answer a row, calls at once, budgets, cancelling, and what is left of a process that died."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.audit.models import AuditEntry
from promptlab.hooks.models import OutboxEvent
from promptlab.lib.errors import Invalid
from promptlab.llm.errors import ProviderUnavailable
from promptlab.llm.providers import scripted
from promptlab.llm.services import price_list
from promptlab.llm.types import CompletionRequest
from prompts import comparing
from prompts.errors import RunOver, SnippetNotLive, SuiteNotReady
from prompts.models import SuiteResult, SuiteRun
from prompts.services import running, suite_runs, suites, testing
from prompts.services.running import Hold
from prompts.services.suite_runs import Wanted
from tests.support.make import make_live, make_model, make_prompt, make_provider, make_version, newest
from tests.support.suites import MODEL, answering, make_run, make_suite

pytestmark = pytest.mark.django_db
Row = SuiteResult.State


def states(run: SuiteRun) -> list[str]:
    return list(SuiteResult.objects.filter(run=run).values_list("state", flat=True))


def last_word(request: CompletionRequest) -> str:
    return request.messages[-1].content


def test_every_case_is_asked_of_every_model_as_often_as_it_says(team: Team) -> None:
    suite = make_suite(team, {"repeats": 2}, {"expected": "x", "checks": [{"kind": "equals"}]})
    with answering("Very good.") as model:
        run = make_run(suite, newest(make_prompt(team)), "rules", "rules-large")
    assert (run.state, run.calls, run.spent_usd, run.unpriced_calls) == ("finished", 6, 0, 6)
    found = [(one.case, one.model, one.passed, one.failed) for one in comparing.tallies(run)]
    assert found == [
        ("case 1", "rules", 2, 0),
        ("case 1", "rules-large", 2, 0),
        ("case 2", "rules", 0, 1),
        ("case 2", "rules-large", 0, 1),
    ]
    failed = SuiteResult.objects.filter(run=run, state=Row.FAILED)[0]
    assert [one["check"] for one in failed.outcomes] == ["contains", "equals"]
    assert failed.text == "Very good." and failed.input_tokens == 10 and failed.latency_ms is not None
    assert last_word(model.asked[0]) == "Hello Ann." and model.asked[0].messages[0].role == "user"
    assert OutboxEvent.objects.get(type="suite.finished").data["failed"] == 2


def test_what_is_said_in_a_case_stands_behind_the_prompt(team: Team) -> None:
    said = {"messages": [{"role": "user", "content": "Where is it?"}]}
    with answering("good") as model:
        make_run(make_suite(team, said), newest(make_prompt(team)))
    assert [(one.role, one.content) for one in model.asked[0].messages] == [
        ("system", "Hello Ann."),
        ("user", "Where is it?"),
    ]


def test_the_same_comes_out_twice(team: Team) -> None:
    suite = make_suite(team, *({"variables": {"name": str(number)}, "repeats": 2} for number in range(10)))
    version = newest(make_prompt(team))
    with answering(lambda request: "good" if "3" in last_word(request) else "bad"):
        runs = [make_run(suite, version) for _ in range(2)]
    rows = [
        list(SuiteResult.objects.filter(run=run).values_list("case_name", "repeat", "state", "text", "outcomes"))
        for run in runs
    ]
    assert rows[0] == rows[1] and len(rows[0]) == 20
    noise = comparing.noise_of(runs[1])
    assert noise is not None and not any(one.flip for one in noise.changes)


def test_a_run_keeps_to_the_suite_as_it_was(team: Team) -> None:
    suite = make_suite(team, {}, {})
    with answering("good"):
        run = make_run(suite, newest(make_prompt(team)), works=False)
        suites.delete_case(SYSTEM, suite.cases.all()[0])
        testing.work_on(run.pk)
    suite.refresh_from_db()
    assert states(run) == ["passed", "passed"] and suite.revision == run.suite_revision + 1


def test_a_provider_that_fails_leaves_rows_that_can_be_asked_again(team: Team) -> None:
    suite = make_suite(team, {}, {"variables": {"name": "Bob"}})
    version = newest(make_prompt(team))
    with scripted.use(ProviderUnavailable(is_retryable=False), name=MODEL):
        run = make_run(suite, version)
    assert run.state == "finished" and states(run) == ["error", "error"]
    assert "upstream_unavailable" in SuiteResult.objects.filter(run=run)[0].problem
    with answering("good"):
        suite_runs.resume_run(SYSTEM, run)
        testing.work_on(run.pk)
    run.refresh_from_db()
    assert run.state == "finished" and states(run) == ["passed", "passed"] and run.calls == 4


def test_nothing_is_asked_beyond_the_budget(team: Team) -> None:
    priced(team)
    suite = make_suite(team, *({} for _ in range(6)), checks=[{"kind": "contains", "options": {"values": ["good"]}}])
    version = newest(make_prompt(team, parameters={"max_tokens": 1000}))
    with answering("good", name="openai") as model:
        run = make_run(suite, version, "gpt-test", budget_usd=Decimal("0.025"))
        assert run.state == "stopped" and "budget" in run.reason
        # An answer may cost 0.01 and more, and costs 0.00005: what was reserved for it is free again.
        assert 0 < run.spent_nanousd <= run.budget_nanousd and run.reserved_nanousd == 0
        asked = len(model.asked)
        assert 0 < asked < 6 and states(run).count("waiting") == 6 - asked
        suite_runs.resume_run(SYSTEM, run, budget_usd=Decimal(1))
        testing.work_on(run.pk)
    run.refresh_from_db()
    assert run.state == "finished" and set(states(run)) == {"passed"} and run.spent_usd == Decimal("0.00036")


def priced(team: Team) -> None:
    provider = make_provider(team, name="OpenAI", kind="openai")
    for token, usd in (("input", "1"), ("output", "10")):
        price_list.set_price(SYSTEM, provider, model="gpt-test", token=token, usd_per_million=Decimal(usd))
    make_model(provider, "gpt-test")


def test_what_it_may_cost_is_said_before(team: Team) -> None:
    priced(team)
    version = newest(make_prompt(team, parameters={"max_tokens": 1000}))
    suite = make_suite(team, {"repeats": 3})
    said = suite_runs.estimate_run(SYSTEM, suite, Wanted(version, ["gpt-test"]))
    assert said.calls == 3 and said.most_usd is not None and Decimal("0.03") < said.most_usd < Decimal("0.031")
    assert suite_runs.estimate_run(SYSTEM, suite, Wanted(version, ["gpt-test", MODEL])).most_usd is None


def test_a_process_that_died_leaves_lost_answers_that_nobody_asks_again(team: Team) -> None:
    suite = make_suite(team, *({} for _ in range(4)))
    run = make_run(suite, newest(make_prompt(team)), works=False)
    # What a killed process leaves behind: its lease, two calls under way, the money for them.
    rows = list(SuiteResult.objects.filter(run=run))
    SuiteResult.objects.filter(pk__in=[rows[0].pk, rows[1].pk]).update(state=Row.ASKED, reserved_nanousd=700)
    SuiteRun.objects.filter(pk=run.pk).update(
        state="running",
        lease="dead",
        lease_until=timezone.now() + timedelta(seconds=15),
        calls=2,
        reserved_nanousd=1400,
    )
    with answering("good") as model:
        testing.work_on(run.pk)
        assert not model.asked and testing.sweep() == 0, "Somebody may be working on it."
        SuiteRun.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
        assert testing.sweep() == 1
        testing.work_on(run.pk)
    run.refresh_from_db()
    assert run.state == "finished" and sorted(states(run)) == ["lost", "lost", "passed", "passed"]
    assert len(model.asked) == 2 and run.calls == 4 <= run.max_calls
    assert (run.reserved_nanousd, run.spent_nanousd) == (0, 1400)


def test_cancelling_ends_calls_and_rows(team: Team) -> None:
    suite = make_suite(team, *({} for _ in range(30)))
    run = make_run(suite, newest(make_prompt(team)), works=False)
    with scripted.use(scripted.Reply(("good",), delay_s=600), name=MODEL, repeats=True) as model:
        looks = Hold.look

        def cancelled(hold: Hold) -> None:
            if len(model.requests) == 8 and SuiteRun.objects.get(pk=run.pk).is_open:
                suite_runs.cancel_run(SYSTEM, run)
            looks(hold)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Hold, "look", cancelled)
            testing.work_on(run.pk)
        assert model.abandoned == 8
    run.refresh_from_db()
    assert run.state == "cancelled" and set(states(run)) == {"cancelled"} and run.lease == ""
    again = suite_runs.cancel_run(SYSTEM, run)
    assert again.state == "cancelled" and AuditEntry.objects.filter(verb="suite.run_cancelled").count() == 1
    with pytest.raises(RunOver):
        suite_runs.resume_run(SYSTEM, run)


def test_what_a_dead_process_left_of_a_cancelled_run_is_closed(team: Team) -> None:
    run = make_run(make_suite(team), newest(make_prompt(team)), works=False)
    SuiteResult.objects.filter(run=run).update(state=Row.ASKED)
    past = timezone.now() - timedelta(seconds=1)
    SuiteRun.objects.filter(pk=run.pk).update(state="cancelled", lease="dead", lease_until=past)
    testing.sweep()
    assert states(run) == ["cancelled"]


def test_a_run_that_somebody_took_over_is_left_alone(team: Team) -> None:
    suite = make_suite(team, {}, {})
    run = make_run(suite, newest(make_prompt(team)), works=False)

    def taken(request: CompletionRequest) -> str:
        return "good"

    with answering(taken), pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            testing._Work, "_settle", lambda work, done: SuiteRun.objects.filter(pk=run.pk).update(lease="another")
        )
        patch.setattr(running, "WATCH_S", 0.0)
        testing.work_on(run.pk)
    run.refresh_from_db()
    assert run.lease == "another" and run.state == "running" and states(run) == ["asked", "asked"]


def test_as_many_calls_at_once_as_a_provider_allows(team: Team, settings: Any) -> None:
    settings.SUITE_CALLS_AT_ONCE = 3
    suite = make_suite(team, *({} for _ in range(12)))
    together, most, lock = 0, 0, threading.Lock()

    class Counting(scripted.ScriptedProvider):
        async def astream(self, request: CompletionRequest) -> Any:
            nonlocal together, most
            with lock:
                together += 1
                most = max(most, together)
            async for event in super().astream(request):
                yield event
            with lock:
                together -= 1

    with scripted.use("good", name=MODEL, repeats=True):
        scripted.registry.unregister(MODEL)
        scripted.registry.register(MODEL, Counting([scripted.Reply(("good",), delay_s=0.02)], repeats=True))
        run = make_run(suite, newest(make_prompt(team)), MODEL, f"{MODEL}-large")
    assert run.state == "finished" and most == 3


def judge_of(team: Team, text: str = "Judge by {{rubric}}: {{answer}}") -> None:
    make_live(newest(make_prompt(team, text, title="Judge", name="judge", model=f"{MODEL}-judge")))


def judged(least: float = 0.5) -> list[dict[str, Any]]:
    return [{"kind": "judge", "options": {"prompt": "judge", "rubric": "Be kind.", "least": least}}]


def test_a_judge_sees_the_answer_and_the_rubric(team: Team) -> None:
    judge_of(team)
    suite = make_suite(team, checks=judged())

    def answer(request: CompletionRequest) -> str:
        return json.dumps({"score": 0.9, "reason": "Kind."}) if "judge" in request.model else "Dear Ann"

    with answering(answer) as model:
        run = make_run(suite, newest(make_prompt(team)))
    row = SuiteResult.objects.get(run=run)
    assert row.state == "passed" and run.calls == run.max_calls == 2
    assert row.outcomes == [{"check": "judge", "passed": True, "detail": "Kind.", "score": 0.9}]
    assert last_word(model.asked[1]) == "Judge by Be kind.: Dear Ann"
    assert model.asked[1].purpose == "judge"


def test_a_judge_who_is_not_clear_has_not_judged(team: Team) -> None:
    judge_of(team)
    with answering("Rather nice."):
        run = make_run(make_suite(team, checks=judged()), newest(make_prompt(team)))
    row = SuiteResult.objects.get(run=run)
    assert row.state == "error" and "judge" in row.problem


def test_a_judge_has_to_ask_for_the_answer(team: Team) -> None:
    judge_of(team, "Judge {{rubric}}")
    with pytest.raises(SuiteNotReady):
        make_run(make_suite(team, checks=judged()), newest(make_prompt(team)), works=False)


def test_what_could_not_be_asked_is_refused_before(team: Team) -> None:
    prompt = make_prompt(team)
    with pytest.raises(SuiteNotReady) as refused:
        make_run(make_suite(team, {"variables": {}}, {"variables": {"name": "x"}}), newest(prompt), works=False)
    assert [one.field for one in refused.value.problems] == ["cases.case 1"]
    with pytest.raises(SuiteNotReady):
        make_run(make_suite(team, name="no-checks", checks=[]), newest(prompt), works=False)
    empty = suites.create_suite(SYSTEM, team.pk, name="empty")
    with pytest.raises(SuiteNotReady):
        make_run(empty, newest(prompt), works=False)
    with pytest.raises(Invalid):
        make_run(make_suite(team, name="own", prompt=make_prompt(team)), newest(prompt), works=False)
    with pytest.raises(SnippetNotLive):
        make_prompt(team, "Hi", name="intro")
        make_run(make_suite(team, name="with"), newest(make_prompt(team, "{{> intro}} {{name}}")), works=False)
    assert not SuiteRun.objects.exists()


def test_two_runs_are_compared_case_by_case(team: Team) -> None:
    prompt = make_prompt(team)
    suite = make_suite(team, {"required": True}, {"variables": {"name": "Bob"}}, {"variables": {"name": "Eve"}})
    with answering(lambda request: "good" if "Eve" not in last_word(request) else "bad"):
        before = make_run(suite, newest(prompt))
    with answering(lambda request: "good" if "Ann" not in last_word(request) else "bad"):
        after = make_run(suite, make_version(prompt))
    found = comparing.compare(before, after)
    assert [one.case for one in found.flips("pass_to_fail")] == ["case 1"]
    assert [one.case for one in found.flips("pass_to_fail", required=True)] == ["case 1"]
    assert [one.case for one in found.flips("fail_to_pass")] == ["case 3"]
    assert found.rate_before == found.rate_after == pytest.approx(2 / 3) and not found.is_drop


def test_a_model_with_a_text_of_its_own_is_asked_with_that_one(team: Team) -> None:
    version = newest(make_prompt(team, model_texts={"rules-large": "Greet {{name}}."}))
    with answering("Very good.") as model:
        make_run(make_suite(team), version, "rules", "rules-large")
    assert {(request.model, last_word(request)) for request in model.asked} == {
        ("rules", "Hello Ann."),
        ("rules-large", "Greet Ann."),
    }
