"""Google's `.prompt`: YAML in front, Handlebars behind. Its plain part is read; what needs more is refused by line."""

from __future__ import annotations

import re
from typing import Any

from prompts.errors import CannotExport
from prompts.porting.bundle import Bundle, BundledPrompt, BundledVersion, Part, content_from, one_version
from prompts.porting.frontmatter import Split, join, split, unsaid
from prompts.porting.names import named
from prompts.porting.safe_yaml import refusal

_MARK = re.compile(r'(?<!\\)\{\{\s*(?:role\s+["\'](\w+)["\']|(history))\s*\}\}')
_RICH = re.compile(r"(?<!\\)\{\{\{|(?<!\\)\{\{\s*(?:[#/!>&^~]|else\b|media\b|section\b|json\b|[\w.-]+\s+[^\s}])")
_ROLES = {"model": "assistant", "assistant": "assistant", "user": "user", "system": "system"}
_KNOWN = frozenset(["name", "model", "config", "input", "description", "variant"])
_TYPES = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean"}


def load(text: str, *, name: str = "") -> Bundle:
    """Return the prompt in a file; `name` is used when the file gives none. Raises FileInvalid."""
    parts = split(text)
    front = Part(parts.front, parts.front.value, "")
    short, title = named(front.text("name"), name)
    if not short:
        raise parts.front.problem("name", "the file names no prompt. Add a line `name: ...`.")
    variables, notices = _variables(front)
    said: dict[str, Any] = {"model": front.text("model"), "parameters": front.mapping("config"), "variables": variables}
    messages = _messages(parts)
    kind = "text" if isinstance(messages, str) else "chat"
    said["text" if kind == "text" else "messages"] = messages
    content = content_from(Part(parts.front, said, ""), kind, said)
    prompt = one_version(front, short, content, title=title, description=front.optional("description"))
    return Bundle((prompt,), tuple(front.unknown(_KNOWN) + notices))


def dump_prompt(prompt: BundledPrompt, version: BundledVersion) -> str:
    """Return the file of one version. Raises CannotExport naming the message and the line."""
    content = version.content
    if problem := unsaid(content, _TYPES):
        raise _cannot(prompt, problem)
    told = {"name": prompt.name, "description": prompt.description, "model": content.model}
    front: dict[str, Any] = {key: value for key, value in told.items() if value}
    if content.parameters:
        front["config"] = dict(content.parameters)
    if content.variables:
        front["input"] = _input(content.variables)
    if content.type == "text":
        _check(prompt, content.text, "the text")
        return join(front, content.text)
    body = ""
    for index, part in enumerate(content.messages, 1):
        if part.placeholder not in ("", "history"):
            raise _cannot(prompt, f"its placeholder {part.placeholder} is not called history")
        _check(prompt, part.content, f"message {index}")
        role = "model" if part.role == "assistant" else part.role
        body += "{{history}}\n" if part.placeholder else f'{{{{role "{role}"}}}}{part.content}\n'
    return join(front, body)


def _messages(parts: Split) -> list[dict[str, str]] | str:
    """Return the messages of the text, or the text when no role is marked in it."""
    body = parts.body
    if rich := _RICH.search(_MARK.sub(lambda found: " " * len(found[0]), body)):
        sentence = "this is more than a blank. Only {{name}}, {{role}} and {{history}} can be imported."
        raise refusal(sentence, line=parts.line(rich.start()))
    marks = list(_MARK.finditer(body))
    if not marks:
        parts.check(body, 0)
        return body
    parts.check_count(len(marks))
    ends = [mark.start() for mark in marks[1:]] + [len(body)]
    found = _said(parts, "user", 0, marks[0].start()) if body[: marks[0].start()].strip() else []
    for mark, end in zip(marks, ends, strict=True):
        if mark[2]:
            found.append({"placeholder": "history"})
            if body[mark.end() : end].strip():
                found += _said(parts, "user", mark.end(), end)
            continue
        if mark[1] not in _ROLES:
            raise refusal(f"the role {mark[1]} is not known.", line=parts.line(mark.start()))
        found += _said(parts, _ROLES[mark[1]], mark.end(), end)
    return found


def _said(parts: Split, role: str, start: int, end: int) -> list[dict[str, str]]:
    text = parts.body[start:end].removesuffix("\n")
    parts.check(text, start)
    return [{"role": role, "content": text}]


def _variables(front: Part) -> tuple[dict[str, Any], list[str]]:
    """Return the variables of `input.schema` (picoschema, one level) with their defaults; notices for the rest."""
    given = Part(front.document, front.mapping("input"), "input")
    defaults, notices = given.mapping("default"), []
    found: dict[str, Any] = {}
    for key, told in given.mapping("schema").items():
        name = key.removesuffix("?")
        if not name.isidentifier():
            notices.append(f"{front.document.place(f'input.schema.{key}')}: {key[:50]} was left out.")
            continue
        kind, _, description = told.partition(",") if isinstance(told, str) else ("", "", "")
        if kind.strip() not in _TYPES:
            notices.append(f"{front.document.place(f'input.schema.{key}')}: the type of {name[:50]} was left out.")
        spec = {"type": _TYPES.get(kind.strip(), "string"), "required": not key.endswith("?")}
        found[name] = spec | ({"description": description.strip()} if description.strip() else {})
    for name, value in defaults.items():
        found.setdefault(name, {"type": "string", "required": False})["default"] = value
    return found, notices


def _input(variables: Any) -> dict[str, Any]:
    schema, defaults = {}, {}
    for name, spec in variables.items():
        kind = spec.get("type") if spec.get("type") in _TYPES else "string"
        text = f"{kind}, {spec['description']}" if spec.get("description") else str(kind)
        schema[name if spec.get("required", True) else f"{name}?"] = text
        if "default" in spec:
            defaults[name] = spec["default"]
    return {"schema": schema} | ({"default": defaults} if defaults else {})


def _check(prompt: BundledPrompt, text: str, where: str) -> None:
    """Raise for a text that Handlebars would read in another way."""
    for pattern, problem in ((_RICH, "braces mean something else there"), (_MARK, "this would begin a message")):
        if found := pattern.search(text):
            raise _cannot(prompt, f"{where}, line {text.count(chr(10), 0, found.start()) + 1}: {problem}")


def _cannot(prompt: BundledPrompt, problem: str) -> CannotExport:
    return CannotExport(prompt=prompt.name, format="dotprompt", problem=f"{problem}.")
