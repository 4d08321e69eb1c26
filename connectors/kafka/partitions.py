"""What a source keeps of the partitions that it has: how far each is read, acknowledged and committed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from router import Lag, Lease

PartitionKey = tuple[str, int]
"""A topic and the number of a partition; aiokafka's ``TopicPartition`` is one."""


class Partition:
    """A partition from when it is assigned to when it is taken away. Offsets are those of the next record.

    Tokens hold partitions, so that an acknowledgement of what was read before a partition was lost changes nothing.
    """

    __slots__ = ("_acked", "_behind_since", "_given", "_pulled", "_unacked", "committed", "key", "lease", "name")

    def __init__(self, key: PartitionKey, lease: Lease) -> None:
        self.key = key
        self.name = lease.partition
        self.lease = lease
        self.committed: int | None = None
        """What the group has committed, as far as this member knows."""
        self._pulled: int | None = None
        self._given: int | None = None
        self._acked: int | None = None
        self._unacked: deque[tuple[int, int]] = deque()
        self._behind_since: float | None = None

    @property
    def is_untouched(self) -> bool:
        """Whether no record has come in yet."""
        return self._pulled is None

    @property
    def is_quiet(self) -> bool:
        """Whether everything that was given out is acknowledged."""
        return self._acked == self._given

    def pull(self, start: int, end: int, milliseconds: int) -> None:
        """Records from ``start`` up to ``end`` have come in, the first of which is of this time (Unix milliseconds)."""
        if self._pulled is None:
            self._acked = self._given = start
        self._pulled = end
        self._unacked.append((end, milliseconds))

    def give(self, end: int) -> None:
        """Records up to ``end`` are given to the router."""
        self._given = end

    def ack(self, end: int) -> None:
        """Records up to ``end`` are safe elsewhere, unless the partition was lost before that could be known."""
        if self.lease.revoked:
            return
        self._acked = end
        while self._unacked and self._unacked[0][0] <= end:
            self._unacked.popleft()

    def safe(self, position: int | None) -> int | None:
        """How far the group may go on after this, where ``position`` is how far the client has read. None: not known.

        The client's position is ahead of the last record where control records follow it, or compacted ones did.
        """
        return position if self._acked == self._pulled else self._acked

    def lag(self, end: int | None, position: int | None, now: float) -> Lag:
        """How far what is acknowledged is behind ``end``, at this Unix time."""
        safe = self.safe(position)
        if end is None or safe is None:
            return Lag(self.name)
        records = max(0, end - safe)
        if not records:
            self._behind_since = None
            return Lag(self.name, records=0, seconds=0.0)
        if self._unacked:
            self._behind_since = None
            return Lag(self.name, records=records, seconds=max(0.0, now - self._unacked[0][1] / 1000))
        # Of records that are not read yet nothing is known but since when there have been some.
        if self._behind_since is None or self._behind_since > now:
            self._behind_since = now
        return Lag(self.name, records=records, seconds=now - self._behind_since)


class Assignment:
    """The partitions that a member has in one generation of its group."""

    def __init__(self, keys: Iterable[PartitionKey] = (), until: float = 0.0) -> None:
        self.partitions: dict[PartitionKey, Partition] = {}
        for key in keys:
            lease = Lease(f"{key[0]}-{key[1]}", until)
            self.partitions[key] = Partition(key, lease)
        self._acked = asyncio.Event()

    def extend(self, until: float) -> None:
        """The leases hold until then (``time.monotonic``)."""
        for partition in self.partitions.values():
            partition.lease.until = until

    def revoke(self) -> None:
        """Nothing is delivered under its leases any more."""
        for partition in self.partitions.values():
            partition.lease.revoke()
        self._acked.set()

    @property
    def is_over(self) -> bool:
        """Whether a lease was revoked, or has run out: what was read is not to be acknowledged then."""
        return any(partition.lease.revoked for partition in self.partitions.values())

    @property
    def is_quiet(self) -> bool:
        """Whether everything that was given out is acknowledged."""
        return all(partition.is_quiet for partition in self.partitions.values())

    def ack(self, ends: Iterable[tuple[Partition, int]]) -> None:
        """These partitions are safe up to these offsets."""
        for partition, end in ends:
            partition.ack(end)
        self._acked.set()

    async def quiet(self) -> None:
        """Wait until everything that was given out is acknowledged, or the leases are over."""
        while not self.is_quiet and not self.is_over:
            self._acked.clear()
            await self._acked.wait()

    async def written(self, seconds: float) -> None:
        """Wait until no write is under way under its leases; those that take longer are cut off."""
        try:
            async with asyncio.timeout(seconds):
                await self._are_written()
        except TimeoutError:
            for partition in self.partitions.values():
                partition.lease.abandon()
            await self._are_written()

    async def _are_written(self) -> None:
        for partition in self.partitions.values():
            await partition.lease.written()

    def begin_again(self, key: PartitionKey) -> None:
        """A partition is read from somewhere else: what is under way may be delivered, and acknowledges nothing."""
        self.partitions[key] = Partition(key, self.partitions[key].lease)

    def uncommitted(self, position_of: Callable[[PartitionKey], int | None]) -> list[tuple[Partition, int]]:
        """What is to be committed: everything that is safe by now, given how far the client has read.

        A position from which nothing was read yet is where the group stood, so that there is nothing to say.
        """
        found = []
        for key, partition in self.partitions.items():
            safe = partition.safe(position_of(key))
            if partition.committed is None and partition.is_untouched:
                partition.committed = safe
            if safe is not None and safe != partition.committed:
                found.append((partition, safe))
        return found
