"""MessagePack: objects to events and back, with types that JSON has not."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel
from rulesets import both, flow_of, ruleset_of

from router.batch import Batch
from rules.cel.errors import CelError
from rules.cel.values import NONE, CelMap, Duration, Optional, Timestamp, Type, UInt
from rules.codecs import Json, MsgPack
from rules.codecs.msgpack import Extension
from rules.codecs.msgpack.reader import Reader
from rules.contract import schema_validator
from rules.plan import SinkFacts
from rules.reader import read_flow
from rules.ruleset import compile_flow
from rules.testing import run_tests

CODEC = MsgPack().codec
Ext = msgspec.msgpack.Ext

TIMES = st.builds(
    Timestamp,
    st.integers(-62_135_596_800, 253_402_300_799) | st.sampled_from([0, 2**32 - 1, 2**32, 2**34 - 1, 2**34, -1]),
    st.integers(0, 999_999_999) | st.just(0),
)
EXTENSIONS = st.builds(Extension, st.integers(-128, 127).filter(lambda code: code != -1), st.binary(max_size=20))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    TEXT,
    st.binary(max_size=40),
    TIMES,
    EXTENSIONS,
)
KEYS = TEXT | st.integers(2, 2**64 - 1) | st.integers(-(2**63), -1) | st.booleans() | st.binary(max_size=5) | TIMES
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)
# What is nearly a timestamp, beside what is one.
LOOKALIKES = st.sampled_from(
    [b"\xd6\xff", b"\xd7\xff", b"\xc7\x0c\xff", b"\xc8\x00\x04\xff", b"\xc9\x00\x00\x00\x08\xff", b"\xff\xd6"]
)


def same(left: object, right: object) -> bool:
    """Equal, of the same types, and with NaN equal to itself."""
    return repr(left) == repr(right)


@given(VALUES | st.lists(LOOKALIKES | TIMES | VALUES, max_size=4), st.booleans())
@example([math.nan, math.inf, -math.inf, -0.0], False)
@example({1: "a", "1": "b", 2: [], b"1": {}}, False)
def test_an_event_survives_the_way_there_and_back(event: object, event_time: bool) -> None:
    codec = MsgPack(event_time=event_time).codec
    payload = codec.encode(event)
    back = codec.decode(payload)
    if event_time:
        event = _with_event_times(event)
    assert same(back, event)
    assert same(Reader(payload, codec.decode.__self__._extension).whole(), event)  # type: ignore[attr-defined]  # of the method


def _with_event_times(event: Any) -> Any:
    """Extensions 0 of 8 bytes as the times that they are then."""
    if isinstance(event, Extension) and event.code == 0 and len(event.data) == 8:
        nanos = int.from_bytes(event.data[4:])
        return Timestamp(int.from_bytes(event.data[:4]), nanos) if nanos < 10**9 else event
    if isinstance(event, list):
        return list(map(_with_event_times, event))
    return {key: _with_event_times(value) for key, value in event.items()} if isinstance(event, dict) else event


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(PLAIN)
def test_a_plain_value_is_written_the_same_the_fast_way(value: object) -> None:
    assert CODEC.encode(value) == CODEC.encode_plain(value)


ITEMS = st.one_of(
    VALUES.map(CODEC.encode),
    LOOKALIKES,
    st.binary(max_size=10),
    st.sampled_from(
        [
            *(
                b"\xc1",
                b"\xd9\x01a",
                b"\xda\x00\x01a",
                b"\xdb\x00\x00\x00\x01\xff",
                b"\xc6\xff\xff\xff\xff",
                b"\x91",
                b"\x81",
            ),
            *(
                b"\xdd\xff\xff\xff\xff",
                b"\xdf\xff\xff\xff\xff",
                b"\x82\x01\x02\x01\x03",
                b"\x81\x91\x01\x02",
                b"\x81\x80\x01",
            ),
            *(b"\x81\x91\x80\x01", b"\xd6\xff\0\0\0\1", b"\xd7\xff" + b"\xff" * 8, b"\xc7\x05\xffabcde", b"\xd4\x00a"),
            *(
                b"\xc7\x0c\xff" + b"\x7f" * 12,
                b"\xca\x7f\xc0\0\0",
                b"\xa1\xff",
                b"\xc8\x00\x08\xff" + bytes(8),
                b"\xd8\x05",
            ),
            bytes(range(1, 128)),
        ]
    ),
)


@given(st.lists(ITEMS, max_size=5).map(b"".join))
def test_whatever_comes_is_an_event_or_says_at_which_byte_it_is_none(payload: bytes) -> None:
    """And the fast ways give what the slow one does, if they give anything."""
    extension = CODEC.decode.__self__._extension  # type: ignore[attr-defined]  # of the method
    found: object
    why = ""
    try:
        found = Reader(payload, extension).whole()
    except ValueError as error:
        why = str(error)
        assert why.startswith("not MessagePack: ")
        assert 0 <= int(why.rpartition("at byte ")[2]) <= len(payload)
        with pytest.raises(ValueError, match=r"^not MessagePack: ") as caught:
            CODEC.decode(payload)
        assert str(caught.value) == why
        with pytest.raises(Exception):  # noqa: B017 - anything may be raised
            CODEC.decode_plain(payload)
    else:
        assert same(CODEC.decode(payload), found)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "it ends too early at byte 0"),
        (b"\x92\x01", "it ends too early at byte 2"),
        (b"\xdd\xff\xff\xff\xff\x01", "it ends too early at byte 6"),
        (b"\xa5abc", "it ends too early at byte 4"),
        (b"\x01\x02", "another object, or something else, after the first at byte 1"),
        (b"\x92\x01\xc1", "0xc1, which begins nothing, at byte 2"),
        (b"\x81\xa1a\xa3b\xffc", "not UTF-8 at byte 5"),
        (b"\x82\x01\x02\x81\x01\x02\x03", "a map as the key of a map at byte 3"),
        (b"\x91\xc7\x05\xffabcde", "a timestamp of 5 bytes, at byte 1"),
        (b"\x91\xd7\xff" + b"\xff" * 8, "the timestamp is out of range: years 1 to 9999, at byte 1"),
        (b"\x91" * 100_000, "nested too deep to be read"),
    ],
)
def test_what_is_no_object_says_why_and_at_which_byte(payload: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=r"^not MessagePack: ") as caught:
        CODEC.decode(payload)
    assert str(caught.value) == f"not MessagePack: {why}"


@pytest.mark.parametrize(
    ("time", "payload"),
    [
        (Timestamp(1), b"\xd6\xff\x00\x00\x00\x01"),
        (Timestamp(2**32 - 1), b"\xd6\xff\xff\xff\xff\xff"),
        (Timestamp(1, 1), b"\xd7\xff\x00\x00\x00\x04\x00\x00\x00\x01"),
        (Timestamp(2**32), b"\xd7\xff\x00\x00\x00\x01\x00\x00\x00\x00"),
        (Timestamp(2**34), b"\xc7\x0c\xff\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00"),
        (Timestamp(-1, 999_999_999), b"\xc7\x0c\xff\x3b\x9a\xc9\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
    ],
)
def test_times_are_as_the_specification_has_them(time: Timestamp, payload: bytes) -> None:
    """In as few bytes as they need, and to the nanosecond."""
    assert CODEC.encode(time) == payload
    assert CODEC.decode(payload) == time
    if time.nanos % 1000 == 0:
        assert CODEC.encode(time) == msgspec.msgpack.encode(datetime.fromtimestamp(time.seconds, UTC))


def test_times_of_fluentd() -> None:
    """Those that fit are written as it has them."""
    fluentd = MsgPack(event_time=True).codec
    entry = b"\x92\xd7\x00\x65\x53\xf1\x00\x07\x5b\xcd\x15\x81\xa1a\x01"
    assert fluentd.decode(entry) == [Timestamp(1700000000, 123456789), {"a": 1}]
    assert fluentd.encode(fluentd.decode(entry)) == entry
    assert fluentd.decode(b"\xd6\xff\x00\x00\x00\x01") == Timestamp(1)
    assert fluentd.encode(Timestamp(-1)) == CODEC.encode(Timestamp(-1))
    assert CODEC.decode(entry) == [Extension(0, entry[3:11]), {"a": 1}]
    assert fluentd.decode(b"\xd6\x00abcd") == Extension(0, b"abcd")


def test_values_of_rules_are_written_as_what_they_are() -> None:
    written = CODEC.encode(
        {
            "u": UInt(2**64 - 1),
            "m": CelMap([(1, UInt(2)), ("b", b"x")]),
            "d": Duration(90),
            "o": [Optional(Timestamp(0)), NONE],
            "t": Type("int"),
            "e": Extension(5, b"x"),
        }
    )
    assert CODEC.decode(written) == {
        "u": 2**64 - 1,
        "m": {1: 2, "b": b"x"},
        "d": "90s",
        "o": [Timestamp(0), None],
        "t": "int",
        "e": Extension(5, b"x"),
    }
    assert CODEC.encode(CelMap([(1, 2), (True, 3)])) == b"\x82\x01\x02\xc3\x03"


@pytest.mark.parametrize("value", [2**64, [-(2**63) - 1], "\ud800", {"a": "\ud800"}, object(), {"a": {1, 2}}])
def test_what_has_no_form_is_an_error(value: object) -> None:
    with pytest.raises(CelError):
        CODEC.encode(value)


def test_a_value_that_nests_too_deep_is_an_error() -> None:
    value: object = 1
    for _ in range(100_000):
        value = [value]
    with pytest.raises(CelError):
        CODEC.encode(value)


EVENT = {"n": 5, "at": Timestamp(0, 5), "raw": b"\xff", "nan": math.nan, 7: "seven", "ext": Extension(5, b"\1\2")}


def test_what_json_has_no_type_for_stands_in_it_as_text() -> None:
    event = {**EVENT, "nan": 0.5}
    assert json.loads(Json().codec.encode(event)) == {
        "n": 5,
        "at": "1970-01-01T00:00:00.000000005Z",
        "raw": "/w==",
        "nan": 0.5,
        "7": "seven",
        "ext": "ext:5:AQI=",
    }


FLOW = """
    let: {early: event.at < timestamp("1970-01-02T00:00:00Z")}
    rules:
      - {name: early, when: early, set: {event.n: "${event.n + 1}"}, to: [a, b]}
      - {name: bytes, when: "event.raw == b'x'", set: {event.copy: "${event.at}"}, to: [a, b]}
      - {name: seven, when: "event[7] == 'seven'", to: a}
      - {name: rest, set: {event.seen: "${meta.time}"}, to: [a, b]}
"""


def run(*events: object) -> dict[str, list[bytes]]:
    ruleset = ruleset_of(FLOW, decode=MsgPack(), facts=[SinkFacts("b", encode=Json())])
    batch = Batch(list(map(CODEC.encode, events)), arrived=0)
    decisions = both(ruleset, batch)
    assert not [letter for letter in decisions.letters if letter.stage == "decode"]
    return {delivery.sink: list(delivery.values) for delivery in decisions.deliveries}


def test_a_flow_reads_and_writes_what_json_has_no_type_for() -> None:
    """Changed, it keeps its types; into JSON it goes as text; and what JSON cannot say is a dead letter."""
    got = run({**EVENT, "nan": 1.5}, {"at": Timestamp(10**9), "raw": b"x"}, {7: "seven", "x": math.nan}, {"n": 1})
    assert [CODEC.decode(value) for value in got["a"]] == [
        {**EVENT, "nan": 1.5, "n": 6},
        {"at": Timestamp(10**9), "raw": b"x", "copy": Timestamp(10**9)},
        pytest.approx({7: "seven", "x": math.nan}, nan_ok=True),
        {"n": 1, "seen": Timestamp(0)},
    ]
    assert [json.loads(value) for value in got["b"]] == [
        {"n": 6, "at": "1970-01-01T00:00:00.000000005Z", "raw": "/w==", "nan": 1.5, "7": "seven", "ext": "ext:5:AQI="},
        {"at": "2001-09-09T01:46:40Z", "raw": "eA==", "copy": "2001-09-09T01:46:40Z"},
        {"n": 1, "seen": "1970-01-01T00:00:00Z"},
    ]
    ruleset = ruleset_of(FLOW, decode=MsgPack(), facts=[SinkFacts("b", encode=Json())])
    (letter,) = both(ruleset, Batch([CODEC.encode(EVENT)])).letters
    assert letter.detail == "encode: JSON has no nan"


@given(st.lists(st.dictionaries(st.sampled_from(["n", "at", "raw"]) | st.just(7), ATOMS, max_size=4), max_size=4))
def test_a_compiled_flow_decides_what_the_interpreter_decides(events: list[object]) -> None:
    run(*events)


SCHEMA = {"properties": {"at": {"type": "string", "minLength": 20}}}


class Order(BaseModel):
    at: datetime
    raw: bytes


def test_contracts_see_times_and_bytes() -> None:
    """A model as Python's, a schema as the texts that they are in JSON."""
    good, bad = {"at": Timestamp(0), "raw": b"\xff"}, {"at": b"x", "raw": Timestamp(0)}
    batch = Batch([CODEC.encode(good), CODEC.encode(bad), CODEC.encode({**good, "x": math.nan})])
    rules = "rules: [{name: r, to: a}]"
    modelled = ruleset_of(f"contract: {{model: order}}\n{rules}", decode=MsgPack(), models={"order": Order})
    assert [list(delivery.indices) for delivery in both(modelled, batch).deliveries] == [[0, 2]]
    checked = schema_validator(SCHEMA, plain=False)
    assert checked.holds(good, b"")
    assert not checked.holds(bad, b"")
    assert [violation.place for violation in checked.violations(bad, b"")] == ["/at"]
    (violation,) = checked.violations({**good, "x": math.nan}, b"")
    assert violation.message == "it cannot be checked: JSON has no nan"
    text = f"from: s\ncontract: {{schema: s.json}}\n{rules}"
    flow, faults = read_flow(text, "flow.yaml", lambda _: json.dumps(SCHEMA).encode())
    assert flow is not None, faults
    ruleset = compile_flow(flow, decode=MsgPack(), sinks={"a": SinkFacts("a")}, vars={}, models={})
    assert [list(delivery.indices) for delivery in both(ruleset, batch).deliveries] == [[0]]


def test_tests_of_a_flow_write_times_as_text() -> None:
    text = """
        from: s
        rules: [{name: r, set: {event.at: "${timestamp(event.text)}"}, to: a}]
        tests:
          - name: a time
            given: [{event: {text: "2003-10-11T22:14:15.003Z"}}]
            then: {a: [{event: {at: "2003-10-11T22:14:15.003Z"}}]}
    """
    (result,) = run_tests(flow_of(text), {"s": ruleset_of(text, decode=MsgPack())})
    assert result.passed, result
