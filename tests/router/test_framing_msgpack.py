"""MessagePack objects in a stream: the same however it is chunked, after every restart, and when torn."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from framings import CUTS, chunks, feed, restarted, whole_until
from hypothesis import given
from hypothesis import strategies as st

from router.framing import PIECE, Framed
from router.framing.msgpack import MsgPackObjects

OBJECTS = MsgPackObjects()
LIMIT = 1000
Ext = msgspec.msgpack.Ext

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(max_size=40),
    st.binary(max_size=40),
    st.builds(Ext, st.integers(-128, 127).filter(lambda code: code != -1), st.binary(max_size=20)),
)
KEYS: st.SearchStrategy[Any] = st.text(max_size=3) | st.integers(-(2**63), 2**64 - 1)
PACKED = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=25,
).map(msgspec.msgpack.encode)
# Sizes said in more bytes than they need, by other writers.
LONG = st.sampled_from(
    [
        *(b"\xd9\x01a", b"\xda\x00\x01a", b"\xdb\x00\x00\x00\x01a", b"\xc5\x00\x01a", b"\xc6\x00\x00\x00\x01a"),
        *(b"\xdc\x00\x01\x01", b"\xdd\x00\x00\x00\x00", b"\xde\x00\x00", b"\xdf\x00\x00\x00\x01\x01\x02"),
        *(b"\xc7\x01\x05a", b"\xc8\x00\x01\x05a", b"\xc9\x00\x00\x00\x01\x05a", b"\xd4\x05a", b"\xca\0\0\0\0"),
        *(b"\xd6\xff\0\0\0\0", b"\xd7\xff" + bytes(8), b"\xc7\x0c\xff" + bytes(12), b"\xd8\x05" + bytes(16)),
        b"\x91" * 3000 + b"\x01",
    ]
)


RECORDS = st.lists(PACKED | LONG, max_size=40)


@given(RECORDS, CUTS)
def test_what_is_framed_comes_back_however_it_is_chunked(records: list[bytes], cuts: list[int]) -> None:
    data, failed = OBJECTS.join(records)
    assert not failed
    framer = OBJECTS.framer(PIECE)
    framed = feed(framer, chunks(data, cuts))
    assert (framed.values, framed.spoiled) == (records, {})
    assert (framer.offset, framer.held, framer.state) == (len(data), 0, {})


STREAMS = st.lists(PACKED | LONG | st.binary(max_size=8), max_size=12).map(b"".join)


@given(STREAMS, CUTS, st.data())
def test_whatever_comes_a_restart_goes_on_where_the_stream_was(
    stream: bytes, cuts: list[int], data: st.DataObject
) -> None:
    """Records and reasons are the same; only of what cannot be read, more or less is shown."""
    parts = chunks(stream, cuts)
    got = restarted(OBJECTS, stream, parts, data.draw(st.integers(0, len(parts))), LIMIT)
    expected = OBJECTS.cut(stream, LIMIT)
    assert got.spoiled == expected.spoiled
    assert len(got.values) == len(expected.values)
    for index, value in enumerate(expected.values):
        broken = "nothing after it can be read" in expected.spoiled.get(index, "")
        assert value.startswith(got.values[index]) if broken else value == got.values[index]


@given(STREAMS, CUTS)
def test_whatever_comes_every_byte_is_accounted_for(stream: bytes, cuts: list[int]) -> None:
    framer = OBJECTS.framer(LIMIT)
    fed = 0
    got: list[Framed] = []
    for part in chunks(stream, cuts):
        got.append(framer.feed(part))
        fed += len(part)
        assert framer.offset + framer.held == fed
    got.append(framer.finish())
    assert (framer.offset, framer.held) == (len(stream), 0)
    assert stream.startswith(b"".join(value for framed in got for value in framed.values))


@given(RECORDS, st.integers(0, 60))
def test_a_torn_file_is_whole_up_to_its_last_object(records: list[bytes], torn: int) -> None:
    data = b"".join(records)
    data = data[: max(0, len(data) - torn)]
    ends = [len(b"".join(records[:count])) for count in range(len(records) + 1)]
    end = whole_until(OBJECTS, data)
    assert end == max(place for place in ends if place <= len(data))
    framed = OBJECTS.cut(data, PIECE)
    if end < len(data):
        assert framed.spoiled == {len(framed.values) - 1: f"the stream ends inside the object at byte {end}"}
        assert framed.values[-1] == data[end:]


def test_a_file_of_many_blocks_is_whole_up_to_what_cannot_be_read() -> None:
    records = [msgspec.msgpack.encode("x" * size) for size in (3 << 20, 1, 1 << 20, 700_000, 700_000, 5)]
    data = b"".join(records)
    assert whole_until(OBJECTS, data) == len(data)
    assert whole_until(OBJECTS, data + data[:100]) == len(data)
    assert whole_until(OBJECTS, data + b"\x01\x92\x01\xc1" + data) == len(data) + 1


@given(RECORDS, st.integers(1, 30), CUTS)
def test_what_is_too_long_is_spoiled_and_whole(records: list[bytes], limit: int, cuts: list[int]) -> None:
    framed = feed(OBJECTS.framer(limit), chunks(b"".join(records), cuts))
    assert framed.values == records
    assert framed.spoiled == {
        index: f"an object of {len(record)} bytes at byte {len(b''.join(records[:index]))}, "
        f"longer than max_record ({limit})"
        for index, record in enumerate(records)
        if len(record) > limit
    }


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_many_objects_and_a_deep_one_among_them(size: int) -> None:
    """So many that they are skipped at once, in chunks of any size; what nests too deep for that does no harm."""
    records = [msgspec.msgpack.encode({"id": number, "note": "é" * (number % 50)}) for number in range(3000)]
    records[1500] = b"\x91" * 5000 + b"\xc0"
    data = b"".join(records)
    framed = feed(OBJECTS.framer(LIMIT * 10), [data[at : at + size] for at in range(0, len(data), size)])
    assert framed.values == records


def test_what_begins_no_object_ends_the_stream_and_says_where() -> None:
    framer = OBJECTS.framer(LIMIT)
    framed = feed(framer, [b"\x01\x02\x93\x01\xc1\x05"])
    assert framed.values == [b"\x01", b"\x02", b"\x93\x01\xc1\x05"]
    assert framed.spoiled == {2: "what stands at byte 4 begins no MessagePack object; nothing after it can be read"}
    again = OBJECTS.framer(LIMIT, offset=framer.offset, state=framer.state)
    assert again.feed(b"\x01\x02").values == []
    assert (again.offset, again.state) == (8, {"broken": True})


def test_what_is_held_can_be_forgotten_and_read_again() -> None:
    framer = OBJECTS.framer(LIMIT)
    assert framer.feed(b"\x01\x93\x01").values == [b"\x01"]
    assert (framer.offset, framer.held) == (1, 2)
    framer.forget()
    assert framer.held == 0
    assert framer.feed(b"\x92\x01\x02\x03").values == [b"\x92\x01\x02", b"\x03"]


def test_an_object_that_no_memory_should_hold_ends_the_stream() -> None:
    framer = OBJECTS.framer(LIMIT)
    block = bytes(8 << 20)
    parts = [framer.feed(part) for part in (b"\x01\xc6\xff\xff\xff\xff", *[block] * 9)]
    spoiled = [reason for framed in parts for reason in framed.spoiled.values()]
    assert spoiled == [f"an object at byte 1, longer than {PIECE} bytes; nothing after it can be read"]
    assert framer.held == 0


@pytest.mark.parametrize("payload", [b"", b"\x01\x02", b"\xc1", b"\x92\x01", b"\xa5abc"])
def test_what_is_not_one_object_is_left_out(payload: bytes) -> None:
    data, failed = OBJECTS.join([b"\x01", payload, b"\x91" * 3000 + b"\x02"])
    assert data == b"\x01" + b"\x91" * 3000 + b"\x02"
    assert list(failed) == [1]
