"""The batch: records that travel together, column by column. An absent column costs nothing."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

from rules.codecs import Fields
from rules.columns import Constant, Lines

T = TypeVar("T")

Headers = Sequence[tuple[str, bytes]]
"""Headers of one record: names may repeat, values are bytes."""


class Lease:
    """The right to deliver what came from one partition. A source revokes it when it loses the partition.

    ``until``, on the clock of ``time.monotonic``, is for a source that keeps its partitions only as long as it is heard
    from, such as by heartbeats: past it the lease is over by itself, also when the process had been stopped meanwhile.
    What is over stays over, since deliveries may have been left out by then.
    """

    __slots__ = ("_over", "_writing", "_written", "partition", "until")

    def __init__(self, partition: str, until: float = math.inf) -> None:
        self.partition = partition
        self.until = until
        self._over = False
        self._writing: list[asyncio.Timeout | None] = []
        self._written = asyncio.Event()

    @property
    def revoked(self) -> bool:
        """Whether no delivery under this lease begins any more."""
        if not self._over and time.monotonic() > self.until:
            self._over = True
        return self._over

    def revoke(self) -> None:
        """From now on no delivery under this lease begins; one that is being written finishes."""
        self._over = True

    async def written(self) -> None:
        """Wait until no write is under way under this lease. After ``revoke()``, none begins: then what was not
        written by this reader of the partition never will be."""
        while self._writing:
            self._written.clear()
            await self._written.wait()

    def abandon(self) -> None:
        """Revoke it, and cut off the writes that are under way and can be: they have had their time to finish."""
        self.revoke()
        now = asyncio.get_running_loop().time()
        for limit in self._writing:
            if limit is not None and not limit.expired():
                limit.reschedule(now)

    def begin_write(self, limit: asyncio.Timeout | None) -> None:
        """A write under this lease begins, which ``limit`` cuts off; None, when nothing can."""
        self._writing.append(limit)

    def end_write(self, limit: asyncio.Timeout | None) -> None:
        """It has ended, whatever became of it."""
        self._writing.remove(limit)
        if not self._writing:
            self._written.set()


@dataclass(slots=True, eq=False)
class Batch:
    """Records that travel together.

    ``values`` are the payloads. Every other column is absent (None, or no entry) or as long as ``values``.

    - ``token``: what the source needs to acknowledge the batch. Opaque; belongs to one ``open()``.
    - ``keys``, ``headers``, ``times`` (Unix nanoseconds): where the source has them; towards a sink, what goes out.
    - ``arrived``: when the batch was read (Unix nanoseconds): the time of records that have none of their own.
    - ``attributes``: what else the source knows, by name: rules see ``attributes["topic"][i]`` as ``meta.topic``.
    - ``settings``: towards a sink, what each delivery chose of the sink's per-record settings (``path``, ``topic``).
    - ``ids``: what is the same for a record whenever it comes again, and for no other within ``ids_last`` seconds. A
      sink that can remembers for as long what it has written, and writes nothing twice; others ignore them.
    - ``leases``: the right to deliver each record, of sources that can lose it.
    - ``size`` (bytes of all payloads) and ``ascii`` (whether they hold nothing but ASCII): where the source knows them
      by the way, which saves counting (-1, None: it does not).
    - ``lines``: whether each payload is known to be a line, not empty and without a newline, which saves looking.
    - ``fields``: where the fields of the payloads stand, of sources whose framing has found that out, too.
    - ``spoiled``: records that the source could not frame, by index, with the reason; they are dead letters.
    """

    values: Sequence[bytes]
    token: object = None
    keys: Sequence[bytes | None] | None = None
    headers: Sequence[Headers | None] | None = None
    times: Sequence[int | None] | None = None
    attributes: Mapping[str, Sequence[object]] = field(default_factory=dict)
    settings: Mapping[str, Sequence[object]] = field(default_factory=dict)
    ids: Sequence[str | None] | None = None
    ids_last: float = math.inf
    leases: Sequence[Lease | None] | None = None
    spoiled: Mapping[int, str] = field(default_factory=dict)
    arrived: int = field(default_factory=time.time_ns)
    size: int = field(default=-1, repr=False)
    ascii: bool | None = field(default=None, repr=False)
    lines: bool = field(default=False, repr=False)
    fields: Fields | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def bytes(self) -> int:
        """The size of the payloads, in bytes; counted once, so ``values`` must not change."""
        if self.size < 0:
            self.size = self.values.size if isinstance(self.values, Lines) else sum(map(len, self.values))
        return self.size

    @property
    def is_ascii(self) -> bool:
        """Whether the payloads hold nothing but ASCII; found out once, so ``values`` must not change."""
        if self.ascii is None:
            self.ascii = b"".join(self.values).isascii()
        return self.ascii

    def select(self, indices: Sequence[int]) -> Batch:
        """The records at ``indices``, in that order, as a batch of their own, without token."""
        return Batch(
            values=_pick_values(self.values, indices),
            keys=_pick_optional(self.keys, indices),
            headers=_pick_optional(self.headers, indices),
            times=_pick_optional(self.times, indices),
            attributes={name: _pick(column, indices) for name, column in self.attributes.items()},
            settings={name: _pick(column, indices) for name, column in self.settings.items()},
            ids=_pick_optional(self.ids, indices),
            ids_last=self.ids_last,
            leases=_pick_optional(self.leases, indices),
            spoiled=_pick_marks(self.spoiled, indices),
            arrived=self.arrived,
            lines=self.lines,
        )


def join(batches: Sequence[Batch]) -> Batch:
    """One batch of all records, in order. A column that only some have is None (a gap) for the others."""
    if len(batches) == 1:
        return batches[0]
    sizes = [len(batch) for batch in batches]
    settings = {name: None for batch in batches for name in batch.settings}
    return Batch(
        values=_chain_values([batch.values for batch in batches]),
        keys=_chain([batch.keys for batch in batches], sizes),
        headers=_chain([batch.headers for batch in batches], sizes),
        times=_chain([batch.times for batch in batches], sizes),
        settings={name: _chain([b.settings.get(name) for b in batches], sizes) or () for name in settings},
        ids=_chain([batch.ids for batch in batches], sizes),
        ids_last=min(batch.ids_last for batch in batches),
        leases=_chain([batch.leases for batch in batches], sizes),
        lines=all(batch.lines for batch in batches),
    )


def leases_of(batches: Iterable[Batch]) -> frozenset[Lease]:
    """The leases under which any record of these is delivered."""
    found: set[Lease | None] = set()
    for batch in batches:
        column = batch.leases
        if column is not None:
            found.update((column.value,) if isinstance(column, Constant) else column)
    return frozenset(lease for lease in found if lease is not None)


def _chain_values(columns: Sequence[Sequence[bytes]]) -> Sequence[bytes]:
    lines = Lines()
    for column in columns:
        if not isinstance(column, Lines):
            return list(chain.from_iterable(columns))
        lines.extend(column)
    return lines


def _pick_values(values: Sequence[bytes], indices: Sequence[int]) -> Sequence[bytes]:
    if isinstance(values, Lines) and isinstance(indices, range) and indices.step == 1:
        return values.part(indices.start, indices.stop)
    return _pick(values, indices)


def _pick(column: Sequence[T], indices: Sequence[int]) -> Sequence[T]:
    if isinstance(column, Constant):
        return Constant(column.value, len(indices))
    if isinstance(indices, range) and indices.step == 1:
        return column[indices.start : indices.stop]
    return list(map(column.__getitem__, indices))


def _pick_optional(column: Sequence[T] | None, indices: Sequence[int]) -> Sequence[T] | None:
    return None if column is None else _pick(column, indices)


def _pick_marks(marks: Mapping[int, str], indices: Sequence[int]) -> Mapping[int, str]:
    return {at: marks[index] for at, index in enumerate(indices) if index in marks} if marks else {}


def _chain(columns: Sequence[Sequence[T | None] | None], sizes: Sequence[int]) -> Sequence[T | None] | None:
    if all(column is None for column in columns):
        return None
    gaps: Iterator[Sequence[T | None]] = (
        column if column is not None else Constant(None, size) for column, size in zip(columns, sizes, strict=True)
    )
    return list(chain.from_iterable(gaps))
