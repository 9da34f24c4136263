"""Conditions as editors say them: one comparison a line, all of which have to hold; and read back into such lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

Json = Any
LISTS = {"one_of": "$in", "none_of": "$nin"}
WITHOUT_VALUE = {"is_there": True, "is_missing": False}
PLAIN = {"is_not": "$ne", "at_least": "$gte", "at_most": "$lte", "above": "$gt", "below": "$lt", "matches": "$regex"}
COMPARISONS: list[tuple[str, Any]] = [
    ("is", _("is")),
    ("is_not", _("is not")),
    ("one_of", _("is one of")),
    ("none_of", _("is none of")),
    ("at_least", _("is at least")),
    ("at_most", _("is at most")),
    ("above", _("is more than")),
    ("below", _("is less than")),
    ("is_there", _("is known")),
    ("is_missing", _("is not known")),
    ("matches", _("matches the pattern")),
]
LABELS = dict(COMPARISONS)


@dataclass(frozen=True, slots=True)
class Line:
    """One comparison. `value` is what is typed: a number, true and false are such, quotes make any of them a text."""

    attribute: str
    comparison: str
    value: str = ""

    @property
    def words(self) -> str:
        """The line as a sentence says it."""
        return " ".join(filter(None, [self.attribute, str(LABELS[self.comparison]), self.value]))


def condition_of(lines: Sequence[Line]) -> dict[str, Json]:
    """Return the condition that holds when every line does."""
    parts = [{line.attribute: _wanted(line)} for line in lines]
    names = [line.attribute for line in lines]
    if len(set(names)) < len(names):
        return {"$and": parts}
    return {name: wanted for part in parts for name, wanted in part.items()}


def lines_of(condition: Mapping[str, Json]) -> list[Line] | None:
    """Return the lines that say a condition; None for one that takes more than lines."""
    if set(condition) == {"$and"}:
        found = [lines_of(part) for part in condition["$and"]]
        return None if None in found else [line for lines in found if lines for line in lines]
    lines: list[Line] = []
    for name, wanted in condition.items():
        if name.startswith("$"):
            return None
        compared = wanted.items() if isinstance(wanted, Mapping) else [("$eq", wanted)]
        for operator, operand in compared:
            line = _line(name, operator, operand)
            if line is None:
                return None
            lines.append(line)
    return lines


def _line(name: str, operator: str, operand: Json) -> Line | None:
    if operator == "$eq":
        return Line(name, "is", _typed(operand))
    if operator == "$exists":
        return Line(name, "is_there" if operand else "is_missing")
    for comparison, known in LISTS.items():
        if operator == known:
            return Line(name, comparison, ", ".join(map(_typed, operand)))
    for comparison, known in PLAIN.items():
        if operator == known:
            return Line(name, comparison, operand if operator == "$regex" else _typed(operand))
    return None


def _wanted(line: Line) -> Json:
    if line.comparison == "is":
        return _read(line.value)
    if line.comparison in WITHOUT_VALUE:
        return {"$exists": WITHOUT_VALUE[line.comparison]}
    if line.comparison in LISTS:
        return {LISTS[line.comparison]: [_read(one) for one in line.value.split(",") if one.strip()]}
    operator = PLAIN[line.comparison]
    return {operator: line.value if operator == "$regex" else _read(line.value)}


def _read(text: str) -> Json:
    """Return what was typed as a number, true or false where it is one, else as the text it is."""
    try:
        value = json.loads(text)
    except ValueError:
        return text.strip()
    return value if isinstance(value, str | int | float) else text.strip()


def _typed(value: Json) -> str:
    """Return how a value is typed, so that reading it gives the same again."""
    if not isinstance(value, str):
        return json.dumps(value)
    return value if _read(value) == value and "," not in value else json.dumps(value, ensure_ascii=False)
