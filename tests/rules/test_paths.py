"""Setting and unsetting at a path: what lies on the way is copied, and what was is never touched."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.cel.errors import CelError
from rules.flow import EachItem, Path
from rules.paths import assign, remove, write

EACH = EachItem()
steps = st.one_of(st.sampled_from(["a", "b"]), st.integers(0, 2), st.just(EACH))
paths = st.lists(steps, max_size=4).map(tuple)
events = st.recursive(
    st.none() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=8,
)


def found(event: Any, path: Path) -> list[Any]:
    """All values at a path."""
    if not path:
        return [event]
    step, rest = path[0], path[1:]
    if isinstance(step, EachItem):
        return [value for item in event for value in found(item, rest)] if isinstance(event, list) else []
    try:
        return found(event[step], rest)
    except (TypeError, KeyError, IndexError):
        return []


@given(events, paths)
def test_what_was_assigned_is_there_and_the_event_that_was_is_as_it_was(event: Any, path: Path) -> None:
    before = copy.deepcopy(event)
    try:
        made = assign(event, path, "new")
    except CelError:
        made = None
    else:
        assert all(value == "new" for value in found(made, path))
        assert found(made, path) or EACH in path
    assert event == before


@given(events, paths)
def test_what_was_removed_is_gone_and_the_event_that_was_is_as_it_was(event: Any, path: Path) -> None:
    before = copy.deepcopy(event)
    made = remove(event, path)
    assert event == before
    if path and isinstance(path[-1], str):
        assert found(made, path) == []
    if not found(event, path):
        assert made is event


def test_what_is_not_on_the_way_is_shared() -> None:
    event = {"a": {"x": 1}, "b": {"y": 1}}
    made = assign(event, ("a", "x"), 2)
    assert isinstance(made, dict)
    assert made == {"a": {"x": 2}, "b": {"y": 1}}
    assert made["b"] is event["b"]


@pytest.mark.parametrize(
    ("event", "path", "message"),
    [
        ({"a": 1}, ("a", "b"), "event.a is an int, not a map in which b could be set"),
        (None, ("a",), "event is null, not a map in which a could be set"),
        ({"a": [1]}, ("a", 1), r"event.a has 1 elements, so there is none at \[1\] to set"),
        ({}, ("a", 0), "event.a is missing, not a list with elements to set"),
        ({"a": {}}, ("a", EACH), "event.a is a map, not a list with elements to set"),
    ],
)
def test_a_way_through_something_else_is_an_error_that_says_where(event: Any, path: Path, message: str) -> None:
    with pytest.raises(CelError, match=message):
        assign(event, path, 1)


def test_each_element_of_a_missing_list_is_nothing_to_do() -> None:
    event = {"b": 1}
    assert assign(event, ("a", EACH, "x"), 1) is event


def test_an_element_is_removed_with_its_place() -> None:
    assert remove({"a": [1, 2, 3]}, ("a", 1)) == {"a": [1, 3]}
    assert remove({"a": [{"x": 1}, {"x": 2}]}, ("a", EACH)) == {"a": []}


def test_a_path_is_written_as_people_write_it() -> None:
    assert write(("items", EACH, "a-b", 0, "c")) == 'event.items[*]["a-b"][0].c'
