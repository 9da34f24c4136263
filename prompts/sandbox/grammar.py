"""What a template in Jinja may say: a list of what is allowed, so that what Jinja learns tomorrow is refused."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from jinja2 import Environment, TemplateSyntaxError, meta, nodes

from prompts.sandbox.environment import ENVIRONMENTS, TESTS
from prompts.sandbox.filters import FILTERS, OF_LISTS, OF_OBJECTS
from prompts.sandbox.limits import MAX_DEPTH, MAX_FOR_DEPTH, MAX_NODES, MAX_TOKENS, Refused

_ALLOWED: Final = frozenset(
    {
        *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.For, nodes.If, nodes.CondExpr),
        *(nodes.Name, nodes.Const, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword),
        *(nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Filter, nodes.Test),
        *(nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not),
        *(nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Div, nodes.FloorDiv, nodes.Mod),
    }
)

_UNWANTED: Final = {
    nodes.Call: "Calls",
    nodes.Macro: "Macros",
    nodes.CallBlock: "Macros",
    nodes.Import: "Imports",
    nodes.FromImport: "Imports",
    nodes.Include: "Includes other than {{> name}}",
    nodes.Extends: "Inheritance",
    nodes.Block: "Blocks",
    nodes.Assign: "The tag set",
    nodes.AssignBlock: "The tag set",
    nodes.FilterBlock: "Filter blocks",
    nodes.With: "The tag with",
    nodes.Mul: "The operator *",
    nodes.Pow: "The operator **",
    nodes.Concat: "The operator ~",
}


def parsed(text: str) -> nodes.Template:
    """Return the tree of a text that says only what it may. Raises Refused."""
    environment = ENVIRONMENTS["error"]
    try:
        _check_length(environment, text)
        tree = environment.parse(text)
    except TemplateSyntaxError as error:
        raise Refused(_sentence(error.message or "It is no template"), error.lineno) from error
    except RecursionError as error:
        raise Refused("It is nested too deeply.", 1) from error
    for count, (node, depth, loops) in enumerate(_walk(tree)):
        if count >= MAX_NODES:
            raise Refused(f"It has more than {MAX_NODES} tags, names and operators.", _line(node))
        if depth > MAX_DEPTH:
            raise Refused(f"It is nested deeper than {MAX_DEPTH} levels.", _line(node))
        if loops > MAX_FOR_DEPTH:
            raise Refused(f"Loops are nested deeper than {MAX_FOR_DEPTH}.", _line(node))
        if problem := _problem(node):
            raise Refused(problem, _line(node))
    return tree


def _check_length(environment: Environment, text: str) -> None:
    """Refuse a text with very many tags before it is parsed, which would take seconds. Raises Refused."""
    said = (line for line, kind, _ in environment.lexer.tokeniter(text, None) if kind != "data")
    if beyond := next(islice(said, MAX_TOKENS, None), 0):
        raise Refused(f"Its tags have more than {MAX_TOKENS} words.", beyond)


def roots(text: str) -> dict[str, str]:
    """Return the names a template asks for, in order of first appearance, each with the type it is used as.

    A name that is looped over or joined is a list, one that is looked into by name an object, else it is a string.
    Raises Refused.
    """
    tree = parsed(text)
    asked = meta.find_undeclared_variables(tree)
    found = [node for node, _, _ in _walk(tree)]
    uses = [_use(node) for node in found]
    types = {name: kind for name, kind in reversed(uses) if name in asked}
    names = dict.fromkeys(node.name for node in found if isinstance(node, nodes.Name) and node.name in asked)
    return {name: types.get(name, "string") for name in names}


def _walk(tree: nodes.Template) -> Iterator[tuple[nodes.Node, int, int]]:
    """Yield the nodes in the order of the text, each with how deep it lies, and within how many loops."""
    waiting: list[tuple[nodes.Node, int, int]] = [(tree, 0, 0)]
    while waiting:
        node, depth, loops = waiting.pop()
        inside = loops + isinstance(node, nodes.For)
        yield node, depth, inside
        waiting += reversed([(child, depth + 1, inside) for child in node.iter_child_nodes()])


def _problem(node: nodes.Node) -> str:
    """Return what is wrong with one node of the tree, not with what lies under it."""
    if type(node) not in _ALLOWED:
        return f"{_UNWANTED.get(type(node), type(node).__name__)} cannot be used in a template."
    match node:
        case nodes.Name(name=name) if not name.isascii() or name.startswith("__") or name == "self":
            return f"{name} is no name of a variable: use letters, digits and _."
        case nodes.Getattr(attr=str(name)) | nodes.Getitem(arg=nodes.Const(value=str(name))) if name.startswith("_"):
            return f"{name} cannot be looked up: names within an object do not begin with _."
        case nodes.Filter(name=name) if name not in FILTERS:
            return f"There is no filter {name}. There are: {', '.join(FILTERS)}."
        case nodes.Test(name=name) if name not in TESTS:
            return f"There is no test {name}."
        case nodes.Filter() | nodes.Test() if node.dyn_args is not None or node.dyn_kwargs is not None:
            return "Arguments are written out, without * and **."
        case nodes.For(recursive=True):
            return "Loops are not recursive."
        case nodes.List() | nodes.Dict() | nodes.Pair() if not _is_constant(node):
            return "A list or object written in a template holds constants only."
        case nodes.Tuple(ctx="load") if not _is_constant(node):
            return "A list or object written in a template holds constants only."
    return ""


def _is_constant(node: nodes.Node) -> bool:
    kinds = (nodes.Const, nodes.Pair, nodes.List, nodes.Tuple, nodes.Dict, nodes.Neg)
    return all(isinstance(child, kinds) for child in node.iter_child_nodes())


def _use(node: nodes.Node) -> tuple[str, str]:
    """Return the variable that a node uses as a list or an object, with the type; empty names for all else."""
    match node:
        case (
            nodes.Getattr(node=nodes.Name(name=name))
            | nodes.Getitem(node=nodes.Name(name=name), arg=nodes.Const(value=str()))
        ):
            return name, "object"
        case nodes.Getitem(node=nodes.Name(name=name), arg=nodes.Const(value=int())):
            return name, "list"
        case nodes.For(iter=nodes.Name(name=name)):
            return name, "list"
        case nodes.Filter(name=called, node=nodes.Name(name=name)) if called in OF_LISTS:
            return name, "list"
        case nodes.Filter(name=called, node=nodes.Name(name=name)) if called in OF_OBJECTS:
            return name, "object"
    return "", ""


def _line(node: nodes.Node) -> int:
    return getattr(node, "lineno", None) or 1


def _sentence(message: str) -> str:
    return message[:1].upper() + message[1:200].rstrip(".") + "."
