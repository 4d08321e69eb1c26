"""What generated code calls where it meets something other than the plain case. All of it is exact, or raises.

A value that is missing is ``MISSING``. Whatever the generated code does not decide by itself ends in an exception,
``Surprise`` or any other; whoever runs it then evaluates exactly.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from rules.cel.errors import CelMissing
from rules.cel.operators import contains
from rules.cel.values import Optional, compare, equal, normal

_BY_ITSELF: Final = frozenset({str, float, bytes})
_ORDERINGS: Final[Mapping[str, Callable[[Any, Any], object]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Missing:
    """The class of ``MISSING``. Tests that are written without asking for it first find that it is not so, and a field
    of it is missing too."""

    __slots__ = ()

    def get(self, _name: str, _default: object) -> Missing:
        """What is missing has only missing fields."""
        return self

    def startswith(self, _prefix: str) -> bool:
        """Whatever it is asked for, it is not so."""
        return False

    endswith = startswith

    def _never(self, _other: object) -> bool:
        return False

    __lt__ = __le__ = __gt__ = __ge__ = _never


MISSING: Final = Missing()


class Surprise(Exception):
    """The fast path does not decide this; the exact evaluator does."""


def surprise() -> bool:
    """Leave it to the exact evaluator, from inside an expression."""
    raise Surprise


def has_none(value: object) -> bool:
    """``has()`` of something that is not a ``dict``: not so, unless it is a rarer value with fields."""
    if isinstance(value, Mapping | Optional):
        raise Surprise
    return False


def not_that(value: object) -> bool:
    """A test that takes one type has met another: false when the value is missing, else an error to be had exactly."""
    if value is MISSING:
        return False
    raise Surprise


def element(value: object, place: int) -> object:
    """``value[place]``, or ``MISSING``."""
    if value is MISSING:
        return MISSING
    if type(value) is list:
        return value[place] if place < len(value) else MISSING
    raise Surprise


def exact(run: Callable[[Mapping[str, object]], object], bindings: Mapping[str, object]) -> object:
    """The exact value, or ``MISSING``."""
    try:
        return run(bindings)
    except CelMissing:
        return MISSING


def ordered(symbol: str, left: object, right: object) -> bool:
    """``left symbol right``, of which neither is missing."""
    kind = type(left)
    if kind is type(right) and kind in _BY_ITSELF:
        return bool(_ORDERINGS[symbol](left, right))
    return compare(symbol, left, right)


def call(function: Callable[..., object], *values: object) -> object:
    """What a function makes of values of which any may be missing; then its value is missing too."""
    for value in values:
        if value is MISSING:
            return MISSING
    return function(*map(normal, values))


RUNTIME: Final[Mapping[str, object]] = {
    "M": MISSING,
    "Surprise": Surprise,
    "surprise": surprise,
    "has_none": has_none,
    "not_that": not_that,
    "element": element,
    "exact": exact,
    "ordered": ordered,
    "call": call,
    "normal": normal,
    "equal": equal,
    "contains": contains,
}
"""What generated code finds under fixed names."""
