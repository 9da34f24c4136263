"""The filled text is a string; and it knows how to become arguments of the usual clients."""

from __future__ import annotations

import copy
import json
import pickle
import sys

import pytest
from fake_server import PromptServer
from promptlab_sdk import Message, Prompts, Rendered
from promptlab_sdk.kernel.spec import Content

CHAT = Content(
    type="chat",
    messages=(
        Message("system", "Be {{mood}}."),
        Message("developer", "Answer in {{language}}."),
        Message(placeholder="history"),
        Message("user", "{{q}}"),
    ),
    model="gpt-x",
    parameters={"temperature": 0.2, "max_tokens": 100},
)

VARIABLES = {"mood": "kind", "language": "Dutch", "q": "Why?", "surplus": "secret"}


def chat(server: PromptServer, prompts: Prompts) -> Rendered:
    server.deploy("chat", CHAT, version=3, revision=7)
    history = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]
    return prompts.get("chat", "production", variables=VARIABLES, placeholders={"history": history})


def test_the_text_behaves_as_the_string_it_is(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "Hello {{name}}")
    text = prompts.get("test", name="Zoë")
    assert isinstance(text, str)
    assert f"{text}!" == "Hello Zoë!"
    assert json.loads(json.dumps({"content": text})) == {"content": "Hello Zoë"}
    assert {"Hello Zoë": 1}[text] == 1
    assert type(str(text)) is str
    assert text.encode() == "Hello Zoë".encode()


def test_the_text_knows_where_it_came_from(server: PromptServer, prompts: Prompts) -> None:
    text = chat(server, prompts)
    assert (text.prompt.name, text.prompt.version, text.environment, text.revision) == (
        "chat",
        3,
        "production",
        7,
    )
    assert (text.source, text.variant) == ("network", None)


def test_copies_and_pickles_keep_everything(server: PromptServer, prompts: Prompts) -> None:
    text = chat(server, prompts)
    for again in (copy.copy(text), copy.deepcopy(text), pickle.loads(pickle.dumps(text))):
        assert isinstance(again, Rendered)
        assert again == text
        assert again.messages == text.messages
        assert (again.prompt.version, again.revision, again.variables) == (3, 7, VARIABLES)


def test_openai_gets_model_parameters_and_messages(server: PromptServer, prompts: Prompts) -> None:
    assert chat(server, prompts).to_openai() == {
        "model": "gpt-x",
        "temperature": 0.2,
        "max_tokens": 100,
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "developer", "content": "Answer in Dutch."},
            {"role": "user", "content": "1"},
            {"role": "assistant", "content": "2"},
            {"role": "user", "content": "Why?"},
        ],
    }


def test_anthropic_gets_the_system_text_apart(server: PromptServer, prompts: Prompts) -> None:
    assert chat(server, prompts).to_anthropic() == {
        "system": "Be kind.\n\nAnswer in Dutch.",
        "messages": [
            {"role": "user", "content": "1"},
            {"role": "assistant", "content": "2"},
            {"role": "user", "content": "Why?"},
        ],
    }


def test_a_text_prompt_is_one_message_of_the_user(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "Hi")
    text = prompts.get("test")
    assert text.messages == [Message("user", "Hi")]
    assert text.to_openai() == {"messages": [{"role": "user", "content": "Hi"}]}
    assert text.to_anthropic() == {"messages": [{"role": "user", "content": "Hi"}]}


def test_changing_the_list_of_messages_changes_no_prompt(server: PromptServer, prompts: Prompts) -> None:
    text = chat(server, prompts)
    text.messages.clear()
    assert len(text.messages) == 5


def test_the_gateway_gets_the_reference_and_only_the_variables_in_use(server: PromptServer, prompts: Prompts) -> None:
    variables = {"mood": "kind", "language": "Dutch", "q": "Why?"}
    assert chat(server, prompts).gateway_args() == {
        "model": "prompt:chat@production",
        "extra_body": {"prompt": {"id": "chat", "version": "production", "variables": variables}},
    }


def test_the_gateway_gets_the_unit_and_values_as_text(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "{{user.name}} {{n}} {{ok}}", environment="staging")
    text = prompts.get("test", "staging", unit_id="Zoë", user={"name": "Zoë", "mail": "secret"}, n=3, ok=True)
    assert text.gateway_args() == {
        "model": "prompt:test@staging",
        "extra_body": {
            "prompt": {
                "id": "test",
                "version": "staging",
                "variables": {"user.name": "Zoë", "n": "3", "ok": "true"},
            },
            "user": "Zoë",
        },
    }


def test_the_gateway_gets_a_pinned_version_by_its_number(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "Hi", version=4)
    args = prompts.get("test", version="v1.4.0").gateway_args()
    assert args["model"] == "prompt:test@4"
    assert args["extra_body"]["prompt"]["version"] == "4"


def test_the_gateway_gets_the_bare_name_for_a_fallback(prompts: Prompts) -> None:
    args = prompts.get("absent", fallback="Hi").gateway_args()
    assert args == {"model": "prompt:absent", "extra_body": {"prompt": {"id": "absent", "variables": {}}}}


def test_langchain_gets_templates_that_say_the_same(server: PromptServer, prompts: Prompts) -> None:
    pytest.importorskip("langchain_core")
    server.deploy("test", r'Hi {{name}}, {"a": {x}} \{{raw}}')
    text = prompts.get("test", name="A{b}c")
    assert [message.content for message in text.to_langchain().format_messages()] == [text]
    (message,) = prompts.fetch("test").to_langchain().format_messages(name="A{b}c")
    assert message.content == text
    kinds = [message.type for message in chat(server, prompts).to_langchain().format_messages()]
    assert kinds == ["system", "system", "human", "ai", "human"]
    (system, *_) = prompts.fetch("chat").to_langchain().format_messages(**VARIABLES, history=[])
    assert system.content == "Be kind."


def test_langchain_that_is_not_installed_is_named(
    server: PromptServer, prompts: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "langchain_core", None)
    monkeypatch.setitem(sys.modules, "langchain_core.prompts", None)
    with pytest.raises(ImportError, match="pip install langchain-core"):
        chat(server, prompts).to_langchain()


def test_langchain_cannot_have_dots_in_names(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "Hi {{user.name}}")
    with pytest.raises(ValueError, match=r"'user\.name'"):
        prompts.fetch("test").to_langchain()


def test_a_model_with_a_text_of_its_own_is_asked_with_that_one(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", Content(text="Hi {{name}}.", model="large", model_texts={"small": "Greet {{name}}."}))
    prompt = prompts.fetch("test")
    text = prompt.for_model("small").render(name="Al")
    assert (text, text.prompt.model, text.prompt.version) == ("Greet Al.", "small", prompt.version)
    assert text.to_openai()["model"] == "small"
    assert prompt.for_model("large").render(name="Al") == prompts.get("test", name="Al") == "Hi Al."
    assert prompts.get("test", name="Al").to_openai()["model"] == "large"
    assert pickle.loads(pickle.dumps(text)).prompt.model == "small"
