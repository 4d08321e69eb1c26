"""Whoever else talks to the Kafka of a test: who puts records, who asks what is committed, who is in the same group."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from connectors.kafka import KafkaSource
from router import Batch, Context, NotConnected

SECONDS = 30.0


def new_group() -> str:
    """A group that nobody else is in."""
    return f"group-{uuid4().hex[:12]}"


class Events:
    """What a source has counted."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def __call__(self, event: str, number: int) -> None:
        self.counts[event] = self.counts.get(event, 0) + number

    def __getitem__(self, event: str) -> int:
        return self.counts.get(event, 0)


def source_of(brokers: str, topics: str | Sequence[str] | None, group: str, **settings: Any) -> KafkaSource:
    """A source with timeouts that suit a test."""
    quick: dict[str, Any] = {
        "brokers": brokers,
        "group": group,
        "session_timeout": "6s",
        "heartbeat_interval": "200ms",
        "fetch_max_wait": "100ms",
        "revoke_timeout": "5s",
    }
    if topics is not None:
        quick["topics"] = [topics] if isinstance(topics, str) else topics
    context = settings.pop("context", None) or Context(name="kafka", count=Events())
    return KafkaSource(KafkaSource.Config(**(quick | settings)).within(context))


@contextlib.asynccontextmanager
async def opened(source: KafkaSource) -> AsyncIterator[KafkaSource]:
    """The source, open while the block runs."""
    try:
        async with asyncio.timeout(SECONDS):
            await source.open()
        yield source
    finally:
        await source.close()


async def read(source: KafkaSource, count: int, *, seconds: float = SECONDS) -> list[Batch]:
    """The batches with the next records, so many."""
    batches: list[Batch] = []
    async with asyncio.timeout(seconds):
        while sum(map(len, batches)) < count:
            batches.append(await source.read())
    return batches


async def nothing_more(source: KafkaSource, seconds: float = 0.7) -> None:
    """Nothing comes, for a while."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            raise AssertionError(f"{(await source.read()).values} came")


async def ack(source: KafkaSource, batches: Iterable[Batch]) -> None:
    """Acknowledge them all."""
    for batch in batches:
        await source.ack(batch.token)


def values(batches: Iterable[Batch]) -> list[bytes]:
    """The payloads of them all."""
    return [value for batch in batches for value in batch.values]


async def put(brokers: str, topic: str, *payloads: bytes | None, partition: int | None = None, **record: Any) -> None:
    """Put records into a topic; they are there when it returns."""
    async with AIOKafkaProducer(bootstrap_servers=brokers, acks="all", max_request_size=2**26) as producer:
        sent = [await producer.send(topic, payload, partition=partition, **record) for payload in payloads]
        await asyncio.gather(*sent)


@contextlib.asynccontextmanager
async def administered(brokers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that may do anything."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def committed(brokers: str, group: str, topic: str) -> dict[int, int]:
    """Where the group stands, by partition."""
    async with administered(brokers) as admin:
        found = await admin.list_consumer_group_offsets(group)
    return {key.partition: at.offset for key, at in found.items() if key.topic == topic and at.offset >= 0}


async def commit(brokers: str, group: str, topic: str, offset: int, partition: int = 0) -> None:
    """Set where a group stands that nobody is in."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, group_id=group, enable_auto_commit=False)
    key = TopicPartition(topic, partition)
    async with consumer:
        consumer.assign([key])
        await consumer.commit({key: offset})


async def stands_at(brokers: str, group: str, topic: str, wanted: dict[int, int]) -> None:
    """Wait until the group stands there."""
    async with asyncio.timeout(SECONDS):
        while await committed(brokers, group, topic) != wanted:
            await asyncio.sleep(0.1)


async def refuses(source: KafkaSource) -> str:
    """What an open, or a read after it, says of why it is not connected."""
    try:
        async with asyncio.timeout(SECONDS):
            await source.open()
            while True:
                await source.read()
    except NotConnected as error:
        return str(error)
    finally:
        await source.close()
