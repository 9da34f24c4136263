"""The Jinja environments templates are read and filled in: one per way of treating names without a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from jinja2 import StrictUndefined, Undefined
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import pass_context
from promptlab_sdk.kernel.template import Missing

from prompts.sandbox.filters import FILTERS, Kept, Lenient, budget_of, text_of

COUNTED: Final = "\x00counted"
TIMED: Final = "\x00timed"

TESTS: Final = frozenset(
    {
        *("defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "true", "false"),
        *("mapping", "sequence", "iterable", "even", "odd", "divisibleby", "in", "lower", "upper"),
        *("eq", "ne", "lt", "le", "gt", "ge", "==", "!=", "<", "<=", ">", ">="),
    }
)
_LOOP: Final = frozenset(
    {"index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0", "previtem", "nextitem"}
)


class Sandbox(ImmutableSandboxedEnvironment):
    """Templates see values of JSON, by key and position only; arithmetic is for numbers."""

    intercepted_binops = frozenset({"+", "-", "/", "//", "%"})

    def __init__(self, undefined: type[Undefined]) -> None:
        super().__init__(undefined=undefined, autoescape=False, keep_trailing_newline=True, finalize=text_of)
        self.globals.clear()
        self.filters = {**FILTERS, COUNTED: _counted, TIMED: _timed}
        self.tests = {name: test for name, test in self.tests.items() if name in TESTS}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return what lies under a key. What Python calls attributes cannot be reached, but for a loop's own."""
        if isinstance(obj, LoopContext) and attribute in _LOOP:
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return the item of an object, a list or a text; undefined if there is none."""
        try:
            if isinstance(obj, Mapping) or (isinstance(obj, list | tuple | str) and isinstance(argument, int)):
                return obj[argument]
        except (LookupError, TypeError):
            pass
        return self._absent(obj, argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Calculate, with numbers only: with texts and lists `+` and `%` make them grow."""
        for side in (left, right):
            if isinstance(side, Lenient):
                return side
            if not isinstance(side, int | float):
                raise TypeError
        return super().call_binop(context, operator, left, right)

    def _absent(self, obj: Any, argument: Any) -> Undefined:
        if isinstance(obj, Lenient):
            name = obj._undefined_name
            return type(obj)(name=f"{name}.{argument}" if name and isinstance(argument, str) else None)
        if isinstance(obj, Undefined):
            str(obj)
        return self.undefined(hint="Something looked up in an object, list or text is not there.")


@pass_context
def _counted(context: Context, values: Any) -> Iterator[object]:
    """Count the rounds of a loop, also of one that writes nothing."""
    budget = budget_of(context)
    for value in values:
        budget.go_round()
        yield value


@pass_context
def _timed(context: Context, value: object) -> object:
    """Look at the clock after a step that may have taken long."""
    budget_of(context).step()
    return value


ENVIRONMENTS: Final[Mapping[Missing, Sandbox]] = {
    "error": Sandbox(StrictUndefined),
    "keep": Sandbox(Kept),
    "empty": Sandbox(Lenient),
}
