"""The fields of many rows at once, by numpy, beside the csv module row by row."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.codecs import Csv
from rules.codecs.csv_scan import fields_of
from rules.columns import Constant

FEWEST = 64
GOOD = [b"1,a,x,9", b'2,"b, ""c""",y,', b'3,"d\ne\r\nf",z,7', '4,"é",ü,8'.encode(), b'"5",,"",""', b'6,"""",x,1']
HARD = [b"7,a", b"8,a,b,c,d", b'9,a"b,c,1', b'"10"x,a,b,c', b"11,a\rb,c,1", b"12,\xff,c,1", b"", b"13,a\n14,b,c,1"]
ODD = [b'15,"a,b,c', b'16,a,b,"c']


def by_parser(rows: list[bytes], wanted: list[int]) -> list[list[str]]:
    read = [next(csv.reader([row.decode()], strict=True)) for row in rows]
    return [[row[at] for row in read] for at in wanted]


def columns_of(rows: list[bytes], wanted: list[int], delimiter: bytes = b",", quote: bytes = b'"') -> list[list[str]]:
    fields = fields_of(rows, delimiter, quote)
    assert fields is not None
    return [fields.column(at) for at in wanted]


@given(
    st.lists(st.sampled_from(GOOD), min_size=1, max_size=6),
    st.lists(st.integers(0, 3), unique=True, min_size=1, max_size=3),
)
def test_it_is_what_a_parser_says(rows: list[bytes], wanted: list[int]) -> None:
    """Quotes, ends of lines in quotes, and what is not ASCII."""
    rows = rows * FEWEST
    assert columns_of(rows, wanted) == by_parser(rows, wanted)


@given(
    st.lists(st.sampled_from(GOOD), min_size=1),
    st.lists(st.sampled_from(HARD + ODD), min_size=1, max_size=3),
    st.data(),
)
def test_what_is_not_plain_is_left_to_a_parser(good: list[bytes], hard: list[bytes], data: st.DataObject) -> None:
    """One row of another width, or one that is not well quoted, and it does not answer: never wrongly."""
    rows = good * FEWEST
    for row in hard:
        rows.insert(data.draw(st.integers(0, len(rows))), row)
    fields = fields_of(rows, b",", b'"')
    assert fields is None or (fields.width != 4 and by_parser(rows, [0]) == [fields.column(0)])


@pytest.mark.parametrize("rows", [[b'"a,b', b'c",d\ne,f'], [b"a,b\nc,d", b'e,"f', b'g"'], [b'"a\n', b'b",c']])
def test_rows_that_make_up_for_each_other_are_not_taken_for_others(rows: list[bytes]) -> None:
    """A row that is two, and two rows that are one, are no two rows."""
    assert fields_of(rows * FEWEST, b",", b'"') is None


def test_other_dialects() -> None:
    """Any delimiter and quote of one byte, and none to quote with."""
    assert columns_of([b"'a;b';c"] * FEWEST, [0, 1], b";", b"'") == [["a;b"] * FEWEST, ["c"] * FEWEST]
    assert columns_of([b'"a\t"b'] * FEWEST, [1], b"\t", b"") == [['"b'] * FEWEST]


@given(st.lists(st.sampled_from(GOOD + HARD + ODD), min_size=FEWEST, max_size=FEWEST + 9))
def test_columns_are_those_of_whole_rows(rows: list[bytes]) -> None:
    """Reading a few columns finds the same values, and the same rows unreadable, as reading all of each."""
    codec = Csv(types={"d": "integer"}).codec
    known = Constant(["a", "b", "c", "d"], len(rows))
    assert codec.decode_columns is not None
    whole, columns = codec.decode_columns(rows, known, ["b", "d"], None)
    decode = codec.bound(known.value) if codec.bound is not None else codec.decode
    for index, row in enumerate(rows):
        try:
            event = decode(row)
        except ValueError:
            assert not whole[index]
        else:
            assert isinstance(event, dict)
            assert whole[index]
            assert [column[index] for column in columns if column is not None] == [event["b"], event["d"]]
