"""Dispatch: rules that ask whether one thing is this or that, found by one look-up.

A run of rules one after the other, each of which begins by comparing the same expression with constants of its own,
becomes a switch: for each constant, the rules that it leaves, in their order, and what each of them still asks. So a
thousand such rules cost about what ten cost, and the first that matches is the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from rules.cel import nodes
from rules.cel.compile_forms import is_impure, is_safe
from rules.cel.nodes import Node

_SHORTEST: Final = 4
"""A shorter run costs no more rule by rule."""
_COPIES: Final = 4
"""How many times as much code as rule by rule a switch may make: a rule stands once for each set of constants."""

Constant = Callable[[Node], tuple[object] | None]
"""The value of an expression that is the same for every record, alone in a tuple; None for any other."""


class Choice(Struct, frozen=True):
    """A rule that matches only when ``subject`` equals one of ``keys``, and then if ``rest`` holds (None: always)."""

    number: int
    subject: Node
    keys: tuple[object, ...]
    rest: Node | None


class Switch(Struct, frozen=True):
    """The rules from ``choices[0].number`` on, one after the other. ``keys`` are all texts, or all numbers.

    ``keys`` leads to a place in ``cases``: the rules that are left, in order.
    """

    subject: Node
    choices: tuple[Choice, ...]
    keys: Mapping[object, int]
    cases: tuple[tuple[Choice, ...], ...]

    @property
    def are_texts(self) -> bool:
        """Whether the keys are texts; else they are numbers that Python compares as CEL does."""
        return isinstance(next(iter(self.keys)), str)


def switches(conditions: Sequence[Node | None], constant: Constant) -> dict[int, Switch]:
    """The switches among rules with these conditions, by the number of the first rule of each. A condition that is None
    ends a run: of a rule that changes what later ones see, or takes everything."""
    found = {}
    for run in _runs(conditions, constant):
        switch = _switch(run)
        if len(run) >= _SHORTEST and sum(map(len, switch.cases)) <= _COPIES * len(run):
            found[run[0].number] = switch
    return found


def _runs(conditions: Sequence[Node | None], constant: Constant) -> Iterator[list[Choice]]:
    run: list[Choice] = []
    for number, condition in enumerate(conditions):
        choice = None if condition is None else _choice(number, condition, constant)
        if run and (choice is None or choice.subject != run[0].subject or _kind(choice) is not _kind(run[0])):
            yield run
            run = []
        if choice is not None:
            run.append(choice)
    if run:
        yield run


def _kind(choice: Choice) -> type:
    return str if isinstance(choice.keys[0], str) else float


def _choice(number: int, condition: Node, constant: Constant) -> Choice | None:
    rest: Node | None = None
    if isinstance(condition, nodes.And):
        first, *others = condition.terms
        rest = others[0] if len(others) == 1 else nodes.And(tuple(others))
        condition = first
    found = _equalities(condition, constant)
    if found is None or is_impure(found[0]):
        return None
    subject, keys = found
    if all(type(key) is str for key in keys) or all(map(is_safe, keys)):
        return Choice(number, subject, tuple(dict.fromkeys(keys)), rest)
    return None


def _equalities(node: Node, constant: Constant) -> tuple[Node, list[object]] | None:
    """What a condition compares, and with which constants, where that is all that it does."""
    match node:
        case nodes.Binary(operator="==", left=left, right=right):
            for subject, other in ((left, right), (right, left)):
                if (value := constant(other)) is not None and constant(subject) is None:
                    return subject, [*value]
        case nodes.Binary(operator="in", left=subject, right=right):
            value = constant(right)
            if value is not None and isinstance(value[0], list) and value[0] and constant(subject) is None:
                return subject, value[0]
        case nodes.Or(terms=terms):
            found = [_equalities(term, constant) for term in terms]
            known = [pair for pair in found if pair is not None]
            if len(known) == len(found) and all(subject == known[0][0] for subject, _ in known):
                return known[0][0], [key for _, keys in known for key in keys]
    return None


def _switch(run: Sequence[Choice]) -> Switch:
    by_key: dict[object, list[Choice]] = {}
    for choice in run:
        for key in choice.keys:
            by_key.setdefault(key, []).append(choice)
    places: dict[tuple[int, ...], int] = {}
    keys = {
        key: places.setdefault(tuple(choice.number for choice in choices), len(places))
        for key, choices in by_key.items()
    }
    of_number = {choice.number: choice for choice in run}
    cases = tuple(tuple(of_number[number] for number in numbers) for numbers in places)
    return Switch(run[0].subject, tuple(run), keys, cases)
