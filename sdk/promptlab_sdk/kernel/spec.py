"""The shapes on the wire: what a deployed prompt looks like to every caller.

Frozen dataclasses with `to_dict` and `from_dict`; no behaviour beyond that. Unknown keys are ignored on reading,
so that an older SDK understands a newer server.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

JSON = Any
"""Whatever `json.loads` returns."""

MUSTACHE_LITE = "mustache-lite"
JINJA2 = "jinja2"

Range = tuple[int, int]
"""A half-open range of slots, `lo <= slot < hi`, within 0..10000."""


@dataclass(frozen=True, slots=True)
class Message:
    """One part of a chat prompt: a role with text, or a named placeholder to be filled with messages.

    Exactly one of the two: `placeholder` is empty for a text part; `role` and `content` are empty for a placeholder.
    """

    role: str = ""
    content: str = ""
    placeholder: str = ""

    def to_dict(self) -> dict[str, str]:
        if self.placeholder:
            return {"placeholder": self.placeholder}
        return {"role": self.role, "content": self.content}

    @classmethod
    def from_dict(cls, data: Mapping[str, JSON]) -> Message:
        if "placeholder" in data:
            return cls(placeholder=str(data["placeholder"]))
        return cls(role=str(data["role"]), content=str(data["content"]))


Text = str | tuple[Message, ...]
"""What is sent: one text, or the messages of a chat prompt."""


@dataclass(frozen=True, slots=True)
class Content:
    """What one prompt version says and how it wants to be called. The checksum covers exactly this.

    `type` is "text" (then `text` is set and `messages` empty) or "chat" (the other way round). `syntax` is
    "mustache-lite" or "jinja2". `stop` are texts at which the model stops; `tools` and `output_schema` (a JSON schema
    of the answer) are as models take them. `model_texts` are the texts for certain models, by the names the team has for
    them: a text, or messages in a chat prompt. The last five stand on the wire and in the checksum only when they are set.
    """

    type: str = "text"
    text: str = ""
    messages: tuple[Message, ...] = ()
    model: str = ""
    parameters: Mapping[str, JSON] = field(default_factory=dict)
    variables: Mapping[str, JSON] = field(default_factory=dict)
    syntax: str = MUSTACHE_LITE
    output_schema: Mapping[str, JSON] = field(default_factory=dict)
    stop: tuple[str, ...] = ()
    tools: tuple[Mapping[str, JSON], ...] = ()
    model_texts: Mapping[str, Text] = field(default_factory=dict)
    is_plain: bool = field(init=False, compare=False, repr=False)
    """Values that are all texts are put in as they are: `mustache-lite`, and a trivial contract."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_plain", self.syntax == MUSTACHE_LITE and is_trivial(self.variables))

    def for_model(self, model: str) -> Content:
        """Return what a model of this name is sent: its own text if there is one, else the same content."""
        own = self.model_texts.get(model)
        if own is None:
            return self
        if isinstance(own, str):
            return replace(self, text=own, model_texts={})
        return replace(self, messages=own, model_texts={})

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text that is filled in: its own, or those of its messages, and then those for other models."""
        own = self.messages if self.type == "chat" else self.text
        return tuple(text for said in (own, *self.model_texts.values()) for text in texts_of(said))

    def to_dict(self) -> dict[str, JSON]:
        said: dict[str, JSON] = {
            "type": self.type,
            "text": self.text,
            "messages": [message.to_dict() for message in self.messages],
            "model": self.model,
            "parameters": dict(self.parameters),
            "variables": dict(self.variables),
        }
        if self.syntax != MUSTACHE_LITE:
            said["syntax"] = self.syntax
        if self.output_schema:
            said["output_schema"] = dict(self.output_schema)
        if self.stop:
            said["stop"] = list(self.stop)
        if self.tools:
            said["tools"] = [dict(tool) for tool in self.tools]
        if self.model_texts:
            said["model_texts"] = {name: text_to_dict(text) for name, text in self.model_texts.items()}
        return said

    @classmethod
    def from_dict(cls, data: Mapping[str, JSON]) -> Content:
        return cls(
            type=str(data.get("type") or "text"),
            text=str(data.get("text") or ""),
            messages=messages_from(data.get("messages") or ()),
            model=str(data.get("model") or ""),
            parameters=dict(data.get("parameters") or {}),
            variables=dict(data.get("variables") or {}),
            syntax=str(data.get("syntax") or MUSTACHE_LITE),
            output_schema=dict(data.get("output_schema") or {}),
            stop=tuple(str(text) for text in data.get("stop") or ()),
            tools=tuple(dict(tool) for tool in data.get("tools") or ()),
            model_texts=model_texts_from(data.get("model_texts") or {}),
        )

    def checksum(self) -> str:
        """Return the SHA-256, in hex, over the canonical JSON of the content (sorted keys, no spaces, UTF-8)."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class PromptSpec:
    """One version of one prompt, ready to render.

    `snippets`: the version of each prompt whose text was included by name. `sha256` is the version's own checksum, over
    the text before anything was included. `receipt` says, signed by the server, what this is; feedback refers to it.
    """

    name: str
    version: int
    version_string: str
    content: Content
    sha256: str
    snippets: Mapping[str, int] = field(default_factory=dict)
    receipt: str = ""

    def to_dict(self) -> dict[str, JSON]:
        content = self.content.to_dict()
        text = content.pop("text")
        return {
            "name": self.name,
            "version": self.version,
            "version_string": self.version_string,
            "prompt_text": text,
            **content,
            "sha256": self.sha256,
            **({"snippets": dict(self.snippets)} if self.snippets else {}),
            **({"receipt": self.receipt} if self.receipt else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, JSON]) -> PromptSpec:
        return cls(
            name=str(data["name"]),
            version=int(data["version"]),
            version_string=str(data.get("version_string") or ""),
            content=Content.from_dict({**data, "text": data.get("prompt_text")}),
            sha256=str(data.get("sha256") or ""),
            snippets={str(name): int(number) for name, number in (data.get("snippets") or {}).items()},
            receipt=str(data.get("receipt") or ""),
        )


@dataclass(frozen=True, slots=True)
class VariantSpec:
    """One variant: the slots it owns and the version it serves. The control is served to everybody outside."""

    key: str
    is_control: bool
    ranges: tuple[Range, ...]
    prompt: PromptSpec

    def to_dict(self) -> dict[str, JSON]:
        return {
            "key": self.key,
            "is_control": self.is_control,
            "ranges": [list(r) for r in self.ranges],
            "prompt": self.prompt.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, JSON]) -> VariantSpec:
        return cls(
            key=str(data["key"]),
            is_control=bool(data["is_control"]),
            ranges=tuple((int(lo), int(hi)) for lo, hi in data["ranges"]),
            prompt=PromptSpec.from_dict(data["prompt"]),
        )


@dataclass(frozen=True, slots=True)
class NamespaceSpec:
    """The slots of a namespace that an experiment has for itself: who is in them can be in no other one there."""

    seed: str
    ranges: tuple[Range, ...]

    def to_dict(self) -> dict[str, JSON]:
        return {"seed": self.seed, "ranges": [list(r) for r in self.ranges]}

    @classmethod
    def from_dict(cls, data: Mapping[str, JSON]) -> NamespaceSpec:
        return cls(str(data["seed"]), tuple((int(lo), int(hi)) for lo, hi in data["ranges"]))


@dataclass(frozen=True, slots=True)
class ExperimentSpec:
    """The experiment running on a prompt in an environment. `seed` belongs to the phase and never changes in it.

    `state` is "running", or "paused" (then everybody is served the control and nothing is recorded). `condition` says
    whom it is for (docs/spec/assignment.md), `overrides` which variant a unit gets for trying it out, uncounted. Units
    keep what they had only where the server is asked, and `is_sticky`. `unit_attribute` names the attribute whose value is
    dealt; empty: the unit id. The last five stand on the wire when they are set.
    """

    id: int
    key: str
    phase: int
    seed: str
    state: str
    variants: tuple[VariantSpec, ...]
    condition: Mapping[str, JSON] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    namespace: NamespaceSpec | None = None
    is_sticky: bool = False
    unit_attribute: str = ""

    @property
    def control(self) -> VariantSpec:
        return next(variant for variant in self.variants if variant.is_control)

    def to_dict(self) -> dict[str, JSON]:
        said: dict[str, JSON] = {
            "id": self.id,
            "key": self.key,
            "phase": self.phase,
            "seed": self.seed,
            "state": self.state,
            "variants": [variant.to_dict() for variant in self.variants],
        }
        if self.condition:
            said["condition"] = dict(self.condition)
        if self.overrides:
            said["overrides"] = dict(self.overrides)
        if self.namespace:
            said["namespace"] = self.namespace.to_dict()
        if self.is_sticky:
            said["is_sticky"] = True
        if self.unit_attribute:
            said["unit_attribute"] = self.unit_attribute
        return said

    @classmethod
    def from_dict(cls, data: Mapping[str, JSON]) -> ExperimentSpec:
        return cls(
            id=int(data["id"]),
            key=str(data["key"]),
            phase=int(data["phase"]),
            seed=str(data["seed"]),
            state=str(data["state"]),
            variants=tuple(VariantSpec.from_dict(v) for v in data["variants"]),
            condition=dict(data.get("condition") or {}),
            overrides={str(unit): str(key) for unit, key in (data.get("overrides") or {}).items()},
            namespace=NamespaceSpec.from_dict(data["namespace"]) if data.get("namespace") else None,
            is_sticky=bool(data.get("is_sticky")),
            unit_attribute=str(data.get("unit_attribute") or ""),
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is served for (prompt, environment): the live version, and the experiment on it if one runs."""

    prompt: PromptSpec
    environment: str
    revision: int
    experiment: ExperimentSpec | None = None

    def to_dict(self) -> dict[str, JSON]:
        return {
            **self.prompt.to_dict(),
            "environment": self.environment,
            "revision": self.revision,
            "experiment": self.experiment.to_dict() if self.experiment else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, JSON]) -> Delivery:
        experiment = data.get("experiment")
        return cls(
            prompt=PromptSpec.from_dict(data),
            environment=str(data["environment"]),
            revision=int(data["revision"]),
            experiment=ExperimentSpec.from_dict(experiment) if experiment else None,
        )


def is_trivial(declared: Mapping[str, JSON]) -> bool:
    """Tell whether texts that are all there need no check: nothing is declared beyond what a blank is anyway."""
    return all(
        isinstance(spec, Mapping)
        and spec.get("type", "string") == "string"
        and not spec.keys() & {"allowed", "max_length"}
        for spec in declared.values()
    )


def messages_from(items: Sequence[Mapping[str, JSON]]) -> tuple[Message, ...]:
    """Return the messages of a JSON list as a tuple."""
    return tuple(Message.from_dict(item) for item in items)


def model_texts_from(items: Mapping[str, str | Sequence[Mapping[str, JSON]]]) -> dict[str, Text]:
    """Return the texts for other models of a JSON object."""
    return {str(name): said if isinstance(said, str) else messages_from(said) for name, said in items.items()}


def text_to_dict(text: Text) -> str | list[dict[str, str]]:
    """Return a text, or messages, as they stand in JSON."""
    return text if isinstance(text, str) else [message.to_dict() for message in text]


def texts_of(text: Text) -> tuple[str, ...]:
    """Return the texts in it that are filled; a placeholder has none."""
    if isinstance(text, str):
        return (text,)
    return tuple(message.content for message in text if not message.placeholder)
