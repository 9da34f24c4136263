"""The kernel against docs/spec/vectors/template.json, which every other language reads too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from promptlab_sdk.kernel import template
from promptlab_sdk.kernel.spec import Content, Message, messages_from

VECTORS = json.loads(
    (Path(__file__).parents[2] / "docs" / "spec" / "vectors" / "template.json").read_text(encoding="utf-8")
)

Case = dict[str, Any]


def named(cases: list[Case]) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in cases]


@pytest.mark.parametrize("case", named(VECTORS["render"]))
def test_text_renders_as_the_vector_says(case: Case) -> None:
    if "syntax_error" in case:
        with pytest.raises(template.TemplateSyntaxError) as caught:
            template.parse(case["template"])
        assert {"line": caught.value.line, "column": caught.value.column} == case["syntax_error"]
        return
    assert list(template.variables(case["template"])) == case["blanks"]
    content = Content(text=case["template"])
    missing = case.get("missing", "error")
    if "missing_variables" in case:
        with pytest.raises(template.MissingVariable) as absent:
            template.render_content(content, case["variables"], missing=missing)
        assert list(absent.value.names) == case["missing_variables"]
        return
    assert template.render_content(content, case["variables"], missing=missing) == case["text"]


@pytest.mark.parametrize("case", named(VECTORS["chat"]))
def test_messages_render_as_the_vector_says(case: Case) -> None:
    content = Content(type="chat", messages=messages_from(case["messages"]))
    placeholders = {name: messages_from(items) for name, items in case.get("placeholders", {}).items()}
    missing = case.get("missing", "error")
    assert list(template.content_variables(content)) == case["blanks"]
    if "missing_variables" in case:
        with pytest.raises(template.MissingVariable) as absent:
            template.render_messages(content.messages, case["variables"], placeholders, missing)
        assert list(absent.value.names) == case["missing_variables"]
        return
    rendered = template.render_content(content, case["variables"], placeholders=placeholders, missing=missing)
    assert rendered == tuple(Message(item["role"], item["content"]) for item in case["result"])


@pytest.mark.parametrize("case", VECTORS["escape"])
def test_escape_writes_what_the_vector_says_and_renders_back(case: Case) -> None:
    assert template.escape(case["text"]) == case["template"]
    assert template.parse(case["template"]).render({}) == case["text"]


@pytest.mark.parametrize("case", named(VECTORS["inline"]))
def test_a_text_with_includes_becomes_what_the_vector_says(case: Case) -> None:
    assert list(template.includes(case["template"])) == case["includes"]
    whole = template.inline(case["template"], case["texts"])
    assert template.parse(whole).render(case["variables"]) == case["text"]
