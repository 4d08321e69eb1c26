"""An evaluation that may not cost more than it was given, for expressions of somebody who is not the author of the
rules: it stops after so many steps, and when what it makes grows beyond measure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rules.cel import nodes
from rules.cel.errors import CelError
from rules.cel.evaluator import Run, evaluator
from rules.cel.nodes import Node
from rules.cel.values import Optional

MAX_WEIGHT: Final = 1 << 18
"""So many elements, fields, and tens of characters may a value hold that an expression makes."""
MAX_MADE: Final = 1 << 20
"""So many in all."""
_MAKING: Final = (nodes.Binary, nodes.Call, nodes.ListNode, nodes.MapNode, nodes.Macro)
_CHARACTERS: Final = 10


class _Budget:
    """What is left of one evaluation's means. It holds what it has weighed, so that a value that holds another one a
    thousand times is as heavy as it would be written."""

    __slots__ = ("_known", "_left", "_made", "_steps")

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._left = steps
        self._made = 0
        self._known: dict[int, tuple[object, int]] = {}

    def begin(self) -> None:
        """All is there again."""
        self._left = self._steps
        self._made = 0
        self._known.clear()

    def around(self, node: Node, run: Run) -> Run:
        """The closure of a node, which pays for each evaluation."""
        makes = isinstance(node, _MAKING)

        def paid(bindings: Mapping[str, object]) -> object:
            self._left -= 1
            if self._left < 0:
                raise CelError(f"it takes more than {self._steps:,} steps")
            value = run(bindings)
            if makes and isinstance(value, str | bytes | list | Mapping | Optional):
                self._pay(value)
            return value

        return paid

    def _pay(self, value: object) -> None:
        weight = self._weight(value)
        self._made += weight
        if weight > MAX_WEIGHT or self._made > MAX_MADE:
            raise CelError("what it makes is too large")

    def _weight(self, value: object) -> int:
        if isinstance(value, str | bytes):
            return 1 + len(value) // _CHARACTERS
        if isinstance(value, Optional):
            return 1 + (self._weight(value.content) if value.present else 0)
        if not isinstance(value, list | Mapping):
            return 1
        known = self._known.get(id(value))
        if known is None:
            inner = value if isinstance(value, list) else (part for pair in value.items() for part in pair)
            known = self._known[id(value)] = (value, 1 + sum(map(self._weight, inner)))
        return known[1]


def bounded(node: Node, steps: int) -> Run:
    """A function from bindings to an expression's value, which takes so many steps at most: each evaluation of a part
    of it is one. What it makes may have ``MAX_WEIGHT``. It raises nothing but CelError, and is not for two threads at
    a time.
    """
    budget = _Budget(steps)
    run = evaluator(node, budget.around)

    def evaluate(bindings: Mapping[str, object]) -> object:
        budget.begin()
        try:
            return run(bindings)
        finally:
            budget.begin()

    return evaluate
