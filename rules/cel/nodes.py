"""The syntax tree of a CEL expression: what the parser makes, and the evaluator and the compiler read.

Macros are nodes of their own, not expanded into folds, so that the compiler can turn each into the loop that it is.
Every node knows where it stands in the text: ``start`` and ``end`` are 0-based indices of its first character and past
its last. Nodes compare by identity of content without their places, so equal sub-expressions are equal nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import astuple, replace

if TYPE_CHECKING:
    from rules.cel.functions.registry import Function


class Node(Struct, frozen=True, kw_only=True, eq=False):
    """Any part of an expression."""

    start: int = 0
    end: int = 0

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and _content(self) == _content(other)

    def __ne__(self, other: object) -> bool:  # that of a struct knows nothing of its ``__eq__``
        return not self == other

    def __hash__(self) -> int:
        return hash((type(self), _content(self)))


def _content(node: Node) -> tuple[object, ...]:
    """All fields but the place: what is given by name alone stands last."""
    return astuple(node)[:-2]


class Literal(Node, frozen=True):
    """A constant: null, bool, int, ``UInt``, float, str or bytes; 1, 1u, 1.0 and true are four different ones."""

    value: object

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Literal) or type(self.value) is not type(other.value):
            return False
        return repr(self.value) == repr(other.value)

    def __hash__(self) -> int:
        return hash((type(self.value), repr(self.value)))


class Ident(Node, frozen=True):
    """A variable, or a type's name such as ``int``. A leading dot is dropped: the parser sees to what it means."""

    name: str


class Select(Node, frozen=True):
    """``operand.field``; with ``optional``, ``operand.?field``."""

    operand: Node
    field: str
    optional: bool = False


class Has(Node, frozen=True):
    """``has(operand.field)``."""

    operand: Node
    field: str


class Index(Node, frozen=True):
    """``operand[index]``; with ``optional``, ``operand[?index]``."""

    operand: Node
    index: Node
    optional: bool = False


class Unary(Node, frozen=True):
    """``!operand`` or ``-operand``."""

    operator: str
    operand: Node


class Binary(Node, frozen=True):
    """Arithmetic and comparison: ``+ - * / % == != < <= > >= in``."""

    operator: str
    left: Node
    right: Node


class And(Node, frozen=True):
    """``a && b && c``, flattened: two terms or more, evaluated as if joined in pairs."""

    terms: tuple[Node, ...]


class Or(Node, frozen=True):
    """``a || b || c``, flattened: two terms or more."""

    terms: tuple[Node, ...]


class Conditional(Node, frozen=True):
    """``condition ? then : otherwise``."""

    condition: Node
    then: Node
    otherwise: Node


class ListNode(Node, frozen=True):
    """``[a, b]``; ``optional[i]`` is True for an element written ``?a``."""

    elements: tuple[Node, ...]
    optional: tuple[bool, ...]


class MapNode(Node, frozen=True):
    """``{k: v}``; ``optional[i]`` is True for an entry written ``?k: v``."""

    entries: tuple[tuple[Node, Node], ...]
    optional: tuple[bool, ...]


class Call(Node, frozen=True):
    """A function, ``name(args)``, or a method, ``target.name(args)``.

    A namespaced function (``math.greatest``, ``time.format``) has its namespace in its name and no target. ``bound`` is
    what is called, where that is more than the name says: a function within its surroundings.
    """

    name: str
    target: Node | None
    args: tuple[Node, ...]
    bound: Function | None = None


class Macro(Node, frozen=True):
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


class Bind(Node, frozen=True):
    """``cel.bind(name, value, body)``."""

    name: str
    value: Node
    body: Node


class Gap(Node, frozen=True):
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
