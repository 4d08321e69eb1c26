"""Newline framing, both ways."""

from __future__ import annotations

import json

import pytest
from framings import CUTS, chunks, feed
from hypothesis import given
from hypothesis import strategies as st

from router.framing import FRAMINGS
from router.framing.lines import LineFramer, frame_lines

CONTENT = st.lists(st.sampled_from([b"\n", b"\r", b"a", b"bc", b"\0", b"\xff", b"long line"]), max_size=60).map(
    b"".join
)


def plain_lines(data: bytes) -> list[bytes]:
    *ended, last = data.split(b"\n")
    return [line for line in [*(line.removesuffix(b"\r") for line in ended), last] if line]


@given(CONTENT, CUTS)
def test_lines_do_not_depend_on_chunks(data: bytes, cuts: list[int]) -> None:
    """However the stream is cut, the lines are those of the whole, and every byte is accounted for."""
    framer = LineFramer(limit=100)
    assert feed(framer, chunks(data, cuts)).values == plain_lines(data)
    assert framer.offset == len(data)
    assert framer.held == 0


@given(CONTENT, CUTS)
def test_what_framing_tells_by_the_way_is_true(data: bytes, cuts: list[int]) -> None:
    framer = LineFramer(limit=100)
    for framed in map(framer.feed, chunks(data, cuts)):
        assert framed.size in (-1, sum(map(len, framed.values)))
        assert framed.ascii in (None, all(map(bytes.isascii, framed.values))) or not framed.ascii


@given(CONTENT, CUTS, st.integers(1, 20), st.integers(0, 10), st.integers(1, 12))
def test_lines_in_blocks_are_the_same_lines(data: bytes, cuts: list[int], limit: int, more: int, span: int) -> None:
    """Whether they are handed over in blocks makes no difference to lines, reasons and places, nor to what is told."""
    parts = chunks(data, cuts)
    blocks, plain = LineFramer(limit, piece=limit + more, span=span), LineFramer(limit, piece=limit + more)
    for one, other in zip(map(blocks.feed, parts), map(plain.feed, parts), strict=True):
        assert (list(one.values), one.spoiled, blocks.offset) == (list(other.values), other.spoiled, plain.offset)
        assert (blocks.held, blocks.line, blocks.parts) == (plain.held, plain.line, plain.parts)
        assert [one.values[at] for at in range(len(one.values))] == list(other.values)
        assert one.size in (-1, sum(map(len, one.values)))
        assert one.ascii in (None, b"".join(one.values).isascii())
    assert blocks.finish().values == plain.finish().values


@given(CONTENT, CUTS, st.integers(1, 4))
def test_too_long_lines_are_spoiled_and_whole(data: bytes, cuts: list[int], limit: int) -> None:
    """Exactly the lines above the limit are spoiled; their bytes are all there."""
    lines = feed(LineFramer(limit), chunks(data, cuts))
    assert lines.values == plain_lines(data)
    assert set(lines.spoiled) == {index for index, line in enumerate(lines.values) if len(line) > limit}


@given(CONTENT, CUTS)
def test_pieces_are_bounded_and_add_up(data: bytes, cuts: list[int]) -> None:
    """A line above the size of a piece comes in pieces, all spoiled, that put together are the line."""
    lines = feed(LineFramer(limit=2, piece=3), chunks(data, cuts))
    expected = [line[at : at + 3] for line in plain_lines(data) for at in range(0, len(line), 3)]
    assert lines.values == expected
    assert all(len(lines.values[index]) <= 3 for index in range(len(lines.values)))


@given(CONTENT, CUTS, st.integers(1, 5), st.data())
def test_a_framer_goes_on_where_another_was(data: bytes, cuts: list[int], piece: int, draw: st.DataObject) -> None:
    """Begun anew at any place that was reached, framing gives what was still to come, piece numbers included."""
    parts = chunks(data, cuts)
    first = LineFramer(limit=1, piece=piece)
    stop = draw.draw(st.integers(0, len(parts)))
    before = [value for part in parts[:stop] for value in first.feed(part).values]
    again = LineFramer(limit=1, piece=piece, offset=first.offset, line=first.line, parts=first.parts)
    rest = data[first.offset :]
    assert [*before, *feed(again, chunks(rest, cuts)).values] == feed(LineFramer(1, piece=piece), [data]).values


def test_reasons_name_limit_size_and_place() -> None:
    """The reason of a long line says where it is, how long, and what the limit is; of a piece, which one."""
    lines = LineFramer(limit=4).feed(b"ok\r\nthis is long\r\nfine\n")
    assert lines.spoiled == {1: "a line of 12 bytes at byte 4, longer than max_record (4)"}
    pieces = feed(LineFramer(limit=4, piece=5), [b"ok\n", b"123456", b"789\nab\n"])
    assert pieces.values == [b"ok", b"12345", b"6789", b"ab"]
    assert pieces.spoiled == {
        1: "part 1 of a line at byte 3, longer than 5 bytes",
        2: "part 2, the last of a line at byte 3, longer than 5 bytes",
    }


LINE = st.binary(min_size=1, max_size=20).map(lambda data: data.replace(b"\n", b"n").rstrip(b"\r")).filter(bool)


@given(st.lists(LINE), CUTS)
def test_what_is_framed_comes_back(values: list[bytes], cuts: list[int]) -> None:
    """Records without newlines, written as lines and read again, are the same."""
    data, failed = frame_lines(values)
    assert not failed
    assert feed(LineFramer(limit=100), chunks(data, cuts)).values == values


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_json_with_newlines_becomes_one_line_and_stays_the_same(value: object) -> None:
    """Pretty-printed JSON is compacted to the same value on one line."""
    pretty = json.dumps([value, value], indent=1).encode()
    data, failed = frame_lines([b"first", pretty])
    assert not failed
    first, line = data.splitlines() if data.count(b"\n") == 2 else pytest.fail("not two lines")
    assert first == b"first"
    assert json.loads(line) == [value, value]


def test_compacting_changes_no_token() -> None:
    """Big integers, long decimals, repeated keys and escapes survive as they were written."""
    written = b'{"n" :\n 123456789012345678901234567890,"x":1.10000000000000000000001, "x":1E400,"s":"\\u00e9\\/"}'
    kept = b'{"n":123456789012345678901234567890,"x":1.10000000000000000000001,"x":1E400,"s":"\\u00e9\\/"}\n'
    assert frame_lines([written]) == (kept, {})


@pytest.mark.parametrize("payload", [b"two\nlines", b"\n", b'{"a": "b\nc"}', b"{}\n{}", b"[" * 5000 + b"\n", b"\xff\n"])
def test_other_payloads_with_newlines_are_refused_alone(payload: bytes) -> None:
    """What is not JSON and holds a newline is left out, with a reason; its neighbours are framed."""
    data, failed = frame_lines([b"before", payload, b"after"])
    assert data == b"before\nafter\n"
    assert list(failed) == [1]
    assert "newline" in failed[1]


@pytest.mark.parametrize("kind", ["newline", "null"])
@pytest.mark.parametrize("values", [[b""], [b"", b"a"], [b"a", b"", b"b"], [b"a", b""], [b"", b""]])
def test_an_empty_payload_is_left_out_and_told(kind: str, values: list[bytes]) -> None:
    """It would be passed over by whoever reads: no record is lost without a word."""
    data, failed = FRAMINGS[kind]().join(values)
    assert FRAMINGS[kind]().cut(data, 10).values == [value for value in values if value]
    assert failed.keys() == {index for index, value in enumerate(values) if not value}


@given(CONTENT, CUTS)
def test_what_is_told_to_be_lines_is(content: bytes, cuts: list[int]) -> None:
    framer, lines = LineFramer(1000), FRAMINGS["newline"]()
    for framed in [*map(framer.feed, chunks(content, cuts)), framer.finish()]:
        if framed.lines:
            assert all(value and b"\n" not in value for value in framed.values)
            assert lines.join_lines(framed.values) == lines.join(framed.values)
