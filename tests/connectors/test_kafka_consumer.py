"""aiokafka's consumer, with what it knows and does not tell."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaConnectionError, KafkaError
from kafka_peers import SECONDS, committed, new_group

from connectors.kafka.consumer import GroupConsumer
from router.testing import until
from tests.servers.kafka import KafkaAddresses
from tests.servers.topics import create_topic


class Nobody(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Does nothing at a rebalance."""

    def on_partitions_revoked(self, revoked: object) -> None:
        """Partitions go."""

    def on_partitions_assigned(self, assigned: object) -> None:
        """Partitions come."""


def test_a_connection_of_uvloop_that_has_just_closed_is_told_like_any_other(kafka: KafkaAddresses) -> None:
    """And is made anew: what was not committed is committed later."""

    async def commit_after_a_cut() -> None:
        topic, group = await create_topic(kafka.plaintext), new_group()
        consumer = GroupConsumer(assignor="range", bootstrap_servers=kafka.plaintext, group_id=group)
        await consumer.join([topic], None, Nobody(), lambda _: None)
        offsets = {TopicPartition(topic, 0): 0}
        try:
            await until(lambda: consumer.is_member and consumer.assignment(), SECONDS)
            for connection in consumer._client._conns.values():
                connection._writer.transport.abort()
            with pytest.raises(KafkaConnectionError, match="the connection is closed") as raised:
                await consumer.commit_offsets(offsets)
            assert isinstance(raised.value.__cause__, RuntimeError), "uvloop has changed"
            async with asyncio.timeout(SECONDS):
                while await committed(kafka.plaintext, group, topic) != {0: 0}:
                    try:
                        await consumer.commit_offsets(offsets)
                    except KafkaError:  # the coordinator is looked for
                        await asyncio.sleep(0.1)
        finally:
            await consumer.leave(is_joining=False)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(commit_after_a_cut())
