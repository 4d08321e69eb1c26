"""The exact evaluator: a syntax tree becomes one Python closure with all of CEL's semantics.

This is what every expression means; whatever is faster must give the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from rules.cel import comprehensions, functions, nodes
from rules.cel.access import index, index_optional, is_present, select, select_optional
from rules.cel.errors import CelError, worse
from rules.cel.nodes import Node
from rules.cel.operators import PROMOTING, STRICT, contains, negate
from rules.cel.scope import from_record, inside
from rules.cel.values import ABSENT, TYPES, Optional, a_type, compare, equal, make_map, normal

Run = Callable[[Mapping[str, object]], object]
Around = Callable[[Node, Run], Run]
"""What is put around the closure of every node, to see each evaluation of it: it evaluates as the closure does."""


class Scope(Struct, frozen=True):
    """The names that macros bind around an expression; ``plain`` of them do not come from the record."""

    bound: frozenset[str] = frozenset()
    plain: frozenset[str] = frozenset()
    around: Around | None = None

    def within(self, names: tuple[str, ...], value: Node) -> Scope:
        """The scope where ``names`` are bound to ``value``, or to its elements."""
        plain = inside(self.plain, names, record=from_record(value, self.plain))
        return Scope(self.bound.union(names), plain, self.around)


def evaluator(node: Node, around: Around | None = None) -> Run:
    """A function from bindings to the expression's value; it raises nothing but CelError."""
    run = build(node, Scope(around=around))

    def evaluate(bindings: Mapping[str, object]) -> object:
        try:
            return run(bindings)
        except RecursionError as error:
            raise CelError("the values nest too deeply") from error

    return evaluate


def build(node: Node, scope: Scope) -> Run:
    """The closure of one node."""
    run = _BUILDERS[type(node)](node, scope)
    return run if scope.around is None else scope.around(node, run)


def _literal(node: nodes.Literal, _: Scope) -> Run:
    value = node.value
    return lambda _: value


def _ident(node: nodes.Ident, scope: Scope) -> Run:
    name = node.name
    if name in scope.bound:
        return lambda bindings: bindings[name]
    if name in TYPES:
        denoted = TYPES[name]
        return lambda _: denoted

    def run(bindings: Mapping[str, object]) -> object:
        value = bindings.get(name, ABSENT)
        if value is ABSENT:
            raise CelError(f"there is no variable {name}")
        return normal(value)

    return run


def _select(node: nodes.Select, scope: Scope) -> Run:
    operand, field = build(node.operand, scope), node.field
    if node.optional:
        return lambda bindings: select_optional(operand(bindings), field)

    def run(bindings: Mapping[str, object]) -> object:
        value = operand(bindings)
        if type(value) is dict:
            found = value.get(field, ABSENT)
            if found is not ABSENT:
                return normal(found)
        return select(value, field)

    return run


def _has(node: nodes.Has, scope: Scope) -> Run:
    operand, field = build(node.operand, scope), node.field
    return lambda bindings: is_present(operand(bindings), field)


def _index(node: nodes.Index, scope: Scope) -> Run:
    operand, key = build(node.operand, scope), build(node.index, scope)
    if node.optional:
        return lambda bindings: index_optional(operand(bindings), key(bindings))
    return lambda bindings: index(operand(bindings), key(bindings))


def _unary(node: nodes.Unary, scope: Scope) -> Run:
    operand = build(node.operand, scope)
    if node.operator == "-":
        return lambda bindings: negate(operand(bindings))

    def run(bindings: Mapping[str, object]) -> object:
        value = operand(bindings)
        if type(value) is bool:
            return not value
        raise CelError(f"! takes a bool, not {a_type(value)}")

    return run


def _binary(node: nodes.Binary, scope: Scope) -> Run:
    left, right, symbol = build(node.left, scope), build(node.right, scope), node.operator
    if symbol == "==":
        return lambda bindings: equal(left(bindings), right(bindings))
    if symbol == "!=":
        return lambda bindings: not equal(left(bindings), right(bindings))
    if symbol == "in":
        return lambda bindings: contains(left(bindings), right(bindings))
    if symbol not in STRICT:
        return lambda bindings: compare(symbol, left(bindings), right(bindings))
    promote = from_record(node.left, scope.plain) or from_record(node.right, scope.plain)
    operate = (PROMOTING if promote else STRICT)[symbol]
    return lambda bindings: operate(left(bindings), right(bindings))


def _logic(node: nodes.And | nodes.Or, scope: Scope) -> Run:
    """``&&`` or ``||``: a term that decides makes the failures of the others void."""
    terms = tuple(build(term, scope) for term in node.terms)
    deciding = isinstance(node, nodes.Or)
    symbol = "||" if deciding else "&&"

    def run(bindings: Mapping[str, object]) -> object:
        failure: CelError | None = None
        try:
            for term in terms:
                try:
                    value = term(bindings)
                except CelError as error:
                    failure = worse(failure, error)
                    continue
                if value is deciding:
                    return deciding
                if type(value) is not bool:
                    failure = worse(failure, CelError(f"{symbol} takes bools, not {a_type(value)}"))
            if failure is not None:
                raise failure
            return not deciding
        finally:
            failure = None  # else it and this frame would hold one another, for the collector to find

    return run


def _conditional(node: nodes.Conditional, scope: Scope) -> Run:
    condition, then, otherwise = (build(part, scope) for part in (node.condition, node.then, node.otherwise))

    def run(bindings: Mapping[str, object]) -> object:
        value = condition(bindings)
        if value is True:
            return then(bindings)
        if value is False:
            return otherwise(bindings)
        raise CelError(f"the condition before ? is a bool, not {a_type(value)}")

    return run


def _unwrapped(value: object) -> Optional:
    if isinstance(value, Optional):
        return value
    raise CelError(f"what follows ? in a list or map is an optional, not {a_type(value)}: leave out the ?")


def _list(node: nodes.ListNode, scope: Scope) -> Run:
    elements = tuple(build(element, scope) for element in node.elements)
    if not any(node.optional):
        return lambda bindings: [element(bindings) for element in elements]
    marked = tuple(zip(elements, node.optional, strict=True))

    def run(bindings: Mapping[str, object]) -> object:
        made: list[object] = []
        for element, optional in marked:
            value = element(bindings)
            if not optional:
                made.append(value)
            elif (wrapped := _unwrapped(value)).present:
                made.append(wrapped.content)
        return made

    return run


def _map(node: nodes.MapNode, scope: Scope) -> Run:
    entries = tuple((build(key, scope), build(value, scope)) for key, value in node.entries)
    marked = tuple((*entry, optional) for entry, optional in zip(entries, node.optional, strict=True))

    def run(bindings: Mapping[str, object]) -> object:
        made: list[tuple[object, object]] = []
        for key, value, optional in marked:
            entry = key(bindings), value(bindings)
            if not optional:
                made.append(entry)
            elif (wrapped := _unwrapped(entry[1])).present:
                made.append((entry[0], wrapped.content))
        return make_map(made)

    return run


def _call(node: nodes.Call, scope: Scope) -> Run:
    parts = node.args if node.target is None else (node.target, *node.args)
    values = tuple(build(part, scope) for part in parts)
    function = functions.called(node)
    if function is None:
        return _unknown_function(node.name)
    match values:
        case ():
            return lambda _: function()
        case (only,):
            return lambda bindings: function(only(bindings))
        case (first, second):
            if node.name in _LAZY and node.target is not None:
                return _lazy(function, first, second)
            return lambda bindings: function(first(bindings), second(bindings))
        case _:
            return lambda bindings: function(*[value(bindings) for value in values])


_LAZY: Final = frozenset({"or", "orValue"})


def _lazy(function: functions.Function, target: Run, fallback: Run) -> Run:
    """A fallback that is computed only where there is nothing else."""

    def run(bindings: Mapping[str, object]) -> object:
        value = target(bindings)
        if isinstance(value, Optional) and value.present:
            return function(value, value)
        return function(value, fallback(bindings))

    return run


def _unknown_function(name: str) -> Run:
    def run(_: Mapping[str, object]) -> object:
        raise CelError(f"there is no function {name} with these arguments")

    return run


def _macro(node: nodes.Macro, scope: Scope) -> Run:
    target = build(node.target, scope)
    inner = scope.within(node.variables, node.target)
    bodies = tuple(build(body, inner) for body in node.bodies)
    return comprehensions.build(node, target, bodies)


def _bind(node: nodes.Bind, scope: Scope) -> Run:
    name, value = node.name, build(node.value, scope)
    body = build(node.body, scope.within((name,), node.value))
    return lambda bindings: body({**bindings, name: value(bindings)})


_BUILDERS: Final[Mapping[type[Node], Callable[[Any, Scope], Run]]] = {
    nodes.Literal: _literal,
    nodes.Ident: _ident,
    nodes.Select: _select,
    nodes.Has: _has,
    nodes.Index: _index,
    nodes.Unary: _unary,
    nodes.Binary: _binary,
    nodes.And: _logic,
    nodes.Or: _logic,
    nodes.Conditional: _conditional,
    nodes.ListNode: _list,
    nodes.MapNode: _map,
    nodes.Call: _call,
    nodes.Macro: _macro,
    nodes.Bind: _bind,
}
