"""Rows of CSV (RFC 4180): lines, except that a quoted field may hold ends of lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal

from router.framing.base import PIECE, Framed, Framer, Framing, Pread, Remnant
from router.interfaces import Json
from rules.codecs import Codec, Csv, Format
from rules.codecs.csv_rows import ATTRIBUTE, csv_scan

_BLOCK = 1 << 20
_WORTH = 8 << 10
"""Fewer bytes are cut sooner than arrays of them are made."""
_NEWLINE = ord("\n")


class CsvRows(Framing):
    """A row of CSV is a record. The first row may be a header, which names the columns of all others."""

    type: Literal["csv"] = "csv"
    """Rows of CSV."""
    dialect: Csv | None = None
    """How rows are written, such as `{delimiter: ";"}`; by default as `decode`, or `encode`, says."""

    def of(self, payloads: Format) -> Framing:
        """The same with the dialect of the payloads, if it names none."""
        return CsvRows(dialect=payloads) if self.dialect is None and isinstance(payloads, Csv) else self

    @property
    def head(self) -> bytes:
        """The header."""
        columns = self._dialect.columns
        if columns is None or self._dialect.header is False:
            return b""
        return self._dialect.row(columns) + b"\n"

    def framer(self, limit: int, *, offset: int = 0, state: Mapping[str, Json] | None = None) -> Framer:
        """What cuts a stream."""
        return CsvFramer(self._dialect, limit, offset, state or {})

    def opening(self, read: Pread) -> dict[str, Json]:
        """The header."""
        framer = CsvFramer(self._dialect, PIECE, 0, {})
        framer.feed(read(_BLOCK, 0))
        return framer.state

    def join(self, values: Sequence[bytes]) -> tuple[bytes, dict[int, str]]:
        """Each row with the end of its line. A record that cannot be told from several rows is left out."""
        several = [value for value in values if _NEWLINE in value]
        failed: dict[int, str] = {}
        if several and self._count(b"\n".join([*several, b""])) != len(several):
            why = "a payload that is not one row cannot be written as one"
            failed = {index: why for index, value in enumerate(values) if self._count(value + b"\n") != 1}
            values = [value for index, value in enumerate(values) if index not in failed]
        return b"\n".join([*values, b""]), failed

    def _count(self, data: bytes) -> int:
        """How many rows these are; a negative number when they leave a field open."""
        dialect, scan = self._dialect, csv_scan() if len(data) >= _WORTH else None
        count = scan.count(data, dialect.delimiter.encode(), dialect.quote.encode()) if scan is not None else None
        if count is not None:
            return int(count)
        framer = CsvFramer(dialect, PIECE, 0, {ATTRIBUTE: []})
        rows = framer.feed(data).values
        return -1 if framer.held else len(rows)

    @property
    def _dialect(self) -> Csv:
        return self.dialect or Csv()

    def whole(self, read: Pread, size: int) -> int:
        """The end of the last row that is there to its end."""
        framer = CsvFramer(self._dialect, PIECE, 0, {ATTRIBUTE: []})
        at = 0
        while at < size and (block := read(_BLOCK, at)):
            framer.feed(block)
            at += len(block)
        return framer.offset


@cache
def _header_codec(delimiter: str, quote: str) -> Codec:
    """What reads headers: bodies of requests have one each."""
    return Csv(delimiter=delimiter, quote=quote).codec


def _distinct(names: list[str]) -> list[str]:
    """The names of columns, so that each is one: what repeats is numbered, what is empty is called by its place."""
    found: dict[str, None] = {}
    for place, name in enumerate(names, 1):
        name = name or f"column_{place}"
        number, made = 1, name
        while made in found:
            number += 1
            made = f"{name}_{number}"
        found[made] = None
    return list(found)


class CsvFramer(Remnant):
    """Cuts a stream of CSV into rows."""

    def __init__(self, dialect: Csv, limit: int, offset: int, state: Mapping[str, Json]) -> None:
        super().__init__(limit, offset)
        self._dialect = dialect
        self._quote = dialect.quote.encode()
        self._delimiter = dialect.delimiter.encode()
        columns = state.get(ATTRIBUTE)
        self._columns: list[str] | None = None
        if isinstance(columns, list):
            self._columns = [str(name) for name in columns]
        self._seen_header = self._columns is not None or not dialect.reads_header
        self._data = b""  # what is being cut
        self._altered = False  # whether more than one newline for each row is left out of it

    @property
    def state(self) -> dict[str, Json]:
        """The columns that the header named."""
        return {} if self._columns is None else {ATTRIBUTE: list(self._columns)}

    @property
    def _known(self) -> dict[str, object]:
        return {} if self._columns is None or self._dialect.columns is not None else {ATTRIBUTE: self._columns}

    def feed(self, chunk: bytes) -> Framed:
        """The rows that the chunk ends."""
        data = self._data = self.take(chunk)
        if len(data) >= _WORTH and (quick := self._quickly(data)) is not None:
            return quick
        lines = data.split(b"\n")
        tail = lines.pop()
        framed, begin = Framed(), self.offset
        self._altered = False
        if lines:
            tail = self._rows(lines, tail, framed)
        while len(tail) > self.limit and b"\n" in tail:
            # A quote that is never closed must not swallow the rest: its line stands for itself, and the next is a row.
            line, _, rest = tail.partition(b"\n")
            at = self.offset + len(data) - len(tail)
            framed.spoil(line, f"a quote in the line at byte {at} is not closed within max_record ({self.limit})")
            tail = self._rows(rest.split(b"\n")[:-1], rest.rpartition(b"\n")[2], framed) if b"\n" in rest else rest
        self._data = b""
        self.keep(tail, len(data) - len(tail))
        self._split_huge(framed)
        if not self._altered and not framed.spoiled:
            framed.size = self.offset - begin - len(framed.values)
        self._finish_batch(framed)
        return framed

    def _quickly(self, data: bytes) -> Framed | None:
        """The rows that end in ``data``, by numpy where it is installed; None where it takes a slower look."""
        scan = csv_scan()
        cut = scan.cut(data, self._delimiter, self._quote) if scan is not None else None
        if cut is None or cut.longest > self.limit or len(data) - cut.end > self.limit:
            return None
        rows, size, fields = cut.rows, cut.size, cut.fields
        if not self._seen_header:
            self._take_header(rows[0])
            size -= len(rows[0])
            rows, fields = rows[1:], fields and fields.part(1, len(rows))
        self._data = b""
        self.keep(data[cut.end :], cut.end)
        return Framed(rows, known=self._known, size=size, ascii=data.isascii() or None, fields=fields)

    def finish(self) -> Framed:
        """The last row, if the stream ends without a newline; its lines, if it ends inside quotes."""
        framed = Framed()
        rest = self._data = self.take(b"")
        if rest:
            lines = rest.split(b"\n")
            if self._is_open(lines[0]) and not self._closes(lines[1:]):
                framed.spoil(rest, f"a quote in the row at byte {self.offset} is not closed before the stream ends")
            else:
                self._add(framed, [rest])
        self.keep(b"", len(rest))
        self._finish_batch(framed)
        return framed

    def _rows(self, lines: list[bytes], tail: bytes, framed: Framed) -> bytes:
        """Add the rows that these lines end; back comes what waits for more, with ``tail`` at its end."""
        quote = self._quote
        # Quotes come in pairs, so that only a line with an odd number of them can leave a field open.
        # (A byte is looked for as a number: that spares half of the time.)
        byte = ord(quote) if quote else -1
        odd = [place for place, line in enumerate(lines) if byte in line and line.count(quote) & 1] if quote else []
        rows: list[bytes] = []
        begin, opened = 0, -1
        for place in odd:
            if opened >= 0:
                rows += lines[begin:opened]
                rows.append(b"\n".join(lines[opened : place + 1]))
                begin, opened = place + 1, -1
            elif self._is_open(lines[place]):
                opened = place
        if opened < 0:
            self._add(framed, rows + lines[begin:] if begin else lines)
            return tail
        self._add(framed, rows + lines[begin:opened])
        return b"\n".join([*lines[opened:], tail])

    def _add(self, framed: Framed, rows: list[bytes]) -> None:
        if not rows:
            return
        as_cut = len(rows)
        if b"\r" in self._data and any([row[-1:] == b"\r" for row in rows]):  # noqa: C419 - a list is quicker made
            rows = [row.removesuffix(b"\r") for row in rows]
            as_cut = -1
        if b"" in rows:
            rows = list(filter(None, rows))
        if rows and not self._seen_header:
            self._take_header(rows[0])
            rows = rows[1:]
        if len(rows) != as_cut:
            self._altered = True
        if rows and (len(rows[0]) > self.limit or (len(self._data) - self.held > self.limit < max(map(len, rows)))):
            for row in rows:
                if len(row) > self.limit:
                    at = self.offset + self._data.find(row)
                    framed.spoil(row, f"a row of {len(row)} bytes at byte {at}, longer than max_record ({self.limit})")
                else:
                    framed.growing().append(row)
        else:
            framed.growing().extend(rows)

    def _take_header(self, row: bytes) -> None:
        self._seen_header = True
        text = row.removeprefix(b"\xef\xbb\xbf").decode(errors="replace")  # the mark that spreadsheets write first
        try:
            names = _header_codec(self._dialect.delimiter, self._dialect.quote).decode(text.encode())
        except ValueError:  # badly quoted: as it stands
            names = text.split(self._dialect.delimiter)
        self._columns = _distinct(list(map(str, names))) if isinstance(names, list) else []

    def _is_open(self, line: bytes) -> bool:
        """Whether a line ends inside a quoted field. A quote inside a field that is not quoted is a character."""
        quote, delimiter = self._quote, self._delimiter
        first = line.find(quote) if quote else -1
        if first < 0:
            return False
        # Before the first quote nothing but delimiters counts, so that the field with it begins after the last of them.
        at = line.rfind(delimiter, 0, first) + 1
        while True:
            if line.startswith(quote, at):
                at += 1
                while (at := line.find(quote, at)) >= 0 and line.startswith(quote, at + 1):
                    at += 2
                if at < 0:
                    return True
            at = line.find(delimiter, at)
            if at < 0:
                return False
            at += 1

    def _closes(self, lines: list[bytes]) -> bool:
        return any(line.count(self._quote) & 1 for line in lines)

    def _split_huge(self, framed: Framed) -> None:
        """A line that memory should not hold is handed over in pieces."""
        while self.held > PIECE:
            data = self.take(b"")
            framed.spoil(data[:PIECE], f"{PIECE} bytes at byte {self.offset} of a line that is longer than that")
            self.keep(data[PIECE:], PIECE)

    def _finish_batch(self, framed: Framed) -> None:
        framed.known = self._known
