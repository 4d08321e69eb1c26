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


def _extreme(name: str, symbol: str) -> None:
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


_extreme("math.greatest", ">")
_extreme("math.least", "<")


def _rounding(name: str, rounded: Callable[[float], float]) -> None:
    """Register a function from a double to a whole double."""

    @function(name)
    def whole(value: float) -> float:
        return math.copysign(rounded(value), value) if math.isfinite(value) else value


_rounding("math.ceil", math.ceil)
_rounding("math.floor", math.floor)
_rounding("math.trunc", math.trunc)


@function("math.round")
def _round_half_away(value: float) -> float:
    if not math.isfinite(value):
        return value
    # Adding a half first would carry 0.49999999999999994 over to 1.
    below = math.floor(abs(value))
    return math.copysign(below + (abs(value) - below >= 0.5), value)


@function("math.abs")
def _absolute(value: Number) -> object:
    if type(value) is int and value == INT_MIN:
        raise CelError("math.abs(): the result is out of range")
    return value if isinstance(value, UInt) else abs(value)


@function("math.sign")
def _sign(value: Number) -> object:
    if value != value:
        return value
    return type(value)((value > 0) - (value < 0))


@function("math.sqrt")
def _square_root(value: Number) -> float:
    return math.sqrt(value) if value >= 0 else math.nan


@function("math.isNaN")
def _is_nan(value: float) -> bool:
    return math.isnan(value)


@function("math.isInf")
def _is_inf(value: float) -> bool:
    return math.isinf(value)


@function("math.isFinite")
def _is_finite(value: float) -> bool:
    return math.isfinite(value)


def _bitwise(name: str, combine: Callable[[int, int], int]) -> None:
    """Register a function of the bits of two ints or two uints."""

    @function(name)
    def of_ints(left: int, right: int) -> int:
        return combine(left, right)

    @function(name)
    def of_uints(left: UInt, right: UInt) -> UInt:
        return UInt(combine(left, right))


_bitwise("math.bitAnd", lambda left, right: int(left) & int(right))
_bitwise("math.bitOr", lambda left, right: int(left) | int(right))
_bitwise("math.bitXor", lambda left, right: int(left) ^ int(right))


@function("math.bitNot")
def _bit_not(value: int) -> int:
    return ~value


@function("math.bitNot")
def _bit_not_uint(value: UInt) -> UInt:
    return UInt(UINT_MAX - value)


def _shift(value: int | UInt, distance: int, *, left: bool) -> object:
    if distance < 0:
        raise CelError("math: bits are shifted by a distance that is not negative")
    bits = int(value) & UINT_MAX
    moved = 0 if distance >= _BITS else (bits << distance if left else bits >> distance) & UINT_MAX
    return UInt(moved) if isinstance(value, UInt) else _signed(moved)


@function("math.bitShiftLeft")
def _bit_shift_left(value: int | UInt, distance: int) -> object:
    return _shift(value, distance, left=True)


@function("math.bitShiftRight")
def _bit_shift_right(value: int | UInt, distance: int) -> object:
    return _shift(value, distance, left=False)
