"""What goes to a model beside the text: where to stop, tools, the shape of the answer. Checked as they are saved."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from promptlab.lib.errors import FieldProblem, Invalid

MAX_STOP = 16
MAX_STOP_TEXT = 200
MAX_TOOLS = 128
MAX_SCHEMA = 100_000
"""Longest schema, in characters of JSON; all tools together may be twice as long."""
MAX_SCHEMA_DEPTH = 24
MAX_PROBLEMS = 20

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_FUNCTION_KEYS: Final = ("name", "description", "parameters", "strict")
_META: Final = Draft202012Validator(Draft202012Validator.META_SCHEMA)


def check_stop(stop: Sequence[Any]) -> tuple[str, ...]:
    """Return the texts at which the model stops. Raises Invalid naming `stop` or `stop.N`."""
    if not isinstance(stop, list | tuple) or len(stop) > MAX_STOP:
        raise Invalid.field("stop", f"It is a list of at most {MAX_STOP} texts.")
    _refuse(
        FieldProblem(f"stop.{index}", f"It is a text of 1 to {MAX_STOP_TEXT} characters.")
        for index, text in enumerate(stop)
        if not isinstance(text, str) or not 0 < len(text) <= MAX_STOP_TEXT
    )
    return tuple(stop)


def check_output_schema(schema: Any) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of an answer. Raises Invalid naming `output_schema` and the place in it."""
    _refuse(_schema_problems(schema, "output_schema"))
    return dict(schema)


def check_tools(tools: Sequence[Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the function tools a model may call. Raises Invalid naming each wrong place, `tools.2.function.name`."""
    if not isinstance(tools, list | tuple) or len(tools) > MAX_TOOLS:
        raise Invalid.field("tools", f"It is a list of at most {MAX_TOOLS} tools.")
    if _size(tools) > 2 * MAX_SCHEMA:
        raise Invalid.field("tools", f"The tools have more than {2 * MAX_SCHEMA} characters.", code="too_long")
    seen: set[str] = set()
    _refuse(problem for index, tool in enumerate(tools) for problem in _tool_problems(tool, f"tools.{index}", seen))
    return tuple(dict(tool) for tool in tools)


def _refuse(found: Iterator[FieldProblem]) -> None:
    problems = [problem for problem, _ in zip(found, range(MAX_PROBLEMS), strict=False)]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise Invalid(problems[0].detail + more, code=problems[0].code, problems=problems)


def _tool_problems(tool: Any, place: str, seen: set[str]) -> Iterator[FieldProblem]:
    """Yield what is wrong with one tool; its name is added to those seen."""
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or tool.keys() != {"type", "function"}:
        yield FieldProblem(place, 'A tool is an object {"type": "function", "function": {"name": ...}}.')
        return
    if tool["type"] != "function":
        yield FieldProblem(f"{place}.type", "The type of a tool is function.")
    place = f"{place}.function"
    name = function.get("name")
    if not isinstance(name, str) or not _TOOL_NAME.match(name):
        yield FieldProblem(f"{place}.name", "The name has 1 to 64 letters, digits, _ or -.")
    elif name in seen:
        yield FieldProblem(f"{place}.name", f"There is another tool {name}.", "repeated")
    else:
        seen.add(name)
    for key in function.keys() - set(_FUNCTION_KEYS):
        yield FieldProblem(f"{place}.{key}", f"A function has: {', '.join(_FUNCTION_KEYS)}.", "unknown_key")
    if not isinstance(function.get("description", ""), str):
        yield FieldProblem(f"{place}.description", "It is a text.")
    if not isinstance(function.get("strict", False), bool):
        yield FieldProblem(f"{place}.strict", "It is true or false.")
    if "parameters" in function:
        yield from _schema_problems(function["parameters"], f"{place}.parameters")


def _schema_problems(schema: Any, place: str) -> Iterator[FieldProblem]:
    """Yield what keeps a value from being a schema that stands on its own."""
    if not isinstance(schema, Mapping):
        yield FieldProblem(place, "A schema is an object.")
    elif _depth(schema) > MAX_SCHEMA_DEPTH:
        yield FieldProblem(place, f"The schema is nested deeper than {MAX_SCHEMA_DEPTH} levels.", "too_deep")
    elif _size(schema) > MAX_SCHEMA:
        yield FieldProblem(place, f"The schema has more than {MAX_SCHEMA} characters.", "too_long")
    elif str(schema.get("$schema", DIALECT)).rstrip("#") != DIALECT:
        yield FieldProblem(f"{place}.$schema", f"The schema is written for another dialect than {DIALECT}.")
    else:
        for error in _META.iter_errors(schema):
            yield FieldProblem(".".join([place, *map(str, error.absolute_path)]), _sentence(error))
        yield from _reference_problems(schema, place)


def _reference_problems(schema: Mapping[str, Any], place: str) -> Iterator[FieldProblem]:
    """Yield the references that leave the schema or lead nowhere, and the patterns that are none."""
    waiting: list[tuple[str, Any]] = [(place, schema)]
    while waiting:
        where, value = waiting.pop()
        children = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
        waiting += [(f"{where}.{key}", child) for key, child in children]
        if not isinstance(value, Mapping):
            continue
        for key in ("$ref", "$dynamicRef"):
            if isinstance(target := value.get(key), str) and not _leads_inside(schema, target):
                yield FieldProblem(f"{where}.{key}", "A reference leads to a place in the same schema: #/$defs/NAME.")
        if isinstance(pattern := value.get("pattern"), str) and not _is_pattern(pattern):
            yield FieldProblem(f"{where}.pattern", "It is no regular expression.")


def _leads_inside(schema: Any, target: str) -> bool:
    if target == "#":
        return True
    if not target.startswith("#/"):
        return False
    for step in target[2:].split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(schema, list) and key.isdecimal() and int(key) < len(schema):
            schema = schema[int(key)]
        elif isinstance(schema, Mapping) and key in schema:
            schema = schema[key]
        else:
            return False
    return True


def _is_pattern(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _sentence(error: ValidationError) -> str:
    """Return what the dialect asks at this place, without what stands there."""
    return f"This is no JSON Schema: {error.validator} {json.dumps(error.validator_value)[:200]} is not met."


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False))


def _depth(value: Any) -> int:
    """Return how deep objects and lists nest, without recursion."""
    depth, level = 0, [value]
    while level and depth <= MAX_SCHEMA_DEPTH:
        level = [
            child
            for one in level
            if isinstance(one, Mapping | list)
            for child in (one.values() if isinstance(one, Mapping) else one)
        ]
        depth += 1
    return depth
