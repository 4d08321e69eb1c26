"""CSV (RFC 4180): a record is one row."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from rules.cel.errors import CelError
from rules.codecs.conversions import CONVERSIONS, TextType
from rules.codecs.format import UNDECODED, Codec, Decode, Format, in_text
from rules.columns import Constant

ATTRIBUTE: Final = "columns"
"""Under this name a source says, with each row, what the header of its stream was."""


class Csv(Format):
    """A row of comma-separated values (RFC 4180).

    The event is a map from column to text, or to what `types` makes of it. Where neither the stream nor `columns`
    names the columns, it is a list.
    """

    type: Literal["csv"] = "csv"
    """Comma-separated values."""
    columns: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)] | None = None
    """The names of the columns, in their order. To read, they replace those of the header; to write, they say what is
    written: fields of the event that are no column are left out, columns that it lacks are empty."""
    header: bool | None = None
    """Whether the first row of a stream (a file, a body) is a header. Read: by default it is, unless `columns` are
    given. Written: by default it is."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    """What separates fields: one character, such as `;` or a tab."""
    quote: Annotated[str, Field(max_length=1)] = '"'
    """What fields are quoted with: one character; none when it is empty."""
    types: Mapping[str, TextType] = Field(default_factory=dict)
    """What columns are, besides text: `integer`, `number`, `boolean` (true, false, 1, 0), or `json`. An empty field of
    such a column is null; one that is something else makes the record undecodable."""

    @model_validator(mode="after")
    def _is_one_language(self) -> Self:
        structural = {self.delimiter, self.quote}
        if structural & {"\r", "\n"} or not (self.delimiter + self.quote).isascii():
            raise ValueError("delimiter and quote should be characters of ASCII, and no ends of lines")
        if self.delimiter == self.quote:
            raise ValueError("delimiter and quote should differ")
        if self.columns is not None and (unknown := sorted(self.types.keys() - set(self.columns))):
            raise ValueError(f"types should name columns; {', '.join(unknown)} is none")
        if self.columns is not None and len(set(self.columns)) < len(self.columns):
            raise ValueError("columns should differ from each other")
        return self

    @property
    def reads_header(self) -> bool:
        """Whether the first row of a stream that is read is its header."""
        return self.columns is None if self.header is None else self.header

    def make(self) -> Codec:
        """The codec."""
        rows = Rows(self)
        return Codec(
            decode=rows.decode,
            decode_plain=rows.decode,
            encode=rows.encode,
            encode_plain=rows.encode,
            attribute=ATTRIBUTE if self.columns is None else "",
            bound=rows.bound,
            decode_all=rows.decode_all,
        )

    def row(self, fields: Iterable[object]) -> bytes:
        """One row, without the end of its line."""
        return Rows(self).write(fields)

    def given(self, event: object) -> tuple[bytes, Mapping[str, object]]:
        """A row, with its columns, that is decoded to this event."""
        if self.columns is None and isinstance(event, dict):
            return self.codec.encode(event), {ATTRIBUTE: list(event)}
        return self.codec.encode(event), {}


_END: Final = "\r\n"  # fields that hold one of these characters are quoted because of it


class _Echo:
    """What the csv module writes to: it hands over what it is given."""

    @staticmethod
    def write(text: str) -> str:
        return text


class Rows:
    """Rows of one dialect, read and written."""

    def __init__(self, format: Csv) -> None:  # noqa: A002 - the word of this package
        # The module's own limit is 128 KiB a field; how long a record may be is for its source to say.
        csv.field_size_limit(2**31 - 1)
        self._format = format
        self._dialect: dict[str, Any] = {
            "delimiter": format.delimiter,
            "quotechar": format.quote or None,
            "quoting": csv.QUOTE_MINIMAL if format.quote else csv.QUOTE_NONE,
        }
        # Without quotes nothing can be escaped; a field that would need it is refused when it is written.
        self._writer: Any = csv.writer(_Echo(), lineterminator=_END, **self._dialect)
        self._decoder = lru_cache(64)(self._decoder_of)

    # Reading

    def decode(self, payload: bytes) -> object:
        """A row by the configured columns, or as a list. Raises ValueError."""
        fields = self._fields(payload)
        columns = self._format.columns
        return fields if columns is None else self._event(columns, fields, payload)

    def bound(self, columns: object) -> Decode:
        """What reads rows of these columns. Raises ValueError when they are none."""
        return self._decoder(tuple(_names(columns)))

    def _decoder_of(self, columns: tuple[str, ...]) -> Decode:
        return lambda payload: self._event(columns, self._fields(payload), payload)

    def _fields(self, payload: bytes) -> list[str]:
        try:
            text = payload.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"not CSV: not UTF-8 at byte {error.start}") from error
        try:
            rows = list(csv.reader([text], strict=True, **self._dialect))
        except csv.Error as error:
            raise ValueError(f"not CSV: {self._why(text, error)}") from error
        return rows[0] if rows else []

    def _why(self, text: str, error: csv.Error) -> str:
        """What is wrong with a row, and where."""
        quote, delimiter = self._format.quote, self._format.delimiter
        at = 0
        while quote and text.startswith(quote, at):
            end = closing(text, quote, at)
            if end < 0:
                return f"the quote at byte {len(text[:at].encode())} is not closed"
            if end < len(text) and not text.startswith(delimiter, end) and text[end] not in "\r\n":
                return f"{delimiter!r} expected after the quote at byte {len(text[: end - 1].encode())}"
            at = end + 1
        return f"{error}"

    def _event(self, columns: Sequence[str], fields: list[str], payload: bytes) -> dict[str, object]:
        if len(fields) != len(columns):
            raise ValueError(
                f"not a row of these columns: {len(fields)} field(s), and {len(columns)} column(s); "
                f"the row ends at byte {len(payload)}"
            )
        event: dict[str, object] = dict(zip(columns, fields, strict=True))
        for name, kind in self._format.types.items():
            if name in event:
                text = fields[columns.index(name)]
                try:
                    event[name] = CONVERSIONS[kind](text)
                except ValueError as error:
                    place = columns.index(name) + 1
                    raise ValueError(f"not a row of these columns: field {place}, {name}, {error}") from error
        return event

    def decode_all(self, values: Sequence[bytes], known: Sequence[object] | None) -> Sequence[object]:
        """Many rows at once."""
        try:
            texts = list(map(bytes.decode, values))
        except UnicodeDecodeError:
            return self._one_by_one(values, known)
        rows = self._read(texts)
        # A row for each value, no more and no fewer: then none of them has run into the next.
        if len(rows) != len(values):
            return self._one_by_one(values, known)
        columns = self._format.columns
        if columns is not None or known is None:
            return rows if columns is None else self._events(columns, rows)
        if not isinstance(known, Constant):
            return self._one_by_one(values, known)
        return self._events(_names(known.value), rows)

    def _read(self, texts: Sequence[str]) -> list[Any]:
        reader = csv.reader(texts, strict=True, **self._dialect)
        rows: list[Any] = []
        while True:
            try:
                rows.extend(reader)
            except csv.Error:
                rows.append(UNDECODED)
            else:
                return rows

    def _events(self, columns: Sequence[str], rows: list[Any]) -> list[Any]:
        width = len(columns)
        conversions = [
            (columns.index(name), CONVERSIONS[kind]) for name, kind in self._format.types.items() if name in columns
        ]
        if conversions:
            return [self._converted(columns, conversions, row) for row in rows]
        return [
            dict(zip(columns, row)) if row.__class__ is list and len(row) == width else UNDECODED  # noqa: B905 - as long
            for row in rows
        ]

    @staticmethod
    def _converted(columns: Sequence[str], conversions: list[tuple[int, Callable[[str], object]]], row: Any) -> object:
        if row is UNDECODED or len(row) != len(columns):
            return UNDECODED
        try:
            for index, convert in conversions:
                row[index] = convert(row[index])
        except ValueError:
            return UNDECODED
        return dict(zip(columns, row, strict=True))

    def _one_by_one(self, values: Sequence[bytes], known: Sequence[object] | None) -> list[object]:
        events: list[object] = []
        for value, columns in zip(values, repeat(None) if known is None else known, strict=False):
            try:
                known_here = columns is not None and self._format.columns is None
                events.append(self.bound(columns)(value) if known_here else self.decode(value))
            except ValueError:
                events.append(UNDECODED)
        return events

    # Writing

    def encode(self, value: object) -> bytes:
        """An event as a row. Raises CelError for one that is neither map nor list."""
        if isinstance(value, Mapping):
            columns = self._format.columns
            return self.write(value.values() if columns is None else map(value.get, columns))
        if isinstance(value, list):
            return self.write(value)
        raise CelError("only a map or a list can be written as CSV")

    def write(self, fields: Iterable[object]) -> bytes:
        """Fields as a row. Raises CelError."""
        try:
            row: str = self._writer.writerow(
                [field if field.__class__ is str else _in_field(field) for field in fields]
            )
            return row[: -len(_END)].encode()
        except (csv.Error, UnicodeEncodeError) as error:
            raise CelError(f"it cannot be written as CSV: {error}") from error


def closing(text: str, quote: str, opening: int) -> int:
    """Where the quoted field that opens there is over, as the index after its closing quote; -1 when it is not."""
    at = opening
    while True:
        at = text.find(quote, at + 1)
        if at < 0:
            return -1
        if not text.startswith(quote, at + 1):
            return at + 1
        at += 1


def _names(columns: object) -> list[str]:
    if isinstance(columns, Sequence) and not isinstance(columns, str) and all(isinstance(n, str) for n in columns):
        return list(columns)
    raise ValueError(f"{ATTRIBUTE} should be a list of names")


def _in_field(value: object) -> str:
    return "" if value is None else in_text(value)
