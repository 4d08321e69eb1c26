"""Rows of CSV (RFC 4180), read and written: one by one by the csv module, many at once column by column."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from itertools import repeat
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rules.cel.errors import CelError
from rules.codecs.conversions import CONVERSIONS, as_number, as_text
from rules.codecs.format import UNDECODED, Decode, Fields, in_text, write_json
from rules.columns import Constant

if TYPE_CHECKING:
    from rules.codecs.csv import Csv

ATTRIBUTE: Final = "columns"
"""Under this name a source says, with each row, what the header of its stream was."""

_read_numbers: Final = msgspec.json.Decoder(list[float]).decode
_FEWEST: Final = 64  # rows for which arrays are worth their making
_END_INSIDE: Final = re.compile(r"\r\n?+(?!\Z)|\n(?!\Z)")  # an end of line with something after it
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
        self._as_json = {name for name, kind in format.types.items() if kind == "json"}
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
        while True:
            if quote and text.startswith(quote, at):
                end = closing(text, quote, at)
                if end < 0:
                    return f"the quote at byte {len(text[:at].encode())} is not closed"
                if end < len(text) and not text.startswith(delimiter, end) and text[end] not in "\r\n":
                    return f"{delimiter!r} expected after the quote at byte {len(text[: end - 1].encode())}"
                at = end
            after = text.find(delimiter, at)
            field = text[at:] if after < 0 else text[at:after]
            if found := _END_INSIDE.search(field):
                return f"a line ends at byte {len(text[: at + found.start()].encode())}, outside quotes"
            if after < 0:
                break
            at = after + 1
        return f"{error}"

    def _event(self, columns: Sequence[str], fields: list[str], payload: bytes) -> dict[str, object]:
        if len(fields) != len(columns):
            raise ValueError(
                f"not a row of these columns: {len(fields)} field(s), and {len(columns)} column(s); "
                f"the row ends at byte {len(payload)}"
            )
        event: dict[str, object] = dict(zip(columns, fields, strict=True))
        types = self._format.types
        for place, (name, text) in enumerate(zip(columns, fields, strict=True), 1):
            if name in types:
                try:
                    event[name] = CONVERSIONS[types[name]](text)
                except ValueError as error:
                    at = self._begin(payload.decode(), place)
                    raise ValueError(
                        f"not a row of these columns: field {place}, {name}, at byte {at}: {error}"
                    ) from error
        return event

    def _begin(self, text: str, place: int) -> int:
        """The byte at which what a field holds begins, in a row that can be read; ``place`` counts from 1."""
        quote, at = self._format.quote, 0
        for _ in range(place - 1):
            after = closing(text, quote, at) if quote and text.startswith(quote, at) else at
            at = text.index(self._format.delimiter, after) + 1
        is_quoted = bool(quote) and text.startswith(quote, at)
        return len(text[: at + is_quoted].encode())

    def decode_all(self, values: Sequence[bytes], known: Sequence[object] | None) -> Sequence[object]:
        """Many rows at once."""
        columns = self._columns(known)
        if not columns:
            return self._one_by_one(values, known)
        whole, cells = self.decode_columns(values, known, columns)
        rows = zip(*(column for column in cells if column is not None), strict=True)
        return [
            dict(zip(columns, row, strict=True)) if read else UNDECODED for read, row in zip(whole, rows, strict=True)
        ]

    def decode_columns(
        self,
        values: Sequence[bytes],
        known: Sequence[object] | None,
        names: Sequence[str],
        fields: Fields | None = None,
    ) -> tuple[Sequence[bool], Sequence[Sequence[object] | None]]:
        """The fields of these names of many rows at once. What nothing reads is not touched, but for its type."""
        columns = self._columns(known)
        if not columns:
            return self._columns_of(self._one_by_one(values, known), names)
        types = self._format.types
        wanted = {name: at for at, name in enumerate(columns) if name in names or name in types}
        broken: set[int] = set()
        if fields is None and len(wanted) * 2 <= len(columns):
            fields = self._fields_of(values)
        if fields is not None and fields.width == len(columns):
            found = list(map(fields.column, wanted.values()))
        else:
            texts = self._texts(values)
            if texts is None:
                return self._columns_of(self._one_by_one(values, known), names)
            rows = self._rows(texts, len(columns), max(wanted.values(), default=0) + 1)
            broken = {place for place, row in enumerate(rows) if row is UNDECODED}
            for place in broken:
                rows[place] = [""] * len(columns)
            found = [[row[at] for row in rows] for at in wanted.values()]
        cells: dict[str, Sequence[object]] = {}
        for name, column in zip(wanted, found, strict=True):
            convert = CONVERSIONS[types.get(name, "text")]
            cells[name] = column if convert is as_text else _converted(convert, column, broken)
        whole: Sequence[bool] = Constant(True, len(values))
        if broken:
            whole = [place not in broken for place in range(len(values))]
        return whole, [cells.get(name) for name in names]

    def _fields_of(self, values: Sequence[bytes]) -> Fields | None:
        """Where the fields stand, by numpy where it is installed; None where each row has to be looked at."""
        scan = csv_scan() if len(values) >= _FEWEST else None
        if scan is None:
            return None
        fields: Fields | None = scan.fields_of(values, self._format.delimiter.encode(), self._format.quote.encode())
        return fields

    @staticmethod
    def _columns_of(
        events: Sequence[object], names: Sequence[str]
    ) -> tuple[Sequence[bool], Sequence[Sequence[object] | None]]:
        """Events that may have columns of their own, each. A row without any is left to be decoded alone."""
        whole = [isinstance(event, dict) and all(name in event for name in names) for event in events]
        return whole, [[event[name] if read else None for read, event in zip(whole, events)] for name in names]  # type: ignore[index]  # noqa: B905 - a dict where it was read

    def _columns(self, known: Sequence[object] | None) -> Sequence[str] | None:
        """The columns that all rows have; None where they differ, or there are none."""
        if self._format.columns is not None:
            return self._format.columns
        try:
            return _names(known.value) if isinstance(known, Constant) and known.value is not None else None
        except ValueError:
            return None

    @staticmethod
    def _texts(values: Sequence[bytes]) -> list[str] | None:
        try:
            return list(map(bytes.decode, values))
        except UnicodeDecodeError:
            return None

    def _rows(self, texts: Sequence[str], width: int, most: int) -> list[Any]:
        """The fields of each row, UNDECODED for what is none of this width. Those after ``most`` fields may be left
        together as one."""
        delimiter, quote = self._format.delimiter, self._format.quote
        # A row without quotes and ends of lines needs no parser.
        rows: list[Any] = [
            text.split(delimiter, most)
            if quote not in text and "\n" not in text and "\r" not in text and text.count(delimiter) == width - 1
            else None
            for text in texts
        ]
        hard = [place for place, row in enumerate(rows) if row is None]
        if width == 1:  # a row of nothing has no field
            hard = [place for place, row in enumerate(rows) if row is None or not row[0]]
        for place, row in zip(hard, self._parsed([texts[place] for place in hard]), strict=True):
            rows[place] = UNDECODED if row is UNDECODED or len(row) != width else row
        return rows

    def _parsed(self, texts: Sequence[str]) -> list[Any]:
        """What the csv module makes of each text; UNDECODED where it makes nothing of it."""
        reader = csv.reader(texts, strict=True, **self._dialect)
        rows: list[Any] = []
        while True:
            try:
                rows.extend(reader)
            except csv.Error:
                rows.append(UNDECODED)
            else:
                break
        # A row for each text, no more and no fewer: then none of them has run into the next.
        return rows if len(rows) == len(texts) else [self._parsed([text])[0] for text in texts]

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
            names = value if self._format.columns is None else self._format.columns
            fields: Iterable[object] = map(value.get, names)
            if self._as_json:
                fields = [_in_json(field) if name in self._as_json else field for name, field in zip(names, fields)]  # noqa: B905 - as many
            return self.write(fields)
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


@cache
def csv_scan() -> ModuleType | None:
    """``rules.codecs.csv_scan``, if numpy is installed. It is loaded with the first rows: that takes a tenth of a
    second. The threads for algebra that it would start beside are not needed."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from rules.codecs import csv_scan
    except ImportError:
        return None
    return csv_scan


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


def _converted(convert: Callable[[str], object], cells: Sequence[str], broken: set[int]) -> Sequence[object]:
    """The values of a column; of those that have none the places are added to ``broken``."""
    numbers = _numbers(cells) if convert is as_number else None
    if numbers is not None:
        return numbers
    try:
        return list(map(convert, cells))
    except ValueError:
        return [_attempt(convert, cell, place, broken) for place, cell in enumerate(cells)]


def _numbers(cells: Sequence[str]) -> Sequence[float] | None:
    """Cells that are all numbers as JSON writes them, which is the usual case, read at once; else None.

    JSON's negative zero is none, and a comma in a cell makes more numbers of it.
    """
    text = ",".join(cells)
    if "-0," in text or text.endswith("-0"):
        return None
    try:
        numbers = _read_numbers(f"[{text}]")
    except (msgspec.DecodeError, RecursionError):
        return None
    return numbers if len(numbers) == len(cells) else None


def _attempt(convert: Callable[[str], object], cell: str, place: int, broken: set[int]) -> object:
    try:
        return convert(cell)
    except ValueError:
        broken.add(place)
        return None


def _names(columns: object) -> list[str]:
    if isinstance(columns, Sequence) and not isinstance(columns, str) and all(isinstance(n, str) for n in columns):
        return list(columns)
    raise ValueError(f"{ATTRIBUTE} should be a list of names")


def _in_json(value: object) -> str | None:
    return None if value is None else write_json(value).decode()


def _in_field(value: object) -> str:
    return "" if value is None else in_text(value)
