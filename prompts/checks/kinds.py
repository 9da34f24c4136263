"""The kinds of checks and their options. Options are checked when a check is saved, so that a run never meets a wrong one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from promptlab_sdk.kernel.language import LANGUAGES

from promptlab.lib.errors import FieldProblem, Invalid

MAX_TEXT: Final = 20_000
MAX_VALUES: Final = 100
MAX_PATTERN: Final = 1_000
MAX_KEYS: Final = 200
TYPES: Final = ("string", "number", "boolean", "list", "object", "null", "any")
"""What a key of an expected structure may hold; a `?` behind one lets the key be missing."""
UNITS: Final = ("characters", "words")
REQUIRED: Final = object()


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a check. `problem` returns what is wrong with a value, in a sentence, or nothing."""

    problem: Callable[[Any], str]
    default: Any = REQUIRED


def checked(kind: str, given: Mapping[str, Any], place: str = "options") -> dict[str, Any]:
    """Return the options of a check with the defaults filled in. Raises Invalid naming every wrong one below `place`."""
    if kind not in KINDS:
        raise Invalid.field("kind", f"There is no check {kind[:40]!r}. There are: {', '.join(KINDS)}.")
    if not isinstance(given, Mapping):
        raise Invalid.field(place, "The options are an object.")
    known = KINDS[kind]
    problems = [
        FieldProblem(f"{place}.{name}"[:200], f"{kind} has the options: {', '.join(known) or 'none'}.", "unknown_key")
        for name in given.keys() - known.keys()
    ]
    found: dict[str, Any] = {}
    for name, option in known.items():
        value = given.get(name, option.default)
        if value is REQUIRED:
            problems.append(FieldProblem(f"{place}.{name}", f"{kind} needs {name}.", "required"))
        elif value is None and option.default is None:
            found[name] = None  # As it is written down where nothing was said.
        elif name in given and (sentence := option.problem(value)):
            problems.append(FieldProblem(f"{place}.{name}", sentence))
        else:
            found[name] = value
    if problems:
        raise Invalid(f"{problems[0].field}: {problems[0].detail}", code=problems[0].code, problems=problems)
    if kind == "length" and found["least"] is None and found["most"] is None:
        raise Invalid.field(f"{place}.most", "Give least, most or both.", code="required")
    return found


def _text(most: int = MAX_TEXT, *, empty: bool = False) -> Callable[[Any], str]:
    def problem(value: Any) -> str:
        fits = isinstance(value, str) and (empty or value.strip() != "") and len(value) <= most
        return "" if fits else f"It is a text of {0 if empty else 1} to {most} characters."

    return problem


def _texts(value: Any) -> str:
    good = isinstance(value, list) and 0 < len(value) <= MAX_VALUES and all(not _text()(one) for one in value)
    return "" if good else f"It is a list of 1 to {MAX_VALUES} texts."


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "It is true or false."


def _share(value: Any) -> str:
    return "" if _is_number(value) and 0 <= value <= 1 else "It is a number from 0 to 1."


def _whole(value: Any) -> str:
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 10_000_000
    return "" if good else "It is a whole number from 0 to 10,000,000."


def _money(value: Any) -> str:
    return "" if _is_number(value) and 0 <= value <= 1_000_000 else "It is a number of dollars."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _pattern(value: Any) -> str:
    if problem := _text(MAX_PATTERN)(value):
        return problem
    try:
        re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        return f"It is no regular expression: {error}."[:200]
    return ""


def _unit(value: Any) -> str:
    return "" if value in UNITS else f"It is one of {', '.join(UNITS)}."


def _language(value: Any) -> str:
    return "" if value in LANGUAGES else f"It is one of {', '.join(LANGUAGES)}."


def _object(value: Any) -> str:
    return "" if isinstance(value, Mapping) else "It is an object."


def _shape(value: Any) -> str:
    """Return what is wrong with an expected structure: keys with the names of types, or with structures of their own."""
    if not isinstance(value, Mapping) or not value:
        return 'It is an object such as {"name": "string", "age": "number?"}.'
    waiting, seen = [value], 0
    while waiting:
        for name, type_ in waiting.pop().items():
            seen += 1
            if isinstance(type_, Mapping):
                waiting.append(type_)
            elif not isinstance(type_, str) or type_.removesuffix("?") not in TYPES:
                return f"{str(name)[:60]}: a type is one of {', '.join(TYPES)}, with a ? where the key may be missing."
    return "" if seen <= MAX_KEYS else f"It has at most {MAX_KEYS} keys."


_value = Option(_text(empty=True), default=None)
"""What the answer is compared with; left out, the case's expected answer."""
_loose = Option(_flag, default=True)

KINDS: Final[Mapping[str, Mapping[str, Option]]] = {
    "equals": {"value": _value, "ignore_case": Option(_flag, default=False)},
    "contains": {"values": Option(_texts), "any": Option(_flag, default=False), "ignore_case": _loose},
    "not_contains": {"values": Option(_texts), "whole_words": Option(_flag, default=False), "ignore_case": _loose},
    "regex": {"pattern": Option(_pattern)},
    "is_json": {},
    "json_schema": {"schema": Option(_object)},
    "structure": {"shape": Option(_shape)},
    "length": {
        "least": Option(_whole, default=None),
        "most": Option(_whole, default=None),
        "unit": Option(_unit, default="characters"),
    },
    "language": {"language": Option(_language)},
    "latency": {"most_ms": Option(_whole)},
    "cost": {"most_usd": Option(_money)},
    "similarity": {"least": Option(_share, default=0.8), "value": _value},
    "judge": {
        "prompt": Option(_text(255)),
        "rubric": Option(_text()),
        "least": Option(_share, default=0.5),
        "model": Option(_text(100, empty=True), default=""),
        "environment": Option(_text(36), default="production"),
    },
    "preferred": {
        "rubric": Option(_text(empty=True), default=""),
        "least": Option(_share, default=0.5),
        "model": Option(_text(100, empty=True), default=""),
    },
}
"""Each kind with its options."""
ASKED: Final[Mapping[str, int]] = {"judge": 1, "preferred": 2}
"""The kinds that a model decides, with how often it is asked for one."""
