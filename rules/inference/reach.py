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
        # By one of their terms, the conditions that are taken, each as terms of which all must be true.
        self._taken: dict[Node, list[tuple[frozenset[Node], Rule]]] = {}
        self.shut: str | None = None
        """Why nothing is left, if nothing is."""

    def take(self, rule: Rule, *, always: bool | None) -> None:
        """A rule delivers what it matches; ``always`` says whether its condition is a constant, and which."""
        if rule.continues:
            return
        if rule.when is None or always:
            self.shut = f"rule `{rule.name}` of line {rule.place.line} takes all of them"
        elif always is None and not isinstance(rule.when.cel.node, nodes.Gap):
            for terms in _choices(self._lets.inline(rule.when.cel.node)):
                self._taken.setdefault(terms[0], []).append((frozenset(terms), rule))

    def hidden(self, rule: Rule) -> str:
        """Why no record gets to a rule, though some are left; empty where one may."""
        if rule.when is None or not self._taken:
            return ""
        wanted = self._lets.inline(rule.when.cel.node)
        if not _is_pure(wanted):
            return ""
        takers = [self._taker(terms) for terms in _choices(wanted)]
        found = {taker.name: taker for taker in takers if taker is not None}
        if None in takers:
            return ""
        named = " and ".join(f"rule `{taker.name}` of line {taker.place.line}" for taker in found.values())
        return f"{named} take{'s' if len(found) == 1 else ''} all that it would match"

    def _taker(self, terms: tuple[Node, ...]) -> Rule | None:
        """The rule that takes what these terms are all true of."""
        for term in terms:
            for needed, earlier in self._taken.get(term, ()):
                if needed <= set(terms):
                    return earlier
        return None

    def forget(self) -> None:
        """From here on events are others, of which nothing is taken."""
        self._taken.clear()


def _choices(condition: Node) -> list[tuple[Node, ...]]:
    """The terms of a condition: it is true where all those of one choice are."""
    return [_terms(choice) for choice in (condition.terms if isinstance(condition, nodes.Or) else (condition,))]


def _terms(condition: Node) -> tuple[Node, ...]:
    return condition.terms if isinstance(condition, nodes.And) else (condition,)


def _is_pure(node: Node) -> bool:
    if isinstance(node, nodes.Call):
        function = functions.find(node.name, len(node.args), is_method=node.target is not None)
        if function is None or not function.pure:
            return False
    return all(map(_is_pure, nodes.children(node)))
