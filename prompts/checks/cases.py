"""Cases as they are written down: in requests, in files, and in the plan of a run. The same words everywhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from promptlab.lib.errors import Invalid
from prompts.checks.kinds import checked

MAX_NAME: Final = 100
MAX_REPEATS: Final = 20
MAX_CHECKS: Final = 20
MAX_MESSAGES: Final = 50
MAX_SIZE: Final = 100_000
"""Of a case's variables, messages and expected answer together, in characters of JSON."""
MAX_TAGS: Final = 20
ROLES: Final = ("system", "user", "assistant")
KEYS: Final = ("name", "variables", "messages", "expected", "tags", "required", "repeats", "checks")


@dataclass(frozen=True, slots=True)
class Check:
    """Something that an answer has to be."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "options": dict(self.options)}

    @classmethod
    def from_json(cls, value: Any, place: str) -> Check:
        """Return the check that a value says. Raises Invalid naming the place."""
        if (
            not isinstance(value, Mapping)
            or not isinstance(value.get("kind"), str)
            or value.keys() - {"kind", "options"}
        ):
            raise Invalid.field(place, 'A check is an object {"kind": ..., "options": {...}}.')
        return cls(value["kind"], checked(value["kind"], value.get("options", {}), f"{place}.options"))


@dataclass(frozen=True, slots=True)
class Case:
    """One question with what is expected of the answer. `messages` are said after the prompt, or in its history."""

    name: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    messages: Sequence[Mapping[str, str]] = ()
    expected: str = ""
    tags: Sequence[str] = ()
    required: bool = False
    repeats: int = 1
    checks: Sequence[Check] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {
            "name": self.name,
            "variables": dict(self.variables),
            "messages": [dict(message) for message in self.messages],
            "expected": self.expected,
            "tags": list(self.tags),
            "required": self.required,
            "repeats": self.repeats,
            "checks": [check.to_dict() for check in self.checks],
        }

    def with_checks(self, more: Sequence[Check]) -> Case:
        """Return the case held to some more checks, which come first."""
        return replace(self, checks=(*more, *self.checks))

    @classmethod
    def from_json(cls, value: Any, place: str = "") -> Case:
        """Return the case that a value says. Raises Invalid naming what is wrong, below `place`."""
        if not isinstance(value, Mapping):
            raise Invalid.field(place, "A case is an object.")
        dot = f"{place}." if place else ""
        for key in value.keys() - set(KEYS):
            raise Invalid.field(f"{dot}{key}"[:200], f"A case has: {', '.join(KEYS)}.", code="unknown_key")
        found = cls(
            name=_name(value.get("name"), f"{dot}name"),
            variables=_variables(value.get("variables", {}), f"{dot}variables"),
            messages=_messages(value.get("messages", []), f"{dot}messages"),
            expected=_is(value.get("expected", ""), str, f"{dot}expected", "It is a text."),
            tags=_tags(value.get("tags", []), f"{dot}tags"),
            required=_is(value.get("required", False), bool, f"{dot}required", "It is true or false."),
            repeats=_repeats(value.get("repeats", 1), f"{dot}repeats"),
            checks=checks_from(value.get("checks", []), f"{dot}checks"),
        )
        size = len(json.dumps([dict(found.variables), list(found.messages), found.expected], ensure_ascii=False))
        if size > MAX_SIZE:
            raise Invalid.field(f"{dot}variables", f"The case has more than {MAX_SIZE} characters.", code="too_long")
        return found


def checks_from(value: Any, place: str = "checks") -> tuple[Check, ...]:
    """Return the checks that a list says. Raises Invalid naming the place."""
    if not isinstance(value, list | tuple) or len(value) > MAX_CHECKS:
        raise Invalid.field(place, f"It is a list of at most {MAX_CHECKS} checks.")
    return tuple(Check.from_json(one, f"{place}.{index}") for index, one in enumerate(value))


def checksum_of(cases: Sequence[Case]) -> str:
    """Return the checksum over all that bears on a verdict: not the tags."""
    said = [{**case.to_dict(), "tags": []} for case in cases]
    return hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _name(value: Any, place: str) -> str:
    name = value.strip() if isinstance(value, str) else ""
    if not 0 < len(name) <= MAX_NAME:
        raise Invalid.field(place, f"The case has a name of 1 to {MAX_NAME} characters.", code="required")
    return name


def _is(value: Any, kind: type, place: str, sentence: str) -> Any:
    if not isinstance(value, kind):
        raise Invalid.field(place, sentence)
    return value


def _repeats(value: Any, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_REPEATS:
        raise Invalid.field(place, f"It is a whole number from 1 to {MAX_REPEATS}.")
    return value


def _variables(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise Invalid.field(place, "The blanks are an object: a value for each name.")
    return dict(value)


def _messages(value: Any, place: str) -> tuple[Mapping[str, str], ...]:
    if not isinstance(value, list | tuple) or len(value) > MAX_MESSAGES:
        raise Invalid.field(place, f"It is a list of at most {MAX_MESSAGES} messages.")
    for index, one in enumerate(value):
        good = isinstance(one, Mapping) and one.keys() == {"role", "content"} and isinstance(one["content"], str)
        if not good or one["role"] not in ROLES:
            raise Invalid.field(f"{place}.{index}", f"A message has a role ({', '.join(ROLES)}) and content, a text.")
    return tuple({"role": one["role"], "content": one["content"]} for one in value)


def _tags(value: Any, place: str) -> tuple[str, ...]:
    good = isinstance(value, list | tuple) and len(value) <= MAX_TAGS
    if not good or not all(isinstance(one, str) and one and one.split() == [one] and len(one) <= 24 for one in value):
        raise Invalid.field(place, f"It is a list of at most {MAX_TAGS} words of at most 24 letters.")
    return tuple(dict.fromkeys(value))
