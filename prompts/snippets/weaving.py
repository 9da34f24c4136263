"""Putting included texts in: level by level they are looked up, then woven into each text from the inside out."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from promptlab_sdk.kernel import template
from promptlab_sdk.kernel.spec import Content, PromptSpec

from prompts import rendering, sandbox
from prompts.errors import SnippetCycle, SnippetOtherSyntax, SnippetsTooLong, SnippetTooDeep
from prompts.models import Version

MAX_DEPTH = 5
"""How deep texts include each other: a text that includes one that includes nothing is 1 deep."""
MAX_CHARACTERS = 1_000_000
"""How long a version may become with everything it includes."""

_MAY_INCLUDE = re.compile(r"\{\{[ \t]*>")

LookUp = Callable[[Collection[str]], Mapping[str, Version]]
"""From names to the versions meant, with their prompts; a name that means nothing is left out."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a version says with everything it includes put in: no include is left in `content`.

    `versions` are those of the included prompts, at every depth, by the name that is written in the texts.
    """

    version: Version
    content: Content
    versions: Mapping[str, Version]

    @property
    def numbers(self) -> dict[str, int]:
        """The number of each included version, by name."""
        return {name: version.number for name, version in self.versions.items()}

    @property
    def ids(self) -> dict[str, int]:
        """The id of each included version, by name: what `resolve_pinned` takes."""
        return {name: version.pk for name, version in self.versions.items()}

    @property
    def spec(self) -> PromptSpec:
        """The version as it is delivered."""
        return replace(self.version.spec, content=self.content, snippets=self.numbers)


@dataclass(frozen=True, slots=True)
class Absent:
    """An include that means nothing: who includes it, and its name."""

    by: str
    name: str


@dataclass(frozen=True, slots=True)
class _Woven:
    """A snippet's text with everything put in, and how deep it goes below this one; `names` are those put in."""

    version: Version
    text: str
    variables: Mapping[str, Any]
    depth: int
    names: tuple[str, ...]


def included_in(version: Version) -> tuple[str, ...]:
    """Return the names that a version includes, each once, in order."""
    texts = (version.text, *(part.get("content", "") for part in version.messages))
    if not version.model_texts and not any(_MAY_INCLUDE.search(text) for text in texts):
        return ()  # As nearly all of them: they are not parsed for this.
    return template.content_includes(version.content)


def gather(versions: Iterable[Version], look_up: LookUp) -> dict[str, Version]:
    """Return all that the versions include, at every depth, by name: one look-up for each level."""
    found: dict[str, Version] = {}
    asked: set[str] = set()
    wanted = {name for version in versions for name in included_in(version)}
    for _level in range(MAX_DEPTH):
        if not wanted:
            break
        now = look_up(wanted)
        found |= now
        asked |= wanted
        wanted = {name for version in now.values() for name in included_in(version)} - asked
    return found


class Weaver:
    """Puts gathered texts into each other. `refuse` makes the error about includes that mean nothing, all of a version."""

    def __init__(self, found: Mapping[str, Version], refuse: Callable[[Sequence[Absent]], Exception]) -> None:
        self._found = found
        self._refuse = refuse
        self._absent: list[Absent] = []
        self._woven: dict[str, _Woven] = {}

    def weave(self, version: Version) -> Resolved:
        """Return what the version says.

        Raises what `refuse` makes, SnippetCycle, SnippetTooDeep, SnippetOtherSyntax, SnippetsTooLong, and TextInvalid
        when texts that can be read alone cannot be read together.
        """
        woven = self.walk(version, included_in(version))
        content = version.content
        if not woven:
            return Resolved(version, content, {})
        _check_length(version, content.texts, woven)
        whole = template.inline_content(content, {name: one.text for name, one in woven.items()})
        names = dict.fromkeys(name for own, one in woven.items() for name in (own, *one.names))
        declared, blanks = _merged(content.variables, woven), _blanks(whole)
        asked = {name: spec for name, spec in declared.items() if name in blanks}
        return Resolved(version, replace(whole, variables=asked), {name: self._found[name] for name in names})

    def walk(self, version: Version, names: Iterable[str]) -> dict[str, _Woven]:
        """Return some snippets of a version, woven. Raises as `weave`."""
        woven = self._children(version, names, (version,))
        absent, self._absent = self._absent, []
        if absent:
            raise self._refuse(absent)
        return woven

    def _children(self, version: Version, names: Iterable[str], path: tuple[Version, ...]) -> dict[str, _Woven]:
        """Return the named snippets of a version, woven; the absent ones are noted and left out."""
        found: dict[str, _Woven] = {}
        for name in names:
            snippet = self._found.get(name)
            if len(path) > MAX_DEPTH:
                raise SnippetTooDeep(most=MAX_DEPTH, path=_path(path, name))
            if snippet is None:
                self._absent.append(Absent(version.prompt.name, name))
                continue
            if snippet in path:
                raise SnippetCycle(path=_path(path[path.index(snippet) :], snippet.prompt.name))
            if snippet.syntax != version.syntax:
                including, other = version.prompt.name, snippet.syntax
                raise SnippetOtherSyntax(prompt=including, syntax=version.syntax, snippet=name, other=other)
            found[name] = self._snippet(name, snippet, path)
        return found

    def _snippet(self, name: str, snippet: Version, path: tuple[Version, ...]) -> _Woven:
        known = self._woven.get(name)
        if known is None:
            known = self._woven[name] = self._made(snippet, path)
        elif len(path) + known.depth > MAX_DEPTH:
            raise SnippetTooDeep(most=MAX_DEPTH, path=_path(path, name))
        return known

    def _made(self, snippet: Version, path: tuple[Version, ...]) -> _Woven:
        names = included_in(snippet)
        below = self._children(snippet, names, (*path, snippet))
        depth = max((one.depth + 1 for one in below.values()), default=0)
        text = snippet.text
        if below and len(below) == len(names):
            _check_length(snippet, [text], below)
            text = template.inline(text, {name: one.text for name, one in below.items()}, snippet.syntax)
        inner = tuple(dict.fromkeys(name for own, one in below.items() for name in (own, *one.names)))
        return _Woven(snippet, text, _merged(snippet.variables, below), depth, inner)


def _merged(own: Mapping[str, Any], woven: Mapping[str, _Woven]) -> dict[str, Any]:
    """Return the declared variables; what a text declares itself counts before what it includes."""
    found = dict(own)
    for one in woven.values():
        for name, spec in one.variables.items():
            found.setdefault(name, spec)
    return found


def _blanks(content: Content) -> Collection[str]:
    """Return what the whole asks for: a text may declare what nothing in it needs any more."""
    try:
        return rendering.blanks_of(content)
    except (template.TemplateSyntaxError, sandbox.Refused) as error:
        raise rendering.unreadable(str(error), "content") from error


def _check_length(version: Version, texts: Iterable[str], woven: Mapping[str, _Woven]) -> None:
    """Raise before a text is built that would be too long: a few lines can include themselves to gigabytes."""
    total = 0
    for text in texts:
        total += len(text)
        for name, one in woven.items():
            total += len(one.text) * len(re.findall(rf">[ \t]*{re.escape(name)}[ \t]*\}}\}}", text))
    if total > MAX_CHARACTERS:
        raise SnippetsTooLong(prompt=version.prompt.name, most=MAX_CHARACTERS)


def _path(path: Iterable[Version], name: str) -> str:
    return " -> ".join([*(version.prompt.name for version in path), name])
