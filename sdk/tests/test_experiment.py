"""Variants are assigned in the process, by the kernel's rules, without a request per unit."""

from __future__ import annotations

import logging
import pickle
from dataclasses import replace

import pytest
from cast import Clock, settle
from fake_server import PromptServer
from promptlab_sdk import Prompts
from promptlab_sdk.kernel.assignment import assign, ranges
from promptlab_sdk.kernel.spec import Content, ExperimentSpec, PromptSpec, VariantSpec


def make_experiment(*, state: str = "running", coverage_bp: int = 10_000, phase: int = 1) -> ExperimentSpec:
    variants = tuple(
        VariantSpec(
            key,
            key == "control",
            (own,),
            PromptSpec("test", number, "", Content(text=f"{key} {{{{a}}}}"), "", receipt=f"receipt-{key}"),
        )
        for number, (key, own) in enumerate(
            zip(("control", "short"), ranges((5000, 5000), coverage_bp), strict=True), start=1
        )
    )
    return ExperimentSpec(7, "tone", phase, "0123456789abcdef", state, variants)


def test_each_unit_gets_its_variant_and_one_request_is_enough(server: PromptServer, prompts: Prompts) -> None:
    experiment = make_experiment()
    server.deploy("test", "control {{a}}", experiment=experiment)
    seen = set()
    for number in range(50):
        text = prompts.get("test", unit_id=f"user-{number}", a="x")
        expected = assign(experiment, f"user-{number}").variant
        assert (text, text.variant, text.prompt.version) == (
            f"{expected.key} x",
            expected.key,
            expected.prompt.version,
        )
        seen.add(text.variant)
    assert seen == {"control", "short"}
    assert len(server.requests) == 1


def test_subject_is_another_spelling_of_unit_id(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "control {{a}}", experiment=make_experiment())
    for unit in ("user-1", "user-2", "user-3"):
        assert prompts.fetch("test", subject=unit).variant == prompts.fetch("test", unit_id=unit).variant
    assert prompts.fetch("test", subject="user-1", unit_id="user-1").unit_id == "user-1"
    with pytest.raises(ValueError, match="two spellings"):
        prompts.get("test", subject="user-1", unit_id="user-2", a="x")


def test_without_a_unit_the_control_is_served_and_logged_once(
    server: PromptServer, prompts: Prompts, caplog: pytest.LogCaptureFixture
) -> None:
    server.deploy("test", "live {{a}}", experiment=make_experiment())
    with caplog.at_level(logging.WARNING, logger="promptlab"):
        for unit_id in (None, "", None):
            text = prompts.get("test", unit_id=unit_id, a="x")
            assert (text, text.variant) == ("control x", None)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["no unit_id given, serving the control: prompt=test environment=production experiment=tone"]


def test_outside_the_traffic_the_control_is_served_and_nobody_is_assigned(
    server: PromptServer, prompts: Prompts
) -> None:
    server.deploy("test", "live {{a}}", experiment=make_experiment(coverage_bp=0))
    text = prompts.get("test", unit_id="user-1", a="x")
    assert (text, text.variant) == ("control x", None)


def test_a_paused_experiment_serves_the_control(server: PromptServer, prompts: Prompts, clock: Clock) -> None:
    server.deploy("test", "live {{a}}", experiment=make_experiment())
    units = [f"user-{number}" for number in range(20)]
    assert "short" in {prompts.fetch("test", unit_id=unit).variant for unit in units}
    server.deploy("test", "live {{a}}", experiment=make_experiment(state="paused"), revision=2)
    clock.pass_(60)
    prompts.fetch("test")
    settle()
    assert {prompts.fetch("test", unit_id=unit).variant for unit in units} == {None}
    assert {prompts.get("test", unit_id=unit, a="x") for unit in units} == {"control x"}


def test_a_pinned_version_takes_no_part(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "live {{a}}", experiment=make_experiment(), version=5)
    text = prompts.get("test", version=5, unit_id="user-1", a="x")
    assert (text, text.variant) == ("live x", None)


def test_a_condition_is_about_the_attributes_of_each_call(server: PromptServer, prompts: Prompts) -> None:
    experiment = replace(make_experiment(), condition={"plan": "pro"})
    server.deploy("test", "live {{a}}", experiment=experiment)
    expected = assign(experiment, "user-1", {"plan": "pro"}).variant.key
    for _ in range(2):
        assert prompts.get("test", unit_id="user-1", attributes={"plan": "pro"}, a="x").variant == expected
        assert prompts.get("test", unit_id="user-1", attributes={"plan": "free"}, a="x").variant is None
        assert prompts.fetch("test", unit_id="user-1").variant is None


def test_an_attribute_may_be_dealt_instead_of_the_unit(server: PromptServer, prompts: Prompts) -> None:
    experiment = replace(make_experiment(), unit_attribute="session_id")
    server.deploy("test", "live {{a}}", experiment=experiment)
    expected = assign(experiment, None, {"session_id": "s1"}).variant.key
    for user in ("user-1", "user-2", None):
        text = prompts.get("test", unit_id=user, attributes={"session_id": "s1"}, a="x")
        assert (text.variant, text.prompt.unit_id) == (expected, user)
        prompts.track(text)
        prompts.feedback(text, "rating", 1)
    assert text.gateway_args()["extra_body"]["metadata"] == {"session_id": "s1"}
    assert prompts.get("test", unit_id="user-1", a="x").variant is None
    assert prompts.flush()
    sent = {request.path: request.body for request in server.requests if request.method == "POST"}
    assert [one["unit_id"] for one in sent["/api/v1/exposures"]] == ["s1"]
    assert pickle.loads(pickle.dumps(text.prompt)).counted_unit == "s1"


def test_who_tries_it_out_gets_the_variant_and_is_reported_as_forced(server: PromptServer, prompts: Prompts) -> None:
    experiment = replace(make_experiment(coverage_bp=0), overrides={"qa": "short"})
    server.deploy("test", "live {{a}}", experiment=experiment)
    text = prompts.get("test", unit_id="qa", a="x")
    assert (text, text.variant, text.prompt.is_forced) == ("short x", "short", True)
    prompts.track(text)
    assert prompts.flush()
    (report,) = [request.body for request in server.requests if request.path == "/api/v1/exposures"]
    assert report == [{"receipt": "receipt-short", "forced": True, "unit_id": "qa"}]


def test_an_impossible_unit_id_is_refused_before_there_is_an_experiment(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "Hi")
    with pytest.raises(TypeError, match="is a string"):
        prompts.get("test", unit_id=42)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at most 200"):
        prompts.get("test", unit_id="x" * 201)
