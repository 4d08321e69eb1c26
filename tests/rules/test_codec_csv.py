"""CSV: rows to events and back, as RFC 4180 has them, one at a time and many at once."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.cel.errors import CelError
from rules.cel.values import Timestamp
from rules.codecs import UNDECODED, Csv
from rules.codecs.csv_rows import ATTRIBUTE
from rules.columns import Constant

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0")) | st.sampled_from(
    ["", '"', '""', ",", "\n", "a\nb", ' x "y" ', "é", "\u202e", "'", ";", "\t"]
)
DIALECTS = st.sampled_from(
    [{}, {"delimiter": ";"}, {"delimiter": "\t"}, {"quote": "'"}, {"delimiter": "|", "quote": "~"}]
)


@given(st.lists(TEXT, min_size=1, max_size=6), DIALECTS)
def test_a_row_survives_the_way_there_and_back(fields: list[str], dialect: dict[str, str]) -> None:
    codec = Csv(**dialect).codec  # type: ignore[arg-type]  # of the settings that the names say
    assert codec.decode(codec.encode(fields)) == fields


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), TEXT, min_size=1, max_size=5))
def test_an_event_survives_with_its_columns(event: dict[str, str]) -> None:
    """Columns that the configuration names, and columns that travel with the record."""
    named = Csv(columns=tuple(event)).codec
    assert named.decode(named.encode(event)) == event
    row, attributes = Csv().given(event)
    bound = Csv().codec.bound
    assert bound is not None
    assert bound(attributes[ATTRIBUTE]) is not None
    assert bound(attributes[ATTRIBUTE])(row) == event


ROWS = st.lists(
    st.lists(TEXT, min_size=1, max_size=4).map(lambda fields: Csv().codec.encode(fields))
    | st.sampled_from([b"", b'"open', b'a"b,c', b'"a"b,c', b"\xff,1", b"a\nb,c", b"1,2", b"1,2,3", b'"1","2"', b'x"']),
    max_size=12,
)


@given(ROWS, st.sampled_from([None, ["a", "b"], ["a"]]), st.booleans())
def test_many_rows_at_once_are_what_each_is_alone(rows: list[bytes], columns: list[str] | None, constant: bool) -> None:
    """However faulty its neighbours are, no row changes another; what is wrong is left to be decoded alone."""
    codec = Csv(types={"a": "integer"}).codec
    assert codec.decode_all is not None
    assert codec.bound is not None
    known = None if columns is None else Constant(columns, len(rows)) if constant else [list(columns) for _ in rows]
    decode = codec.decode if columns is None else codec.bound(columns)
    for row, event in zip(rows, codec.decode_all(rows, known), strict=True):
        if event is UNDECODED:
            with pytest.raises(ValueError, match=r"^not "):
                decode(row)
        else:
            assert event == decode(row)


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        (b"aaa,bbb,ccc", ["aaa", "bbb", "ccc"]),  # RFC 4180, section 2, rule 1
        (b'"aaa","bbb","ccc"', ["aaa", "bbb", "ccc"]),  # rule 5
        (b'"aaa","b\r\nbb","ccc"', ["aaa", "b\r\nbb", "ccc"]),  # rule 6
        (b'"aaa","b""bb","ccc"', ["aaa", 'b"bb', "ccc"]),  # rule 7
        (b" a , b ", [" a ", " b "]),  # rule 4: spaces are part of a field
        (b",,", ["", "", ""]),
        (b'"",""', ["", ""]),
        (b'""""', ['"']),
        (b'5" pipe,x', ['5" pipe', "x"]),  # no RFC: what programs write and read all the same
    ],
)
def test_the_corner_cases_of_the_standard(row: bytes, fields: list[str]) -> None:
    assert Csv().codec.decode(row) == fields
    assert next(csv.reader(io.StringIO(row.decode(), newline=""))) == fields


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (b'a,"b', "not CSV: the quote at byte 2 is not closed"),
        (b'a,"b"c', "not CSV: ',' expected after the quote at byte 4"),
        (b"a,b\nc,d", "not CSV: a line ends at byte 3, outside quotes"),
        (b'"b', "not CSV: the quote at byte 0 is not closed"),
        ('"é","b'.encode(), "not CSV: the quote at byte 5 is not closed"),
        (b'"a"b,c', "not CSV: ',' expected after the quote at byte 2"),
        (b"a,\xff", "not CSV: not UTF-8 at byte 2"),
        (b"1", "not a row of these columns: 1 field(s), and 3 column(s); the row ends at byte 1"),
        (b"1,2,3,4", "not a row of these columns: 4 field(s), and 3 column(s); the row ends at byte 7"),
        (b"x,2,3", "not a row of these columns: field 1, n, at byte 0: 'x' is no integer"),
        (b"1_0,2,3", "not a row of these columns: field 1, n, at byte 0: '1_0' is no integer"),
        (b"1,nan,3", "not a row of these columns: field 2, f, at byte 2: 'nan' is no number"),
        (b"1,2,maybe", "not a row of these columns: field 3, b, at byte 4: 'maybe' is neither true nor false"),
        ('1,2,"é"'.encode(), "not a row of these columns: field 3, b, at byte 5: 'é' is neither true nor false"),
        (b'"1","2","x,"', "not a row of these columns: field 3, b, at byte 9: 'x,' is neither true nor false"),
    ],
)
def test_what_is_no_row_says_why_and_where(row: bytes, why: str) -> None:
    codec = Csv(columns=("n", "f", "b"), types={"n": "integer", "f": "number", "b": "boolean"}).codec
    with pytest.raises(ValueError, match=r"^not ") as caught:
        codec.decode(row)
    assert str(caught.value) == why


def test_columns_have_types() -> None:
    types = {"n": "integer", "f": "number", "b": "boolean", "j": "json", "t": "text"}
    codec = Csv(columns=tuple(types), types=types).codec  # type: ignore[arg-type]  # the names of types
    huge = 12345678901234567890123
    row = f'{huge},1.50,TRUE,"{{""a"":[1]}}",01'.encode()
    assert codec.decode(row) == {"n": huge, "f": 1.5, "b": True, "j": {"a": [1]}, "t": "01"}
    assert codec.decode(b",,,,") == {"n": None, "f": None, "b": None, "j": None, "t": ""}


def test_values_are_written_as_text() -> None:
    codec = Csv(columns=("a", "b", "c", "d", "e", "f")).codec
    event = {"f": [1, "x"], "a": True, "b": None, "c": 1.5, "e": Timestamp(0, 0), "more": "left out"}
    assert codec.encode(event) == b'true,,1.5,,1970-01-01T00:00:00Z,"[1,""x""]"'


@pytest.mark.parametrize("value", ["text", 5, None, {"a": float("nan")}, {"a": "\ud800"}])
def test_what_has_no_row_is_an_error(value: object) -> None:
    with pytest.raises(CelError):
        Csv(columns=("a",)).codec.encode(value)


def test_without_quotes_what_would_need_them_is_an_error() -> None:
    codec = Csv(quote="").codec
    assert codec.decode(b'a,"b"') == ["a", '"b"']
    with pytest.raises(CelError, match="cannot be written as CSV"):
        codec.encode(["a,b"])


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"delimiter": '"'}, "delimiter and quote should differ"),
        ({"delimiter": "\n"}, "should be characters of ASCII"),
        ({"quote": "é"}, "should be characters of ASCII"),
        ({"columns": ["a", "a"]}, "columns should differ"),
        ({"columns": ["a"], "types": {"b": "integer"}}, "types should name columns; b is none"),
    ],
)
def test_settings_that_fit_no_file_are_refused(settings: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Csv.model_validate(settings)


@given(st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3), st.lists))
def test_a_column_of_json_holds_any_value(value: object) -> None:
    """A text that looks like another value, too."""
    codec = Csv(columns=("j",), types={"j": "json"}).codec
    assert codec.decode(codec.encode({"j": value, "other": 1})) == {"j": value}
