"""What is in a cluster beside the daemons: the topics of the sources, what fills them, and those of the sinks with
their oracle. A record's number in its partition is its offset there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from sink_feed import SinkFeed
from sink_topics import PARTITIONS, Maker, Reader, SinkTopics, insist

from connectors.kafka import KafkaSink
from router import Batch

_FED_AT_ONCE = 8000


class KafkaWorld(SinkTopics):
    """The topics of some sources and sinks. What ``load`` calls ``a0`` is partition 0 of the source ``a``.

    Each source is read by one group, that has the name of its topic.
    """

    def __init__(
        self, brokers: str, load: Maker, sources: Iterable[str], sinks: Iterable[str], reader: Reader | None = None
    ) -> None:
        names = tuple(sources)
        super().__init__(brokers, load, [f"{name}{n}" for name in names for n in range(PARTITIONS)], sinks, reader)
        self.sources: dict[str, str] = self._loop.call(self._create_topics(names))
        """The topics of the sources."""
        self._feeds = {name: SinkFeed(_sink_for(brokers, topic)) for name, topic in self.sources.items()}
        self._locks = {name: asyncio.Lock() for name in names}

    async def _close(self) -> None:
        await super()._close()
        for feed in self._feeds.values():
            await feed.close()

    # Feeding

    def feed(self, source: str, count: int) -> None:
        """Put so many records more into a source's topic, about as many into each partition; they are there when it
        returns, each once. Waits as long as brokers are away."""
        self._loop.call(self._feed(source, count))

    async def _feed(self, source: str, count: int) -> None:
        async with self._locks[source]:
            for start in range(0, count, _FED_AT_ONCE):
                values: list[bytes] = []
                partitions: list[int] = []
                for number, share in enumerate(_shares(min(_FED_AT_ONCE, count - start))):
                    lines = self.lines[f"{source}{number}"]
                    values += map(lines.line, lines.grow(share))
                    partitions += [number] * share
                await self._feeds[source].put(Batch(values=values, settings={"partition": partitions}))

    # Where the groups are

    def committed(self) -> dict[str, int]:
        """What the groups have committed: the number of the next record, by partition of a source."""
        return self._loop.call(insist(self._committed))

    async def _committed(self) -> dict[str, int]:
        found = dict.fromkeys(self.lines, 0)
        admin = AIOKafkaAdminClient(bootstrap_servers=self._brokers, request_timeout_ms=3000)
        try:
            await admin.start()
            for source, topic in self.sources.items():
                for place, at in (await admin.list_consumer_group_offsets(topic)).items():
                    found[f"{source}{place.partition}"] = max(0, at.offset)
        finally:
            await admin.close()
        return found

    def is_settled(self) -> bool:
        """Whether the groups have committed all that was fed."""
        try:
            committed = self._loop.call(self._committed())
        except (KafkaError, OSError):
            return False
        return all(committed[source] == len(lines) for source, lines in self.lines.items())

    def wait_until_settled(self, seconds: float) -> bool:
        """Wait until the groups have committed all that was fed, at most so long; whether they have."""
        deadline = time.monotonic() + seconds
        while not (settled := self.is_settled()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return settled

    async def _miscounted(self) -> list[str]:
        """Records that are not in the sources' topics once each: then the numbers are wrong."""
        places = {TopicPartition(t, n): f"{s}{n}" for s, t in self.sources.items() for n in range(PARTITIONS)}
        ends = await insist(lambda: self._consumer.end_offsets(list(places)))
        return [
            f"{len(self.lines[name])} records were fed to {name}, and {ends[place]} are there"
            for place, name in places.items()
            if ends[place] != len(self.lines[name])
        ]


def _sink_for(brokers: str, topic: str) -> KafkaSink:
    config = KafkaSink.Config(
        brokers=tuple(brokers.split(",")),
        topic=topic,
        compression="snappy",
        request_timeout=5.0,
        metadata_max_age=5.0,
    )
    return KafkaSink(config)


def _shares(count: int) -> list[int]:
    return [count // PARTITIONS + (number < count % PARTITIONS) for number in range(PARTITIONS)]
