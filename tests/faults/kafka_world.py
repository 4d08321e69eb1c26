"""What is in a cluster beside the daemons: topics, what fills those of the sources, and an oracle that reads those of
the sinks.

Records are made from their numbers whenever they are needed, so that ten million of them take no more memory than a
byte for each place where one may be. A record's number in its partition is its offset there.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from loop_thread import LoopThread
from murmurhash2 import murmurhash2
from oracle import LETTERS, Findings, Load, Oracle
from topic_feed import TopicFeed

from router.letter import Letter
from tests.servers.topics import create_topic

PARTITIONS = 4
"""Of each topic."""
_FED_AT_ONCE = 8000
_KEY = re.compile(rb'"key":"(k\d+)"')
_PATIENCE_SECONDS = 60.0


class Maker(Load, Protocol):
    """A load that makes its records."""

    def line(self, source: str, number: int) -> bytes:
        """The same for the same number every time."""


class Made:
    """The records of a partition, as far as they were fed: none is kept."""

    def __init__(self, load: Maker, source: str) -> None:
        self._load = load
        self._source = source
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def grow(self, count: int) -> range:
        """So many more; their numbers."""
        self._count += count
        return range(self._count - count, self._count)

    def line(self, number: int) -> bytes:
        """The record with this number."""
        return self._load.line(self._source, number)


class Reader(Protocol):
    """Whoever wants to see each record of a sink as it is in its topic."""

    def read(self, sink: str, record: Any) -> None:
        """One record, in the order of its partition."""


class KafkaWorld:
    """The topics of some sources and sinks. What ``load`` calls ``a0`` is partition 0 of the source ``a``.

    ``brokers`` is a way into the cluster that no fault but the brokers' own touches. Each source is read by one group,
    that has the name of its topic.
    """

    def __init__(
        self, brokers: str, load: Maker, sources: Iterable[str], sinks: Iterable[str], reader: Reader | None = None
    ) -> None:
        self._brokers = brokers
        self._load = load
        self._reader = reader
        self._loop = LoopThread("kafka-world")
        self.sources: dict[str, str] = {}
        """The topics of the sources."""
        self.sinks: dict[str, str] = {}
        """The topics of the sinks."""
        self._lines = {
            f"{source}{number}": Made(load, f"{source}{number}") for source in sources for number in range(PARTITIONS)
        }
        self.oracle = Oracle(load, self._lines)
        self._misplaced: list[str] = []
        self._places: dict[tuple[str, bytes], int] = {}
        self._at: Counter[TopicPartition] = Counter()
        self._loop.call(self._open(tuple(sources), tuple(sinks)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call(self._close())
        self._loop.stop()

    async def _open(self, sources: Sequence[str], sinks: Sequence[str]) -> None:
        for names, topics in ((sources, self.sources), (sinks, self.sinks)):
            for name in names:
                topics[name] = await create_topic(self._brokers, PARTITIONS, prefix=name)
        self._locks = {source: asyncio.Lock() for source in sources}
        self._feeds = {source: TopicFeed(self._brokers, topic) for source, topic in self.sources.items()}
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._brokers,
            request_timeout_ms=5000,
            metadata_max_age_ms=5000,
            auto_offset_reset="earliest",
        )
        self._sink_of = {topic: sink for sink, topic in self.sinks.items()}
        self._ends_at = [TopicPartition(topic, n) for topic in self.sinks.values() for n in range(PARTITIONS)]
        await self._consumer.start()
        self._consumer.assign(self._ends_at)
        self._reading = asyncio.create_task(self._read(), name="reading of the sinks' topics")

    async def _close(self) -> None:
        self._reading.cancel()
        await asyncio.wait({self._reading})
        await self._consumer.stop()
        for feed in self._feeds.values():
            await feed.close()

    # Feeding

    def __len__(self) -> int:
        """How many records were fed."""
        return sum(map(len, self._lines.values()))

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
                    lines = self._lines[f"{source}{number}"]
                    values += map(lines.line, lines.grow(share))
                    partitions += [number] * share
                await self._feeds[source].put(values, partitions)

    # Reading

    async def _read(self) -> None:
        while True:
            for place, records in (await self._consumer.getmany(timeout_ms=200, max_records=2000)).items():
                sink = self._sink_of[place.topic]
                for record in records:
                    self._take(sink, record)
                self._at[place] = records[-1].offset + 1
            await asyncio.sleep(0)

    def _take(self, sink: str, record: Any) -> None:
        self.oracle.arrived(sink, record.value)
        if self._reader is not None:
            self._reader.read(sink, record)
            return
        found = _KEY.search(record.value)
        key = found[1] if found else b""
        if record.key != key or self._places.setdefault((sink, key), _partition_of(key)) != record.partition:
            self._misplaced.append(f"{sink}, partition {record.partition}: key {record.key!r}, value {record.value!r}")

    def catch_up(self) -> None:
        """Wait until the oracle has seen everything that is in the sinks' topics by now."""
        self._loop.call(self._catch_up())

    async def _catch_up(self) -> None:
        ends = await _insist(lambda: self._consumer.end_offsets(self._ends_at))
        while any(self._at[place] < end for place, end in ends.items()):
            if self._reading.done():
                self._reading.result()
            await asyncio.sleep(0.02)

    # Where the groups are

    def committed(self) -> dict[str, int]:
        """What the groups have committed: the number of the next record, by partition of a source."""
        return self._loop.call(_insist(self._committed))

    async def _committed(self) -> dict[str, int]:
        found = dict.fromkeys(self._lines, 0)
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
        return all(committed[source] == len(lines) for source, lines in self._lines.items())

    def exposed(self, floors: Mapping[str, int]) -> dict[str, int]:
        """How many records are at each place by now that come again, once, when a source begins anew at ``floors``."""
        self.catch_up()
        return self.oracle.exposed(floors)

    # Judging

    def wait_until_settled(self, seconds: float) -> bool:
        """Wait until the groups have committed all that was fed, at most so long; whether they have."""
        deadline = time.monotonic() + seconds
        while not (settled := self.is_settled()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return settled

    def show_letters(self, letters: Iterable[Letter]) -> None:
        """Show dead letters to the oracle, each once."""
        self._loop.call(self._show_letters(letters))

    async def _show_letters(self, letters: Iterable[Letter]) -> None:
        for letter in letters:
            record = self._load.identify(letter.value)
            source = record[0] if record is not None and record[0][:-1] == letter.source else letter.source
            self.oracle.lettered(source, letter.stage, letter.sink, letter.value)

    def judge(self, repeatable: Mapping[str, int]) -> tuple[dict[str, Findings], list[str]]:
        """What the oracle says of everything since the last time, and other complaints. What is judged here is not
        judged again."""
        self.catch_up()
        return self._loop.call(self._judge(repeatable))

    async def _judge(self, repeatable: Mapping[str, int]) -> tuple[dict[str, Findings], list[str]]:
        for place in (*self.sinks, LETTERS):
            self.oracle.may_repeat(place, repeatable.get(place, 0))
        found = self.oracle.findings()
        complaints, self._misplaced = self._misplaced, []
        complaints += await self._miscounted()
        self.oracle.conclude()
        return found, complaints

    async def _miscounted(self) -> list[str]:
        """Records that are not in the sources' topics once each: then the numbers are wrong, and so is the oracle."""
        places = {TopicPartition(t, n): f"{s}{n}" for s, t in self.sources.items() for n in range(PARTITIONS)}
        ends = await _insist(lambda: self._consumer.end_offsets(list(places)))
        return [
            f"{len(self._lines[name])} records were fed to {name}, and {ends[place]} are there"
            for place, name in places.items()
            if ends[place] != len(self._lines[name])
        ]


def _shares(count: int) -> list[int]:
    return [count // PARTITIONS + (number < count % PARTITIONS) for number in range(PARTITIONS)]


def _partition_of(key: bytes) -> int:
    """Where Kafka's own producers put it."""
    return (murmurhash2(key, 0x9747B28C) & 0x7FFFFFFF) % PARTITIONS


async def _insist(ask: Any) -> Any:
    """Ask a cluster of which brokers may be away, until it answers."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return await ask()
        except (KafkaError, OSError):
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.1)
