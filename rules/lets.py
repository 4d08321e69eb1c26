"""Named expressions (``let``) put in where they are used.

A name stands for its expression, seen against the record as it is where the name is used. So putting in is all there
is to it, as long as no macro around the place takes a name for itself that the expression means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from rules.cel import nodes
from rules.cel.nodes import Node
from rules.cel.substitution import substitute
from rules.cel.surroundings import NOWHERE, Surroundings, within
from rules.faults import Fault, Refused
from rules.flow import Expr

# Far above what people write, and far below what would make evaluation run out of stack or time.
_MAX_DEPTH: Final = 200
_MAX_SIZE: Final = 20_000
_INSTEAD: Final = "make a field of a part of it, by a step that sets it"


class Lets:
    """The named expressions of a flow, within its surroundings. Raises Refused, with all of them, for names that go
    round in circles, or grow beyond measure."""

    def __init__(self, lets: Mapping[str, Expr], around: Surroundings = NOWHERE) -> None:
        self._written = lets
        self._around = around
        self._resolved: dict[str, Node] = {}
        self._names: dict[int, str] = {}
        self._resolving: list[str] = []
        self._failed: set[str] = set()
        faults: list[Fault] = []
        for name in lets:
            try:
                self._resolve(name)
            except Refused as refused:
                faults += refused.faults
                self._failed.update(self._resolving)
                self._resolving.clear()
        if faults:
            raise Refused(faults)

    def __contains__(self, name: str) -> bool:
        return name in self._resolved

    def inline(self, node: Node) -> Node:
        """The same expression without names of ``let``, within its surroundings."""
        return substitute(within(node, self._around), self._resolved)

    def faults(self, expressions: Iterable[Expr]) -> Iterator[Fault]:
        """What is wrong with expressions that use the names: those that grow beyond measure by it."""
        for expr in expressions:
            if expr.cel.variables & self._resolved.keys():
                depth, size = _measure(self.inline(expr.cel.node), {})
                if depth > _MAX_DEPTH or size > _MAX_SIZE:
                    what = f"this is {depth} operations deep and {size} large once the names of let in it are put in"
                    yield Fault(expr.place, what, _INSTEAD)

    def name_of(self, node: Node) -> str | None:
        """The name that a node of an ``inline`` expression was put in for, if it was. Of names that are one for the
        other, the one that is not."""
        return self._names.get(id(node))

    def _resolve(self, name: str) -> Node:
        if name in self._resolved:
            return self._resolved[name]
        if name in self._failed:
            raise Refused([])
        written = self._written[name]
        if name in self._resolving:
            circle = " -> ".join([*self._resolving[self._resolving.index(name) :], name])
            raise Refused([Fault(written.place, f"let goes round in a circle: {circle}", "take one of them out of it")])
        self._resolving.append(name)
        used = written.cel.variables & self._written.keys()
        found = substitute(
            within(written.cel.node, self._around), {other: self._resolve(other) for other in sorted(used)}
        )
        self._resolving.pop()
        depth, size = _measure(found, {})
        if depth > _MAX_DEPTH or size > _MAX_SIZE:
            what = f"let {name} is {depth} operations deep and {size} large once the names in it are put in"
            raise Refused([Fault(written.place, what, _INSTEAD)])
        self._resolved[name] = found
        self._names.setdefault(id(found), name)
        return found


def resolvable(lets: Mapping[str, Expr]) -> Mapping[str, Expr]:
    """Those names that mean something, whatever is wrong with others that they do not use."""
    return {name: expr for name, expr in lets.items() if _is_resolvable(lets, name)}


def _is_resolvable(lets: Mapping[str, Expr], name: str) -> bool:
    needed: set[str] = set()
    more = {name}
    while more:
        needed |= more
        more = {used for own in more for used in lets[own].cel.variables & lets.keys()} - needed
    try:
        Lets({own: lets[own] for own in needed})
    except Refused:
        return False
    return True


def _measure(node: Node, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """The depth and the number of nodes. Shared parts are measured once: the sizes may be astronomical."""
    if id(node) not in known:
        below = [_measure(child, known) for child in nodes.children(node)]
        known[id(node)] = 1 + max((depth for depth, _ in below), default=0), 1 + sum(size for _, size in below)
    return known[id(node)]
