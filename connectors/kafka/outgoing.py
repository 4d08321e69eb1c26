"""Records as Kafka has them: null values and keys, headers, times in milliseconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import repeat
from operator import itemgetter
from typing import Any, TypeVar

from msgspec import Struct

from router import Batch, Constant

T = TypeVar("T")

Header = tuple[str, bytes]

_NONE: list[Header] = []
_EPOCH = datetime.fromtimestamp(0, UTC)
_MOST_OVERHEAD = 24
"""Bytes of a record besides its key, value and headers, at most: five lengths, a time and a place."""


class Records(Struct, frozen=True, eq=False):
    """Records of one partition, column by column, in their order. A column that is None is null for all of them."""

    values: Sequence[bytes | None]
    keys: Sequence[bytes | None] | None
    headers: Sequence[list[Header]] | None
    times: Sequence[int]

    def __len__(self) -> int:
        return len(self.values)

    def pick(self, indices: Sequence[int]) -> Records:
        """Those at these indices, which ascend."""
        if len(indices) == len(self):
            return self
        return Records(
            pick(self.values, indices),
            None if self.keys is None else pick(self.keys, indices),
            None if self.headers is None else pick(self.headers, indices),
            pick(self.times, indices),
        )

    def append_to(self, append: Callable[..., object]) -> None:
        """Give each record to the method ``append`` of a batch, without a loop of our own: that would take as long as
        the method."""
        keys = repeat(None) if self.keys is None else self.keys
        headers = repeat(_NONE) if self.headers is None else self.headers
        deque(map(append, range(len(self)), self.times, keys, self.values, headers), maxlen=0)

    def is_same(self, other: Records) -> bool:
        """Whether both make the same batch, byte for byte."""
        return len(self) == len(other) and all(
            a is b or (a is not None and b is not None and list(a) == list(b))
            for a, b in (
                (self.values, other.values),
                (self.keys, other.keys),
                (self.headers, other.headers),
                (self.times, other.times),
            )
        )

    @property
    def size(self) -> int:
        """About how many bytes they take without compression; never less."""
        size = sum(len(value) for value in self.values if value is not None) + _MOST_OVERHEAD * len(self)
        if self.keys is not None:
            size += sum(len(key) for key in self.keys if key is not None)
        if self.headers is not None:
            size += sum(2 * len(name) + len(value) + 4 for headers in self.headers for name, value in headers)
        return size


def pick(column: Sequence[T], indices: Sequence[int]) -> Sequence[T]:
    """What a column has at these indices, which ascend."""
    if isinstance(column, Constant):
        return Constant(column.value, len(indices))
    if len(indices) == len(column):
        return column
    if len(indices) < 2:
        return [column[index] for index in indices]
    picked: Sequence[T] = itemgetter(*indices)(column)
    return picked


class Defaults(Struct, frozen=True):
    """What records are sent with that chose nothing themselves. ``time``: Unix milliseconds."""

    key: bytes | None = None
    headers: Sequence[Header] = ()
    time: int | None = None
    tombstone: bool = False


def records_of(batch: Batch, defaults: Defaults, refused: dict[int, str]) -> Records:
    """The records of a batch.

    Those that cannot be sent go to ``refused``, with the reason; what stands in their place is not to be sent.
    """
    keys = _or_else(batch.keys, defaults.key, len(batch))
    own = list(defaults.headers)
    return Records(
        _values(batch, keys, defaults.tombstone, refused),
        keys,
        _headers(batch.headers, own, len(batch)),
        _times(batch, defaults.time, refused),
    )


def time_of(value: object) -> int:
    """Unix milliseconds of what a timestamp may be: those, or RFC 3339. Raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        made = int(value) if -1 < value < 1 << 63 else -1
    elif isinstance(value, str):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("it has no time zone")
        made = (moment - _EPOCH) // timedelta(milliseconds=1)
    else:
        made = -1
    if not 0 <= made < 1 << 63:
        raise ValueError("it is no time that Kafka has")
    return made


def _or_else(column: Sequence[T | None] | None, default: T | None, length: int) -> Sequence[T | None] | None:
    if column is None:
        return None if default is None else Constant(default, length)
    if default is None:
        return column
    if isinstance(column, Constant):
        return Constant(default, length) if column.value is None else column
    return [default if value is None else value for value in column]


def _headers(column: Sequence[Any] | None, own: list[Header], length: int) -> Sequence[list[Header]] | None:
    if column is None:
        return Constant(own, length) if own else None
    if isinstance(column, Constant):
        return Constant(own if column.value is None else list(column.value), length)
    return [own if headers is None else list(headers) for headers in column]


def _values(
    batch: Batch, keys: Sequence[bytes | None] | None, default: bool, refused: dict[int, str]
) -> Sequence[bytes | None]:
    column = _or_else(batch.settings.get("tombstone"), default or None, len(batch))
    if column is None or not any(column):
        return batch.values
    values: list[bytes | None] = list(batch.values)
    for index, tombstone in enumerate(column):
        if tombstone is True and keys is not None and keys[index] is not None:
            values[index] = None
        elif tombstone is True:
            refused[index] = "a tombstone needs a key: it says of that key that it is gone"
        elif tombstone:
            refused[index] = f"tombstone should be true or false, not {tombstone!r}"[:200]
    return values


def _times(batch: Batch, default: int | None, refused: dict[int, str]) -> Sequence[int]:
    """What was chosen, else what is configured, else the record's own time, else when it was read. The same whenever
    the batch is written again, or the brokers would not know it again."""
    own = _own_times(batch) if default is None else Constant(default, len(batch))
    column = batch.settings.get("timestamp")
    if column is None:
        return own
    times = list(own)
    for index, value in enumerate(column):
        if value is not None:
            try:
                times[index] = time_of(value)
            except ValueError as error:
                refused[index] = f"timestamp {value!r} should be RFC 3339, or Unix milliseconds: {error}"[:200]
    return times


def _own_times(batch: Batch) -> Sequence[int]:
    arrived = batch.arrived // 1_000_000
    if batch.times is None:
        return Constant(arrived, len(batch))
    if isinstance(batch.times, Constant):
        return Constant(arrived if batch.times.value is None else batch.times.value // 1_000_000, len(batch))
    return [arrived if time is None else time // 1_000_000 for time in batch.times]
