"""Records with a NUL after each: the same however the stream is chunked, after every restart, and when torn."""

from __future__ import annotations

import pytest
from framings import CUTS, chunks, feed, restarted, whole_until
from hypothesis import given
from hypothesis import strategies as st

from router.framing.lines import Newline, Null

RECORDS = st.lists(st.binary(min_size=1, max_size=20).map(lambda data: data.replace(b"\0", b"\n")), max_size=12)
STREAMS = st.lists(st.sampled_from([b"\0", b"\n", b"\r", b"a", b"\xff", b"record"]), max_size=40).map(b"".join)
LIMIT = 30


@given(RECORDS, CUTS)
def test_what_is_framed_comes_back_however_it_is_chunked(records: list[bytes], cuts: list[int]) -> None:
    """Newlines, and carriage returns before the NUL, are part of the record."""
    data, failed = Null().join(records)
    assert not failed
    framer = Null().framer(LIMIT)
    framed = feed(framer, chunks(data, cuts))
    assert (framed.values, framed.spoiled) == (records, {})
    assert (framer.offset, framer.held, framer.state) == (len(data), 0, {})


@given(STREAMS, CUTS, st.integers(1, 8), st.data())
def test_whatever_comes_a_restart_goes_on_where_the_stream_was(
    stream: bytes, cuts: list[int], limit: int, data: st.DataObject
) -> None:
    parts = chunks(stream, cuts)
    got = restarted(Null(), stream, parts, data.draw(st.integers(0, len(parts))), limit)
    expected = Null().cut(stream, limit)
    assert (got.values, got.spoiled) == (expected.values, expected.spoiled)
    assert expected.values == [record for record in stream.split(b"\0") if record]
    assert expected.spoiled.keys() == {place for place, value in enumerate(expected.values) if len(value) > limit}


@pytest.mark.parametrize("framing", [Null(), Newline()], ids=str)
@given(STREAMS, st.integers(0, 200_000))
def test_a_torn_file_is_whole_up_to_the_last_end_of_a_record(framing: Null | Newline, stream: bytes, more: int) -> None:
    """However far back that is."""
    end = whole_until(framing, stream + b"x" * more)
    assert end == stream.rfind(framing.end) + 1


def test_empty_records_are_none_and_a_last_one_may_lack_its_nul() -> None:
    assert Null().cut(b"\0\0a\0\0b", LIMIT).values == [b"a", b"b"]
    assert Null().cut(b"", LIMIT).values == []


def test_a_record_that_holds_a_nul_is_left_out() -> None:
    assert Null().join([b"a", b"b\0c", b"d"]) == (
        b"a\0d\0",
        {1: "a payload that holds a NUL cannot be ended by one"},
    )
    assert Null().join([]) == (b"", {})
