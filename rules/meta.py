"""What expressions see as ``meta``: what the source knows about a record. Read-only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rules.cel.compile_runtime import MISSING
from rules.cel.values import Timestamp
from rules.plan import Columns, Headers

FIXED: Final = frozenset({"key", "headers", "time", "source", "raw"})
"""The fields that every source can have; all others are attributes, by name."""


def readable(value: bytes) -> str | bytes:
    """Text where the bytes are valid UTF-8, else the bytes."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def headers_of(columns: Columns, index: int) -> dict[str, object]:
    """``meta.headers``: names in lower case; of a name that repeats, the last. Empty where there are none."""
    found = None if columns.headers is None else columns.headers[index]
    return {name.lower(): readable(value) for name, value in found or ()}


def header_of(columns: Columns, index: int, name: str) -> object:
    """``meta.headers[name]`` alone, or ``MISSING``."""
    found: Headers = () if columns.headers is None else columns.headers[index] or ()
    for own, value in reversed(found):
        if own.lower() == name:
            return readable(value)
    return MISSING


def key_of(columns: Columns, index: int) -> object:
    """``meta.key``, or ``MISSING``."""
    key = None if columns.keys is None else columns.keys[index]
    return MISSING if key is None else readable(key)


def time_of(columns: Columns, index: int) -> Timestamp:
    """``meta.time``: the record's own time, or when it was read."""
    time = None if columns.times is None else columns.times[index]
    return Timestamp.from_nanos(columns.arrived if time is None else time)


def attribute_of(columns: Columns, index: int, name: str) -> object:
    """An attribute of the source, or ``MISSING``."""
    column: Sequence[object] | None = columns.attributes.get(name)
    value = None if column is None else column[index]
    return MISSING if value is None else value


def meta_of(columns: Columns, index: int, source: str) -> dict[str, object]:
    """All of it. What the record does not have is absent."""
    found = {name: attribute_of(columns, index, name) for name in columns.attributes if name not in FIXED}
    found["key"] = key_of(columns, index)
    found["headers"] = headers_of(columns, index)
    found["time"] = time_of(columns, index)
    found["source"] = source
    found["raw"] = columns.values[index]
    return {name: value for name, value in found.items() if value is not MISSING}
