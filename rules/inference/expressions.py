"""The type of an expression, and what is certainly or probably wrong with it.

What is wrong is reported once, at the smallest part that is, and has a dynamic type from there on: no part is blamed
for another. A type says what the exact evaluator can give; evaluation may always err, or find nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rules.cel import Expression, nodes
from rules.cel.nodes import Node
from rules.faults import Place
from rules.flow import Expr
from rules.inference import containers, operators, selections
from rules.inference.kinds import DYNAMIC, NEVER, Type, describe
from rules.inference.walk import Handlers, Report, Scope, Walk, is_constant
from rules.lets import Lets


class Inference:
    """Finds types where these names have these types, and reports what is wrong."""

    def __init__(self, lets: Lets, written: Mapping[str, Expr], names: Mapping[str, Type], report: Report) -> None:
        self._lets = lets
        self._names = names
        self._walk = Walk(lets, written, names, report, _HANDLERS)

    def type_of(self, expr: Expr) -> Type:
        """The type of an expression; dynamic of one that is too deep to be looked through."""
        try:
            return self._walk.visit(self._lets.inline(expr.cel.node), Scope(self._names, expr))
        except RecursionError:
            return DYNAMIC

    def part(self, node: Node) -> Type:
        """The type of a part of an expression in which the names of let are put in, of which nothing is reported."""
        return self._walk.silent().visit(node, Scope(self._names, Expr(Expression("", node), Place(""))))

    def condition(self, expr: Expr, what: str) -> bool | None:
        """Check what is to be true or false; whether it is always the same, and which."""
        found, node = self.type_of(expr), self._lets.inline(expr.cel.node)
        if not found.may_be("bool") and found != NEVER:
            what = f"{what} is {describe(found)}, never true or false"
            self._walk.wrong(node, Scope(self._names, expr), what, "", "no bool")
        values = found.scalar("bool").values if is_constant(node) and found.kinds == {"bool"} else None
        return None if values is None else next(iter(values)) is True


def type_alone(expression: Expression, names: Mapping[str, Type]) -> Type:
    """The type of an expression that stands in no flow, where these names have these types, and others any."""
    return Inference(Lets({}), {}, names, lambda _: None).type_of(Expr(expression, Place("")))


_HANDLERS: Final[Handlers] = {
    nodes.Literal: selections.literal,
    nodes.Ident: selections.ident,
    nodes.Select: selections.select,
    nodes.Has: selections.has,
    nodes.Index: selections.index,
    nodes.Unary: operators.unary,
    nodes.Binary: operators.binary,
    nodes.And: operators.logic,
    nodes.Or: operators.logic,
    nodes.Conditional: operators.conditional,
    nodes.ListNode: containers.list_,
    nodes.MapNode: containers.map_,
    nodes.Call: containers.call,
    nodes.Macro: containers.macro,
    nodes.Bind: containers.bind,
    nodes.Gap: selections.gap,
}
