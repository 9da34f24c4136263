"""The life of an experiment over REST."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.models import Experiment
from experiments.services import lifecycle
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.audit.models import AuditEntry
from promptlab.lib.errors import NotFound
from prompts.models import Environment
from prompts.services.environments import named
from tests.support.api import Api
from tests.support.make import make_experiment, make_key, make_prompt, make_team, make_version

pytestmark = pytest.mark.django_db
HALVES = [{"key": "control", "version": 1, "weight_bp": 5000}, {"key": "short", "version": 2, "weight_bp": 5000}]
LEGAL = {
    ("draft", "start"): "running",
    ("draft", "kill"): "killed",
    ("running", "pause"): "paused",
    ("running", "stop"): "stopped",
    ("running", "kill"): "killed",
    ("paused", "resume"): "running",
    ("paused", "stop"): "stopped",
    ("paused", "kill"): "killed",
    ("killed", "kill"): "killed",
}
WAY = {
    "draft": [],
    "running": ["start"],
    "paused": ["start", "pause"],
    "stopped": ["start", "stop"],
    "killed": ["kill"],
}


@pytest.fixture(autouse=True)
def greeting(team: Team, api: Api) -> None:
    """Two versions; the first one live in Production."""
    make_version(make_prompt(team, title="Greeting"))
    api.post("/deployments", {"prompt_name": "greeting", "environment": "production", "version": 1})


def body(**changes: Any) -> dict[str, Any]:
    return {"title": "Shorter?", "prompt_name": "greeting", "environment": "production", "variants": HALVES, **changes}


def made(api: Api, **changes: Any) -> dict[str, Any]:
    answer = api.post("/experiments", body(**changes))
    assert answer.status_code == 201, answer.content
    found: dict[str, Any] = answer.json()
    return found


def revision(team: Team) -> int:
    return Environment.objects.get(team=team, name="production").revision


def test_a_draft_is_made_with_its_variants(api: Api, team: Team) -> None:
    draft = made(api, hypothesis="People like it short")
    assert (draft["key"], draft["state"], draft["phase"], draft["coverage_bp"]) == ("shorter", "draft", 1, 10_000)
    assert (draft["prompt_name"], draft["environment"], draft["hypothesis"]) == (
        "greeting",
        "production",
        "People like it short",
    )
    assert [(v["key"], v["is_control"], v["weight_bp"], v["version"]) for v in draft["variants"]] == [
        ("control", True, 5000, 1),
        ("short", False, 5000, 2),
    ]
    assert draft["started_at"] is None
    for reference in ("shorter", str(draft["id"])):
        assert api.get(f"/api/v1/experiments/{reference}/").json() == draft
    assert api.get("/experiments").json()["results"] == [draft]
    assert revision(team) == 1


def test_shares_may_be_given_in_percent_and_versions_by_name(api: Api) -> None:
    api.post("/prompts/greeting/versions", {"content": "Hey {{name}}", "version_string": "v2.0"})
    variants = [
        {"key": "control", "version": 1, "weight": 33.34},
        {"key": "a", "version": 2, "weight": "33.33"},
        {"key": "b", "version_string": "v2.0", "weight_bp": 3333},
    ]
    found = made(api, variants=variants)["variants"]
    assert [variant["weight_bp"] for variant in found] == [3334, 3333, 3333]
    assert found[2]["version"] == 3


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"title": "  "}, "title"),
        ({"key": "Has Space"}, "key"),
        ({"key": "12"}, "key"),
        ({"key": "a..b"}, "key"),
        ({"coverage_bp": 0}, "coverage_bp"),
        ({"coverage_bp": 10_001}, "coverage_bp"),
        ({"coverage_bp": 10**30}, "coverage_bp"),
        ({"variants": []}, "variants"),
        ({"variants": HALVES[:1]}, "variants"),
        ({"variants": [*HALVES, *({"key": f"v{n}", "version": 1, "weight_bp": 0} for n in range(4))]}, "variants"),
        ({"variants": [HALVES[0], {**HALVES[1], "weight_bp": 4999}]}, "variants"),
        ({"variants": [HALVES[0], {**HALVES[1], "weight_bp": -1}]}, "variants.1.weight_bp"),
        ({"variants": [HALVES[0], {**HALVES[1], "key": "control"}]}, "variants"),
        ({"variants": [HALVES[0], {**HALVES[1], "key": "No Good"}]}, "variants.1.key"),
        ({"variants": [HALVES[0], {"key": "x", "version": 2}]}, "variants.1.weight_bp"),
        ({"variants": [HALVES[0], {**HALVES[1], "weight": 50}]}, "variants.1.weight_bp"),
        ({"variants": [HALVES[0], {"key": "x", "weight_bp": 5000}]}, "variants.1.version"),
        ({"variants": [HALVES[0], {**HALVES[1], "weight_bp": "NaN"}]}, "variants.1.weight_bp"),
        ({"variants": {"control": 1}}, "variants"),
    ],
)
def test_what_cannot_be_is_refused_by_field(api: Api, changes: dict[str, Any], field: str) -> None:
    answer = api.post("/experiments", body(**changes))
    assert answer.status_code == 400, answer.content
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert Experiment.objects.count() == 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"prompt_name": "nobody"}, "prompt_not_found"),
        ({"environment": "moon"}, "environment_not_found"),
        ({"variants": [HALVES[0], {**HALVES[1], "version": 9}]}, "version_not_found"),
        ({"team_id": 10**30}, "prompt_not_found"),
    ],
)
def test_what_is_not_there_is_a_404(api: Api, changes: dict[str, Any], code: str) -> None:
    answer = api.post("/experiments", body(**changes))
    assert (answer.status_code, answer.json()["code"]) == (404, code)


def test_an_archived_prompt_gets_no_experiment(api: Api) -> None:
    api.delete("/prompts/greeting")
    assert api.post("/experiments", body()).json()["code"] == "prompt_archived"


def test_a_key_is_given_once_and_one_that_is_made_gets_a_number(api: Api) -> None:
    made(api)
    again = api.post("/experiments", body(key="shorter"))
    assert (again.status_code, again.json()["code"]) == (409, "key_taken")
    assert made(api)["key"] == "shorter-2"


@pytest.mark.parametrize(("title", "key"), [("2024", "experiment-2024"), ("短い", "experiment"), ("x" * 200, "x" * 90)])
def test_any_title_gives_a_key_that_can_be_asked_for(api: Api, title: str, key: str) -> None:
    assert made(api, title=title)["key"] == key
    assert api.get(f"/experiments/{key}").json()["title"] == title


@pytest.mark.parametrize("verb", ["start", "pause", "resume", "stop", "kill"])
@pytest.mark.parametrize("state", WAY)
def test_every_move_from_every_state(api: Api, team: Team, state: str, verb: str) -> None:
    made(api)
    for earlier in WAY[state]:
        assert api.post(f"/experiments/shorter/{earlier}").status_code == 200
    revision_before, entries_before = revision(team), AuditEntry.objects.count()
    answer = api.post(f"/experiments/shorter/{verb}", {"note": "because"})
    moved = LEGAL.get((state, verb))
    if moved is None:
        assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")
    else:
        assert (answer.status_code, answer.json()["state"]) == (200, moved)
    assert api.get("/experiments/shorter").json()["state"] == (moved or state)
    changes = int(moved is not None and moved != state)
    assert revision(team) == revision_before + changes
    assert AuditEntry.objects.count() == entries_before + changes
    if changes:
        entry = AuditEntry.objects.latest("id")
        assert (entry.verb, entry.note, entry.before) == (f"experiment.{verb}", "because", {"state": state})
        assert entry.after == {"state": moved, "revision": revision(team)}


def test_start_and_end_are_noted_with_the_reason(api: Api) -> None:
    made(api)
    started = api.post("/experiments/shorter/start").json()["started_at"]
    api.post("/experiments/shorter/pause")
    assert api.post("/experiments/shorter/resume").json()["started_at"] == started
    ended = api.post("/experiments/shorter/kill", {"note": "It insults people"}).json()
    assert ended["ended_at"]
    assert ended["end_note"] == "It insults people"
    assert api.post("/experiments/shorter/kill", {"note": "again"}).json() == ended


def test_a_second_one_is_refused_with_the_name_of_the_first(api: Api) -> None:
    made(api)
    made(api, title="Ruder?", key="ruder")
    api.post("/experiments/shorter/start")
    for _ in range(2):
        answer = api.post("/experiments/ruder/start")
        assert (answer.status_code, answer.json()["code"]) == (409, "already_running")
        assert "Shorter? already runs" in answer.json()["detail"]
        api.post("/experiments/shorter/pause")
    api.post("/experiments/shorter/stop")
    assert api.post("/experiments/ruder/start").status_code == 200


def test_another_environment_and_another_prompt_have_experiments_of_their_own(api: Api, team: Team) -> None:
    make_version(make_prompt(team, title="Farewell"))
    api.post("/deployments", {"prompt_name": "greeting", "environment": "staging", "version": 1})
    api.post("/deployments", {"prompt_name": "farewell", "environment": "production", "version": 1})
    for key, changes in (("a", {}), ("b", {"environment": "staging"}), ("c", {"prompt_name": "farewell"})):
        made(api, key=key, **changes)
        assert api.post(f"/experiments/{key}/start").status_code == 200


def test_the_control_has_to_be_what_is_live(api: Api) -> None:
    made(api)
    api.post("/deployments", {"prompt_name": "greeting", "environment": "production", "version": 2})
    answer = api.post("/experiments/shorter/start")
    assert (answer.status_code, answer.json()["code"]) == (409, "control_not_live")
    assert "The current text is version 1, but version 2 is live in production" in answer.json()["detail"]
    made(api, key="nowhere", environment="staging")
    assert "but nothing is live in staging" in api.post("/experiments/nowhere/start").json()["detail"]


def test_an_experiment_nobody_has_is_a_404(api: Api) -> None:
    for reference in ("nobody", "0", "999999", "9" * 25, "9" * 5000, "é"):
        for answer in (
            api.get(f"/experiments/{reference}"),
            api.post(f"/experiments/{reference}/start"),
            api.get(f"/experiments/{reference}/assignment?unit_id=1"),
            api.get(f"/experiments/{reference}/results"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "experiment_not_found")
    made(api)
    assert api.post("/experiments/shorter/explode").status_code == 404


def test_writing_keys_make_drafts_and_start_nothing(api: Api, team: Team) -> None:
    writer = Api(make_key(team, "write")[1])
    made(writer)
    for verb in ("start", "kill"):
        answer = writer.post(f"/experiments/shorter/{verb}")
        assert (answer.status_code, answer.json()["data"]["needs"]) == (403, "experiment.run")


def test_a_key_of_one_environment_runs_nothing_elsewhere(api: Api, team: Team) -> None:
    made(api)
    limited = Api(make_key(team, "deploy", environments=["staging"])[1])
    answer = limited.post("/experiments/shorter/start")
    assert (answer.status_code, answer.json()["code"]) == (403, "environment_not_allowed")


def test_another_team_finds_nothing(api: Api) -> None:
    made(api)
    stranger = Api(make_key(make_team())[1])
    assert stranger.get("/experiments").json()["count"] == 0
    assert stranger.post("/experiments/shorter/kill").status_code == 404
    assert stranger.post("/experiments", body()).status_code == 404


def test_an_experiment_stays_with_its_team_s_environments(team: Team) -> None:
    one = make_experiment(make_prompt(team))
    variants = [lifecycle.NewVariant(v.key, v.version, v.weight_bp) for v in one.variants.all()]
    with pytest.raises(NotFound):
        lifecycle.create_experiment(
            SYSTEM, one.prompt, named(make_team().pk, "production"), title="x", variants=variants
        )
