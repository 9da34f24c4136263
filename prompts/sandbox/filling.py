"""Reading templates once, and filling them within a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Final

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import UndefinedError
from jinja2.visitor import NodeTransformer
from promptlab_sdk.kernel.template import Missing

from prompts.sandbox.environment import COUNTED, ENVIRONMENTS, TIMED
from prompts.sandbox.filters import BUDGET
from prompts.sandbox.grammar import parsed
from prompts.sandbox.limits import Budget, Failed, Refused, TooCostly

LONG = 20_000
"""Longer texts, in characters, are kept apart and fewer of them, so that memory stays bounded."""

_MISFITS: Final = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, TemplateError)
"""What values raise that do not fit what a template does with them."""


def check(text: str) -> None:
    """Raise Refused unless the text is a template that can be filled."""
    _template(text, "error")


def fill(texts: Sequence[str], values: Mapping[str, object], missing: Missing) -> list[str]:
    """Return the texts filled, within one budget. What has no value fails, or stays a blank, or is empty and false.

    Raises Refused, TooCostly, Failed.
    """
    templates = [_template(text, missing) for text in texts]
    context = {**values, BUDGET: Budget()}
    return [_filled(template, context) for template in templates]


def _filled(template: Template, values: Mapping[str, Any]) -> str:
    budget: Budget = values[BUDGET]
    written: list[str] = []
    try:
        for chunk in template.root_render_func(template.new_context(dict(values))):
            budget.write(chunk)
            written.append(chunk)
    except UndefinedError as error:
        raise Failed(error.message or "Something is not there.", _line(error, template)) from error
    except RecursionError as error:
        raise TooCostly("The values are nested too deeply.") from error
    except _MISFITS as error:
        what = "The values do not fit what is done with them"
        raise Failed(f"{what} ({type(error).__name__}).", _line(error, template)) from error
    return "".join(written)


def _template(text: str, missing: Missing) -> Template:
    return _long(text, missing) if len(text) > LONG else _short(text, missing)


def _compile(text: str, missing: Missing) -> Template:
    """Return the template, read on a stack of its own: how deep it may nest must not depend on who asks."""
    with ThreadPoolExecutor(max_workers=1) as fresh_stack:
        return fresh_stack.submit(_compile_here, text, missing).result()


_short = lru_cache(maxsize=256)(_compile)
_long = lru_cache(maxsize=8)(_compile)


def _compile_here(text: str, missing: Missing) -> Template:
    environment = ENVIRONMENTS[missing]
    try:
        tree = _Guard(environment).visit(parsed(text))
        return Template.from_code(environment, environment.compile(tree), {})
    except TemplateError as error:
        raise Refused(f"{error.message}.", getattr(error, "lineno", 1)) from error
    except (RecursionError, MemoryError, SyntaxError) as error:
        raise Refused("It is nested too deeply.", 1) from error


class _Guard(NodeTransformer):
    """Puts the counting into a tree: around what loops go over, and around what compares."""

    def __init__(self, environment: Any) -> None:
        self.environment = environment

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802, the visitor calls by the name of the node
        self.generic_visit(node)
        node.iter = self._filtered(node.iter, COUNTED)
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return self._filtered(node, TIMED)

    def visit_Test(self, node: nodes.Test) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return self._filtered(node, TIMED)

    def _filtered(self, node: nodes.Node, name: str) -> nodes.Filter:
        return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno, environment=self.environment)


def _line(error: BaseException, template: Template) -> int:
    """Return the line of the template at which filling it failed."""
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is template.root_render_func.__code__:
            line = template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line
