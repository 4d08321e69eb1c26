"""What the sink ``kafka`` does while it is open. It is imported then: nothing else needs aiokafka."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from connectors.kafka.addressing import Addresser
from connectors.kafka.connection import milliseconds, reason
from connectors.kafka.delivery import Delivery, Rooms
from connectors.kafka.outgoing import records_of
from connectors.kafka.producer import Identity, Producer
from connectors.kafka.topics import Missing, Topics
from router import Batch, NotConnected

if TYPE_CHECKING:
    from connectors.kafka.sink import KafkaSinkConfig

_GRACE_SECONDS = 2.0
"""So long a connection may take to send what it holds when it is closed; what it then still holds was given up."""
_ACKS = {"all": -1, 1: 1, 0: 0}


class Writer:
    """Connects, writes, and disconnects, as ``Sink`` says. What it knows of what was sent outlives a connection."""

    def __init__(self, config: KafkaSinkConfig) -> None:
        self._config = config
        self._defaults = config.defaults
        self._identity = Identity() if config.is_idempotent else None
        self._addresser = Addresser(config.fixed_topic, config.partition)
        self._rooms = Rooms()
        self._patience = config.context.write_timeout
        self._longest = min(config.request_timeout, self._patience * 0.45)
        self._client: AIOKafkaClient | None = None
        self._topics: Topics
        self._producer: Producer

    async def open(self) -> None:
        """Connect, find the topic, and be known to the brokers. Raises NotConnected."""
        await self.close()
        config = self._config
        arguments = await config.reach() | {"request_timeout_ms": milliseconds(self._longest)}
        self._client = client = AIOKafkaClient(**arguments)
        try:
            await client.bootstrap()
        except KafkaError as error:
            raise NotConnected(f"{config.shown}: {reason(error)}") from error
        self._topics = Topics(client, arguments, config.create, answer_within=min(10.0, self._patience * 0.2))
        self._producer = Producer(
            client,
            self._identity,
            acks=_ACKS[config.acks],
            compression=config.compression,
            limit=config.max_request_size,
            timeout=self._longest,
        )
        await self._producer.introduce()
        if config.fixed_topic is not None:
            await self._reach(client, config.fixed_topic)

    async def _reach(self, client: AIOKafkaClient, name: str) -> None:
        """See that something of a topic can be written to. Raises NotConnected."""
        topic = (await self._topics.find([name]))[name]
        if isinstance(topic, Missing):
            raise NotConnected(topic)
        for leader in self._topics.leaders(topic):
            if await client.ready(leader):
                return
        raise NotConnected(f"no broker is there that leads a partition of topic {name}")

    async def write(self, batch: Batch) -> None:
        """Write the batch, as ``Sink.write`` says."""
        if self._client is None:
            raise NotConnected("the sink is not open")
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience * 0.8 - self._longest * 1.1
        refused: dict[int, str] = {}
        records = records_of(batch, self._defaults, refused)
        routes = await self._addresser.routes(batch, records.keys, self._topics, refused)
        delivery = Delivery(records, self._producer, self._rooms, refused, self._config.fixed_topic)
        try:
            await delivery.run(routes, until=until)
            if delivery.is_stale:
                await self._topics.refresh()
        except NotConnected as error:
            error.unwritten = delivery.left
            raise
        if not delivery.trouble:
            self._addresser.move_on(routes)
        delivery.conclude()

    async def close(self) -> None:
        """Disconnect. Idempotent."""
        client, self._client = self._client, None
        if client is None:
            return
        # A broker that does not read keeps its connection from closing, and nothing but these can end it.
        transports = [c._writer.transport for c in client._conns.values() if c.connected()]  # noqa: SLF001
        try:
            async with asyncio.timeout(_GRACE_SECONDS):
                await client.close()
        except TimeoutError:
            for transport in transports:
                transport.abort()
