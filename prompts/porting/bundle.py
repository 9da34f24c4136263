"""The bundle: prompts with all that belongs to them, as one file. Every other format is read into it and written from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from promptlab_sdk.kernel.spec import MUSTACHE_LITE, Content

from prompts.porting.safe_yaml import Document, dump, dump_json

FORMAT = 1
MAX_PROMPTS = 2000
_EMPTY = {
    **Content().to_dict(),
    "syntax": MUSTACHE_LITE,
    "output_schema": {},
    "stop": [],
    "tools": [],
    "model_texts": {},
}
CONTENT_KEYS = frozenset(_EMPTY) - {"type"}
_PROMPT_KEYS = frozenset(
    ["name", "title", "description", "type", "model_type", "tags", "metadata", "collection", "versions", "deployments"]
)
_VERSION_KEYS = CONTENT_KEYS | {"version", "version_string", "message", "created_at", "sha256"}
_LONGEST = {"name": 255, "title": 200, "description": 10_000, "model_type": 100, "collection": 200}
_LONGEST |= {"version_string": 100, "message": 500, "model": 100, "created_at": 50, "sha256": 64}


@dataclass(frozen=True, slots=True)
class BundledVersion:
    """One version. `number` is the one it had where it comes from (0: unknown); `place` says where in a file it stands."""

    content: Content
    number: int = 0
    version_string: str = ""
    message: str = ""
    created_at: str = ""
    place: str = field(default="", compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the shape of the file; what is empty is left out."""
        said = {key: value for key, value in self.content.to_dict().items() if value != _EMPTY[key] and key != "type"}
        told = {
            "version": self.number,
            "version_string": self.version_string,
            "message": self.message,
            "created_at": self.created_at,
        }
        return {**said, **{key: value for key, value in told.items() if value}, "sha256": self.content.checksum()}


@dataclass(frozen=True, slots=True)
class BundledPrompt:
    """One prompt, its versions oldest first. None: the file does not say, so an import leaves it as it is."""

    name: str
    type: str
    versions: tuple[BundledVersion, ...]
    title: str | None = None
    description: str | None = None
    model_type: str | None = None
    tags: tuple[str, ...] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    collection: str = ""
    deployments: Mapping[str, int] = field(default_factory=dict)
    place: str = field(default="", compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the shape of the file."""
        told = {"title": self.title, "description": self.description, "model_type": self.model_type}
        found: dict[str, Any] = {key: value for key, value in told.items() if value is not None}
        if self.tags is not None:
            found["tags"] = sorted(self.tags)
        if self.metadata:
            found["metadata"] = dict(sorted(self.metadata.items()))
        if self.collection:
            found["collection"] = self.collection
        if self.deployments:
            found["deployments"] = dict(self.deployments)
        versions = [version.to_dict() for version in self.versions]
        return {"name": self.name, "type": self.type, **found, "versions": versions}


@dataclass(frozen=True, slots=True)
class Bundle:
    """Prompts, by name. `notices` say what of a file was not taken."""

    prompts: tuple[BundledPrompt, ...] = ()
    notices: tuple[str, ...] = field(default=(), compare=False)

    def to_dict(self) -> dict[str, Any]:
        prompts = sorted(self.prompts, key=lambda prompt: prompt.name)
        return {"promptlab": FORMAT, "prompts": [prompt.to_dict() for prompt in prompts]}

    def to_yaml(self) -> str:
        """Return the file: the same bundle is the same bytes."""
        return dump(self.to_dict())

    def to_json(self) -> str:
        return dump_json(self.to_dict())


def from_document(document: Document) -> Bundle:
    """Return the bundle in a file. Raises FileInvalid naming the place."""
    top = Part(document, document.value, "")
    if top.get("promptlab") != FORMAT:
        raise document.problem(
            "promptlab", f"a bundle begins with promptlab: {FORMAT}; newer formats need a newer house."
        )
    parts = list(top.parts("prompts"))
    if len(parts) > MAX_PROMPTS:
        raise document.problem("prompts", f"at most {MAX_PROMPTS} prompts in one file.")
    prompts = tuple(_prompt(part) for part in parts)
    refuse_repeats(document, [prompt.name for prompt in prompts], "prompts.{}.name")
    notices = top.unknown(frozenset(["promptlab", "prompts"]))
    for part in parts:
        notices += part.unknown(_PROMPT_KEYS)
        notices += [notice for one in part.parts("versions") for notice in _version_notices(one)]
    return Bundle(prompts, tuple(notices))


def refuse_repeats(document: Document, names: Sequence[str], path: str) -> None:
    """Raise when a name occurs twice; `path` leads to the name by its index."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            raise document.problem(path.format(index), f"there are two prompts {name[:100]} in this file.")
        seen.add(name)


@dataclass(frozen=True, slots=True)
class Part:
    """An object in a file, whose values are taken out by their type. Each method raises FileInvalid naming the place."""

    document: Document
    value: Any
    path: str

    def __post_init__(self) -> None:
        if not isinstance(self.value, Mapping):
            raise self.document.problem(self.path, "here belong keys with values.")

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def get(self, key: str) -> Any:
        return self.value.get(key)

    def text(self, key: str, default: str = "") -> str:
        """Return a text, or a number as it is written: `version_string: 1.0`."""
        value = self.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.document.problem(self.at(key), f"{key} is text.")
        longest = _LONGEST.get(key)
        if longest and len(str(value)) > longest:
            raise self.document.problem(self.at(key), f"{key} has at most {longest} characters.")
        return str(value)

    def optional(self, key: str) -> str | None:
        return None if self.get(key) is None else self.text(key)

    def needed(self, key: str) -> str:
        if not (found := self.text(key)):
            raise self.document.problem(self.at(key), f"{key} is missing.")
        return found

    def number(self, key: str) -> int:
        value = self.get(key)
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
            raise self.document.problem(self.at(key), f"{key} is a whole number.")
        return value

    def mapping(self, key: str) -> dict[str, Any]:
        value = self.get(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self.document.problem(self.at(key), f"{key} has keys with values.")
        return dict(value)

    def items(self, key: str) -> list[Any]:
        value = self.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.document.problem(self.at(key), f"{key} is a list.")
        return value

    def parts(self, key: str) -> Iterator[Part]:
        for index, item in enumerate(self.items(key)):
            yield Part(self.document, item, f"{self.at(key)}.{index}")

    def words(self, key: str) -> tuple[str, ...] | None:
        """Return a list of words; None when the file does not say."""
        if self.get(key) is None:
            return None
        found = self.items(key)
        for index, word in enumerate(found):
            if not isinstance(word, str) or not word.strip() or len(word) > 50:
                raise self.document.problem(f"{self.at(key)}.{index}", "a tag is text of 1 to 50 characters.")
        return tuple(dict.fromkeys(word.strip() for word in found))

    def unknown(self, known: frozenset[str]) -> list[str]:
        """Return a notice for each key that has no place here."""
        odd = sorted(key for key in self.value if key not in known)
        return [f"{self.document.place(self.at(key))}: {key[:50]} is not known and was left out." for key in odd]


def _prompt(part: Part) -> BundledPrompt:
    kind = part.text("type", "") or (
        "chat" if any("messages" in one.value for one in part.parts("versions")) else "text"
    )
    if kind not in ("text", "chat"):
        raise part.document.problem(part.at("type"), "the type is text or chat.")
    versions = tuple(_version(one, kind) for one in part.parts("versions"))
    if not versions:
        raise part.document.problem(part.at("versions"), "a prompt has at least one version.")
    return BundledPrompt(
        name=part.needed("name"),
        type=kind,
        versions=versions,
        title=part.optional("title"),
        description=part.optional("description"),
        model_type=part.optional("model_type"),
        tags=part.words("tags"),
        metadata=part.mapping("metadata"),
        collection=part.text("collection"),
        deployments=part.mapping("deployments"),
        place=part.document.place(part.path),
    )


def _version(part: Part, kind: str) -> BundledVersion:
    said = {key: part.get(key) for key in CONTENT_KEYS if part.get(key) is not None}
    return BundledVersion(
        content=content_from(part, kind, said),
        number=part.number("version"),
        version_string=part.text("version_string"),
        message=part.text("message"),
        created_at=part.text("created_at"),
        place=part.document.place(part.path),
    )


def content_from(part: Part, kind: str, said: Mapping[str, Any]) -> Content:
    """Return the content of the keys in `said`, their shapes checked; what they mean is for the service to check."""
    wrong, other = ("text", "messages") if kind == "chat" else ("messages", "text")
    if said.get(wrong):
        raise part.document.problem(part.at(wrong), f"a {kind} prompt has {other}, no {wrong}.")
    for key, value in said.items():
        expected: type = type(_EMPTY[key])
        if _EMPTY[key] is not None and not isinstance(value, expected):
            names = {"str": "text", "list": "a list", "dict": "keys with values"}
            raise part.document.problem(part.at(key), f"{key} is {names.get(expected.__name__, expected.__name__)}.")
    if "model" in said:
        part.text("model")
    if "messages" in said:
        for one in part.parts("messages"):
            _check_message(one)
    for index, text in enumerate(said.get("stop") or ()):
        if not isinstance(text, str):
            raise part.document.problem(f"{part.at('stop')}.{index}", "a text to stop at is text.")
    for index, tool in enumerate(said.get("tools") or ()):
        if not isinstance(tool, Mapping):
            raise part.document.problem(f"{part.at('tools')}.{index}", "a tool has keys with values.")
    if said.get("model_texts"):
        _check_model_texts(Part(part.document, said["model_texts"], part.at("model_texts")), kind)
    return Content.from_dict({**said, "type": kind})


def _check_model_texts(part: Part, kind: str) -> None:
    for name in part.value:
        if not isinstance(name, str):
            raise part.document.problem(part.path, "a model has a name that is text.")
        if kind == "chat":
            for one in part.parts(name):
                _check_message(one)
        elif not isinstance(part.value[name], str):
            raise part.document.problem(part.at(name), "the text for a model is text.")


def _check_message(part: Part) -> None:
    keys = set(part.value)
    if keys not in ({"role", "content"}, {"placeholder"}) or not all(isinstance(v, str) for v in part.value.values()):
        raise part.document.problem(part.path, "a message has role and content, or placeholder, and all are text.")


def _version_notices(part: Part) -> list[str]:
    told = part.text("sha256")
    notices = part.unknown(_VERSION_KEYS)
    if told:
        kind = "chat" if part.get("messages") else "text"
        said = {key: part.get(key) for key in CONTENT_KEYS if part.get(key) is not None}
        if content_from(part, kind, said).checksum() != told:
            notices.append(f"{part.document.place(part.path)}: the content was changed since it was exported.")
    return notices


def one_version(
    part: Part, name: str, content: Content, *, version_string: str = "", message: str = "", **told: Any
) -> BundledPrompt:
    """Return a prompt of a single version, for the formats that hold no more."""
    place = part.document.place(part.path)
    version = BundledVersion(content, told.pop("number", 0), version_string, message, place=place)
    return BundledPrompt(name, content.type, (version,), place=place, **told)
