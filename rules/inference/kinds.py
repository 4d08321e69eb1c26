"""The types that expressions are checked with: for each kind of value that something may be, what is known of it.

A type says what a value may be, never less: whatever is not known is dynamic. So what cannot be by its type cannot be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Final, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from rules.cel.values import INT_MAX, INT_MIN, UINT_MAX, Duration, Optional, Timestamp, UInt

Number = int | float
Kind = Literal[
    "null", "bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration", "type",
    "net.IP", "net.CIDR", "list", "map", "optional",
]  # fmt: skip

NUMBERS: Final[tuple[Kind, ...]] = ("int", "uint", "double")


class Scalar(Struct, frozen=True):
    """A value without parts. ``values`` are the only ones that it can be, ``low`` and ``high`` what a number, or the
    length of a text, is at least and at most, as far as that is known; ``over`` and ``under``: but not exactly that.
    ``whole``: a double that is a whole number all the same; ``lower``: a text without capital letters."""

    values: frozenset[object] | None = None
    low: Number | None = None
    high: Number | None = None
    over: bool = False
    under: bool = False
    whole: bool = False
    lower: bool = False


class ListOf(Struct, frozen=True):
    """A list, and what its elements are: each of them, and the first ones one by one."""

    element: Type
    first: tuple[Type, ...] = ()

    def at(self, index: int) -> Type:
        """What the element at an index is, if there is one."""
        return self.first[index] if index < len(self.first) else self.element


class MapOf(Struct, frozen=True):
    """A map: the fields that are known, each of which may be missing unless it is ``required``, and what others are;
    None: there are none."""

    fields: Mapping[str, Type]
    rest: Type | None
    keys: Type
    required: frozenset[str] = frozenset()

    def field(self, name: str) -> Type:
        """What a field is; ``NEVER`` where there is none."""
        return self.fields.get(name, NEVER if self.rest is None else self.rest)


class OptionalOf(Struct, frozen=True):
    """An optional, and what is in it."""

    content: Type


Part = Scalar | ListOf | MapOf | OptionalOf


class Type(Struct, frozen=True):
    """What a value may be: by kind, what is known of it. ``parts`` is None for a dynamic type, of which nothing is."""

    parts: Mapping[Kind, Part] | None = field(default_factory=dict)

    @property
    def is_dynamic(self) -> bool:
        """Whether nothing is known."""
        return self.parts is None

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of value that it may be."""
        return KINDS if self.parts is None else frozenset(self.parts)

    def may_be(self, kind: Kind) -> bool:
        """Whether it may be of a kind."""
        return self.parts is None or kind in self.parts

    def scalar(self, kind: Kind) -> Scalar:
        """What is known of it as a scalar of this kind, which it may be."""
        part = None if self.parts is None else self.parts.get(kind)
        return part if isinstance(part, Scalar) else _PLAIN

    @property
    def list(self) -> ListOf:
        """What is known of it as a list."""
        part = None if self.parts is None else self.parts.get("list")
        return part if isinstance(part, ListOf) else ListOf(DYNAMIC)

    @property
    def element(self) -> Type:
        """What its elements are, if it is a list."""
        return self.list.element

    @property
    def map(self) -> MapOf:
        """What is known of it as a map."""
        part = None if self.parts is None else self.parts.get("map")
        return part if isinstance(part, MapOf) else MapOf({}, DYNAMIC, DYNAMIC)

    @property
    def content(self) -> Type:
        """What is in it, if it is an optional."""
        part = None if self.parts is None else self.parts.get("optional")
        return part.content if isinstance(part, OptionalOf) else DYNAMIC


KINDS: Final[frozenset[Kind]] = frozenset(
    (
        *("null", "bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration", "type"),
        *("net.IP", "net.CIDR", "list", "map", "optional"),
    )
)
_PLAIN: Final = Scalar()
DYNAMIC: Final = Type(None)
NEVER: Final = Type({})


def of(*kinds: Kind) -> Type:
    """Scalars of these kinds, of which no more is known."""
    return Type(dict.fromkeys(kinds, _PLAIN))


BOOL: Final = of("bool")
STRING: Final = of("string")


def list_of(element: Type) -> Type:
    """A list."""
    return Type({"list": ListOf(element)})


def map_of(fields: Mapping[str, Type], rest: Type | None = None, keys: Type = STRING) -> Type:
    """A map; closed where ``rest`` is None."""
    return Type({"map": MapOf(fields, rest, keys)})


def optional_of(content: Type) -> Type:
    """An optional."""
    return Type({"optional": OptionalOf(content)})


def some(known: Type) -> Type:
    """The type; dynamic in place of ``NEVER``, which what cannot fail is not."""
    return DYNAMIC if known == NEVER else known


# What JSON can hold. An integer is a uint, to CEL, where it is too large for an int.
_JSON_NUMBERS: Final[Mapping[Kind, Part]] = {"int": _PLAIN, "uint": Scalar(low=INT_MAX + 1), "double": _PLAIN}
JSON: Final = Type(
    {
        "null": _PLAIN,
        "bool": _PLAIN,
        "string": _PLAIN,
        **_JSON_NUMBERS,
        "list": ListOf(DYNAMIC),
        "map": MapOf({}, DYNAMIC, STRING),
    }
)
NUMBER: Final = Type(_JSON_NUMBERS)
WHOLE: Final = Type({kind: replace(NUMBER.scalar(kind), whole=True) for kind in NUMBERS})


def join(*types: Type) -> Type:
    """What is one of several."""
    return reduce(_join, types, NEVER)


def _join(left: Type, right: Type) -> Type:
    if left.parts is None or right.parts is None:
        return DYNAMIC
    parts = {**left.parts, **right.parts}
    for kind in left.parts.keys() & right.parts.keys():
        parts[kind] = _joined(left.parts[kind], right.parts[kind])
    return Type(parts)


def _joined(left: Part, right: Part) -> Part:
    match left, right:
        case Scalar(), Scalar():
            return joined_scalars(left, right)
        case ListOf(), ListOf():
            return ListOf(join(left.element, right.element), pairwise(join, left, right))
        case MapOf(), MapOf():
            return _joined_maps(left, right)
        case OptionalOf(), OptionalOf():
            return OptionalOf(join(left.content, right.content))
    return left


def joined_scalars(left: Scalar, right: Scalar) -> Scalar:
    """What is known of a scalar that is one of two, of one kind or both numbers."""
    values = None if left.values is None or right.values is None else left.values | right.values
    low = None if left.low is None or right.low is None else min((left.low, left.over), (right.low, right.over))
    high = None
    if left.high is not None and right.high is not None:
        high = max((left.high, not left.under), (right.high, not right.under))
    return bounded(values, low, high, whole=left.whole and right.whole, lower=left.lower and right.lower)


Bound = tuple[Number, bool]


def bounded(
    values: frozenset[object] | None, low: Bound | None, high: Bound | None, *, whole: bool, lower: bool
) -> Scalar:
    """A scalar above and below bounds: each a number, with whether that is left out of what is above it, or within what
    is below it, so that a tighter bound is a larger and a smaller tuple."""
    return Scalar(
        values=values,
        low=None if low is None else low[0],
        high=None if high is None else high[0],
        over=low is not None and low[1],
        under=high is not None and not high[1],
        whole=whole,
        lower=lower,
    )


def pairwise(combine: Callable[[Type, Type], Type], left: ListOf, right: ListOf) -> tuple[Type, ...]:
    """The first elements of two lists, each with the other's."""
    return tuple(combine(left.at(at), right.at(at)) for at in range(max(len(left.first), len(right.first))))


def _joined_maps(left: MapOf, right: MapOf) -> MapOf:
    fields = {name: join(left.field(name), right.field(name)) for name in {**left.fields, **right.fields}}
    rests = [rest for rest in (left.rest, right.rest) if rest is not None]
    both = left.required & right.required
    return MapOf(fields, join(*rests) if rests else None, join(left.keys, right.keys), both)


EXACT: Final = 2**53
"""Up to here an integer and a double are compared by what they are worth."""


def is_within(value: object, part: Scalar) -> bool:
    """Whether a number, or the length of a text, is within the bounds; so is every other value."""
    if isinstance(value, str):
        value = len(value)
    if not isinstance(value, int | float):
        return True
    low, high = part.low, part.high
    is_above = low is None or value > low or (value == low and not part.over)
    return is_above and (high is None or value < high or (value == high and not part.under))


def loosened(known: Type) -> Type:
    """A type of which nothing is certain, but which names are likely: what a value may be that need not keep to it."""
    if known.parts is None or "map" not in known.parts:
        return DYNAMIC
    fields = {name: loosened(kind) for name, kind in known.map.fields.items()}
    kinds = dict.fromkeys(KINDS - {"optional"}, _PLAIN)
    return Type({**kinds, "list": ListOf(DYNAMIC), "map": MapOf(fields, DYNAMIC, DYNAMIC)})


def of_value(value: object) -> Type:
    """The type that only this value has, as far as that can be said; of large lists and maps less."""
    kind = CLASSES.get(type(value))
    if type(value) is int and not INT_MIN <= value <= UINT_MAX:
        return of("double")  # as what it is compared; which one, depends on its last digits
    if kind is not None:
        return Type({kind: _known(value)})
    if type(value) is list:
        return list_of(join(*map(of_value, value)) if 0 < len(value) <= _MANY else DYNAMIC)
    if type(value) is dict and len(value) <= _MANY and all(type(name) is str for name in value):
        return map_of({name: of_value(content) for name, content in value.items()})
    if isinstance(value, Optional):
        return optional_of(of_value(value.content) if value.present else DYNAMIC)
    return DYNAMIC


_MANY: Final = 1000
CLASSES: Final[Mapping[type, Kind]] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    UInt: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    Timestamp: "timestamp",
    Duration: "duration",
}
"""The kinds of values that hold no others."""


def _known(value: object) -> Scalar:
    if isinstance(value, int | float) and not isinstance(value, bool):
        plain = int(value) if isinstance(value, int) else value
        return _PLAIN if math.isnan(plain) else Scalar(frozenset({plain}), plain, plain)
    if isinstance(value, str):
        return Scalar(frozenset({value}), len(value), len(value))
    return Scalar(frozenset({value}))


def widened(known: Type) -> Type:
    """The same without what is known of values, and with open maps: what another value of much the same form has."""
    if known.parts is None or known.may_be("null"):
        return DYNAMIC
    parts: dict[Kind, Part] = {}
    for kind, part in known.parts.items():
        match part:
            case Scalar() if kind in ("int", "double"):
                parts |= {"int": _PLAIN, "double": _PLAIN}  # 1 in one place may be 1.5 in another
            case Scalar():
                parts[kind] = _PLAIN
            case ListOf(element=element):
                parts[kind] = ListOf(widened(element))
            case MapOf(fields=fields, keys=keys):
                parts[kind] = MapOf({name: widened(content) for name, content in fields.items()}, DYNAMIC, keys)
            case OptionalOf(content=content):
                parts[kind] = OptionalOf(widened(content))
    return Type(parts)


def describe(known: Type) -> str:
    """A type in words, with its article."""
    if known.parts is None:
        return "a value of any type"
    kinds = list(known.parts)
    if {"int", "double"} <= known.parts.keys() or {"int", "uint"} <= known.parts.keys():
        kinds = [kind for kind in kinds if kind not in NUMBERS]
        words = ["a whole number" if not known.may_be("double") or known.scalar("double").whole else "a number"]
    else:
        words = []
    words += map(a_kind, kinds)
    return " or ".join(words)


def a_kind(kind: str) -> str:
    """A kind with its article."""
    return kind if kind in ("null", "bytes") else f"{'an' if kind[0] in 'aio' else 'a'} {kind}"


def strings(known: Type) -> Iterable[str]:
    """The texts that a string can be, where they are known, in order."""
    values = known.scalar("string").values if known.parts is not None and "string" in known.parts else None
    return sorted(value for value in values or () if isinstance(value, str))
