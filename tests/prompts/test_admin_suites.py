"""An editor makes a test suite, fills it by form and by file, runs it, compares, and sees what it says before going live."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from promptlab.accounts.access import SYSTEM
from prompts.checks.cases import Case, checks_from
from prompts.models import Prompt, Suite, SuiteCase, SuiteRun
from prompts.services import suites, testing
from prompts.services.environments import Rules, change_environment
from tests.support.cast import Cast
from tests.support.make import make_live, make_prompt, make_version, newest
from tests.support.suites import MODEL, answering, make_run, make_suite

pytestmark = pytest.mark.django_db


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    return make_prompt(cast.team, "Hello {{name}}, on {{day}}.", title="Greeting", model=MODEL)


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def url(name: str, *args: object) -> str:
    return reverse(f"admin:prompts_{name}", args=args)


def text(answer: Any) -> str:
    html: str = answer.content.decode()
    return html


def test_an_editor_makes_a_suite_without_code(cast: Cast, prompt: Prompt) -> None:
    ann = signed_in(cast.ann)
    made = ann.post(
        url("suite_add"), {"name": "basics", "prompt": prompt.pk, "not_contains": "sorry\nunable", "most": 500}
    )
    suite = Suite.objects.get()
    assert made.url == url("suite_change", suite.pk)
    form = text(ann.get(url("suite_case_add", suite.pk)))
    assert "Blank: name" in form and "Blank: day" in form
    case = {
        "name": "Monday",
        "blank_name": "Ann",
        "blank_day": "Monday",
        "said": "Hello?",
        "expected": "Hello Ann",
        "is_required": "on",
        "repeats": 2,
        "tags": "polite short",
        "contains": "Hello\nAnn",
        "alike": 80,
        "further": '[{"kind": "regex", "options": {"pattern": "^Hello"}}]',
    }
    answer = ann.post(url("suite_case_add", suite.pk), case)
    assert answer.status_code == 302, answer.context["form"].errors
    row = SuiteCase.objects.get()
    assert row.variables == {"name": "Ann", "day": "Monday"} and row.is_required and row.repeats == 2
    assert [one.kind for one in suites.case_of(row).checks] == ["contains", "similarity", "regex"]
    page = text(ann.get(url("suite_change", suite.pk)))
    assert "Monday" in page and "It has none of: sorry, unable" in page and "required" in page


def test_a_form_that_is_sent_as_it_is_shown_changes_nothing(cast: Cast, prompt: Prompt) -> None:
    checks = [
        {"kind": "equals"},
        {"kind": "contains", "options": {"values": ["a", "b"]}},
        {"kind": "contains", "options": {"values": ["c"], "any": True}},
        {"kind": "length", "options": {"least": 3}},
        {"kind": "structure", "options": {"shape": {"a": "list"}}},
        {"kind": "judge", "options": {"prompt": "judge", "rubric": "Be kind."}},
    ]
    suite = suites.create_suite(SYSTEM, cast.team.pk, name="basics", prompt=prompt)
    said = [
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "Two"},
        {"role": "user", "content": "Three"},
    ]
    told = {"name": "Ann", "day": 5, "more": ["x"]}
    case = Case("One", told, tuple(said), "Hi", ("a",), True, 3, checks_from(checks))  # type: ignore[arg-type]
    row = suites.add_case(SYSTEM, suite, case)
    ann = signed_in(cast.ann)
    form = ann.get(url("suite_case", suite.pk, row.pk)).context["form"]
    sent = {name: form[name].value() for name in form.fields}
    sent = {name: value for name, value in sent.items() if value not in (None, False)}
    answer = ann.post(url("suite_case", suite.pk, row.pk), sent)
    assert answer.status_code == 302, answer.context["form"].errors
    kept = SuiteCase.objects.get()
    assert kept.variables == told and kept.messages == said
    again = suites.case_of(kept)
    assert sorted(again.to_dict()["checks"], key=str) == sorted(case.to_dict()["checks"], key=str)


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"name": ""}, "Give the case a name."),
        ({"name": "x", "repeats": 99}, "20"),
        ({"name": "x", "blanks": "no colon"}, "a colon and a value"),
        ({"name": "x", "further": "{"}, "no list of JSON"),
        ({"name": "x", "further": '[{"kind": "nice"}]'}, "no check"),
        ({"name": "x", "judge": "judge"}, "what it judges by"),
        ({"name": "taken"}, "Choose another name."),
    ],
)
def test_what_is_wrong_is_said_and_kept(cast: Cast, prompt: Prompt, sent: dict[str, Any], told: str) -> None:
    suite = make_suite(cast.team, {"name": "taken"}, prompt=prompt)
    answer = signed_in(cast.ann).post(url("suite_case_add", suite.pk), {"repeats": 1, **sent})
    assert answer.status_code == 200 and told in text(answer)
    assert SuiteCase.objects.count() == 1


def test_cases_come_from_a_file_and_go_out(cast: Cast, prompt: Prompt) -> None:
    suite, ann = make_suite(cast.team, prompt=prompt), signed_in(cast.ann)
    assert "Format" in text(ann.get(url("suite_import", suite.pk)))
    file = SimpleUploadedFile("cases.csv", b"name,day\nA,Monday\nB,Friday\n")
    looked = text(ann.post(url("suite_import", suite.pk), {"file": file, "format": "csv"}))
    assert "2 cases would be added" in looked and "day: Friday" in looked and SuiteCase.objects.count() == 1
    carried = re.search(r'name="packed" value="([^"]+)"', looked)
    assert carried, looked
    order = {"packed": carried[1], "format": "csv", "go": "1"}
    assert ann.post(url("suite_import", suite.pk), order).status_code == 302
    assert SuiteCase.objects.count() == 3
    assert "Choose a file." in text(ann.post(url("suite_import", suite.pk), {"format": "csv"}))
    wrong = SimpleUploadedFile("x.yaml", b"tests:\n  - assert: [{type: python, value: x}]\n")
    refused = ann.post(url("suite_import", suite.pk), {"file": wrong, "format": "promptfoo"})
    assert "python" in text(refused) and SuiteCase.objects.count() == 3
    assert signed_in(cast.vic).get(url("suite_export", suite.pk)).content.count(b"\n") == 3


def test_a_run_is_priced_begun_and_looked_at(cast: Cast) -> None:
    prompt = make_prompt(cast.team, model=MODEL)
    suite, ann = make_suite(cast.team, prompt=prompt), signed_in(cast.ann)
    order = {
        "prompt": prompt.pk,
        "version": "latest",
        "models": ["echo"],
        "environment": ann.get(url("suite_run", suite.pk)).context["form"]["environment"].value(),
        "budget": "1",
    }
    priced = text(ann.post(url("suite_run", suite.pk), {**order, "estimate": "1"}))
    assert "1 call." in priced and "$0.0000 at most" in priced and not SuiteRun.objects.exists()
    begun = ann.post(url("suite_run", suite.pk), {**order, "go": "1"})
    run = SuiteRun.objects.get()
    assert begun.url == url("suiterun_change", run.pk)
    assert "Cancel…" in text(ann.get(begun.url))
    testing.work_on(run.pk)
    shown = text(ann.get(begun.url))
    assert "0/1" in shown and "Missing: good." in shown and "1 of 1 answers" in shown
    assert "Hello Ann." in shown, "The answer itself."
    assert "no version" in text(ann.post(url("suite_run", suite.pk), {**order, "version": "9", "go": "1"}))


def test_two_runs_are_compared_flips_first(cast: Cast) -> None:
    prompt = make_prompt(cast.team, model=MODEL)
    suite = make_suite(cast.team, {}, {"variables": {"name": "Bob"}, "required": True}, prompt=prompt)
    with answering("good"):
        before = make_run(suite, newest(prompt))
        again = make_run(suite, newest(prompt))
    with answering(lambda request: "bad" if "Bob" in request.messages[-1].content else "good"):
        after = make_run(suite, newest(prompt))
    vic = signed_in(cast.vic)
    page = text(vic.get(url("suiterun_compare", after.pk, before.pk)))
    assert "Passed until now" in page and page.index("case 2") < page.index("case 1")
    assert "Not beyond noise" in page
    shown = text(vic.get(url("suiterun_change", again.pk)))
    assert "0 cases of 2 flipped" in shown and url("suiterun_compare", again.pk, before.pk) in shown
    assert text(vic.get(url("suiterun_changelist"))).count("basics on") >= 3


def test_a_run_is_cancelled_or_goes_on(cast: Cast) -> None:
    prompt = make_prompt(cast.team, model=MODEL)
    suite, ann = make_suite(cast.team, prompt=prompt), signed_in(cast.ann)
    run = make_run(suite, newest(prompt), works=False)
    assert "broken off" in text(ann.get(url("suiterun_cancel", run.pk)))
    ann.post(url("suiterun_cancel", run.pk))
    run.refresh_from_db()
    assert run.state == "cancelled"
    other = make_run(suite, newest(prompt), works=False)
    SuiteRun.objects.filter(pk=other.pk).update(state="stopped")
    assert "Ask again…" in text(ann.get(url("suiterun_change", other.pk)))
    ann.post(url("suiterun_go_on", other.pk), {"budget": "7"})
    other.refresh_from_db()
    assert other.state == "queued" and other.budget_usd == 7


def test_a_viewer_looks_and_changes_nothing(cast: Cast, prompt: Prompt) -> None:
    suite = make_suite(cast.team, prompt=prompt)
    vic, pk = signed_in(cast.vic), suite.cases.get().pk
    page = text(vic.get(url("suite_change", suite.pk)))
    assert "case 1" in page and url("suite_run", suite.pk) not in page
    for name in ("case_add", "import", "run", "settings", "archive"):
        assert vic.get(url(f"suite_{name}", suite.pk)).status_code == 403, name
        assert vic.post(url(f"suite_{name}", suite.pk), {"name": "x"}).status_code == 403, name
    for name in ("case", "case_remove"):
        assert vic.post(url(f"suite_{name}", suite.pk, pk)).status_code == 403, name
    assert signed_in(cast.zoe).get(url("suite_change", suite.pk)).status_code == 404


def test_a_suite_is_renamed_and_put_away(cast: Cast, prompt: Prompt) -> None:
    suite, ann = make_suite(cast.team, prompt=prompt), signed_in(cast.ann)
    assert ann.post(url("suite_settings", suite.pk), {"name": "other", "contains": "good"}).status_code == 302
    suite.refresh_from_db()
    assert suite.name == "other"
    ann.post(url("suite_case_remove", suite.pk, suite.cases.get().pk))
    assert not suite.cases.exists()
    ann.post(url("suite_archive", suite.pk))
    assert ann.get(url("suite_change", suite.pk)).status_code == 404


def test_before_going_live_the_page_says_what_the_suites_say(cast: Cast) -> None:
    prompt = make_prompt(cast.team, model=MODEL)
    where = make_live(newest(prompt))
    suite = make_suite(cast.team, prompt=prompt)
    cleo = signed_in(cast.cleo)
    rules = {"approvals_needed": 0, "position": 3, "suites": ["basics"], "drift_budget_usd": "0"}
    assert cleo.post(url("environment_change", where.pk), rules).status_code == 302
    assert where.suite_names == ["basics"]
    make_version(prompt, model=MODEL)
    deploy = url("prompt_deploy", prompt.pk, "production")
    page = text(cleo.get(deploy))
    assert "not green" in page and "Run it on v2" in page
    assert "Run what is missing" not in text(signed_in(cast.ben).get(deploy)), "He publishes, and writes nothing."
    trying = url("prompt_try", prompt.pk, "production")
    assert "basics" in text(cleo.get(trying))
    cleo.post(trying, {"version": "2"})
    with answering("good"):
        testing.work_on(SuiteRun.objects.order_by("id")[0].pk)
    assert SuiteRun.objects.filter(suite=suite, state="finished").count() == 2
    page = text(cleo.get(deploy))
    assert "not green" not in page and "green" in page
    change_environment(SYSTEM, where, Rules(suites=[]))
    assert "Test suites</h2>" not in text(cleo.get(deploy))
