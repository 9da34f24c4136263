"""Frameworks that people put on top of the `openai` client: the Agents SDK and LangChain, each where it is installed."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from promptlab.llm.providers import scripted
from promptlab.llm.types import FinishReason
from tests.chat.openai_desk import Desk, answers
from tests.support.make import make_live, make_prompt

TOLD = {"city": "Rome", "degrees": 21}
VARIABLES = {"prompt_variables": {"name": "Ann"}}


class Weather(BaseModel):
    """What a model is asked to answer with."""

    city: str
    degrees: int


def called(name: str) -> scripted.Reply:
    """Return an answer that calls a tool, in pieces."""
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": '{"city": '}}
    rest = {"index": 0, "function": {"arguments": '"Rome"}'}}
    return scripted.Reply(tool_calls=(first, rest), finish_reason=FinishReason.TOOL_CALLS)


def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"21 degrees in {city}"


@contextmanager
def telling(*steps: Any) -> Iterator[scripted.ScriptedProvider]:
    """Let the model of the prompt give these answers."""
    with scripted.use(*steps) as model:
        yield model


@pytest.fixture
def agents() -> Any:
    found = pytest.importorskip("agents", reason="the OpenAI Agents SDK (openai-agents) is not installed")
    found.set_tracing_disabled(True)
    return found


def agent(agents: Any, desk: Desk, dialect: str, **options: Any) -> Any:
    from openai import AsyncOpenAI

    kind = {"chat": agents.OpenAIChatCompletionsModel, "responses": agents.OpenAIResponsesModel}[dialect]
    client = AsyncOpenAI(base_url=f"{desk.base}/v1", api_key=desk.key, max_retries=0)
    settings = agents.ModelSettings(extra_body={**VARIABLES, "prompt_id": "greeting"})
    return agents.Agent(
        name="a", model=kind(model="scripted", openai_client=client), model_settings=settings, **options
    )


@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_an_agent_calls_its_tools_and_answers(agents: Any, desk: Desk, dialect: str) -> None:
    tool = agents.function_tool(weather)
    with telling(called("weather"), "It is warm.") as model:
        ran = agents.Runner.run_sync(agent(agents, desk, dialect, tools=[tool]), "Is it warm in Rome?")
    assert ran.final_output == "It is warm."
    last = model.requests[-1].messages[-1]
    assert (last.role, last.content, last.tool_call_id) == ("tool", "21 degrees in Rome", "call_1")


@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_an_agent_keeps_the_shape_of_its_answer_in_a_stream(agents: Any, desk: Desk, dialect: str) -> None:
    async def run() -> Any:
        streamed = agents.Runner.run_streamed(agent(agents, desk, dialect, output_type=Weather), "How is it in Rome?")
        kinds = {getattr(event.data, "type", "") async for event in streamed.stream_events() if hasattr(event, "data")}
        return streamed.final_output, kinds

    with telling(json.dumps(TOLD)) as model:
        said, kinds = asyncio.run(run())
    assert said == Weather(**TOLD)
    assert {"response.output_text.delta", "response.completed"} <= kinds
    assert model.requests[0].parameters["response_format"]["type"] == "json_schema"


def test_an_agent_runs_with_a_prompt_object(agents: Any, desk: Desk) -> None:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=f"{desk.base}/v1", api_key=desk.key)
    model = agents.OpenAIResponsesModel(model="echo", openai_client=client)
    prompt = {"id": "greeting", "variables": {"name": "Ann"}}
    ran = agents.Runner.run_sync(agents.Agent(name="a", model=model, prompt=prompt), "hi")
    assert ran.final_output.endswith("You said: hi")


def chat_model(desk: Desk, *, responses: bool, model: str = "scripted") -> Any:
    langchain_openai = pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
    extra = VARIABLES if model.startswith("prompt:") else {**VARIABLES, "prompt_id": "greeting"}
    return langchain_openai.ChatOpenAI(
        model=model,
        base_url=f"{desk.base}/v1",
        api_key=desk.key,
        use_responses_api=responses,
        extra_body=extra,
        max_retries=0,
    )


@pytest.mark.parametrize("responses", [False, True])
def test_langchain_streams_what_a_prompt_says(desk: Desk, responses: bool) -> None:
    model = chat_model(desk, responses=responses, model="prompt:greeting")
    assert model.invoke("hi").text.endswith("You said: hi")
    parts = list(model.stream("hi"))
    assert "".join(part.text for part in parts).endswith("You said: hi")
    assert json.dumps(model.invoke("hi").response_metadata)


@pytest.mark.parametrize("responses", [False, True])
def test_langchain_calls_tools_in_a_stream_and_tells_what_they_said(desk: Desk, responses: bool) -> None:
    model = chat_model(desk, responses=responses).bind_tools([weather])
    with telling(called("weather"), "It is warm.") as provider:
        asked: list[Any] = [("user", "Is it warm in Rome?")]
        parts = list(model.stream(asked))
        whole = parts[0]
        for part in parts[1:]:
            whole += part
        assert [(one["name"], one["args"]) for one in whole.tool_calls] == [("weather", {"city": "Rome"})]
        told = {"role": "tool", "tool_call_id": whole.tool_calls[0]["id"], "content": weather("Rome")}
        said = model.invoke([*asked, whole, told])
    assert said.text == "It is warm."
    assert provider.requests[-1].messages[-1].content == "21 degrees in Rome"


@pytest.mark.parametrize("responses", [False, True])
def test_langchain_keeps_the_shape_of_an_answer(desk: Desk, responses: bool) -> None:
    model = chat_model(desk, responses=responses).with_structured_output(Weather, method="json_schema")
    with telling(json.dumps(TOLD)):
        assert model.invoke("How is it in Rome?") == Weather(**TOLD)


# What the documentation says

BLOCKS = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[2] / "docs" / "openai.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_what_the_documentation_shows_runs_as_it_is_written(desk: Desk, block: str) -> None:
    for module, words in (("agents", "the OpenAI Agents SDK"), ("langchain_openai", "langchain-openai")):
        if f"from {module} " in block:
            pytest.importorskip(module, reason=f"{words} is not installed")
    make_live(make_prompt(desk.team, "Help {{customer_name}}.", title="Support agent").newest)  # type: ignore[arg-type]
    written = block.replace("https://promptlab.example.com", desk.base).replace("pl_...", desk.key)
    said: dict[str, Any] = {}
    exec(compile(written, "docs/openai.md", "exec"), said)
    assert said.get("answer", "You said: Where is my parcel?").endswith("You said: Where is my parcel?")
    row = answers()[-1]
    assert (row.state, row.version.prompt.name) == ("completed", "support-agent")  # type: ignore[union-attr]
