"""``lists`` and ``sets``: the usual extensions, and ``sum``."""

import functools
from collections.abc import Sequence
from typing import Final

from rules.cel.errors import CelError
from rules.cel.functions.registry import function, method
from rules.cel.operators import MAX_SIZE, PROMOTING
from rules.cel.values import NONE, Optional, freeze, in_order, normal

_MAX_RANGE: Final = 1_000_000


@method("slice")
def _slice_list(elements: list[object], start: int, end: int) -> list[object]:
    """The elements from one index up to another, which is not among them.

    Example: [1, 2, 3].slice(1, 3) == [2, 3]
    """
    if not 0 <= start <= end <= len(elements):
        raise CelError(f"slice(): {start} to {end} is outside a list of {len(elements)}")
    return elements[start:end]


@method("reverse")
def _reverse_list(elements: list[object]) -> list[object]:
    """The elements of a list, or the characters of a text, from the last to the first.

    Example: [1, 2].reverse() == [2, 1]
    Example: "ab".reverse() == "ba"
    """
    return elements[::-1]


@method("first")
def _first(elements: list[object]) -> Optional:
    """The first element, as an optional.

    Example: [1, 2].first().value() == 1
    Example: [].first().hasValue() == false
    """
    return Optional(normal(elements[0])) if elements else NONE


@method("last")
def _last(elements: list[object]) -> Optional:
    """The last element, as an optional.

    Example: [1, 2].last().value() == 2
    """
    return Optional(normal(elements[-1])) if elements else NONE


@method("flatten")
def _flatten(elements: list[object]) -> list[object]:
    """The elements of the lists in a list, and of those in these, so many levels deep: one, unless it is said.

    Example: [[1], [2, [3]]].flatten() == [1, 2, [3]]
    Example: [[1, [2]]].flatten(2) == [1, 2]
    """
    return _flatten_deep(elements, 1)


@method("flatten")
def _flatten_deep(elements: list[object], depth: int) -> list[object]:
    """The elements of the lists in a list, and of those in these, so many levels deep: one, unless it is said.

    Example: [[1], [2, [3]]].flatten() == [1, 2, [3]]
    Example: [[1, [2]]].flatten(2) == [1, 2]
    """
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
    """Each of the elements once, in their order.

    Example: [1, 2, 1.0].distinct() == [1, 2]
    """
    found: dict[object, object] = {}
    for element in elements:
        found.setdefault(freeze(element), element)
    return list(found.values())


@method("sort")
def _sort(elements: list[object]) -> list[object]:
    """The elements in their order. They are all of one type; ints and doubles go together, as JSON has them.

    Example: [3, 1, 2].sort() == [1, 2, 3]
    """
    values = list(map(normal, elements))
    return [values[place] for place in in_order("sort", values)]


@method("sum")
def _total(elements: list[object]) -> object:
    """The sum of numbers, of which ints and doubles go together, as JSON has them; or of durations.

    Example: [1.5, 2.0].sum() == 3.5
    """
    if not elements:
        return 0
    return functools.reduce(PROMOTING["+"], map(normal, elements))


@function("lists.range")
def _range_list(count: int) -> list[int]:
    """The integers from 0 on, so many.

    Example: lists.range(3) == [0, 1, 2]
    """
    if count > _MAX_RANGE:
        raise CelError(f"lists.range(): at most {_MAX_RANGE:,}")
    return list(range(count))


def _frozen(elements: Sequence[object]) -> set[object]:
    return set(map(freeze, elements))


@function("sets.contains")
def _sets_contains(whole: list[object], part: list[object]) -> bool:
    """Whether a list has every element of another one.

    Example: sets.contains([1, 2, 3], [2]) == true
    """
    return _frozen(part) <= _frozen(whole)


@function("sets.equivalent")
def _sets_equivalent(left: list[object], right: list[object]) -> bool:
    """Whether two lists have the same elements, in any order and however often.

    Example: sets.equivalent([1, 2, 2], [2, 1]) == true
    """
    return _frozen(left) == _frozen(right)


@function("sets.intersects")
def _sets_intersects(left: list[object], right: list[object]) -> bool:
    """Whether two lists have an element in common.

    Example: sets.intersects([1], [1, 2]) == true
    """
    return not _frozen(left).isdisjoint(_frozen(right))
