"""Microsoft's `.prompty`: YAML in front (version 2, and version 1's `configuration`), and lines such as `system:` behind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from prompts.errors import CannotExport
from prompts.porting.bundle import Bundle, BundledPrompt, BundledVersion, Part, content_from, one_version
from prompts.porting.frontmatter import Split, join, split, unsaid
from prompts.porting.names import named
from prompts.porting.safe_yaml import refusal

_MARK = re.compile(
    r"^[ \t]*(?:#[ \t]*)?(system|developer|user|assistant)(\[[^\]\n]*\])?[ \t]*:[ \t]*\r?$\n?", re.I | re.M
)
_RICH = re.compile(r"\{%|\{#|(?<!\\)\{\{(?!-?\s*[A-Za-z_]\w*\s*\}\})|!\[[^\[\]\n]*\]\(")
_KNOWN = frozenset(["name", "description", "model", "inputs", "template", "metadata", "tags", "authors", "version"])
_KINDS = frozenset(["string", "number", "boolean"])


def load(text: str, *, name: str = "") -> Bundle:
    """Return the prompt in a file; `name` is used when the file gives none. Raises FileInvalid."""
    parts = split(text)
    front = Part(parts.front, parts.front.value, "")
    short, title = named(front.text("name"), name)
    if not short:
        raise parts.front.problem("name", "the file names no prompt. Add a line `name: ...`.")
    model, parameters = _model(front)
    said: dict[str, Any] = {"model": model, "parameters": parameters, "variables": _variables(front)}
    messages = _messages(parts)
    kind = "text" if isinstance(messages, str) else "chat"
    said["text" if kind == "text" else "messages"] = messages
    content = content_from(Part(parts.front, said, ""), kind, said)
    tags = front.words("tags")
    prompt = one_version(front, short, content, title=title, description=front.optional("description"), tags=tags)
    return Bundle((prompt,), tuple(front.unknown(_KNOWN)))


def dump_prompt(prompt: BundledPrompt, version: BundledVersion) -> str:
    """Return the file of one version. Raises CannotExport naming the message and the line."""
    content = version.content
    if problem := unsaid(content, _KINDS):
        raise _cannot(prompt, problem)
    told = {"name": prompt.name, "description": prompt.description, "tags": sorted(prompt.tags or ())}
    front: dict[str, Any] = {key: value for key, value in told.items() if value}
    if content.model or content.parameters:
        model = {"id": content.model, "options": dict(content.parameters)}
        front["model"] = {key: value for key, value in model.items() if value}
    if content.variables:
        front["inputs"] = [_input(name, spec) for name, spec in content.variables.items()]
    front["template"] = {"format": {"kind": "jinja2"}, "parser": {"kind": "prompty"}}
    if content.type == "text":
        _check(prompt, content.text, "the text")
        return join(front, content.text)
    body = ""
    for index, part in enumerate(content.messages, 1):
        if part.placeholder:
            raise _cannot(prompt, f"the format has no placeholder such as {part.placeholder}")
        _check(prompt, part.content, f"message {index}")
        body += f"{part.role}:\n{part.content}\n"
    return join(front, body)


def _messages(parts: Split) -> list[dict[str, str]] | str:
    """Return the messages of the text, or the text when no line begins one."""
    body = parts.body
    if rich := _RICH.search(body):
        sentence = "this is more than a blank. Only plain blanks such as {{name}} can be imported."
        raise refusal(sentence, line=parts.line(rich.start()))
    marks = list(_MARK.finditer(body))
    if not marks:
        parts.check(body, 0)
        return body
    parts.check_count(len(marks))
    if body[: marks[0].start()].strip():
        raise refusal("text stands before the first line such as system:.", line=parts.first_line)
    ends = [mark.start() for mark in marks[1:]] + [len(body)]
    found = []
    for mark, end in zip(marks, ends, strict=True):
        text = body[mark.end() : end].removesuffix("\n")
        parts.check(text, mark.end())
        role = mark[1].lower()
        found.append({"role": "system" if role == "developer" else role, "content": text})
    return found


def _model(front: Part) -> tuple[str, dict[str, Any]]:
    """Return the model and its parameters, of version 2 (`id`, `options`) or 1 (`configuration`, `parameters`)."""
    if isinstance(front.get("model"), str):
        return front.text("model"), {}
    model = Part(front.document, front.mapping("model"), "model")
    older = Part(front.document, model.mapping("configuration"), "model.configuration")
    name = model.text("id") or older.text("azure_deployment") or older.text("name") or older.text("model")
    return name, model.mapping("options") or model.mapping("parameters")


def _variables(front: Part) -> dict[str, Any]:
    """Return the variables of `inputs`: a list (version 2), or a map of name to type or example (version 1)."""
    if isinstance(front.get("inputs"), list):
        return {part.needed("name"): _described(part) for part in front.parts("inputs")}
    found: dict[str, Any] = {}
    for name, told in front.mapping("inputs").items():
        spec = Part(front.document, told if isinstance(told, Mapping) else {"default": told}, f"inputs.{name}")
        found[name] = _described(spec)
    return found


def _described(part: Part) -> dict[str, Any]:
    kind = part.text("kind") or part.text("type")
    found: dict[str, Any] = {
        "type": kind if kind in _KINDS else "string",
        "required": part.get("required") is not False,
    }
    if part.get("description"):
        found["description"] = part.text("description")
    if part.get("default") is not None:
        found |= {"default": part.get("default"), "required": False}
    return found


def _input(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    kind = spec.get("type") if spec.get("type") in _KINDS else "string"
    kept = {key: spec[key] for key in ("description", "default") if key in spec}
    return {"name": name, "kind": kind, "required": bool(spec.get("required", True)), **kept}


def _check(prompt: BundledPrompt, text: str, where: str) -> None:
    """Raise for a text that would be read in another way: a template's mark, or a line that begins a message."""
    marks = ((_RICH, "braces mean something else there"), (_MARK, "this line would begin a message"))
    for pattern, problem in (*marks, (re.compile(r"\\\{\{"), "braces mean something else there")):
        if found := pattern.search(text):
            raise _cannot(prompt, f"{where}, line {text.count(chr(10), 0, found.start()) + 1}: {problem}")


def _cannot(prompt: BundledPrompt, problem: str) -> CannotExport:
    return CannotExport(prompt=prompt.name, format="prompty", problem=f"{problem}.")
