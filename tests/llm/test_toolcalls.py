"""Tools and settings on their way to a server, and calls of tools put together from their pieces."""

from __future__ import annotations

import pytest

from promptlab import llm
from promptlab.llm.toolcalls import assembled
from tests.llm.upstream import Upstream

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


@pytest.mark.asyncio
async def test_calls_their_answers_and_only_settings_that_others_know_reach_a_server(upstream: Upstream) -> None:
    messages = (
        llm.ChatMessage("user", "Hello"),
        llm.ChatMessage("assistant", "", [CALL]),
        llm.ChatMessage("tool", "Rain", (), "c1"),
    )
    parameters: dict[str, llm.Parameter] = {"tool_choice": "auto", "verbosity": "low", "service_tier": "flex"}
    await llm.acomplete(llm.CompletionRequest(messages, "gpt-4o-mini", parameters))
    sent = upstream.requests[0]
    assert sent["messages"][1:] == [
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "Rain", "tool_call_id": "c1"},
    ]
    assert sent["tool_choice"] == "auto"
    assert "verbosity" not in sent and "service_tier" not in sent


def test_pieces_of_several_calls_are_put_together_by_their_index() -> None:
    pieces = [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "one", "arguments": "{"}},
        {"index": 1, "id": "b", "type": "function", "function": {"name": "two", "arguments": ""}},
        {"index": 0, "function": {"arguments": "}"}},
        {"index": 1, "function": None},
    ]
    assert [(call["id"], call["function"]) for call in assembled(pieces)] == [
        ("a", {"name": "one", "arguments": "{}"}),
        ("b", {"name": "two", "arguments": ""}),
    ]
