"""What a prompt may be worded like: one text or messages, and others for certain models that ask for the same blanks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from django.utils.translation import gettext_noop
from promptlab_sdk.kernel import template
from promptlab_sdk.kernel.spec import Content, Message, Text, texts_of

from promptlab.lib.errors import FieldProblem, Invalid
from prompts import rendering, sandbox

ROLES: Final = ("system", "user", "assistant")
MAX_TEXT = 1_000_000
MAX_MESSAGES = 100
MAX_OTHERS = 10
"""For how many models a version may have a text of their own."""
MAX_MODEL = 100
FIELD: Final = "model_texts"


def checked_messages(parts: Sequence[Any], syntax: str, field: str = "messages") -> tuple[Message, ...]:
    """Return the messages of a chat prompt. Raises TextInvalid, and Invalid naming `field.N`."""
    if len(parts) > MAX_MESSAGES:
        raise Invalid.field(field, f"At most {MAX_MESSAGES} messages.")
    return tuple(_message(part, syntax, f"{field}.{index}") for index, part in enumerate(parts))


def check_text(text: str, syntax: str, field: str) -> None:
    """Refuse a text that is too long or cannot be read."""
    # Its length first: a text that is much too long is not worth the time of parsing it.
    if len(text) > MAX_TEXT:
        raise _too_long(field)
    rendering.check_template(text, syntax, field)


def check_size(text: Text, field: str) -> None:
    """Refuse what is empty, and messages that are too long together."""
    size = sum(map(len, texts_of(text)))
    if not size:
        raise Invalid.field(field, gettext_noop("The prompt text is empty."), code="required")
    if size > MAX_TEXT:
        raise _too_long(field)


def checked_others(content: Content, others: Any) -> dict[str, Text]:
    """Return the texts for certain models: each of the kind of the content, with its blanks and placeholders.

    Raises TextInvalid, and Invalid naming `model_texts.NAME` for every text that loses or invents one.
    """
    if not isinstance(others, Mapping):
        raise Invalid.field(FIELD, "It is an object: the name of each model, and its text.")
    if len(others) > MAX_OTHERS:
        raise Invalid.field(FIELD, f"At most {MAX_OTHERS} models have a text of their own.", code="too_many")
    found = {_name(name): _other(content, str(name), text) for name, text in others.items()}
    problems = [problem for name, text in found.items() for problem in _different(content, name, text)]
    if problems:
        raise Invalid(problems[0].detail, code=problems[0].code, problems=problems)
    return found


def _name(name: Any) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_MODEL or name != name.strip():
        raise Invalid.field(FIELD, f"A model has a name of 1 to {MAX_MODEL} characters.")
    return name


def _other(content: Content, name: str, text: Any) -> Text:
    field = f"{FIELD}.{name}"
    is_chat = content.type == "chat"
    if not isinstance(text, list | tuple if is_chat else str):
        raise Invalid.field(field, "It is a list of messages." if is_chat else "It is a text.")
    if isinstance(text, str):
        check_text(text, content.syntax, field)
    else:
        text = checked_messages(text, content.syntax, field)
    check_size(text, field)
    return text


def _different(content: Content, name: str, text: Text) -> Iterator[FieldProblem]:
    """Yield which blanks and placeholders a text loses, and which it invents."""
    field = f"{FIELD}.{name}"
    wanted = _asked(content, "content")
    there = _asked(replace(content, model_texts={name: text}).for_model(name), field)
    for one in wanted:
        if one not in there:
            yield FieldProblem(field, f"The text for {name} does not have {{{{{one}}}}}.", "blank_lost")
    for one in there:
        if one not in wanted:
            yield FieldProblem(
                field, f"The text for {name} has {{{{{one}}}}}, which the prompt has not.", "blank_invented"
            )


def _asked(content: Content, field: str) -> list[str]:
    try:
        blanks = rendering.blanks_of(content)
    except sandbox.Refused as error:
        raise rendering.unreadable(f"{error.message} (line {error.line})", field) from error
    return [*blanks, *template.content_placeholders(content)]


def _message(part: Any, syntax: str, field: str) -> Message:
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
    check_text(content, syntax, f"{field}.content")
    return Message(role=role, content=content)


def _too_long(field: str) -> Invalid:
    return Invalid.field(field, f"The text is longer than {MAX_TEXT} characters.", code="too_long")
