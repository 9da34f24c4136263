"""One reader for JSON bodies, used by DRF and by the hot routes: what it lets through is safe to store and to send back.

Plain `json.loads` accepts lone surrogates (a row that can never be listed again), NUL (an error in PostgreSQL), deep
nesting (RecursionError), NaN, numbers that overflow to infinity, and duplicate keys. Each of them is a clear 400 here.
"""

from __future__ import annotations

import json
import math
from typing import Any

from promptlab.lib.errors import Invalid

MAX_DEPTH = 32
JSONValue = Any
"""Whatever JSON can hold: dict, list, str, int, float, bool or None."""


def _reject_constant(name: str) -> None:
    raise Invalid(f"{name} is not JSON.", code="invalid_json")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise Invalid(f"The number {digits[:50]} is too large.", code="invalid_json")
    return value


def _unique(pairs: list[tuple[str, JSONValue]]) -> dict[str, JSONValue]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Invalid(f'The key "{twice[:50]}" is given twice.', code="invalid_json")
    return result


def _check(value: JSONValue, path: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Invalid.field(path, f"The body is nested deeper than {MAX_DEPTH} levels.", code="too_deep")
    if isinstance(value, str):
        check_text(value, path)
    elif isinstance(value, dict):
        for key, item in value.items():
            check_text(key, path)
            _check(item, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check(item, f"{path}.{index}" if path else str(index), depth + 1)


def check_text(value: str, path: str) -> None:
    """Raise Invalid when the text holds a NUL or half a character."""
    if "\x00" in value:
        raise Invalid.field(path, "The text contains a NUL character.", code="invalid_text")
    if not value.isascii() and _has_surrogate(value):
        raise Invalid.field(path, "The text contains half of a character (a lone surrogate).", code="invalid_text")


def _has_surrogate(value: str) -> bool:
    """Ask the encoder: it reads a text a hundred times faster than a loop over its characters."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def loads(body: bytes) -> JSONValue:
    """Return the JSON value in `body`. Raises Invalid with a code and, where there is one, the field."""
    try:
        value = json.loads(body, parse_constant=_reject_constant, parse_float=_finite, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise Invalid("The body is not UTF-8.", code="invalid_json") from error
    except RecursionError as error:
        raise Invalid(f"The body is nested deeper than {MAX_DEPTH} levels.", code="too_deep") from error
    except ValueError as error:
        detail = str(error) if isinstance(error, json.JSONDecodeError) else "a number is too long"
        raise Invalid(f"The body is not JSON: {detail}.", code="invalid_json") from error
    _check(value, "", 0)
    return value
