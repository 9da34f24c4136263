"""What differs between two versions: lines and words of text, messages, variables, settings. Pure functions of two rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from promptlab_sdk.kernel.spec import Content

from prompts.models import Version

WORD = re.compile(r"\w+|\s+|[^\w\s]")
TEXTS = ("type", "text", "messages", "variables", "model_texts")
"""What of a content is compared by itself, and not as a setting."""
MAX_WORK = 4_000_000
"""How many pairs of words are compared in one text, at most; the lines after that are shown changed as a whole."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of words in a changed line. `kind` is same, removed or added; in order, they read as both lines at once."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a side-by-side view. `kind` is same, added, removed or changed; only a changed one has segments."""

    kind: str
    old: str
    new: str
    segments: tuple[Segment, ...] = ()


@dataclass(frozen=True, slots=True)
class MessageChange:
    """The messages at one position, from 0. `kind` as of a line; a role is "placeholder" for one, "" where none stands."""

    position: int
    kind: str
    old_role: str
    new_role: str
    text: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class VariableChange:
    """Which variables the newer version needs and the older did not, and the other way round."""

    added: tuple[str, ...]
    removed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)

    def __str__(self) -> str:
        return ", ".join([*(f"new: {name}" for name in self.added), *(f"gone: {name}" for name in self.removed)])


@dataclass(frozen=True, slots=True)
class Change:
    """A value before and after."""

    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class SettingChange(Change):
    """A setting before and after; `segments` are the words of both, of JSON as it is written over several lines."""

    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Declarations:
    """How the declared variables differ, required or not; `changed` has both descriptions of each."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: Mapping[str, Change]


@dataclass(slots=True)
class _Budget:
    """How much comparing of words is left: it costs the product of the two lengths."""

    left: int = field(default_factory=lambda: MAX_WORK)

    def allows(self, cost: int) -> bool:
        self.left -= cost
        return self.left >= 0


def readable(version: Version) -> str:
    """Return the version's text as people read it: the text, or the messages under their roles."""
    return read(version.messages or version.text)


def model_texts(old: Version, new: Version) -> dict[str, list[Line]]:
    """Return the texts for other models that differ, by the name of the model; one that is not there is empty."""
    before, after, budget = old.model_texts, new.model_texts, _Budget()
    return {
        name: list(_lines(read(before.get(name, "")), read(after.get(name, "")), budget))
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    }


def read(text: str | Sequence[Mapping[str, str]]) -> str:
    """Return a text, or messages under their roles."""
    if isinstance(text, str):
        return text
    return "\n\n".join(
        f"[{part['role']}]\n{part['content']}" if "role" in part else f"[{part['placeholder']}]" for part in text
    )


def variables(old: Version, new: Version) -> VariableChange:
    """Return which required variables differ. Optional ones break nobody."""
    return variables_of(old.content, new.content)


def variables_of(old: Content, new: Content) -> VariableChange:
    """Return the same of two contents, which may have been put together from several texts."""
    before, after = _required(old), _required(new)
    return VariableChange(tuple(sorted(after - before)), tuple(sorted(before - after)))


def _required(content: Content) -> set[str]:
    return {name for name, spec in content.variables.items() if spec.get("required", True)}


def declarations(old: Version, new: Version) -> Declarations:
    """Return which variables were added, removed, or described in another way."""
    before, after = old.variables, new.variables
    return Declarations(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=_changes(before, after, sorted(before.keys() & after.keys())),
    )


def settings(old: Version, new: Version) -> dict[str, SettingChange]:
    """Return what differs of the model, its parameters, and whatever else a version says besides text and variables.

    A setting that one of them does not make is None there.
    """
    before, after = (version.content.to_dict() for version in (old, new))
    names = [name for name in {**before, **after} if name not in TEXTS]
    changes, budget = _changes(before, after, names), _Budget()
    return {
        name: SettingChange(change.old, change.new, _words(_written(change.old), _written(change.new), budget))
        for name, change in changes.items()
    }


def _written(value: Any) -> str:
    """Return a setting as text: JSON over several lines, what is text as it is, nothing for None."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def parameters(old: Version, new: Version) -> dict[str, Change]:
    """Return the parameters that differ, one by one; None where one is not set."""
    return _changes(old.parameters, new.parameters, sorted({*old.parameters, *new.parameters}))


def _changes(before: Mapping[str, Any], after: Mapping[str, Any], names: Sequence[str]) -> dict[str, Change]:
    pairs = {name: Change(before.get(name), after.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair.old != pair.new}


def messages(old: Version, new: Version) -> list[MessageChange]:
    """Return the messages position by position; empty for two texts."""
    before, after, budget = old.messages, new.messages, _Budget()
    found = []
    for position in range(max(len(before), len(after))):
        was, now = _part(before, position), _part(after, position)
        kind = "same" if was == now else "added" if not was[0] else "removed" if not now[0] else "changed"
        rows = tuple(_lines(was[1], now[1], budget))
        found.append(MessageChange(position, kind, was[0], now[0], rows))
    return found


def _part(parts: Sequence[Mapping[str, str]], position: int) -> tuple[str, str]:
    """Return role and content; of a placeholder its name."""
    if position >= len(parts):
        return "", ""
    part = parts[position]
    return ("placeholder", part["placeholder"]) if "placeholder" in part else (part["role"], part["content"])


def lines(old: str, new: str) -> list[Line]:
    """Return the two texts line by line, with the words that changed in a line that did."""
    return _lines(old, new, _Budget())


def words(old: str, new: str) -> tuple[Segment, ...]:
    """Return two lines as one run of words: those that stayed, went and came."""
    return _words(old, new, _Budget())


def share_changed(old: str, new: str) -> float:
    """Return how much of a text is not as it was, from 0 to 1: by words, by lines where there are too many words."""
    if old == new:
        return 0.0
    a, b = WORD.findall(old), WORD.findall(new)
    if not _Budget().allows(len(a) * len(b)):
        a, b = old.splitlines(), new.splitlines()
    return 1 - SequenceMatcher(a=a, b=b, autojunk=False).ratio()


def _lines(old: str, new: str, budget: _Budget) -> list[Line]:
    a, b = old.splitlines(), new.splitlines()
    found: list[Line] = []
    for tag, a_from, a_to, b_from, b_to in SequenceMatcher(a=a, b=b, autojunk=False).get_opcodes():
        found += _rows(tag, a[a_from:a_to], b[b_from:b_to], budget)
    return found


def _rows(tag: str, old: list[str], new: list[str], budget: _Budget) -> Iterator[Line]:
    if tag == "equal":
        yield from (Line("same", text, text) for text in old)
        return
    paired = min(len(old), len(new))
    for was, now in zip(old[:paired], new[:paired], strict=True):
        yield Line("changed", was, now, _words(was, now, budget))
    yield from (Line("removed", was, "") for was in old[paired:])
    yield from (Line("added", "", now) for now in new[paired:])


def _words(old: str, new: str, budget: _Budget) -> tuple[Segment, ...]:
    a, b = WORD.findall(old), WORD.findall(new)
    if not budget.allows(len(a) * len(b)):
        return _segments([("removed", old), ("added", new)])
    found: list[tuple[str, str]] = []
    for tag, a_from, a_to, b_from, b_to in SequenceMatcher(a=a, b=b, autojunk=False).get_opcodes():
        was, now = "".join(a[a_from:a_to]), "".join(b[b_from:b_to])
        found += [("same", was)] if tag == "equal" else [("removed", was), ("added", now)]
    return _segments(found)


def _segments(found: list[tuple[str, str]]) -> tuple[Segment, ...]:
    return tuple(Segment(kind, text) for kind, text in found if text)
