"""What a version declares about its variables, held against what can be declared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from promptlab_sdk.kernel import contract

from promptlab.lib.errors import FieldProblem, Invalid

KEYS: Final = ("type", "required", "default", "example", "description", "allowed", "max_length")
MAX_DESCRIPTION = 1_000
MAX_ALLOWED = 1_000
MAX_DECLARATION = 100_000
"""Longest declaration of one variable, in characters of JSON."""


def check(told: Mapping[str, Any]) -> None:
    """Raise Invalid with every problem of every declaration, each naming `variables.NAME` or `variables.NAME.KEY`."""
    problems = [problem for name, spec in told.items() for problem in _problems(str(name), spec)]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise Invalid(problems[0].detail + more, problems=problems)


def _problems(name: str, spec: object) -> Iterator[FieldProblem]:
    place = f"variables.{name}"
    if not isinstance(spec, Mapping):
        yield FieldProblem(place, "A variable is described by an object.")
        return
    if len(json.dumps(spec, default=str)) > MAX_DECLARATION:
        yield FieldProblem(place, f"The description is longer than {MAX_DECLARATION} characters.", "too_long")
        return
    for key, value in spec.items():
        if key not in KEYS:
            yield FieldProblem(
                f"{place}.{key}", f"There is no {key}. A variable has: {', '.join(KEYS)}.", "unknown_key"
            )
        elif problem := _CHECKS[key](value, spec):
            yield FieldProblem(f"{place}.{key}", problem)


def _type(value: object, spec: Mapping[str, Any]) -> str:
    return "" if value in contract.TYPES else f"The type is one of {', '.join(contract.TYPES)}."


def _required(value: object, spec: Mapping[str, Any]) -> str:
    return "" if isinstance(value, bool) else "It is true or false."


def _description(value: object, spec: Mapping[str, Any]) -> str:
    if isinstance(value, str) and len(value) <= MAX_DESCRIPTION:
        return ""
    return f"It is a text of at most {MAX_DESCRIPTION} characters."


def _max_length(value: object, spec: Mapping[str, Any]) -> str:
    if spec.get("type", "string") not in ("string", "list"):
        return "Only texts and lists have a length."
    is_count = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return "" if is_count else "It is a whole number above 0."


def _allowed(value: object, spec: Mapping[str, Any]) -> str:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_ALLOWED:
        return f"It is a list of 1 to {MAX_ALLOWED} values."
    kind = {"type": spec.get("type", "string")}
    return "" if all(_fits(one, kind) for one in value) else f"Every value is of type {kind['type']}."


def _default(value: object, spec: Mapping[str, Any]) -> str:
    """Return what is wrong with a default or example; the type, the values allowed and the length are asked for."""
    if value is None or _fits(value, _sound(spec)):
        return ""
    return "It does not fit what is declared: " + ", ".join(key for key in _sound(spec)) + "."


def _sound(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a declaration that ask something of a value, without those that are wrong themselves."""
    asked = {
        key: spec[key] for key in ("type", "allowed", "max_length") if key in spec and not _CHECKS[key](spec[key], spec)
    }
    return {"type": "string", **asked}


def _fits(value: object, spec: Mapping[str, Any]) -> bool:
    return value is not None and contract.problem_of("it", spec, value) is None


_CHECKS: Final = {
    "type": _type,
    "required": _required,
    "default": _default,
    "example": _default,
    "description": _description,
    "allowed": _allowed,
    "max_length": _max_length,
}
