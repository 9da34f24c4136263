"""The client for other people's tests."""

from __future__ import annotations

import pytest
from promptlab_sdk import Message, MissingVariable, PromptNotFound, Prompts


def test_a_fake_serves_its_prompts_and_notes_the_calls() -> None:
    prompts = Prompts.fake({"greeting": "Hi {{name}}", "chat": [Message("user", "{{q}}")]})
    assert prompts.get("greeting", name="Alex") == "Hi Alex"
    assert prompts.get("chat", "staging", q="Why?").to_openai()["messages"] == [{"role": "user", "content": "Why?"}]
    assert [(call.prompt.name, call.environment, call.variables) for call in prompts.calls] == [
        ("greeting", "production", {"name": "Alex"}),
        ("chat", "staging", {"q": "Why?"}),
    ]


def test_a_fake_is_as_strict_as_the_server() -> None:
    prompts = Prompts.fake({"greeting": "Hi {{name}}"})
    with pytest.raises(MissingVariable):
        prompts.get("greeting")
    with pytest.raises(PromptNotFound, match="'greetings'; it has greeting"):
        prompts.get("greetings")
    assert prompts.get("greetings", fallback="plan b") == "plan b"
    assert [str(call) for call in prompts.calls] == ["plan b"]


def test_a_fake_keeps_the_feedback() -> None:
    with Prompts.fake({}) as prompts:
        assert prompts.feedback("m1", "rating", -1, comment="Too long", key="k1")
    assert prompts.ratings == [{"message_id": "m1", "metric": "rating", "value": -1, "comment": "Too long", "id": "k1"}]
