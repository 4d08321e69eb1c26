"""CSV (RFC 4180): a record is one row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rules.codecs.conversions import TextType
from rules.codecs.csv_rows import ATTRIBUTE, Rows
from rules.codecs.format import Codec, Format


class Csv(Format):
    """A row of comma-separated values (RFC 4180).

    The event is a map from column to text, or to what `types` makes of it. Where neither the stream nor `columns`
    names the columns, it is a list. In a header, a name that repeats gets a number (`name_2`), and an empty one is
    `column_3`. A sink with `encode: same` passes rows on as they came, without their header; `encode` with `columns`
    writes one. Rules that look at a few columns of many rows are quicker with `pip install 'sluiceway[csv]'` (numpy).
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

    @property
    def stream_framing(self) -> Mapping[str, object]:
        """Rows, of which a quoted field may hold ends of lines."""
        return {"type": "csv"}

    @property
    def message_framing(self) -> Mapping[str, object]:
        """Every row is a record."""
        return self.stream_framing

    @property
    def cannot_be_chosen(self) -> str:
        """Without columns there is no header, and rows of different events do not go together."""
        if self.columns is None and self.header is not False:
            return "it should have `columns`, or `header: false` to write of each event the values in their order"
        return ""

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
            decode_columns=rows.decode_columns,
        )

    def row(self, fields: Iterable[object]) -> bytes:
        """One row, without the end of its line."""
        return Rows(self).write(fields)

    def given(self, event: object) -> tuple[bytes, Mapping[str, object]]:
        """A row, with its columns, that is decoded to this event."""
        if self.columns is None and isinstance(event, dict):
            return self.codec.encode(event), {ATTRIBUTE: list(event)}
        return self.codec.encode(event), {}
