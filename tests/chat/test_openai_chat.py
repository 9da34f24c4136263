"""`POST /v1/chat/completions`, through the official client."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from promptlab.accounts.access import SYSTEM
from promptlab.chat.models import Conversation, Message
from promptlab.chat.transcripts import upstream_request
from promptlab.llm.errors import ProviderUnavailable
from promptlab.llm.providers import scripted
from promptlab.llm.types import FinishReason, Usage
from prompts.services import authoring, deploying
from tests.chat.openai_desk import Desk, answers, sent
from tests.support.api import Api
from tests.support.make import make_experiment, make_key, make_live, make_prompt, make_version

HELLO: Any = [{"role": "user", "content": "Hello"}]
WEATHER: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
PIECES = (
    {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}},
    {"index": 0, "function": {"arguments": '{"city":'}},
    {"index": 0, "function": {"arguments": '"Bern"}'}},
)


def test_a_plain_model_answers_whole(desk: Desk) -> None:
    said = desk.client.chat.completions.create(model="echo", messages=HELLO)
    assert (said.choices[0].message.content, said.choices[0].finish_reason) == ("You said: Hello", "stop")
    assert (said.object, said.model) == ("chat.completion", "echo")
    assert said.usage is not None
    assert (said.usage.prompt_tokens, said.usage.completion_tokens, said.usage.total_tokens) == (1, 3, 4)
    row = answers()[0]
    assert said.id == f"chatcmpl-{row.uid}"
    assert (row.state, row.purpose, row.content) == ("completed", "openai", "You said: Hello")
    about = (said.model_extra or {})["promptlab"]
    assert about == {"inference_id": str(row.uid), "prompt": None, "experiment": None, "receipt": None}
    assert said._request_id == row.request_id


def test_a_managed_prompt_comes_first_and_says_what_it_is(desk: Desk) -> None:
    with scripted.use("Hi Ann") as model:
        raw = desk.client.chat.completions.with_raw_response.create(
            model="scripted", messages=HELLO, extra_body={"prompt": {"id": "greeting", "variables": {"name": "Ann"}}}
        )
    assert sent(model.requests[0]) == [("system", "Greet Ann."), ("user", "Hello")]
    about = (raw.parse().model_extra or {})["promptlab"]
    assert about["prompt"] == {"name": "greeting", "version": 1, "labels": ["production"]}
    assert about["receipt"]
    assert raw.headers["x-promptlab-prompt"] == "greeting@1"
    assert raw.headers["x-promptlab-inference-id"] == about["inference_id"]
    assert "x-promptlab-variant" not in raw.headers
    limit, left = (int(raw.headers[f"x-ratelimit-{name}-requests"]) for name in ("limit", "remaining"))
    assert 0 < left < limit
    assert raw.headers["x-ratelimit-reset-requests"].endswith("s")
    assert int(raw.headers["openai-processing-ms"]) >= 0


ANN = {"name": "Ann"}
SPELLINGS: list[dict[str, Any]] = [
    {"model": "echo", "prompt": {"id": "greeting@1", "variables": ANN}},
    {"model": "echo", "prompt": {"prompt_id": "greeting", "version": "1", "variables": ANN}},
    {"model": "echo", "prompt": {"id": "greeting", "version": 1, "variables": ANN}},
    {"model": "echo", "prompt_id": "greeting", "prompt_version": 1, "prompt_variables": ANN},
    {"model": "echo", "prompt_id": "greeting", "prompt_label": "production", "prompt_variables": ANN},
    {"model": "prompt:greeting@1", "prompt_variables": ANN},
    {"model": "prompt:greeting@production", "prompt": {"variables": ANN}},
    {"model": "prompt:nobody", "prompt": {"id": "greeting", "variables": ANN}},
    {
        "model": "prompt:nobody",
        "prompt_id": "greeting",
        "prompt_variables": {"name": {"type": "input_text", "text": "Ann"}},
    },
    {"prompt": {"id": "greeting", "variables": ANN}, "prompt_id": "nobody"},
]


@pytest.mark.parametrize("body", SPELLINGS, ids=lambda body: "-".join(body))
def test_all_spellings_name_the_same_prompt(desk: Desk, body: dict[str, Any]) -> None:
    answer = desk.send("POST", "/v1/chat/completions", json={"messages": HELLO, **body})
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "[instructions: Greet Ann.]\n\nYou said: Hello"
    assert answer.headers["x-promptlab-prompt"] == "greeting@1"


def test_one_subject_has_one_variant_through_every_spelling_and_a_number_pins(desk: Desk) -> None:
    make_version(desk.prompt, "Welcome {{name}}.")
    make_experiment(desk.prompt, running=True, title="Two")
    subjects: list[tuple[dict[str, Any], dict[str, str]]] = [
        ({"safety_identifier": "u-7"}, {}),
        ({"user": "u-7"}, {}),
        ({"metadata": {"user_id": "u-7"}}, {}),
        ({"metadata": {"subject": "u-7"}}, {}),
        ({"user": "somebody else"}, {"X-PromptLab-Subject": "u-7"}),
    ]
    seen = set()
    for body, headers in subjects:
        said = {"messages": HELLO, "model": "prompt:greeting", "prompt_variables": ANN, **body}
        answer = desk.send("POST", "/v1/chat/completions", json=said, headers=headers)
        seen.add(answer.headers["x-promptlab-variant"])
        assert answer.json()["promptlab"]["experiment"]["key"] == "two"
    assert len(seen) == 1
    assert {row.unit_id for row in answers()} == {"u-7"}
    for body in ({"model": "prompt:greeting@1", "user": "u-7"}, {"model": "prompt:greeting"}):
        answer = desk.send("POST", "/v1/chat/completions", json={"messages": HELLO, "prompt_variables": ANN, **body})
        assert "x-promptlab-variant" not in answer.headers
        assert answers()[-1].experiment is None


def test_what_the_request_says_goes_over_what_the_version_says(desk: Desk) -> None:
    fields: Any = {"model": "scripted", "parameters": {"temperature": 0.2, "max_tokens": 50}, "stop": ["END"]}
    make_live(make_prompt(desk.team, "Be brief.", title="Brief", **fields).newest)  # type: ignore[arg-type]
    with scripted.use("a", "b", repeats=True) as model:
        desk.client.chat.completions.create(model="prompt:brief", messages=HELLO)
        desk.client.chat.completions.create(
            model="prompt:brief",
            messages=HELLO,
            temperature=0.9,
            max_completion_tokens=7,
            stop="STOP",
            seed=3,
            store=True,
        )
        desk.client.chat.completions.create(model="scripted-2", messages=HELLO, extra_body={"prompt_id": "brief"})
    assert dict(model.requests[0].parameters) == {"temperature": 0.2, "max_tokens": 50, "stop": ["END"]}
    assert dict(model.requests[1].parameters) == {"temperature": 0.9, "max_tokens": 7, "stop": ["STOP"], "seed": 3}
    assert [one.model for one in model.requests] == ["scripted", "scripted", "scripted-2"]


def test_messages_take_the_place_the_prompt_has_for_them(desk: Desk) -> None:
    parts: Any = [
        {"role": "system", "content": "Be kind."},
        {"placeholder": "messages"},
        {"role": "system", "content": "Stay kind."},
    ]
    make_live(make_prompt(desk.team, messages=parts, title="Kind").newest)  # type: ignore[arg-type]
    said: Any = [
        {"role": "developer", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]},
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Rain"},
    ]  # fmt: skip
    with scripted.use("It rains") as model:
        desk.client.chat.completions.create(model="scripted", messages=said, extra_body={"prompt_id": "kind"})
    assert sent(model.requests[0]) == [
        ("system", "Be kind."), ("developer", "One\nTwo"), ("user", "Hello"), ("assistant", ""), ("tool", "Rain"),
        ("system", "Stay kind."),
    ]  # fmt: skip
    assert model.requests[0].messages[3].tool_calls[0]["id"] == "call_1"
    assert model.requests[0].messages[4].tool_call_id == "call_1"


def test_the_request_is_rebuilt_to_the_byte_whatever_changed_since(desk: Desk) -> None:
    said: Any = [
        *HELLO,
        {"role": "assistant", "content": "Hi", "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Rain"},
    ]  # fmt: skip
    with scripted.use(scripted.Reply(("a",), model="scripted-dated"), repeats=True) as model:
        for number in (1, 2):
            desk.client.chat.completions.create(
                model="scripted",
                messages=[*said, {"role": "user", "content": f"And {number}?"}],
                temperature=0.5,
                tools=[WEATHER],
                user="u-1",
                metadata={"session_id": "s-1"},
                extra_body={"prompt": {"id": "greeting", "variables": {"name": f"Ann{number}"}}},
            )
            deploying.deploy(SYSTEM, make_version(desk.prompt, f"Welcome {{{{name}}}}, {number}."), desk.production)
        authoring.archive_prompt(SYSTEM, desk.prompt)
    rows = answers()
    assert len({row.conversation_id for row in rows}) == 1
    assert [row.model for row in rows] == ["scripted-dated"] * 2
    rebuilt = [upstream_request(row, desk.team.pk) for row in rows]
    assert rebuilt == [replace(request, routes=()) for request in model.requests]
    assert model.requests[0].user not in ("", "u-1")
    shown = Api(make_key(desk.team, "read")[1]).get(f"/messages/{rows[0].uid}").json()["upstream"]
    assert shown == [{"role": "system", "content": "Greet Ann1."}, *said, {"role": "user", "content": "And 1?"}]
    assert sent(model.requests[1])[0] == ("system", "Welcome Ann2, 1.")


def test_a_session_is_one_conversation_of_one_end_user(desk: Desk) -> None:
    for user, session in (("a", "s"), ("a", "s"), ("b", "s"), ("a", "t"), ("a", "")):
        notes = {"session_id": session, "colour": "blue"} if session else {"colour": "blue"}
        desk.client.chat.completions.create(model="echo", messages=HELLO, user=user, metadata=notes)
    talks = Conversation.objects.order_by("id")
    assert [(talk.unit_id, talk.session) for talk in talks] == [("a", "s"), ("b", "s"), ("a", "t"), ("a", "")]
    assert [row.metadata["colour"] for row in answers()] == ["blue"] * 5
    assert Message.objects.filter(is_sent=True, role="user").count() == 5


# Streams


def test_a_stream_is_the_chunks_of_one_answer(desk: Desk) -> None:
    with scripted.use(scripted.Reply(("Hel", "lo"), usage=Usage(7, 2))):
        chunks = list(desk.client.chat.completions.create(model="scripted", messages=HELLO, stream=True))
    assert "".join(one.choices[0].delta.content or "" for one in chunks) == "Hello"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert (chunks[0].model_extra or {})["promptlab"]["inference_id"] == str(answers()[0].uid)
    assert [one.choices[0].finish_reason for one in chunks] == [None, None, None, "stop"]
    assert len({one.id for one in chunks}) == 1
    assert all(one.usage is None for one in chunks)
    assert answers()[0].input_tokens == 7


def test_usage_comes_last_when_it_is_asked_for(desk: Desk) -> None:
    options: Any = {"include_usage": True}
    chunks = list(
        desk.client.chat.completions.create(model="echo", messages=HELLO, stream=True, stream_options=options)
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 4
    assert all("usage" in one.model_fields_set and one.usage is None for one in chunks[:-1])


def test_the_frames_are_what_every_parser_takes(desk: Desk) -> None:
    answer = desk.send(
        "POST", "/v1/chat/completions", json={"model": "echo", "messages": HELLO, "stream": True},
        headers={"Accept": "application/json"},
    )  # fmt: skip
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"
    frames = answer.text.split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    assert all(one.startswith("data: {") and "\n" not in one for one in frames[:-2])


def test_silence_is_a_comment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptlab.lib.line.PING_S", 0.02)
    body = {"model": "scripted", "messages": HELLO, "stream": True}
    with scripted.use(scripted.Reply(("a", "b"), gap_s=0.3), repeats=True):
        answer = desk.send("POST", "/v1/chat/completions", json=body)
        chunks = list(desk.client.chat.completions.create(model="scripted", messages=HELLO, stream=True))
    assert ": ping" in answer.text.split("\n\n")
    assert "".join(one.choices[0].delta.content or "" for one in chunks) == "ab"


def test_a_break_in_the_middle_is_an_error_and_never_a_whole_answer(desk: Desk) -> None:
    from openai import APIError

    with scripted.use(scripted.Reply(("Hel",), error=ProviderUnavailable()), repeats=True):
        seen = ""
        with pytest.raises(APIError, match="not available") as caught:
            for chunk in desk.client.chat.completions.create(model="scripted", messages=HELLO, stream=True):
                seen += chunk.choices[0].delta.content or ""
        body = {"model": "scripted", "messages": HELLO, "stream": True}
        answer = desk.send("POST", "/v1/chat/completions", json=body)
    assert (seen, caught.value.code, caught.value.type) == ("Hel", "upstream_unavailable", "server_error")
    assert "[DONE]" not in answer.text
    assert [row.state for row in answers()] == ["failed", "failed"]


# Tools and structured output


def test_calls_of_tools_come_whole(desk: Desk) -> None:
    reply = scripted.Reply(tool_calls=PIECES, finish_reason=FinishReason.TOOL_CALLS)
    with scripted.use(reply) as model:
        said = desk.client.chat.completions.create(
            model="scripted", messages=HELLO, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False
        )
    assert said.choices[0].finish_reason == "tool_calls"
    assert said.choices[0].message.content is None
    assert said.choices[0].message.tool_calls is not None
    call: Any = said.choices[0].message.tool_calls[0]
    assert (call.id, call.function.name, json.loads(call.function.arguments)) == ("call_1", "weather", {"city": "Bern"})
    asked = model.requests[0].parameters
    assert (asked["tools"], asked["tool_choice"], asked["parallel_tool_calls"]) == ([WEATHER], "required", False)


def test_calls_of_tools_stream_piece_by_piece(desk: Desk) -> None:
    reply = scripted.Reply(("Let me see.",), tool_calls=PIECES, finish_reason=FinishReason.TOOL_CALLS)
    with (
        scripted.use(reply),
        desk.client.chat.completions.stream(model="scripted", messages=HELLO, tools=[WEATHER]) as stream,
    ):
        kinds = [event.type for event in stream]
        message = stream.get_final_completion().choices[0].message
    assert "tool_calls.function.arguments.delta" in kinds
    assert message.content == "Let me see."
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.arguments == '{"city":"Bern"}'


class Answer(BaseModel):
    city: str


def test_an_answer_in_a_shape_is_parsed(desk: Desk) -> None:
    with scripted.use('{"city": "Bern"}') as model:
        said = desk.client.chat.completions.parse(model="scripted", messages=HELLO, response_format=Answer)
    assert said.choices[0].message.parsed == Answer(city="Bern")
    shape: Any = model.requests[0].parameters["response_format"]
    assert (shape["type"], shape["json_schema"]["name"]) == ("json_schema", "Answer")


def test_a_key_of_another_team_finds_no_prompt(desk: Desk) -> None:
    from tests.support.make import make_team

    body = {"model": "prompt:greeting@1", "messages": HELLO}
    answer = desk.send("POST", "/v1/chat/completions", json=body, key=make_key(make_team(), "chat")[1])
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "prompt_not_found")
