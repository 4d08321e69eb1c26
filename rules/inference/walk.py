"""The way through an expression: what is known at each node, what is reported of it, and what is constant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from rules.cel import functions, nodes
from rules.cel.errors import CelError
from rules.cel.evaluator import evaluator
from rules.cel.nodes import Node
from rules.cel.scope import from_record, inside
from rules.flow import Expr
from rules.inference.kinds import DYNAMIC, Type, of_value
from rules.inference.words import shown
from rules.lets import Lets

_NOTHING: Final[frozenset[str]] = frozenset()


Claim = Literal["fails", "absent", "never true", "always true", "no bool", "excluded", "likely"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a part of an expression: with ``node``, at ``offset`` of the text. ``claim`` says what that
    part does, whatever the record is: an "absent" field fails, but for has() and ?; "excluded" is never true, which may
    be meant as it is, in case there will be more; and so may what is "likely"."""

    expr: Expr
    offset: int
    what: str
    hint: str
    claim: Claim
    node: Node = field(compare=False)

    @property
    def certain(self) -> bool:
        """Whether it is wrong for every record, and cannot be meant."""
        return self.claim not in ("excluded", "likely")


Report = Callable[[Finding], None]
Handlers = Mapping[type[Node], Callable[["Walk", Any, "Scope"], Type]]


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean: a name that is not among them is dynamic. ``bound`` by macros, ``plain`` as the evaluator has
    it. ``expr`` is the one that the text of a node belongs to."""

    names: Mapping[str, Type]
    expr: Expr
    bound: frozenset[str] = _NOTHING
    plain: frozenset[str] = _NOTHING

    def within(self, names: Mapping[str, Type], value: Node) -> Scope:
        """The scope where a macro binds names, to a value or to its elements."""
        plain = inside(self.plain, tuple(names), record=from_record(value, self.plain))
        return replace(self, names={**self.names, **names}, bound=self.bound.union(names), plain=plain)


@dataclass(slots=True)
class Walk:
    """Goes through expressions whose names have these types. ``handlers`` says what each kind of node is.

    What ``let`` names is looked at once, where it is first used. ``said`` is how much was reported.
    """

    lets: Lets
    written: Mapping[str, Expr]
    names: Mapping[str, Type]
    report: Report
    handlers: Handlers
    _known: dict[int, Type] = field(default_factory=dict)
    said: int = 0

    def visit(self, node: Node, scope: Scope) -> Type:
        """The type of a node."""
        name = self.lets.name_of(node)
        if name is None:
            return self._visit(node, scope)
        if id(node) not in self._known:
            self._known[id(node)] = self._visit(node, Scope(self.names, self.written[name]))
        return self._known[id(node)]

    def _visit(self, node: Node, scope: Scope) -> Type:
        before = self.said
        found: Type = self.handlers[type(node)](self, node, scope)
        if self.said != before or isinstance(node, nodes.Literal) or not is_constant(node):
            return found
        try:
            return of_value(evaluator(node)({}))
        except CelError as error:
            return self.wrong(node, scope, f"this always fails: {error}")

    def wrong(self, node: Node, scope: Scope, what: str, hint: str = "", claim: Claim = "fails") -> Type:
        """Report what is wrong; the type to go on with."""
        self.said += 1
        self.report(Finding(scope.expr, self._offset(node, scope.expr), what, hint, claim, node))
        return DYNAMIC

    def silent(self) -> Walk:
        """The same walk, which reports nothing."""
        return replace(self, report=lambda _: None, _known={})

    def _offset(self, node: Node, expr: Expr) -> int:
        """Where a node stands in the text of an expression. What a name of let stands for was written elsewhere."""
        name = self.lets.name_of(node)
        if name is None or expr is self.written.get(name):
            return node.start
        return next((offset for used, offset in expr.cel.uses if used == name), 0)

    def shown(self, node: Node, scope: Scope) -> str:
        """A node as a message shows it."""
        return shown(self.lets.name_of(node) or scope.expr.cel.text[node.start : node.end])


# What of an expression is evaluated once and for all. What goes over lists is not: it may take its time.
_FIXED: Final = (
    nodes.Literal, nodes.Unary, nodes.Binary, nodes.And, nodes.Or, nodes.Conditional, nodes.ListNode, nodes.MapNode,
    nodes.Select, nodes.Index,
)  # fmt: skip
_SLOW: Final = frozenset({"lists.range", "replace", "join", "format"})


def is_constant(node: Node) -> bool:
    """Whether a node has the same value for every record, which is found quickly."""
    if isinstance(node, nodes.Call):
        function = functions.find(node.name, len(node.args), is_method=node.target is not None)
        if function is None or not function.pure or node.name in _SLOW:
            return False
    elif not isinstance(node, _FIXED):
        return False
    return all(map(is_constant, nodes.children(node)))


def is_pure(node: Node) -> bool:
    """Whether a node has the same value wherever it stands, of one record."""
    if isinstance(node, nodes.Call):
        function = functions.find(node.name, len(node.args), is_method=node.target is not None)
        if function is None or not function.pure:
            return False
    return not isinstance(node, nodes.Gap) and all(map(is_pure, nodes.children(node)))
