"""`POST /v1/responses`, through the official client."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from openai.types.responses import Response
from pydantic import BaseModel

from promptlab.accounts.access import SYSTEM
from promptlab.chat.transcripts import upstream_request
from promptlab.llm.errors import ProviderUnavailable
from promptlab.llm.providers import scripted
from promptlab.llm.types import FinishReason, Usage
from prompts.services.naming import rename_prompt
from tests.chat.openai_desk import Desk, answers, sent
from tests.chat.test_openai_chat import PIECES
from tests.support.make import make_live, make_prompt

WEATHER: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
ORDER = [
    "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
    "response.output_text.delta", "response.output_text.delta", "response.output_text.done",
    "response.content_part.done", "response.output_item.done", "response.completed",
]  # fmt: skip


def test_a_prompt_id_alone_is_enough(desk: Desk) -> None:
    said = desk.client.responses.create(prompt={"id": "greeting", "version": "1", "variables": {"name": "Ann"}})
    assert said.output_text == "[instructions: Greet Ann.]"
    assert said.prompt is not None
    assert (said.prompt.id, said.prompt.version, said.prompt.variables) == ("greeting", "1", {"name": "Ann"})
    assert (said.status, said.model, said.id) == ("completed", "echo", f"resp_{answers()[0].uid.hex}")
    assert (said.model_extra or {})["promptlab"]["prompt"] == {"name": "greeting", "version": 1, "labels": []}
    assert said.usage is not None
    assert said.usage.input_tokens_details.cache_write_tokens == 0
    Response.model_validate(said.to_dict())


def test_the_body_of_the_agents_sdk_is_taken(desk: Desk) -> None:
    body = {
        "prompt": {"id": "greeting", "variables": {"name": "Ann"}},
        "include": [],
        "input": [{"role": "user", "content": "hi"}],
        "reasoning": {"effort": "none"},
        "text": {"verbosity": "low"},
        "tools": [],
        "store": True,
        "truncation": "auto",
    }
    answer = desk.send("POST", "/v1/responses", json=body)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["output"][0]["content"][0]["text"] == "[instructions: Greet Ann.]\n\nYou said: hi"
    assert (said["reasoning"]["effort"], said["text"]) == ("none", {"verbosity": "low", "format": {"type": "text"}})
    assert dict(upstream_request(answers()[0], desk.team.pk).parameters) == {
        "reasoning_effort": "none", "verbosity": "low",
    }  # fmt: skip


def test_instructions_input_and_settings_reach_the_model(desk: Desk) -> None:
    with scripted.use(scripted.Reply(("Hi",), usage=Usage(9, 4, 2, 1, 3))) as model:
        said = desk.client.responses.create(
            model="scripted",
            instructions="Be kind.",
            input=[
                {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
                {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
                {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "Rain"},
                {"type": "function_call_output", "call_id": "c2", "output": "Sun"},
            ],
            max_output_tokens=20,
            temperature=0.3,
            tools=[WEATHER],
            tool_choice={"type": "function", "name": "weather"},
            metadata={"session_id": "s", "colour": "blue"},
        )
    request = model.requests[0]
    assert sent(request) == [
        ("system", "Be kind."), ("user", "Hello"), ("assistant", ""), ("tool", "Rain"), ("tool", "Sun"),
    ]  # fmt: skip
    assert [call["id"] for call in request.messages[2].tool_calls] == ["c1", "c2"]
    function = {key: WEATHER[key] for key in ("name", "parameters", "strict")}
    assert dict(request.parameters) == {
        "max_tokens": 20,
        "temperature": 0.3,
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
    }
    assert (said.max_output_tokens, said.temperature, said.instructions) == (20, 0.3, "Be kind.")
    assert said.metadata == {"session_id": "s", "colour": "blue"}
    assert said.usage is not None
    details = (said.usage.input_tokens_details.cached_tokens, said.usage.output_tokens_details.reasoning_tokens)
    assert (said.usage.input_tokens, said.usage.output_tokens, *details) == (9, 4, 2, 1)
    assert said.usage.input_tokens_details.cache_write_tokens == 3
    assert answers()[0].metadata == {"session_id": "s", "colour": "blue"}


def test_a_model_beside_the_prompt_answers_for_it(desk: Desk) -> None:
    with scripted.use("Hi") as model:
        desk.client.responses.create(
            model="scripted", prompt={"id": "greeting", "variables": {"name": "Ann"}}, input="x"
        )
    assert sent(model.requests[0]) == [("system", "Greet Ann."), ("user", "x")]


def test_the_helper_streams_what_it_then_has_whole(desk: Desk) -> None:
    with scripted.use(scripted.Reply(("Hel", "lo"), usage=Usage(7, 2))):
        with desk.client.responses.stream(
            model="scripted", prompt={"id": "greeting", "variables": {"name": "Ann"}}, input="x"
        ) as stream:
            events = list(stream)
        whole = stream.get_final_response()
    assert [event.type for event in events] == ORDER
    assert [event.sequence_number for event in events] == list(range(len(ORDER)))
    assert (whole.output_text, whole.status) == ("Hello", "completed")
    assert whole.usage is not None
    assert whole.usage.total_tokens == 9


def test_every_event_is_named_as_its_type(desk: Desk) -> None:
    answer = desk.send("POST", "/v1/responses", json={"model": "echo", "input": "Hello", "stream": True})
    frames = answer.text.removesuffix("\n\n").split("\n\n")
    assert "[DONE]" not in answer.text
    for frame in frames:
        name, data = frame.split("\n")
        assert name.removeprefix("event: ") == json.loads(data.removeprefix("data: "))["type"]


def test_calls_of_tools_are_items_beside_the_text(desk: Desk) -> None:
    reply = scripted.Reply(("Let me see.",), tool_calls=PIECES, finish_reason=FinishReason.TOOL_CALLS)
    with scripted.use(reply, repeats=True):
        whole = desk.client.responses.create(model="scripted", input="x", tools=[WEATHER])
        with desk.client.responses.stream(model="scripted", input="x", tools=[WEATHER]) as stream:
            events = [event.type for event in stream]
        streamed = stream.get_final_response()
    assert events.count("response.function_call_arguments.delta") == 2
    assert events.index("response.output_text.done") > events.index("response.function_call_arguments.delta")
    for said in (whole, streamed):
        message, call = said.output
        assert (message.type, said.output_text) == ("message", "Let me see.")
        assert call.type == "function_call"
        assert (call.call_id, call.name, json.loads(call.arguments)) == ("call_1", "weather", {"city": "Bern"})
        assert call.status == "completed"


def test_only_calls_are_no_empty_message(desk: Desk) -> None:
    reply = scripted.Reply(tool_calls=PIECES, finish_reason=FinishReason.TOOL_CALLS)
    with scripted.use(reply):
        said = desk.client.responses.create(model="scripted", input="x", tools=[WEATHER])
    assert [one.type for one in said.output] == ["function_call"]


class Answer(BaseModel):
    city: str


def test_an_answer_in_a_shape_is_parsed(desk: Desk) -> None:
    with scripted.use('{"city": "Bern"}') as model:
        said = desk.client.responses.parse(model="scripted", input="x", text_format=Answer)
    assert said.output_parsed == Answer(city="Bern")
    shape: Any = model.requests[0].parameters["response_format"]
    assert (shape["json_schema"]["name"], shape["json_schema"]["strict"]) == ("Answer", True)


def test_an_answer_that_was_cut_says_so(desk: Desk) -> None:
    whole = desk.client.responses.create(model="echo", input="one two three", max_output_tokens=2)
    events = list(desk.client.responses.create(model="echo", input="one two three", max_output_tokens=2, stream=True))
    for said in (whole, events[-1].response):  # type: ignore[union-attr]
        assert said.status == "incomplete"
        assert said.incomplete_details is not None
        assert said.incomplete_details.reason == "max_output_tokens"
        assert said.output_text == "You said:"
    assert events[-1].type == "response.incomplete"


def test_a_break_in_the_middle_is_told_and_fails_the_response(desk: Desk) -> None:
    with scripted.use(scripted.Reply(("Hel",), error=ProviderUnavailable()), repeats=True):
        events: list[Any] = list(desk.client.responses.create(model="scripted", input="x", stream=True))
        answer = desk.send("POST", "/v1/responses", json={"model": "scripted", "input": "x"})
    assert [event.type for event in events[-2:]] == ["error", "response.failed"]
    assert (events[-2].code, events[-1].response.error.code) == ("upstream_unavailable", "server_error")
    assert events[-1].response.status == "failed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "upstream_unavailable")
    assert [row.state for row in answers()] == ["failed", "failed"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"previous_response_id": "resp_1"}, "previous_response_id"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"background": True}, "background"),
    ({"tools": [{"type": "web_search"}]}, "tools.0"),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input.0.content.0"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "input.0"),
    ({"prompt": {"id": "greeting", "variables": {"name": {"type": "input_file"}}}}, "prompt.variables.name"),
]


@pytest.mark.parametrize(("body", "param"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_cannot_be_done_is_refused_by_name(desk: Desk, body: dict[str, Any], param: str) -> None:
    answer = desk.send("POST", "/v1/responses", json={"model": "echo", "input": "x", **body})
    assert answer.status_code == 400, answer.text
    assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == ("unsupported_parameter", param)
    assert answers() == []


def test_responses_are_not_kept(desk: Desk) -> None:
    answer = desk.send("GET", "/v1/responses/resp_1")
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_text_prompt_with_nothing_else_is_sent_alone(desk: Desk) -> None:
    make_live(make_prompt(desk.team, "Tell a joke.", title="Joke").newest)  # type: ignore[arg-type]
    with scripted.use("Ha") as model:
        desk.client.responses.create(model="scripted", prompt={"id": "joke"})
    assert sent(model.requests[0]) == [("system", "Tell a joke.")]
    assert answers()[0].sent_from is None
    assert upstream_request(answers()[0], desk.team.pk) == replace(model.requests[0], routes=())


def test_a_prompt_that_was_imported_and_renamed_answers_to_its_old_id(desk: Desk) -> None:
    prompt = make_prompt(desk.team, "Tell a joke.", title="Joke", name="pmpt_68a1")
    make_live(prompt.newest)  # type: ignore[arg-type]
    rename_prompt(SYSTEM, prompt, "joke")
    for told in ({"id": "pmpt_68a1"}, {"id": "pmpt_68a1", "version": "1"}):
        said = desk.client.responses.create(prompt=told)  # type: ignore[call-overload]
        assert said.output_text == "[instructions: Tell a joke.]"
        assert said.prompt.id == "joke"
