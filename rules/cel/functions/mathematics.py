"""``math.*``: the mathematics extension of CEL."""

import math
from collections.abc import Callable, Sequence
from typing import Final

from rules.cel.errors import CelError
from rules.cel.functions.registry import ANY, Number, function
from rules.cel.values import INT_MIN, UINT_MAX, UInt, a_type, compare, normal

_BITS: Final = 64


def _signed(bits: int) -> int:
    """The int64 of these 64 bits."""
    bits &= UINT_MAX
    return bits - 2**_BITS if bits >> (_BITS - 1) else bits


def _extreme(name: str, symbol: str, promise: str) -> None:
    """Register ``math.greatest`` or ``math.least``, of arguments or of one list."""

    @function(name, arity=ANY)
    def choose(*values: object) -> object:
        return _choose(values[0] if len(values) == 1 and isinstance(values[0], list) else values)

    def _choose(values: Sequence[object]) -> object:
        if not values:
            raise CelError(f"{name}(): the list is empty")
        best: object = None
        for value in map(normal, values):
            if type(value) not in {int, UInt, float}:
                raise CelError(f"{name}() takes numbers, not {a_type(value)}")
            if best is None or compare(symbol, value, best):
                best = value
        return best

    choose.__doc__ = promise


_extreme("math.greatest", ">", "The largest of numbers, or of a list of them.\n\nExample: math.greatest(1, 2.5) == 2.5")
_extreme("math.least", "<", "The smallest of numbers, or of a list of them.\n\nExample: math.least([3, 1]) == 1")


def _rounding(name: str, rounded: Callable[[float], float], promise: str) -> None:
    """Register a function from a double to a whole double."""

    @function(name)
    def whole(value: float) -> float:
        return math.copysign(rounded(value), value) if math.isfinite(value) else value

    whole.__doc__ = promise


_rounding("math.ceil", math.ceil, "The next whole double, upwards.\n\nExample: math.ceil(1.2) == 2.0")
_rounding("math.floor", math.floor, "The next whole double, downwards.\n\nExample: math.floor(-1.2) == -2.0")
_rounding("math.trunc", math.trunc, "The double without what follows the point.\n\nExample: math.trunc(-1.8) == -1.0")


@function("math.round")
def _round_half_away(value: float) -> float:
    """The nearest whole double; of a half, the one that is farther from 0.

    Example: math.round(2.5) == 3.0
    """
    if not math.isfinite(value):
        return value
    # Adding a half first would carry 0.49999999999999994 over to 1.
    below = math.floor(abs(value))
    return math.copysign(below + (abs(value) - below >= 0.5), value)


@function("math.abs")
def _absolute(value: Number) -> object:
    """The number without its sign.

    Example: math.abs(-2) == 2
    """
    if type(value) is int and value == INT_MIN:
        raise CelError("math.abs(): the result is out of range")
    return value if isinstance(value, UInt) else abs(value)


@function("math.sign")
def _sign(value: Number) -> object:
    """-1, 0 or 1, of the number's type.

    Example: math.sign(-2.0) == -1.0
    """
    if value != value:
        return value
    return type(value)((value > 0) - (value < 0))


@function("math.sqrt")
def _square_root(value: Number) -> float:
    """The square root.

    Example: math.sqrt(9) == 3.0
    """
    return math.sqrt(value) if value >= 0 else math.nan


@function("math.isNaN")
def _is_nan(value: float) -> bool:
    """Whether a double is none of all numbers.

    Example: math.isNaN(0.0 / 0.0) == true
    """
    return math.isnan(value)


@function("math.isInf")
def _is_inf(value: float) -> bool:
    """Whether a double is an infinity.

    Example: math.isInf(1.0 / 0.0) == true
    """
    return math.isinf(value)


@function("math.isFinite")
def _is_finite(value: float) -> bool:
    """Whether a double is a number, and no infinity.

    Example: math.isFinite(1.0) == true
    """
    return math.isfinite(value)


def _bitwise(name: str, combine: Callable[[int, int], int], promise: str) -> None:
    """Register a function of the bits of two ints or two uints."""

    @function(name)
    def of_ints(left: int, right: int) -> int:
        return combine(left, right)

    @function(name)
    def of_uints(left: UInt, right: UInt) -> UInt:
        return UInt(combine(left, right))

    of_ints.__doc__ = promise


_bitwise(
    "math.bitAnd",
    lambda left, right: int(left) & int(right),
    "The bits that both numbers have.\n\nExample: math.bitAnd(6, 3) == 2",
)
_bitwise(
    "math.bitOr",
    lambda left, right: int(left) | int(right),
    "The bits that either of two numbers has.\n\nExample: math.bitOr(6, 3) == 7",
)
_bitwise(
    "math.bitXor",
    lambda left, right: int(left) ^ int(right),
    "The bits that one of two numbers has, and the other has not.\n\nExample: math.bitXor(6, 3) == 5",
)


@function("math.bitNot")
def _bit_not(value: int) -> int:
    """Every bit turned.

    Example: math.bitNot(0) == -1
    """
    return ~value


@function("math.bitNot")
def _bit_not_uint(value: UInt) -> UInt:
    """Every bit turned.

    Example: math.bitNot(0) == -1
    """
    return UInt(UINT_MAX - value)


def _shift(value: int | UInt, distance: int, *, left: bool) -> object:
    if distance < 0:
        raise CelError("math: bits are shifted by a distance that is not negative")
    bits = int(value) & UINT_MAX
    moved = 0 if distance >= _BITS else (bits << distance if left else bits >> distance) & UINT_MAX
    return UInt(moved) if isinstance(value, UInt) else _signed(moved)


@function("math.bitShiftLeft")
def _bit_shift_left(value: int | UInt, distance: int) -> object:
    """The bits moved to the left, so far.

    Example: math.bitShiftLeft(1, 3) == 8
    """
    return _shift(value, distance, left=True)


@function("math.bitShiftRight")
def _bit_shift_right(value: int | UInt, distance: int) -> object:
    """The bits moved to the right, so far; zeros follow.

    Example: math.bitShiftRight(8, 3) == 1
    """
    return _shift(value, distance, left=False)
