"""Records as aiokafka gives them, made into batches: column by column, and no column that nothing stands in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar, cast

from connectors.kafka.partitions import Partition
from router import Batch, Constant, Headers

T = TypeVar("T")


class Record(Protocol):
    """A record as aiokafka has parsed it."""

    @property
    def offset(self) -> int:
        """Where it stands in its partition."""

    @property
    def timestamp(self) -> int:
        """In Unix milliseconds; -1 where there is none."""

    @property
    def key(self) -> bytes | None:
        """What it belongs to."""

    @property
    def value(self) -> bytes | None:
        """The payload; None for a tombstone."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """Names, which may repeat, and values."""


Records = Sequence[Record]
Found = Sequence[tuple[Partition, Records]]
"""Records by partition, in order within each."""

BATCH_BYTES = 4 << 20
"""A batch of several records holds no more: what was compressed may be many times what was fetched."""


def cut(found: Found) -> Iterator[Found]:
    """The same records in groups that are small enough for a batch."""
    if sum([len(record.value or b"") for _, records in found for record in records]) <= BATCH_BYTES:
        yield found
        return
    group: list[tuple[Partition, Records]] = []
    held = 0
    for partition, records in found:
        start = 0
        for index, record in enumerate(records):
            size = len(record.value or b"")
            if held + size > BATCH_BYTES and (group or index > start):
                yield [*group, (partition, records[start:index])] if index > start else group
                group, held, start = [], 0, index
            held += size
        group.append((partition, records[start:]))
    yield group


def batch_of(found: Found, null: bytes) -> Batch:
    """The records as a batch; ``null`` stands for the value of one that has none (a tombstone)."""
    records = found[0][1] if len(found) == 1 else [record for _, records in found for record in records]
    given = [record.value for record in records]
    tombstones: Sequence[bool] = Constant(False, len(given))
    values = cast("list[bytes]", given)
    if None in given:
        tombstones = [value is None for value in given]
        values = [null if value is None else value for value in given]
    keys = [record.key for record in records]
    return Batch(
        values=values,
        keys=None if keys.count(None) == len(keys) else keys,
        headers=_headers(records),
        times=_times(records),
        attributes={
            "topic": _column(found, [partition.key[0] for partition, _ in found]),
            "partition": _column(found, [partition.key[1] for partition, _ in found]),
            "offset": _offsets(found),
            "tombstone": tombstones,
        },
        leases=_column(found, [partition.lease for partition, _ in found]),
    )


def _column(found: Found, values: Sequence[T]) -> Sequence[T]:
    """For each record what its partition has."""
    if all(value == values[0] for value in values):
        return Constant(values[0], sum(len(records) for _, records in found))
    column: list[T] = []
    for value, (_, records) in zip(values, found, strict=True):
        column += [value] * len(records)
    return column


def _offsets(found: Found) -> Sequence[int]:
    columns = [_offsets_of(records) for _, records in found]
    return columns[0] if len(columns) == 1 else [offset for column in columns for offset in column]


def _offsets_of(records: Records) -> Sequence[int]:
    """Of one partition. Most often one follows the other, so that nothing needs to be looked up."""
    first, last = records[0].offset, records[-1].offset
    return range(first, last + 1) if last - first + 1 == len(records) else [record.offset for record in records]


def _headers(records: Records) -> list[Headers | None] | None:
    headers = [record.headers for record in records]
    if not any(headers):
        return None
    # Kafka tells a header without a value from one whose value is empty; nothing else does.
    return [[(name, value or b"") for name, value in pairs] if pairs else None for pairs in headers]


def _times(records: Records) -> Sequence[int | None]:
    """In nanoseconds; -1 is what records have that were written before there were times."""
    times = [record.timestamp * 1_000_000 for record in records]
    return times if min(times) >= 0 else [None if time < 0 else time for time in times]
