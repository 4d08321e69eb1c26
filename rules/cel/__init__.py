"""CEL, the Common Expression Language: expressions over records, with exact semantics and messages that teach.

    >>> compile("event.amount > 500 && event.tier == 'gold'").evaluate({"event": {"amount": 900, "tier": "gold"}})
    True

One extension: values that come from the record carry whatever type their JSON had, so arithmetic between an int and a
double gives a double when an operand mentions a variable: ``event.amount * 2`` works for ``5`` and for ``5.0``.
Literals among themselves, and what ``int()``, ``uint()`` and ``double()`` return, stay strict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from rules.cel.errors import CelError, CelMissing, CelSyntaxError
from rules.cel.evaluator import evaluator
from rules.cel.nodes import Node
from rules.cel.output import to_json
from rules.cel.parser import parse
from rules.cel.scope import free_variables, references, selections, uses
from rules.cel.values import Duration, Optional, Timestamp, Type, UInt

__all__ = [
    "CelError",
    "CelMissing",
    "CelSyntaxError",
    "Duration",
    "Expression",
    "Optional",
    "Timestamp",
    "Type",
    "UInt",
    "compile",
    "to_json",
]


@dataclass(frozen=True)
class Expression:
    """A compiled expression: its text, and the syntax tree of it."""

    text: str
    node: Node

    @cached_property
    def _run(self) -> Callable[[Mapping[str, object]], object]:
        return evaluator(self.node)

    @cached_property
    def variables(self) -> frozenset[str]:
        """The names that it takes from the bindings."""
        return free_variables(self.node)

    @property
    def uses(self) -> tuple[tuple[str, int], ...]:
        """Its variables once more, each with the offset of every place where it is used."""
        return tuple(uses(self.node))

    @cached_property
    def references(self) -> frozenset[tuple[str, ...]]:
        """The paths that it reads, such as ``("event", "user", "plan")``: those, and at most what is below them."""
        return references(self.node)

    def presumed(self, root: str) -> tuple[tuple[tuple[str, ...], int], ...]:
        """The paths below the variable ``root`` that it reads and that must be there for it to have a value, each with
        its offset: none of those that a ``has()`` or a ``?`` of it allows to be absent."""
        found = tuple(selections(self.node, root))
        tested = [path for path, _, is_tested in found if is_tested]
        return tuple((path, at) for path, at, _ in found if not any(path[: len(other)] == other for other in tested))

    def evaluate(self, bindings: Mapping[str, object]) -> object:
        """The value for these variables; a CelError where there is none."""
        return self._run(bindings)

    def predicate(self, name: str) -> Callable[[object], bool]:
        """A condition on the one variable ``name``: whether the value is true. An error is not."""
        from rules.cel.compiler import predicate  # only those who ask for speed pay for loading it

        return predicate(self.node, name)


def compile(text: str) -> Expression:  # noqa: A001  # as in re.compile: it is used with its module's name
    """The expression that a text says; a CelSyntaxError with all that is wrong where it says none.

    Raises TypeError for what is no text.
    """
    if not isinstance(text, str):
        raise TypeError(f"an expression is a str, not {type(text).__name__}")
    return Expression(text, parse(text))
