"""The formats of others: what they can say comes back as it was, and what they cannot is refused with its place."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from promptlab_sdk.kernel.spec import Content, Message

from prompts.errors import CannotExport, FileInvalid
from prompts.porting import formats
from prompts.porting.bundle import Bundle, BundledPrompt, BundledVersion

CHAT = Content(
    type="chat",
    messages=(
        Message("system", "You help {{company}}.\nBe brief.\n"),
        Message(placeholder="history"),
        Message("user", "  {{question}} "),
        Message("assistant", "Süß 🙂"),
    ),
    model="gpt-6-luna",
    parameters={"temperature": 0.2, "max_tokens": 50},
    variables={"company": {"type": "string", "required": True}, "question": {"type": "string", "required": False, "default": "?"}},
)  # fmt: skip
TEXT = Content(text="Hello {{name}}.\n", variables={"name": {"type": "string", "required": True, "description": "Who"}})


def bundle_of(content: Content, **told: Any) -> Bundle:
    version = BundledVersion(content, 3, "v1.2.0", "shorter")
    return Bundle((BundledPrompt("greeting", content.type, (version,), description="Says hello", **told),))


def again(content: Content, format: str) -> Content:
    read = formats.read(formats.write(bundle_of(content), format).encode(), format)
    assert read.notices == ()
    return read.prompts[0].versions[-1].content


@pytest.mark.parametrize("format", formats.WRITABLE)
def test_what_a_format_can_say_comes_back(format: str) -> None:
    chat = CHAT
    if format == "prompty":
        chat = replace(CHAT, messages=tuple(part for part in CHAT.messages if not part.placeholder))
    for content in (TEXT, chat):
        assert again(content, format) == content


def test_the_bundle_is_lossless() -> None:
    bundle = bundle_of(
        CHAT, title="Greeting", model_type="chat", tags=("a", "b"), collection="C", deployments={"production": 3}
    )
    for format in ("yaml", "json"):
        assert formats.read(formats.write(bundle, format).encode()) == bundle


def test_prompt_yml_looks_as_others_write_it() -> None:
    written = formats.write(bundle_of(CHAT), "prompt.yml")
    assert written.startswith(
        "description: Says hello\nmessages:\n- content: |\n    You help {{company}}.\n    Be brief.\n"
    )
    foreign = b"""name: Text Summarizer
description: Sums up
model: openai/gpt-4o-mini
modelParameters:
  temperature: 0.5
messages:
  - role: system
    content: You sum up.
  - role: user
    content: '{{input}}'
testData: []
evaluators: []
"""
    read = formats.read(foreign)
    prompt = read.prompts[0]
    assert (prompt.name, prompt.title, prompt.type) == ("text-summarizer", "Text Summarizer", "chat")
    assert prompt.versions[0].content.parameters == {"temperature": 0.5}
    assert [notice.partition(":")[0] for notice in read.notices] == ["line 12", "line 11"]


def test_langfuse_s_objects_are_versions() -> None:
    objects = b"""[{"id": "x", "name": "movie critic", "type": "chat", "version": 2, "labels": ["production"], "tags": ["a"],
      "prompt": [{"role": "system", "content": "Hi {{x}}"}, {"type": "placeholder", "name": "history"}],
      "config": {"model": "gpt-4o", "temperature": 0.7}, "commitMessage": null},
     {"name": "movie critic", "type": "chat", "version": 1, "labels": [], "tags": [], "config": {},
      "prompt": [{"type": "chatmessage", "role": "user", "content": "Hi"}]}]"""
    prompt = formats.read(objects).prompts[0]
    assert (prompt.name, prompt.title, [one.number for one in prompt.versions]) == (
        "movie-critic",
        "movie critic",
        [1, 2],
    )
    newest = prompt.versions[1].content
    assert (newest.model, newest.parameters, newest.messages[1].placeholder) == (
        "gpt-4o",
        {"temperature": 0.7},
        "history",
    )


def test_a_dotprompt_of_others_is_read() -> None:
    foreign = b"""---
model: googleai/gemini-1.5-pro
config:
  temperature: 0.9
input:
  schema:
    location: string, where they are
    style?: string
    items(array): string
  default:
    style: friendly
---
{{role "system"}}You are at {{location}}.
{{history}}
{{role "model"}}Hello {{style}}
"""
    read = formats.read(foreign, name="weather")
    content = read.prompts[0].versions[0].content
    assert [part.to_dict() for part in content.messages] == [
        {"role": "system", "content": "You are at {{location}}."},
        {"placeholder": "history"},
        {"role": "assistant", "content": "Hello {{style}}"},
    ]
    assert content.variables["style"] == {"type": "string", "required": False, "default": "friendly"}
    assert content.variables["location"]["description"] == "where they are"
    assert len(read.notices) == 1


MODELS = [
    "  id: gpt-4o\n  options: {temperature: 0}",
    "  configuration: {type: openai, name: gpt-4o}\n  parameters: {temperature: 0}",
]


@pytest.mark.parametrize("model", MODELS)
def test_both_versions_of_prompty_are_read(model: str) -> None:
    foreign = f"---\nname: Basic\nmodel:\n{model}\ninputs:\n  question: What?\n---\nsystem:\nYou help.\n\nuser:\n{{{{question}}}}\n"
    read = formats.read(foreign.encode()).prompts[0]
    content = read.versions[0].content
    assert (read.name, content.model, content.parameters) == ("Basic", "gpt-4o", {"temperature": 0})
    assert [part.role for part in content.messages] == ["system", "user"]
    assert content.variables["question"]["default"] == "What?"


@pytest.mark.parametrize(
    ("format", "text", "where"),
    [
        ("dotprompt", "---\nname: x\n---\nHi\n{{#if a}}b{{/if}}", "Line 5"),
        ("dotprompt", "---\nname: x\n---\n{{role \"tool\"}}x", "Line 4"),
        ("dotprompt", "---\nname: x\n---\n{{>part}}", "Line 4"),
        ("dotprompt", "---\nname: x\n---\n{{a b}}", "Line 4"),
        ("dotprompt", "---\nname: x\n---\n\n\\{{ok}} {{open", "Line 5"),
        ("dotprompt", "---\nname: x\nHi", "Line 1"),
        ("dotprompt", "---\nname: [x\n---\nHi", "Line"),
        ("prompty", "---\nname: x\n---\nsystem:\nHi\n{% for a in b %}", "Line 6"),
        ("prompty", "---\nname: x\n---\nsystem:\n{{ a|upper }}", "Line 5"),
        ("prompty", "---\nname: x\n---\nHello\nsystem:\nx", "Line 4"),
        ("prompt.yml", "messages: []", "name"),
        ("prompt.yml", "name: x\nmessages:\n- role: user\n", "Line 3"),
        ("prompt.yml", "name: x\nmessages: 5\n", "Line 2"),
        ("yaml", "promptlab: 2\nprompts: []", "Line 1"),
        ("yaml", "promptlab: 1\nprompts:\n- name: a\n  versions: []\n", "Line 4"),
        ("yaml", "promptlab: 1\nprompts:\n- name: a\n  type: poem\n  versions: [{text: x}]\n", "Line 4"),
        ("yaml", "promptlab: 1\nprompts:\n- name: a\n  versions:\n  - text: x\n- name: a\n  versions:\n  - text: y\n", "Line 6"),
        ("yaml", "promptlab: 1\nprompts:\n- name: a\n  versions:\n  - text: 5\n", "Line 5"),
        ("yaml", "promptlab: 1\nprompts:\n- name: a\n  versions:\n  - messages: [{role: user}]\n", "Line 5"),
        ("yaml", "promptlab: 1\nprompts:\n- just text\n", "Line 3"),
        ("langfuse", '[{"name": "a", "prompt": 5}]', "prompts.0.prompt"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_where(format: str, text: str, where: str) -> None:
    with pytest.raises(FileInvalid) as caught:
        formats.read(text.encode(), format)
    assert where in caught.value.detail
    assert caught.value.problems


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("prompty", "a\nuser:\nb"),
        ("prompty", "a \\{{b}}"),
        ("prompty", "{% raw %}"),
        ("prompty", "{{a-b}}"),
        ("dotprompt", "{{{a}}}"),
        ("dotprompt", 'x {{history}} y'),
    ],
)  # fmt: skip
def test_what_a_format_cannot_say_is_not_written(format: str, text: str) -> None:
    with pytest.raises(CannotExport, match=r"line \d"):
        formats.write(bundle_of(Content(type="chat", messages=(Message("user", text),))), format)


TECHNICAL = Content(
    text="{% if name %}Hello {{ name }}.{% endif %}",
    syntax="jinja2",
    stop=("END", "\n\n"),
    tools=({"type": "function", "function": {"name": "weather"}},),
    output_schema={"type": "object", "properties": {"mood": {"type": "string"}}},
    variables={"name": {"type": "string", "required": True, "allowed": ["Ann"], "max_length": 5}},
)


@pytest.mark.parametrize("format", ["yaml", "json", "langfuse", "prompt.yml"])
def test_what_stands_beside_the_text_comes_back(format: str) -> None:
    assert again(TECHNICAL, format) == TECHNICAL


@pytest.mark.parametrize("format", ["dotprompt", "prompty"])
@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"syntax": "jinja2"}, "jinja2"),
        ({"stop": ("END",)}, "stop"),
        ({"tools": ({"type": "function"},)}, "tools"),
        ({"output_schema": {"type": "object"}}, "output_schema"),
        ({"variables": {"name": {"type": "list"}}}, "list"),
        ({"variables": {"name": {"type": "string", "allowed": ["Ann"]}}}, "allowed"),
        ({"text": "{{> tone}}"}, "line 1"),
    ],
)
def test_what_other_formats_have_no_words_for_is_refused(format: str, said: dict[str, Any], named: str) -> None:
    with pytest.raises(CannotExport, match=named):
        formats.write(bundle_of(Content(**{"text": "Hello.", **said})), format)


def test_an_include_comes_back_as_it_is() -> None:
    for format in ("yaml", "json", "langfuse", "prompt.yml"):
        assert again(Content(text="{{> tone}} Hello."), format).text == "{{> tone}} Hello."


@pytest.mark.parametrize(("key", "value"), [("stop", [1]), ("tools", ["x"]), ("stop", "END"), ("output_schema", [])])
def test_what_stands_beside_the_text_has_its_shape(key: str, value: Any) -> None:
    body = {"promptlab": 1, "prompts": [{"name": "a", "versions": [{"text": "x", key: value}]}]}
    with pytest.raises(FileInvalid, match=key):
        formats.read(json.dumps(body).encode())


def test_a_format_for_one_prompt_holds_one() -> None:
    one = bundle_of(TEXT).prompts[0]
    with pytest.raises(CannotExport):
        formats.write(Bundle((one, one)), "prompt.yml")


bodies = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")) | st.text("ab{}\\ \n\r:#-")


@settings(max_examples=200, deadline=None)
@given(bodies, bodies)
def test_a_bundle_and_prompt_yml_keep_every_character(first: str, second: str) -> None:
    chat = Content(type="chat", messages=(Message("system", first), Message(placeholder="x"), Message("user", second)))
    text = Content(text=first, parameters={second: [first, 1.5, None]})
    for content in (chat, text):
        for format in ("yaml", "json", "langfuse", "prompt.yml"):
            assert again(content, format) == content


def test_a_megabyte_of_text_comes_back() -> None:
    line = "Äpfel {{name}} 🙂 \\{{ x: [y] # z"
    text = "\n".join(f"{number} {line}" for number in range(1_000_000 // len(line) + 1))[:1_000_000]
    for format in ("yaml", "json", "prompt.yml"):
        assert again(Content(text=text), format).text == text


def test_unknown_keys_are_told_and_left_out() -> None:
    file = (
        b"promptlab: 1\nprompts:\n- name: a\n  owner: me\n  versions:\n  - text: x\n    mood: good\n    sha256: beef\n"
    )
    notices = formats.read(file).notices
    assert [notice.partition(":")[0] for notice in notices] == ["line 4", "line 7", "line 6"]
