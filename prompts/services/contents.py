"""From what somebody typed to content that can be saved: parsed, with its variables declared, or refused by field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from promptlab_sdk.kernel import template
from promptlab_sdk.kernel.spec import JINJA2, MUSTACHE_LITE, Content

from promptlab.lib.errors import Invalid
from prompts import rendering, sandbox
from prompts.services import declarations, shapes, wording

SYNTAXES: Final = (MUSTACHE_LITE, JINJA2)
MAX_INCLUDES = 100
MAX_NAME = 255
"""Longest name of an included prompt, in characters."""


def content_of(
    *,
    text: str = "",
    messages: Sequence[Mapping[str, Any]] = (),
    model: str = "",
    parameters: Mapping[str, Any] | None = None,
    variables: Mapping[str, Any] | None = None,
    syntax: str = MUSTACHE_LITE,
    output_schema: Mapping[str, Any] | None = None,
    stop: Sequence[str] = (),
    tools: Sequence[Mapping[str, Any]] = (),
    model_texts: Mapping[str, Any] | None = None,
) -> Content:
    """Return content that renders: chat if there are messages, else text.

    Every blank of the text is declared; `variables` may say more about them (`declarations.KEYS`), and about those of
    the prompts it includes. `model_texts` are texts, or messages, for certain models, with the same blanks. Raises
    TextInvalid with line and column, Invalid naming the fields.
    """
    syntax = syntax or MUSTACHE_LITE
    if syntax not in SYNTAXES:
        raise Invalid.field("syntax", f"The syntax is one of {', '.join(SYNTAXES)}.")
    if messages:
        content = Content(type="chat", messages=wording.checked_messages(messages, syntax), syntax=syntax)
    else:
        wording.check_text(text, syntax, "content")
        content = Content(type="text", text=text, syntax=syntax)
    wording.check_size(content.messages or content.text, "content")
    content = replace(content, model_texts=wording.checked_others(content, model_texts or {}))
    _check_includes(content)
    return replace(
        content,
        model=model,
        parameters=dict(parameters or {}),
        variables=_declared(content, variables or {}),
        output_schema=shapes.check_output_schema(output_schema or {}),
        stop=shapes.check_stop(stop),
        tools=shapes.check_tools(tools),
    )


def _check_includes(content: Content) -> None:
    names = template.content_includes(content)
    if len(names) > MAX_INCLUDES:
        raise Invalid.field("content", f"At most {MAX_INCLUDES} prompts are included.")
    for name in names:
        if len(name) > MAX_NAME:
            raise Invalid.field("content", f"The name of an included prompt has at most {MAX_NAME} characters.")


def _declared(content: Content, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return one declaration per blank, keeping what was told about each; told ones alone may be a snippet's."""
    declarations.check(told)
    try:
        blanks = rendering.blanks_of(content)
    except sandbox.Refused as error:
        raise rendering.unreadable(f"{error.message} (line {error.line})", "content") from error
    declared = {name: {"type": kind, "required": True, **told.get(name, {})} for name, kind in blanks.items()}
    if template.content_includes(content):
        declared |= {name: dict(spec) for name, spec in told.items() if name not in declared}
    return declared
