"""Records with their length before them: the same however the stream is chunked, after every restart, and when torn."""

from __future__ import annotations

import pytest
from framings import CUTS, chunks, feed, restarted, whole_until
from hypothesis import given
from hypothesis import strategies as st

from router.framing import PIECE, Framing
from router.framing.prefixed import Length, OctetCounted

LENGTHS = [Length(prefix_type=kind, order=order) for kind in ("u8", "u16", "u32", "u64") for order in ("big", "little")]
FRAMINGS: st.SearchStrategy[Framing] = st.sampled_from([*LENGTHS, Length(prefix_type="varint"), OctetCounted()])
RECORDS = st.lists(st.binary(min_size=1, max_size=20) | st.binary(min_size=120, max_size=140), max_size=12)
LIMIT = 1000


def joined(framing: Framing, records: list[bytes]) -> bytes:
    data, failed = framing.join(records)
    assert not failed
    return data


@given(FRAMINGS, RECORDS, CUTS)
def test_what_is_framed_comes_back_however_it_is_chunked(
    framing: Framing, records: list[bytes], cuts: list[int]
) -> None:
    data = joined(framing, records)
    framer = framing.framer(LIMIT)
    framed = feed(framer, chunks(data, cuts))
    assert (framed.values, framed.spoiled) == (records, {})
    assert (framer.offset, framer.held, framer.state) == (len(data), 0, {})
    assert framing.cut(data, LIMIT).values == records


@given(FRAMINGS, st.binary(max_size=200) | RECORDS.map(lambda r: joined(OctetCounted(), r) + b"x"), CUTS, st.data())
def test_whatever_comes_a_restart_goes_on_where_the_stream_was(
    framing: Framing, stream: bytes, cuts: list[int], data: st.DataObject
) -> None:
    """Records and reasons are the same; only of what cannot be read, more or less is shown."""
    parts = chunks(stream, cuts)
    got = restarted(framing, stream, parts, data.draw(st.integers(0, len(parts))), LIMIT)
    expected = framing.cut(stream, LIMIT)
    assert len(got.values) == len(expected.values)
    assert got.spoiled.keys() == expected.spoiled.keys()
    for index, value in enumerate(expected.values):
        broken = "nothing after it can be read" in expected.spoiled.get(index, "")
        assert value.startswith(got.values[index]) if broken else value == got.values[index]
        reasons = got.spoiled.get(index, ""), expected.spoiled.get(index, "")
        assert len({reason.partition(":")[0] for reason in reasons}) == 1


@given(FRAMINGS, st.binary(max_size=200), CUTS)
def test_whatever_comes_every_byte_is_accounted_for(framing: Framing, stream: bytes, cuts: list[int]) -> None:
    framer = framing.framer(LIMIT)
    fed = 0
    for part in chunks(stream, cuts):
        framer.feed(part)
        fed += len(part)
        assert framer.offset + framer.held == fed
    framer.finish()
    assert (framer.offset, framer.held) == (len(stream), 0)


@given(FRAMINGS, RECORDS, st.integers(0, 40))
def test_a_torn_file_is_whole_up_to_its_last_record(framing: Framing, records: list[bytes], torn: int) -> None:
    data = joined(framing, records)
    data = data[: max(0, len(data) - torn)]
    ends = [len(joined(framing, records[:count])) for count in range(len(records) + 1)]
    end = whole_until(framing, data)
    assert end == max(place for place in ends if place <= len(data))
    framed = framing.cut(data, LIMIT)
    if end < len(data):
        assert framed.spoiled == {len(framed.values) - 1: f"the stream ends inside the record at byte {end}"}
        assert framed.values[-1] == data[end:]
    assert framing.cut(data[:end], LIMIT).spoiled == {}


def test_a_file_of_many_blocks_is_whole_up_to_its_last_record() -> None:
    """Records that are longer than what is read at once, and ones that lie across two readings."""
    for framing in (Length(), OctetCounted(), Length(prefix_type="varint")):
        records = [b"x" * size for size in (3 << 20, 1, 1 << 20, 700_000, 700_000, 700_000, 5)]
        data = joined(framing, records)
        assert whole_until(framing, data) == len(data)
        assert whole_until(framing, data + data[:100]) == len(data)


@given(FRAMINGS, RECORDS, st.integers(1, 130), CUTS)
def test_what_is_too_long_is_spoiled_and_whole(
    framing: Framing, records: list[bytes], limit: int, cuts: list[int]
) -> None:
    data = joined(framing, records)
    framed = feed(framing.framer(limit), chunks(data, cuts))
    assert framed.values == records
    assert framed.spoiled.keys() == {index for index, record in enumerate(records) if len(record) > limit}
    for index, reason in framed.spoiled.items():
        place = len(joined(framing, records[:index]))
        assert reason == (f"a record of {len(records[index])} bytes at byte {place}, longer than max_record ({limit})")


def test_what_is_held_can_be_forgotten_and_read_again() -> None:
    framer = OctetCounted().framer(LIMIT)
    assert framer.feed(b"3 abc5 ab").values == [b"abc"]
    assert (framer.offset, framer.held) == (5, 4)
    framer.forget()
    assert framer.held == 0
    assert framer.feed(b"2 xy").values == [b"xy"]


# Octet counting (RFC 6587, section 3.4.1)


def test_messages_of_syslog_are_told_apart_by_their_octets() -> None:
    """A message may hold newlines, spaces, digits, and characters of several octets."""
    messages = ["<34>1 - - - - - - a\nb", "<34>1 - - - - - - 12 ab", "<34>é"]
    framed = OctetCounted().cut("".join(f"{len(m.encode())} {m}" for m in messages).encode(), LIMIT)
    assert [value.decode() for value in framed.values] == messages


@pytest.mark.parametrize(
    ("stream", "place"),
    [
        (b"3 abcx", 5),
        (b"3 abc\n3 abc", 5),
        (b"3 abc 3 abc", 5),
        (b"-1 a", 0),
        (b"+1 a", 0),
        (b"1x a", 0),
        (b"<34>1 - - - - - - m\n", 0),
        (b"12345678901 a", 0),
        (b"12345678901", 0),
        ("٣ abc".encode(), 0),  # a digit, but none of ASCII
    ],
)
def test_what_is_no_count_ends_the_stream_and_says_where(stream: bytes, place: int) -> None:
    framer = OctetCounted().framer(LIMIT)
    framed = feed(framer, [stream])
    *values, rest = framed.values
    assert values == ([b"abc"] if place else [])
    assert rest == stream[place:]
    assert framed.spoiled == {
        len(values): f"what stands at byte {place} is no length: {rest[:12]!r}; nothing after it can be read"
    }
    assert framer.state == {"broken": True}
    again = OctetCounted().framer(LIMIT, offset=framer.offset, state=framer.state)
    assert again.feed(b"3 abc").values == []
    assert (again.offset, again.state) == (len(stream) + 5, {"broken": True})


def test_a_count_of_nothing_is_no_record_and_none_is_written() -> None:
    """RFC 6587 has no such frames; whoever sends them means nothing by it."""
    assert OctetCounted().cut(b"0 3 abc00 03 def", LIMIT).values == [b"abc", b"def"]
    assert OctetCounted().join([b"a", b"", b"b"]) == (b"1 a1 b", {1: "the length before a record cannot say 0 bytes"})


# Binary lengths


@pytest.mark.parametrize("framing", [*LENGTHS, Length(prefix_type="varint")], ids=str)
def test_a_record_may_be_empty(framing: Length) -> None:
    """As a Protobuf message is in which everything has its default."""
    assert framing.cut(joined(framing, [b"", b"a", b""]), LIMIT).values == [b"", b"a", b""]


@pytest.mark.parametrize(
    ("framing", "data"),
    [
        (Length(prefix_type="u8"), b"\x03abc"),
        (Length(prefix_type="u16"), b"\x00\x03abc"),
        (Length(prefix_type="u16", order="little"), b"\x03\x00abc"),
        (Length(), b"\x00\x00\x00\x03abc"),
        (Length(prefix_type="u64", order="little"), b"\x03\x00\x00\x00\x00\x00\x00\x00abc"),
        (Length(prefix_type="varint"), b"\x03abc"),
    ],
    ids=str,
)
def test_lengths_are_as_they_are_set(framing: Length, data: bytes) -> None:
    assert framing.join([b"abc"]) == (data, {})
    assert framing.cut(data, LIMIT).values == [b"abc"]


def test_a_varint_is_as_protobuf_has_it() -> None:
    assert joined(Length(prefix_type="varint"), [b"x" * 300])[:2] == b"\xac\x02"
    assert Length(prefix_type="varint").cut(b"\x83\x00abc", LIMIT).values == [b"abc"]  # longer than it must be
    framed = Length(prefix_type="varint").cut(b"\x01a" + b"\xff" * 10, LIMIT)
    assert framed.values == [b"a", b"\xff" * 10]
    assert framed.spoiled[1].startswith("what stands at byte 2 is no length")


def test_a_length_that_no_memory_should_hold_ends_the_stream() -> None:
    """It is more likely to be something else than a length."""
    framed = Length().cut(b"\x00\x00\x00\x01a\xff\xff\xff\xffrest", LIMIT)
    assert framed.values == [b"a", b"\xff\xff\xff\xffrest"]
    assert framed.spoiled == {
        1: f"a record of {2**32 - 1} bytes at byte 5, longer than {PIECE}; nothing after it can be read"
    }


def test_what_no_length_can_say_is_left_out() -> None:
    data, failed = Length(prefix_type="u8").join([b"a", b"x" * 256, b"x" * 255])
    assert data == b"\x01a\xff" + b"x" * 255
    assert failed == {1: "the length before a record cannot say 256 bytes"}
