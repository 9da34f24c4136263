"""What a caller gets: a prompt still to be filled, and the filled text with everything known about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from promptlab_sdk.errors import MissingVariable, ServiceUnavailable, VariablesInvalid
from promptlab_sdk.kernel import contract, template
from promptlab_sdk.kernel.spec import JSON, MUSTACHE_LITE, Content, ExperimentSpec, Message, PromptSpec
from promptlab_sdk.spans import note

if TYPE_CHECKING:
    from langchain_core.prompts import ChatPromptTemplate  # type: ignore[import-not-found,unused-ignore]

Origin = Literal["network", "cache", "stale", "disk", "bootstrap", "fallback"]
"""Where a prompt came from. "cache" and "stale": from memory, within and beyond its TTL. What disk or bootstrap gave is
called so until the server has confirmed it."""

SYSTEM_ROLES = ("system", "developer")

Ask = Callable[["Prompt", Mapping[str, object], template.Missing], tuple[str, tuple[Message, ...]]]
"""Has the server fill a prompt; returns the text, or the messages of a chat prompt."""

Messages = Sequence[Message | Mapping[str, str]]
"""Messages as callers write them: `Message` objects or `{"role": ..., "content": ...}` dictionaries."""


@dataclass(slots=True, eq=False)
class Prompt:
    """One version of a prompt, with its blanks unfilled. Not to be changed.

    `variant` is the key of the assigned variant, None when nobody was assigned; `experiment` is the one it belongs to.
    `environment` and `revision` are None for a pinned version and for a fallback, which belong to no environment.
    `plain` is the parsed text of a prompt that needs nothing but its blanks filled; `ask` fills by the server what only
    it can fill. `receipt` says, signed by the server, what this is; empty when nobody signed. `is_forced`: the unit is on the
    experiment's list for trying it out, and is not counted. `dealt_unit`: who was dealt, where the experiment deals by an
    attribute and not by `unit_id`. `model` names the model whose own text this is; empty for the text of all others.
    """

    spec: PromptSpec
    source: Origin
    environment: str | None = None
    revision: int | None = None
    variant: str | None = None
    unit_id: str | None = None
    experiment: ExperimentSpec | None = None
    plain: template.Template | None = None
    ask: Ask | None = None
    receipt: str = ""
    is_forced: bool = False
    dealt_unit: str | None = None
    model: str = ""

    def for_model(self, model: str) -> Prompt:
        """Return the prompt as a model of this name is sent it: with its own text, where the version has one for it.

        Names are those that the team calls its models by.
        """
        if model not in self.spec.content.model_texts:
            return self
        spec = replace(self.spec, content=self.spec.content.for_model(model))
        return replace(self, spec=spec, plain=plain_template(spec.content), model=model)

    @property
    def counted_unit(self) -> str | None:
        """Whom exposures and ratings are counted for."""
        return self.dealt_unit or self.unit_id

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the parsed text and the connection behind in copies and pickles: they cannot travel."""
        known = (self.spec, self.source, self.environment, self.revision, self.variant, self.unit_id, self.experiment)
        return Prompt, (*known, None, None, self.receipt, self.is_forced, self.dealt_unit, self.model)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def version(self) -> int:
        """The number of the version; 0 for a fallback."""
        return self.spec.version

    @property
    def version_string(self) -> str:
        return self.spec.version_string

    @property
    def content(self) -> Content:
        return self.spec.content

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of the blanks, each once, in order of first appearance."""
        return template.content_variables(self.spec.content)

    def render(
        self,
        variables: Mapping[str, object] | None = None,
        /,
        *,
        placeholders: Mapping[str, Messages] | None = None,
        missing: template.Missing = "error",
        **more: object,
    ) -> Rendered:
        """Return the filled text; surplus variables are ignored.

        Raises MissingVariable if values lack, VariablesInvalid if any is not as declared, BadValue; for a prompt in
        Jinja, which the server fills, also PromptLabError.
        """
        return self.fill({**variables, **more} if variables else more, placeholders, missing)

    def fill(
        self,
        values: Mapping[str, object],
        placeholders: Mapping[str, Messages] | None,
        missing: template.Missing,
    ) -> Rendered:
        """Do what `render` does, with the values in one mapping, which is kept and not copied."""
        if self.plain is not None:
            text = self.plain.filled(values)
            if text is not None:
                note(self)
                return rendered(text, self, values)
        found = self._fill_any(values, placeholders, missing)
        note(self)
        return found

    def _fill_any(
        self,
        values: Mapping[str, object],
        placeholders: Mapping[str, Messages] | None,
        missing: template.Missing,
    ) -> Rendered:
        content = self.spec.content
        checked = contract.check_content(content, values)
        if problems := [one for one in checked.problems if missing == "error" or one.code != contract.MISSING]:
            if len(problems) == len(checked.missing):
                raise MissingVariable(checked.missing, self.spec.name)
            raise VariablesInvalid(problems, self.spec.name)
        if content.syntax != MUSTACHE_LITE:
            return self._fill_by_server(values, placeholders, missing)
        if content.type != "chat":
            return rendered(template.parse(content.text).render(checked.values, missing), self, values)
        given = {name: messages_of(items) for name, items in (placeholders or {}).items()}
        messages = template.render_messages(content.messages, checked.values, given, missing)
        return rendered(_read(messages), self, values, messages)

    def _fill_by_server(
        self,
        values: Mapping[str, object],
        placeholders: Mapping[str, Messages] | None,
        missing: template.Missing,
    ) -> Rendered:
        """Have the server fill what is written in a syntax of its own. Raises PromptLabError."""
        if placeholders:
            raise ValueError("Messages cannot be put into a prompt in Jinja; add them to what `messages` returns.")
        if self.ask is None:
            raise ServiceUnavailable(f"{self.name} is written in {self.content.syntax}, which only the server fills.")
        text, messages = self.ask(self, values, missing)
        if self.content.type != "chat":
            return rendered(text, self, values)
        return rendered(_read(messages), self, values, messages)

    def to_langchain(self) -> ChatPromptTemplate:
        """Return the unfilled prompt as a template of langchain-core, which has to be installed.

        Raises ValueError for blanks with a dot or a dash, which LangChain's templates cannot have.
        """
        parts: list[tuple[str, str]] = []
        for message in _parts_of(self.spec.content):
            if message.placeholder:
                parts.append(("placeholder", f"{{{message.placeholder}}}"))
            else:
                parts.append((message.role, _as_f_string(message.content)))
        return _langchain(parts)


class Rendered(str):
    """The filled text: an ordinary string, with the prompt it came from.

    A chat prompt reads as blocks of `role: text`; `messages` has it in parts.
    """

    __slots__ = ("_messages", "prompt", "variables")

    prompt: Prompt
    variables: Mapping[str, object]
    _messages: tuple[Message, ...] | None

    def __new__(
        cls,
        text: str,
        prompt: Prompt,
        variables: Mapping[str, object],
        messages: tuple[Message, ...] | None = None,
    ) -> Rendered:
        return rendered(text, prompt, variables, messages)

    def __getnewargs__(self) -> tuple[JSON, ...]:
        """Let copies and pickles carry the prompt along."""
        return str(self), self.prompt, self.variables, self._messages

    @property
    def messages(self) -> list[Message]:
        """The filled messages; a text prompt is one message of the user."""
        if self._messages is None:
            return [Message("user", str(self))]
        return list(self._messages)

    @property
    def variant(self) -> str | None:
        return self.prompt.variant

    @property
    def source(self) -> Origin:
        return self.prompt.source

    @property
    def environment(self) -> str | None:
        return self.prompt.environment

    @property
    def revision(self) -> int | None:
        return self.prompt.revision

    @property
    def receipt(self) -> str:
        """What this is, signed by the server, for feedback and support; empty when nobody signed."""
        return self.prompt.receipt

    def to_openai(self) -> dict[str, JSON]:
        """Return arguments for `chat.completions.create`: messages, parameters, the model if one is named."""
        content = self.prompt.content
        named = self.prompt.model or content.model
        model = {"model": named} if named else {}
        return {**model, **content.parameters, "messages": [message.to_dict() for message in self.messages]}

    def to_anthropic(self) -> dict[str, JSON]:
        """Return `system` (left out when there is none) and `messages`: Anthropic's API wants them apart."""
        system = [message.content for message in self.messages if message.role in SYSTEM_ROLES]
        messages = [message.to_dict() for message in self.messages if message.role not in SYSTEM_ROLES]
        return {**({"system": "\n\n".join(system)} if system else {}), "messages": messages}

    def to_langchain(self) -> ChatPromptTemplate:
        """Return the filled messages as a template of langchain-core without any blanks: braces stay what they are."""
        return _langchain([(message.role, _doubled(message.content)) for message in self.messages])

    def gateway_args(self) -> dict[str, JSON]:
        """Return arguments for an OpenAI client that talks to PromptLab's gateway, which renders by itself.

        Only the variables that the prompt uses are sent. Messages for placeholders go into the call's own
        `messages`.
        """
        prompt = self.prompt
        selector = prompt.environment or (str(prompt.version) if prompt.version else "")
        attribute = prompt.experiment.unit_attribute if prompt.experiment else ""
        reference = {"id": prompt.name, "variables": template.texts(prompt.variables, self.variables)}
        return {
            "model": f"prompt:{prompt.name}@{selector}" if selector else f"prompt:{prompt.name}",
            "extra_body": {
                "prompt": {**reference, **({"version": selector} if selector else {})},
                **({"user": prompt.unit_id} if prompt.unit_id else {}),
                **({"metadata": {attribute: prompt.dealt_unit}} if attribute and prompt.dealt_unit else {}),
            },
        }


_new_text = str.__new__


def rendered(
    text: str, prompt: Prompt, variables: Mapping[str, object], messages: tuple[Message, ...] | None = None
) -> Rendered:
    """Return a `Rendered`. It is part of every `get`, and costs less than calling the class does."""
    self = _new_text(Rendered, text)
    self.prompt = prompt
    self.variables = variables
    self._messages = messages
    return self


def plain_template(content: Content) -> template.Template | None:
    """Return the parsed text when filling its blanks is all there is to do; None for everything else."""
    if content.type == "chat" or not content.is_plain:
        return None
    try:
        return template.parse(content.text)
    except template.TemplateSyntaxError:
        return None  # Whoever renders it gets the error.


def _read(messages: Sequence[Message]) -> str:
    """Return how a conversation reads as one text."""
    return "\n\n".join(f"{message.role}: {message.content}" for message in messages)


def messages_of(items: Messages) -> tuple[Message, ...]:
    """Return messages in either spelling as `Message` objects. Raises KeyError if role or content lack."""
    return tuple(item if isinstance(item, Message) else Message.from_dict(item) for item in items)


def local_spec(name: str, content: str | Messages, *, version: int = 0) -> PromptSpec:
    """Return a prompt that is written in the caller's code: a fallback, which is version 0, or a fake."""
    if isinstance(content, str):
        written = Content(text=content)
    else:
        written = Content(type="chat", messages=messages_of(content))
    return PromptSpec(name, version, "", written, written.checksum())


def _parts_of(content: Content) -> tuple[Message, ...]:
    return content.messages if content.type == "chat" else (Message("user", content.text),)


def _as_f_string(text: str) -> str:
    """Return the template as LangChain writes one: single braces around names, doubled braces as text."""
    parsed = template.parse(text)
    odd = [name for name in parsed.variables if not name.isidentifier()]
    if odd:
        raise ValueError(f"LangChain's templates have no blanks named like {odd[0]!r}.")
    marks = {name: f"\0{index}\0" for index, name in enumerate(parsed.variables)}
    filled = _doubled(parsed.render(marks))
    for name, mark in marks.items():
        filled = filled.replace(mark, f"{{{name}}}")
    return filled


def _doubled(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _langchain(parts: Sequence[tuple[str, str]]) -> ChatPromptTemplate:
    try:
        from langchain_core.prompts import ChatPromptTemplate
    except ImportError as error:
        raise ImportError("to_langchain() needs langchain-core: pip install langchain-core") from error
    # LangChain knows no developers; what they say is a system message.
    return ChatPromptTemplate.from_messages(
        [("system" if role in SYSTEM_ROLES else role, text) for role, text in parts]
    )
