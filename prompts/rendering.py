"""Reads: a prompt filled in. Values are held against the contract first, whatever the syntax; then blanks are filled.

What is included must have been put in before (`kernel.template.inline_content`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from promptlab_sdk.kernel import contract, template
from promptlab_sdk.kernel.spec import JINJA2, Content, Message, texts_of
from promptlab_sdk.kernel.template import Missing

from promptlab.lib.errors import FieldProblem
from prompts import sandbox
from prompts.errors import TemplateFailed, TemplateTooCostly, TextInvalid, VariablesInvalid

Placeholders = Mapping[str, Sequence[Message]]
SCHEMA_NAME = "answer"
"""What the shape of an answer is called where a model asks for a name."""


def render(
    content: Content,
    variables: Mapping[str, object],
    *,
    placeholders: Placeholders | None = None,
    missing: Missing = "error",
) -> str | tuple[Message, ...]:
    """Return the filled text of a text prompt, or the filled messages of a chat prompt.

    `missing` says what becomes of variables without a value: an error, the blank as written, or nothing. Raises
    VariablesInvalid with every problem, TemplateTooCostly, TemplateFailed, and UnresolvedInclude.
    """
    checked = contract.check_content(content, variables)
    if problems := [one for one in checked.problems if missing == "error" or one.code != contract.MISSING]:
        raise invalid(problems)
    if content.syntax == JINJA2:
        return _render_jinja(content, _raw(content, variables, checked.values), placeholders or {}, missing)
    try:
        return template.render_content(content, checked.values, placeholders=placeholders, missing=missing)
    except template.BadValue as error:
        raise VariablesInvalid(
            str(error), code="bad_value", problems=[_problem(error.name, "bad_value", str(error))]
        ) from error


def parameters_of(content: Content) -> dict[str, Any]:
    """Return the model settings that content asks for beside its own parameters: where to stop, tools, the answer's shape."""
    said: dict[str, Any] = {"stop": list(content.stop), "tools": [dict(tool) for tool in content.tools]}
    if content.output_schema:
        shape = {"name": SCHEMA_NAME, "schema": dict(content.output_schema)}
        said["response_format"] = {"type": "json_schema", "json_schema": shape}
    return {name: value for name, value in said.items() if value}


def invalid(problems: Iterable[contract.Problem]) -> VariablesInvalid:
    """Return the error that names all of them; its code is that of the problem if every one is just missing."""
    found = tuple(problems)
    fields = [_problem(one.name, one.code, one.detail) for one in found]
    names = ", ".join(one.name for one in found)
    if all(one.code == contract.MISSING for one in found):
        return VariablesInvalid(f"Missing: {names}.", code=contract.MISSING, problems=fields)
    return VariablesInvalid(names=names, problems=fields)


def check_template(text: str, syntax: str, field: str = "content") -> None:
    """Refuse a text that could not be filled; what it includes is not looked at. Raises TextInvalid naming `field`."""
    try:
        if syntax == JINJA2:
            sandbox.check(without_includes(text))
        else:
            template.parse(text)
    except template.TemplateSyntaxError as error:
        raise unreadable(f"{error.message} (line {error.line}, column {error.column})", field) from error
    except sandbox.Refused as error:
        raise unreadable(f"{error.message} (line {error.line})", field) from error


def unreadable(problem: str, field: str) -> TextInvalid:
    return TextInvalid(problem, problems=[FieldProblem(field, problem, TextInvalid.code)])


def blanks_of(content: Content) -> dict[str, str]:
    """Return the variables a prompt asks for, in order of first appearance, each with the type it is used as.

    For `jinja2` these are roots: `user`, not `user.name`. Raises TemplateSyntaxError, sandbox.Refused.
    """
    if content.syntax != JINJA2:
        return dict.fromkeys(template.content_variables(content), "string")
    found: dict[str, str] = {}
    for text in content.texts:
        for name, kind in sandbox.roots(without_includes(text)).items():
            if found.setdefault(name, kind) == "string":
                found[name] = kind
    return found


def without_includes(text: str) -> str:
    """Return a text in `jinja2` with nothing where it includes."""
    return template.inline(text, dict.fromkeys(template.includes(text, JINJA2), ""), JINJA2)


def _render_jinja(
    content: Content, values: Mapping[str, object], placeholders: Placeholders, missing: Missing
) -> str | tuple[Message, ...]:
    texts = texts_of(content.messages if content.type == "chat" else content.text)
    if included := template.content_includes(content):
        raise template.UnresolvedInclude(included)
    try:
        filled = iter(sandbox.fill(texts, values, missing))
    except sandbox.Refused as error:
        raise unreadable(f"{error.message} (line {error.line})", "content") from error
    except sandbox.TooCostly as error:
        raise TemplateTooCostly(problem=str(error)) from error
    except sandbox.Failed as error:
        raise TemplateFailed(line=error.line, problem=error.message) from error
    if content.type != "chat":
        return next(filled)
    parts: list[Message] = []
    for message in content.messages:
        if message.placeholder:
            parts += [part for part in placeholders.get(message.placeholder, ()) if not part.placeholder]
        else:
            parts.append(Message(message.role, next(filled)))
    return tuple(parts)


def _raw(content: Content, given: Mapping[str, object], values: Mapping[str, object]) -> dict[str, object]:
    """Return the values with numbers and truths as they were given: a template may count and compare them."""
    numbers = {name: given[name] for name in content.variables if isinstance(given.get(name), bool | int | float)}
    return {**values, **numbers}


def _problem(name: str, code: str, detail: str) -> FieldProblem:
    return FieldProblem(f"variables.{name}", detail, code)
