"""What an expression reads: its free variables, the fields it selects from them, and what comes from the record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rules.cel import nodes
from rules.cel.nodes import Node
from rules.cel.values import TYPES

_NOTHING: Final[frozenset[str]] = frozenset()
# Conversions say what type a number has, wherever it came from; so does a count of something.
_DECLARING: Final = frozenset({"int", "uint", "double"})


def free_variables(node: Node) -> frozenset[str]:
    """The names that an evaluation looks up: no types, and nothing that a macro binds."""
    return frozenset(path[0] for path in references(node))


def uses(node: Node, bound: frozenset[str] = _NOTHING) -> Iterator[tuple[str, int]]:
    """Every place where a variable is looked up that is not among ``bound``: its name, and the offset in the text."""
    match node:
        case nodes.Ident(name=name):
            if name not in bound and name not in TYPES:
                yield name, node.start
        case nodes.Macro(target=target, variables=variables, bodies=bodies):
            yield from uses(target, bound)
            for body in bodies:
                yield from uses(body, bound.union(variables))
        case nodes.Bind(name=name, value=value, body=body):
            yield from uses(value, bound)
            yield from uses(body, bound | {name})
        case _:
            for child in nodes.children(node):
                yield from uses(child, bound)


def references(node: Node) -> frozenset[tuple[str, ...]]:
    """The paths that an expression reads, such as ``("event", "user", "plan")``.

    A path ends where the fields are not known from the text: ``event.items[i].price`` reads ``("event", "items")``.
    What is read is at most what these paths and everything below them hold.
    """
    found: set[tuple[str, ...]] = set()
    _collect(node, _NOTHING, found)
    return frozenset(found)


def _collect(node: Node, bound: frozenset[str], found: set[tuple[str, ...]]) -> None:
    path = static_path(node)
    if path is not None:
        if path[0] not in bound and path[0] not in TYPES:
            found.add(path)
        return
    match node:
        case nodes.Macro(target=target, variables=variables, bodies=bodies):
            _collect(target, bound, found)
            for body in bodies:
                _collect(body, bound.union(variables), found)
        case nodes.Bind(name=name, value=value, body=body):
            _collect(value, bound, found)
            _collect(body, bound | {name}, found)
        case _:
            for child in nodes.children(node):
                _collect(child, bound, found)


def selections(node: Node, root: str, bound: frozenset[str] = _NOTHING) -> Iterator[tuple[tuple[str, ...], int, bool]]:
    """The paths below the variable ``root`` that are read: each with its offset in the text, and whether a ``has()`` or
    a ``?`` allows for its absence."""
    path = static_path(node)
    if path is not None:
        if path[0] == root and root not in bound:
            yield path, node.start, _is_tested(node)
        return
    match node:
        case nodes.Macro(target=target, variables=variables, bodies=bodies):
            yield from selections(target, root, bound)
            for body in bodies:
                yield from selections(body, root, bound.union(variables))
        case nodes.Bind(name=name, value=value, body=body):
            yield from selections(value, root, bound)
            yield from selections(body, root, bound | {name})
        case _:
            for child in nodes.children(node):
                yield from selections(child, root, bound)


def _is_tested(node: Node) -> bool:
    """Whether a path allows for the absence of a field of it."""
    while True:
        match node:
            case nodes.Has() | nodes.Select(optional=True) | nodes.Index(optional=True):
                return True
            case nodes.Select(operand=operand) | nodes.Index(operand=operand):
                node = operand
            case _:
                return False


def static_path(node: Node) -> tuple[str, ...] | None:
    """A variable and the fields selected from it, if that is all that a node is."""
    fields: list[str] = []
    while True:
        match node:
            case nodes.Ident(name=name):
                return (name, *reversed(fields))
            case nodes.Select(operand=operand, field=field) | nodes.Has(operand=operand, field=field):
                fields.append(field)
                node = operand
            case nodes.Index(operand=operand, index=nodes.Literal(value=str() as field)):
                fields.append(field)
                node = operand
            case _:
                return None


def from_record(node: Node, plain: frozenset[str] = _NOTHING) -> bool:
    """Whether a number may come from the record, so that with it an int and a double meet as doubles.

    It does when the expression mentions a variable, except inside ``int()``, ``uint()`` and ``double()``, which say
    its type. ``plain`` are the names that macros have bound to something that does not come from the record.
    """
    match node:
        case nodes.Ident(name=name):
            return name not in plain and name not in TYPES
        case nodes.Call(name=name, target=None) if name in _DECLARING:
            return False
        case nodes.Call(name="lookup", target=None):  # as untyped as a record, whatever it is looked up by
            return True
        case nodes.Macro(target=target, variables=variables, bodies=bodies):
            if from_record(target, plain):  # asked once, or a chain of macros would ask twice as often with each link
                return True
            inner = inside(plain, variables, record=False)
            return any(from_record(body, inner) for body in bodies)
        case nodes.Bind(name=name, value=value, body=body):
            return from_record(body, inside(plain, (name,), record=from_record(value, plain)))
        case _:
            return any(from_record(child, plain) for child in nodes.children(node))


def inside(plain: frozenset[str], variables: tuple[str, ...], *, record: bool) -> frozenset[str]:
    """``plain`` where these variables are bound, to what comes from the record or to what does not."""
    return plain.difference(variables) if record else plain.union(variables)
