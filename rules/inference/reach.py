"""Which rules no record gets to, because those before them take everything that they would."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from math import prod
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rules.cel import nodes
from rules.cel.nodes import Node
from rules.cel.scope import static_path
from rules.flow import Rule
from rules.inference.conditions import Key, Term, holds, implies, singly, term_of
from rules.inference.kinds import Type
from rules.inference.together import constants
from rules.inference.walk import is_pure
from rules.lets import Lets


class Reach:
    """What the rules so far have taken for good, of events as they are now."""

    def __init__(self, lets: Lets) -> None:
        self._lets = lets
        self._subjects: dict[Node, Node] = {}
        # By what one of their terms is about, the conditions that are taken, each as terms of which all must be true.
        self._taken: dict[object, list[tuple[tuple[Term, ...], Rule]]] = {}
        # By what can only be one of some constants, those of which none has been taken so far, and once there are no
        # more such, all of them.
        self._left: dict[Node, set[Key] | None] = {}
        self._full: dict[Node, _Full] = {}
        self.shut: str | None = None
        """Why nothing is left, if nothing is."""

    def take(self, rule: Rule, type_of: Callable[[Node], Type], *, always: bool | None) -> None:
        """A rule delivers what it matches; ``always`` says whether its condition is a constant, and which. ``type_of``
        gives the type of parts of it."""
        if rule.continues:
            return
        if rule.when is None or always:
            self.shut = f"rule `{rule.name}` of line {rule.place.line} takes all of them"
        elif always is None and not isinstance(rule.when.cel.node, nodes.Gap):
            for terms in self._choices(self._lets.inline(rule.when.cel.node)):
                for about in _abouts(terms[0]):
                    self._taken.setdefault(about, []).append((terms, rule))
                for term in terms:
                    if term.asks == "in" and static_path(term.subject) is not None:
                        self._cover(term, type_of)

    def _cover(self, term: Term, type_of: Callable[[Node], Type]) -> None:
        subject = term.subject
        if subject not in self._left:
            known = constants(type_of(subject)) or frozenset()
            self._left[subject] = set(known) if 0 < len(known) <= _MANY_CASES else None
        left = self._left[subject]
        if left:
            left -= term.values
            if not left:
                known = constants(type_of(subject)) or frozenset()
                self._full[subject] = _Full(known, is_there=_is_there(subject, type_of))

    def hidden(self, rule: Rule) -> str:
        """Why no record gets to a rule, though some are left; empty where one may."""
        if rule.when is None or not self._taken:
            return ""
        wanted = self._lets.inline(rule.when.cel.node)
        if not is_pure(wanted):
            return ""
        found: dict[str, Rule] = {}
        choices = self._single_choices(wanted)
        for terms in choices:
            takers = self._takers(terms, _MANY_CASES // len(choices))
            if not takers:
                return ""
            found |= {taker.name: taker for taker in takers}
        rules = sorted(found.values(), key=lambda rule: rule.place)
        named = [f"rule `{taker.name}` of line {taker.place.line}" for taker in rules]
        if len(named) > _SHOWN:
            named[_SHOWN - 1 :] = [f"{len(named) - _SHOWN + 1} more"]
        return f"{', '.join(named[:-1])}{' and ' if named[1:] else ''}{named[-1]} take{'' if named[1:] else 's'} {_ALL}"

    def _takers(self, terms: tuple[Term, ...], most: int) -> list[Rule]:
        """The rules that take what these terms are all true of: one rule, or one for each constant, of which there are
        at ``most`` so many, that something can be that is there whenever they are true. Empty where some is left."""
        if (taker := self._taker(terms)) is not None:
            return [taker]
        for subject, full in self._full.items():
            own = [term for term in terms if term.subject == subject]
            if (own or full.is_there) and len(full.values) <= most:
                cases = [value for value in full.values if all(holds(term, value) for term in own)]
                takers = [self._taker((*terms, Term(subject, "in", frozenset({value})))) for value in cases]
                found = [taker for taker in takers if taker is not None]
                if len(found) == len(cases):
                    return found
        return []

    def _taker(self, terms: tuple[Term, ...]) -> Rule | None:
        """The rule that takes what these terms are all true of."""
        by_subject: dict[int, list[Term]] = {}
        for term in terms:
            by_subject.setdefault(id(term.subject), []).append(term)
        for about in dict.fromkeys(about for term in terms for about in (*_abouts(term), term.subject)):
            for needed, earlier in self._taken.get(about, ()):
                if all(_is_implied(need, by_subject.get(id(need.subject), ())) for need in needed):
                    return earlier
        return None

    def _choices(self, condition: Node) -> list[tuple[Term, ...]]:
        """The terms of a condition: it is true where all those of one choice are."""
        choices = condition.terms if isinstance(condition, nodes.Or) else (condition,)
        return [tuple(self._term(part) for part in _terms(choice)) for choice in choices]

    def _term(self, part: Node) -> Term:
        """What a term asks, of the one object that stands for all equal subjects: to compare them would take long."""
        found = term_of(part)
        return replace(found, subject=self._subjects.setdefault(found.subject, found.subject))

    def _single_choices(self, condition: Node) -> list[tuple[Term, ...]]:
        """The same, with a choice for each constant of a list, unless these are too many."""
        found: list[tuple[Term, ...]] = []
        for terms in self._choices(condition):
            each = [singly(term) for term in terms]
            found += product(*each) if prod(map(len, each)) <= _MANY else [terms]
        return found

    def forget(self) -> None:
        """From here on events are others, of which nothing is taken."""
        self._taken.clear()
        self._left.clear()
        self._full.clear()


class _Full(Struct, frozen=True):
    """The constants of which something is one wherever it is there, and whether it is in every record."""

    values: frozenset[Key]
    is_there: bool


def _is_there(node: Node, type_of: Callable[[Node], Type]) -> bool:
    """Whether there is such a field, whatever the record."""
    match node:
        case nodes.Ident():
            return True
        case (
            nodes.Select(operand=operand, field=name, optional=False)
            | nodes.Index(operand=operand, index=nodes.Literal(value=str() as name), optional=False)
        ):
            known = type_of(operand)
            return known.kinds == {"map"} and name in known.map.required and _is_there(operand, type_of)
    return False


def _abouts(term: Term) -> list[object]:
    """What a term is found by: its subject with each of the constants, or its subject."""
    return [(term.subject, value) for value in term.values] if term.asks == "in" else [term.subject]


def _is_implied(need: Term, terms: Iterable[Term]) -> bool:
    return any(implies(term, need) for term in terms)


def _terms(condition: Node) -> tuple[Node, ...]:
    return condition.terms if isinstance(condition, nodes.And) else (condition,)


_MANY: Final = 1000
_MANY_CASES: Final = 200
_SHOWN: Final = 4
_ALL: Final = "all that it would match"
