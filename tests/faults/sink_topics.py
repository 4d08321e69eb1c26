"""The topics that sinks write to, and an oracle that reads them.

Records are made from their numbers whenever they are needed, so that ten million of them take no more memory than a
byte for each place where one may be.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol, Self, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from loop_thread import LoopThread
from murmurhash2 import murmurhash2
from oracle import LETTERS, Findings, Load, Oracle

from router.letter import Letter
from tests.servers.topics import create_topic

T = TypeVar("T")

PARTITIONS = 4
"""Of each topic."""
KEY = re.compile(rb'"key":"(k\d+)"')
_PATIENCE_SECONDS = 60.0


class Maker(Load, Protocol):
    """A load that makes its records."""

    def line(self, source: str, number: int) -> bytes:
        """The same for the same number every time."""


class Made:
    """The records of one of a load's sources, as far as they were fed: none is kept."""

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


class SinkTopics:
    """A topic for each sink, read from the beginning in a thread of its own. Use it as a context.

    ``brokers`` is a way into the cluster that no fault but the brokers' own touches; ``fed`` are the load's sources.
    """

    def __init__(
        self, brokers: str, load: Maker, fed: Iterable[str], sinks: Iterable[str], reader: Reader | None = None
    ) -> None:
        self.lines = {source: Made(load, source) for source in fed}
        """What the sources were fed."""
        self.oracle = Oracle(load, self.lines)
        self.sinks: dict[str, str] = {}
        """The topics of the sinks."""
        self._brokers = brokers
        self._load = load
        self._reader = reader
        self._loop = LoopThread("world")
        self._misplaced: list[str] = []
        self._places: dict[tuple[str, bytes], int] = {}
        self._at: Counter[TopicPartition] = Counter()
        self._loop.call(self._open_sinks(tuple(sinks)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call(self._close())
        self._loop.stop()

    async def _open_sinks(self, sinks: Iterable[str]) -> None:
        self.sinks = await self._create_topics(sinks)
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

    async def _create_topics(self, names: Iterable[str]) -> dict[str, str]:
        return {name: await create_topic(self._brokers, PARTITIONS, prefix=name) for name in names}

    async def _close(self) -> None:
        self._reading.cancel()
        await asyncio.wait({self._reading})
        await self._consumer.stop()

    def __len__(self) -> int:
        """How many records were fed."""
        return sum(map(len, self.lines.values()))

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
        found = KEY.search(record.value)
        key = found[1] if found else b""
        if record.key != key or self._places.setdefault((sink, key), _partition_of(key)) != record.partition:
            self._misplaced.append(f"{sink}, partition {record.partition}: key {record.key!r}, value {record.value!r}")

    @property
    def read(self) -> int:
        """How many records of the sinks' topics were read so far."""
        return sum(self._at.values())

    def catch_up(self) -> None:
        """Wait until the oracle has seen everything that is in the sinks' topics by now."""
        self._loop.call(self._catch_up())

    async def _catch_up(self) -> None:
        ends = await insist(lambda: self._consumer.end_offsets(self._ends_at))
        while any(self._at[place] < end for place, end in ends.items()):
            if self._reading.done():
                self._reading.result()
            await asyncio.sleep(0.02)

    def exposed(self, floors: Mapping[str, int]) -> dict[str, int]:
        """How many records are at each place by now that come again, once, when a source begins anew at ``floors``."""
        self.catch_up()
        return self.oracle.exposed(floors)

    # Judging

    def show_letters(self, letters: Iterable[Letter]) -> None:
        """Show dead letters to the oracle, each once."""
        self._loop.call(self._show_letters(letters))

    async def _show_letters(self, letters: Iterable[Letter]) -> None:
        for letter in letters:
            record = self._load.identify(letter.value)
            source = record[0] if record is not None and record[0][:-1] == letter.source else letter.source
            self.oracle.lettered(source, letter.stage, letter.sink, letter.value)

    def missing(self) -> int:
        """How many records are not where they belong by now."""
        return self._loop.call(self._missing())

    async def _missing(self) -> int:
        return sum(findings.lost for findings in self.oracle.findings().values())

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
        """What is wrong with what was fed: then the oracle is wrong, too."""
        return []


def _partition_of(key: bytes) -> int:
    """Where Kafka's own producers put it."""
    return (murmurhash2(key, 0x9747B28C) & 0x7FFFFFFF) % PARTITIONS


async def insist(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask a cluster of which brokers may be away, until it answers."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return await ask()
        except (KafkaError, OSError):
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.1)
