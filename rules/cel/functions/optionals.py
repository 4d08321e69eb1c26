"""Optionals: values that may be absent, as ``map.?key`` gives them."""

from collections.abc import Mapping

from rules.cel.errors import CelError
from rules.cel.functions.registry import function, method
from rules.cel.values import NONE, Duration, Optional, Timestamp, normal

_EPOCH = Timestamp(0)
_NO_TIME = Duration(0)


def is_zero(value: object) -> bool:
    """Whether a value is what its type begins with: 0, empty, false, null. An optional is not, even without a value."""
    if isinstance(value, Timestamp | Duration):
        return value in {_EPOCH, _NO_TIME}
    return value is None or (isinstance(value, int | float | str | bytes | list | Mapping) and not value)


@function("optional.of")
def _of(value: object) -> Optional:
    """An optional that has a value.

    Example: optional.of(1).hasValue() == true
    """
    return Optional(value)


@function("optional.ofNonZeroValue")
def _of_non_zero_value(value: object) -> Optional:
    """An optional of a value, or none where it is what its type begins with: 0, empty, false, null,
    of times the beginning of 1970.

    Example: optional.ofNonZeroValue(0).hasValue() == false
    """
    return NONE if is_zero(value) else Optional(value)


# Without parameters there are no annotations to count, so the number is said.
@function("optional.none", arity=0)
def _none() -> Optional:
    """An optional that has none.

    Example: optional.none().hasValue() == false
    """
    return NONE


@function("optional.unwrap")
@method("unwrapOpt")
def _unwrap(elements: list[object]) -> list[object]:
    """The values of those optionals of a list that have one.

    Example: optional.unwrap([optional.of(1), optional.none()]) == [1]
    Example: [optional.of(1)].unwrapOpt() == [1]
    """
    optionals = [element for element in elements if isinstance(element, Optional)]
    if len(optionals) != len(elements):
        raise CelError("unwrap() takes a list of optionals")
    return [element.content for element in optionals if element.present]


@method("hasValue")
def _has_value(optional: Optional) -> bool:
    """Whether an optional has a value.

    Example: {}.?a.hasValue() == false
    """
    return optional.present


@method("value")
def _value_of(optional: Optional) -> object:
    """The value of an optional; an error where it has none.

    Example: optional.of(1).value() == 1
    """
    if not optional.present:
        raise CelError("value(): the optional is none: use orValue(default)")
    return normal(optional.content)


# The evaluator computes the argument of these two only where it is needed.


@method("or")
def _or_optional(optional: Optional, other: Optional) -> Optional:
    """The optional, or another one where it has no value.

    Example: optional.none().or(optional.of(2)).value() == 2
    """
    return optional if optional.present else other


@method("orValue")
def _or_value(optional: Optional, default: object) -> object:
    """The value of an optional, or another one where it has none.

    Example: {"a": 1}.?b.orValue(0) == 0
    """
    return normal(optional.content) if optional.present else default
