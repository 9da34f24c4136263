"""OpenAI's saved prompt objects, as JSON: one object, a list, or a list under `data` or `prompts`.

An object is one version; one with `versions` is all of them. The id (`pmpt_...`) becomes the short name, because that is
what applications ask for; the name becomes the title.
"""

from __future__ import annotations

from typing import Any

from prompts.porting.bundle import Bundle, BundledPrompt, BundledVersion, Part, content_from
from prompts.porting.names import NAME, named
from prompts.porting.safe_yaml import Document, load_json

_KNOWN = frozenset(
    [
        "id", "prompt_id", "name", "title", "description", "version", "versions", "model", "instructions", "messages", "input",
        "temperature", "top_p", "max_output_tokens", "reasoning", "text", "tools", "variables", "tags",
    ]
)  # fmt: skip
_ABOUT = frozenset(
    [
        "object",
        "created_at",
        "updated_at",
        "created_by",
        "project_id",
        "default_version",
        "is_default",
        "metadata",
        "status",
    ]
)
"""What the other server says about its own rows."""
_ROLES = {"developer": "system", "system": "system", "user": "user", "assistant": "assistant"}


def load(text: str) -> Bundle:
    """Return the prompts in a file, each with its versions, oldest first. Raises FileInvalid naming the place."""
    document = load_json(text)
    value: Any = document.value
    for key in ("data", "prompts"):
        value = value[key] if isinstance(value, dict) and isinstance(value.get(key), list) else value
    whole = Document({"prompts": value if isinstance(value, list) else [value]}, document.lines)
    notices: list[str] = []
    found: dict[str, list[Part]] = {}
    for part in Part(whole, whole.value, "").parts("prompts"):
        found.setdefault(_short(part), []).append(part)
    prompts = tuple(_prompt(short, parts, notices) for short, parts in found.items())
    return Bundle(prompts, tuple(notices))


def _short(part: Part) -> str:
    told = part.text("id") or part.text("prompt_id")
    if NAME.match(told):
        return told
    short, _ = named(part.text("name"), "")
    if told or not short:
        raise part.document.problem(part.at("id"), "the object has no id that could be a short name.")
    return short


def _prompt(short: str, parts: list[Part], notices: list[str]) -> BundledPrompt:
    newest = parts[-1]
    told = [one for part in parts for one in (part.parts("versions") if part.get("versions") else [part])]
    told.sort(key=_number)
    versions = tuple(_version(part, notices) for part in told)
    numbers = [_number(part) for part in told]
    if any(numbers) and numbers != list(range(1, len(numbers) + 1)):
        said = ", ".join(map(str, numbers))
        notices.append(
            f"{short}: the file has the versions {said}, numbered anew from 1. Callers that pin a version must be told."
        )
    title = newest.text("title") or newest.text("name") or None
    return BundledPrompt(
        short,
        "chat",
        versions,
        title=title,
        description=newest.optional("description"),
        tags=newest.words("tags"),
        place=newest.document.place(newest.path),
    )


def _number(part: Part) -> int:
    """Return the version, which OpenAI writes as text; 0 when it is not said."""
    told = part.text("version")
    if told and not (told.isdecimal() and len(told) < 10):
        raise part.document.problem(part.at("version"), "a version is a whole number.")
    return int(told or 0)


def _version(part: Part, notices: list[str]) -> BundledVersion:
    notices += part.unknown(_KNOWN | _ABOUT)
    said: dict[str, Any] = {
        "messages": _messages(part),
        "model": part.text("model"),
        "parameters": _parameters(part),
        "tools": _tools(part, notices),
        "output_schema": _schema(part),
        "variables": _declared(part),
    }
    return BundledVersion(
        content=content_from(Part(part.document, said, part.path), "chat", said),
        number=_number(part),
        place=part.document.place(part.path),
    )


def _messages(part: Part) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for key in ("instructions", "messages", "input"):
        if isinstance(text := part.get(key), str):
            found.append({"role": "user" if key == "input" else "system", "content": text})
        else:
            found += [_message(one) for one in part.parts(key)]
    if not found:
        raise part.document.problem(part.at("messages"), "the prompt has neither instructions nor messages.")
    return found


def _message(part: Part) -> dict[str, str]:
    role = part.needed("role")
    if role not in _ROLES:
        raise part.document.problem(part.at("role"), f"the role is one of {', '.join(_ROLES)}.")
    if not isinstance(part.get("content"), list):
        return {"role": _ROLES[role], "content": part.text("content")}
    texts = []
    for one in part.parts("content"):
        if "text" not in one.text("type"):
            raise one.document.problem(one.path, "a part of a message is text; images and files are not supported.")
        texts.append(one.text("text"))
    return {"role": _ROLES[role], "content": "\n".join(texts)}


def _parameters(part: Part) -> dict[str, Any]:
    """Return the settings under the names that are used here."""
    told = {
        "temperature": part.get("temperature"),
        "top_p": part.get("top_p"),
        "max_tokens": part.get("max_output_tokens"),
        "reasoning_effort": part.mapping("reasoning").get("effort"),
        "verbosity": part.mapping("text").get("verbosity"),
    }
    return {name: value for name, value in told.items() if value is not None}


def _tools(part: Part, notices: list[str]) -> list[dict[str, Any]]:
    found = []
    for tool in part.parts("tools"):
        if tool.text("type") != "function":
            notices.append(f"{tool.document.place(tool.path)}: the hosted tool {tool.text('type')[:50]} was left out.")
            continue
        keys = ("name", "description", "parameters", "strict")
        found.append(
            {"type": "function", "function": {key: tool.get(key) for key in keys if tool.get(key) is not None}}
        )
    return found


def _schema(part: Part) -> dict[str, Any]:
    shape = part.mapping("text").get("format") or {}
    return dict(shape.get("schema") or {}) if isinstance(shape, dict) and shape.get("type") == "json_schema" else {}


def _declared(part: Part) -> dict[str, Any]:
    """Return what is said of the variables: a description, a default; a bare value is an example and says nothing."""
    found: dict[str, Any] = {}
    for name, told in part.mapping("variables").items():
        spec = told if isinstance(told, dict) else {}
        kept = {key: spec[key] for key in ("description", "default") if isinstance(spec.get(key), str)}
        if kept:
            found[name] = {**kept, **({"required": False} if "default" in kept else {})}
    return found
