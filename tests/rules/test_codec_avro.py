"""Avro values: there and back, as other libraries read and write them, and never more than a ValueError."""

from __future__ import annotations

import contextlib
import io
import json
import math
from typing import Any

import avro.errors
import avro.io
import avro.schema
import fastavro
import pytest
from avro_schemas import damaged, schemas_and_events, typed
from hypothesis import given
from hypothesis import strategies as st

from rules.cel.errors import CelError
from rules.cel.temporal import Duration, Timestamp
from rules.cel.values import NONE, CelMap, Optional, UInt
from rules.codecs import UNDECODED, Avro
from rules.codecs.avro import ATTRIBUTE
from rules.codecs.avro.exact import Malformed, read_exactly
from rules.codecs.avro.generated import generate_cutter, generate_reader
from rules.codecs.avro.resolution import resolve
from rules.codecs.avro.schema import Schema
from rules.columns import Constant


def record(*fields: dict[str, Any] | tuple[str, Any], name: str = "Order") -> dict[str, Any]:
    """The schema of a record."""
    made = [field if isinstance(field, dict) else {"name": field[0], "type": field[1]} for field in fields]
    return {"type": "record", "name": name, "fields": made}


def written(schema: Any, value: object) -> bytes:
    """What fastavro writes."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


# There and back


@given(schemas_and_events(logical=True), st.sampled_from(["binary", "single_object", "confluent", "auto"]))
def test_an_event_survives_the_way_there_and_back(made: tuple[Any, Any], encoding: str) -> None:
    schema, event = made
    codec = Avro(schema=schema, encoding=encoding, schema_id=7).codec  # type: ignore[arg-type]  # one of them
    payload = codec.encode(event)
    assert codec.decode(payload) == event
    assert codec.encode_plain(event) == payload
    assert codec.decode_plain(payload) == event


@given(schemas_and_events())
def test_other_libraries_read_what_is_written(made: tuple[Any, Any]) -> None:
    schema, event = made
    payload = Avro(schema=schema).codec.encode(event)
    assert fastavro.schemaless_reader(io.BytesIO(payload), fastavro.parse_schema(schema), None) == event
    theirs = avro.schema.parse(json.dumps(schema))
    assert avro.io.DatumReader(theirs).read(avro.io.BinaryDecoder(io.BytesIO(payload))) == event


@given(schemas_and_events())
def test_what_other_libraries_write_is_read(made: tuple[Any, Any]) -> None:
    schema, event = made
    codec = Avro(schema=schema).codec
    payload = written(schema, event)
    # Of a union they take the first member that takes the value, if need be with less precision: so not the event.
    assert codec.decode(payload) == fastavro.schemaless_reader(io.BytesIO(payload), fastavro.parse_schema(schema))
    theirs = avro.schema.parse(json.dumps(schema))
    out = io.BytesIO()
    try:
        avro.io.DatumWriter(theirs).write(event, avro.io.BinaryEncoder(out))
    except avro.errors.AvroTypeException:
        return  # of a union with a map and a record it takes the wrong one, and then cannot write it
    out.seek(0)
    read = avro.io.DatumReader(theirs, theirs).read(avro.io.BinaryDecoder(out))
    assert codec.decode(out.getvalue()) == read


@given(st.data(), schemas_and_events(logical=True))
def test_the_generated_reader_reads_what_the_exact_one_does(data: st.DataObject, made: tuple[Any, Any]) -> None:
    """Of damaged payloads too: both refuse the same ones, and nothing but ValueErrors comes of it."""
    schema, event = made
    payload = data.draw(damaged(Avro(schema=schema).codec.encode(event)) | st.binary(max_size=12))
    type_ = Schema(schema).type
    plan = resolve(type_, type_)
    try:
        expected = repr(read_exactly(plan, payload))
    except ValueError:
        with pytest.raises(Exception):  # noqa: B017 - whatever it is, the exact reader is asked then
            generate_reader(plan)(payload)
    else:
        assert repr(generate_reader(plan)(payload)) == expected


@given(typed(), st.data())
def test_values_are_cut_apart_where_they_end(made: tuple[Any, Any], data: st.DataObject) -> None:
    schema, values = made
    codec = Avro(schema={"type": schema} if isinstance(schema, str) else schema).codec
    payloads = [codec.encode(event) for event in data.draw(st.lists(values, max_size=4))]
    type_ = Schema(schema).type
    cut = generate_cutter(resolve(type_, type_))
    assert cut(b"".join(payloads), len(payloads)) == payloads
    with pytest.raises(Malformed):
        cut(b"".join(payloads) + b"\0", len(payloads))


# Arbitrary bytes


@given(
    schemas_and_events(logical=True), st.binary(max_size=40), st.sampled_from(["auto", "single_object", "confluent"])
)
def test_arbitrary_bytes_are_a_value_or_a_value_error(made: tuple[Any, Any], payload: bytes, encoding: str) -> None:
    codec = Avro(schema=made[0], encoding=encoding).codec  # type: ignore[arg-type]  # one of them
    for start in (b"", b"\xc3\x01", b"\0"):
        with contextlib.suppress(ValueError):
            codec.decode(start + payload)


@given(
    st.text(max_size=30)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["type", "name", "items", "fields", "symbols", "default"]), inner, max_size=4
            )
        ),
        max_leaves=12,
    ).map(json.dumps)
)
def test_a_schema_that_comes_with_the_data_may_be_anything(text: str) -> None:
    bound = Avro().codec.bound
    assert bound is not None
    with contextlib.suppress(ValueError):
        bound(text)(b"\0")


def test_nesting_without_end_is_no_crash() -> None:
    codec = Avro(schema=record(("next", ["null", "Order"]))).codec
    with pytest.raises(ValueError, match="nested too deep to be read"):
        codec.decode(b"\x02" * 1_000_000 + b"\0")
    event: dict[str, Any] = {"next": None}
    for _ in range(100):
        event = {"next": event}
    assert codec.decode(codec.encode(event)) == event
    for _ in range(100_000):
        event = {"next": event}
    with pytest.raises(CelError, match="nests too deeply"):
        codec.encode(event)


def test_a_few_bytes_cannot_say_that_there_are_any_number_of_values() -> None:
    many = b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"
    for items in ("double", "string", {"type": "array", "items": "int"}):
        with pytest.raises(ValueError, match="items at byte 0, in 2 bytes"):
            Avro(schema={"type": "array", "items": items}).codec.decode(many + b"\0\0")
    for items in ("null", record(name="Empty"), record(("a", "null"))):
        with pytest.raises(ValueError, match="an array whose items have no bytes"):
            _ = Avro(schema={"type": "array", "items": items}).codec


@pytest.mark.parametrize(
    ("schema", "payload", "reason"),
    [
        ("string", b"", "it ends too early, at byte 0: 1 bytes from byte 0 on"),
        ("string", b"\x06ab", "it ends too early, at byte 3: 3 bytes from byte 1 on"),
        ("string", b"\x04a\xff", "not UTF-8 at byte 2"),
        ("string", b"\x03", "a length is negative, at byte 0"),
        ("string", b"\x02a!", "the value ends at byte 2, and 1 more follow"),
        ("boolean", b"\x02", "0x02 is no boolean, at byte 0"),
        ("int", b"\x80\x80\x80\x80\x10", "the int at byte 0 has more than 32 bits"),
        ("long", b"\x80" * 10, "the number at byte 0 does not end"),
        ("long", b"\xff" * 9 + b"\x7f", "the number at byte 0 has more than 64 bits"),
        (["null", "long"], b"\x04", "there is no branch 2 of the union, at byte 0"),
        (["null", "long"], b"\x01", "a branch is negative, at byte 0"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\x02", "there is no symbol 1 of E, at byte 0"),
        (
            {"type": "int", "logicalType": "date"},
            b"\xfe\xff\xff\xff\x0f",
            "the date is out of range: years 1 to 9999, at byte 0",
        ),
        (
            record(("id", "long"), ("user", record(("tags", {"type": "map", "values": "int"}), name="User"))),
            b"\x02\x02\x02x",
            "it ends too early, at byte 4: 1 bytes from byte 4 on (in user.tags['x'])",
        ),
        ({"type": "array", "items": "boolean"}, b"\x06\x01\x00\x05", "0x05 is no boolean, at byte 3 (in [2])"),
    ],
)
def test_what_cannot_be_read_says_why_and_at_which_byte(schema: Any, payload: bytes, reason: str) -> None:
    codec = Avro(schema={"type": schema} if isinstance(schema, str) else schema).codec
    with pytest.raises(ValueError, match=r"^not Avro of this schema: ") as caught:
        codec.decode(payload)
    assert str(caught.value) == f"not Avro of this schema: {reason}"


# What values are written as


@pytest.mark.parametrize(
    ("type_", "value", "read"),
    [
        ("long", UInt(5), 5),
        ("int", 4.0, 4),
        ("double", 3, 3.0),
        ("float", 0.1, 0.10000000149011612),
        ("double", math.inf, math.inf),
        ("string", Timestamp(0), "1970-01-01T00:00:00Z"),
        ("string", Duration(90), "90s"),
        ("bytes", "aGk=", b"hi"),
        (["null", "string"], NONE, None),
        (["null", "string"], Optional("a"), "a"),
        (["float", "double"], 0.1, 0.1),
        (["double", "float"], 0.5, 0.5),
        (["null", "double"], 7, 7.0),
        (["int", "long"], 2**40, 2**40),
        (["null", {"type": "int", "logicalType": "date"}, "string"], "2026-02-30", "2026-02-30"),
        (
            ["null", {"type": "long", "logicalType": "timestamp-millis"}],
            "2026-01-31T00:00:00.5Z",
            Timestamp(1769817600, 5 * 10**8),
        ),
        ({"type": "long", "logicalType": "timestamp-millis"}, Timestamp(1, 999_999_999), Timestamp(1, 999_000_000)),
        ({"type": "long", "logicalType": "timestamp-micros"}, 1_500_000, Timestamp(1, 500_000_000)),
        ({"type": "int", "logicalType": "date"}, Timestamp(-1), "1969-12-31"),
        ({"type": "int", "logicalType": "time-millis"}, "12:30", "12:30:00.000"),
        ({"type": "int", "logicalType": "time-millis"}, Duration(1, 5_999_999), "00:00:01.005"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}, 1.1, "1.10"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}, -7, "-7.00"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}, "1e1", "10.00"),
        (
            {"type": "fixed", "name": "F", "size": 3, "logicalType": "decimal", "precision": 6, "scale": 6},
            "-0.000001",
            "-0.000001",
        ),
        (
            {"type": "fixed", "name": "F", "size": 16, "logicalType": "uuid"},
            "{123E4567-e89b-12d3-a456-426614174000}",
            "123e4567-e89b-12d3-a456-426614174000",
        ),
        (
            {"type": "fixed", "name": "F", "size": 12, "logicalType": "duration"},
            {"months": 1, "days": 2, "millis": 2**32 - 1},
            {"months": 1, "days": 2, "millis": 2**32 - 1},
        ),
        ({"type": "map", "values": "int"}, CelMap([("a", 1)]), {"a": 1}),
    ],
)
def test_what_stands_for_a_value_is_written_as_it(type_: Any, value: object, read: object) -> None:
    codec = Avro(schema=record(("f", type_))).codec
    found = codec.decode(codec.encode({"f": value}))
    assert found == {"f": read}
    assert type(found["f"]) is type(read)


@pytest.mark.parametrize(
    ("type_", "value", "reason"),
    [
        ("int", 2**31, "event.f: the number does not fit into an int"),
        ("int", -(2**31) - 1, "event.f: the number does not fit into an int"),
        ("long", 2**63, "event.f: the number does not fit into a long"),
        ("int", True, "event.f: a bool is not an int"),
        ("int", 1.5, "event.f: a double is not an int"),
        ("float", 1e300, "event.f: the number does not fit into a float"),
        ("double", 10**400, "event.f: the number does not fit into a double"),
        ("string", 5, "event.f: an int is not a string"),
        ("string", "\ud800", "event.f: it is not valid Unicode"),
        (
            "bytes",
            "not base64",
            "event.f: text in a field of bytes should be base64; `bytes(...)` makes bytes of any text",
        ),
        ({"type": "fixed", "name": "F", "size": 2}, b"abc", "event.f: 3 bytes are not the 2 of F"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "B", "event.f: it is no symbol of E"),
        ({"type": "array", "items": "int"}, [1, 2, "x"], "event.f[2]: a string is not an int"),
        ({"type": "map", "values": "int"}, {"k": None}, "event.f['k']: null is not an int"),
        (["null", "int", "string"], [1], "event.f: a list is none of a union of null, int, string"),
        (["null", record(("a", "int"), name="In")], {"a": "x"}, "event.f.a: a string is not an int"),
        (["null", "int"], "x", "event.f: a string is not an int"),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 3, "scale": 2},
            "1.345",
            "event.f: the decimal has more than 2 decimals, and nothing is rounded",
        ),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 3, "scale": 2},
            10,
            "event.f: the decimal has more than 3 digits",
        ),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 3, "scale": 2},
            "1e999999999",
            "event.f: the decimal has more than 3 digits",
        ),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 3, "scale": 2},
            "ten",
            "event.f: a decimal is text such as 12.50",
        ),
        ({"type": "int", "logicalType": "date"}, "31.1.2026", "event.f: a date is text such as 2026-01-31"),
        (
            {"type": "long", "logicalType": "timestamp-millis"},
            "now",
            "event.f: 'now' is not a timestamp: RFC 3339 is expected, as in 2009-02-13T23:31:30Z",
        ),
        (record(("a", "int"), name="In"), {"a": 1, "b": 2, "c": 3}, "event.f: In has no field b, c"),
        (record(("a", "int"), name="In"), {}, "event.f.a: it is missing, and In has no default for it"),
    ],
)
def test_what_has_no_form_in_its_field_is_an_error_that_names_the_field(type_: Any, value: object, reason: str) -> None:
    with pytest.raises(CelError) as caught:
        Avro(schema=record(("f", type_))).codec.encode({"f": value})
    assert str(caught.value) == f"it cannot be written as Avro: {reason}"


def test_missing_fields_get_their_defaults_or_null() -> None:
    schema = record(
        {"name": "a", "type": "int", "default": 5},
        {"name": "b", "type": ["string", "null"]},
        {"name": "c", "type": "bytes", "default": "\u00ff"},
        {"name": "d", "type": {"type": "map", "values": "int"}, "default": {}},
        {"name": "e", "type": record({"name": "x", "type": "int", "default": 1}, name="In"), "default": {}},
        {"name": "f", "type": {"type": "long", "logicalType": "timestamp-millis"}, "default": 0},
    )
    codec = Avro(schema=schema).codec
    full = {"a": 5, "b": None, "c": b"\xff", "d": {}, "e": {"x": 1}, "f": Timestamp(0)}
    assert codec.decode(codec.encode({})) == full


def test_other_fields_are_refused_or_left_out() -> None:
    schema = record(("a", "int"))
    with pytest.raises(CelError, match="event: Order has no field b"):
        Avro(schema=schema).codec.encode({"a": 1, "b": 2})
    assert Avro(schema=schema, extra="drop").codec.encode({"a": 1, "b": 2}) == b"\x02"


# Schema resolution

EVOLVED = record(
    {"name": "total", "type": ["null", "double"], "aliases": ["amount"]},
    {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["UNKNOWN", "A"], "default": "UNKNOWN"}},
    {"name": "tags", "type": {"type": "array", "items": "string"}, "default": ["none"]},
    {"name": "id", "type": "string"},
    {"name": "seen", "type": {"type": "long", "logicalType": "timestamp-micros"}, "default": 0},
)
BEFORE = record(
    ("id", "bytes"),
    ("old", record(("deep", {"type": "array", "items": ["null", "string"]}), name="Old")),
    ("amount", "int"),
    ("kind", {"type": "enum", "name": "ns.Kind", "symbols": ["A", "B"]}),
)


@given(
    st.fixed_dictionaries(
        {
            "id": st.text("abc", max_size=3).map(str.encode),
            "old": st.fixed_dictionaries({"deep": st.lists(st.none() | st.text("xy"), max_size=3)}),
            "amount": st.integers(-5, 5),
            "kind": st.sampled_from("AB"),
        }
    )
)
def test_what_was_written_with_another_schema_is_read_as_ours(event: dict[str, Any]) -> None:
    """Aliases, promotions, defaults, fields that are left out, symbols that became unknown."""
    bound = Avro(schema=EVOLVED).codec.bound
    assert bound is not None
    decode = bound(json.dumps(BEFORE))
    first, second = (decode(Avro(schema=BEFORE).codec.encode(event)) for _ in range(2))
    assert first == {
        "total": float(event["amount"]),
        "kind": "A" if event["kind"] == "A" else "UNKNOWN",
        "tags": ["none"],
        "id": event["id"].decode(),
        "seen": Timestamp(0),
    }
    assert first["tags"] is not second["tags"]  # type: ignore[index]  # a default is nobody's to change for others


@given(schemas_and_events(logical=True))
def test_a_schema_resolved_with_itself_read_anew_changes_nothing(made: tuple[Any, Any]) -> None:
    schema, event = made
    codec = Avro(schema=schema).codec
    assert codec.bound is not None
    assert codec.bound(json.dumps(schema))(codec.encode(event)) == event


@pytest.mark.parametrize(
    ("writer", "reader", "reason"),
    [
        (
            record(("a", "int")),
            record(("a", "int"), ("b", "int")),
            "the field b of Order has no default, and was not written",
        ),
        (record(("a", "string")), record(("a", "int")), "a string cannot be read as an int"),
        (
            record(("a", "int")),
            record(("a", "int"), name="Other"),
            "the record Order is not the record Other, and none of its aliases",
        ),
        (record(("a", ["int", "string"])), record(("a", "int")), "a string cannot be read as an int"),
        (record(("a", "long")), record(("a", ["null", "string"])), "a long is none of a union of null, string"),
        (
            record(("a", {"type": "fixed", "name": "F", "size": 1})),
            record(("a", {"type": "fixed", "name": "F", "size": 2})),
            "the fixed F has 1 bytes, and the fixed F 2",
        ),
        (
            record(("a", {"type": "enum", "name": "E", "symbols": ["A", "B"]})),
            record(("a", {"type": "enum", "name": "E", "symbols": ["A"]})),
            "a symbol that our E does not have",
        ),
    ],
)
def test_what_cannot_be_resolved_says_why(writer: Any, reader: Any, reason: str) -> None:
    bound = Avro(schema=reader).codec.bound
    assert bound is not None
    with pytest.raises(ValueError, match=reason):
        bound(json.dumps(writer))(b"\x02\x02B")


# Forms


def test_a_single_object_has_the_fingerprint_of_its_schema() -> None:
    """The fingerprint is the one that other libraries compute, so that theirs is known."""
    schema = record(
        ("a", ["null", {"type": "fixed", "name": "x.F", "size": 2}]), ("b", {"type": "map", "values": "x.F"})
    )
    form = fastavro.schema.to_parsing_canonical_form(fastavro.parse_schema(schema))
    assert Schema(schema).canonical == form
    assert Schema(schema).fingerprint.hex() == fastavro.schema.fingerprint(form, "CRC-64-AVRO")
    payload = Avro(schema=schema, encoding="single_object").codec.encode({"a": None, "b": {}})
    assert payload == b"\xc3\x01" + Schema(schema).fingerprint + b"\0\0"
    with pytest.raises(ValueError, match="its fingerprint, at byte 2, is 0000000000000000"):
        Avro(schema=schema, encoding="single_object").codec.decode(b"\xc3\x01" + bytes(8) + b"\0\0")
    with pytest.raises(ValueError, match="it begins with 00 00, not c3 01"):
        Avro(schema=schema, encoding="single_object").codec.decode(b"\0\0")


def test_messages_of_older_writers_are_told_by_their_fingerprints() -> None:
    event = {"id": b"1", "old": {"deep": [None]}, "amount": 2, "kind": "B"}
    payload = Avro(schema=BEFORE, encoding="single_object").codec.encode(event)
    found = Avro(schema=EVOLVED, writers=(BEFORE,), encoding="single_object").codec.decode(payload)
    assert found == {"total": 2.0, "kind": "UNKNOWN", "tags": ["none"], "id": "1", "seen": Timestamp(0)}


def test_the_id_of_a_registry_is_checked_if_it_is_known() -> None:
    schema = record(("a", "int"))
    payload = Avro(schema=schema, encoding="confluent", schema_id=258).codec.encode({"a": 1})
    assert payload == b"\0\0\0\1\2\2"
    assert Avro(schema=schema, encoding="confluent").codec.decode(payload) == {"a": 1}
    with pytest.raises(ValueError, match=r"the id of its schema, at byte 1, is 258, not 3"):
        Avro(schema=schema, encoding="confluent", schema_id=3).codec.decode(payload)
    assert "schema_id" in Avro(schema=schema, encoding="confluent").cannot_encode
    with pytest.raises(ValueError, match=r"it ends too early, at byte 5"):
        Avro(schema=schema, encoding="confluent").codec.decode(payload[:5])


def test_without_a_schema_only_what_comes_with_one_can_be_read() -> None:
    codec = Avro().codec
    with pytest.raises(ValueError, match="its schema is not known"):
        codec.decode(b"\0")
    with pytest.raises(CelError, match="it should have a `schema`"):
        codec.encode({})
    assert "`schema`" in Avro().cannot_encode
    assert codec.bound is not None
    assert codec.bound('{"type":"int"}')(b"\2") == 1


@given(st.lists(st.sampled_from([b"\2", b"\4", b"", b"\2\2", b"\x80"]), max_size=8), st.integers(0, 3))
def test_many_values_at_once_are_what_each_is_alone(payloads: list[bytes], which: int) -> None:
    codec = Avro(schema={"type": "long"}).codec
    assert codec.decode_all is not None
    assert codec.bound is not None
    text = '{"type":"int"}'
    known = [None, Constant(text, len(payloads)), [text, None, "?"] * len(payloads), Constant("?", len(payloads))][
        which
    ]
    column = None if known is None else list(known)[: len(payloads)]
    for place, (payload, event) in enumerate(
        zip(payloads, codec.decode_all(payloads, column if which == 2 else known), strict=True)
    ):
        try:
            schema = None if column is None else column[place]
            expected: object = codec.decode(payload) if schema is None else codec.bound(schema)(payload)
        except ValueError:
            expected = UNDECODED
        assert event == expected


# Settings


def test_schemas_are_read_from_files() -> None:
    files = {"order.avsc": json.dumps(record(("a", "int"))).encode(), "bad.avsc": b"{", "text.avsc": b'"string"'}
    made = Avro(schema="order.avsc", writers=("order.avsc",)).loaded(files.__getitem__)
    assert made.codec.decode(b"\2") == {"a": 1}
    assert made == Avro(schema="order.avsc", writers=("order.avsc",)).loaded(files.__getitem__)
    assert hash(made) == hash(made.loaded(files.__getitem__))
    assert Avro(schema="text.avsc").loaded(files.__getitem__).codec.decode(b"\2a") == "a"
    with pytest.raises(ValueError, match=r"bad\.avsc is not JSON"):
        Avro(schema="bad.avsc").loaded(files.__getitem__)
    with pytest.raises(ValueError, match="has not been read"):
        _ = Avro(schema="order.avsc").codec


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "strin"}, 'there is no type "strin"'),
        ({}, "has no type"),
        ([], "a union of nothing"),
        ([["int"], "null"], "a union directly inside a union"),
        (["int", "int"], "a union with int twice"),
        ({"type": "array"}, "array without items"),
        ({"type": "record", "name": "R"}, "R: a record without fields"),
        ({"type": "record", "fields": []}, "record without a name"),
        (record(("a", "int"), ("a", "int")), "Order: two fields a"),
        (record(("a", {"type": "map", "values": "intt"})), 'Order: the field a: there is no type "intt"'),
        (record(("a", "Order")), "Order holds itself without end"),
        (record({"name": "a", "type": "int", "default": "x"}), "the default of the field a: it is not an int"),
        (
            record({"name": "a", "type": ["null", "int"], "default": "x"}),
            "the default of the field a: it is not a union",
        ),
        ({"type": "enum", "name": "E", "symbols": ["A", "A"]}, "E: symbols holds a name twice"),
        ({"type": "enum", "name": "E", "symbols": ["A"], "default": "B"}, "E: the default is none of the symbols"),
        ({"type": "fixed", "name": "F", "size": -1}, "F: a fixed without a size"),
        (record(("a", record(name="Order"))), "the name Order is used twice"),
    ],
)
def test_a_schema_that_is_none_says_why(schema: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^the Avro schema is not valid: .*{reason}|{reason}"):
        _ = Avro(schema=schema).codec


def test_a_record_may_hold_itself_by_a_way_that_ends() -> None:
    inner = record(("a", "Order"), name="In")
    schema = record(("x", ["null", inner]), ("y", {"type": "array", "items": "In"}))
    codec = Avro(schema=schema).codec
    event = {"x": {"a": {"x": None, "y": []}}, "y": [{"a": {"x": None, "y": []}}]}
    assert codec.decode(codec.encode(event)) == event


def test_what_a_test_gives_is_decoded_to_the_event() -> None:
    schema = record(("at", {"type": "long", "logicalType": "timestamp-millis"}))
    payload, attributes = Avro(schema=schema).given({"at": "1970-01-01T00:00:01Z"})
    assert attributes == {}
    assert Avro(schema=schema).codec.decode(payload) == {"at": Timestamp(1)}
    assert ATTRIBUTE == "avro_schema"
