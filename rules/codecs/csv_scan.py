"""Rows of CSV found by numpy: each byte that means something is looked at once, in C, and without the lock that lets
one thread run at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

_NEWLINE: Final = ord("\n")
_RETURN: Final = ord("\r")
_PIECE: Final = 64 << 10

Places = NDArray[np.intp]
Bytes = NDArray[np.uint8]


class Fields(Struct, frozen=True):
    """Where the fields of rows stand in the block that they were cut from: row i begins at ``starts[i]``, and its field
    j ends at ``ends[i, j]``. All are well quoted, and in UTF-8."""

    block: bytes
    quote: int
    starts: Places
    ends: Places

    @property
    def width(self) -> int:
        """How many fields each row has."""
        return int(self.ends.shape[1])

    def part(self, start: int, stop: int) -> Fields:
        """Those of the rows from ``start`` to ``stop``."""
        return Fields(self.block, self.quote, self.starts[start:stop], self.ends[start:stop])

    def column(self, at: int) -> list[str]:
        """A column (from 0), as the text of each row's field, without quotes."""
        data = np.frombuffer(self.block, np.uint8)
        starts = self.ends[:, at - 1] + 1 if at else self.starts
        ends = self.ends[:, at]
        quoted = data[starts] == self.quote
        if not quoted.any():
            return _texts(data, starts, ends)
        cells = _texts(data, starts, np.where(quoted, starts, ends))
        quote = chr(self.quote)
        for index in np.flatnonzero(quoted).tolist():
            content = self.block[starts[index] + 1 : ends[index] - 1].decode()
            cells[index] = content.replace(quote + quote, quote)
        return cells


def _texts(data: Bytes, starts: Places, ends: Places) -> list[str]:
    """The texts that stand there, none of which holds an end of line: put together, they are split in one go."""
    lengths = ends - starts + 1
    stops = lengths.cumsum()
    if not len(stops):
        return []
    places = np.repeat(starts - stops + lengths, lengths)
    places += np.arange(stops[-1])
    together = data[places]
    together[stops - 1] = _NEWLINE
    text: bytes = together[:-1].tobytes()
    return text.decode().split("\n")


class Cut(Struct, frozen=True):
    """The whole rows of a block, each without the end of its line.

    ``end`` is the byte after the last of them, ``size`` how many bytes they hold, ``longest`` how many the longest has.
    ``fields`` is None where rows have different numbers of fields, are not in UTF-8, or take a parser for another
    reason.
    """

    rows: list[bytes]
    end: int
    size: int
    longest: int
    fields: Fields | None


def cut(block: bytes, delimiter: bytes, quote: bytes) -> Cut | None:
    """The rows of a block that begins with one; None where it takes a slower look to tell: no row ends in it, one is
    empty, a quote is none of a quoted field, or ends of lines differ.

    ``delimiter`` and ``quote`` are one byte each, ``quote`` may be empty.
    """
    marks = _Marks.of(block, delimiter, quote)
    if marks is None:
        return None
    data, ends = marks.data, marks.ends
    starts = np.empty(len(ends), np.intp)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    returned = data[ends - 1] == _RETURN
    after = int(returned.any())
    lengths = ends - starts - after
    if lengths.min() <= 0 or (after and not returned.all()):
        return None
    hidden = marks.hidden
    if after:
        hidden = hidden[data[hidden - 1] == _RETURN]
    rows = _rows(block, hidden, starts, starts + lengths, b"\r\n" if after else b"\n")
    end = marks.end
    fields = marks.fields(block, starts, after) if _is_text(block, end) else None
    return Cut(rows, end, end - len(rows) * (1 + after), int(lengths.max()), fields)


def count(block: bytes, delimiter: bytes, quote: bytes) -> int | None:
    """How many rows these are; None where the last of them has no end, or it takes a slower look to tell."""
    marks = _Marks.of(block, delimiter, quote)
    return None if marks is None or marks.end < len(block) else len(marks.ends)


class _Marks(Struct, frozen=True):
    """The bytes of a block up to the ``end`` of its last row that mean something.

    ``places`` are those of delimiters and ends of lines outside quotes, ``kinds`` what stands there, ``ends`` the
    newlines that end rows, and ``hidden`` those inside quotes.
    """

    data: Bytes
    quote: int
    places: Places
    kinds: Bytes
    ends: Places
    hidden: Places

    @property
    def end(self) -> int:
        """The byte after the last row."""
        return int(self.ends[-1]) + 1

    @classmethod
    def of(cls, block: bytes, delimiter: bytes, quote: bytes) -> _Marks | None:
        """Those of a block; None when no row ends in it, or a quote neither begins nor ends a field, nor is one of
        two."""
        data = np.frombuffer(block, np.uint8)
        places = _places(data, [byte for byte in (b"\n", delimiter, quote, b"\r") if byte and byte in block])
        kinds = data[places]
        hidden = quotes = places[:0]
        if quote and quote in block:
            quoting = kinds == ord(quote)
            inside = np.bitwise_xor.accumulate(quoting)
            quotes, hidden = places[quoting], places[inside & (kinds == _NEWLINE)]
            outside = ~(inside | quoting)
            places, kinds = places[outside], kinds[outside]
        ends = places[kinds == _NEWLINE]
        if not len(ends):
            return None
        end = ends[-1]
        beside = [_NEWLINE, ord(delimiter), *quote]
        if not _well_quoted(data, quotes, beside):
            return None
        within = np.searchsorted(places, end) + 1
        hidden = hidden[: np.searchsorted(hidden, end)]
        return cls(data, ord(quote) if quote else -1, places[:within], kinds[:within], ends, hidden)

    def fields(self, block: bytes, starts: Places, after: int) -> Fields | None:
        """Where the fields of all rows end. ``after`` says how many bytes stand between the last one of a row and its
        newline."""
        places, kinds = self.places, self.kinds
        returns = kinds == _RETURN
        if np.count_nonzero(returns) != len(starts) * after:
            return None
        if after:
            places, kinds = places[~returns], kinds[~returns]
        width, rest = divmod(len(places), len(starts))
        if rest or (kinds[width - 1 :: width] != _NEWLINE).any():
            return None
        ends = places.reshape(-1, width)
        if after:
            ends[:, -1] -= after
        return Fields(block, self.quote, starts, ends)


def _places(data: Bytes, wanted: Sequence[bytes]) -> Places:
    """Where one of these bytes stands. Piece by piece: what fits into the cache of a core is looked at several times in
    the time in which memory is got once."""
    found = []
    is_wanted, is_one = np.empty(_PIECE, np.bool_), np.empty(_PIECE, np.bool_)
    for start in range(0, len(data), _PIECE):
        piece = data[start : start + _PIECE]
        either, one = is_wanted[: len(piece)], is_one[: len(piece)]
        either[:] = False
        for byte in wanted:
            np.equal(piece, ord(byte), out=one)
            np.logical_or(either, one, out=either)
        places = np.flatnonzero(either)
        places += start
        found.append(places)
    return np.concatenate(found) if found else np.empty(0, np.intp)


def _well_quoted(data: Bytes, quotes: Places, beside: Sequence[int]) -> bool:
    """Whether each of these quotes, in turns an opening and a closing one, stands beside what begins or ends a field,
    or beside another quote. Those after the last row count, too: one that is out of place ends no row."""
    if not len(quotes):
        return True
    closing = quotes[1::2]
    if len(closing) and closing[-1] == len(data) - 1:
        closing = closing[:-1]  # what follows is not here yet
    before, after = data[quotes[0::2] - 1], data[closing + 1]
    if quotes[0] == 0:
        before[0] = _NEWLINE
    return _are_among(before, beside) and _are_among(after, [*beside, _RETURN])


def _are_among(found: Bytes, bytes_: Sequence[int]) -> bool:
    among = found == bytes_[0]
    for byte in bytes_[1:]:
        among |= found == byte
    return bool(among.all())


def _is_text(block: bytes, end: int) -> bool:
    if block.isascii():
        return True
    try:
        block[:end].decode()
    except UnicodeDecodeError:
        return False
    return True


def _rows(block: bytes, hidden: Places, starts: Places, stops: Places, newline: bytes) -> list[bytes]:
    """The rows, split at every newline; those with hidden ones in them are put together again."""
    lines = block.split(newline)
    if not len(hidden):
        return lines[: len(starts)]
    rows: list[bytes] = []
    several, hiding = np.unique(np.searchsorted(stops, hidden), return_counts=True)
    done = 0
    begins, ends = starts[several].tolist(), stops[several].tolist()
    for row, extra, begin, end in zip(several.tolist(), hiding.tolist(), begins, ends, strict=True):
        more = row - len(rows)
        rows += lines[done : done + more]
        rows.append(block[begin:end])
        done += more + 1 + extra
    return rows + lines[done : done + len(starts) - len(rows)]


def fields_of(values: Sequence[bytes], delimiter: bytes, quote: bytes) -> Fields | None:
    """Where the fields of these rows stand; None where it takes a parser to tell. The rest is as of ``cut``."""
    block = b"\n".join([*values, b""])
    found = cut(block, delimiter, quote)
    if found is None or found.fields is None or found.end != len(block) or len(found.rows) != len(values):
        return None
    lengths = np.fromiter(map(len, values), np.intp, len(values)) + 1
    return found.fields if (found.fields.starts[1:] == lengths[:-1].cumsum()).all() else None
