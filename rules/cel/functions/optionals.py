"""Optionals: values that may be absent, as ``map.?key`` gives them."""

from collections.abc import Mapping

from rules.cel.errors import CelError
from rules.cel.functions.registry import function, method
from rules.cel.values import NONE, Duration, Optional, Timestamp, normal

_EPOCH = Timestamp(0)
_NO_TIME = Duration(0)


def is_zero(value: object) -> bool:
    """Whether a value is what its type begins with: 0, empty, false, null, none."""
    if isinstance(value, Optional):
        return not value.present
    if isinstance(value, Timestamp | Duration):
        return value in {_EPOCH, _NO_TIME}
    return value is None or (isinstance(value, int | float | str | bytes | list | Mapping) and not value)


@function("optional.of")
def _of(value: object) -> Optional:
    return Optional(value)


@function("optional.ofNonZeroValue")
def _of_non_zero_value(value: object) -> Optional:
    return NONE if is_zero(value) else Optional(value)


# Without parameters there are no annotations to count, so the number is said.
@function("optional.none", arity=0)
def _none() -> Optional:
    return NONE


@function("optional.unwrap")
@method("unwrapOpt")
def _unwrap(elements: list[object]) -> list[object]:
    optionals = [element for element in elements if isinstance(element, Optional)]
    if len(optionals) != len(elements):
        raise CelError("unwrap() takes a list of optionals")
    return [element.content for element in optionals if element.present]


@method("hasValue")
def _has_value(optional: Optional) -> bool:
    return optional.present


@method("value")
def _value_of(optional: Optional) -> object:
    if not optional.present:
        raise CelError("value(): the optional is none: use orValue(default)")
    return normal(optional.content)


# The evaluator computes the argument of these two only where it is needed.


@method("or")
def _or_optional(optional: Optional, other: Optional) -> Optional:
    return optional if optional.present else other


@method("orValue")
def _or_value(optional: Optional, default: object) -> object:
    return normal(optional.content) if optional.present else default
