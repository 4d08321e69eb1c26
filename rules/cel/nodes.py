"""The syntax tree of a CEL expression: what the parser makes, and the evaluator and the compiler read.

Macros are nodes of their own, not expanded into folds, so that the compiler can turn each into the loop that it is.
Every node knows where it stands in the text: ``start`` and ``end`` are 0-based indices of its first character and past
its last. Nodes compare by identity of content without their places, so equal sub-expressions are equal nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rules.cel.functions.registry import Function


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Any part of an expression."""

    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A constant: null, bool, int, ``UInt``, float, str or bytes; 1, 1u, 1.0 and true are four different ones."""

    value: object

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Literal) or type(self.value) is not type(other.value):
            return False
        return repr(self.value) == repr(other.value)

    def __hash__(self) -> int:
        return hash((type(self.value), repr(self.value)))


@dataclass(frozen=True, slots=True)
class Ident(Node):
    """A variable, or a type's name such as ``int``. A leading dot is dropped: there is one scope."""

    name: str


@dataclass(frozen=True, slots=True)
class Select(Node):
    """``operand.field``; with ``optional``, ``operand.?field``."""

    operand: Node
    field: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Has(Node):
    """``has(operand.field)``."""

    operand: Node
    field: str


@dataclass(frozen=True, slots=True)
class Index(Node):
    """``operand[index]``; with ``optional``, ``operand[?index]``."""

    operand: Node
    index: Node
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """``!operand`` or ``-operand``."""

    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """Arithmetic and comparison: ``+ - * / % == != < <= > >= in``."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class And(Node):
    """``a && b && c``, flattened: two terms or more, evaluated as if joined in pairs."""

    terms: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or(Node):
    """``a || b || c``, flattened: two terms or more."""

    terms: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Conditional(Node):
    """``condition ? then : otherwise``."""

    condition: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class ListNode(Node):
    """``[a, b]``; ``optional[i]`` is True for an element written ``?a``."""

    elements: tuple[Node, ...]
    optional: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class MapNode(Node):
    """``{k: v}``; ``optional[i]`` is True for an entry written ``?k: v``."""

    entries: tuple[tuple[Node, Node], ...]
    optional: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function, ``name(args)``, or a method, ``target.name(args)``.

    A namespaced function (``math.greatest``, ``time.format``) has its namespace in its name and no target. ``bound`` is
    what is called, where that is more than the name says: a function within its surroundings.
    """

    name: str
    target: Node | None
    args: tuple[Node, ...]
    bound: Function | None = None


@dataclass(frozen=True, slots=True)
class Macro(Node):
    """A comprehension: ``target.name(variables..., body...)``.

    ``name`` is one of ``all exists exists_one map filter`` (and, with two variables, ``existsOne transformList
    transformMap transformMapEntry``). ``variables`` holds one name or two. ``bodies`` holds one expression, or two for
    ``map`` and the transforms with a filter: filter first, then what is made of an element.

    ``optMap`` and ``optFlatMap``, whose target is an optional, are macros of one variable and one body too.
    """

    name: str
    target: Node
    variables: tuple[str, ...]
    bodies: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Bind(Node):
    """``cel.bind(name, value, body)``."""

    name: str
    value: Node
    body: Node


@dataclass(frozen=True, slots=True)
class Gap(Node):
    """Text that could not be read. No expression has one: the parser goes on with it to find what else is wrong."""


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly under a node, in the order of the text."""
    match node:
        case Select(operand=operand) | Has(operand=operand) | Unary(operand=operand):
            return (operand,)
        case Index(operand=operand, index=index):
            return (operand, index)
        case Binary(left=left, right=right):
            return (left, right)
        case And(terms=terms) | Or(terms=terms):
            return terms
        case Conditional(condition=condition, then=then, otherwise=otherwise):
            return (condition, then, otherwise)
        case ListNode(elements=elements):
            return elements
        case MapNode(entries=entries):
            return tuple(part for entry in entries for part in entry)
        case Call(target=target, args=args):
            return args if target is None else (target, *args)
        case Macro(target=target, bodies=bodies):
            return (target, *bodies)
        case Bind(value=value, body=body):
            return (value, body)
        case _:
            return ()


def rebuilt(node: Node, change: Callable[[Node], Node]) -> Node:
    """A node that binds no names, with its children changed."""
    match node:
        case Select() | Has() | Unary():
            return replace(node, operand=change(node.operand))
        case Index():
            return replace(node, operand=change(node.operand), index=change(node.index))
        case Binary():
            return replace(node, left=change(node.left), right=change(node.right))
        case And() | Or():
            return replace(node, terms=tuple(map(change, node.terms)))
        case Conditional():
            parts = map(change, (node.condition, node.then, node.otherwise))
            return Conditional(*parts, start=node.start, end=node.end)
        case ListNode():
            return replace(node, elements=tuple(map(change, node.elements)))
        case MapNode():
            return replace(node, entries=tuple((change(key), change(value)) for key, value in node.entries))
        case Call():
            target = None if node.target is None else change(node.target)
            return replace(node, target=target, args=tuple(map(change, node.args)))
    return node
