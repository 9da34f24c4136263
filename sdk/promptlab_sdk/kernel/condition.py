"""Whom an experiment is for: a condition on the attributes that come with a unit. The same answer in every language.

    {"country": {"$in": ["de", "at"]}, "plan": "pro", "$not": {"is_staff": true}}

docs/spec/assignment.md has the language; `problems` says what is wrong with one, `matches` decides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from promptlab_sdk.kernel.pattern import PatternError, compiled
from promptlab_sdk.kernel.spec import JSON

MAX_DEPTH = 5
MAX_PARTS = 50
"""Comparisons in one condition."""
MAX_PATTERNS = 5
MAX_LISTED = 500
MAX_ATTRIBUTES = 50
"""Attributes of one unit; a list among them has as many elements at most."""
MAX_NAME = 100
MAX_VALUE = 200
ORDERED = ("$gt", "$gte", "$lt", "$lte")
OPERATORS = ("$eq", "$ne", "$in", "$nin", *ORDERED, "$exists", "$regex")
JOINED = ("$and", "$or", "$not")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where: the keys that lead there, joined by dots; empty for the whole."""

    path: str
    detail: str


def matches(condition: Mapping[str, JSON], attributes: Mapping[str, JSON]) -> bool:
    """Tell whether the attributes fulfil a condition that has no `problems`. An empty one is always fulfilled."""
    return all(_holds(name, wanted, attributes) for name, wanted in condition.items())


def _holds(name: str, wanted: JSON, attributes: Mapping[str, JSON]) -> bool:
    if name == "$and":
        return all(matches(one, attributes) for one in wanted)
    if name == "$or":
        return any(matches(one, attributes) for one in wanted)
    if name == "$not":
        return not matches(wanted, attributes)
    value = attributes.get(name)
    if isinstance(wanted, Mapping):
        return all(_compared(operator, value, operand) for operator, operand in wanted.items())
    return _is_any(value, wanted)


def _compared(operator: str, value: JSON, operand: JSON) -> bool:
    if operator == "$eq":
        return _is_any(value, operand)
    if operator == "$ne":
        return not _is_any(value, operand)
    if operator == "$in":
        return any(_is_any(value, one) for one in operand)
    if operator == "$nin":
        return not any(_is_any(value, one) for one in operand)
    if operator == "$exists":
        return (value is not None) == operand
    if operator == "$regex":
        return isinstance(value, str) and compiled(operand).found_in(value)
    return any(_is_ordered(operator, one, operand) for one in _each(value))


def _each(value: JSON) -> Sequence[JSON]:
    """Return the values of an attribute: a list is fulfilled by any of its elements, too long a one by none."""
    if isinstance(value, list | tuple):
        return value if len(value) <= MAX_ATTRIBUTES else ()
    return (value,)


def _is_any(value: JSON, wanted: JSON) -> bool:
    return any(_is_same(one, wanted) for one in _each(value))


def _is_same(value: JSON, wanted: JSON) -> bool:
    """Compare within one kind: text, number, or truth. Everything else is never the same."""
    kind = _kind(wanted)
    return bool(kind and _kind(value) == kind and value == wanted)


def _is_ordered(operator: str, value: JSON, operand: JSON) -> bool:
    kind = _kind(operand)
    if kind not in ("text", "number") or _kind(value) != kind:
        return False
    if kind == "text":
        # In the order of UTF-16 code units, which is that of JavaScript.
        value, operand = (one.encode("utf-16-be", "surrogatepass") for one in (value, operand))
    if operator in ("$gt", "$gte"):
        return bool(value > operand or (operator == "$gte" and value == operand))
    return bool(value < operand or (operator == "$lte" and value == operand))


def _kind(value: JSON) -> str:
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int):
        return "number"
    return "number" if isinstance(value, float) and math.isfinite(value) else ""


def problems(condition: JSON) -> list[Problem]:
    """Return everything that is wrong with a condition; nothing for one that `matches` can decide."""
    reader = _Checker()
    reader.condition(condition, "", 1)
    if reader.parts > MAX_PARTS:
        reader.found.append(Problem("", f"A condition has at most {MAX_PARTS} comparisons, not {reader.parts}."))
    if reader.patterns > MAX_PATTERNS:
        reader.found.append(Problem("", f"A condition has at most {MAX_PATTERNS} patterns, not {reader.patterns}."))
    if reader.listed > MAX_LISTED:
        reader.found.append(Problem("", f"Lists have at most {MAX_LISTED} values together, not {reader.listed}."))
    return reader.found


def attribute_problems(attributes: JSON) -> list[Problem]:
    """Return what is wrong with the attributes of a unit: they are texts, numbers, truths, and lists of these."""
    if not isinstance(attributes, Mapping):
        return [Problem("", "Attributes are an object of names and values.")]
    if len(attributes) > MAX_ATTRIBUTES:
        return [Problem("", f"At most {MAX_ATTRIBUTES} attributes, not {len(attributes)}.")]
    found = []
    for name, value in attributes.items():
        if isinstance(value, list) and len(value) > MAX_ATTRIBUTES:
            found.append(Problem(str(name), f"A list has at most {MAX_ATTRIBUTES} elements."))
        elif not all(one is None or _kind(one) for one in _each(value)):
            found.append(Problem(str(name), "A text, a number, true, false, or a list of these."))
    return found


class _Checker:
    def __init__(self) -> None:
        self.found: list[Problem] = []
        self.parts = 0
        self.patterns = 0
        self.listed = 0

    def condition(self, condition: JSON, path: str, depth: int) -> None:
        if not isinstance(condition, Mapping):
            self._say(path, "This is an object of attributes and what they have to be.")
        elif depth > MAX_DEPTH:
            self._say(path, f"Conditions stand in each other at most {MAX_DEPTH} deep.")
        else:
            for name, wanted in condition.items():
                self._entry(name, wanted, f"{path}.{name}" if path else str(name), depth)

    def _entry(self, name: JSON, wanted: JSON, path: str, depth: int) -> None:
        if name == "$not":
            self.condition(wanted, path, depth + 1)
        elif name in ("$and", "$or"):
            if not isinstance(wanted, list) or not 0 < len(wanted) <= MAX_PARTS:
                self._say(path, f"{name} takes a list of conditions.")
                return
            for index, one in enumerate(wanted):
                self.condition(one, f"{path}.{index}", depth + 1)
        elif not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
            self._say(path, f"An attribute's name has 1 to {MAX_NAME} characters.")
        elif name.startswith("$"):
            self._say(path, f"{name} is not known here: {', '.join(JOINED)}.")
        elif not isinstance(wanted, Mapping):
            self.parts += 1
            self._value(wanted, path)
        elif not wanted:
            self._say(path, "Say what it has to be.")
        else:
            for operator, operand in wanted.items():
                self.parts += 1
                self._operand(operator, operand, f"{path}.{operator}")

    def _operand(self, operator: JSON, operand: JSON, path: str) -> None:
        if operator in ("$in", "$nin"):
            if not isinstance(operand, list) or not 0 < len(operand) <= MAX_LISTED:
                self._say(path, f"{operator} takes a list of 1 to {MAX_LISTED} values.")
                return
            self.listed += len(operand)
            for index, one in enumerate(operand):
                self._value(one, f"{path}.{index}")
        elif operator == "$exists":
            if not isinstance(operand, bool):
                self._say(path, "$exists takes true or false.")
        elif operator == "$regex":
            self._pattern(operand, path)
        elif operator in ORDERED:
            if _kind(operand) not in ("text", "number"):
                self._say(path, f"{operator} takes a number or a text.")
            else:
                self._value(operand, path)
        elif operator in OPERATORS:
            self._value(operand, path)
        else:
            self._say(path, f"{operator} is not known here: {', '.join(OPERATORS)}.")

    def _value(self, value: JSON, path: str) -> None:
        if not _kind(value):
            self._say(path, "A value is a text, a number, true or false.")
        elif isinstance(value, str) and len(value) > MAX_VALUE:
            self._say(path, f"A text has at most {MAX_VALUE} characters.")
        elif isinstance(value, int | float) and abs(value) > 2**53:
            self._say(path, "Larger numbers are not exact everywhere: use a text.")

    def _pattern(self, operand: JSON, path: str) -> None:
        self.patterns += 1
        if not isinstance(operand, str):
            self._say(path, "$regex takes a text.")
            return
        try:
            compiled(operand)
        except PatternError as error:
            self._say(path, str(error))

    def _say(self, path: str, detail: str) -> None:
        self.found.append(Problem(path, detail))
