"""The fields of many rows of CSV at once, found by numpy: each byte that means something is looked at once, in C."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_NEWLINE: Final = ord("\n")
_RETURN: Final = ord("\r")
FEWEST: Final = 64
"""Rows for which arrays are worth their making."""

Places = NDArray[np.intp]


def fields_of(
    values: Sequence[bytes], width: int, wanted: Sequence[int], delimiter: bytes, quote: bytes
) -> list[list[str]] | None:
    """For each wanted column (from 0) its field in every row; None where it takes a parser to tell.

    It answers for rows that are all of one ``width`` (at least 2), in UTF-8, and quoted as RFC 4180 has it.
    ``delimiter`` and ``quote`` are one byte each, ``quote`` may be empty.
    """
    if len(values) < FEWEST or width < 2:
        return None
    block = b"\n".join([*values, b""])
    ends = _ends(block, values, width, ord(delimiter), ord(quote) if quote else -1)
    if ends is None:
        return None
    try:
        text = block.decode()
    except UnicodeDecodeError:
        return None
    data = np.frombuffer(block, np.uint8)
    return [_column(block, text, data, *_spans(ends, at), quote.decode()) for at in wanted]


def _spans(ends: Places, at: int) -> tuple[Places, Places]:
    """Where a column begins and ends in each row."""
    if at:
        return ends[:, at - 1] + 1, ends[:, at]
    starts = np.zeros(len(ends), np.intp)
    starts[1:] = ends[:-1, -1] + 1
    return starts, ends[:, 0]


def _column(block: bytes, text: str, data: NDArray[np.uint8], starts: Places, ends: Places, quote: str) -> list[str]:
    spans = map(slice, starts.tolist(), ends.tolist())
    cells = list(map(text.__getitem__, spans)) if len(text) == len(block) else [block[span].decode() for span in spans]
    if quote:
        for index in np.flatnonzero(data[starts] == ord(quote)).tolist():
            cells[index] = cells[index][1:-1].replace(quote + quote, quote)
    return cells


def _ends(block: bytes, values: Sequence[bytes], width: int, delimiter: int, quote: int) -> Places | None:
    """Where each field ends, a line for each row; None when the rows are not all of that width, or not well quoted."""
    data = np.frombuffer(block, np.uint8)
    marks = (data == _NEWLINE) | (data == delimiter)
    if quote >= 0 and quote in block:
        marks |= data == quote
    if _RETURN in block:
        marks |= data == _RETURN
    places = np.flatnonzero(marks)
    kinds = data[places]
    quotes = kinds == quote
    if quotes.any():
        outside = _outside(data, places, quotes, delimiter, quote)
        if outside is None:
            return None
        places, kinds = places[outside], kinds[outside]
    rows = len(values)
    if len(places) != rows * width or _RETURN in kinds or np.count_nonzero(kinds == _NEWLINE) != rows:
        return None
    ends = places.reshape(rows, width)
    lengths = np.fromiter(map(len, values), np.intp, rows) + 1
    return ends if (ends[:, -1] + 1 == lengths.cumsum()).all() else None


def _outside(
    data: NDArray[np.uint8], places: Places, quotes: NDArray[np.bool_], delimiter: int, quote: int
) -> NDArray[np.bool_] | None:
    """Which of the places are outside quotes, and no quotes; None where a quote is none of a quoted field."""
    inside = np.bitwise_xor.accumulate(quotes)
    if inside[-1]:
        return None
    at = places[quotes]
    before = data[at[0::2] - 1]  # of the first byte, that is the newline at the end of all
    after = data[at[1::2] + 1]
    for beside in (before, after):
        if not ((beside == delimiter) | (beside == _NEWLINE) | (beside == quote)).all():
            return None
    return ~(inside | quotes)
