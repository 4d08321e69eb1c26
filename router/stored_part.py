"""A part as bytes, for a buffer on disk: what goes out, and all of what came that a dead letter would need.

Leases are left out: what is stored is safe, and its source may forget it. Replays of dead letters are never stored
here: they have a store already.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from operator import is_
from typing import Any

import msgspec

from router.batch import Batch
from router.part import Origin, Part
from router.storable import UNSTORABLE, pack, tame, tame_time
from rules.columns import Constant

_AS_READ = True
"""In the place of a column that goes out as it came."""


class _Stored(msgspec.Struct, array_like=True):
    """What is stored of a part. A column is a list, or a map from "" to the value that all records have."""

    flow: str
    source: str
    version: str
    read_at: float  # Unix seconds: the monotonic clock does not outlive the machine
    arrived: int
    values: list[bytes]
    keys: Any
    headers: Any
    times: Any
    attributes: dict[str, Any]
    rules: Any
    out_values: Any
    out_keys: Any
    out_headers: Any
    out_times: Any
    out_settings: dict[str, Any]
    ids: Any
    ids_last: float


_decode = msgspec.msgpack.Decoder(_Stored).decode


def pack_part(part: Part) -> bytes:
    """The part as bytes. No content makes it fail: what cannot be stored becomes text, as in dead letters."""
    origin, out = part.origin, part.batch
    whole = len(part.indices) == len(origin.batch) and all(map(is_, part.indices, range(len(origin.batch))))
    read = origin.batch if whole else origin.batch.select(part.indices)
    stored = _Stored(
        flow=origin.flow,
        source=origin.source,
        version=origin.version,
        read_at=time.time() - (time.monotonic() - origin.read_at),
        arrived=read.arrived,
        values=list(read.values),
        keys=_column(read.keys),
        headers=_column(read.headers),
        times=_column(read.times),
        attributes={name: _column(column) for name, column in read.attributes.items()},
        rules=_column(part.rules),
        out_values=_outgoing(out.values, read.values),
        out_keys=_outgoing(out.keys, read.keys),
        out_headers=_outgoing(out.headers, read.headers),
        out_times=_outgoing(out.times, read.times),
        out_settings={name: _column(column) for name, column in out.settings.items()},
        ids=_column(out.ids),
        ids_last=out.ids_last,
    )
    try:
        return pack(stored)
    except UNSTORABLE:
        return pack(_tamed(stored))


def unpack_part(body: bytes) -> Part:
    """The part that was packed. Raises ValueError when these bytes are none."""
    stored = _decode(body)
    count = len(stored.values)
    read = Batch(
        values=stored.values,
        keys=_restored(stored.keys, count),
        headers=_restored_headers(stored.headers, count),
        times=_restored(stored.times, count),
        attributes={name: _restored(column, count) or () for name, column in stored.attributes.items()},
        arrived=stored.arrived,
    )
    origin = Origin(
        read,
        flow=stored.flow,
        source=stored.source,
        version=stored.version,
        read_at=time.monotonic() - max(0.0, time.time() - stored.read_at),
    )
    out = Batch(
        values=read.values if stored.out_values is _AS_READ else stored.out_values,
        keys=read.keys if stored.out_keys is _AS_READ else _restored(stored.out_keys, count),
        headers=read.headers if stored.out_headers is _AS_READ else _restored_headers(stored.out_headers, count),
        times=read.times if stored.out_times is _AS_READ else _restored(stored.out_times, count),
        settings={name: _restored(column, count) or () for name, column in stored.out_settings.items()},
        ids=_restored(stored.ids, count),
        ids_last=stored.ids_last,
    )
    return Part(batch=out, origin=origin, indices=range(count), rules=_restored(stored.rules, count) or ())


def _column(column: Sequence[Any] | None) -> Any:
    return {"": column.value} if isinstance(column, Constant) else column


def _outgoing(out: Sequence[Any] | None, read: Sequence[Any] | None) -> Any:
    if out is None or read is None:
        return _column(out)
    return _AS_READ if out is read or list(out) == list(read) else _column(out)


def _restored(column: Any, count: int) -> Sequence[Any] | None:
    return Constant(column[""], count) if isinstance(column, dict) else column


def _restored_headers(column: Any, count: int) -> Sequence[Any] | None:
    if column is None:
        return None
    if isinstance(column, dict):
        return Constant(_pairs(column[""]), count)
    return list(map(_pairs, column))


def _pairs(headers: Any) -> Any:
    return None if headers is None else [(name, value) for name, value in headers]


def _tamed(stored: _Stored) -> _Stored:
    tamed = {name: tame(getattr(stored, name)) for name in stored.__struct_fields__}
    for name in ("times", "out_times"):
        column = getattr(stored, name)
        if column is not None and column is not _AS_READ:
            known = column.items() if isinstance(column, dict) else enumerate(column)
            times = {at: tame_time(moment) for at, moment in known}
            tamed[name] = times if isinstance(column, dict) else list(times.values())
    return _Stored(**tamed)
