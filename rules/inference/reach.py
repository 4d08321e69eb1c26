"""Which rules no record gets to, because those before them take everything that they would."""

from __future__ import annotations

from rules.cel import functions, nodes
from rules.cel.nodes import Node
from rules.flow import Rule
from rules.lets import Lets


class Reach:
    """What the rules so far have taken for good, of events as they are now."""

    def __init__(self, lets: Lets) -> None:
        self._lets = lets
        self._taken: list[tuple[Node, Rule]] = []
        self.shut: str | None = None
        """Why nothing is left, if nothing is."""

    def take(self, rule: Rule, *, always: bool | None) -> None:
        """A rule delivers what it matches; ``always`` says whether its condition is a constant, and which."""
        if rule.continues:
            return
        if rule.when is None or always:
            self.shut = f"rule `{rule.name}` of line {rule.place.line} takes all of them"
        elif always is None:
            self._taken.append((self._lets.inline(rule.when.cel.node), rule))

    def hidden(self, rule: Rule) -> str:
        """Why no record gets to a rule, though some are left; empty where one may."""
        if rule.when is None or not self._taken:
            return ""
        wanted = self._lets.inline(rule.when.cel.node)
        if not _is_pure(wanted):
            return ""
        for taken, earlier in self._taken:
            if _implies(wanted, taken):
                return f"rule `{earlier.name}` of line {earlier.place.line} takes all that it would match"
        return ""

    def forget(self) -> None:
        """From here on events are others, of which nothing is taken."""
        self._taken.clear()


def _implies(wanted: Node, taken: Node) -> bool:
    """Whether a condition is true of nothing but what another one is true of, as far as their forms tell."""
    needed = frozenset(wanted.terms) if isinstance(wanted, nodes.And) else frozenset((wanted,))
    if (frozenset(taken.terms) if isinstance(taken, nodes.And) else frozenset((taken,))) <= needed:
        return True
    return isinstance(taken, nodes.Or) and not needed.isdisjoint(taken.terms)


def _is_pure(node: Node) -> bool:
    if isinstance(node, nodes.Call):
        function = functions.find(node.name, len(node.args), is_method=node.target is not None)
        if function is None or not function.pure:
            return False
    return all(map(_is_pure, nodes.children(node)))
