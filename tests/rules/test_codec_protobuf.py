"""Protobuf messages: there and back, as Google's own mapping to JSON has them, and never more than a ValueError."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
from avro_schemas import damaged
from google.protobuf import descriptor_pb2, json_format
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Fd
from hypothesis import given
from hypothesis import strategies as st
from protobuf_types import EVENTS, SCALARS, descriptor_set, field, order_file, orders

from rules.cel.errors import CelError
from rules.cel.output import to_json
from rules.cel.temporal import Duration, Timestamp
from rules.cel.values import NONE, CelMap, Optional, UInt
from rules.codecs import Protobuf
from rules.codecs.protobuf.types import message_class
from rules.codecs.protobuf.wire import find_fault

CLASS, POOL = message_class(descriptor_set(order_file()), "shop.binpb", "shop.v1.Order")
ORDERS = orders().codec


@given(EVENTS)
def test_an_event_survives_the_way_there_and_back(event: dict[str, Any]) -> None:
    payload = ORDERS.encode(event)
    assert ORDERS.decode(payload) == event
    assert ORDERS.encode_plain(event) == payload
    assert ORDERS.decode_plain(payload) == event


@given(EVENTS)
def test_googles_mapping_to_json_reads_and_writes_the_same(event: dict[str, Any]) -> None:
    """What is JSON of an event is JSON of the message; what the library makes of that JSON is the payload."""
    payload = ORDERS.encode(event)
    with contextlib.suppress(CelError, json_format.ParseError, json_format.SerializeToJsonError):
        # Not of types that nobody knows, nor of what is no JSON: infinities.
        shown = to_json(event)
        parsed = json_format.ParseDict(shown, CLASS(), descriptor_pool=POOL)
        assert parsed == CLASS.FromString(payload)
        assert ORDERS.encode(json_format.MessageToDict(parsed, descriptor_pool=POOL)) == payload


@st.composite
def made_up(draw: Any) -> tuple[Protobuf, dict[str, Any]]:
    """A message of any scalars, single and repeated, with an event."""
    file = descriptor_pb2.FileDescriptorProto(name="any.proto", package="x", syntax="proto3")
    message = file.message_type.add(name="M")
    event: dict[str, Any] = {}
    for number, type_ in enumerate(draw(st.lists(st.sampled_from(list(SCALARS)), max_size=6)), 1):
        repeated = draw(st.booleans())
        message.field.append(field(f"f{number}", number, type_, repeated=repeated))
        value = draw(st.lists(SCALARS[type_], max_size=3) if repeated else SCALARS[type_])
        if value or repr(value) == "-0.0":
            event[f"f{number}"] = value
    content = descriptor_set(file, imports=False)
    return Protobuf(descriptor_set="x", message="x.M").loaded(lambda _: content), event


@given(made_up())
def test_events_of_any_message_survive(made: tuple[Protobuf, dict[str, Any]]) -> None:
    format_, event = made
    assert format_.codec.decode(format_.codec.encode(event)) == event


@given(st.data(), EVENTS)
def test_damaged_payloads_are_a_message_or_a_value_error(data: st.DataObject, event: dict[str, Any]) -> None:
    """And where the library refuses one, it is known why and at which byte."""
    payload = data.draw(damaged(ORDERS.encode(event)) | st.binary(max_size=20))
    try:
        ORDERS.decode(payload)
    except ValueError as error:
        text = str(error)
    else:
        return
    with contextlib.suppress(Exception):
        CLASS.FromString(payload)
        return
    assert find_fault(CLASS.DESCRIPTOR, payload) in text
    assert " byte " in text


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\x0a\x05ab", "it ends too early, at byte 4: 5 bytes from byte 2 on (in order_id)"),
        (b"\x0a", "it ends too early, at byte 1, in the number at byte 1 (in order_id)"),
        (b"\x0a\x02a\xff", "not UTF-8 at byte 3 (in order_id)"),
        (b"\x42\x04\x0a\x02a\xff", "not UTF-8 at byte 5 (in parent.order_id)"),
        (b"\x10" + b"\x80" * 11, "the number at byte 1 does not end (in total)"),
        (b"\x00\x00", "0 at byte 0 is no number of a field"),
        (b"\x0f", "7 before byte 1 is no wire type that can stand there (in order_id)"),
        (b"\xfb\x06\x08\x01", "it ends too early, at byte 4: group 111 is open (in 111)"),
        (b"\x92\x01\x01\x80", "it ends too early, at byte 4, in the number at byte 3 (in numbers)"),
        (b"\x9a\x01\x03abc", "3 bytes at byte 3 are no list of numbers of 8 (in doubles)"),
        (b"\x22\x09\x08\x80\x80\x80\x80\x80\x80\x80\x02", "the timestamp is out of range: years 1 to 9999"),
        (b"\x2a\x08\x08\x01\x10\x80\x94\xeb\xdc\x03", "the nanoseconds of a duration are less"),
    ],
)
def test_what_is_no_message_says_why_and_at_which_byte(payload: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^not a message shop\.v1\.Order: ") as caught:
        ORDERS.decode(payload)
    assert reason in str(caught.value)


def test_nesting_without_end_is_no_crash() -> None:
    payload = b""
    for _ in range(200):
        payload = b"\x42" + bytes(_varint(len(payload))) + payload
    with pytest.raises(ValueError, match="nested deeper than 100"):
        ORDERS.decode(payload)
    event: dict[str, Any] = {}
    for _ in range(100_000):
        event = {"parent": event}
    with pytest.raises(CelError):
        ORDERS.encode(event)


def _varint(number: int) -> list[int]:
    return [number] if number < 128 else [number & 127 | 128, *_varint(number >> 7)]


@pytest.mark.parametrize(
    ("event", "read"),
    [
        ({"total": "-5", "limit": UInt(7)}, {"total": -5, "limit": 7}),
        ({"total": 4.0}, {"total": 4}),
        ({"order_id": "a", "kind": 1}, {"orderId": "a", "kind": "KIND_BIG"}),
        (
            {"madeAt": "1970-01-01T00:00:00.5Z", "took": "1.5s"},
            {"madeAt": Timestamp(0, 5 * 10**8), "took": Duration(1, 5 * 10**8)},
        ),
        ({"raw": "aGk="}, {"raw": b"hi"}),
        ({"doubles": [1, "NaN", "-Infinity"]}, {"doubles": [1.0, math.nan, -math.inf]}),
        ({"orderId": Timestamp(0)}, {"orderId": "1970-01-01T00:00:00Z"}),
        ({"orderId": None, "tags": None, "parent": None, "count": NONE}, {}),
        ({"value": None}, {"value": None}),
        ({"count": Optional(0)}, {"count": 0}),
        (
            {"byNumber": CelMap([(1, "a")]), "byFlag": CelMap([(True, 1)])},
            {"byNumber": {"1": "a"}, "byFlag": {"true": 1}},
        ),
        ({"parent": {}, "more": {"a": [1, {"b": None}]}}, {"parent": {}, "more": {"a": [1.0, {"b": None}]}}),
    ],
)
def test_what_stands_for_a_value_is_written_as_it(event: dict[str, Any], read: dict[str, Any]) -> None:
    assert repr(ORDERS.decode(ORDERS.encode(event))) == repr(read)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"count": 2**31}, "event.count: the number is not an int32"),
        ({"numbers": [1, -(2**31) - 1]}, "event.numbers[1]: the number is not a sint32"),
        ({"limit": -1}, "event.limit: the number is not an uint64"),
        ({"total": 1.5}, "event.total: the number is not an int64"),
        ({"total": True}, "event.total: a bool is not an int64"),
        ({"orderId": 5}, "event.orderId: an int is not a string"),
        ({"orderId": "\ud800"}, "event.orderId: a string is not a string"),
        ({"kind": "BIG"}, "event.kind: a string is not a value of shop.v1.Kind"),
        ({"tags": ["a", None]}, "event.tags[1]: null is not a string"),
        ({"tags": "a"}, "event.tags: a string is not a list"),
        ({"parent": {"parts": [{}, {"cash": "yes"}]}}, "event.parent.parts[1].cash: a string is not a bool"),
        ({"byNumber": {"x": "a"}}, "event.byNumber['x']: the key is not an int64"),
        ({"orders": {"a": {"total": []}}}, "event.orders['a'].total: a list is not an int64"),
        ({"madeAt": 5}, "event.madeAt: an int is not a timestamp"),
        ({"madeAt": "now"}, "event.madeAt: 'now' is not a timestamp: RFC 3339 is expected"),
        ({"card": "a", "cash": True}, "event.cash: card is set as well, and of `payment` only one can be"),
        ({"raw": "no base64"}, "event.raw: text in a field of bytes should be base64"),
        ({"any": {}}, "event.any: an Any is a map with `@type`"),
        ({"any": {"@type": "a/shop.v1.Order", "x": 1}}, "event.any.x: shop.v1.Order has no such field"),
        ({"nothing": 1}, "event.nothing: shop.v1.Order has no such field"),
        ({"more": {"a": [math.inf, {1: 2}]}}, "event.more['a'][1][1]: the key is not a string"),
        ([], "event: a list is not a message shop.v1.Order"),
    ],
)
def test_what_has_no_form_in_its_field_is_an_error_that_names_the_field(event: Any, reason: str) -> None:
    with pytest.raises(CelError) as caught:
        ORDERS.encode(event)
    assert str(caught.value).startswith(f"it cannot be written as shop.v1.Order: {reason}")


def test_other_fields_are_left_out_if_that_is_meant() -> None:
    assert orders(extra="drop").codec.encode({"orderId": "a", "nothing": 1}) == b"\x0a\x01a"


def test_fields_that_are_not_set_have_their_defaults_if_that_is_meant() -> None:
    event = orders(defaults=True).codec.decode(b"")
    assert event == {
        "orderId": "",
        "total": 0,
        "kind": "KIND_NONE",
        "tags": [],
        "parts": [],
        "kinds": [],
        "raw": b"",
        "numbers": [],
        "doubles": [],
        "byNumber": {},
        "byFlag": {},
        "orders": {},
    }
    assert orders(defaults=True).codec.encode(event) == b""
    assert ORDERS.decode(b"") == {}


def test_names_are_those_of_json_or_of_the_descriptor() -> None:
    payload = ORDERS.encode({"order_id": "a", "by_number": {"1": "x"}})
    assert ORDERS.decode(payload) == {"orderId": "a", "byNumber": {"1": "x"}}
    assert orders(names="proto").codec.decode(payload) == {"order_id": "a", "by_number": {"1": "x"}}


def test_required_fields_groups_and_extensions_of_older_files() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="old.proto", package="old", syntax="proto2")
    message = file.message_type.add(name="M")
    message.field.append(Fd(name="id", number=1, type=Fd.TYPE_INT32, label=Fd.LABEL_REQUIRED))
    group = message.nested_type.add(name="G")
    group.field.append(field("a", 1, Fd.TYPE_INT32))
    message.field.append(Fd(name="g", number=2, type=Fd.TYPE_GROUP, type_name=".old.M.G", label=Fd.LABEL_OPTIONAL))
    message.extension_range.add(start=100, end=200)
    file.extension.append(field("more", 100, Fd.TYPE_STRING, extendee=".old.M"))
    content = descriptor_set(file, imports=False)
    codec = Protobuf(descriptor_set="old", message="old.M").loaded(lambda _: content).codec
    payload = codec.encode({"id": 0, "g": {"a": 1}})
    assert codec.decode(payload + b"\xa2\x06\x01x") == {"id": 0, "g": {"a": 1}, "[old.more]": "x"}
    with pytest.raises(CelError, match="missing required field"):
        codec.encode({"g": {"a": 1}})
    with pytest.raises(ValueError, match=r"group 3 ends before byte 2, and 2 is open"):
        codec.decode(b"\x13\x1c")


def test_a_descriptor_set_must_be_one_with_the_message_and_its_imports() -> None:
    def made(content: bytes, message: str = "shop.v1.Order") -> Protobuf:
        return Protobuf(descriptor_set="shop.binpb", message=message).loaded(lambda _: content)

    with pytest.raises(ValueError, match=r"shop\.binpb is no descriptor set"):
        _ = made(b"\xff").codec
    with pytest.raises(ValueError, match=r"shop\.binpb has no message shop\.v1\.Oder"):
        _ = made(descriptor_set(order_file()), "shop.v1.Oder").codec
    with pytest.raises(ValueError, match="has not been read"):
        _ = Protobuf(descriptor_set="shop.binpb", message="shop.v1.Order").codec
    # What the library itself brings along need not be in it.
    assert made(descriptor_set(order_file(), imports=False)).codec.decode(b"") == {}
    file = order_file()
    file.dependency.append("shop/other.proto")
    with pytest.raises(ValueError, match=r"lacks shop/other\.proto.*--include_imports"):
        _ = made(descriptor_set(file)).codec


def test_formats_of_the_same_settings_are_equal() -> None:
    assert orders() == orders()
    assert hash(orders()) == hash(orders())
    assert orders() != orders(defaults=True)
    assert orders().given({"orderId": "a"}) == (b"\x0a\x01a", {})
