"""What an outlet writes at once: parts joined to a load, cut into segments, settled together."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Protocol

from msgspec import Struct, field

from router.batch import Batch, join, leases_of
from router.part import Part
from rules.columns import Lines

Receipt = asyncio.Future[None]
"""Completes when every record of a part is safe: durable at the sink, a dead letter, or in the sink's disk buffer."""


class Way(Protocol):
    """The way to one sink, as those see it who send parts there: an outlet, or the disk buffer before one."""

    async def put(self, part: Part) -> Receipt:
        """Admit a part, after all that asked before; waits while there is no room. Returns its receipt. When cancelled
        while waiting, the part is not admitted."""

    def hurry(self) -> None:
        """What is admitted by now need not wait for company: no more may come."""


class Admitted(Struct, eq=False):
    """A part in the queue."""

    part: Part
    receipt: Receipt
    since: float = field(default_factory=time.monotonic)

    def fail(self, error: Exception) -> None:
        """Nothing will come of the part: its receipt raises this. Who does not look at it any more need not be told."""
        if not self.receipt.done():
            self.receipt.set_exception(error)
            self.receipt.exception()


class Segment(Struct, eq=False):
    """Records of a load that are written together, by their indices in it.

    ``attempts`` counts writes that the sink refused, ``strikes`` those that brought the connection down.
    """

    indices: Sequence[int]
    attempts: int = 0
    strikes: int = 0
    is_half: bool = False
    """Whether the record that is to blame is looked for in it already."""

    def halves(self) -> list[Segment]:
        """Two segments that begin anew."""
        middle = len(self.indices) // 2
        return [Segment(indices, is_half=True) for indices in (self.indices[:middle], self.indices[middle:])]


class Load:
    """Parts that are written as one, and what has become of their records."""

    def __init__(self, admitted: Sequence[Admitted]) -> None:
        self.admitted = admitted
        self.batch = join([entry.part.batch for entry in admitted])
        self.leases = leases_of(entry.part.batch for entry in admitted)
        self._ends = list(accumulate(len(entry.part.batch) for entry in admitted))
        self._excluded: set[int] = set()

    def exclude(self, indices: Iterable[int]) -> None:
        """These records are dealt with already: no segment holds them."""
        self._excluded.update(indices)

    def part_of(self, index: int) -> tuple[Part, int]:
        """The part that a record came in, and its index there."""
        position = bisect_right(self._ends, index)
        return self.admitted[position].part, index - (self._ends[position - 1] if position else 0)

    def take(self, segment: Segment) -> Batch:
        """The records of a segment as a batch."""
        if len(segment.indices) == len(self.batch):
            return self.batch
        return self.batch.select(segment.indices)

    def segments(self, records: int, size: int) -> list[Segment]:
        """The load in writes of at most so many records and bytes; a single larger record goes alone."""
        total = len(self.batch)
        indices = [i for i in range(total) if i not in self._excluded] if self._excluded else range(total)
        if total <= records and self.batch.bytes <= size:
            return [Segment(indices)] if indices else []
        segments, start, position, held = [], 0, 0, 0
        for count, length in self._pieces(indices, records, size):
            if position > start and (position + count - start > records or held + length > size):
                segments.append(Segment(indices[start:position]))
                start, held = position, 0
            position, held = position + count, held + length
        return [*segments, Segment(indices[start:])] if indices else []

    def _pieces(self, indices: Sequence[int], records: int, size: int) -> Sequence[tuple[int, int]]:
        """What is not cut, in order, by records and bytes: blocks of lines as long as they are no larger than a write,
        else single records."""
        values = self.batch.values
        if isinstance(values, Lines) and not self._excluded:
            counts = [stop - start for start, stop in values.spans]
            blocks = [(count, len(block) - count) for count, block in zip(counts, values.blocks, strict=True)]
            if all(count <= records and length <= size for count, length in blocks):
                return blocks
        sizes = list(map(len, values))
        return [(1, sizes[index]) for index in indices]

    def settle(self) -> None:
        """Complete the receipts, but for those that nobody waits for any more."""
        for entry in self.admitted:
            if not entry.receipt.done():
                entry.receipt.set_result(None)
