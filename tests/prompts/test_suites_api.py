"""Test suites over REST: made, filled, imported, run, compared, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from promptlab.audit.models import AuditEntry
from prompts.models import Prompt, SuiteCase, SuiteRun
from prompts.services import testing
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_live, make_prompt, make_version, newest
from tests.support.suites import MODEL, answering

pytestmark = pytest.mark.django_db
GOOD = {"kind": "contains", "options": {"values": ["good"]}}


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    return make_prompt(cast.team, title="Greeting", model=MODEL)


@pytest.fixture
def acme(cast: Cast, prompt: Prompt) -> Api:
    """A caller of Acme's, with a suite `basics` of one case."""
    api = Api(cast.key)
    assert api.post("/suites", {"name": "basics", "prompt": "greeting", "checks": [GOOD]}).status_code == 201
    assert api.post("/suites/basics/cases", {"name": "Ann", "variables": {"name": "Ann"}}).status_code == 201
    return api


def test_a_suite_is_made_filled_and_changed(acme: Api) -> None:
    case = {
        "name": "Bob",
        "variables": {"name": "Bob"},
        "messages": [{"role": "user", "content": "Hello?"}],
        "expected": "Hello Bob",
        "tags": ["polite"],
        "required": True,
        "repeats": 3,
        "checks": [{"kind": "equals", "options": {}}, {"kind": "length", "options": {"most": 50}}],
    }
    made = acme.post("/suites/basics/cases", case)
    assert made.status_code == 201 and made.json()["required"] is True
    assert made.json()["checks"][0] == {"kind": "equals", "options": {"value": None, "ignore_case": False}}
    url = f"/suites/basics/cases/{made.json()['id']}"
    assert acme.get(url).json() == made.json()
    suite = acme.get("/suites/basics").json()
    assert (suite["case_count"], suite["revision"], suite["prompt"]) == (2, 3, "greeting")
    assert acme.put(url, {**case, "required": False}).json()["required"] is False
    assert acme.put(url, {**case, "required": False}).status_code == 200
    assert acme.get("/suites/basics").json()["revision"] == 4, "The same again changes nothing."
    assert acme.delete(url).status_code == 204
    assert acme.patch("/suites/basics", {"name": "greetings", "description": "x"}).json()["name"] == "greetings"
    assert [one["name"] for one in acme.get("/suites").json()["results"]] == ["greetings"]
    assert acme.delete("/suites/greetings").status_code == 204
    assert acme.get("/suites/greetings").status_code == 404
    verbs = list(AuditEntry.objects.filter(verb__startswith="suite.").values_list("verb", flat=True).order_by("id"))
    assert verbs == [
        "suite.created", "suite.case_added", "suite.case_added", "suite.case_changed", "suite.case_removed",
        "suite.changed", "suite.archived",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "Has blanks"}, "name"),
        ({"name": "x", "prompt": 5}, ""),
        ({"name": "x", "checks": [{"kind": "nice"}]}, "checks.0.kind"),
        ({"name": "x", "checks": [{"kind": "regex", "options": {"pattern": "("}}]}, "checks.0.options.pattern"),
        (
            {"name": "x", "checks": [{"kind": "json_schema", "options": {"schema": {"type": 5}}}]},
            "checks.0.options.schema",
        ),
        ({"name": "x", "checks": [GOOD] * 21}, "checks"),
    ],
)
def test_a_wrong_suite_names_the_field(acme: Api, body: Any, field: str) -> None:
    answer = acme.post("/suites", body)
    assert 400 <= answer.status_code < 500
    assert not field or answer.json()["errors"][0]["field"] == field, answer.json()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "x", "variables": []}, "variables"),
        ({"name": "x", "messages": [{"role": "boss", "content": ""}]}, "messages.0.role"),
        ({"name": "x", "repeats": 0}, "repeats"),
        ({"name": "x", "repeats": 21}, "repeats"),
        ({"name": "x", "tags": ["two words"]}, "tags"),
        ({"name": "x", "variables": {"a": "x" * 100_001}}, "variables"),
        ({"name": "x" * 101}, "name"),
        ({"name": "x", "checks": [{"kind": "length"}]}, "checks.0.options.most"),
    ],
)
def test_a_wrong_case_names_the_field(acme: Api, body: Any, field: str) -> None:
    answer = acme.post("/suites/basics/cases", body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field), answer.json()


def test_names_are_told_apart(acme: Api) -> None:
    assert acme.post("/suites", {"name": "basics"}).json()["code"] == "name_taken"
    assert acme.post("/suites/basics/cases", {"name": "Ann"}).json()["code"] == "case_taken"
    assert acme.post("/suites/basics/import?format=csv", b"name,who\nAnn,x\n").json()["code"] == "case_taken"


def test_a_case_is_added_once_however_often_it_is_sent(acme: Api) -> None:
    for _ in range(2):
        sent = acme.post("/suites/basics/cases", {"name": "Bob"}, **{"Idempotency-Key": "one"})
        assert sent.status_code == 201
    assert SuiteCase.objects.filter(name="Bob").count() == 1


CSV = """name,name_of,message,expected,required,repeats,contains,tags
One,Ann,Hello?,,yes,2,good|day,a b
,Bob,,Fine,,,,
"""
JSONL = '{"name": "One", "variables": {"name": "Ann"}}\n\n{"name": "Two", "required": true}\n'
PROMPTFOO = """
prompts: [file://x.txt]
defaultTest:
  vars: {tone: kind}
  assert:
    - type: not-icontains
      value: sorry
tests:
  - description: Refund
    vars: {name: Ann}
    assert:
      - type: contains-any
        value: [refund, money]
      - type: is-json
        value: {type: object}
      - type: llm-rubric
        value: Is kind
        threshold: 0.8
  - vars: {name: Bob}
    assert:
      - type: equals
        value: 42
"""


def test_cases_come_from_files(acme: Api) -> None:
    planned = acme.post("/suites/basics/import?format=csv&dry_run=1", CSV.encode()).json()
    assert (
        planned["dry_run"] and planned["revision"] == 2 and len(acme.get("/suites/basics/cases").json()["results"]) == 1
    )
    added = acme.post("/suites/basics/import?format=csv", CSV.encode()).json()
    assert added == {**planned, "revision": 3, "dry_run": False} and added["cases"] == len(added["names"]) == 2
    one = acme.get("/suites/basics/cases").json()["results"][1]
    assert one["variables"] == {"name_of": "Ann"} and one["messages"] == [{"role": "user", "content": "Hello?"}]
    assert (one["required"], one["repeats"], one["tags"]) == (True, 2, ["a", "b"])
    assert one["checks"][0]["options"]["values"] == ["good", "day"]
    acme.post("/suites", {"name": "lines"})
    assert acme.post("/suites/lines/import", JSONL.encode()).json()["cases"] == 2
    acme.post("/suites", {"name": "foo"})
    answer = acme.post("/suites/foo/import?format=promptfoo&judge=judge", PROMPTFOO.encode())
    assert answer.json()["cases"] == 2, answer.json()
    refund, second = acme.get("/suites/foo/cases").json()["results"]
    assert [one["kind"] for one in refund["checks"]] == ["not_contains", "contains", "json_schema", "judge"]
    assert refund["variables"] == {"tone": "kind", "name": "Ann"} and refund["checks"][3]["options"]["least"] == 0.8
    assert second["name"] == "Test 2" and second["checks"][1]["options"]["value"] == "42"


def test_what_goes_out_comes_in_again(acme: Api) -> None:
    acme.post("/suites/basics/import?format=csv", CSV.encode())
    out = acme.get("/suites/basics/export")
    assert out["Content-Type"] == "application/jsonl"
    acme.post("/suites", {"name": "copy"})
    assert acme.post("/suites/copy/import", out.content).json()["cases"] == 3
    assert acme.get("/suites/copy/export").content == out.content


@pytest.mark.parametrize(
    ("format", "data", "told"),
    [
        ("csv", "a,a\n1,2\n", "line 1"),
        ("csv", "name,x\nOne\n", "line 2"),
        ("csv", "name,required\nOne,perhaps\n", "line 2"),
        ("csv", "name\n" + "One\nOne\n", "another case"),
        ("csv", "", "no case"),
        ("csv", b"name\n\xff\n", "line 2"),
        ("csv", "name\n" + "\n".join(f"n{n}" for n in range(1001)), "more than 1000"),
        ("jsonl", "{}\n", "line 1"),
        ("jsonl", '{"name": "One"}\n{"name": "Two", "check": []}\n', "line 2"),
        ("jsonl", "[" * 5000, "line 1"),
        ("promptfoo", "tests:\n  - assert:\n      - type: javascript\n        value: x\n", "'javascript'"),
        ("promptfoo", "tests:\n  - assert:\n      - type: similar\n        value: x\n", "line 3"),
        ("promptfoo", "tests:\n  - options: {}\n", "'options'"),
        ("promptfoo", "tests:\n  - assert:\n      - {type: equals, value: x, transform: y}\n", "'transform'"),
        ("promptfoo", "tests:\n  - assert:\n      - {type: llm-rubric, value: x}\n", "judge"),
        ("promptfoo", "tests: file://x.csv\n", "no list of tests"),
        ("promptfoo", "a: &a [*a, *a]\ntests: *a\n", "line 1"),
        ("xlsx", "x", "format"),
    ],
)
def test_a_file_that_cannot_be_taken_over_says_where(acme: Api, format: str, data: str | bytes, told: str) -> None:
    raw = data if isinstance(data, bytes) else data.encode()
    answer = acme.post(f"/suites/basics/import?format={format}", raw)
    assert answer.status_code == 400 and told in answer.json()["detail"].replace("Line", "line"), answer.json()
    assert SuiteCase.objects.count() == 1


def test_a_run_is_asked_for_watched_and_compared(acme: Api, prompt: Prompt) -> None:
    said = acme.post("/suites/basics/estimate", {"models": ["echo"]})
    assert said.json() == {"calls": 1, "most_usd": "0.000000000"}
    asked = acme.post("/suites/basics/runs", {"note": "First."})
    assert asked.status_code == 201, asked.json()
    run = asked.json()
    assert (run["state"], run["total"], run["done"], run["models"], run["version"]) == ("queued", 1, 0, [MODEL], 1)
    with answering("good"):
        testing.work_on(run["id"])
    shown = acme.get(f"/runs/{run['id']}").json()
    assert (shown["state"], shown["passed"], shown["calls"], shown["unpriced_calls"]) == ("finished", 1, 1, 1)
    assert shown["shares"][0]["rate"] == 1.0 and shown["shares"][0]["low"] == pytest.approx(0.2065, abs=1e-4)
    (result,) = acme.get(f"/runs/{run['id']}/results").json()["results"]
    assert result["text"] == "good" and result["outcomes"][0]["passed"] is True
    make_version(prompt, model=MODEL)
    second = acme.post("/suites/basics/runs", {"version": "2"}).json()
    with answering("bad"):
        testing.work_on(second["id"])
    found = acme.get(f"/runs/{second['id']}/compare/{run['id']}").json()
    assert [(one["case"], one["flip"]) for one in found["changes"]] == [("Ann", "pass_to_fail")]
    assert found["p_of_drop"] == 0.5 and found["is_drop"] is False
    assert [one["id"] for one in acme.get("/runs?state=finished&suite=basics&version=1").json()["results"]] == [
        run["id"]
    ]
    assert acme.get(f"/runs/{run['id']}/results?state=failed").json()["count"] == 0


def test_a_run_is_cancelled_once_and_does_not_go_on(acme: Api) -> None:
    run = acme.post("/suites/basics/runs", {}).json()["id"]
    for _ in range(2):
        assert acme.post(f"/runs/{run}/cancel").json()["state"] == "cancelled"
    assert acme.post(f"/runs/{run}/go-on").json()["code"] == "run_over"


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"version": "9"}, 404, "version_not_found"),
        ({"prompt": "nothing"}, 404, "prompt_not_found"),
        ({"models": ["x" * 300]}, 400, "max_length"),
        ({"models": ["m"] * 11}, 400, "max_length"),
        ({"models": ["echo-nonsense"]}, 400, "model_not_found"),
        ({"budget_usd": "-1"}, 400, "min_value"),
        ({"budget_usd": "NaN"}, 400, "invalid"),
        ({"environment": "moon"}, 404, "environment_not_found"),
    ],
)
def test_a_wrong_order_is_refused(acme: Api, body: Any, status: int, told: str) -> None:
    for path in ("/suites/basics/runs", "/suites/basics/estimate"):
        answer = acme.post(path, body)
        problem = answer.json()
        codes = [problem["code"], *(one["code"] for one in problem.get("errors") or [])]
        assert answer.status_code == status and told in codes, problem
    assert not SuiteRun.objects.exists()


def test_a_case_that_does_not_fit_the_prompt_is_named(acme: Api) -> None:
    acme.post("/suites/basics/cases", {"name": "Nobody"})
    refused = acme.post("/suites/basics/runs", {}).json()
    assert refused["code"] == "suite_not_ready" and refused["errors"][0]["field"] == "cases.Nobody"


def test_a_suite_for_all_prompts_is_asked_of_one(acme: Api, cast: Cast) -> None:
    acme.post("/suites", {"name": "all", "checks": [GOOD]})
    acme.post("/suites/all/cases", {"name": "One", "variables": {"name": "x"}})
    assert acme.post("/suites/all/runs", {}).json()["errors"][0]["field"] == "prompt"
    assert acme.post("/suites/all/runs", {"prompt": "greeting"}).status_code == 201
    make_prompt(cast.team, title="Other")
    assert acme.post("/suites/basics/runs", {"prompt": "other"}).json()["errors"][0]["field"] == "version"


def test_an_environment_asks_for_a_suite(acme: Api, prompt: Prompt) -> None:
    make_live(newest(prompt))
    changed = acme.patch("/environments/production", {"suites": ["basics"]})
    assert changed.json()["suites"] == ["basics"]
    assert acme.get("/environments").json()[2]["suites"] == ["basics"]
    assert acme.patch("/environments/production", {"suites": ["x"]}).json()["errors"][0]["field"] == "suites"
    assert acme.delete("/suites/basics").json()["code"] == "suite_required"
    make_version(prompt, model=MODEL)
    move = {"prompt_name": "greeting", "environment": "production", "version": 2}
    refused = acme.post("/deployments", move)
    assert (refused.status_code, refused.json()["code"]) == (409, "suite_not_green")
    assert "Run it on v2" in refused.json()["detail"]
    (verdict,) = acme.get("/prompts/greeting/versions/2/verdicts").json()
    assert verdict["is_green"] is False and verdict["run"] is None
    made = acme.post("/prompts/greeting/versions/2/verdicts").json()
    assert sorted(one["version"] for one in made) == [1, 2]
    assert acme.post("/prompts/greeting/versions/2/verdicts").json() == []
    with answering("good"):
        testing.work_on(made[0]["id"])
    (verdict,) = acme.get("/prompts/greeting/versions/2/verdicts?environment=production").json()
    assert verdict["is_green"] and verdict["p_of_drop"] == 1.0 and verdict["run"] and verdict["live_run"]
    assert acme.post("/deployments", move).status_code == 201


def test_a_suite_of_a_private_prompt_is_as_private(cast: Cast) -> None:
    owner, other = Api(), Api()
    owner.client.force_login(cast.ann)
    other.client.force_login(cast.ben)
    mine = owner.post("/collections", {"name": "Mine", "visibility": "private"})
    assert mine.status_code == 201, mine.json()
    owner.post("/prompts", {"title": "Secret", "content": "Hi", "collection_id": mine.json()["id"]})
    assert owner.post("/suites", {"name": "hidden", "prompt": "secret", "checks": [GOOD]}).status_code == 201
    owner.post("/suites/hidden/cases", {"name": "One"})
    run = owner.post("/suites/hidden/runs", {"models": ["echo"]}).json()["id"]
    for path in ("/suites/hidden", f"/runs/{run}", f"/runs/{run}/results", f"/runs/{run}/compare/{run}"):
        assert (owner.get(path).status_code, other.get(path).status_code) == (200, 404), path
    assert other.get("/suites").json()["count"] == other.get("/runs").json()["count"] == 0


def test_an_answer_shows_every_character(acme: Api) -> None:
    said = "good \u200b👩‍🚀 \r\n\t{{name}} <b>"
    run = acme.post("/suites/basics/runs", {}).json()["id"]
    with answering(said):
        testing.work_on(run)
    assert json.loads(acme.get(f"/runs/{run}/results").content)["results"][0]["text"] == said
