"""The `mustache-lite` grammar: find the blanks and includes of a prompt, and fill them (docs/spec/template.md).

Nothing here knows where a prompt comes from. Values are text, never templates: what they contain is not
looked at again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import itemgetter
from typing import Literal, NoReturn

from promptlab_sdk.kernel.spec import JINJA2, MUSTACHE_LITE, Content, Message

Missing = Literal["error", "keep", "empty"]
"""What happens to a blank nobody filled: raise, leave it as written, or write nothing."""

_NAME = r"[A-Za-z_][A-Za-z0-9_.-]*"
_MARK = re.compile(r"\{\{+|\}\}")
_BLANK = re.compile(rf"[ \t]*({_NAME})[ \t]*\}}\}}")
_INCLUDED = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_INCLUDE = re.compile(rf"[ \t]*>[ \t]*({_INCLUDED})[ \t]*\}}\}}")
_JINJA_INCLUDE = re.compile(r"\{\{" + _INCLUDE.pattern)
LONG = 100_000
"""Templates of more characters are kept apart, and few of them, so that memory stays bounded."""

ABSENT = object()
"""What `look_up` returns for a name without a value."""


class TemplateSyntaxError(ValueError):
    """The text is not a template. `line` and `column` count from 1 and point at the braces that are wrong."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message, line, column)
        self.message = message
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return f"{self.message} (line {self.line}, column {self.column})"


class MissingVariable(KeyError):
    """Blanks without a value: all of them, in order of first appearance."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(tuple(names))
        self.names = tuple(names)

    def __str__(self) -> str:
        return f"No value for {', '.join(f'{{{{{name}}}}}' for name in self.names)}."


class BadValue(ValueError):
    """A value that cannot be written as text: bytes, a structure that contains itself, a huge integer."""

    def __init__(self, name: str, kind: str) -> None:
        super().__init__(name, kind)
        self.name = name
        self.kind = kind

    def __str__(self) -> str:
        return f"The value of {{{{{self.name}}}}} cannot be written as text ({self.kind})."


class UnresolvedInclude(LookupError):
    """Includes whose text nobody gave: all of them, in order of first appearance."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(tuple(names))
        self.names = tuple(names)

    def __str__(self) -> str:
        return f"No text for {', '.join(f'{{{{> {name}}}}}' for name in self.names)}."


class OtherSyntax(ValueError):
    """The text is not written in the grammar of this module; only the server fills it."""

    def __init__(self, syntax: str) -> None:
        super().__init__(syntax)
        self.syntax = syntax

    def __str__(self) -> str:
        return f"Only the server fills templates in {self.syntax}."


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed text. `variables` are the names of its blanks, each once, in order of first appearance.

    `includes` are the names of the prompts whose texts stand in it, in the same manner.
    """

    text: str
    variables: tuple[str, ...] = field(compare=False)
    includes: tuple[str, ...] = field(compare=False)
    _names: tuple[str, ...] = field(compare=False, repr=False)
    _parts: tuple[str, ...] = field(compare=False, repr=False)
    _pick: Callable[[Mapping[str, object]], Sequence[object]] = field(compare=False, repr=False)

    def render(self, variables: Mapping[str, object], missing: Missing = "error") -> str:
        """Return the text with every blank filled; surplus variables are ignored.

        Raises MissingVariable with all names that lack a value (only with `missing="error"`), BadValue, and
        UnresolvedInclude as long as the text has includes.
        """
        text = self.filled(variables)
        return self._render_any(variables, missing) if text is None else text

    def filled(self, variables: Mapping[str, object]) -> str | None:
        """Return the text with every blank filled if all values are given and all of them strings, else None."""
        parts = list(self._parts)
        try:
            # This common case costs one look-up each and one join, which is left to find out whether it is one.
            parts[1::2] = self._pick(variables)  # type: ignore[assignment]
            return "".join(parts)
        except (KeyError, TypeError):
            return None

    def _render_any(self, variables: Mapping[str, object], missing: Missing) -> str:
        parts = list(self._parts)
        absent: list[str] = []
        for index, name in enumerate(self._names):
            value = look_up(variables, name)
            if value is not ABSENT:
                parts[2 * index + 1] = as_text(name, value)
            elif missing == "error":
                absent.append(name)
            elif missing == "empty":
                parts[2 * index + 1] = ""
        if absent:
            raise MissingVariable(_unique(absent))
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class _Tag:
    """A blank or an include as it stands in a text: its source with the braces, and its name."""

    source: str
    name: str
    is_include: bool


def parse(text: str) -> Template:
    """Return the template of `text`; the same text is parsed once, unless long ago. Raises TemplateSyntaxError."""
    return _parse_short(text) if len(text) <= LONG else _parse_long(text)


def _parse(text: str) -> Template:
    literals, tags = _split(text)
    blanks = [tag.name for tag in tags if not tag.is_include]
    included = _unique(tag.name for tag in tags if tag.is_include)
    parts = [literals[0]]
    for tag, literal in zip(tags, literals[1:], strict=True):
        parts += [tag.source, literal]
    pick = _refuser(included) if included else _picker(blanks)
    return Template(text, _unique(blanks), included, tuple(blanks), tuple(parts), pick)


_parse_short = lru_cache(maxsize=512)(_parse)
_parse_long = lru_cache(maxsize=16)(_parse)


def _split(text: str) -> tuple[list[str], list[_Tag]]:
    """Return the tags of the text and the literals around them, unescaped; there is one more of those."""
    literals: list[str] = []
    tags: list[_Tag] = []
    literal: list[str] = []
    position = 0
    while mark := _MARK.search(text, position):
        start, end = mark.span()
        before = text[position:start]
        stem = before.rstrip("\\")
        slashes = len(before) - len(stem)
        literal += [stem, "\\" * (slashes // 2)]
        if slashes % 2 or text[start] == "}":
            literal.append(text[start : start + 2])
            position = start + 2
            continue
        literal.append("{" * (end - start - 2))
        tag = _BLANK.match(text, end) or _INCLUDE.match(text, end)
        if tag is None:
            raise _complaint(text, end - 2)
        position = tag.end()
        tags.append(_Tag(text[end - 2 : position], tag[1], tag.re is _INCLUDE))
        literals.append("".join(literal))
        literal = []
    literals.append("".join([*literal, text[position:]]))
    return literals, tags


def variables(text: str) -> tuple[str, ...]:
    """Return the names of the blanks, each once, in order of first appearance. Raises TemplateSyntaxError."""
    return parse(text).variables


def includes(text: str, syntax: str = MUSTACHE_LITE) -> tuple[str, ...]:
    """Return the names of the prompts included, each once, in order of first appearance.

    Raises TemplateSyntaxError for text in `mustache-lite`; in `jinja2` only the include tags are looked at.
    """
    if syntax == JINJA2:
        return _unique(tag[1] for tag in _JINJA_INCLUDE.finditer(text))
    return parse(text).includes


def inline(text: str, texts: Mapping[str, str], syntax: str = MUSTACHE_LITE) -> str:
    """Return the text with every include replaced by the text given for it.

    In `mustache-lite` what stands on either side of a seam cannot change the other: the result renders to
    what the pieces render to, one after the other. In `jinja2` the text is put in before Jinja reads it.
    An include within a given text stays one. Raises UnresolvedInclude with all names that lack a text, and
    TemplateSyntaxError.
    """
    absent = [name for name in includes(text, syntax) if name not in texts]
    if absent:
        raise UnresolvedInclude(absent)
    return _inline_jinja(text, texts) if syntax == JINJA2 else _inline(text, texts)


def _inline(text: str, texts: Mapping[str, str]) -> str:
    if not parse(text).includes:
        return text
    written: list[str] = []
    pending: list[str] = []  # Literals since the last blank; they are escaped together, as neighbours.

    def put(source: str, is_outer: bool) -> None:
        literals, tags = _split(source)
        pending.append(literals[0])
        for tag, literal in zip(tags, literals[1:], strict=True):
            if tag.is_include and is_outer:
                put(texts[tag.name], False)
            else:
                written.extend([_escape_before_tag("".join(pending)), tag.source])
                pending.clear()
            pending.append(literal)

    put(text, True)
    return "".join([*written, escape("".join(pending))])


def _escape_before_tag(literal: str) -> str:
    """Return the literal such that a tag may follow: no backslash of its end concerns the tag's braces."""
    stem = literal.rstrip("{")
    left_over = (len(literal) - len(stem)) % 2
    body = literal[: len(literal) - left_over]
    slashes = len(body) - len(body.rstrip("\\"))
    return escape(body) + "\\" * slashes + "{" * left_over


def _inline_jinja(text: str, texts: Mapping[str, str]) -> str:
    """Put the texts in as they are, but for a brace at a seam, which must not open a tag with its neighbour."""
    pieces = _JINJA_INCLUDE.split(text)
    pieces[1::2] = [texts[name] for name in pieces[1::2]]
    pieces = [piece for piece in pieces if piece]
    for index, after in enumerate(pieces[1:]):
        if pieces[index].endswith("{") and after[0] in "{%#":
            pieces[index] = pieces[index][:-1] + "{{ '{' }}"
    return "".join(pieces)


def escape(text: str) -> str:
    """Return the template that renders to exactly `text`, whatever braces and backslashes it contains."""
    pieces = re.split(r"(\{\{|\}\})", text)
    for index in range(1, len(pieces), 2):
        before = pieces[index - 1]
        slashes = len(before) - len(before.rstrip("\\"))
        pieces[index - 1] = before + "\\" * slashes
        if pieces[index] == "{{":
            pieces[index] = "\\{{"
    return "".join(pieces)


def render_messages(
    messages: Sequence[Message],
    variables: Mapping[str, object],
    placeholders: Mapping[str, Sequence[Message]] | None = None,
    missing: Missing = "error",
) -> tuple[Message, ...]:
    """Return the messages with every blank filled and every placeholder replaced by its messages.

    Variables change neither the number nor the roles of messages. Given messages are taken as they are; a
    placeholder nobody filled disappears. Raises MissingVariable with the names lacking in any message.
    """
    rendered: list[Message] = []
    absent: list[str] = []
    for message in messages:
        if message.placeholder:
            given = placeholders.get(message.placeholder, ()) if placeholders else ()
            rendered += [part for part in given if not part.placeholder]
            continue
        try:
            rendered.append(Message(message.role, parse(message.content).render(variables, missing)))
        except MissingVariable as error:
            absent += error.names
    if absent:
        raise MissingVariable(_unique(absent))
    return tuple(rendered)


def render_content(
    content: Content,
    variables: Mapping[str, object],
    *,
    placeholders: Mapping[str, Sequence[Message]] | None = None,
    missing: Missing = "error",
) -> str | tuple[Message, ...]:
    """Return the filled text of a text prompt, or the filled messages of a chat prompt.

    Raises OtherSyntax for what is not `mustache-lite`.
    """
    if content.syntax != MUSTACHE_LITE:
        raise OtherSyntax(content.syntax)
    if content.type == "chat":
        return render_messages(content.messages, variables, placeholders, missing)
    return parse(content.text).render(variables, missing)


def texts(names: Iterable[str], variables: Mapping[str, object]) -> dict[str, str]:
    """Return the text each name is filled with; names without a value are left out. Raises BadValue."""
    found = ((name, look_up(variables, name)) for name in names)
    return {name: as_text(name, value) for name, value in found if value is not ABSENT}


def content_variables(content: Content) -> tuple[str, ...]:
    """Return the names of all blanks of a prompt, text or chat, each once. Raises TemplateSyntaxError.

    In a syntax that only the server reads they are the declared ones.
    """
    if content.syntax != MUSTACHE_LITE:
        return tuple(content.variables)
    if content.type != "chat" and not content.model_texts:
        return variables(content.text)
    return _unique(name for text in content.texts for name in variables(text))


def content_includes(content: Content) -> tuple[str, ...]:
    """Return the names of all prompts included, whatever model answers, each once. Raises TemplateSyntaxError."""
    return _unique(name for text in content.texts for name in includes(text, content.syntax))


def inline_content(content: Content, texts: Mapping[str, str]) -> Content:
    """Return the content with every include replaced, as `inline` does it for one text; the rest is the same."""
    absent = [name for name in content_includes(content) if name not in texts]
    if absent:
        raise UnresolvedInclude(absent)

    def one(text: str) -> str:
        return inline(text, texts, content.syntax)

    def each(parts: Iterable[Message]) -> tuple[Message, ...]:
        return tuple(part if part.placeholder else Message(part.role, one(part.content)) for part in parts)

    others = {name: one(text) if isinstance(text, str) else each(text) for name, text in content.model_texts.items()}
    return replace(content, text=one(content.text), messages=each(content.messages), model_texts=others)


def content_placeholders(content: Content) -> tuple[str, ...]:
    """Return the names of the placeholders of a chat prompt, each once; none for a text prompt."""
    return _unique(message.placeholder for message in content.messages if message.placeholder)


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _picker(names: Sequence[str]) -> Callable[[Mapping[str, object]], Sequence[object]]:
    """Return a function that takes the values of `names` out of a mapping, as a sequence of any length."""
    if len(names) > 1:  # With a single name `itemgetter` returns the bare value, with none it cannot be made.
        return itemgetter(*names)
    return lambda variables: [variables[name] for name in names]


def _refuser(included: Sequence[str]) -> Callable[[Mapping[str, object]], NoReturn]:
    """Return what stands in for a picker while includes are unresolved, so that those without pay nothing."""

    def refuse(variables: Mapping[str, object]) -> NoReturn:
        raise UnresolvedInclude(included)

    return refuse


def look_up(variables: Mapping[str, object], name: str) -> object:
    """Return the value of `name`: that exact key, else for `a.b` key `b` of the mapping under `a`; else ABSENT."""
    if name in variables:
        return variables[name]
    value: object = variables
    for step in name.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return ABSENT
        value = value[step]
    return value


def as_text(name: str, value: object) -> str:
    """Return the value as a blank writes it. Raises BadValue."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes | bytearray | memoryview):
        raise BadValue(name, type(value).__name__)
    try:
        if isinstance(value, int):
            return int.__repr__(value)
        if isinstance(value, float):
            return float.__repr__(value)
        if isinstance(value, Mapping | list | tuple):
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_as_json)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadValue(name, type(value).__name__) from error
    return str(value)


def _as_json(value: object) -> object:
    """Return what JSON can hold instead of `value`: dates, decimals and the like become their text."""
    return dict(value) if isinstance(value, Mapping) else str(value)


def _complaint(text: str, at: int) -> TemplateSyntaxError:
    """Return the error for the `{{` at index `at`, in words an editor understands."""
    line_end = text.find("\n", at)
    stop = len(text) if line_end < 0 else line_end
    close = text.find("}}", at + 2, stop)
    line = text.count("\n", 0, at) + 1
    column = at - text.rfind("\n", 0, at)
    if close < 0 or text.find("{{", at + 2, close) >= 0:
        return TemplateSyntaxError("A blank is not closed: every {{ needs a }}.", line, column)
    return TemplateSyntaxError(_name_complaint(text[at + 2 : close].strip()), line, column)


def _name_complaint(name: str) -> str:
    shown = name if len(name) <= 40 else name[:40] + "..."
    if name.startswith(">"):
        return (
            f"{{{{{shown}}}}} is not an include: after the > comes the short name of a prompt, which starts with a "
            r"letter or digit and goes on with letters, digits, _ . or -. For braces as plain text write \{{."
        )
    if not name:
        return "A blank is empty: write a name between {{ and }}."
    joined = "_".join(name.split())
    if joined != name and re.fullmatch(_NAME, joined):
        return f"A blank cannot contain a space: use {joined}."
    return (
        f"{{{{{shown}}}}} is not a blank: a name starts with a letter or _ and goes on with letters, "
        r"digits, _ . or -. For braces as plain text write \{{."
    )
