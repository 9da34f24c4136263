"""Which prompt was filled, on the span of an application that uses OpenTelemetry."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest
from cast import Connect
from fake_server import PromptServer
from promptlab_sdk import AsyncPrompts, Prompts
from test_experiment import make_experiment


class Span:
    """As much of a span as the API promises."""

    def __init__(self, *, recording: bool = True) -> None:
        self.said: dict[str, Any] = {}
        self._recording = recording

    def is_recording(self) -> bool:
        return self._recording

    def set_attributes(self, attributes: dict[str, Any]) -> None:
        self.said |= attributes


@pytest.fixture
def span(monkeypatch: pytest.MonkeyPatch) -> Span:
    """The current span of an application that has imported OpenTelemetry."""
    return use(monkeypatch, Span())


def use(monkeypatch: pytest.MonkeyPatch, span: Span) -> Span:
    api = ModuleType("opentelemetry.trace")
    api.get_current_span = lambda: span  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", api)
    return span


def test_a_filled_prompt_says_what_it_is(server: PromptServer, prompts: Prompts, span: Span) -> None:
    server.deploy("test", "Hi {{name}}", version=3)
    for _ in range(2):  # Loaded, then out of memory.
        span.said.clear()
        prompts.get("test", name="a secret")
        assert span.said == {
            "gen_ai.prompt.name": "test",
            "gen_ai.prompt.version": "3",
            "promptlab.environment": "production",
        }


def test_a_variant_says_whose_it_is(server: PromptServer, prompts: Prompts, span: Span) -> None:
    experiment = make_experiment()
    server.deploy("test", "live {{a}}", experiment=experiment)
    variant = prompts.get("test", unit_id="user-1", a="x").variant
    assert variant is not None
    assert span.said["promptlab.experiment.key"] == span.said["feature_flag.key"] == experiment.key
    assert span.said["promptlab.experiment.variant"] == span.said["feature_flag.result.variant"] == variant
    span.said.clear()
    prompts.get("test", a="x")
    assert "feature_flag.key" not in span.said


def test_fetching_says_nothing_and_rendering_does(server: PromptServer, prompts: Prompts, span: Span) -> None:
    server.deploy("test", "Hi {{name}}")
    prompt = prompts.fetch("test")
    assert span.said == {}
    prompt.render(name="Alex")
    assert span.said["gen_ai.prompt.name"] == "test"


def test_the_other_client_says_the_same(server: PromptServer, connect: Connect, span: Span) -> None:
    server.deploy("test", "Hi {{name}}")
    asyncio.run(AsyncPrompts(connect()._core).get("test", name="Alex"))
    assert span.said["gen_ai.prompt.name"] == "test"


def test_a_span_that_is_not_recorded_is_left_alone(prompts: Prompts, monkeypatch: pytest.MonkeyPatch) -> None:
    span = use(monkeypatch, Span(recording=False))
    assert prompts.get("test", fallback="Hi") == "Hi"
    assert span.said == {}


def test_a_broken_span_costs_nobody_the_prompt(prompts: Prompts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", ModuleType("opentelemetry.trace"))
    assert prompts.get("test", fallback="Hi") == "Hi"


def test_nobody_pays_for_what_they_do_not_use() -> None:
    code = "from promptlab_sdk import Prompts; import sys; print('opentelemetry' in str(sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
