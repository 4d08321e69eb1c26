"""Which rules no record gets to, because those before them take everything that they would."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Final

from rules.cel import nodes
from rules.cel.nodes import Node
from rules.flow import Rule
from rules.inference.conditions import Term, implies, singly, term_of
from rules.inference.walk import is_pure
from rules.lets import Lets


class Reach:
    """What the rules so far have taken for good, of events as they are now."""

    def __init__(self, lets: Lets) -> None:
        self._lets = lets
        # By what one of their terms is about, the conditions that are taken, each as terms of which all must be true.
        self._taken: dict[object, list[tuple[tuple[Term, ...], Rule]]] = {}
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
                for about in _abouts(terms[0]):
                    self._taken.setdefault(about, []).append((terms, rule))

    def hidden(self, rule: Rule) -> str:
        """Why no record gets to a rule, though some are left; empty where one may."""
        if rule.when is None or not self._taken:
            return ""
        wanted = self._lets.inline(rule.when.cel.node)
        if not is_pure(wanted):
            return ""
        takers = [self._taker(terms) for terms in _single_choices(wanted)]
        found = {taker.name: taker for taker in takers if taker is not None}
        if None in takers:
            return ""
        named = " and ".join(f"rule `{taker.name}` of line {taker.place.line}" for taker in found.values())
        return f"{named} take{'s' if len(found) == 1 else ''} all that it would match"

    def _taker(self, terms: tuple[Term, ...]) -> Rule | None:
        """The rule that takes what these terms are all true of."""
        for about in (about for term in terms for about in (*_abouts(term), term.subject)):
            for needed, earlier in self._taken.get(about, ()):
                if all(any(implies(term, need) for term in terms) for need in needed):
                    return earlier
        return None

    def forget(self) -> None:
        """From here on events are others, of which nothing is taken."""
        self._taken.clear()


def _abouts(term: Term) -> list[object]:
    """What a term is found by: its subject with each of the constants, or its subject."""
    return [(term.subject, value) for value in term.values] if term.asks == "in" else [term.subject]


def _choices(condition: Node) -> list[tuple[Term, ...]]:
    """The terms of a condition: it is true where all those of one choice are."""
    choices = condition.terms if isinstance(condition, nodes.Or) else (condition,)
    return [tuple(map(term_of, _terms(choice))) for choice in choices]


def _single_choices(condition: Node) -> list[tuple[Term, ...]]:
    """The same, with a choice for each constant of a list, unless these are too many."""
    found: list[tuple[Term, ...]] = []
    for terms in _choices(condition):
        each = [singly(term) for term in terms]
        found += product(*each) if prod(map(len, each)) <= _MANY else [terms]
    return found


def _terms(condition: Node) -> tuple[Node, ...]:
    return condition.terms if isinstance(condition, nodes.And) else (condition,)


_MANY: Final = 1000
