"""The values of CEL, and what holds for all of them: their types, equality and order.

A CEL value is a Python value: ``None``, ``bool``, ``int``, ``UInt``, ``float``, ``str``, ``bytes``, ``list``, a map,
``Timestamp``, ``Duration``, ``Type``, ``Optional``, or an ``Opaque``. A map is a ``dict`` when all of its keys are
strings, which makes decoded JSON a value as it is, and a ``CelMap`` otherwise; any other ``Mapping`` is read as a map.

**Whole numbers from outside.** JSON does not say how large an integer may be. One within int64 is an ``int``; a larger
one within uint64 is a ``uint``; beyond that it is a ``double``. ``normal`` says so, and is applied wherever a value is
taken from a binding, a field, an element or a key. A value that is passed on unread keeps all of its digits.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Self

from msgspec import Struct

from rules.cel.errors import CelError
from rules.cel.temporal import Duration, Timestamp

__all__ = [
    "ABSENT",
    "INT_MAX",
    "INT_MIN",
    "NONE",
    "TYPES",
    "UINT_MAX",
    "CelMap",
    "Duration",
    "Opaque",
    "Optional",
    "Timestamp",
    "Type",
    "UInt",
    "a_type",
    "compare",
    "equal",
    "freeze",
    "in_order",
    "lookup",
    "make_map",
    "normal",
    "type_name",
    "type_of",
]

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1


class UInt(int):
    """An unsigned 64-bit integer. Arithmetic on it gives plain integers; the evaluator puts the type back on.

    Raises TypeError for what is no integer, CelError for one that does not fit.
    """

    __slots__ = ()

    def __new__(cls, value: int) -> Self:
        """The integer as an unsigned one."""
        if not isinstance(value, int):
            raise TypeError(f"an unsigned integer is made of an int, not of {type(value).__name__}")
        if not 0 <= value <= UINT_MAX:
            raise CelError("the unsigned integer is out of range: 0 to 2**64 - 1")
        return int.__new__(cls, value)

    def __repr__(self) -> str:
        return f"{int(self)}u"

    def __str__(self) -> str:
        return int.__repr__(self)


class Type(Struct, frozen=True):
    """The type of a value, which is a value too. ``str()`` gives its name."""

    name: str

    def __str__(self) -> str:
        return self.name


class Optional(Struct, frozen=True, eq=False):
    """A value that may be absent: ``present`` says whether ``content`` counts."""

    content: object
    present: bool = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Optional) and equal(self, other)

    def __hash__(self) -> int:
        return hash(freeze(self))


NONE: Final = Optional(None, present=False)


class Opaque:
    """A value that only its own functions look into, such as an IP address. Subclasses compare by ``==``."""

    __slots__ = ()

    cel_type: ClassVar[Type]


class _Absent:
    """What a look-up returns when there is nothing, since null is something."""

    __slots__ = ()


ABSENT: Final = _Absent()


class CelMap(Mapping[object, object]):
    """A map of which some keys are no strings: ``1`` and ``true`` are two keys, ``1`` and ``1u`` are one."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Iterable[tuple[object, object]] = ()) -> None:
        self._entries: dict[object, tuple[object, object]] = {}
        for key, value in entries:
            slot = _slot(key)
            if slot in self._entries:
                raise CelError(f"the key {_key_text(key)} stands twice in a map")
            self._entries[slot] = (key, value)

    def find(self, key: object) -> object:
        """The value of a key, or ``ABSENT``; a whole double finds the integer that it equals."""
        if type(key) is float:
            if not key.is_integer():
                return ABSENT
            key = int(key)
        entry = self._entries.get(_slot(key))
        return ABSENT if entry is None else entry[1]

    def __getitem__(self, key: object) -> object:
        value = self.find(key)
        if value is ABSENT:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[object]:
        return (key for key, _ in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and equal(self, other)

    def __hash__(self) -> int:
        return hash(freeze(self))

    def __repr__(self) -> str:
        return f"CelMap({list(self.items())!r})"


def _slot(key: object) -> object:
    """What a key is filed under, so that Python's ``1 == True`` does not make one key of two."""
    kind = type(key)
    if kind is str or kind is int or kind is UInt:
        return key
    if kind is bool:
        return (key,)
    raise CelError(f"a map's key is a string, an int, a uint or a bool, not {a_type(key)}")


def _key_text(key: object) -> str:
    return repr(key).lower() if isinstance(key, bool) else repr(key)


def make_map(entries: Iterable[tuple[object, object]]) -> dict[str, object] | CelMap:
    """A map of entries; an error where a key stands twice or cannot be one."""
    made: dict[str, object] = {}
    pairs = list(entries)
    for key, value in pairs:
        if type(key) is not str:
            return CelMap(pairs)
        if key in made:
            raise CelError(f"the key {key!r} stands twice in a map")
        made[key] = value
    return made


def lookup(container: Mapping[object, object], key: object) -> object:
    """The value of a key in a map of any kind, or ``ABSENT``."""
    if isinstance(container, CelMap):
        return container.find(key)
    if type(key) is str:
        return normal(container.get(key, ABSENT))
    if type(key) is not float:
        _slot(key)
    for own in container:  # keys that are no strings come from formats other than JSON, and maps of them are small
        if type(own) is not str and equal(own, key):
            return normal(container[own])
    return ABSENT


def normal(value: object) -> object:
    """A value from outside as CEL sees it: integers find their type by their size."""
    if type(value) is not int or INT_MIN <= value <= INT_MAX:
        return value
    if 0 < value <= UINT_MAX:
        return int.__new__(UInt, value)
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


TYPES: Final[Mapping[str, Type]] = {
    name: Type(name)
    for name in (
        "null_type",
        "bool",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "list",
        "map",
        "type",
        "google.protobuf.Timestamp",
        "google.protobuf.Duration",
        "optional_type",
        "net.IP",
        "net.CIDR",
    )
}

_BY_CLASS: Final[dict[type, Type]] = {
    type(None): TYPES["null_type"],
    bool: TYPES["bool"],
    int: TYPES["int"],
    UInt: TYPES["uint"],
    float: TYPES["double"],
    str: TYPES["string"],
    bytes: TYPES["bytes"],
    list: TYPES["list"],
    dict: TYPES["map"],
    CelMap: TYPES["map"],
    Type: TYPES["type"],
    Timestamp: TYPES["google.protobuf.Timestamp"],
    Duration: TYPES["google.protobuf.Duration"],
    Optional: TYPES["optional_type"],
}


def type_of(value: object) -> Type:
    """The CEL type of a value; an error for a Python value that is none."""
    found = _BY_CLASS.get(type(value))
    if found is not None:
        return found
    if isinstance(value, Opaque):
        return value.cel_type
    if isinstance(value, Mapping):
        return TYPES["map"]
    raise CelError(f"a Python {type(value).__name__} is not a CEL value")


def type_name(value: object) -> str:
    """The name of a value's type, for messages."""
    found = _BY_CLASS.get(type(value))
    name = type(value).__name__ if found is None else found.name
    return {"google.protobuf.Timestamp": "timestamp", "google.protobuf.Duration": "duration", "null_type": "null"}.get(
        name, name
    )


def a_type(value: object) -> str:
    """The name of a value's type with its article, for messages."""
    name = type_name(value)
    return name if name == "null" else f"{'an' if name[0] in 'aio' else 'a'} {name}"


_NUMBERS: Final = frozenset({int, UInt, float})
# Where both sides have one of these classes, Python's own == is CEL's.
_NATIVE: Final = frozenset({str, bool, bytes, float, UInt, type(None), Timestamp, Duration, Type})


def equal(left: object, right: object) -> bool:
    """CEL's ``==``: false for different types, except that numbers compare by what they are worth."""
    kind, other = type(left), type(right)
    if kind is other and kind in _NATIVE:
        return left == right
    if kind in _NUMBERS:
        return other in _NUMBERS and normal(left) == normal(right)
    if kind is list:
        return isinstance(left, list) and other is list and isinstance(right, list) and _equal_lists(left, right)
    if isinstance(left, Mapping):
        return isinstance(right, Mapping) and _equal_maps(left, right)
    if isinstance(left, Optional):
        if not isinstance(right, Optional) or left.present != right.present:
            return False
        return not left.present or equal(left.content, right.content)
    return kind is other and isinstance(left, Opaque) and left == right


def _equal_lists(left: list[object], right: list[object]) -> bool:
    return len(left) == len(right) and all(map(equal, left, right))


def _equal_maps(left: Mapping[object, object], right: Mapping[object, object]) -> bool:
    if len(left) != len(right):
        return False
    for key in left:
        found = lookup(right, normal(key))
        if found is ABSENT or not equal(left[key], found):
            return False
    return True


_ORDERED: Final = frozenset({bool, str, bytes, Timestamp, Duration})
_ORDER: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compare(symbol: str, left: object, right: object) -> bool:
    """CEL's ``< <= > >=``: an error where the two types have no order between them."""
    kind, other = type(left), type(right)
    if kind in _NUMBERS and other in _NUMBERS:
        left, right = normal(left), normal(right)
        # The specification orders an integer and a double as doubles, also where that loses digits.
        if type(left) is float or type(right) is float:
            left, right = float(left), float(right)  # type: ignore[arg-type]  # both are numbers
        return bool(_ORDER[symbol](left, right))
    if kind is other and kind in _ORDERED:
        return bool(_ORDER[symbol](left, right))
    raise CelError(f"{symbol} does not compare {type_name(left)} with {type_name(right)}")


def in_order(method: str, values: Sequence[object]) -> list[int]:
    """The places of values in their order, equal ones as they stand. All are of one type, or ints and doubles, which
    JSON does not tell apart. Raises CelError, which names the method."""
    if any(type(value) is UInt for value in values) and not all(type(value) is UInt for value in values):
        other = next(value for value in values if type(value) is not UInt)
        raise CelError(f"{method}() takes values of one type, not uint and {type_name(other)}")
    if len(values) == 1:
        compare("<", values[0], values[0])

    def order(left: int, right: int) -> int:
        return compare(">", values[left], values[right]) - compare("<", values[left], values[right])

    return sorted(range(len(values)), key=functools.cmp_to_key(order))


def freeze(value: object) -> object:
    """Something hashable that is equal for equal values, and for no others: for sets and ``distinct``."""
    if isinstance(value, bool):
        return (bool, value)
    if isinstance(value, float) and math.isnan(value):
        return object()  # equal to nothing, while a set takes one NaN for itself
    if isinstance(value, list):
        return (list, tuple(map(freeze, value)))
    if isinstance(value, Mapping):
        return (dict, frozenset((freeze(normal(key)), freeze(value[key])) for key in value))
    if isinstance(value, Optional):
        return (Optional, value.present, freeze(value.content))
    return normal(value)
