"""Which partition a record goes to, where nothing says so: the one that Kafka's own producers choose for its key."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

from router import Constant

_SEED = 0x9747B28C
_POSITIVE = 0x7FFFFFFF


def partition_of(key: bytes, count: int) -> int:
    """The partition, of so many, of a key: its murmur2 hash without the sign, modulo their number, as in Kafka's
    ``BuiltInPartitioner.partitionForKey``."""
    return partitions_of([key], count, 0)[0]


def partitions_of(keys: Sequence[bytes | None], count: int, otherwise: int) -> Sequence[int]:
    """The partition of each key; ``otherwise`` where there is none."""
    from murmurhash2 import murmurhash2

    if isinstance(keys, Constant):
        key = keys.value
        chosen = otherwise if key is None else (murmurhash2(key, _SEED) & _POSITIVE) % count
        return Constant(chosen, len(keys))
    return [otherwise if key is None else (murmurhash2(key, _SEED) & _POSITIVE) % count for key in keys]


def by_partition(partitions: Sequence[int]) -> dict[int, Sequence[int]]:
    """The indices of the records of each partition, in order."""
    if isinstance(partitions, Constant):
        return {partitions.value: range(len(partitions))}
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for index, partition in enumerate(partitions):
        groups[partition].append(index)
    if len(groups) == 1:
        return {partition: range(len(partitions)) for partition in groups}
    return dict(groups)


class Sticky:
    """Where records without a key go: all of a write to one partition of their topic, those of the next write to the
    next one. So batches are as large as can be, and partitions get the same share."""

    def __init__(self) -> None:
        self._present: dict[str, int] = {}
        self._done: set[str] = set()

    def of(self, topic: str, available: Sequence[int]) -> int:
        """The partition for now: the same until ``move_on``, as long as it has a leader. ``available`` is sorted and
        not empty."""
        present = self._present.get(topic)
        if present is None:
            present = random.choice(available)  # noqa: S311 - it spreads, and hides nothing
        elif topic in self._done or present not in available:
            present = next((other for other in available if other > present), available[0])
        self._present[topic] = present
        self._done.discard(topic)
        return present

    def move_on(self, topics: Iterable[str]) -> None:
        """What was written to these is durable: the next write takes the next partition."""
        self._done.update(topics)
