"""Avro container files: the same records however a file is chunked and after every restart, and whatever is wrong."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import avro.datafile
import avro.io
import avro.schema
import fastavro
import pytest
from avro_schemas import damaged, schemas_and_events
from hypothesis import given
from hypothesis import strategies as st

from router.framing import FRAMINGS, Framed, Framer, framing_of
from router.framing.avro import AvroFile, AvroFramer
from router.framing.base import PIECE
from router.framing.packing import CODECS, Codec
from rules.codecs import Avro, Csv, Json
from rules.codecs.avro import ATTRIBUTE

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "fields": [{"name": "id", "type": "long"}, {"name": "note", "type": ["null", "string"], "default": None}],
}
ORDERS = Avro(schema=SCHEMA)
EVENTS = st.lists(
    st.fixed_dictionaries({"id": st.integers(-70, 70), "note": st.none() | st.text("ab", max_size=9)}), max_size=12
)
CUTS = st.lists(st.integers(1, 40), max_size=60)
LIMIT = 1 << 20


def file_of(codec: Codec = "none", payloads: Avro = ORDERS) -> AvroFile:
    framing = AvroFile(codec=codec).of(payloads)
    assert isinstance(framing, AvroFile)
    return framing


def payloads_of(events: Sequence[object]) -> list[bytes]:
    return [ORDERS.codec.encode(event) for event in events]


def container(events: Sequence[object], codec: str = "null", interval: int = 20) -> bytes:
    """A file that fastavro writes, with small blocks."""
    out = io.BytesIO()
    fastavro.writer(out, fastavro.parse_schema(SCHEMA), events, codec=codec, sync_interval=interval)
    return out.getvalue()


def chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    parts = []
    for cut in cuts:
        parts.append(data[:cut])
        data = data[cut:]
    return [part for part in [*parts, data] if part]


def feed(framer: Framer, parts: list[bytes], *, ends: bool = True) -> Framed:
    whole = Framed()
    for framed in [*map(framer.feed, parts), *([framer.finish()] if ends else [])]:
        for index, value in enumerate(framed.values):
            if index in framed.spoiled:
                whole.spoil(value, framed.spoiled[index])
            else:
                whole.growing().append(value)
        whole.known = framed.known or whole.known
    return whole


def events_of(framed: Framed) -> list[object]:
    """The events of records, as another reader's codec decodes them with the schema that came along."""
    bound = Avro().codec.bound
    assert bound is not None
    return [bound(framed.known[ATTRIBUTE])(value) for value in framed.values]


# Whatever is whole


@given(EVENTS, st.sampled_from(["null", "deflate", "bzip2", "xz", "snappy"]), CUTS)
def test_files_of_another_library_are_read_however_they_are_chunked(
    events: list[object], codec: str, cuts: list[int]
) -> None:
    data = container(events, codec)
    framer = AvroFile().framer(LIMIT)
    framed = feed(framer, chunks(data, cuts))
    assert not framed.spoiled
    assert events_of(framed) == events
    assert (framer.offset, framer.held) == (len(data), 0)


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "zstandard"])
def test_files_of_apaches_library_are_read(codec: str) -> None:
    events = [{"id": number, "note": "n" * number} for number in range(100)]
    out = io.BytesIO()
    writer = avro.datafile.DataFileWriter(
        out, avro.io.DatumWriter(), avro.schema.parse(json.dumps(SCHEMA)), codec=codec
    )
    for event in events:
        writer.append(event)
    writer.flush()
    assert events_of(AvroFile().cut(out.getvalue(), LIMIT)) == events


@given(st.lists(EVENTS, max_size=4), st.sampled_from(CODECS))
def test_other_libraries_read_what_is_written_in_pieces(pieces: list[list[object]], codec: Codec) -> None:
    framing = file_of(codec)
    data = framing.head + b"".join(framing.join(payloads_of(piece))[0] for piece in pieces)
    events = [event for piece in pieces for event in piece]
    if codec != "zstandard":  # each library lacks a codec or two
        assert list(fastavro.reader(io.BytesIO(data))) == events
    if codec not in ("snappy", "xz"):
        assert list(avro.datafile.DataFileReader(io.BytesIO(data), avro.io.DatumReader())) == events
    assert events_of(AvroFile().cut(data, LIMIT)) == events


@given(schemas_and_events(logical=True), st.integers(1, 3))
def test_records_of_any_schema_survive_a_file(made: tuple[Any, Any], count: int) -> None:
    payloads = Avro(schema=made[0])
    framing = file_of(payloads=payloads)
    values = [payloads.codec.encode(made[1])] * count
    data, failed = framing.document(values)
    assert not failed
    if values[0]:
        framed = AvroFile().cut(data, LIMIT)
        assert framed.values == values
        assert framed.known == {ATTRIBUTE: json.dumps(made[0], ensure_ascii=False, separators=(",", ":"))}


@given(EVENTS, CUTS, st.data())
def test_a_restart_goes_on_where_the_file_was(events: list[object], cuts: list[int], data: st.DataObject) -> None:
    """After any chunk another framer takes over at the offset, with what the first one knew of the header."""
    stream = container(events, "deflate")
    parts = chunks(stream, cuts)
    first = AvroFile().framer(LIMIT)
    got = feed(first, parts[: data.draw(st.integers(0, len(parts)))], ends=False)
    second = AvroFile().framer(LIMIT, offset=first.offset, state=json.loads(json.dumps(first.state)))
    rest = feed(second, [stream[first.offset :]])
    assert [*got.values, *rest.values] == AvroFile().cut(stream, LIMIT).values
    assert second.offset == len(stream)
    if rest.values:
        assert events_of(rest) == events[len(got.values) :]


def test_a_reader_may_begin_at_the_end_of_a_file() -> None:
    before = container([{"id": 1}])
    marker = before[-16:]

    def read(size: int, offset: int) -> bytes:
        return before[offset : offset + size]

    end = AvroFile().whole(read, len(before))
    framer = AvroFile().framer(LIMIT, offset=end, state=AvroFile().opening(read))
    assert end == len(before)
    assert events_of(framer.feed(b"\2\4\4\0" + marker)) == [{"id": 2, "note": None}]


def test_what_is_held_can_be_forgotten() -> None:
    data = container([{"id": 1}, {"id": 2}])
    framer = AvroFile().framer(LIMIT)
    framer.feed(data[:-5])
    framer.forget()
    assert framer.held == 0
    assert events_of(framer.feed(data[framer.offset :])) == [{"id": 1, "note": None}, {"id": 2, "note": None}]


def test_a_record_that_is_too_long_is_spoiled_alone() -> None:
    data = container([{"id": 1}, {"id": 2, "note": "x" * 40}, {"id": 3}], interval=1000)
    framed = AvroFile().cut(data, 20)
    assert [len(value) for value in framed.values] == [2, 43, 2]
    at = len(container([]))
    assert framed.spoiled == {1: f"a record of 43 bytes in the block at byte {at}, longer than max_record (20)"}


def test_an_empty_file_and_one_without_records() -> None:
    assert AvroFile().cut(b"", LIMIT).values == []
    framed = AvroFile().cut(container([]), LIMIT)
    assert (framed.values, framed.spoiled) == ([], {})


# Whatever is not


@given(EVENTS.filter(bool), st.integers(1, 60), CUTS)
def test_a_torn_file_gives_its_whole_blocks_and_then_the_rest(events: list[object], torn: int, cuts: list[int]) -> None:
    data = container(events)
    piece = data[: max(0, len(data) - torn)]
    framed = feed(AvroFile().framer(LIMIT), chunks(piece, cuts))
    whole = [value for index, value in enumerate(framed.values) if index not in framed.spoiled]
    assert whole == AvroFile().cut(data, LIMIT).values[: len(whole)]
    end = AvroFile().whole(lambda size, offset: piece[offset : offset + size], len(piece))
    assert list(framed.spoiled.values()) in (
        [],
        [f"the Avro file ends inside the block at byte {end}"],
        ["the Avro file ends inside the header at byte 0"],
    )
    assert AvroFile().cut(piece[:end], LIMIT).values == whole


@given(EVENTS, st.data(), CUTS, st.sampled_from(["null", "deflate"]))
def test_damage_costs_only_the_blocks_that_it_is_in(
    events: list[dict[str, Any]], data: st.DataObject, cuts: list[int], codec: str
) -> None:
    """A block with something done to it is one spoiled record with its byte; every other block is read."""
    stream = container(events, codec)
    start = len(container([], codec))
    marker = stream[start - 16 : start]
    blocks = [block + marker for block in stream[start:].split(marker)[:-1]]
    which = data.draw(st.integers(0, len(blocks) - 1)) if blocks else 0
    good = [AvroFile().cut(stream[:start] + block, LIMIT).values for block in blocks]
    if not blocks:
        return
    body = data.draw(damaged(blocks[which][:-16]))
    broken = [*blocks[:which], body + marker, *blocks[which + 1 :]]
    framed = feed(AvroFile().framer(LIMIT), chunks(stream[:start] + b"".join(broken), cuts))
    at = start + sum(map(len, blocks[:which]))
    others = [value for index, values in enumerate(good) if index != which for value in values]
    if framed.spoiled:
        assert list(framed.spoiled.values()) == [next(iter(framed.spoiled.values()))]
        assert next(iter(framed.spoiled.values())).startswith(f"the block at byte {at} of the Avro file is corrupt: ")
        (place,) = framed.spoiled
        assert framed.values[place] == body
        assert [*framed.values[:place], *framed.values[place + 1 :]] == others
    else:
        assert framed.values[: len(good[0]) if which else 0] == (good[0] if which else [])


def test_a_marker_that_is_gone_costs_two_blocks() -> None:
    data = container([{"id": number} for number in range(4)], interval=1)
    start = len(container([]))
    marker = data[start - 16 : start]
    first, second, *rest = data[start:].split(marker)
    broken = data[:start] + first + bytes(16) + second + marker + marker.join(rest)
    framed = AvroFile().cut(broken, LIMIT)
    assert list(framed.spoiled) == [0]
    assert f"the block at byte {start} of the Avro file is corrupt: it says that it has 2 bytes" in framed.spoiled[0]
    assert events_of(Framed(framed.values[1:], known=framed.known)) == [
        {"id": 2, "note": None},
        {"id": 3, "note": None},
    ]


@given(st.binary(max_size=60) | damaged(container([{"id": 1, "note": "ab"}] * 5)), CUTS)
def test_arbitrary_bytes_come_out_whole_or_spoiled(data: bytes, cuts: list[int]) -> None:
    """Nothing is raised, chunks make no difference, and all of it is read."""
    framer = AvroFile().framer(LIMIT)
    framed = feed(framer, chunks(data, cuts))
    once = AvroFile().cut(data, LIMIT)
    assert framed.values[: len(once.values) - 1] == once.values[:-1]
    assert framer.offset == len(data)
    if data and not data.startswith(b"Obj\1"):
        assert framed.spoiled


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            b"id,note\n1,2\n",
            r"an Avro file begins with b'Obj\x01', and this with b'id,n'; nothing after it can be read",
        ),
        (b"Obj\1\2\x16avro.schema\2{\0" + bytes(17), "the Avro file cannot be read: the schema is not valid: "),
        (b"Obj\1\2\x14avro.codec\2x\0" + bytes(17), "the header of the Avro file has no schema, or no codec"),
        (b'Obj\1\4\x16avro.schema\x0a"int"\x14avro.codec\2x\0' + bytes(17), "the codec of the Avro file is 'x', which"),
        (b'Obj\1\2\x16avro.schema\x0c"null"\0' + bytes(17), "have no bytes, and cannot be told apart"),
        (b"Obj\1\2\x01" + bytes(30), "the header of the Avro file is corrupt: before byte 6 it says that -1 bytes"),
        (b"Obj\1" + b"\x80" * 30, "the header of the Avro file is corrupt: the number at byte 4 does not end"),
    ],
)
def test_what_is_no_container_is_spoiled_and_passed_over(data: bytes, reason: str) -> None:
    framer = AvroFile().framer(LIMIT)
    framed = feed(framer, [data, b"more", b"and more"], ends=False)
    assert len(framed.spoiled) == 1
    assert reason in framed.spoiled[len(framed.values) - 1]
    assert framer.state == {"broken": True}
    assert AvroFile().framer(LIMIT, offset=framer.offset, state=framer.state).feed(data).values == []


def packed(count: bytes, stored: bytes, codec: str) -> bytes:
    start = container([], codec)
    return start + count + fastavro_long(len(stored)) + stored + start[-16:]


def fastavro_long(number: int) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", number)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (packed(b"\2", b"\xff\xff", "deflate"), "not deflate (Error -3"),
        (packed(b"\2", b"\x03", "deflate"), "its deflate breaks off"),
        (packed(b"\2", b"abcdefgh", "snappy"), "corrupt: "),
        (packed(b"\2", b"\x02\x04\2\0\0\0\0\0", "snappy"), "its checksum is another"),
        (packed(b"\2", b"\xff\xff\xff\xff\x0f\0\0\0\0", "snappy"), f"its content is longer than {PIECE} bytes"),
        (packed(b"\2", b"nothing", "zstandard"), "not zstandard"),
        (packed(b"\2", b"BZh9", "bzip2"), "its bzip2 breaks off"),
        (packed(b"\2", b"x", "null"), "its content is not 1 records of its schema"),
        (packed(b"\4", b"\2\0\2", "null"), "its content is not 2 records of its schema"),
        (packed(b"\x0c", b"\2\0", "null"), "it says that it has 6 records, in 2 bytes"),
        (packed(b"\1", b"\2\0", "null"), "it says that it has -1 records, in 2 bytes"),
        (packed(b"\x80" * 12, b"", "null"), "it does not begin with two numbers"),
    ],
)
def test_a_corrupt_block_says_what_is_wrong_and_the_next_ones_are_read(data: bytes, reason: str) -> None:
    good = b"\2\4\2\0" + data[-16:] if data.startswith(container([])[:-16]) else b""
    framed = AvroFile().cut(data + good, LIMIT)
    assert reason in framed.spoiled[0]
    assert framed.values[1:] == ([b"\2\0"] if good else [])


def test_a_block_that_explodes_is_spoiled() -> None:
    import zlib

    packer = zlib.compressobj(wbits=-15)
    bomb = b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(80)), packer.flush()])
    framed = AvroFile().cut(packed(b"\2", bomb, "deflate"), LIMIT)
    assert framed.spoiled == {0: framed.spoiled[0]}
    assert f"its content is longer than {PIECE} bytes" in framed.spoiled[0]


def test_a_block_longer_than_memory_should_hold_comes_in_pieces() -> None:
    """Every piece is spoiled, a restart between them goes on counting, and the block after it is read."""
    start = container([])
    marker = start[-16:]
    data = start + b"\2" + bytes(PIECE + 100) + marker + b"\2\4\2\0" + marker
    size = 8 << 20
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    framer = AvroFile().framer(LIMIT)
    first = feed(framer, parts[:-1], ends=False)
    assert [len(value) for value in first.values] == []
    last = feed(framer, parts[-1:], ends=False)
    assert [len(value) for value in [*first.values, *last.values]] == [PIECE + 101, 2]

    framer = AvroFile().framer(LIMIT)
    framer.feed(start)
    longer = [bytes(size)] * (PIECE // size + 1)
    first = feed(framer, longer, ends=False)
    assert list(first.spoiled.values()) == [f"part 1 of the block at byte {len(start)}, longer than {PIECE} bytes"]
    again = AvroFile().framer(LIMIT, offset=framer.offset, state=framer.state)
    rest = again.feed(bytes(size) + marker + b"\2\4\2\0" + marker)
    assert list(rest.spoiled.values()) == [
        f"part 2, the last of the block at byte {len(start)}, longer than {PIECE} bytes"
    ]
    assert rest.values[1:] == [b"\2\0"]
    assert "parts" not in again.state


# Writing


def test_the_header_of_a_file_is_always_the_same_and_another_for_another_schema() -> None:
    assert file_of().head == file_of().head
    other = Avro(schema={**SCHEMA, "name": "Other"})
    assert len({file_of().head, file_of("deflate").head, file_of(payloads=other).head}) == 3


def test_a_record_that_holds_the_marker_is_left_out() -> None:
    payloads = Avro(schema={"type": "bytes"})
    framing = file_of(payloads=payloads)
    marker = framing.head[-16:]
    values = [payloads.codec.encode(value) for value in (b"a", b"x" + marker, b"b", marker[:9], marker[9:])]
    data, failed = framing.document(values)
    assert failed == {1: "a record that holds the marker of its file cannot be written into it"}
    assert AvroFile().cut(data, LIMIT).values == [values[0], *values[2:]]


def test_long_writes_are_several_blocks() -> None:
    framing = file_of()
    values = [ORDERS.codec.encode({"id": 1, "note": "x" * 300_000})] * 8
    data, _ = framing.document(values)
    assert len(list(fastavro.block_reader(io.BytesIO(data)))) == 3
    assert framing.cut(data, LIMIT).values == values


def test_a_file_needs_a_schema_to_be_written() -> None:
    assert AvroFile().cannot_join == ""
    assert "encode: {type: avro" in AvroFile().of(Json()).cannot_join
    assert "`schema`" in AvroFile().of(Avro()).cannot_join
    assert "`binary`" in AvroFile().of(Avro(schema=SCHEMA, encoding="single_object")).cannot_join
    data, failed = AvroFile().of(Json()).document([b"{}"])
    assert data == b""
    assert list(failed) == [0]


def test_avro_in_streams_is_a_container_file_unless_something_stands_before_the_values() -> None:
    assert isinstance(framing_of(None, ORDERS), AvroFile)
    assert framing_of(None, ORDERS, messages=True) == FRAMINGS["whole"]()
    assert framing_of(None, Avro(schema=SCHEMA, encoding="confluent")) == FRAMINGS["length"]()
    assert framing_of(None, Csv()).type == "csv"


def test_a_state_that_means_nothing_does_no_harm() -> None:
    data = container([{"id": 1}])
    for state in ({"schema": "{", "codec": "none", "sync": data[-16:].hex()}, {"schema": 5}, {"codec": "none"}):
        framed = AvroFramer(LIMIT, 0, state).feed(data)
        assert framed.spoiled or framed.values
