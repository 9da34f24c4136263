"""The filters of templates. Each costs about as much as its input is long, and none makes it much longer.

They are written here rather than taken from Jinja, whose own read attributes, and take numbers that blow up.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from jinja2 import Undefined
from jinja2.runtime import Context
from jinja2.utils import pass_context
from promptlab_sdk.kernel.template import as_text

from prompts.sandbox.limits import MAX_OUTPUT, Budget, too_long

BUDGET: Final = "\x00budget"
"""Where the context keeps the budget: no template can spell it."""

MAX_PRECISION = 15
_ROUNDING: Final[Mapping[str, Callable[[float], int]]] = {"ceil": math.ceil, "floor": math.floor}


def budget_of(context: Context) -> Budget:
    budget = context.parent[BUDGET]
    assert isinstance(budget, Budget)
    return budget


def text_of(value: object) -> str:
    """Return what a blank writes for the value; an undefined one raises as its mode wants."""
    return as_text("value", value)


def pick(value: object, path: str | None) -> object:
    """Return what lies under a dotted path of keys; the value itself without one."""
    for key in path.split(".") if path else ():
        if not isinstance(value, Mapping):
            raise TypeError
        value = value[key]
    return value


def _join(values: Iterable[object], separator: object = "", attribute: str | None = None) -> str:
    texts = [text_of(pick(value, attribute)) for value in values]
    between = text_of(separator)
    if sum(map(len, texts)) + len(between) * len(texts) > MAX_OUTPUT:
        raise too_long()
    return between.join(texts)


def _key(case_sensitive: bool, attribute: str | None) -> Callable[[object], Any]:
    def key(value: object) -> object:
        found = pick(value, attribute)
        return found.casefold() if isinstance(found, str) and not case_sensitive else found

    return key


def _sort(
    values: Iterable[object], reverse: bool = False, case_sensitive: bool = False, attribute: str | None = None
) -> list[object]:
    return sorted(values, key=_key(case_sensitive, attribute), reverse=bool(reverse))


def _unique(values: Iterable[object], case_sensitive: bool = False, attribute: str | None = None) -> list[object]:
    key = _key(case_sensitive, attribute)
    first: dict[object, object] = {}
    for value in values:
        first.setdefault(key(value), value)
    return list(first.values())


def _items(value: Mapping[str, object]) -> list[tuple[str, object]]:
    if not isinstance(value, Mapping):
        raise TypeError
    return list(value.items())


def _default(value: object, other: object = "", boolean: bool = False) -> object:
    is_absent = isinstance(value, Undefined) or value is None or (boolean and not value)
    return other if is_absent else value


def _first(values: Iterable[object]) -> object:
    return next(iter(values), "")


def _last(values: Any) -> object:
    return next(iter(reversed(list(values) if isinstance(values, Mapping) else values)), "")


def _reverse(values: Any) -> object:
    return values[::-1] if isinstance(values, str) else list(reversed(values))


def _int(value: Any, default: int = 0) -> int:
    try:
        return int(value) if isinstance(value, int | float) else int(float(value) if "." in value else value)
    except (TypeError, ValueError, OverflowError):
        return default


def _float(value: Any, default: float = 0.0) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return default


def _round(value: float, precision: int = 0, method: str = "common") -> float:
    if not isinstance(precision, int) or abs(precision) > MAX_PRECISION:
        raise ValueError
    if method == "common":
        return float(round(value, precision))
    return float(_ROUNDING[method](value * 10.0**precision) / 10.0**precision)


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _abs(value: float) -> float:
    return abs(value)


_FUNCTIONS: Final[Mapping[str, Callable[..., object]]] = {
    "abs": _abs,
    "capitalize": lambda value: text_of(value).capitalize(),
    "count": len,
    "d": _default,
    "default": _default,
    "dictsort": lambda value: sorted(_items(value), key=lambda item: item[0].casefold()),
    "first": _first,
    "float": _float,
    "int": _int,
    "items": _items,
    "join": _join,
    "last": _last,
    "length": len,
    "list": list,
    "lower": lambda value: text_of(value).lower(),
    "reverse": _reverse,
    "round": _round,
    "sort": _sort,
    "title": lambda value: text_of(value).title(),
    "tojson": _to_json,
    "trim": lambda value: text_of(value).strip(),
    "unique": _unique,
    "upper": lambda value: text_of(value).upper(),
}

OF_LISTS: Final = frozenset({"join", "sort", "unique", "first", "last", "reverse"})
OF_OBJECTS: Final = frozenset({"items", "dictsort"})
_TAKES_UNDEFINED: Final = frozenset({"default", "d"})


class Lenient(Undefined):
    """A name without a value where that is no mistake: false, empty, and so is whatever lies within it."""

    __slots__ = ()

    def __lt__(self, other: object) -> bool:  # type: ignore[override]
        return False

    __le__ = __gt__ = __ge__ = __lt__  # type: ignore[assignment]


class Kept(Lenient):
    """A name without a value that is written as the blank it was; filters leave it alone."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"{{{{ {self._undefined_name} }}}}" if self._undefined_name else ""


def _guarded(name: str, function: Callable[..., object]) -> Callable[..., object]:
    """Return the filter with the clock looked at before it runs, and its result measured."""

    @pass_context
    def run(context: Context, value: object, *args: object, **options: object) -> object:
        budget_of(context).step()
        if isinstance(value, Undefined) and name not in _TAKES_UNDEFINED:
            if isinstance(value, Kept):
                return value
            value = str(value)
        result = function(value, *args, **options)
        if isinstance(result, str) and len(result) > MAX_OUTPUT:
            raise too_long()
        return result

    return run


FILTERS: Final[Mapping[str, Callable[..., object]]] = {
    name: _guarded(name, function) for name, function in _FUNCTIONS.items()
}
