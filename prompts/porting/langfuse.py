"""Langfuse's prompt objects, in a list: one object is one version."""

from __future__ import annotations

from typing import Any

from prompts.errors import CannotExport
from prompts.porting.bundle import CONTENT_KEYS, Bundle, BundledPrompt, BundledVersion, Part, content_from
from prompts.porting.names import named
from prompts.porting.safe_yaml import Document, dump_json, load_json

OURS = "x-promptlab"
_KNOWN = frozenset(["name", "type", "prompt", "config", "labels", "tags", "version", "commitMessage"])
_ABOUT = frozenset(
    ["id", "createdAt", "updatedAt", "projectId", "createdBy", "isActive", "resolutionGraph", "lastUpdatedAt"]
)
"""What the other server says about its own rows."""


def load(text: str, *, name: str = "") -> Bundle:
    """Return the prompts of a list of objects, or of one object. Raises FileInvalid."""
    return from_document(load_json(text), name)


def from_document(document: Document, name: str = "") -> Bundle:
    """Return the prompts of a document. Raises FileInvalid."""
    value = document.value if isinstance(document.value, list) else [document.value]
    whole = Document({"prompts": value}, document.lines)
    parts = list(Part(whole, whole.value, "").parts("prompts"))
    found: dict[str, list[Part]] = {}
    for part in parts:
        found.setdefault(part.text("name") or name, []).append(part)
    notices = [notice for part in parts for notice in part.unknown(_KNOWN | _ABOUT)]
    return Bundle(tuple(_prompt(told, group) for told, group in found.items()), tuple(notices))


def dump(bundle: Bundle) -> str:
    """Return the list of objects. Raises CannotExport."""
    objects = [_object(prompt, version) for prompt in bundle.prompts for version in prompt.versions]
    return dump_json(objects)


def _prompt(told: str, group: list[Part]) -> BundledPrompt:
    group.sort(key=lambda part: part.number("version"))
    newest = group[-1]
    short, title = named(told, "")
    if not short:
        raise newest.document.problem(newest.at("name"), "name is missing.")
    versions = tuple(_version(part) for part in group)
    kinds = {version.content.type for version in versions}
    if len(kinds) > 1:
        raise newest.document.problem(newest.at("type"), f"the versions of {short} are all text or all chat.")
    place = newest.document.place(newest.path)
    return BundledPrompt(short, kinds.pop(), versions, title=title, tags=newest.words("tags"), place=place)


def _version(part: Part) -> BundledVersion:
    config = part.mapping("config")
    ours = Part(part.document, config.pop(OURS, {}), part.at(f"config.{OURS}"))
    said: dict[str, Any] = dict(ours.value) | {"model": config.pop("model", None) or "", "parameters": config}
    said.pop("version_string", None)
    prompt = part.get("prompt")
    kind = "chat" if isinstance(prompt, list) else "text"
    if kind == "chat":
        said["messages"] = [_message(one) for one in part.parts("prompt")]
    elif isinstance(prompt, str):
        said["text"] = prompt
    else:
        raise part.document.problem(part.at("prompt"), "prompt is text or a list of messages.")
    known = {key: value for key, value in said.items() if key in CONTENT_KEYS}
    return BundledVersion(
        content=content_from(Part(part.document, known, part.path), kind, known),
        number=part.number("version"),
        version_string=ours.text("version_string"),
        message=part.text("commitMessage")[:500],
        place=part.document.place(part.path),
    )


def _message(part: Part) -> dict[str, Any]:
    if part.get("type") == "placeholder":
        return {"placeholder": part.needed("name")}
    return {"role": part.needed("role"), "content": part.text("content")}


def _object(prompt: BundledPrompt, version: BundledVersion) -> dict[str, Any]:
    content = version.content
    if clash := {"model", OURS} & content.parameters.keys():
        raise CannotExport(prompt=prompt.name, format="langfuse", problem=f"a parameter is called {clash.pop()}.")
    said = version.to_dict()
    rest = {key: said[key] for key in said if key not in _ELSEWHERE}
    config = {
        **content.parameters,
        **({"model": content.model} if content.model else {}),
        **({OURS: rest} if rest else {}),
    }
    chat = [
        {"type": "placeholder", "name": part.placeholder} if part.placeholder else part.to_dict()
        for part in content.messages
    ]
    return {
        "name": prompt.name,
        "type": content.type,
        "prompt": chat if content.type == "chat" else content.text,
        "config": config,
        "labels": sorted(where for where, number in prompt.deployments.items() if number == version.number),
        "tags": sorted(prompt.tags or ()),
        "version": version.number,
        "commitMessage": version.message or None,
    }


_ELSEWHERE = frozenset(["text", "messages", "model", "parameters", "version", "message", "created_at", "sha256"])
