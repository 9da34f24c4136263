"""An environment that asks for a test suite: what stops a version, what lets it through, and what makes a verdict void."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from experiments.services import ramping
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.audit.models import AuditEntry
from promptlab.lib.errors import Invalid
from promptlab.llm.types import CompletionRequest
from prompts.checks.cases import Case, Check
from prompts.errors import SuiteNotGreen, SuiteRequired
from prompts.models import Environment, Prompt, ScheduledDeployment, Suite, SuiteRun
from prompts.services import deploying, policies, reviewing, scheduling, suite_gate, suites, testing
from prompts.services.environments import Rules, change_environment, named
from prompts.services.suites import SuiteChanges
from tests.support.make import make_live, make_prompt, make_version, newest
from tests.support.suites import MODEL, answering, make_run, make_suite

pytestmark = pytest.mark.django_db
FOUR: list[dict[str, Any]] = [{"required": True}, {"variables": {"name": "Bob"}}, {"variables": {"name": "Eve"}}, {}]


def make_gate(team: Team, *cases: dict[str, Any], **told: Any) -> tuple[Suite, Prompt, Environment]:
    """Return a suite that Production asks for, and a prompt whose version 1 is live there."""
    suite = make_suite(team, *(cases or FOUR), **told)
    prompt = make_prompt(team, model=MODEL)
    where = make_live(newest(prompt))
    change_environment(SYSTEM, where, Rules(suites=[suite.name]))
    return suite, prompt, where


def refusal(version: Any, where: Environment) -> SuiteNotGreen:
    with pytest.raises(SuiteNotGreen) as refused:
        deploying.deploy(SYSTEM, version, where, confirm=True)
    assert refused.value.status == 409 and refused.value.code == "suite_not_green"
    return refused.value


def test_a_version_that_was_not_tried_does_not_go_live(team: Team) -> None:
    suite, prompt, where = make_gate(team)
    second = make_version(prompt, model=MODEL)
    assert f"Run it on v2 with {MODEL}" in refusal(second, where).detail
    with answering("good"):
        make_run(suite, second)
        assert "v1" in refusal(second, where).detail, "The live version was not asked."
        make_run(suite, newest_live(prompt))
    event, is_new = deploying.deploy(SYSTEM, second, where, confirm=True)
    assert is_new and event.to_version_id == second.pk


def newest_live(prompt: Prompt) -> Any:
    return prompt.versions.select_related("prompt").get(number=1)


def test_one_required_case_that_flips_stops_it(team: Team) -> None:
    suite, prompt, where = make_gate(team, *FOUR, *({"variables": {"name": f"Fay {n}"}} for n in range(60)))
    second = make_version(prompt, "New {{name}}.", model=MODEL)
    with answering("good"):
        make_run(suite, newest_live(prompt))
    with answering(lambda request: "bad" if request.messages[-1].content == "New Ann." else "good"):
        make_run(suite, second)
    refused = refusal(second, where)
    assert "required and passed until now: case 1" in refused.detail
    assert refused.data["run"] and refused.data["live_run"]


def test_cases_that_are_not_required_may_flip_as_chance_has_it(team: Team) -> None:
    names = [{"variables": {"name": f"Fay {n}"}} for n in range(40)]
    suite, prompt, where = make_gate(team, {"required": True}, *names)
    second = make_version(prompt, "New {{name}}.", model=MODEL)

    def failing(*numbers: int) -> Any:
        bad = {f"Fay {n}." for n in numbers}
        return lambda request: "bad" if request.messages[-1].content.partition(" ")[2] in bad else "good"

    with answering(failing(1, 2)):
        make_run(suite, newest_live(prompt))
    with answering(failing(3, 4, 5, 6)):
        make_run(suite, second)
    (verdict,) = suite_gate.verdicts(second, where)
    assert verdict.is_green and verdict.comparison is not None
    assert len(verdict.comparison.flips("pass_to_fail")) == 4 and verdict.comparison.p_of_drop > 0.05
    with answering(failing(*range(3, 15))):
        make_run(suite, second)
    assert "chance alone" in refusal(second, where).detail


def test_what_flips_by_itself_is_no_reason(team: Team) -> None:
    suite, prompt, where = make_gate(team)
    second = make_version(prompt, model=MODEL)
    first = newest_live(prompt)
    with answering("bad"):
        make_run(suite, first)
    with answering("good"):
        make_run(suite, first)
    with answering(lambda request: "bad" if "Ann" in request.messages[-1].content else "good"):
        make_run(suite, second)
    (verdict,) = suite_gate.verdicts(second, where)
    assert verdict.comparison is not None and verdict.comparison.flips("pass_to_fail", required=True)
    assert verdict.is_green, verdict.problem


def test_answers_that_are_missing_are_no_verdict(team: Team) -> None:
    suite, prompt, where = make_gate(team)
    second = make_version(prompt, model=MODEL)
    with answering("good"):
        make_run(suite, newest_live(prompt))
        run = make_run(suite, second)
    run.results.filter(case_name="case 3").update(state="lost")
    assert "missing or could not be decided" in refusal(second, where).detail


def test_the_first_version_has_to_pass_what_is_required(team: Team) -> None:
    suite = make_suite(team, *FOUR)
    where = named(team.pk, "production")
    change_environment(SYSTEM, where, Rules(suites=[suite.name]))
    first = newest(make_prompt(team, model=MODEL))
    with answering("bad"):
        make_run(suite, first)
    assert "required and not passed: case 1" in refusal(first, where).detail
    with answering("good"):
        make_run(suite, first)
    assert deploying.deploy(SYSTEM, first, where)[1]


def green(suite: Suite, prompt: Prompt) -> Any:
    """Return a version 2 that may go live."""
    second = make_version(prompt, model=MODEL)
    with answering("good"):
        for version in (newest_live(prompt), second):
            make_run(suite, version)
    return second


def test_a_verdict_is_void_after_an_edit_of_the_suite_or_of_the_text(team: Team) -> None:
    suite, prompt, where = make_gate(team)
    second = green(suite, prompt)
    assert not policies.obstacles(SYSTEM, second, where)
    third = make_version(prompt, model=MODEL)
    assert "v3" in refusal(third, where).detail
    suites.add_case(SYSTEM, suite, Case("one more", {"name": "Flo"}))
    assert "no finished run of revision" in refusal(second, where).detail
    assert SuiteRun.objects.count() == 2


def test_a_verdict_is_void_when_another_model_was_asked(team: Team) -> None:
    suite, prompt, where = make_gate(team)
    second = make_version(prompt, model="rules-large")
    with answering("good"):
        for version in (newest_live(prompt), second):
            make_run(suite, version)
        assert "with rules-large" in refusal(second, where).detail
        make_run(suite, second, "rules-large")
    assert not policies.obstacles(SYSTEM, second, where)


def test_a_verdict_is_void_when_an_included_text_changes(team: Team) -> None:
    intro = make_prompt(team, "Hi.", name="intro")
    make_live(newest(intro))
    suite = make_suite(team, *FOUR)
    prompt = make_prompt(team, "{{> intro}} {{name}}", model=MODEL)
    where = make_live(newest(prompt))
    second = make_version(prompt, "{{> intro}} Dear {{name}}", model=MODEL)
    with answering("good"):
        for version in (newest_live(prompt), second):
            make_run(suite, version)
    change_environment(SYSTEM, where, Rules(suites=[suite.name]))
    assert not policies.obstacles(SYSTEM, second, where)
    change_environment(SYSTEM, where, Rules(suites=[]))
    make_live(make_version(intro, "Good day."))
    change_environment(SYSTEM, where, Rules(suites=[suite.name]))
    assert "no finished run" in refusal(second, where).detail


def test_only_the_prompt_of_a_suite_is_held_to_it(team: Team) -> None:
    prompt = make_prompt(team, model=MODEL)
    suite = make_suite(team, *FOUR, prompt=prompt)
    where = named(team.pk, "production")
    change_environment(SYSTEM, where, Rules(suites=[suite.name]))
    make_live(newest(make_prompt(team)))
    refusal(newest(prompt), where)


def test_promoting_planning_and_launching_ask_the_same(team: Team) -> None:
    suite, prompt, where = make_gate(team)
    second = make_version(prompt, model=MODEL)
    staging = make_live(second, "staging")
    with pytest.raises(SuiteNotGreen):
        deploying.promote(SYSTEM, prompt, staging, where, confirm=True)
    with pytest.raises(SuiteNotGreen):
        ramping.start_ramp(SYSTEM, second, where, confirm=True)
    planned = scheduling.schedule(SYSTEM, second, where, timezone.now() + timedelta(hours=1), confirm=True)
    ScheduledDeployment.objects.filter(pk=planned.pk).update(due_at=timezone.now() - timedelta(seconds=1))
    scheduling.run_due()
    planned.refresh_from_db()
    assert planned.state == "failed" and "no finished run" in planned.failure
    with answering("good"):
        for version in (newest_live(prompt), second):
            make_run(suite, version)
    assert ramping.start_ramp(SYSTEM, second, where, confirm=True).pk


def test_in_an_emergency_a_reason_passes(team: Team) -> None:
    _suite, prompt, where = make_gate(team)
    second = make_version(prompt, model=MODEL)
    deploying.deploy(SYSTEM, second, where, confirm=True, break_glass="The live text insults people.")
    assert AuditEntry.objects.get(verb="deployment.break_glass").after["passed"] == ["suite_not_green"]


def test_going_back_asks_for_nothing(team: Team) -> None:
    suite, prompt, where = make_gate(team)
    deploying.deploy(SYSTEM, green(suite, prompt), where, confirm=True)
    suites.add_case(SYSTEM, suite, Case("one more", {"name": "Flo"}))
    assert deploying.rollback(SYSTEM, prompt, where).to_version_id == newest_live(prompt).pk


def test_asking_for_a_review_has_both_versions_tried(team: Team) -> None:
    _suite, prompt, where = make_gate(team)
    second = make_version(prompt, model=MODEL)
    reviewing.submit_for_review(SYSTEM, second)
    assert {run.version.number for run in SuiteRun.objects.open()} == {1, 2}
    assert "is being asked" in refusal(second, where).detail
    assert not suite_gate.request_missing(SYSTEM, second, where), "They are asked already."
    with answering("good"):
        testing.work_on(SuiteRun.objects.order_by("id")[0].pk)
    assert not policies.obstacles(SYSTEM, second, where)
    assert not suite_gate.request_missing(SYSTEM, second, where)


def test_a_suite_that_cannot_be_run_does_not_stop_a_review(team: Team) -> None:
    suite, prompt, _where = make_gate(team)
    suites.update_suite(SYSTEM, suite, SuiteChanges(checks=[]))
    request, is_new = reviewing.submit_for_review(SYSTEM, make_version(prompt, model=MODEL))
    assert is_new and request.pk and not SuiteRun.objects.exists()


def test_what_an_environment_asks_for_is_set_whole_and_audited(team: Team) -> None:
    suite, _prompt, where = make_gate(team)
    other = make_suite(team, name="tone")
    entry = AuditEntry.objects.get(verb="environment.changed")
    assert entry.before == {"suites": []} and entry.after == {"suites": ["basics"]}
    changed = change_environment(SYSTEM, where, Rules(suites=[other.name]))
    assert changed.suite_names == ["tone"]
    change_environment(SYSTEM, where, Rules(suites=["tone"]))
    assert AuditEntry.objects.filter(verb="environment.changed").count() == 2
    with pytest.raises(Invalid) as refused:
        change_environment(SYSTEM, where, Rules(suites=["tone", "nothing"]))
    assert refused.value.problems[0].field == "suites"
    with pytest.raises(SuiteRequired):
        suites.archive_suite(SYSTEM, other)
    suites.archive_suite(SYSTEM, suite)


def test_noise_alone_stops_at_most_one_in_twenty(team: Team) -> None:
    """Two hundred comparisons of a version with itself, asked of a model that is right by chance, case by case otherwise."""
    chances = random.Random(7)
    right = {f"case {number}": chances.choice([0.3, 0.6, 0.8, 0.95]) for number in range(2, 24)}
    steady = [{"name": "case 1", "required": True}]
    suite, prompt, where = make_gate(team, *steady, *({"name": name, "variables": {"name": name}} for name in right))
    second = make_version(prompt, "Hello {{name}}, hello.", model=MODEL)

    def noisy(request: CompletionRequest) -> str:
        name = request.messages[-1].content.removeprefix("Hello ").removesuffix(".").removesuffix(", hello")
        return "good" if chances.random() < right.get(name, 1.0) else "bad"

    with answering(noisy):
        runs = [make_run(suite, version) for version in (newest_live(prompt), second)]
    stopped = 0
    rows = [list(run.results.all()) for run in runs]
    for _again in range(200):
        for one in (row for found in rows for row in found):
            one.state = "passed" if chances.random() < right.get(one.case_name, 1.0) else "failed"
        for found in rows:
            type(found[0]).objects.bulk_update(found, ["state"])
        stopped += any(not one.is_green for one in suite_gate.verdicts(second, where))
    assert stopped <= 10, stopped


def test_the_checks_of_a_suite_bear_on_its_revision(team: Team) -> None:
    suite = make_suite(team)
    was = suite.revision
    suites.update_suite(SYSTEM, suite, SuiteChanges(description="What we promise."))
    suite.refresh_from_db()
    assert suite.revision == was
    suites.update_suite(SYSTEM, suite, SuiteChanges(checks=[Check("is_json", {})]))
    suite.refresh_from_db()
    assert suite.revision == was + 1
