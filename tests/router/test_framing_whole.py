"""A stream that is one record: the same however it is chunked, after every restart, and of any size."""

from __future__ import annotations

from framings import CUTS, chunks, feed, restarted, whole_until
from hypothesis import given
from hypothesis import strategies as st

from router.framing import PIECE
from router.framing.whole import Whole

LIMIT = 30
LONG = bytes(range(256)) * (PIECE // 256) + b"more"


@given(st.binary(max_size=60), CUTS, st.data())
def test_the_stream_is_the_record_however_it_is_chunked_and_wherever_reading_begins_again(
    stream: bytes, cuts: list[int], data: st.DataObject
) -> None:
    parts = chunks(stream, cuts)
    framer = Whole().framer(LIMIT)
    framed = feed(framer, parts)
    assert framed.values == ([stream] if stream else [])
    too_long = f"a record of {len(stream)} bytes, longer than max_record ({LIMIT})"
    assert framed.spoiled == ({0: too_long} if len(stream) > LIMIT else {})
    assert (framer.offset, framer.held, framer.state) == (len(stream), 0, {})
    got = restarted(Whole(), stream, parts, data.draw(st.integers(0, len(parts))), LIMIT)
    assert (got.values, got.spoiled) == (framed.values, framed.spoiled)


def test_what_no_memory_should_hold_comes_in_pieces() -> None:
    """Also when another framer goes on between two of them."""
    parts = [LONG[at : at + (20 << 20)] for at in range(0, len(LONG), 20 << 20)]
    expected = [LONG[:PIECE], LONG[PIECE:]]
    reasons = {
        0: f"part 1 of a record longer than {PIECE} bytes",
        1: f"part 2, the last of a record longer than {PIECE} bytes",
    }
    for stop in (0, len(parts)):
        got = restarted(Whole(), LONG, parts, stop, LIMIT)
        assert got.values == expected
        assert got.spoiled == reasons


def test_what_was_read_to_its_end_is_not_read_again() -> None:
    framer = Whole().framer(LIMIT)
    assert feed(framer, [b"abc"]).values == [b"abc"]
    assert feed(Whole().framer(LIMIT, offset=framer.offset, state=framer.state), []).values == []


def test_what_is_held_can_be_forgotten_and_read_again() -> None:
    framer = Whole().framer(LIMIT)
    framer.feed(b"abc")
    assert framer.held == 3
    framer.forget()
    assert feed(framer, [b"xyz"]).values == [b"xyz"]


def test_one_record_can_be_written_and_no_second() -> None:
    assert Whole().join([]) == (b"", {})
    assert Whole().join([b"a\n\0"]) == (b"a\n\0", {})
    why = "a stream holds one record only; choose another framing to write several"
    assert Whole().join([b"a", b"b", b"c"]) == (b"a", {1: why, 2: why})
    assert Whole().cannot_join == why
    assert not Whole().is_endless


@given(st.binary(max_size=60))
def test_of_a_torn_file_nobody_can_tell(data: bytes) -> None:
    assert whole_until(Whole(), data) == len(data)
