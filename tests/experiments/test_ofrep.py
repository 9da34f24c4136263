"""`/ofrep/v1/`: experiments as OpenFeature's flags, as its clients ask for them and read the answers."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from promptlab_sdk.kernel.assignment import assign

from experiments import receipts
from experiments.api.ofrep import MOST_BYTES, ROUTES
from experiments.models import Experiment, ExperimentUnit
from experiments.services import lifecycle
from experiments.specs import experiment_now
from promptlab.accounts.access import SYSTEM
from promptlab.chat.models import Message
from promptlab.lib.asgi import HotRoutes, Receive, Scope, Send
from prompts.services import deploying
from tests.support.asgi import Answer, call
from tests.support.make import make_experiment, make_key, make_prompt, make_team, make_version

pytestmark = pytest.mark.django_db(transaction=True)
ALL = "/ofrep/v1/evaluate/flags"
ONE = f"{ALL}/shorter"
REASONS = {"STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "UNKNOWN"}


async def nobody(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("The route did not match.")


app = HotRoutes(ROUTES, fallback=nobody)


class Caller:
    """An application with a key."""

    def __init__(self, key: str) -> None:
        self.key = key

    def ask(self, target: str = ONE, unit: Any = "user-1", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        context = {} if unit is None else {"targetingKey": unit}
        return call(app, "POST", target, key=self.key, body={"context": context}, headers=named)

    def send(self, body: Any, target: str = ONE, method: str = "POST") -> Answer:
        return call(app, method, target, key=self.key, body=body)


@pytest.fixture
def running(db: None) -> Experiment:
    prompt = make_prompt(make_team(), title="Greeting")
    return make_experiment(prompt, weights=(5000, 5000), coverage_bp=5000, running=True, title="Shorter")


@pytest.fixture
def caller(running: Experiment) -> Caller:
    return Caller(make_key(running.team, "read")[1])


def succeeded(answer: Answer) -> dict[str, Any]:
    """Return an evaluation that holds what the protocol's schema asks of one, and what its Python client breaks without."""
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    said = answer.json()
    assert set(said) <= {"key", "reason", "variant", "value", "metadata"}
    assert said["reason"] in REASONS and isinstance(said["variant"], str)
    assert all(isinstance(one, bool | str | int | float) for one in said["metadata"].values())
    assert "value" not in said or said["value"] is not None
    return dict(said)


def refused(answer: Answer, status: int, code: str) -> dict[str, Any]:
    said = answer.json()
    assert (answer.status, said["errorCode"]) == (status, code)
    assert said["errorDetails"]
    return dict(said)


# One flag


def test_a_running_experiment_gives_what_everybody_else_gives(running: Experiment, caller: Caller) -> None:
    spec = experiment_now(running)
    seen = set()
    for number in range(24):
        unit = f"ünit-{number}"
        said = succeeded(caller.ask(unit=unit))
        expected = assign(spec, unit)
        assert (said["variant"], said["value"]["version"]) == (expected.variant.key, expected.variant.prompt.version)
        assert said["reason"] == {"split": "SPLIT", "outside": "STATIC"}[expected.reason]
        seen.add((said["variant"], said["reason"]))
    assert seen == {("control", "SPLIT"), ("variant-1", "SPLIT"), ("control", "STATIC")}


def test_the_metadata_hold_a_receipt_for_whoever_shows_the_text(running: Experiment, caller: Caller) -> None:
    said = succeeded(caller.ask())
    assert said["value"] == {"prompt": "greeting", "version": said["value"]["version"], "version_string": ""}
    assert (said["metadata"]["environment"], said["metadata"]["phase"]) == ("production", 1)
    receipt = receipts.read(said["metadata"]["receipt"])
    assert running.variants.get(pk=receipt.variant_id).key == said["variant"]


def test_evaluating_exposes_nobody(running: Experiment, caller: Caller) -> None:
    assert caller.ask().status == caller.ask(ALL).status == 200
    assert not ExperimentUnit.objects.exists() and not Message.objects.exists()


def test_a_killed_and_a_paused_one_give_what_is_live(running: Experiment, caller: Caller) -> None:
    lifecycle.pause(SYSTEM, running)
    said = succeeded(caller.ask())
    assert (said["reason"], said["variant"], said["value"]["version"]) == ("DISABLED", "control", 1)
    lifecycle.kill(SYSTEM, running)
    said = succeeded(caller.ask())
    assert (said["reason"], said["variant"], said["value"]["version"]) == ("DISABLED", "control", 1)
    assert "phase" not in said["metadata"]


def test_one_whose_other_text_went_live_gives_that(running: Experiment, caller: Caller) -> None:
    lifecycle.stop(SYSTEM, running)
    other = running.variants.select_related("version__prompt").get(is_control=False)
    deploying.deploy(SYSTEM, other.version, running.environment, confirm=True)
    said = succeeded(caller.ask())
    assert (said["reason"], said["variant"], said["value"]["version"]) == ("DISABLED", "variant-1", 2)


def test_where_nothing_is_live_the_application_uses_its_default(running: Experiment, caller: Caller) -> None:
    lifecycle.kill(SYSTEM, running)
    deploying.undeploy(SYSTEM, running.prompt, running.environment)
    said = succeeded(caller.ask())
    assert (said["reason"], said["variant"]) == ("DISABLED", "default")
    assert "value" not in said


def test_a_draft_gives_what_is_live_and_then_splits(caller: Caller, running: Experiment) -> None:
    draft = make_experiment(make_prompt(running.team, title="Other"), title="Later")
    later = f"{ALL}/later"
    assert succeeded(caller.ask(later, unit=None))["reason"] == "DISABLED"
    lifecycle.start(SYSTEM, draft)
    assert succeeded(caller.ask(later))["reason"] == "SPLIT"


def test_an_unknown_one_is_not_found(caller: Caller) -> None:
    said = refused(caller.ask(f"{ALL}/nothing"), 404, "FLAG_NOT_FOUND")
    assert said["key"] == "nothing"


def test_another_teams_is_not_found(running: Experiment) -> None:
    stranger = Caller(make_key(make_team(), "read")[1])
    refused(stranger.ask(), 404, "FLAG_NOT_FOUND")
    assert stranger.ask(ALL).json() == {"flags": []}


def test_somebody_has_to_be_named_where_it_matters_who(running: Experiment, caller: Caller) -> None:
    refused(caller.ask(unit=None), 400, "TARGETING_KEY_MISSING")
    refused(caller.ask(unit=""), 400, "TARGETING_KEY_MISSING")
    lifecycle.pause(SYSTEM, running)
    assert succeeded(caller.ask(unit=None))["reason"] == "DISABLED"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "PARSE_ERROR"),
        (b"", "PARSE_ERROR"),
        (b"[]", "PARSE_ERROR"),
        (b'{"context": {"targetingKey": "a\\u0000b"}}', "PARSE_ERROR"),
        ({"context": 3}, "INVALID_CONTEXT"),
        ({"context": None}, "INVALID_CONTEXT"),
        ({"context": {"targetingKey": 7}}, "INVALID_CONTEXT"),
        ({"context": {"targetingKey": "x" * 201}}, "INVALID_CONTEXT"),
        ({}, "TARGETING_KEY_MISSING"),
    ],
)
def test_bad_input_is_told_in_the_protocols_words(caller: Caller, body: Any, code: str) -> None:
    assert refused(caller.send(body), 400, code)["key"] == "shorter"


def test_a_body_may_be_64_kib(caller: Caller) -> None:
    fitting = b'{"context": {"targetingKey": "u"}}'
    assert caller.send(fitting.ljust(MOST_BYTES)).status == 200
    refused(caller.send(fitting.ljust(MOST_BYTES + 1)), 413, "GENERAL")


def test_who_calls_has_to_say_so_and_may_read(running: Experiment) -> None:
    refused(Caller("").ask(), 401, "GENERAL")
    refused(Caller(make_key(running.team, "feedback")[1]).ask(), 403, "GENERAL")
    elsewhere = Caller(make_key(running.team, "read", environments=["staging"])[1])
    refused(elsewhere.ask(), 403, "GENERAL")


def test_too_many_calls_say_when_to_come_back_in_seconds(
    running: Experiment, caller: Caller, settings: Any, fresh_limits: None
) -> None:
    settings.RATE_LIMIT_DELIVERY_PER_MINUTE = 2
    fresh = Caller(make_key(running.team, "read")[1])
    answers = [fresh.ask() for _ in range(3)]
    refused(answers[-1], 429, "GENERAL")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60


def test_other_methods_and_addresses_are_refused_as_json(caller: Caller) -> None:
    answer = caller.send(b"", method="GET")
    refused(answer, 405, "GENERAL")
    assert answer.headers["allow"] == "POST"
    refused(caller.send(b"", "/ofrep/v2/nothing"), 404, "GENERAL")


def test_asked_again_it_takes_no_query(running: Experiment, caller: Caller) -> None:
    caller.ask()
    with CaptureQueriesContext(connection) as seen:
        assert caller.ask(unit="user-2").status == 200
    assert len(seen) == 0


# All flags


def test_all_flags_of_the_callers_environment(running: Experiment, caller: Caller) -> None:
    make_experiment(make_prompt(running.team, title="Other"), environment="staging", running=True, title="Elsewhere")
    make_experiment(make_prompt(running.team, title="Third"), title="A draft")
    ended = make_experiment(make_prompt(running.team, title="Fourth"), running=True, title="Ended")
    lifecycle.stop(SYSTEM, ended)
    flags = caller.ask(ALL).json()["flags"]
    assert [(one["key"], one["reason"]) for one in flags] == [("ended", "DISABLED"), ("shorter", flags[1]["reason"])]
    assert flags[1] == caller.ask().json()
    there = caller.ask(f"{ALL}?environment=staging&flagConfigEtag=x&flagConfigLastModified=1").json()["flags"]
    assert [one["key"] for one in there] == ["elsewhere"]


def test_without_a_unit_each_split_says_so(running: Experiment, caller: Caller) -> None:
    (flag,) = caller.ask(ALL, unit=None).json()["flags"]
    assert (flag["key"], flag["errorCode"]) == ("shorter", "TARGETING_KEY_MISSING")


def test_who_has_the_answer_gets_304_and_nobody_else(running: Experiment, caller: Caller) -> None:
    first = caller.ask(ALL, unit="user-1")
    etag = first.headers["etag"]
    again = caller.ask(ALL, unit="user-1", if_none_match=f'"other", W/{etag}')
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
    assert "private" in first.headers["cache-control"]
    variant = first.json()["flags"][0]["variant"], first.json()["flags"][0]["reason"]
    other = next(
        unit
        for unit in (f"user-{n}" for n in range(2, 200))
        if _of(caller.ask(ALL, unit=unit).json()["flags"][0]) != variant
    )
    assert caller.ask(ALL, unit=other, if_none_match=etag).status == 200
    lifecycle.kill(SYSTEM, running)
    assert caller.ask(ALL, unit="user-1", if_none_match=etag).status == 200


def _of(flag: dict[str, Any]) -> tuple[str, str]:
    return flag["variant"], flag["reason"]


def test_a_new_version_live_changes_the_answer_at_once(running: Experiment, caller: Caller) -> None:
    lifecycle.kill(SYSTEM, running)
    assert succeeded(caller.ask())["value"]["version"] == 1
    third = make_version(running.prompt)
    deploying.deploy(SYSTEM, third, running.environment, confirm=True)
    said = succeeded(caller.ask())
    assert (said["value"]["version"], said["variant"]) == (third.number, "default")
