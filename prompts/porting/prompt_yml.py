"""GitHub's `.prompt.yml`: one version of one prompt. What it has no words for stands under `x-promptlab`."""

from __future__ import annotations

from typing import Any

from prompts.porting.bundle import CONTENT_KEYS, Bundle, BundledPrompt, BundledVersion, Part, content_from, one_version
from prompts.porting.names import named
from prompts.porting.safe_yaml import Document, dump
from prompts.porting.safe_yaml import load as load_yaml

OURS = "x-promptlab"
_KNOWN = frozenset(["name", "description", "model", "modelParameters", "messages", OURS])
_IN_FRONT = frozenset(["model", "parameters", "messages", "text"])
_OURS_KNOWN = (CONTENT_KEYS - _IN_FRONT) | {
    "type", "title", "model_type", "tags", "version", "version_string", "message", "placeholders", "sha256"
}  # fmt: skip


def load(text: str, *, name: str = "") -> Bundle:
    """Return the prompt in a file; `name` is used when the file gives none. Raises FileInvalid."""
    return from_document(load_yaml(text), name)


def from_document(document: Document, name: str = "") -> Bundle:
    """Return the prompt in a document. Raises FileInvalid."""
    part = Part(document, document.value, "")
    ours = Part(document, part.mapping(OURS), OURS)
    short, title = named(part.text("name"), name)
    if not short:
        raise document.problem("name", "the file names no prompt. Add a line `name: ...`.")
    kind = ours.text("type") or "chat"
    messages = _with_placeholders(ours, part.items("messages"))
    said: dict[str, Any] = {key: ours.get(key) for key in CONTENT_KEYS - _IN_FRONT if ours.get(key) is not None}
    said |= {"model": part.text("model"), "parameters": part.mapping("modelParameters")}
    if kind == "text":
        said["text"] = _only_text(part, messages)
    else:
        said["messages"] = messages
        _check_messages(part, messages)
    content = content_from(Part(document, said, ""), kind, said)
    prompt = one_version(
        part,
        short,
        content,
        number=ours.number("version"),
        version_string=ours.text("version_string"),
        message=ours.text("message"),
        title=ours.optional("title") or title,
        description=part.optional("description"),
        model_type=ours.optional("model_type"),
        tags=ours.words("tags"),
    )
    return Bundle((prompt,), tuple(part.unknown(_KNOWN) + ours.unknown(_OURS_KNOWN)))


def dump_prompt(prompt: BundledPrompt, version: BundledVersion) -> str:
    """Return the file of one version."""
    content = version.content
    parts = [part.to_dict() for part in content.messages] or [{"role": "system", "content": content.text}]
    holes = [{"at": index, "name": part["placeholder"]} for index, part in enumerate(parts) if "placeholder" in part]
    told = {**prompt.to_dict(), **version.to_dict()}
    ours = {key: told[key] for key in _OURS_KNOWN if told.get(key)}
    if content.type == "chat":
        ours.pop("type")
    if holes:
        ours["placeholders"] = holes
    found: dict[str, Any] = {
        "name": prompt.name,
        "description": prompt.description,
        "model": content.model,
        "modelParameters": dict(content.parameters),
        OURS: ours,
    }
    kept = {key: value for key, value in found.items() if value}
    return dump({**kept, "messages": [part for part in parts if "placeholder" not in part]})


def _check_messages(part: Part, messages: list[Any]) -> None:
    if not messages:
        raise part.document.problem("messages", "messages is missing.")
    for index, one in enumerate(messages):
        if not isinstance(one, dict):
            raise part.document.problem(f"messages.{index}", "a message has role and content.")


def _only_text(part: Part, messages: list[Any]) -> str:
    """Return the text of a text prompt: its only message."""
    if len(messages) != 1 or not isinstance(messages[0], dict) or not isinstance(messages[0].get("content"), str):
        raise part.document.problem("messages", "a text prompt has one message with content.")
    text: str = messages[0]["content"]
    return text


def _with_placeholders(ours: Part, messages: list[Any]) -> list[Any]:
    """Return the messages with the placeholders in their places."""
    found = list(messages)
    for hole in ours.parts("placeholders"):
        found.insert(hole.number("at"), {"placeholder": hole.needed("name")})
    return found
