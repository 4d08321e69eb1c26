"""The sink ``kafka`` driven by hand, and what others see of the cluster: everything that is in a topic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from connectors.kafka.sink import KafkaSink
from router import Batch, Context, NotConnected, Unavailable, WriteError
from tests.servers.topics import create_topic

SECONDS = 30.0


async def new_topic(brokers: str, partitions: int = 1, **config: str) -> str:
    """A topic of one's own that can be written to at once. Settings are given with `_` for `.`."""
    topic = await create_topic(brokers, partitions, config={name.replace("_", "."): v for name, v in config.items()})
    async with asyncio.timeout(SECONDS), AIOKafkaConsumer(bootstrap_servers=brokers) as consumer:
        await consumer.end_offsets([TopicPartition(topic, number) for number in range(partitions)])  # asks the leaders
    return topic


async def read_all(brokers: str, topic: str) -> list[Any]:
    """Every record of a topic that is there now, by partition and offset, as aiokafka has them."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, auto_offset_reset="earliest")
    async with asyncio.timeout(SECONDS), consumer:
        await consumer._client._wait_on_metadata(topic)
        places = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
        ends = await consumer.end_offsets(places)
        consumer.assign(places)
        found: list[Any] = []
        while [place for place in places if await consumer.position(place) < ends[place]]:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                found += records
        return sorted(found, key=lambda record: (record.partition, record.offset))


async def values_in(brokers: str, topic: str) -> list[bytes]:
    """The payloads of a topic, partition after partition."""
    return [record.value for record in await read_all(brokers, topic)]


def make(brokers: str, topic: str, folder: Path | None = None, timeout: float = 60.0, **own: Any) -> KafkaSink:
    """The sink with these settings."""
    config = KafkaSink.Config.model_validate({"brokers": brokers, "topic": topic, **own})
    return KafkaSink(config.within(Context("out", folder or Path(), write_timeout=timeout)))


@asynccontextmanager
async def opened(sink: KafkaSink) -> AsyncIterator[KafkaSink]:
    """The sink while it is open."""
    try:
        await open_ready(sink)
        yield sink
    finally:
        await sink.close()


async def open_ready(sink: KafkaSink) -> None:
    """Open it; a cluster that has just started has no identities for producers yet."""
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                return await sink.open()
            except NotConnected as error:
                if "COORDINATOR_LOAD_IN_PROGRESS" not in str(error):
                    raise


async def write(sink: KafkaSink, batch: Batch) -> None:
    """Write it as the router does, however often it takes."""
    async with asyncio.timeout(2 * SECONDS):
        while True:
            try:
                return await sink.write(batch)
            except Unavailable as error:
                batch = batch.select(sorted(error.unwritten if error.unwritten is not None else range(len(batch))))
            except NotConnected as error:
                batch = batch.select(sorted(error.unwritten if error.unwritten is not None else range(len(batch))))
                await reopen(sink)
            await asyncio.sleep(0.05)


async def reopen(sink: KafkaSink) -> None:
    """Close and open it, until the cluster is there."""
    while True:
        await sink.close()
        with suppress(NotConnected):
            return await sink.open()
        await asyncio.sleep(0.05)


async def failure(sink: KafkaSink, batch: Batch) -> WriteError:
    """What a write says of records that are not written."""
    with pytest.raises(WriteError) as caught:
        await sink.write(batch)
    return caught.value


async def trouble(sink: KafkaSink, batch: Batch) -> NotConnected:
    """What a write says of a cluster that takes nothing."""
    with pytest.raises(NotConnected) as caught:
        await sink.write(batch)
    return caught.value


async def away(sink: KafkaSink) -> str:
    """Why the sink cannot be opened."""
    with pytest.raises(NotConnected) as caught:
        await sink.open()
    await sink.close()
    return str(caught.value)


def numbered(count: int, start: int = 0) -> list[bytes]:
    """Different payloads."""
    return [b'{"n":%d}' % number for number in range(start, start + count)]


def batch(*values: bytes, keys: Sequence[bytes | None] | None = None, **settings: Sequence[object]) -> Batch:
    """Records, and what each chose."""
    return Batch(list(values), keys=keys, settings=settings)
