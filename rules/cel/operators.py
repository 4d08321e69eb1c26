"""Arithmetic as CEL has it: 64 bits that overflow into errors, types that do not mix, division that cuts."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from rules.cel.errors import CelError
from rules.cel.values import (
    ABSENT,
    INT_MAX,
    INT_MIN,
    UINT_MAX,
    Duration,
    Timestamp,
    UInt,
    a_type,
    equal,
    lookup,
    type_name,
)

# The longest text, bytes or list that an expression may make, so that no record makes it eat the machine's memory.
MAX_SIZE: Final = 64 * 1024 * 1024

Operation = Callable[[object, object], object]
_Rules = dict[tuple[type, type], Callable[[Any, Any], object]]  # the key says of which classes the arguments are


def _int(value: int) -> int:
    if INT_MIN <= value <= INT_MAX:
        return value
    raise CelError(f"integer overflow: {value} does not fit 64 bits")


def _uint(value: int) -> UInt:
    if 0 <= value <= UINT_MAX:
        return int.__new__(UInt, value)  # which has just been checked
    raise CelError(f"unsigned integer overflow: {value} does not fit")


def _concatenate(left: Any, right: Any) -> object:  # two texts, two bytes or two lists
    if len(left) + len(right) > MAX_SIZE:
        raise CelError(f"+ would make something longer than {MAX_SIZE:,}")
    return left + right


def _quotient(left: int, right: int) -> int:
    if not right:
        raise CelError("division by zero")
    cut = abs(left) // abs(right)
    return cut if (left < 0) == (right < 0) else -cut


def _rest(left: int, right: int) -> int:
    """The rest of a division that cuts towards zero: it has the sign of what is divided."""
    if not right:
        raise CelError("modulus by zero")
    if left == INT_MIN and right == -1:
        raise CelError("integer overflow: the quotient of this rest does not fit 64 bits")
    rest = abs(left) % abs(right)
    return rest if left >= 0 else -rest


def _divide_doubles(left: float, right: float) -> float:
    if right:
        return left / right
    if not left or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, math.copysign(1, left) * math.copysign(1, right))


def _moment(operate: Callable[[int, int], int]) -> Callable[[Any, Any], Timestamp]:
    return lambda left, right: Timestamp.from_nanos(operate(left.total_nanos, right.total_nanos))


def _span(operate: Callable[[int, int], int]) -> Callable[[Any, Any], Duration]:
    return lambda left, right: Duration.from_nanos(operate(left.total_nanos, right.total_nanos))


def _integers(operate: Callable[[int, int], int]) -> _Rules:
    return {
        (int, int): lambda left, right: _int(operate(left, right)),
        (UInt, UInt): lambda left, right: _uint(operate(int(left), int(right))),
    }


_RULES: Final[Mapping[str, _Rules]] = {
    "+": {
        **_integers(operator.add),
        (float, float): operator.add,
        (str, str): _concatenate,
        (bytes, bytes): _concatenate,
        (list, list): _concatenate,
        (Timestamp, Duration): _moment(operator.add),
        (Duration, Timestamp): _moment(operator.add),
        (Duration, Duration): _span(operator.add),
    },
    "-": {
        **_integers(operator.sub),
        (float, float): operator.sub,
        (Timestamp, Duration): _moment(operator.sub),
        (Timestamp, Timestamp): _span(operator.sub),
        (Duration, Duration): _span(operator.sub),
    },
    "*": {**_integers(operator.mul), (float, float): operator.mul},
    "/": {**_integers(_quotient), (float, float): _divide_doubles},
    "%": _integers(_rest),
}


def _promoting(rules: _Rules) -> _Rules:
    """The rules, and those by which an integer and a double meet as doubles."""
    doubles = rules.get((float, float))
    if doubles is None:
        return rules

    def promoted(left: float, right: float) -> object:
        return doubles(float(left), float(right))

    mixed = ((int, float), (float, int), (UInt, float), (float, UInt))
    return rules | dict.fromkeys(mixed, promoted)


def _operation(symbol: str, rules: _Rules) -> Operation:
    def operate(left: object, right: object) -> object:
        rule = rules.get((type(left), type(right)))
        if rule is None:
            raise _no_rule(symbol, left, right)
        return rule(left, right)

    return operate


def _no_rule(symbol: str, left: object, right: object) -> CelError:
    kinds = {type(left), type(right)}
    hint = ""
    if len(kinds) > 1 and kinds <= {int, UInt, float}:
        hint = ": convert one of them, as in double(x) or int(x)"
    elif len(kinds) > 1 and str in kinds:
        hint = ": convert the other, as in string(x)"
    return CelError(f"there is no {type_name(left)} {symbol} {type_name(right)}{hint}")


# CEL's own operators, and those for operands from the record, whose numbers are of whatever type their JSON had.
STRICT: Final[Mapping[str, Operation]] = {symbol: _operation(symbol, rules) for symbol, rules in _RULES.items()}
PROMOTING: Final[Mapping[str, Operation]] = {
    symbol: _operation(symbol, _promoting(rules)) for symbol, rules in _RULES.items()
}


def negate(value: object) -> object:
    """``-value``."""
    if type(value) is int:
        return _int(-value)
    if type(value) is float:
        return -value
    raise CelError(f"there is no - for {a_type(value)}")


def contains(element: object, container: object) -> bool:
    """``element in container``: an element of a list, or a key of a map."""
    if isinstance(container, list):
        return any(equal(element, own) for own in container)
    if isinstance(container, Mapping):
        return lookup(container, element) is not ABSENT
    hint = ": write text.contains('part')" if isinstance(container, str) else ""
    raise CelError(f"'in' looks into a list or a map, not into {a_type(container)}{hint}")
