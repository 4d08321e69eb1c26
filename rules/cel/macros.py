"""Calls that are no calls: ``has(e.f)``, ``list.all(x, ...)`` and the rest, which bind names or do not evaluate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from rules.cel import nodes
from rules.cel.lexer import Token
from rules.cel.nodes import Node

Report = Callable[[str, Token | Node], None]

NAMESPACES: Final = frozenset({"cel"})


class _Form(Struct, frozen=True):
    """One way to write a macro: how many variables, how many expressions, and how it is called in the tree."""

    variables: int
    bodies: int
    name: str


_FORMS: Final[dict[str, tuple[_Form, ...]]] = {
    "all": (_Form(1, 1, "all"), _Form(2, 1, "all")),
    "exists": (_Form(1, 1, "exists"), _Form(2, 1, "exists")),
    "exists_one": (_Form(1, 1, "exists_one"), _Form(2, 1, "existsOne")),
    "existsOne": (_Form(1, 1, "exists_one"), _Form(2, 1, "existsOne")),
    "map": (_Form(1, 1, "map"), _Form(1, 2, "map")),
    "filter": (_Form(1, 1, "filter"),),
    "sortBy": (_Form(1, 1, "sortBy"),),
    "transformList": (_Form(2, 1, "transformList"), _Form(2, 2, "transformList")),
    "transformMap": (_Form(2, 1, "transformMap"), _Form(2, 2, "transformMap")),
    "transformMapEntry": (_Form(2, 1, "transformMapEntry"), _Form(2, 2, "transformMapEntry")),
    "optMap": (_Form(1, 1, "optMap"),),
    "optFlatMap": (_Form(1, 1, "optFlatMap"),),
}
_USAGE: Final = {
    "all": "list.all(x, condition)",
    "exists": "list.exists(x, condition)",
    "exists_one": "list.exists_one(x, condition)",
    "existsOne": "list.existsOne(x, condition)",
    "map": "list.map(x, value) or list.map(x, condition, value)",
    "filter": "list.filter(x, condition)",
    "sortBy": "list.sortBy(x, what it is sorted by)",
    "transformList": "list.transformList(index, x, value), or with a condition before the value",
    "transformMap": "map.transformMap(key, x, value), or with a condition before the value",
    "transformMapEntry": "map.transformMapEntry(key, x, {newKey: value}), or with a condition before the entry",
    "optMap": "optional.optMap(x, value)",
    "optFlatMap": "optional.optFlatMap(x, optional)",
}
REFERENCE: Final = {
    "has(map.field)": "Whether a field is there.\n\n"
    "Example: has({'a': 1}.a) == true\nExample: has({'a': 1}.b) == false",
    "list.all(x, condition)": "Whether it holds for every element, or every key of a map.\n\n"
    "Example: [1, 2].all(x, x > 0) == true",
    "list.exists(x, condition)": "Whether it holds for any element, or any key of a map.\n\n"
    "Example: [1, 2].exists(x, x > 1) == true",
    "list.exists_one(x, condition)": "Whether it holds for exactly one; `existsOne` is the same.\n\n"
    "Example: [1, 2].exists_one(x, x > 0) == false",
    "list.map(x, value)": "The value for each element.\n\nExample: [1, 2].map(x, x * 2) == [2, 4]",
    "list.map(x, condition, value)": "The value for each element for which the condition holds.\n\n"
    "Example: [1, 2].map(x, x > 1, x * 2) == [4]",
    "list.filter(x, condition)": "The elements for which it holds.\n\nExample: [1, 2].filter(x, x > 1) == [2]",
    "list.sortBy(x, value)": "The elements in the order of a value of each, which are all of one type.\n\n"
    "Example: ['ccc', 'a', 'bb'].sortBy(x, x.size()) == ['a', 'bb', 'ccc']",
    "list.transformList(i, x, value)": "The value for each element and its index, or key and value of a map; with a "
    "condition before the value, for those for which it holds.\n\nExample: [5, 6].transformList(i, x, x * i) == [0, 6]",
    "map.transformMap(k, v, value)": "The map with another value under each key; with a condition before the value, "
    "only of those for which it holds.\n\nExample: {'a': 1}.transformMap(k, v, v + 1) == {'a': 2}",
    "map.transformMapEntry(k, v, {key: value})": "A map of other entries; with a condition before the entry, only of "
    "those for which it holds.\n\nExample: {'a': 'b'}.transformMapEntry(k, v, {v: k}) == {'b': 'a'}",
    "optional.optMap(x, value)": "An optional of the value, where there is one.\n\n"
    "Example: optional.of(1).optMap(x, x + 1).value() == 2",
    "optional.optFlatMap(x, optional)": "The other optional, where this one has a value.\n\n"
    "Example: optional.of({'a': 1}).optFlatMap(x, x.?a).value() == 1",
    "cel.bind(x, value, expression)": "The expression, in which a name stands for a value that is computed once.\n\n"
    "Example: cel.bind(x, 2 + 3, x * x) == 25",
}
"""How each macro is written, and what it promises, as the docstrings of functions do."""
METHODS: Final = frozenset(_FORMS)
FUNCTIONS: Final = frozenset({"has", "cel.bind"})


def binds(name: str, *, is_method: bool) -> int:
    """How many of a call's first arguments may name variables."""
    if is_method:
        return max((form.variables for form in _FORMS.get(name, ())), default=0)
    return 1 if name == "cel.bind" else 0


def bound(macro: Node | None) -> int:
    """How many of its arguments name variables."""
    if isinstance(macro, nodes.Macro):
        return len(macro.variables)
    return int(isinstance(macro, nodes.Bind))


def is_macro(name: str, *, is_method: bool) -> bool:
    """Whether a call by that name is one of a macro."""
    return name in (METHODS if is_method else FUNCTIONS)


def expand(
    report: Report, token: Token, name: str, target: Node | None, args: tuple[Node, ...], span: tuple[int, int]
) -> Node | None:
    """The node of a macro; None for one that is not written as it should be, which has then been reported."""
    if target is not None:
        return _comprehension(report, token, name, target, args, span)
    return (_has if name == "has" else _bind)(report, token, args, span)


def _has(report: Report, token: Token, args: tuple[Node, ...], span: tuple[int, int]) -> Node | None:
    if len(args) != 1:
        report("has() takes one selection of a field: has(event.user.id)", token)
        return None
    field = args[0]
    if isinstance(field, nodes.Select) and not field.optional:
        return nodes.Has(field.operand, field.field, start=span[0], end=span[1])
    if isinstance(field, nodes.Index):
        report("has() takes a field written with a dot, also has(event.`a-b`); or write 'key' in map", field)
    else:
        report("has() takes a selection of a field: has(event.user.id)", field)
    return None


def _bind(report: Report, token: Token, args: tuple[Node, ...], span: tuple[int, int]) -> Node | None:
    count = 3
    if len(args) != count:
        report("cel.bind() takes a name, its value, and where it is used: cel.bind(x, a + b, x * x)", token)
        return None
    name = _variable(report, args[0], "cel.bind(x, a + b, x * x)")
    return None if name is None else nodes.Bind(name, args[1], args[2], start=span[0], end=span[1])


def _comprehension(
    report: Report, token: Token, name: str, target: Node, args: tuple[Node, ...], span: tuple[int, int]
) -> Node | None:
    form = next((form for form in _FORMS[name] if form.variables + form.bodies == len(args)), None)
    if form is None:
        report(f"{name}() is written {_USAGE[name]}", token)
        return None
    found = [_variable(report, arg, _USAGE[name]) for arg in args[: form.variables]]
    variables = tuple(variable for variable in found if variable is not None)
    if len(variables) < form.variables:
        return None
    if len(set(variables)) != len(variables):
        report(f"the two variables of {name}() have one name", args[1])
        return None
    bodies = args[form.variables :]
    return nodes.Macro(form.name, target, variables, bodies, start=span[0], end=span[1])


def _variable(report: Report, node: Node, usage: str) -> str | None:
    if isinstance(node, nodes.Ident) and "." not in node.name:
        return node.name
    report(f"a plain name for a variable belongs here: {usage}", node)
    return None
