"""From what somebody typed to content that can be saved: parsed, with its variables declared, or refused by field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from django.utils.translation import gettext_noop
from promptlab_sdk.kernel import template
from promptlab_sdk.kernel.spec import JINJA2, MUSTACHE_LITE, Content, Message

from promptlab.lib.errors import Invalid
from prompts import rendering, sandbox
from prompts.services import declarations, shapes

ROLES: Final = ("system", "user", "assistant")
SYNTAXES: Final = (MUSTACHE_LITE, JINJA2)
MAX_TEXT = 1_000_000
MAX_MESSAGES = 100
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
) -> Content:
    """Return content that renders: chat if there are messages, else text.

    Every blank of the text is declared; `variables` may say more about them (`declarations.KEYS`), and about those of
    the prompts it includes. Raises TextInvalid with line and column, Invalid naming the fields.
    """
    syntax = syntax or MUSTACHE_LITE
    if syntax not in SYNTAXES:
        raise Invalid.field("syntax", f"The syntax is one of {', '.join(SYNTAXES)}.")
    if messages:
        parts = tuple(_message(index, part, syntax) for index, part in enumerate(messages))
        if len(parts) > MAX_MESSAGES:
            raise Invalid.field("messages", f"At most {MAX_MESSAGES} messages.")
        content = Content(type="chat", messages=parts, syntax=syntax)
    else:
        _check_text(text, syntax, "content")
        content = Content(type="text", text=text, syntax=syntax)
    _check_size(sum(len(part.content) for part in content.messages) + len(content.text))
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


def _message(index: int, part: Mapping[str, Any], syntax: str) -> Message:
    field = f"messages.{index}"
    if not isinstance(part, Mapping):
        raise Invalid.field(field, "A message is an object with role and content.")
    if "placeholder" in part:
        name = part["placeholder"]
        if not isinstance(name, str) or not name.isidentifier():
            raise Invalid.field(f"{field}.placeholder", "A placeholder has a name such as history.")
        return Message(placeholder=name)
    role, content = part.get("role"), part.get("content")
    if role not in ROLES:
        raise Invalid.field(f"{field}.role", f"The role is one of {', '.join(ROLES)}.")
    if not isinstance(content, str):
        raise Invalid.field(f"{field}.content", "The content is text.")
    _check_text(content, syntax, f"{field}.content")
    return Message(role=role, content=content)


def _check_text(text: str, syntax: str, field: str) -> None:
    # Its length first: a text that is much too long is not worth the time of parsing it.
    if len(text) > MAX_TEXT:
        raise _too_long()
    rendering.check_template(text, syntax, field)


def _check_size(size: int) -> None:
    if not size:
        raise Invalid.field("content", gettext_noop("The prompt text is empty."), code="required")
    if size > MAX_TEXT:
        raise _too_long()


def _too_long() -> Invalid:
    return Invalid.field("content", f"The text is longer than {MAX_TEXT} characters.", code="too_long")


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
