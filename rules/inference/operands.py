"""What operators make of operands of these types, and what they can never do: as ``rules.cel.operators`` has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from string import ascii_uppercase
from typing import Final

from msgspec.structs import replace

from rules.inference.kinds import (
    BOOL,
    DYNAMIC,
    EXACT,
    NUMBERS,
    Kind,
    Number,
    Scalar,
    Type,
    join,
    joined_scalars,
    list_of,
    of,
)

_SAME: Final[tuple[Kind, ...]] = NUMBERS
_TIMES: Final[Mapping[tuple[Kind, Kind], Kind]] = {
    ("timestamp", "duration"): "timestamp",
    ("duration", "duration"): "duration",
}
_MADE: Final[Mapping[str, Mapping[tuple[Kind, Kind], Kind]]] = {
    "+": {
        **{(kind, kind): kind for kind in (*NUMBERS, "string", "bytes", "list")},
        **_TIMES,
        ("duration", "timestamp"): "timestamp",
    },
    "-": {**{(kind, kind): kind for kind in NUMBERS}, **_TIMES, ("timestamp", "timestamp"): "duration"},
    "*": {(kind, kind): kind for kind in NUMBERS},
    "/": {(kind, kind): kind for kind in NUMBERS},
    "%": {("int", "int"): "int", ("uint", "uint"): "uint"},
}
_MIXED: Final[frozenset[tuple[Kind, Kind]]] = frozenset(
    {("int", "double"), ("double", "int"), ("uint", "double"), ("double", "uint")}
)
_ORDERED: Final[frozenset[Kind]] = frozenset({"bool", "string", "bytes", "timestamp", "duration"})


def arithmetic(symbol: str, left: Type, right: Type, *, promotes: bool) -> Type:
    """The type of ``left symbol right``; ``NEVER`` where it always errs. With ``promotes``, an integer and a double
    meet as doubles."""
    made = _MADE[symbol]
    kinds: set[Kind] = set()
    for pair in _pairs(left, right):
        if pair in made:
            kinds.add(made[pair])
        elif promotes and pair in _MIXED and symbol != "%":
            kinds.add("double")
    if symbol == "%" and right.kinds <= {"int", "uint"} and _only(right, 0):
        return Type({})
    lists = list_of(join(left.element, right.element)) if "list" in kinds else Type({})
    return join(of(*(kind for kind in kinds if kind != "list")), lists)


def _only(known: Type, value: Number) -> bool:
    """Whether a number can be nothing but this."""
    return all(known.scalar(kind).low == value == known.scalar(kind).high for kind in known.kinds)


def _pairs(left: Type, right: Type) -> Iterator[tuple[Kind, Kind]]:
    return ((one, other) for one in left.kinds for other in right.kinds)


def has_order(left: Type, right: Type) -> bool:
    """Whether ``<`` and the like take such operands."""
    return any(
        (one == other and one in _ORDERED) or (one in NUMBERS and other in NUMBERS)
        for one, other in _pairs(left, right)
    )


def never_ordered(symbol: str, left: Type, right: Type) -> bool:
    """Whether ``left symbol right``, of operands that have an order, is never true."""
    if symbol in (">", ">="):
        left, right, symbol = right, left, symbol.replace(">", "<")
    if not all(one in NUMBERS and other in NUMBERS for one, other in _pairs(left, right) if _comparable(one, other)):
        return False
    one, other = bounds(left), bounds(right)
    low, high = one.low, other.high
    # Integers beside doubles are compared as doubles, which lose digits of what is very large.
    if low is None or high is None or max(abs(low), abs(high)) > EXACT:
        return False
    return low > high or (low == high and (symbol == "<" or one.over or other.under))


def _comparable(left: Kind, right: Kind) -> bool:
    return left == right or (left in NUMBERS and right in NUMBERS)


def bounds(known: Type) -> Scalar:
    """What is known of a number, of whichever kind it is."""
    parts = [as_whole(kind, known.scalar(kind)) for kind in NUMBERS if known.may_be(kind)]
    return reduce(joined_scalars, parts) if parts else Scalar()


def as_whole(kind: Kind, part: Scalar) -> Scalar:
    """What is known of a scalar of a kind, ``whole`` for integers, too."""
    return replace(part, whole=True) if kind in ("int", "uint") else part


def never_equal(left: Type, right: Type) -> bool:
    """Whether ``left == right`` is never true."""
    if left.parts is None or right.parts is None:
        return False
    pairs = [pair for pair in _pairs(left, right) if _comparable(*pair)]
    return all(_differ(as_whole(one, left.scalar(one)), as_whole(other, right.scalar(other))) for one, other in pairs)


def _differ(left: Scalar, right: Scalar) -> bool:
    """Whether two scalars, of one kind or both numbers, have no value in common."""
    if left.values is not None and right.values is not None:
        return left.values.isdisjoint(right.values)
    return any(
        _is_below(one, other) or _is_fraction(one, other) or _has_capitals(one, other)
        for one, other in ((left, right), (right, left))
    )


def _is_below(left: Scalar, right: Scalar) -> bool:
    if left.high is None or right.low is None:
        return False
    return left.high < right.low or (left.high == right.low and (left.under or right.over))


def _is_fraction(left: Scalar, right: Scalar) -> bool:
    """Whether one is a whole number, and the other can only be such that are not."""
    values = right.values if left.whole else None
    return values is not None and all(isinstance(value, float) and value % 1 for value in values)


def _has_capitals(left: Scalar, right: Scalar) -> bool:
    """Whether one is a text without capital letters, and the other has some."""
    values = right.values if left.lower else None
    return values is not None and all(isinstance(value, str) and not _CAPITALS.isdisjoint(value) for value in values)


_CAPITALS: Final = frozenset(ascii_uppercase)


def negation(operand: Type) -> Type:
    """The type of ``-operand``; ``NEVER`` where it always errs."""
    return of(*(kind for kind in ("int", "double") if operand.may_be(kind)))


def truth(*operands: Type) -> Type:
    """The type of ``&&`` and ``||``."""
    return BOOL if all(operand.may_be("bool") for operand in operands) else DYNAMIC
