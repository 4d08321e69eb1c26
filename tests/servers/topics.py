"""Topics of Kafka for one test alone."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic


async def create_topic(
    brokers: str, partitions: int = 1, *, prefix: str = "topic", config: Mapping[str, str] | None = None
) -> str:
    """Make a topic that nobody else uses, with a copy on each node and on three at most; its name, once every partition
    has a leader that takes records."""
    name = f"{prefix}-{uuid4().hex[:12]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        copies = min(3, len((await admin.describe_cluster())["brokers"]))
        made = await admin.create_topics([NewTopic(name, partitions, copies, topic_configs=dict(config or {}))])
    finally:
        await admin.close()
    for _, code, *reason in made.topic_errors:
        if code:
            raise RuntimeError(f"Kafka did not make the topic {name}: error {code}, {reason}")
    async with AIOKafkaConsumer(bootstrap_servers=brokers) as consumer:
        await consumer.end_offsets([TopicPartition(name, number) for number in range(partitions)])
    return name
