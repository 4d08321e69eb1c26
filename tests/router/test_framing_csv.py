"""Rows of CSV in a stream: the same however it is chunked, after every restart, and whatever is wrong with some."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import pytest
from framings import CUTS, chunks, feed, restarted
from hypothesis import given
from hypothesis import strategies as st

from router.framing.csv import CsvRows
from rules.codecs import Csv
from rules.codecs.csv_rows import ATTRIBUTE

FIELD = st.text("ab,\n\"' é", max_size=6)
TABLE = st.lists(st.lists(FIELD, min_size=2, max_size=3), max_size=8)
ENDS = st.sampled_from(["\n", "\r\n"])


def written(table: list[list[str]], end: str) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=end).writerows(table)
    return out.getvalue().encode()


def read(data: bytes) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(data.decode(), newline="")) if row]


@given(TABLE, ENDS, CUTS)
def test_rows_are_those_that_the_standard_librarys_reader_sees(
    table: list[list[str]], end: str, cuts: list[int]
) -> None:
    data = written(table, end)
    framer = CsvRows(dialect=Csv(header=False)).framer(1000)
    framed = feed(framer, chunks(data, cuts))
    assert [Csv().codec.decode(value) for value in framed.values] == read(data)
    assert not framed.spoiled
    assert (framer.offset, framer.held) == (len(data), 0)


@given(TABLE, ENDS, CUTS, st.data())
def test_a_restart_goes_on_where_the_stream_was(
    table: list[list[str]], end: str, cuts: list[int], data: st.DataObject
) -> None:
    """After any chunk another framer takes over at the offset, with the header that the first one saw."""
    stream = written([["id", "note"], *table], end)
    parts = chunks(stream, cuts)
    got = restarted(CsvRows(), stream, parts, data.draw(st.integers(0, len(parts))), 1000)
    assert got.values == CsvRows().cut(stream, 1000).values
    assert got.known == {ATTRIBUTE: ["id", "note"]}


@given(st.binary(max_size=60).map(lambda data: data.replace(b"\0", b'"').replace(b"\1", b"\n")), CUTS)
def test_whatever_comes_every_byte_of_it_is_handed_over(data: bytes, cuts: list[int]) -> None:
    """Nothing is lost but ends of lines, and chunks make no difference."""

    def bare(values: Sequence[bytes]) -> bytes:
        return b"".join(values).replace(b"\r", b"").replace(b"\n", b"")

    rows = CsvRows(dialect=Csv(header=False))
    framed = feed(rows.framer(20), chunks(data, cuts))
    assert bare(framed.values) == bare([data])


FIELDS = st.sampled_from(["a", "", "é", "7", 'say "x"', "one\ntwo", "one\r\ntwo", "a,b", " ", '"', "\r"])
LARGE = st.lists(st.lists(FIELDS, min_size=2, max_size=3), min_size=1, max_size=6)
LOOSE = st.sampled_from(
    [b"", b'a"b,c\n', b'"a"b,c\n', b"a\rb,c\n", b"\n", b"\r\n", b"\xff,1\n", b'"x",y\r\n', b'"open,1\n']
)


@given(LARGE, ENDS, LOOSE, LARGE, CUTS, st.booleans())
def test_large_pieces_are_cut_as_small_ones_are(
    before: list[list[str]], end: str, loose: bytes, after: list[list[str]], cuts: list[int], header: bool
) -> None:
    """What is found by arrays is what is found line by line, whatever stands in between."""
    block, rest = written(before, end), written(after, end)
    data = block * (1 + 10_000 // len(block)) + loose + rest * (1 + 10_000 // len(rest))
    rows = CsvRows(dialect=Csv(header=header))
    large, small = feed(rows.framer(100_000), chunks(data, cuts)), rows.framer(100_000)
    slow = feed(small, [data[at : at + 5_000] for at in range(0, len(data), 5_000)])
    assert (large.values == slow.values, large.spoiled, large.known) == (True, slow.spoiled, slow.known)
    assert rows.join(large.values)[1].keys() <= large.spoiled.keys()


def test_the_size_and_the_fields_of_large_pieces_are_those_of_their_rows() -> None:
    data = b"id,note\n" + b'1,"a\nb"\n22,c\n' * 1000
    framed = CsvRows().framer(1000).feed(data + b"33,")
    assert framed.size == sum(map(len, framed.values))
    assert framed.fields is not None
    assert framed.fields.part(1, 3).column(1) == ["c", "a\nb"]
    assert framed.fields.part(1, 3).column(0) == ["22", "1"]


@pytest.mark.parametrize("header", [b'id,"no"te', b"id,no\rte"])
def test_a_header_that_cannot_be_read_is_taken_as_it_stands(header: bytes) -> None:
    """No byte of a file ends the source."""
    names = header.decode().split(",")
    assert CsvRows().cut(header + b"\n1,2\n", 100).known == {ATTRIBUTE: names}


def test_a_quote_that_is_never_closed_swallows_one_line() -> None:
    """Its line is spoiled, with the byte at which it stands, and the rows after it are rows."""
    data = b'a,"b\n' + b"1,2\n" * 50
    framed = CsvRows(dialect=Csv(header=False)).cut(data, 100)
    assert framed.values == [b'a,"b', *[b"1,2"] * 50]
    assert framed.spoiled == {0: "a quote in the line at byte 0 is not closed within max_record (100)"}


def test_a_stream_that_ends_inside_quotes_says_so() -> None:
    framed = CsvRows(dialect=Csv(header=False)).cut(b'1,2\n3,"x\ny', 100)
    assert framed.values == [b"1,2", b'3,"x\ny']
    assert framed.spoiled == {1: "a quote in the row at byte 4 is not closed before the stream ends"}


def test_a_row_that_is_too_long_is_spoiled_and_whole() -> None:
    framed = CsvRows(dialect=Csv(header=False)).cut(b"1\n" + b"x" * 30 + b"\n2\n", 20)
    assert framed.values == [b"1", b"x" * 30, b"2"]
    assert framed.spoiled == {1: "a row of 30 bytes at byte 2, longer than max_record (20)"}


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_the_header_is_no_record_and_may_bear_the_mark_of_spreadsheets(mark: bytes) -> None:
    framed = CsvRows().cut(mark + b'id,"a\nb"\r\n\r\n1,2\r\n', 100)
    assert framed.values == [b"1,2"]
    assert framed.attributes == {ATTRIBUTE: [["id", "a\nb"]]}


def test_columns_of_one_name_are_told_apart() -> None:
    framed = CsvRows().cut(b"a,a,,b,a_2\n1,2,3,4,5\n", 99)
    assert framed.attributes == {ATTRIBUTE: [["a", "a_2", "column_3", "b", "a_2_2"]]}


def test_configured_columns_replace_the_header_or_do_without() -> None:
    stream = b"a,b\n1,2\n"
    assert CsvRows(dialect=Csv(columns=("x", "y"))).cut(stream, 99).values == [b"a,b", b"1,2"]
    framed = CsvRows(dialect=Csv(columns=("x", "y"), header=True)).cut(stream, 99)
    assert (framed.values, framed.attributes) == ([b"1,2"], {})


def test_what_is_written_can_be_read() -> None:
    rows = CsvRows(dialect=Csv(columns=("a", "b")))
    data, failed = rows.document([b"1,2", b'"x\ny",3', b"4\n5,6"])
    assert data == b'a,b\n1,2\n"x\ny",3\n'
    assert failed == {2: "a payload that is not one row cannot be written as one"}
    assert CsvRows().cut(data, 99).values == [b"1,2", b'"x\ny",3']


@given(TABLE, st.integers(0, 40))
def test_a_torn_file_is_whole_up_to_its_last_row(table: list[list[str]], torn: int) -> None:
    data = written(table, "\n")
    torn_data = data[: max(0, len(data) - torn)]
    rows = CsvRows(dialect=Csv(header=False))
    end = rows.whole(lambda size, offset: torn_data[offset : offset + size], len(torn_data))
    whole = [written(table[:count], "\n") for count in range(len(table) + 1)]
    assert torn_data[:end] == max((piece for piece in whole if torn_data.startswith(piece)), key=len)
    assert rows.cut(torn_data[:end], 1000).spoiled == {}
    assert torn_data[:end] == data[:end]
