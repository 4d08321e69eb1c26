"""``lists`` and ``sets``: the usual extensions, and ``sum``."""

import functools
from collections.abc import Sequence
from typing import Final

from rules.cel.errors import CelError
from rules.cel.functions.registry import function, method
from rules.cel.operators import MAX_SIZE, PROMOTING
from rules.cel.values import NONE, Optional, compare, freeze, normal

_MAX_RANGE: Final = 1_000_000


@method("slice")
def _slice_list(elements: list[object], start: int, end: int) -> list[object]:
    if not 0 <= start <= end <= len(elements):
        raise CelError(f"slice(): {start} to {end} is outside a list of {len(elements)}")
    return elements[start:end]


@method("reverse")
def _reverse_list(elements: list[object]) -> list[object]:
    return elements[::-1]


@method("first")
def _first(elements: list[object]) -> Optional:
    return Optional(normal(elements[0])) if elements else NONE


@method("last")
def _last(elements: list[object]) -> Optional:
    return Optional(normal(elements[-1])) if elements else NONE


@method("flatten")
def _flatten(elements: list[object]) -> list[object]:
    return _flatten_deep(elements, 1)


@method("flatten")
def _flatten_deep(elements: list[object], depth: int) -> list[object]:
    if depth < 0:
        raise CelError("flatten() takes a depth that is not negative")
    if not depth:
        return elements
    flat: list[object] = []
    for element in elements:
        if isinstance(element, list):
            flat += _flatten_deep(element, depth - 1)
        else:
            flat.append(element)
        if len(flat) > MAX_SIZE:
            raise CelError(f"flatten(): the list would be longer than {MAX_SIZE:,}")
    return flat


@method("distinct")
def _distinct(elements: list[object]) -> list[object]:
    found: dict[object, object] = {}
    for element in elements:
        found.setdefault(freeze(element), element)
    return list(found.values())


@method("sort")
def _sort(elements: list[object]) -> list[object]:
    values = list(map(normal, elements))
    if len(values) == 1:
        compare("<", values[0], values[0])
    return sorted(
        values, key=functools.cmp_to_key(lambda left, right: compare(">", left, right) - compare("<", left, right))
    )


@method("sum")
def _total(elements: list[object]) -> object:
    if not elements:
        return 0
    return functools.reduce(PROMOTING["+"], map(normal, elements))


@function("lists.range")
def _range_list(count: int) -> list[int]:
    if count > _MAX_RANGE:
        raise CelError(f"lists.range(): at most {_MAX_RANGE:,}")
    return list(range(count))


def _frozen(elements: Sequence[object]) -> set[object]:
    return set(map(freeze, elements))


@function("sets.contains")
def _sets_contains(whole: list[object], part: list[object]) -> bool:
    return _frozen(part) <= _frozen(whole)


@function("sets.equivalent")
def _sets_equivalent(left: list[object], right: list[object]) -> bool:
    return _frozen(left) == _frozen(right)


@function("sets.intersects")
def _sets_intersects(left: list[object], right: list[object]) -> bool:
    return not _frozen(left).isdisjoint(_frozen(right))
