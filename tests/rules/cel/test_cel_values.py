"""Values: equality, order, maps, time, whole numbers from outside, and JSON."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.cel import CelError, Duration, Optional, Timestamp, UInt, to_json
from rules.cel.values import NONE, TYPES, CelMap, compare, equal, freeze, lookup, make_map, normal, type_of

INTS = st.integers(-(2**63), 2**63 - 1)
UINTS = st.integers(0, 2**64 - 1).map(UInt)
TIMESTAMPS = st.builds(Timestamp, st.integers(-62_135_596_800, 253_402_300_799), st.integers(0, 999_999_999))
DURATIONS = st.integers(-(2**63), 2**63 - 1).map(Duration.from_nanos)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    INTS,
    UINTS,
    st.floats(),
    st.text(max_size=3),
    st.binary(max_size=3),
    TIMESTAMPS,
    DURATIONS,
)
KEYS = st.one_of(st.text(max_size=2), INTS, UINTS, st.booleans())


def maps_of(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(st.tuples(KEYS, values), max_size=3, unique_by=lambda entry: freeze(entry[0])).map(make_map)


VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), maps_of(inner), inner.map(Optional)), max_leaves=6
)


@settings(deadline=None)
@given(VALUES, VALUES)
def test_equality_is_symmetric_and_agrees_with_frozen_values(left: object, right: object) -> None:
    assert equal(left, right) == equal(right, left)
    if equal(left, right):
        assert freeze(left) == freeze(right)


@settings(deadline=None)
@given(VALUES)
def test_a_value_equals_itself_unless_there_is_nan_in_it(value: object) -> None:
    assert equal(value, value) or "nan" in repr(value)


@given(SCALARS, SCALARS)
def test_what_can_be_ordered_is_ordered_the_same_way_from_both_sides(left: object, right: object) -> None:
    try:
        less = compare("<", left, right)
    except CelError:
        with pytest.raises(CelError):
            compare(">=", right, left)
        return
    assert less == compare(">", right, left)


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, True), (1, "1"), (0, None), (1.0, True), ("a", b"a"), ([1], [True]), ({"a": 1}, {"a": True}), (NONE, None)],
)
def test_values_of_different_types_are_not_equal(left: object, right: object) -> None:
    assert not equal(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, 1.0), (1, UInt(1)), (UInt(1), 1.0), ([1], [1.0]), ({"a": 1}, {"a": UInt(1)}), (10**30, 1e30)],
)
def test_numbers_are_equal_by_what_they_are_worth(left: object, right: object) -> None:
    assert equal(left, right)
    assert equal(right, left)


def test_integers_and_doubles_are_not_equal_where_a_double_loses_digits() -> None:
    assert not equal(2**53 + 1, float(2**53))
    assert not compare("<", 2**63 - 1, float(2**63))


def test_a_map_keeps_keys_apart_that_python_takes_for_one() -> None:
    made = make_map([(1, "a"), (True, "b"), ("1", "c")])
    assert isinstance(made, CelMap)
    assert [lookup(made, key) for key in (1, True, "1", 1.0, UInt(1))] == ["a", "b", "c", "a", "a"]
    with pytest.raises(CelError, match="twice"):
        make_map([(1, "a"), (UInt(1), "b")])
    with pytest.raises(CelError, match="key is a string"):
        make_map([(1.0, "a")])


def test_a_python_dict_with_numbers_as_keys_is_a_map_too() -> None:
    assert lookup({1: "a", "b": 2}, 1) == "a"
    assert equal({1: "a"}, CelMap([(UInt(1), "a")]))
    assert not isinstance(lookup({1: "a"}, True), str)


def test_an_integer_from_outside_finds_its_type_by_its_size() -> None:
    assert [(type(value), value) for value in map(normal, (2**63 - 1, 2**63, 2**64, -(2**63) - 1))] == [
        (int, 2**63 - 1),
        (UInt, 2**63),
        (float, 2.0**64),
        (float, -(2.0**63)),
    ]
    assert normal(10**400) == float("inf")


@given(TIMESTAMPS)
def test_a_timestamp_reads_back_what_it_writes(moment: Timestamp) -> None:
    assert Timestamp.parse(str(moment)) == moment
    assert Timestamp.from_nanos(moment.total_nanos) == moment


@given(DURATIONS)
def test_a_duration_reads_back_what_it_writes(span: Duration) -> None:
    assert Duration.parse(str(span)) == span
    assert (span.seconds >= 0 and span.nanos >= 0) or (span.seconds <= 0 and span.nanos <= 0)


@given(DURATIONS, DURATIONS)
def test_durations_are_ordered_by_their_length(left: Duration, right: Duration) -> None:
    assert (left < right) == (left.total_nanos < right.total_nanos)


@pytest.mark.parametrize(
    ("text", "seconds", "nanos"),
    [("1h30m", 5400, 0), ("-1.5ms", 0, -1_500_000), ("0", 0, 0), (".5s", 0, 500_000_000), ("1us2ns", 0, 1002)],
)
def test_a_duration_is_numbers_with_units(text: str, seconds: int, nanos: int) -> None:
    assert Duration.parse(text) == Duration(seconds, nanos)


@pytest.mark.parametrize("text", ["", "1", "s", "1d", ".s", "1 s", "1s ", "--1s", "1e3s", "9" * 300 + "s", "١s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(CelError):
        Duration.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "2009-02-13",
        "2009-02-13T23:31:30",
        "2009-02-30T23:31:30Z",
        "2009-02-13T24:00:00Z",
        "2009-02-13T23:31:60Z",
        "2009-02-13t23:31:30z",
        "0001-01-01T00:00:00+01:00",
        "",
    ],
)
def test_what_is_no_timestamp_is_refused(text: str) -> None:
    with pytest.raises(CelError):
        Timestamp.parse(text)


def test_a_timestamp_with_an_offset_is_the_same_moment_in_utc() -> None:
    assert str(Timestamp.parse("2009-02-14T01:31:30.25+02:00")) == "2009-02-13T23:31:30.25Z"


def test_every_value_becomes_json() -> None:
    value = {
        "time": Timestamp(0, 500),
        "span": Duration(1, 500_000_000),
        "bytes": b"\xff",
        "uint": UInt(7),
        "type": TYPES["int"],
        "map": CelMap([(1, True), (False, None)]),
        "some": [Optional(1), NONE],
    }
    assert to_json(value) == {
        "time": "1970-01-01T00:00:00.0000005Z",
        "span": "1.5s",
        "bytes": "/w==",
        "uint": 7,
        "type": "int",
        "map": {"1": True, "false": None},
        "some": [1, None],
    }
    json = to_json(UInt(7))
    assert type(json) is int


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], CelMap([(1, 1), ("1", 2)]), object()])
def test_what_json_cannot_say_is_an_error(value: object) -> None:
    with pytest.raises(CelError):
        to_json(value)


def test_values_that_nest_without_end_are_an_error() -> None:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(CelError, match="deeply"):
        to_json(deep)


def test_a_python_value_that_is_no_cel_value_has_no_type() -> None:
    with pytest.raises(CelError, match="not a CEL value"):
        type_of(object())


@pytest.mark.parametrize(("value", "error"), [(-1, CelError), (2**64, CelError), (1.5, TypeError), ("1", TypeError)])
def test_an_unsigned_integer_is_one_of_64_bits(value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="unsigned integer"):
        UInt(value)  # type: ignore[arg-type]
    assert (UInt(0), UInt(2**64 - 1)) == (0, 2**64 - 1)
