"""What is of two types at once."""

from __future__ import annotations

import math

from msgspec.structs import replace

from rules.inference.kinds import (
    EXACT,
    Bound,
    Kind,
    ListOf,
    MapOf,
    OptionalOf,
    Part,
    Scalar,
    Type,
    bounded,
    is_within,
    pairwise,
)


def meet(left: Type, right: Type) -> Type:
    """What is both."""
    if left.parts is None:
        return right
    if right.parts is None:
        return left
    parts: dict[Kind, Part] = {}
    for kind in left.parts:
        if kind in right.parts and (part := _met(kind, left.parts[kind], right.parts[kind])) is not None:
            parts[kind] = part
    return Type(parts)


def _met(kind: Kind, left: Part, right: Part) -> Part | None:
    match left, right:
        case Scalar(), Scalar():
            return _met_scalars(kind, left, right)
        case ListOf(), ListOf():
            return ListOf(meet(left.element, right.element), pairwise(meet, left, right))
        case MapOf(), MapOf():
            return _met_maps(left, right)
        case OptionalOf(), OptionalOf():
            return OptionalOf(meet(left.content, right.content))
    return left


def _met_scalars(kind: Kind, left: Scalar, right: Scalar) -> Scalar | None:
    both = (left, right)
    low = max(((part.low, part.over) for part in both if part.low is not None), default=None)
    high = min(((part.high, not part.under) for part in both if part.high is not None), default=None)
    whole = left.whole or right.whole
    if whole or kind in ("int", "uint"):
        low, high = _whole_bounds(low, high)
    if low is not None and high is not None and (low[0] > high[0] or (low[0] == high[0] and (low[1] or not high[1]))):
        return None
    values = right.values if left.values is None else left.values
    if left.values is not None and right.values is not None:
        values = left.values & right.values
    found = bounded(values, low, high, whole=whole, lower=left.lower or right.lower)
    if values is not None:
        found = replace(found, values=frozenset(value for value in values if is_within(value, found)))
    return None if found.values is not None and not found.values else found


def _whole_bounds(low: Bound | None, high: Bound | None) -> tuple[Bound | None, Bound | None]:
    """Bounds of whole numbers, where these are told from each other."""
    if low is not None and abs(low[0]) < EXACT:
        low = (math.floor(low[0]) + 1 if low[1] else math.ceil(low[0]), False)
    if high is not None and abs(high[0]) < EXACT:
        high = (math.floor(high[0]) if high[1] else math.ceil(high[0]) - 1, True)
    return low, high


def _met_maps(left: MapOf, right: MapOf) -> MapOf:
    fields = {name: meet(left.field(name), right.field(name)) for name in {**left.fields, **right.fields}}
    rest = None if left.rest is None or right.rest is None else meet(left.rest, right.rest)
    return MapOf(fields, rest, meet(left.keys, right.keys), left.required | right.required)
