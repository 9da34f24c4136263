"""What a variable may be: declarations checked against values, all problems at once (docs/spec/contract.md).

A declaration is what a version says about one blank: `type`, `required`, `default`, `allowed`, `max_length`, and for
people `description` and `example`. What was declared wrongly is not this module's to find: it is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from promptlab_sdk.kernel.spec import JSON, Content, is_trivial
from promptlab_sdk.kernel.template import ABSENT, BadValue, as_text, content_variables, look_up

__all__ = ["Checked", "Problem", "check", "check_content", "is_trivial", "problem_of"]

TYPES: Final = ("string", "number", "boolean", "list", "object")

MISSING: Final = "missing_variable"
WRONG_TYPE: Final = "wrong_type"
NOT_ALLOWED: Final = "not_allowed"
TOO_LONG: Final = "too_long"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one variable. `detail` is a sentence that never contains a value."""

    name: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Checked:
    """The values to fill in, and what is wrong with them: nothing, or every problem in order of declaration."""

    values: dict[str, object]
    problems: tuple[Problem, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """The names that lack a value."""
        return tuple(problem.name for problem in self.problems if problem.code == MISSING)


def check(declared: Mapping[str, JSON], given: Mapping[str, object]) -> Checked:
    """Return the values with defaults filled in and texts written out; names nobody declared pass untouched.

    A value that is absent or None becomes the default, else the empty text unless it is required.
    """
    values = dict(given)
    problems: list[Problem] = []
    for name, said in declared.items():
        spec = said if isinstance(said, dict | Mapping) else {}
        value = look_up(given, name)
        if value is ABSENT or value is None:
            if spec.get("default") is not None:
                values[name] = spec["default"]
            elif spec.get("required", True):
                problems.append(_missing(name))
            else:
                values[name] = ""
            continue
        fitting = _fitting(name, spec, value)
        if isinstance(fitting, Problem):
            problems.append(fitting)
        elif fitting is not value:
            values[name] = fitting
    return Checked(values, tuple(problems))


def check_content(content: Content, given: Mapping[str, object]) -> Checked:
    """Return what `check` does for a prompt; blanks that nobody declared take any value, and miss one too."""
    checked = check(content.variables, given)
    undeclared = [name for name in content_variables(content) if name not in content.variables]
    absent = [name for name in undeclared if look_up(given, name) is ABSENT]
    return Checked(checked.values, (*checked.problems, *map(_missing, absent)))


def problem_of(name: str, spec: Mapping[str, JSON], value: object) -> Problem | None:
    """Return what is wrong with a value that is there, if anything."""
    fitting = _fitting(name, spec, value)
    return fitting if isinstance(fitting, Problem) else None


def _missing(name: str) -> Problem:
    return Problem(name, MISSING, f"{name} is missing.")


def _fitting(name: str, spec: Mapping[str, JSON], value: object) -> object:
    """Return the value as it is filled in, or the Problem with it."""
    kind = spec.get("type", "string")
    if kind != "string" or type(value) is not str:
        is_kind = _IS_KIND.get(kind)
        if is_kind is not None and not is_kind(value):
            return Problem(name, WRONG_TYPE, f"{name} is {_A_KIND[kind]}, not {_said(value)}.")
        if kind == "string":
            try:
                value = as_text(name, value)
            except BadValue:
                return Problem(name, WRONG_TYPE, f"{name} cannot be written as text.")
    allowed = spec.get("allowed")
    if isinstance(allowed, list | tuple) and not _is_among(value, allowed):
        return Problem(name, NOT_ALLOWED, f"{name} is none of the {len(allowed)} values allowed.")
    longest = spec.get("max_length")
    if isinstance(longest, int) and isinstance(value, str | list | tuple) and len(value) > longest:
        unit = "characters" if isinstance(value, str) else "items"
        return Problem(name, TOO_LONG, f"{name} has {len(value)} {unit}; at most {longest} are allowed.")
    return value


def _is_among(value: object, allowed: list[object] | tuple[object, ...]) -> bool:
    """Tell whether one of the allowed values is this one; a text is compared with how the others are written."""
    if isinstance(value, str):
        return any(value == (one if isinstance(one, str) else as_text("", one)) for one in allowed)
    return value in allowed


def _is_string(value: object) -> bool:
    return not isinstance(value, Mapping | list | tuple | set | frozenset | bytes | bytearray | memoryview)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_IS_KIND: Final[Mapping[object, Callable[[object], bool]]] = {
    "string": _is_string,
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list | tuple),
    "object": lambda value: isinstance(value, Mapping),
}

_A_KIND: Final = {
    "string": "a text",
    "number": "a number",
    "boolean": "true or false",
    "list": "a list",
    "object": "an object",
}


def _said(value: object) -> str:
    """Return what a value is, in the words of declarations."""
    if isinstance(value, str):
        return _A_KIND["string"]
    for kind in ("boolean", "number", "list", "object"):
        if _IS_KIND[kind](value):
            return _A_KIND[kind]
    return "that"
