"""Values held against what a prompt declares, and prompts that only the server fills."""

from __future__ import annotations

import datetime
import json
import pickle

import pytest
from fake_server import Fault, PromptServer
from promptlab_sdk import Message, MissingVariable, PromptLabError, Prompts, ServiceUnavailable, VariablesInvalid
from promptlab_sdk.kernel.spec import JINJA2, Content

DECLARED = {
    "name": {"default": "you"},
    "age": {"type": "number"},
    "tone": {"allowed": ["warm", "dry"], "required": False},
}
CONTRACT = Content(text="{{name}} {{age}} {{tone}}.", variables=DECLARED)


def test_what_is_declared_fills_in_and_passes(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", CONTRACT)
    assert prompts.get("test", age=3) == "you 3 ."
    assert prompts.get("test", name="Al", age=0.5, tone="dry") == "Al 0.5 dry."


def test_all_that_does_not_fit_is_named_at_once_and_no_value(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", CONTRACT)
    with pytest.raises(VariablesInvalid) as caught:
        prompts.get("test", name=["hunter2"], tone="hunter2")
    assert [(one.name, one.code) for one in caught.value.problems] == [
        ("name", "wrong_type"),
        ("age", "missing_variable"),
        ("tone", "not_allowed"),
    ]
    assert isinstance(caught.value, ValueError)
    assert caught.value.code == "invalid_variables"
    assert str(caught.value).startswith("test: name is a text, not a list.")
    assert "hunter2" not in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems


def test_only_missing_values_stay_an_error_of_their_own(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", CONTRACT)
    with pytest.raises(MissingVariable) as caught:
        prompts.get("test", tone="dry")
    assert caught.value.names == ("age",)
    assert prompts.get("test", missing="keep") == "you {{age}} ."


def test_a_plain_contract_refuses_lists_for_texts(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", Content(text="{{a}}", variables={"a": {"type": "string", "required": True}}))
    assert [prompts.get("test", a=value) for value in ("x", 3, True)] == ["x", "3", "true"]
    with pytest.raises(VariablesInvalid):
        prompts.get("test", a=["x"])


def test_a_conversation_is_checked_as_a_whole(server: PromptServer, prompts: Prompts) -> None:
    messages = (Message("system", "{{a}}"), Message("user", "{{b}}"))
    server.deploy("test", Content(type="chat", messages=messages, variables={"a": {"type": "number"}, "b": {}}))
    assert prompts.get("test", a=1, b="x") == "system: 1\n\nuser: x"
    with pytest.raises(VariablesInvalid):
        prompts.get("test", a="1", b="x")


JINJA = Content(
    text="{% if vip %}Sir{% endif %} {{ day }}", syntax=JINJA2, variables={"vip": {"type": "boolean"}, "day": {}}
)


def answers(server: PromptServer, **answer: object) -> None:
    server.faults.append(Fault(200, json.dumps({"text": "", "messages": [], **answer}), "application/json"))


def test_jinja_is_filled_by_the_server_with_what_the_prompt_asks_for(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", JINJA, version=4)
    prompts.prefetch("test")
    answers(server, text="Sir 2026-11-21")
    text = prompts.get("test", vip=True, day=datetime.date(2026, 11, 21), secret="x")
    assert (text, text.prompt.version) == ("Sir 2026-11-21", 4)
    asked = server.requests[-1]
    assert (asked.method, asked.path) == ("POST", "/api/v1/prompts/test/versions/4/render")
    assert asked.body == {
        "variables": {"vip": True, "day": "2026-11-21"},
        "missing": "error",
        "environment": "production",
    }


def test_a_conversation_in_jinja_comes_back_in_messages(server: PromptServer, prompts: Prompts) -> None:
    server.deploy(
        "test", Content(type="chat", messages=(Message("user", "{{ a }}"),), syntax=JINJA2, variables={"a": {}})
    )
    prompts.prefetch("test")
    answers(server, messages=[{"role": "user", "content": "x"}])
    text = prompts.get("test", a="x")
    assert (text, text.messages) == ("user: x", [Message("user", "x")])
    with pytest.raises(ValueError, match="Jinja"):
        prompts.get("test", a="x", placeholders={"history": []} | {"more": [Message("user", "y")]})


def test_the_server_is_told_for_which_model_it_fills(server: PromptServer, prompts: Prompts) -> None:
    server.deploy(
        "test", Content(text="{{ a }}", syntax=JINJA2, variables={"a": {}}, model_texts={"small": "{{ a }}!"})
    )
    prompt = prompts.fetch("test").for_model("small")
    answers(server, text="x!")
    assert prompt.render(a="x") == "x!"
    assert server.requests[-1].body["model"] == "small"


def test_jinja_is_checked_here_before_anybody_is_asked(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", JINJA)
    prompts.prefetch("test")
    before = len(server.requests)
    with pytest.raises(VariablesInvalid):
        prompts.get("test", vip="yes", day="x")
    assert len(server.requests) == before


def test_jinja_without_the_server_says_so(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", JINJA)
    prompts.prefetch("test")
    server.kill()
    with pytest.raises(ServiceUnavailable, match="test is written in jinja2, which only the server fills"):
        prompts.get("test", vip=True, day="x")


def test_what_the_server_refuses_is_said_in_its_words(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", JINJA)
    prompts.prefetch("test")
    server.faults.append(Fault(400, '{"detail": "Too much.", "code": "template_too_costly"}'))
    with pytest.raises(PromptLabError, match="Too much") as caught:
        prompts.get("test", vip=True, day="x")
    assert caught.value.code == "template_too_costly"
