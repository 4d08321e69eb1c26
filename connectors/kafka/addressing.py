"""From records to partitions: what each chose, what the sink's settings say, and what follows from its key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aiokafka.structs import TopicPartition

from connectors.kafka.outgoing import pick
from connectors.kafka.partitioning import Sticky, by_partition, partitions_of
from connectors.kafka.topics import Missing, Topic, Topics
from router import Batch, Constant, NotConnected

Routes = dict[TopicPartition, Sequence[int]]
"""The records of each partition, by their indices, in their order."""


class Addresser:
    """Says where each record goes. ``topic`` and ``partition`` are where records go that chose none; None for ``topic``
    says that each has to choose one."""

    def __init__(self, topic: str | None, partition: int | None) -> None:
        self._topic = topic
        self._partition = partition
        self._sticky = Sticky()

    async def routes(
        self, batch: Batch, keys: Sequence[bytes | None] | None, topics: Topics, refused: dict[int, str]
    ) -> Routes:
        """The records of each partition. Those that have none go to ``refused``, with the reason. Raises
        NotConnected."""
        by_topic = self._by_topic(batch.settings.get("topic"), len(batch), refused)
        found = await topics.find(by_topic)
        if isinstance(missing := found.get(self._topic or ""), Missing):
            raise NotConnected(missing)  # no fault of a record
        routes: Routes = {}
        for name, indices in by_topic.items():
            topic = found[name]
            if isinstance(topic, Missing):
                refused.update(dict.fromkeys(indices, topic))
                continue
            numbers = self._partitions(topic, batch, keys, indices, refused)
            for number, places in by_partition(numbers).items():
                if number >= 0:
                    routes[TopicPartition(name, number)] = pick(indices, places)
        if refused:
            routes = {place: [index for index in indices if index not in refused] for place, indices in routes.items()}
        return {place: indices for place, indices in routes.items() if indices}

    def move_on(self, routes: Iterable[TopicPartition]) -> None:
        """What was written there is durable: records without a key go to the next partition from now on."""
        self._sticky.move_on(place.topic for place in routes)

    def _by_topic(
        self, column: Sequence[object] | None, length: int, refused: dict[int, str]
    ) -> dict[str, Sequence[int]]:
        """The indices of the records that go to each topic."""
        if column is None:
            column = Constant(None, length)
        groups: dict[object, list[int] | range] = {}
        if isinstance(column, Constant):
            groups[_hashable(column.value)] = range(length)
        else:
            for index, value in enumerate(column):
                groups.setdefault(_hashable(value), []).append(index)  # type: ignore[union-attr]  # it is a list here
        found: dict[str, Sequence[int]] = {}
        for value, indices in groups.items():
            name = self._topic if value is None else value
            if isinstance(name, str):
                found[name] = sorted([*found[name], *indices]) if name in found else indices
            else:
                why = "no topic was chosen" if name is None else "the topic is no text"
                refused.update(dict.fromkeys(indices, why))
        return found

    def _partitions(
        self,
        topic: Topic,
        batch: Batch,
        keys: Sequence[bytes | None] | None,
        indices: Sequence[int],
        refused: dict[int, str],
    ) -> Sequence[int]:
        """The partition of each of these records; -1 where there is none."""
        count = topic.partitions
        sticky = self._sticky.of(topic.name, topic.available or range(count))
        column = batch.settings.get("partition")
        if column is None and self._partition is None:
            if keys is None:
                return Constant(sticky, len(indices))
            return partitions_of(pick(keys, indices), count, sticky)
        chosen = Constant(self._partition, len(indices)) if column is None else pick(column, indices)
        by_key = Constant(sticky, len(indices)) if keys is None else partitions_of(pick(keys, indices), count, sticky)
        numbers = []
        for index, choice, own in zip(indices, chosen, by_key, strict=True):
            number = self._partition if choice is None else choice
            if number is None:
                numbers.append(own)
            elif type(number) is int and 0 <= number < count:
                numbers.append(number)
            else:
                refused[index] = f"topic {topic.name} has {count} partition(s), and none is {number!r}"[:200]
                numbers.append(-1)
        return numbers


def _hashable(value: object) -> object:
    return value if value is None or isinstance(value, str) else type(value)
